//! The JSON document of a dialect, as it is written: the serde model and its JSON Schema.
//!
//! Nothing is checked here but names and JSON types; what the values mean, and whether they agree with each other, is for
//! [`super::build`]. Every key may be missing as far as serde is concerned, so that one missing key does not hide the
//! other findings; the JSON Schema says which are required.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use super::number::{Key, Number};

/// A dialect document.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "socketqueue dialect")]
#[schemars(extend("required" = ["name", "fields", "codes", "refusals"]))]
pub(super) struct Document {
    /// Where the schema of this document is; for editors, ignored here.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "only there so that it is no unknown key")]
    pub schema: Option<String>,
    /// The name of the dialect.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What it is, and where it comes from.
    #[allow(dead_code, reason = "for readers of the document")]
    pub description: Option<String>,
    /// The framing of its hosts' links: a preset name (`ascii4`, `bin2`) or the framing DSL. Left out: `ascii4`.
    pub framing: Option<String>,
    /// How the MTI is written.
    pub mti: MtiDocument,
    /// How the bitmap is written.
    pub bitmap: BitmapDocument,
    /// The data elements, by number.
    pub fields: BTreeMap<Key, FieldDocument>,
    /// Elements that are filled up with zeros on the left before they are checked.
    pub pad: Vec<Number>,
    /// Elements that a request must have, by MTI.
    pub obligatory: BTreeMap<String, Vec<Number>>,
    /// Refuses requests whose local time is too far from now.
    pub expiration: Option<ExpirationDocument>,
    /// What the response codes mean.
    pub codes: CodesDocument,
    /// Processing codes (DE 3), or their leading digits, of requests that move no money: nothing is owed for them.
    pub no_money: Vec<String>,
    /// Elements that a response echoes: it answers a request only if they agree, where both have them.
    pub echoed: Vec<Number>,
    /// How the gateway reverses a request. Left out: the host takes no reversals.
    pub reversal: Option<ReversalDocument>,
    /// How the host's own network management requests are answered. Left out: not at all.
    pub echo_reply: Option<EchoReplyDocument>,
    /// Response codes of requests that the gateway itself refuses.
    pub refusals: Option<RefusalsDocument>,
    /// Words for values, for logs.
    pub captions: CaptionsDocument,
    /// How card data is masked, by element. What is listed neither here nor as safe is searched for card numbers.
    pub masked: BTreeMap<Key, MaskedDocument>,
    /// Elements that are shown as they are.
    pub safe: Vec<Number>,
}

/// How the MTI is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct MtiDocument {
    /// Its encoding. Left out: `ascii`.
    pub encoding: Option<MtiEncoding>,
}

/// An encoding of the MTI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum MtiEncoding {
    /// Four ASCII digits.
    Ascii,
    /// Four EBCDIC digits.
    Ebcdic,
    /// Two bytes of packed digits.
    Bcd,
}

/// How the bitmap is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BitmapDocument {
    /// As bytes or as hexadecimal characters. Left out: `binary`.
    pub form: Option<BitmapForm>,
    /// How many groups of 64 bits there can be: 1 (a fixed primary bitmap), 2 or 3. Left out: 2.
    #[schemars(range(min = 1, max = 3))]
    pub groups: Option<u8>,
    /// Where the third group stands. Left out: `contiguous`.
    pub tertiary: Option<TertiaryDocument>,
}

/// A form of the bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum BitmapForm {
    /// 8 bytes a group.
    Binary,
    /// 16 hexadecimal characters a group.
    Hex,
}

/// Where a tertiary bitmap stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TertiaryDocument {
    /// Right after the secondary, announced by bit 65.
    Contiguous,
    /// As the content of DE 65.
    Field65,
}

/// A data element: either a `type` of SocketQueue with its length, or the encoding spelled out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["name", "length"]))]
pub(super) struct FieldDocument {
    /// Its name.
    pub name: String,
    /// Anything worth saying about it.
    #[allow(dead_code, reason = "for readers of the document")]
    pub description: Option<String>,
    /// SocketQueue's type. Excludes `content`, `encoding`, `prefix`, `counts`, `odd` and `pad`.
    #[serde(rename = "type")]
    pub type_name: Option<TypeName>,
    /// Its length, the most that it may be if it has a prefix: digits, characters or bytes; bytes for the types `b` and
    /// `b-hex`.
    #[schemars(range(min = 1, max = 9999))]
    pub length: Option<u16>,
    /// What it may hold.
    pub content: Option<ContentDocument>,
    /// How its units become bytes.
    pub encoding: Option<EncodingDocument>,
    /// Its length prefix. Left out: the field is of fixed length.
    pub prefix: Option<PrefixDocument>,
    /// What the length prefix counts. Left out: `units`.
    pub counts: Option<CountsDocument>,
    /// How an odd number of packed digits is filled up. Left out: zero on the left.
    pub odd: Option<OddDocument>,
    /// How a short value of a fixed field is filled up. Left out: it must be exact.
    pub pad: Option<PadDocument>,
}

