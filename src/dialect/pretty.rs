//! Messages for people: the dump of the `vv` log, and one line of a message.

use std::borrow::Cow;
use std::fmt::{self, Write};

use super::{Dialect, RequestClass, ReversalClass};
use crate::iso8583::mask::MaskStyle;
use crate::iso8583::{FieldNumber, Message, field};

/// How wide the rulers are around a dump.
const RULER_WIDTH: usize = 96;
/// What every line of a dump begins with.
const INDENT: &str = "     ";
/// Name, number and dots of one field; its value follows.
const NAME_WIDTH: usize = 49;
/// DE 3 of a refund begins with it: transaction type 20, returns (ISO 8583:1987, table A.1).
const REFUND: &str = "20";

/// What is known of a message beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The gateway made it, to undo a request.
    pub auto_reversal: bool,
    /// It was refused for its age.
    pub expired: bool,
}

/// All fields of `message` with their names and captions, as SocketQueue dumps them at `vv`, card data masked.
///
/// `who`: where it comes from and goes to (`http:127.0.0.1:53578`, `ISO host to tcp:…`).
pub fn dump(dialect: &Dialect, message: &Message, who: &str, style: MaskStyle, remarks: Remarks) -> String {
    let ruler = "=".repeat(RULER_WIDTH);
    let mut out = format!("\n\n{who}\n{ruler}\n\n{INDENT}[{}]\n\n", title(dialect, message, remarks));
    line(&mut out, "Message Type Indicator", field::MTI, &message.mti().to_string());
    line(&mut out, "Bitmap", field::BITMAP, &message.bitmap_hex().to_ascii_lowercase());
    for n in message.bitmap().iter() {
        let name = message.schema().field(n).map_or("", |spec| &spec.name);
        let mut value = dialect.shown(message, n, style).unwrap_or_default();
        if let Some(caption) = caption(dialect, message, n) {
            value = Cow::Owned(format!("{value} ({caption})"));
        }
        line(&mut out, name, n, &value);
    }
    out.push_str(&format!("\n{ruler}\n\n"));
    out
}

fn line(out: &mut String, name: &str, n: FieldNumber, value: &str) {
    let head = format!("{name} [{n}]");
    // A name that is too long still has a dot behind it.
    let dots = NAME_WIDTH.saturating_sub(head.chars().count()).max(1);
    // Writing to a String can't fail.
    let _ = writeln!(out, "{INDENT}{head}{}{value}", ".".repeat(dots));
}

/// `Purchase Request`, `Auto-Reversal Response <faulty>` and the like.
pub fn title(dialect: &Dialect, message: &Message, remarks: Remarks) -> String {
    let mti = message.mti();
    let is_refund = || message.text(field::PROCESSING_CODE).is_some_and(|code| code.starts_with(REFUND));
    let kind = match mti.class() {
        1 => "Authorization",
        2 if is_refund() => "Refund",
        2 => "Purchase",
        3 => "File Action",
        4 if remarks.auto_reversal => "Auto-Reversal",
        4 => "Reversal",
        5 => "Reconciliation",
        6 => "Administrative",
        7 => "Fee Collection",
        8 => "Echo",
        _ => "Reserved",
    };
    let function = match mti.function() {
        0 => "Request",
        1 => "Response",
        2 => "Advice",
        3 => "Advice Response",
        4 => "Notification",
        _ => "Message",
    };
    let repeat = if mti.is_repeat() { " Repeat" } else { "" };
    let faulty = if is_faulty(dialect, message) { " <faulty>" } else { "" };
    let expired = if remarks.expired { " <expired>" } else { "" };
    format!("{kind} {function}{repeat}{faulty}{expired}")
}

/// A response that does not say that all is well.
fn is_faulty(dialect: &Dialect, message: &Message) -> bool {
    if !message.mti().is_response() {
        return false;
    }
    let code = message.value(field::RESPONSE_CODE);
    if message.mti().is_reversal() {
        dialect.codes.of_reversal(code.as_deref()) != ReversalClass::Accepted
    } else {
        dialect.codes.of_request(code.as_deref()) != RequestClass::Approved
    }
}

fn caption(dialect: &Dialect, message: &Message, n: FieldNumber) -> Option<String> {
    match n {
        field::RESPONSE_CODE => dialect.code_captions.get(&*message.text(n)?).cloned(),
        field::POS_ENTRY_MODE => pos_entry_caption(dialect, &message.text(n)?),
        _ => None,
    }
}

/// How card data and cardholder were read, by the last three digits: the 1987 standard's DE 22 has three.
fn pos_entry_caption(dialect: &Dialect, mode: &str) -> Option<String> {
    let (inputs, authentications) = &dialect.pos_entry_captions;
    let mode = mode.get(mode.len().checked_sub(3)?..)?;
    let input = mode.get(..2).and_then(|digits| inputs.get(digits));
    let authentication = mode.get(2..).and_then(|digit| authentications.get(digit));
    let parts = [
        input.map(|caption| format!("Card Data Input Mode: <{caption}>")),
        authentication.map(|caption| format!("Cardholder Auth Method: <{caption}>")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// One line about a message: MTI, terminal, trace number, reference, amount, code. Never card data.
#[derive(Clone, Copy)]
pub struct Summary<'a> {
    dialect: &'a Dialect,
    message: &'a Message,
}

/// One line about `message`, formatted only when it is displayed.
pub fn summary<'a>(dialect: &'a Dialect, message: &'a Message) -> Summary<'a> {
    Summary { dialect, message }
}

impl fmt::Display for Summary<'_> {
    /// `0210 tid=00992468 stan=618160 rrn=347408919250 amount=000000001000 currency=643 code=000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message.mti())?;
        for (name, n) in [
            ("tid", field::TID),
            ("stan", field::STAN),
            ("rrn", field::RRN),
            ("amount", field::AMOUNT),
            ("currency", field::CURRENCY),
            ("code", field::RESPONSE_CODE),
        ] {
            if let Some(value) = self.dialect.shown(self.message, n, MaskStyle::default()) {
                write!(f, " {name}={value}")?;
            }
        }
        Ok(())
    }
}
