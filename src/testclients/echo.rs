//! The network management request (0800) that a test client sends.

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::iso8583::schema::{Content, Length};
use crate::iso8583::{BuildError, Draft, FieldNumber, Message, Mti, field};
use crate::time::Now;

/// The MTI of an echo.
pub(crate) const ECHO: Mti = Mti::new(0x0800);

/// What dialects that oblige an 0800 to nothing get.
const USUAL: [FieldNumber; 6] = [
    field::PROCESSING_CODE,
    field::TRANSMISSION_TIME,
    field::STAN,
    field::LOCAL_TIME,
    field::FUNCTION_CODE,
    field::TID,
];

/// The 0800 of a terminal: the elements that the dialect obliges it to (smartVista: 3, 7, 11, 24, 41), and DE 12.
///
/// # Errors
/// When the dialect cannot write one of them.
pub(crate) fn request(dialect: &Dialect, terminal: u32, stan: u32, now: Now) -> Result<Bytes, BuildError> {
    let mut draft = Draft::new(&dialect.schema, ECHO);
    let obligatory = dialect.obligatory.get(&ECHO).map_or(&USUAL[..], |fields| &fields[..]);
    for &n in obligatory.iter().chain(&[field::LOCAL_TIME]).filter(|&&n| n > field::BITMAP) {
        let Some(spec) = dialect.schema.field(n) else { continue };
        // A binary field is counted in bytes, and its text is hex; a field of fixed length is filled with zeros.
        let max = if spec.content == Content::Binary { spec.max() * 2 } else { spec.max() };
        let fixed = if matches!(spec.length, Length::Fixed(_)) { max } else { 0 };
        draft.set_text(n, &format!("{:0>fixed$}", value(n, max, terminal, stan, now)));
    }
    draft.to_bytes()
}

/// Whether `answer` is the 0810 to the request of that terminal, by TID and STAN; elements that the dialect does not have
/// are not compared.
pub(crate) fn is_answer(request: &Message, answer: &Message) -> bool {
    let same = |n: FieldNumber| request.text(n) == answer.text(n);
    Some(answer.mti()) == request.mti().response() && same(field::TID) && same(field::STAN)
}

/// The text of field `n`, at most `max` characters.
fn value(n: FieldNumber, max: usize, terminal: u32, stan: u32, now: Now) -> String {
    let local = now.local();
    let ascii = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let text = match n {
        // An 0800 of SocketQueue's test clients and of its sample has these two.
        field::PROCESSING_CODE => "990000".into(),
        field::FUNCTION_CODE => "831".into(),
        field::TRANSMISSION_TIME => ascii(&local.mmddhhmmss()),
        field::STAN => format!("{stan:06}"),
        field::LOCAL_TIME if max < 12 => ascii(&local.hhmmss()),
        field::LOCAL_TIME => ascii(&local.yymmddhhmmss()),
        field::LOCAL_DATE => ascii(&local.mmdd()),
        // Echo test, by the 1987 standard.
        field::NETWORK_CODE => "301".into(),
        field::TID => format!("{terminal:0max$}"),
        _ => "0".into(),
    };
    // A number that is too long for its field loses its front: terminal 123456789 of a TID of eight digits.
    text.get(text.len().saturating_sub(max)..).map(str::to_owned).unwrap_or(text)
}
