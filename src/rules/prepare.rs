//! The rules for what clients send.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::key::{KeyFields, MatchKey, Tid};
use super::{MakeGood, Request};
use crate::dialect::{Dialect, Expiration, Obligatory};
use crate::iso8583::{BuildError, Draft, FieldNumber, Message, Mti, ParseError, Schema, field};
use crate::time::{Civil, Now};

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, if it is about one.
    pub field: Option<FieldNumber>,
    /// The rule, in words, with limit and the value's length, never the value (`No field 41`, `Field 4 expected to be numeric`).
    pub problem: String,
    /// Which rule it is.
    pub rule: Rule,
    /// The bound that was broken, where the rule has one: characters, digits or bytes; seconds for [`Rule::Age`].
    pub limit: Option<u64>,
}

/// The kinds of rules that a request can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// An obligatory field is missing.
    Required,
    /// A key field is missing.
    KeyField,
    /// There is a message type, and it is a request's.
    MessageType,
    /// No such field.
    Unknown,
    /// A field is given twice.
    Once,
    /// A value is no string or whole number.
    JsonType,
    /// Digits only.
    Digits,
    /// A character that the field may not have.
    Characters,
    /// Hex, an even number of digits.
    Hex,
    /// Too long.
    MaxLength,
    /// Too short.
    MinLength,
    /// A moment of the calendar.
    Moment,
    /// Its local time is too far from ours.
    Age,
    /// The message as a whole.
    Message,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 14] = [
        Rule::Required,
        Rule::KeyField,
        Rule::MessageType,
        Rule::Unknown,
        Rule::Once,
        Rule::JsonType,
        Rule::Digits,
        Rule::Characters,
        Rule::Hex,
        Rule::MaxLength,
        Rule::MinLength,
        Rule::Moment,
        Rule::Age,
        Rule::Message,
    ];

    /// Its name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Required => "required",
            Rule::KeyField => "key_field",
            Rule::MessageType => "message_type",
            Rule::Unknown => "unknown_field",
            Rule::Once => "once",
            Rule::JsonType => "json_type",
            Rule::Digits => "digits",
            Rule::Characters => "characters",
            Rule::Hex => "hex",
            Rule::MaxLength => "max_length",
            Rule::MinLength => "min_length",
            Rule::Moment => "moment",
            Rule::Age => "age",
            Rule::Message => "message",
        }
    }

    /// The rule that a value broke, and its bound.
    pub(super) fn of(error: &BuildError) -> (Rule, Option<u64>) {
        let bound = |bound: usize| Some(bound as u64);
        match error {
            BuildError::UnknownField { .. } => (Rule::Unknown, None),
            BuildError::TooLong { max, .. } => (Rule::MaxLength, bound(*max)),
            BuildError::NumberTooBig { bytes, .. } => (Rule::MaxLength, bound(*bytes)),
            BuildError::TooShort { expected, .. } => (Rule::MinLength, bound(*expected)),
            BuildError::BadDigit { .. } => (Rule::Digits, None),
            BuildError::BadCharacter { .. } => (Rule::Characters, None),
            BuildError::BadHex { .. } | BuildError::OddHex { .. } => (Rule::Hex, None),
            BuildError::BadMti => (Rule::MessageType, None),
            _ => (Rule::Message, None),
        }
    }
}

/// Everything that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.violations))]
pub struct Invalid {
    /// All violations, presence first, then content.
    pub violations: Vec<Violation>,
    /// Whether the only trouble is its age.
    pub expired: bool,
}

pub(super) fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| violation.problem.as_str()).collect::<Vec<_>>().join("; ")
}

/// Checks a client's message and makes it a [`Request`]. Its bytes stay as they are.
///
/// The rules: the MTI is a request's; the dialect's obligatory fields for it are there, those of 0200 for a 0201 too;
/// so are the key fields; the local time is near `now`, if the dialect wants that. That digits are digits has been
/// proved by parsing.
///
/// A reversal, an advice and a repeat do not expire: they report what happened before, and refusing one would leave
/// money in doubt.
///
/// # Errors
/// All violations at once, those about presence first, in the order of the dialect's list.
pub fn prepare(dialect: &Dialect, keys: &KeyFields, message: Message, now: Now) -> Result<Request, Invalid> {
    let mut request = unchecked(message);
    check(dialect, keys, &mut request, now)?;
    Ok(request)
}

