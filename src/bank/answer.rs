//! The bank's answer as a message: the request's elements, and what the books say.

use bytes::BytesMut;

use super::books::Ruling;
use super::chance;
use super::codes::AnswerCodes;
use super::facts::{Facts, Kind};
use crate::dialect::Dialect;
use crate::iso8583::schema::Content;
use crate::iso8583::{Draft, FieldNumber, Message, Mti, field};
use crate::time::Now;

/// Appends the answer's bytes to `out`: the request's elements as they stood, its response MTI, DE 7 := now, DE 39; and
/// as the ruling says, DE 2, 37 and 38. `false`, and `out` as it was, when there is no answer or the dialect cannot
/// write it.
///
/// An answer to network management goes without the elements that the dialect drops there (smartVista: 24 and 42).
pub(crate) fn compose(
    dialect: &Dialect,
    codes: &AnswerCodes,
    request: &Message,
    facts: &Facts,
    ruling: &Ruling,
    now: Now,
    out: &mut BytesMut,
) -> bool {
    let (Some(code), Some(mti)) = (ruling.code, response_mti(dialect, request.mti())) else { return false };
    let mut code = codes.text(code);
    let mut draft = Draft::of(request);
    draft.set_mti(mti);
    put(&mut draft, dialect, field::TRANSMISSION_TIME, ascii(&now.local().mmddhhmmss()));
    if facts.kind == Kind::Network {
        for &n in &dialect.echo_reply.drop {
            draft.remove(n);
        }
        code = dialect.echo_reply.code.as_deref().unwrap_or(code);
    }
    put(&mut draft, dialect, field::RESPONSE_CODE, code);
    if let Some(rrn) = ruling.rrn {
        put(&mut draft, dialect, field::RRN, &format!("{rrn:012}"));
    }
    if ruling.is_debited {
        put(&mut draft, dialect, field::APPROVAL_CODE, ascii(&approval_code(ruling.rrn.unwrap_or(0))));
        if let Some(pan) = facts.pan
            && !draft.has(field::PAN)
        {
            put(&mut draft, dialect, field::PAN, &pan.expose());
        }
    }
    draft.encode(out).is_ok()
}

/// What answers a message: by the standard, but for reversals of a dialect that answers them otherwise.
fn response_mti(dialect: &Dialect, request: Mti) -> Option<Mti> {
    match &dialect.reversal {
        Some(profile) if request == profile.first || request == profile.repeat => Some(profile.response),
        _ => request.response(),
    }
}

/// Sets field `n`, if the dialect has it and the value fits.
fn put(draft: &mut Draft, dialect: &Dialect, n: FieldNumber, text: &str) {
    let Some(spec) = dialect.schema.field(n) else { return };
    // A binary field is counted in bytes, and its text is hex.
    let max = if spec.content == Content::Binary { spec.max() * 2 } else { spec.max() };
    if text.len() <= max {
        draft.set_text(n, text);
    }
}

/// Six letters and digits that belong to that RRN: a repeat of the sale gets them again.
fn approval_code(rrn: u64) -> [u8; 6] {
    const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = chance::mix(rrn);
    [(); 6].map(|()| {
        let character = CHARACTERS[(rest % 62) as usize];
        rest /= 62;
        character
    })
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_reversal_is_answered_as_the_dialect_says() {
        let mut dialect = (*Dialect::builtin("smartVista").unwrap()).clone();
        let mti = |mti| response_mti(&dialect, Mti::new(mti)).map(Mti::bcd);
        assert_eq!(
            (mti(0x0200), mti(0x0401), mti(0x0400), mti(0x0240)),
            (Some(0x0210), Some(0x0410), Some(0x0410), None)
        );
        let mut profile = (**dialect.reversal.as_ref().unwrap()).clone();
        profile.response = Mti::new(0x0430);
        dialect.reversal = Some(Arc::new(profile));
        assert_eq!(response_mti(&dialect, Mti::new(0x0400)), Some(Mti::new(0x0430)));
    }

    #[test]
    fn approval_codes_are_letters_and_digits_and_belong_to_their_rrn() {
        for rrn in [0, 1, 999_999_999_999] {
            assert!(approval_code(rrn).iter().all(u8::is_ascii_alphanumeric));
            assert_eq!(approval_code(rrn), approval_code(rrn));
        }
        assert_ne!(approval_code(1), approval_code(2));
    }
}
