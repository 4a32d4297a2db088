//! What the books look at in a message.

use super::accounts::Pan;
use super::sales::{Label, Name};
use crate::dialect::Dialect;
use crate::iso8583::{FieldNumber, Message, Mti, field};

/// What a message asks of the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// x10x, x20x: authorization or sale.
    Sale,
    /// x12x, x22x: what already happened.
    Advice,
    /// x4xx.
    Reversal,
    /// x8xx.
    Network,
    /// Responses, notifications and classes that this bank has no business with: no answer.
    Other,
}

/// How a reversal names its original, besides by RRN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Original {
    /// By its own TID, STAN and DE 12, which are the original's.
    Own,
    /// DE 90: the original's STAN, and DE 7 as the time.
    SentAt(u32, Label<12>),
    /// DE 56: the original's STAN, and DE 12 as the time.
    LocalTime(u32, Label<12>),
}

/// What the books look at in a message: values only, as the dialect's canonical text has them.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Message type.
    pub mti: Mti,
    /// What it asks.
    pub kind: Kind,
    /// What is wrong with it, if something is: it is then answered as a broken message and not booked.
    pub is_broken: bool,
    /// DE 41; NULs when there is none.
    pub tid: Label<16>,
    /// DE 11.
    pub stan: Option<u32>,
    /// DE 12; NULs when there is none.
    pub local_time: Label<12>,
    /// DE 7; NULs when there is none.
    pub sent_at: Label<12>,
    /// DE 4.
    pub amount: Option<u64>,
    /// The card: DE 2, or track 2 up to its separator.
    pub pan: Option<Pan>,
    /// DE 37, if it is a number.
    pub rrn: Option<u64>,
    /// How a reversal names its original.
    pub original: Original,
    /// Processing code 20xxxx: money goes back to the card.
    pub is_refund: bool,
    /// A processing code that the dialect lists as moving no money.
    pub is_inquiry: bool,
}

impl Facts {
    /// Reads a message. `is_cut`: bytes of it could not be read as fields.
    pub fn of(dialect: &Dialect, message: &Message, is_cut: bool) -> Facts {
        let mti = message.mti();
        let kind = Kind::of(mti);
        let tid = message.text(field::TID);
        let stan = message.text(field::STAN);
        let mut facts = Facts {
            mti,
            kind,
            is_broken: is_cut,
            tid: tid.as_deref().and_then(label).unwrap_or_default(),
            stan: stan.as_deref().and_then(number).and_then(|stan| stan.try_into().ok()),
            local_time: [0; 12],
            sent_at: [0; 12],
            amount: None,
            pan: None,
            rrn: None,
            original: Original::Own,
            is_refund: false,
            is_inquiry: false,
        };
        if !matches!(kind, Kind::Sale | Kind::Advice | Kind::Reversal) {
            return facts;
        }
        let is_odd = |text: &Option<_>, is_read: bool| text.is_some() && !is_read;
        let amount = message.text(field::AMOUNT);
        facts.amount = amount.as_deref().and_then(number);
        facts.is_broken |= is_odd(&tid, facts.tid != [0; 16])
            || is_odd(&stan, facts.stan.is_some())
            || is_odd(&amount, facts.amount.is_some())
            || lacks_obligatory(dialect, message);
        facts.local_time = message.text(field::LOCAL_TIME).and_then(|text| label(&text)).unwrap_or_default();
        facts.sent_at =
            message.text(field::TRANSMISSION_TIME).and_then(|text| label(&text)).unwrap_or_default();
        facts.pan = pan_of(message);
        facts.rrn = message.text(field::RRN).and_then(|text| number(text.trim()));
        if let Some(code) = message.text(field::PROCESSING_CODE) {
            facts.is_refund = code.starts_with("20");
            facts.is_inquiry =
                dialect.no_money.iter().any(|listed| !listed.is_empty() && code.starts_with(&**listed));
        }
        if kind == Kind::Reversal {
            facts.original = original_of(dialect, message);
        }
        facts
    }

    /// What its terminal calls it; `None` without a STAN.
    pub fn name(&self) -> Option<Name> {
        let is_advice = self.kind == Kind::Advice;
        Some(Name { tid: self.tid, stan: self.stan?, time: self.local_time, is_advice })
    }

