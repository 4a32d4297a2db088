//! What the gateway itself answers with.

use bytes::Bytes;

use super::Request;
use crate::dialect::Dialect;
use crate::iso8583::{Bitmap, Draft, FieldNumber, Message, field};
use crate::time::Now;

/// RRNs of our own have twelve digits (DE 37, an 12).
const RRN_MODULUS: u64 = 1_000_000_000_000;

/// The answer to a host's own network management request, if the dialect gives one. `rrn`: a counter's value for DE 37.
///
/// As SocketQueue answers: the request's elements less those that the dialect drops, DE 7 now, DE 37 twelve digits,
/// DE 39 the dialect's code.
pub fn echo_reply(dialect: &Dialect, request: &Message, now: Now, rrn: u64) -> Option<Bytes> {
    let code = dialect.echo_reply.code.as_deref()?;
    let response = request.mti().response().filter(|mti| mti.is_network())?;
    let mut draft = Draft::of(request);
    draft.set_mti(response);
    for n in &dialect.echo_reply.drop {
        draft.remove(*n);
    }
    set_transmission_time(&mut draft, now);
    set_if_held(&mut draft, field::RRN, &format!("{:012}", rrn % RRN_MODULUS));
    draft.set_text(field::RESPONSE_CODE, code);
    draft.to_bytes().ok()
}

/// The response with which the gateway itself refuses a request (`onReject: respond`): response MTI, those of the
/// request's elements that the dialect calls safe to show (so no card data goes anywhere), DE 7 now, DE 39 `code`.
/// `None` for what is no request, and where the dialect has no DE 39 that could hold `code`.
pub fn refusal(dialect: &Dialect, request: &Message, code: &str, now: Now) -> Option<Bytes> {
    let response = request.mti().response()?;
    let mut draft = Draft::of_some(request, &dialect.safe.iter().copied().collect());
    draft.set_mti(response);
    set_transmission_time(&mut draft, now);
    draft.set_text(field::RESPONSE_CODE, code);
    draft.to_bytes().ok()
}

/// How the gateway itself answers a client's advice (`adviceResponse: atOnce`): what it has accepted, it carries on.
#[derive(Clone, Debug)]
pub struct AdviceReply {
    /// DE 39 that says `accepted`.
    code: String,
    /// Elements of the advice that its response has.
    safe: Bitmap,
}

impl AdviceReply {
    /// The dialect's way. `None` where it names no code that means `approved`.
    pub fn of(dialect: &Dialect) -> Option<AdviceReply> {
        let code = dialect.codes.approved.first()?.clone();
        Some(AdviceReply { code, safe: dialect.safe.iter().copied().collect() })
    }

    /// The response to `advice`: response MTI, the elements that are safe to show, DE 7 now, DE 39. `None` for what is
    /// no advice.
    pub fn to(&self, advice: &Request, now: Now) -> Option<Bytes> {
        let response = advice.mti().response().filter(|_| advice.mti().is_advice())?;
        let mut draft = Draft::of_some(&advice.message, &self.safe);
        draft.set_mti(response);
        set_transmission_time(&mut draft, now);
        draft.set_text(field::RESPONSE_CODE, &self.code);
        draft.to_bytes().ok()
    }
}

fn set_transmission_time(draft: &mut Draft, now: Now) {
    let digits = now.local().mmddhhmmss();
    set_if_held(draft, field::TRANSMISSION_TIME, &String::from_utf8_lossy(&digits));
}

/// Sets field `n`, if the dialect has it and it can hold `text`.
fn set_if_held(draft: &mut Draft, n: FieldNumber, text: &str) {
    if draft.schema().field(n).is_none() {
        return;
    }
    draft.set_text(n, text).remove_bad(n);
}
