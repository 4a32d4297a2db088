//! What is left of an answer when the process that had it is no more: what its journal's record says.

use bytes::Bytes;

use crate::dialect::{Dialect, RequestClass};
use crate::iso8583::{Draft, Mti, field};

/// The elements of a record, as text. No card data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The request's MTI.
    pub mti: String,
    /// DE 3.
    pub processing_code: Option<String>,
    /// DE 4.
    pub amount: Option<String>,
    /// DE 7.
    pub transmission_time: Option<String>,
    /// DE 11.
    pub stan: Option<String>,
    /// DE 12.
    pub local_time: Option<String>,
    /// DE 37.
    pub rrn: Option<String>,
    /// DE 38.
    pub approval_code: Option<String>,
    /// DE 39.
    pub response_code: Option<String>,
    /// DE 41.
    pub tid: Option<String>,
    /// DE 42.
    pub mid: Option<String>,
    /// DE 49.
    pub currency: Option<String>,
}

impl KeptAnswer {
    /// The answer with these elements and no others, and what its code means. `None`: the host's code is not known.
    pub fn restore(&self, dialect: &Dialect) -> Option<(Bytes, RequestClass)> {
        let code = self.response_code.as_deref()?;
        let mti = Mti::parse(self.mti.as_bytes())?.response()?;
        let mut draft = Draft::new(&dialect.schema, mti);
        for (n, value) in [
            (field::PROCESSING_CODE, &self.processing_code),
            (field::AMOUNT, &self.amount),
            (field::TRANSMISSION_TIME, &self.transmission_time),
            (field::STAN, &self.stan),
            (field::LOCAL_TIME, &self.local_time),
            (field::RRN, &self.rrn),
            (field::APPROVAL_CODE, &self.approval_code),
            (field::RESPONSE_CODE, &self.response_code),
            (field::TID, &self.tid),
            (field::MID, &self.mid),
            (field::CURRENCY, &self.currency),
        ] {
            let Some(value) = value.as_deref().filter(|_| dialect.schema.field(n).is_some()) else {
                continue;
            };
            draft.set(n, value.as_bytes()).remove_bad(n);
        }
        let bytes = draft.to_bytes().ok()?;
        Some((bytes, dialect.codes.of_request(Some(code.as_bytes()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iso8583::Message;

    #[test]
    fn what_was_kept_of_an_answer_is_an_answer_again() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        let text = |text: &str| Some(text.to_owned());
        let kept = KeptAnswer {
            mti: "0200".to_owned(),
            amount: text("000000001000"),
            rrn: text("000000000042"),
            response_code: text("000"),
            tid: text("00000001"),
            // Nothing that the field could hold.
            currency: text("hryvnia"),
            ..KeptAnswer::default()
        };
        let (bytes, class) = kept.restore(&dialect).unwrap();
        let message = Message::parse(&dialect.schema, bytes).unwrap();
        assert_eq!((message.mti().to_string(), class), ("0210".to_owned(), RequestClass::Approved));
        assert_eq!(message.text(field::RRN).unwrap(), "000000000042");
        assert_eq!(message.text(field::AMOUNT).unwrap(), "000000001000");
        assert!(!message.has(field::CURRENCY));
        let declined = KeptAnswer { response_code: text("116"), ..kept.clone() };
        assert_eq!(declined.restore(&dialect).unwrap().1, RequestClass::Declined);
        for nothing in [
            KeptAnswer { response_code: None, ..kept.clone() },
            KeptAnswer { mti: "0210".to_owned(), ..kept.clone() },
            KeptAnswer { mti: "sale".to_owned(), ..kept },
        ] {
            assert_eq!(nothing.restore(&dialect), None);
        }
    }
}