    /// What a reversal's original would be called, by each way that the reversal names it: the name, and whether its
    /// time is DE 7. The first that is known holds.
    pub fn original_names(&self) -> impl Iterator<Item = (Name, bool)> + use<> {
        let tid = self.tid;
        let name = move |stan, time, is_advice| Name { tid, stan, time, is_advice };
        let own = self.stan.map(|stan| (stan, self.local_time, false));
        let pointed = match self.original {
            Original::Own => None,
            Original::SentAt(stan, time) => Some((stan, time, true)),
            Original::LocalTime(stan, time) => Some((stan, time, false)),
        };
        let names = pointed.or(own);
        names.into_iter().flat_map(move |(stan, time, by_sent_at)| {
            [false, true].map(|is_advice| (name(stan, time, is_advice), by_sent_at))
        })
    }
}

impl Kind {
    /// What a message of that type asks.
    pub fn of(mti: Mti) -> Kind {
        match (mti.class(), mti.function()) {
            (1 | 2, 0) => Kind::Sale,
            (1 | 2, 2) => Kind::Advice,
            (4, 0 | 2) => Kind::Reversal,
            (8, 0 | 2) => Kind::Network,
            _ => Kind::Other,
        }
    }
}

fn lacks_obligatory(dialect: &Dialect, message: &Message) -> bool {
    let listed = dialect.obligatory.get(&message.mti().first());
    let is_missing = |&n: &FieldNumber| n > field::BITMAP && !message.has(n);
    listed.is_some_and(|fields| fields.iter().any(is_missing))
}

fn pan_of(message: &Message) -> Option<Pan> {
    if let Some(pan) = message.text(field::PAN) {
        return Pan::of_digits(&pan);
    }
    Pan::of_track_2(&message.text(field::TRACK_2)?)
}

fn original_of(dialect: &Dialect, message: &Message) -> Original {
    // DE 90: MTI 4, STAN 6, DE 7 10, acquirer 11, forwarder 11 (ISO 8583:1987, `OriginalData::De90`); zeros
    // where a part is unknown.
    if let Some(text) = message.text(field::ORIGINAL_DATA_87) {
        let part = |from: usize, to: usize| {
            text.as_bytes().get(from..to).filter(|part| part.iter().any(|&b| b != b'0'))
        };
        if let (Some(stan), Some(time)) = (part(4, 10).and_then(digits), part(10, 20).and_then(label_of)) {
            return Original::SentAt(stan, time);
        }
    }
    // DE 56: MTI 4, STAN 6, DE 12 12, acquirer LLVAR ..11 (ISO 8583:1993, `OriginalData::De56`).
    if let Some(text) = message.text(field::ORIGINAL_DATA_93) {
        let part = |from: usize, to: usize| {
            text.as_bytes().get(from..to).filter(|part| part.iter().any(|&b| b != b'0'))
        };
        // A dialect whose DE 12 is hhmmss has only the end of that time.
        let is_short = dialect.schema.field(field::LOCAL_TIME).is_some_and(|spec| spec.max() <= 6);
        let time = part(if is_short { 16 } else { 10 }, 22);
        if let (Some(stan), Some(time)) = (part(4, 10).and_then(digits), time.and_then(label_of)) {
            return Original::LocalTime(stan, time);
        }
    }
    Original::Own
}