/// SocketQueue's field types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TypeName {
    /// Digits as characters, of fixed length, filled up with zeros on the left.
    N,
    /// Letters, of fixed length.
    A,
    /// Letters and digits, of fixed length, filled up with zeros on the left.
    An,
    /// Printable characters, of fixed length, filled up with spaces on the left.
    Ans,
    /// Digits as characters after a length of 2 or 3 digits.
    LlN,
    /// Characters after a length of 2 or 3 digits.
    LlAn,
    /// Bytes after a length in packed digits.
    LlB,
    /// Bytes, of fixed length.
    B,
    /// A number, binary and big-endian.
    BHex,
    /// Bytes after a byte count in packed digits.
    LlBinAn,
    /// Packed digits after a digit count in packed digits.
    LlBinHn,
    /// Digits as characters after a byte count in packed digits.
    LlBinN,
    /// Characters after a byte count in packed digits.
    LlBinChar,
}

impl TypeName {
    /// All of them.
    pub const ALL: [TypeName; 13] = [
        TypeName::N,
        TypeName::A,
        TypeName::An,
        TypeName::Ans,
        TypeName::LlN,
        TypeName::LlAn,
        TypeName::LlB,
        TypeName::B,
        TypeName::BHex,
        TypeName::LlBinAn,
        TypeName::LlBinHn,
        TypeName::LlBinN,
        TypeName::LlBinChar,
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            TypeName::N => "n",
            TypeName::A => "a",
            TypeName::An => "an",
            TypeName::Ans => "ans",
            TypeName::LlN => "ll-n",
            TypeName::LlAn => "ll-an",
            TypeName::LlB => "ll-b",
            TypeName::B => "b",
            TypeName::BHex => "b-hex",
            TypeName::LlBinAn => "ll-bin-an",
            TypeName::LlBinHn => "ll-bin-hn",
            TypeName::LlBinN => "ll-bin-n",
            TypeName::LlBinChar => "ll-bin-char",
        }
    }
}

/// What a field may hold: the attribute letters of ISO 8583-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ContentDocument {
    /// Digits.
    N,
    /// Letters.
    A,
    /// Letters and digits.
    An,
    /// Printable characters.
    Ans,
    /// Bytes.
    B,
}

/// How units become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum EncodingDocument {
    /// One ASCII character a unit.
    Ascii,
    /// One EBCDIC character a unit.
    Ebcdic,
    /// Two digits a byte.
    Bcd,
    /// Bytes as they are.
    Binary,
    /// Two hexadecimal characters a byte.
    Hex,
    /// An unsigned binary number, big-endian; its value is decimal digits.
    BigEndian,
}

/// A length prefix.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["form", "size"]))]
pub(super) struct PrefixDocument {
    /// How the count is written.
    pub form: Option<PrefixForm>,
    /// How long it is: 1–4 digits as characters; 1 or 2 bytes in packed digits or binary.
    #[schemars(range(min = 1, max = 4))]
    pub size: Option<u8>,
}

/// How a length prefix is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PrefixForm {
    /// Decimal digits in the field's character set.
    Characters,
    /// Packed digits.
    Bcd,
    /// A binary number, big-endian.
    Binary,
}

/// What a length prefix counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum CountsDocument {
    /// Digits, characters, or bytes of a binary value.
    Units,
    /// Bytes on the wire.
    Bytes,
}

/// How an odd number of packed digits is filled up.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct OddDocument {
    /// On which side. Left out: `left`.
    pub side: Option<SideDocument>,
    /// The filling nibble. Left out: `0`.
    pub nibble: Option<NibbleDocument>,
}

/// A side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SideDocument {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// A filling nibble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum NibbleDocument {
    /// 0.
    #[serde(rename = "0")]
    Zero,
    /// F.
    #[serde(rename = "f", alias = "F")]
    F,
}

/// How a short value is filled up.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["with"]))]
pub(super) struct PadDocument {
    /// On which side. Left out: `left`.
    pub side: Option<SideDocument>,
    /// With which character.
    #[schemars(length(min = 1, max = 1))]
    pub with: String,
}