/// What is to become a request, without what [`check`] finds.
#[inline]
fn unchecked(message: Message) -> Request {
    Request { message, key: MatchKey::empty(), tid: None, make_good: MakeGood::Nothing }
}

/// A client's message before the rules were held against it, in the place that it will have as a [`Request`]: it is large,
/// and so it is read where it stays.
pub struct Unchecked(Arc<Request>);

impl Unchecked {
    /// Reads a message as [`Message::parse`] does.
    ///
    /// # Errors
    /// Those of [`Message::parse`], with the bytes.
    pub fn read(schema: &Arc<Schema>, raw: Bytes) -> Result<Unchecked, (ParseError, Bytes)> {
        let mut request = Arc::new(unchecked(Message::unread(schema, raw)));
        // Nobody else has it yet.
        match Arc::make_mut(&mut request).message.read() {
            Ok(()) => Ok(Unchecked(request)),
            Err(error) => Err((error, request.message.raw().clone())),
        }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.0.message
    }

    /// Holds the rules against it: see [`prepare`].
    ///
    /// # Errors
    /// As [`prepare`].
    pub fn check(mut self, dialect: &Dialect, keys: &KeyFields, now: Now) -> Result<Arc<Request>, Invalid> {
        check(dialect, keys, Arc::make_mut(&mut self.0), now)?;
        Ok(self.0)
    }
}

/// Holds the rules against a message, and finds what makes it a request.
fn check(dialect: &Dialect, keys: &KeyFields, request: &mut Request, now: Now) -> Result<(), Invalid> {
    let message = &request.message;
    let mut checks = Checks { violations: Vec::new(), expired: 0 };
    checks.mti(message.mti());
    // Nearly all have what they must have, and that is told at one glance.
    let obligatory = obligatory(dialect, message.mti());
    if !obligatory.is_none_or(|obligatory| message.bitmap().has_all(&obligatory.set))
        || !keys.0.iter().all(|n| message.has(*n))
    {
        checks.presence(dialect, keys, message.mti(), |n| message.has(n));
    }
    checks.age(dialect, message.mti(), now, |n| message.value(n));
    match MatchKey::of(message, keys) {
        Some(key) if checks.violations.is_empty() => request.key = key,
        _ => return Err(checks.into_invalid()),
    }
    request.tid = Tid::of(message);
    request.make_good = MakeGood::of(dialect, message);
    Ok(())
}

/// The same for a message given as values (JSON): short values of the dialect's pad fields have been filled up by the
/// draft, too long ones are never cut.
///
/// # Errors
/// As [`prepare`], with the violations by what the values are (`Field 4 expected to be numeric`) after those about presence.
pub fn prepare_draft(
    dialect: &Dialect,
    keys: &KeyFields,
    draft: Draft,
    now: Now,
) -> Result<Request, Invalid> {
    let refused = match draft.finish() {
        Ok(message) => return prepare(dialect, keys, message, now),
        Err(refused) => refused,
    };
    let errors = draft.errors();
    let mut checks = Checks { violations: Vec::new(), expired: 0 };
    checks.mti(draft.mti());
    // A field set to nothing is a missing one.
    let has = |n| draft.has(n) && draft.value(n).is_some_and(|value| !value.is_empty());
    checks.presence(dialect, keys, draft.mti(), has);
    for (n, error) in &errors {
        let is_reported = checks.violations.iter().any(|violation| violation.field == Some(*n));
        if !is_reported {
            let (rule, limit) = Rule::of(error);
            checks.add(Some(*n), rule, limit, in_words(*n, error));
        }
    }
    checks.age(dialect, draft.mti(), now, |n| {
        let is_sound = errors.iter().all(|(bad, _)| *bad != n);
        draft.value(n).filter(|_| is_sound)
    });
    if checks.violations.is_empty() {
        checks.add(None, Rule::Message, None, capitalized(&refused.to_string()));
    }
    Err(checks.into_invalid())
}