fn digits(bytes: &[u8]) -> Option<u32> {
    number(std::str::from_utf8(bytes).ok()?)?.try_into().ok()
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn label<const N: usize>(text: &str) -> Option<Label<N>> {
    label_of(text.as_bytes())
}

/// `None` when the text is empty or does not fit.
fn label_of<const N: usize>(bytes: &[u8]) -> Option<Label<N>> {
    let mut label = [0; N];
    label.get_mut(..bytes.len())?.copy_from_slice(bytes);
    (!bytes.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::iso8583::Draft;

    /// smartVista with DE 56 and 90, which it lacks, as texts with a length.
    fn dialect(local_time: Option<FieldNumber>) -> Dialect {
        let mut dialect = (*Dialect::builtin("smartVista").unwrap()).clone();
        let mut schema = (*dialect.schema).clone();
        let text = schema.field(FieldNumber::new(62).unwrap()).unwrap().clone();
        schema.set(field::ORIGINAL_DATA_93, text.clone());
        schema.set(field::ORIGINAL_DATA_87, text);
        if let Some(like) = local_time {
            let spec = schema.field(like).unwrap().clone();
            schema.set(field::LOCAL_TIME, spec);
        }
        dialect.schema = Arc::new(schema);
        dialect.no_money = vec!["31".into()];
        dialect
    }

    fn facts(dialect: &Dialect, mti: u16, fields: &[(u16, &str)]) -> Facts {
        let mut draft = Draft::new(&dialect.schema, Mti::new(mti));
        for &(n, text) in fields {
            draft.set_text(FieldNumber::new(n).unwrap(), text);
        }
        Facts::of(dialect, &draft.finish().unwrap(), false)
    }

    const TRACK: &str = "4850781234567891=19082012232800000037";

    #[test]
    fn the_kind_of_a_message_is_its_class_and_function() {
        for (kind, mtis) in [
            (Kind::Sale, &[0x0100, 0x0101, 0x0200, 0x0201, 0x1200][..]),
            (Kind::Advice, &[0x0120, 0x0121, 0x0220, 0x0221]),
            (Kind::Reversal, &[0x0400, 0x0401, 0x0420, 0x0421]),
            (Kind::Network, &[0x0800, 0x0801, 0x1804, 0x0820]),
            (Kind::Other, &[0x0110, 0x0210, 0x0230, 0x0240, 0x0410, 0x0810, 0x0300, 0x0500]),
        ] {
            for &mti in mtis {
                assert_eq!(Kind::of(Mti::new(mti)), kind, "{mti:04x}");
            }
        }
    }

    #[test]
    fn the_card_is_that_of_de_2_or_of_track_2() {
        let dialect = dialect(None);
        let pan = |fields: &[(u16, &str)]| facts(&dialect, 0x0100, fields).pan.map(Pan::expose);
        assert_eq!(pan(&[(35, TRACK)]).as_deref(), Some("4850781234567891"));
        assert_eq!(pan(&[(2, "4850781234567892"), (35, TRACK)]).as_deref(), Some("4850781234567892"));
        assert_eq!(pan(&[(35, "no digits at all=")]), None);
        assert_eq!(pan(&[(11, "000001")]), None);
    }

    #[test]
    fn an_element_that_the_dialect_wants_and_the_message_lacks_makes_it_broken() {
        let dialect = dialect(None);
        // Obligatory in a 0200 of smartVista: 3, 4, 7, 11, 12, 22, 24, 25, 41, 42, 49.
        let whole = [
            (3, "000000"),
            (4, "000000000040"),
            (7, "1122032633"),
            (11, "000001"),
            (12, "261122032633"),
            (22, "056"),
            (24, "200"),
            (25, "00"),
            (41, "00000001"),
            (42, "000124642124643"),
            (49, "810"),
        ];
        assert!(!facts(&dialect, 0x0200, &whole).is_broken);
        for at in 0..whole.len() {
            let mut lacking = whole.to_vec();
            let (n, _) = lacking.remove(at);
            assert!(facts(&dialect, 0x0200, &lacking).is_broken, "without DE {n}");
            assert!(facts(&dialect, 0x0201, &lacking).is_broken, "a repeat without DE {n}");
            assert!(!facts(&dialect, 0x0100, &lacking).is_broken, "an 0100 without DE {n}");
        }
    }

    #[test]
    fn a_refund_and_an_inquiry_are_told_by_their_processing_code() {
        let dialect = dialect(None);
        for (code, is_refund, is_inquiry) in
            [("200000", true, false), ("310000", false, true), ("002000", false, false)]
        {
            let facts = facts(&dialect, 0x0100, &[(3, code)]);
            assert_eq!((facts.is_refund, facts.is_inquiry), (is_refund, is_inquiry), "{code}");
        }
    }

    #[test]
    fn a_reversal_points_at_its_original_by_de_90_or_56() {
        // DE 90: MTI, STAN, DE 7, DE 32, DE 33. DE 56: MTI, STAN, DE 12, length and DE 32.
        let de_90 = "020000000711220326330000000000100000000002";
        let de_56 = "020000000726112203263300";
        let long = dialect(None);
        let short = dialect(Some(FieldNumber::new(3).unwrap()));
        let original =
            |dialect: &Dialect, n, text| facts(dialect, 0x0420, &[(n, text), (11, "000009")]).original;
        assert_eq!(original(&long, 90, de_90), Original::SentAt(7, *b"1122032633\0\0"));
        assert_eq!(original(&long, 56, de_56), Original::LocalTime(7, *b"261122032633"));
        assert_eq!(original(&short, 56, de_56), Original::LocalTime(7, *b"032633\0\0\0\0\0\0"));
        for unusable in ["0200", "020000000000000000000000000000000000000000", "0200xx000711220326330000"] {
            assert_eq!(original(&long, 90, unusable), Original::Own, "{unusable}");
            assert_eq!(original(&long, 56, unusable), Original::Own, "{unusable}");
        }
    }
}
