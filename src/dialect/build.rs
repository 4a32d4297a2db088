//! From a document to a [`Dialect`], with every finding about what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::document::{
    CaptionsDocument, CodesDocument, Document, EchoReplyDocument, ExpirationDocument, Key, MaskedDocument,
    Number, OriginalDataDocument, RefusalsDocument, ReversalDocument,
};
use super::fields::{bitmap_form, field_spec, mti_encoding};
use super::lint::Findings;
use super::reversal::{OriginalData, ReversalProfile};
use super::{Codes, Dialect, EchoReply, Expiration, Masked, Obligatory, RefusalCodes};
use crate::iso8583::schema::{Content, Length, Pad, Side};
use crate::iso8583::{Draft, FieldNumber, FieldSpec, Mti, Schema, field};

/// The framing of a dialect that names none.
const DEFAULT_FRAMING: &str = "ascii4";

/// DE 7 as the gateway writes it, `MMDDhhmmss`: what a dialect's DE 7 must be able to hold.
const SAMPLE_TRANSMISSION_TIME: &[u8] = b"1231235959";

/// Builds the dialect that `document` describes. `None` when a finding is fatal.
pub(super) fn build(document: Document, findings: &mut Findings) -> Option<Dialect> {
    let schema = schema(&document, findings);
    let mut builder = Builder { schema: Arc::new(schema), findings };
    if document.name.trim().is_empty() {
        builder.findings.fatal("name", "a dialect has a name");
    }
    builder.default_keys();
    let dialect = Dialect {
        name: document.name.trim().to_owned(),
        framing: document.framing.clone().unwrap_or_else(|| DEFAULT_FRAMING.to_owned()),
        pad_fields: builder.numbers("pad", &document.pad),
        obligatory: builder.obligatory(&document.obligatory),
        expiration: document.expiration.as_ref().and_then(|expiration| builder.expiration(expiration)),
        codes: builder.codes(&document.codes),
        no_money: builder.no_money(&document.no_money),
        echoed: builder.numbers("echoed", &document.echoed),
        reversal: document.reversal.as_ref().and_then(|reversal| builder.reversal(reversal)).map(Arc::new),
        echo_reply: document.echo_reply.as_ref().map(|reply| builder.echo_reply(reply)).unwrap_or_default(),
        refusals: builder.refusals(document.refusals.as_ref()),
        code_captions: builder.code_captions(&document.captions),
        pos_entry_captions: builder.pos_entry_captions(&document.captions),
        masked: builder.masked(&document.masked),
        safe: builder.safe(&document.safe, &document.masked),
        schema: builder.schema,
        document: Arc::new(document),
    };
    (!findings.is_fatal()).then_some(dialect)
}

/// The table of fields, padding included.
fn schema(document: &Document, findings: &mut Findings) -> Schema {
    let mut schema =
        Schema::new(mti_encoding(document.mti.encoding), bitmap_form(&document.bitmap, findings));
    if document.fields.is_empty() {
        findings.fatal("fields", "a dialect has fields");
    }
    for (Key(n), field) in &document.fields {
        let place = format!("fields.{n}");
        match *n {
            field::MTI => findings.fatal(&place, "DE 0 is the MTI: how it is written is said under `mti`"),
            field::BITMAP => {
                findings.fatal(&place, "DE 1 is the bitmap: how it is written is said under `bitmap`")
            }
            n => {
                let Some(spec) = field_spec(field, &place, findings) else { continue };
                schema.set(n, spec);
                if !schema.known().has(n) {
                    findings.fatal(&place, "no message can have this field: the bitmap has no bit for it");
                }
            }
        }
    }
    for (at, Number(n)) in document.pad.iter().enumerate() {
        if let Err(problem) = pad_with_zeros(&mut schema, *n) {
            findings.fatal(format!("pad.{at}"), problem);
        }
    }
    schema
}

/// Has short values of field `n` filled up with zeros on the left. Nothing for MTI and bitmap, which have their length.
fn pad_with_zeros(schema: &mut Schema, n: FieldNumber) -> Result<(), String> {
    // A field that is not there is found by whoever reads the list.
    let Some(spec) = schema.field(n).cloned() else { return Ok(()) };
    let with = match spec.content {
        Content::Binary => 0,
        Content::Letters => return Err(format!("DE {n} has letters only: zeros can't fill it up")),
        Content::Digits | Content::Alphanumeric | Content::Text => b'0',
    };
    if let Length::Variable { .. } = spec.length {
        return Err(format!("DE {n} is of variable length: there is nothing to fill up"));
    }
    schema.set(n, FieldSpec { pad: Some(Pad { side: Side::Left, with }), ..spec });
    Ok(())
}