/// What a request must have: those of 0200 for a 0201 too.
fn obligatory(dialect: &Dialect, mti: Mti) -> Option<&Obligatory> {
    dialect.obligatory.get(&mti).or_else(|| dialect.obligatory.get(&mti.first()))
}

/// Violations being collected.
struct Checks {
    violations: Vec<Violation>,
    /// How many of them are about the message's age.
    expired: usize,
}

impl Checks {
    fn add(&mut self, field: Option<FieldNumber>, rule: Rule, limit: Option<u64>, problem: String) {
        self.violations.push(Violation { field, problem, rule, limit });
    }

    fn into_invalid(self) -> Invalid {
        let expired = self.expired > 0 && self.violations.len() == self.expired;
        Invalid { violations: self.violations, expired }
    }

    #[inline]
    fn mti(&mut self, mti: Mti) {
        if !is_taken(mti) {
            let problem = format!("Field 0 is {mti}, which is no request");
            self.add(Some(field::MTI), Rule::MessageType, None, problem);
        }
    }

    fn presence(&mut self, dialect: &Dialect, keys: &KeyFields, mti: Mti, has: impl Fn(FieldNumber) -> bool) {
        // What is always there: the MTI, and the bitmap, which is made from the fields.
        let has = |n: FieldNumber| has(n) || n == field::MTI || n == field::BITMAP;
        let obligatory = obligatory(dialect, mti).map_or(&[][..], |list| &list[..]);
        for n in obligatory.iter().filter(|n| !has(**n)) {
            self.add(Some(*n), Rule::Required, None, format!("No field {n}"));
        }
        for n in keys.0.iter().filter(|n| !has(**n) && !obligatory.contains(n)) {
            let problem = format!("No field {n}: it is a key field, without which no reply can be matched");
            self.add(Some(*n), Rule::KeyField, None, problem);
        }
    }

    fn age<'m>(
        &mut self,
        dialect: &Dialect,
        mti: Mti,
        now: Now,
        value: impl Fn(FieldNumber) -> Option<Cow<'m, [u8]>>,
    ) {
        let Some(Expiration { field, within }) = dialect.expiration else { return };
        if mti.is_reversal() || mti.is_advice() || mti.is_repeat() {
            return;
        }
        let Some(value) = value(field) else { return };
        let Some(said) = Civil::parse_yymmddhhmmss(&value) else {
            let problem = format!("Field {field} is no moment of the calendar, YYMMDDhhmmss");
            return self.add(Some(field), Rule::Moment, None, problem);
        };
        let here = now.wall_ms + i64::from(now.offset_s) * 1000;
        let apart = said.to_seconds().saturating_mul(1000).abs_diff(here);
        if u128::from(apart) > within.as_millis() {
            self.expired += 1;
            let problem = format!(
                "Packet is expired! Field {field} says {said}, here it is {}: {} s apart, at most {} are allowed. \
                 If that is about a whole number of hours, the timezone here is not the terminals'",
                now.local(),
                apart.div_ceil(1000),
                within.as_secs(),
            );
            self.add(Some(field), Rule::Age, Some(within.as_secs()), problem);
        }
    }
}

/// Whether a message of this type is taken from a client: a request or advice of the standard. Not taken are
/// responses, notifications, and what the standard reserves: versions 3 to 7, classes 0 and 9, origins 6 to 9.
fn is_taken(mti: Mti) -> bool {
    mti.is_request()
        && matches!(mti.version(), 0..=2 | 8 | 9)
        && matches!(mti.class(), 1..=8)
        && mti.origin() <= 5
}

fn in_words(n: FieldNumber, error: &BuildError) -> String {
    match error {
        BuildError::BadDigit { .. } => format!("Field {n} expected to be numeric"),
        error => capitalized(&error.to_string()),
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