/// Refuses requests whose local time is too far from now.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["field", "seconds"]))]
pub(super) struct ExpirationDocument {
    /// The element with the local time, `YYMMDDhhmmss`.
    pub field: Option<Number>,
    /// How far from now, past or future, it may be, in seconds.
    pub seconds: Option<u32>,
}

/// What the response codes mean.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["request", "reversal"]))]
pub(super) struct CodesDocument {
    /// In answers to requests.
    pub request: RequestCodesDocument,
    /// In answers to reversals and advices.
    pub reversal: ReversalCodesDocument,
}

/// Classes of response codes of requests. An unlisted code is in doubt.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["approved"]))]
pub(super) struct RequestCodesDocument {
    /// Why the codes are where they are.
    #[allow(dead_code, reason = "for readers of the document")]
    pub description: Option<String>,
    /// The host acted; partial approvals included.
    #[schemars(length(min = 1))]
    pub approved: Vec<String>,
    /// The host surely did not act.
    pub declined: Vec<String>,
    /// The host does not know, or does not say.
    pub in_doubt: Vec<String>,
}

/// Classes of response codes of reversals and advices. An unlisted code is tried again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["accepted"]))]
pub(super) struct ReversalCodesDocument {
    /// Why the codes are where they are.
    #[allow(dead_code, reason = "for readers of the document")]
    pub description: Option<String>,
    /// Done, or done before.
    #[schemars(length(min = 1))]
    pub accepted: Vec<String>,
    /// The host has no such original.
    pub not_found: Vec<String>,
    /// Try again.
    pub retry: Vec<String>,
    /// Will never be accepted.
    pub reject: Vec<String>,
}

/// How the gateway reverses a request.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["first"]))]
pub(super) struct ReversalDocument {
    /// Why it is like that.
    #[allow(dead_code, reason = "for readers of the document")]
    pub description: Option<String>,
    /// MTI of the first sending.
    #[schemars(regex(pattern = "^[0-9]{4}$"))]
    pub first: String,
    /// MTI of repeats. Left out: the first, marked as a repeat.
    #[schemars(regex(pattern = "^[0-9]{4}$"))]
    pub repeat: Option<String>,
    /// MTI of the answer. Left out: the one that answers `first`.
    #[schemars(regex(pattern = "^[0-9]{4}$"))]
    pub response: Option<String>,
    /// Which of the original's elements are taken over. Left out: all.
    pub clone: Option<Vec<Number>>,
    /// Elements with a value of their own.
    pub set: BTreeMap<Key, String>,
    /// Whether and where the original data elements are written. Left out: `absent`.
    pub original_data: Option<OriginalDataDocument>,
    /// Whether the RRN of a late approval goes into DE 37 of later repeats. Left out: yes, if there is a DE 37.
    pub with_learned_rrn: Option<bool>,
}

/// Whether and where the original data elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OriginalDataDocument {
    /// Not at all.
    Absent,
    /// DE 90, 42 digits (ISO 8583:1987).
    De90,
    /// DE 56, up to 35 digits (ISO 8583:1993).
    De56,
}

/// How the host's own network management requests are answered.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["code"]))]
pub(super) struct EchoReplyDocument {
    /// Elements left out of the answer.
    pub drop: Vec<Number>,
    /// DE 39 of the answer.
    pub code: Option<String>,
}

/// Response codes of requests that the gateway itself refuses.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("required" = ["invalid", "duplicate", "timeout", "unavailable"]))]
pub(super) struct RefusalsDocument {
    /// Invalid.
    pub invalid: String,
    /// Its key is taken.
    pub duplicate: String,
    /// No answer in time, link down or lost.
    pub timeout: String,
    /// Queue full, going away, journal unavailable.
    pub unavailable: String,
}

/// Words for values, for logs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CaptionsDocument {
    /// Of response codes.
    pub codes: BTreeMap<String, String>,
    /// Of POS entry modes.
    pub pos_entry: PosEntryDocument,
}

/// Words for POS entry modes (the last three digits of DE 22).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PosEntryDocument {
    /// By the first two of the three digits: how the card data were read.
    pub input: BTreeMap<String, String>,
    /// By the last digit: how the cardholder was authenticated.
    pub authentication: BTreeMap<String, String>,
}

/// How card data is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum MaskedDocument {
    /// A card number: its first six and last four digits are shown.
    Pan,
    /// A track: the card number as above, nothing behind it.
    Track,
    /// Shown as stars only.
    Secret,
    /// ICC data: by its tags.
    Icc,
}

/// The JSON Schema of dialect documents.
pub(super) fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}