/// Whether a safe field, whose digits and bytes are not searched, could hold a card number of 16 digits. (One of 15
/// digits could stand in a merchant id of as many, which people need to see.)
fn could_hide_card_number(spec: &FieldSpec) -> bool {
    match spec.content {
        Content::Digits => spec.max() >= 16,
        Content::Binary => spec.max() >= 8,
        Content::Letters | Content::Alphanumeric | Content::Text => false,
    }
}

struct Builder<'a> {
    schema: Arc<Schema>,
    findings: &'a mut Findings,
}

impl Builder<'_> {
    fn has(&self, n: FieldNumber) -> bool {
        n == field::MTI || n == field::BITMAP || self.schema.field(n).is_some()
    }

    fn require(&mut self, place: &str, n: FieldNumber) -> bool {
        let there = self.has(n);
        if !there {
            self.findings.fatal(place, format!("there is no DE {n} in `fields`"));
        }
        there
    }

    fn numbers(&mut self, place: &str, numbers: &[Number]) -> Vec<FieldNumber> {
        let mut seen = BTreeSet::new();
        for (at, Number(n)) in numbers.iter().enumerate() {
            let place = format!("{place}.{at}");
            self.require(&place, *n);
            if !seen.insert(*n) {
                self.findings.fatal(place, format!("DE {n} is there twice"));
            }
        }
        numbers.iter().map(|Number(n)| *n).collect()
    }

    /// Whether field `n` can hold `value`, tried with the codec itself.
    fn holds(&mut self, place: &str, n: FieldNumber, value: &[u8]) -> bool {
        if !self.require(place, n) {
            return false;
        }
        let mut draft = Draft::new(&self.schema, Mti::new(0x0800));
        draft.set(n, value);
        match draft.to_bytes() {
            Ok(_) => true,
            Err(error) => {
                self.findings.fatal(place, error.to_string());
                false
            }
        }
    }

    fn mti(&mut self, place: &str, text: &str) -> Option<Mti> {
        let mti = Mti::parse(text.as_bytes());
        if mti.is_none() {
            self.findings.fatal(place, format!("`{text}` is no MTI: four digits"));
        }
        mti
    }

    /// The default key fields: a dialect without them works only with others configured.
    fn default_keys(&mut self) {
        for n in [field::STAN, field::TID] {
            if !self.has(n) {
                let problem = format!(
                    "there is no DE {n}, by which replies are matched unless queueMessageKeyFields says otherwise"
                );
                self.findings.warning("fields", problem);
            }
        }
    }

    fn obligatory(&mut self, lists: &BTreeMap<String, Vec<Number>>) -> BTreeMap<Mti, Obligatory> {
        let mut obligatory = BTreeMap::new();
        for (text, numbers) in lists {
            let place = format!("obligatory.{text}");
            let numbers = self.numbers(&place, numbers);
            let Some(mti) = self.mti(&place, text) else { continue };
            if !mti.is_request() {
                self.findings.fatal(place, "is no request: only what clients send is checked");
            }
            obligatory.insert(mti, numbers.into());
        }
        obligatory
    }

    fn expiration(&mut self, document: &ExpirationDocument) -> Option<Expiration> {
        let (Some(Number(field)), Some(seconds)) = (document.field, document.seconds) else {
            let key = if document.field.is_none() { "field" } else { "seconds" };
            self.findings.fatal(format!("expiration.{key}"), "is missing");
            return None;
        };
        if self.require("expiration.field", field)
            && self
                .schema
                .field(field)
                .is_some_and(|spec| spec.max() != 12 || spec.content != Content::Digits)
        {
            self.findings
                .fatal("expiration.field", format!("DE {field} does not have 12 digits, YYMMDDhhmmss"));
        }
        if seconds == 0 {
            self.findings.fatal("expiration.seconds", "0 would refuse every request");
        }
        Some(Expiration { field, within: Duration::from_secs(seconds.into()) })
    }

    /// Classes exclude each other; each code fits DE 39.
    fn classes(&mut self, place: &str, classes: &[(&str, &[String])]) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (class, codes) in classes {
            for (at, code) in codes.iter().enumerate() {
                let place = format!("{place}.{class}.{at}");
                self.code(&place, code);
                if let Some(other) = seen.insert(code, class) {
                    let problem = match other == *class {
                        true => format!("`{code}` is there twice"),
                        false => format!("`{code}` is in `{other}` as well"),
                    };
                    self.findings.fatal(place, problem);
                }
            }
        }
        if let Some((class, [])) = classes.first() {
            self.findings
                .fatal(format!("{place}.{class}"), "without a code in it nothing would ever succeed");
        }
    }

    /// Codes are compared with whole values of DE 39: a shorter one would never be met.
    fn code(&mut self, place: &str, code: &str) -> bool {
        if !self.holds(place, field::RESPONSE_CODE, code.as_bytes()) {
            return false;
        }
        match self.schema.field(field::RESPONSE_CODE).map(|spec| spec.length) {
            Some(Length::Fixed(units)) if code.len() != usize::from(units) => {
                self.findings
                    .fatal(place, format!("`{code}` is no response code: DE 39 has {units} characters"));
                false
            }
            _ => true,
        }
    }

    fn codes(&mut self, document: &CodesDocument) -> Codes {
        let CodesDocument { request, reversal } = document;
        self.classes(
            "codes.request",
            &[
                ("approved", &request.approved),
                ("declined", &request.declined),
                ("inDoubt", &request.in_doubt),
            ],
        );
        self.classes(
            "codes.reversal",
            &[
                ("accepted", &reversal.accepted),
                ("notFound", &reversal.not_found),
                ("retry", &reversal.retry),
                ("reject", &reversal.reject),
            ],
        );
        Codes {
            approved: request.approved.clone(),
            declined: request.declined.clone(),
            in_doubt: request.in_doubt.clone(),
            accepted: reversal.accepted.clone(),
            not_found: reversal.not_found.clone(),
            retry: reversal.retry.clone(),
            reject: reversal.reject.clone(),
        }
    }

    fn no_money(&mut self, codes: &[String]) -> Vec<String> {
        if !codes.is_empty() {
            self.require("noMoney", field::PROCESSING_CODE);
        }
        let longest = self.schema.field(field::PROCESSING_CODE).map_or(0, FieldSpec::max);
        for (at, code) in codes.iter().enumerate() {
            let is_digits = code.bytes().all(|byte| byte.is_ascii_digit());
            if code.len() < 2 || code.len() > longest || !is_digits {
                let problem =
                    format!("`{code}` is no processing code: 2 to {longest} leading digits of DE 3");
                self.findings.fatal(format!("noMoney.{at}"), problem);
            }
        }
        codes.to_vec()
    }

    fn reversal(&mut self, document: &ReversalDocument) -> Option<ReversalProfile> {
        let first = self.reversal_mti("reversal.first", &document.first);
        let repeat = match &document.repeat {
            Some(text) => self.reversal_mti("reversal.repeat", text),
            None => first.map(Mti::repeat),
        };
        let response = match &document.response {
            Some(text) => self.mti("reversal.response", text),
            None => first.and_then(Mti::response),
        };
        if response.is_some_and(|mti| !mti.is_response() || !mti.is_reversal()) {
            self.findings.fatal("reversal.response", "does not answer a reversal: 0410 or 0430 would");
        }
        if let (Some(first), Some(repeat)) = (first, repeat)
            && repeat.first() != first.first()
        {
            self.findings.fatal(
                "reversal.repeat",
                format!("is no repeat of {first}: that is {first} or {}", first.repeat()),
            );
        }
        if self.schema.field(field::TRANSMISSION_TIME).is_some() {
            self.holds("reversal", field::TRANSMISSION_TIME, SAMPLE_TRANSMISSION_TIME);
        }
        for (Key(n), value) in &document.set {
            self.holds(&format!("reversal.set.{n}"), *n, value.as_bytes());
        }
        let original_data = match document.original_data {
            None | Some(OriginalDataDocument::Absent) => OriginalData::Absent,
            Some(OriginalDataDocument::De90) => OriginalData::De90,
            Some(OriginalDataDocument::De56) => OriginalData::De56,
        };
        self.original_data(original_data);
        let with_learned_rrn = document.with_learned_rrn.unwrap_or(self.schema.field(field::RRN).is_some());
        if with_learned_rrn {
            self.require("reversal.withLearnedRrn", field::RRN);
        }
        Some(ReversalProfile {
            first: first?,
            repeat: repeat?,
            response: response?,
            clone: document.clone.as_deref().map(|numbers| self.numbers("reversal.clone", numbers)),
            set: document.set.iter().map(|(Key(n), value)| (*n, value.clone())).collect(),
            original_data,
            with_learned_rrn,
        })
    }

    /// The field that they go into, and those that they are made of.
    fn original_data(&mut self, original_data: OriginalData) {
        let place = "reversal.originalData";
        let Some((n, longest)) = original_data.longest() else { return };
        self.holds(place, n, &longest);
        if !self.has(field::STAN) {
            self.findings.fatal(place, "there is no DE 11, whose value the original data elements have");
        }
        for (part, digits) in OriginalData::PARTS {
            if self.schema.field(part).is_some_and(|spec| spec.max() > digits) {
                let problem = format!("DE {part} can be longer than the {digits} digits that it has in them");
                self.findings.fatal(place, problem);
            }
        }
    }

    fn reversal_mti(&mut self, place: &str, text: &str) -> Option<Mti> {
        let mti = self.mti(place, text)?;
        if !mti.is_reversal() || !mti.is_request() {
            self.findings.fatal(place, format!("{mti} is no reversal: 0400 or 0420 would be"));
        }
        Some(mti)
    }

    fn echo_reply(&mut self, document: &EchoReplyDocument) -> EchoReply {
        let drop = self.numbers("echoReply.drop", &document.drop);
        match &document.code {
            Some(code) => {
                self.code("echoReply.code", code);
            }
            None => self.findings.fatal("echoReply.code", "is missing"),
        }
        EchoReply { drop, code: document.code.clone() }
    }

    fn refusals(&mut self, document: Option<&RefusalsDocument>) -> RefusalCodes {
        let Some(document) = document else {
            self.findings.fatal("refusals", "is missing");
            return RefusalCodes::default();
        };
        let RefusalsDocument { invalid, duplicate, timeout, unavailable } = document.clone();
        for (key, code) in [
            ("invalid", &invalid),
            ("duplicate", &duplicate),
            ("timeout", &timeout),
            ("unavailable", &unavailable),
        ] {
            let place = format!("refusals.{key}");
            if code.is_empty() {
                self.findings.fatal(place, "is missing");
            } else {
                self.code(&place, code);
            }
        }
        RefusalCodes { invalid, duplicate, timeout, unavailable }
    }

    fn code_captions(&mut self, document: &CaptionsDocument) -> BTreeMap<String, String> {
        for code in document.codes.keys() {
            self.code(&format!("captions.codes.{code}"), code);
        }
        document.codes.clone()
    }

    fn pos_entry_captions(
        &mut self,
        document: &CaptionsDocument,
    ) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let modes = &document.pos_entry;
        for (key, captions, digits) in
            [("input", &modes.input, 2), ("authentication", &modes.authentication, 1)]
        {
            let place = format!("captions.posEntry.{key}");
            if !captions.is_empty() {
                self.require(&place, field::POS_ENTRY_MODE);
            }
            for mode in captions.keys() {
                if mode.len() != digits || !mode.bytes().all(|byte| byte.is_ascii_digit()) {
                    self.findings
                        .fatal(format!("{place}.{mode}"), format!("must be {digits} digits of DE 22"));
                }
            }
        }
        (modes.input.clone(), modes.authentication.clone())
    }

    /// What the document lists, and what the standard says is card data.
    fn masked(&mut self, document: &BTreeMap<Key, MaskedDocument>) -> BTreeMap<FieldNumber, Masked> {
        let standard = Masked::BY_STANDARD.into_iter().filter(|(n, _)| self.schema.field(*n).is_some());
        let mut masked: BTreeMap<FieldNumber, Masked> = standard.collect();
        for (Key(n), how) in document {
            self.require(&format!("masked.{n}"), *n);
            let how = match how {
                MaskedDocument::Pan => Masked::Pan,
                MaskedDocument::Track => Masked::Track,
                MaskedDocument::Secret => Masked::Secret,
                MaskedDocument::Icc => Masked::Icc,
            };
            masked.insert(*n, how);
        }
        masked
    }

    fn safe(&mut self, numbers: &[Number], masked: &BTreeMap<Key, MaskedDocument>) -> Vec<FieldNumber> {
        for (at, Number(n)) in numbers.iter().enumerate() {
            let place = format!("safe.{at}");
            if Masked::BY_STANDARD.iter().any(|(card_data, _)| card_data == n) {
                self.findings.fatal(place, format!("DE {n} is card data and can't be shown as it is"));
            } else if masked.contains_key(&Key(*n)) {
                self.findings.fatal(place, format!("DE {n} is in `masked` as well"));
            } else if self.schema.field(*n).is_some_and(could_hide_card_number) {
                let problem =
                    format!("DE {n} could hold a card number unseen: left out here, it is searched for one");
                self.findings.fatal(place, problem);
            }
        }
        self.numbers("safe", numbers)
    }
}
