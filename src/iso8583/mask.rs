//! Card data that cannot leak by accident.

use std::borrow::Cow;
use std::fmt;

use super::digits::hex;
use super::emv;
use super::field;
use super::message::Message;

/// How PANs are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskStyle {
    /// Leading digits shown: 6 or 8. PANs under 16 digits show 6 (PCI DSS 4.0, 3.4.1).
    pub head: u8,
    /// Show everything (`--dangerous`).
    pub reveal: bool,
}

impl Default for MaskStyle {
    fn default() -> Self {
        MaskStyle { head: 6, reveal: false }
    }
}

/// Digits that a PAN may have. Shorter ones (ISO/IEC 7812 knows them) are not shown at all.
const PAN_MIN: usize = 13;
const PAN_MAX: usize = 19;
/// Trailing digits shown.
const TAIL: usize = 4;
/// Trackdata without a PAN in sight: so many digits before the separator, and after it.
const TRACK_PAN_MIN: usize = 8;
const TRACK_REST_MIN: usize = 4;

/// A PAN with its middle starred: `485078******7891` (`head` digits + 4). What is shorter than 13 digits, longer than
/// 19 or has other characters is starred wholly.
pub fn pan(digits: &str, style: MaskStyle) -> String {
    if style.reveal {
        return escape_controls(digits);
    }
    let count = digits.chars().count();
    if !(PAN_MIN..=PAN_MAX).contains(&count) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return stars(count);
    }
    let head = head(count, style);
    let (shown, rest) = digits.split_at(head);
    let (hidden, tail) = rest.split_at(rest.len() - TAIL);
    format!("{shown}{}{tail}", stars(hidden.len()))
}

/// Track 2: the PAN masked, the separator (`=` or `D`) kept, what follows (expiry, service code, discretionary data)
/// starred.
pub fn track2(text: &str, style: MaskStyle) -> String {
    if style.reveal {
        return escape_controls(text);
    }
    match split_track2(text) {
        Some((digits, rest)) => {
            let separator = text.get(digits.len()..digits.len() + 1).unwrap_or("=");
            format!("{}{separator}{}", pan(digits, style), stars(rest.chars().count()))
        }
        None => pan(text, style),
    }
}

/// What stands in front of the separator, and behind it.
fn split_track2(text: &str) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| matches!(byte, b'=' | b'D' | b'd'))?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Bytes of a field that may not be shown: as many stars as they have hex digits.
pub fn binary(bytes: &[u8], style: MaskStyle) -> String {
    if style.reveal { hex(bytes) } else { stars(bytes.len() * 2) }
}

/// Text with every PAN-like run of digits masked, and what follows a track separator starred. Control characters come
/// out as `\xNN`: text from a peer makes no line of its own in a log.
///
/// A run has 13 or more digits, single blanks, `-`, `.`, `_` and `/` between them tolerated, wherever it stands, also
/// inside longer words. Up to 19 digits, `head` and the last 4 are shown. A longer one hides who knows what after the
/// PAN (expiry, security code): only the first 6 are shown. So at most 6 (8) + 4 digits of a PAN are ever seen.
/// Behind a run, or behind 8 digits if 4 digits follow, `=`, `D` or `^` begins what is starred as far as
/// letters, digits and `:;<=>?` reach (behind `^`, track 1 with the cardholder's name: up to the end).
pub fn free_text(text: &str, style: MaskStyle) -> String {
    if style.reveal {
        return escape_controls(text);
    }
    let bytes = text.as_bytes();
    let mut hidden = vec![false; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let run = digit_run(bytes, at);
        let end = run.last().map_or(at, |last| last + 1);
        let track = track_rest(bytes, end, run.len());
        if run.len() >= PAN_MIN || track.is_some() {
            hide_run(&run, style, &mut hidden);
        }
        if let Some(rest_end) = track {
            hidden[end + 1..rest_end].fill(true);
        }
        at = track.unwrap_or(end);
    }
    let starred = text.char_indices().map(|(at, character)| if hidden[at] { '*' } else { character });
    escape_controls(&starred.collect::<String>())
}

/// The places of the digits of the run that begins at `at`.
fn digit_run(bytes: &[u8], at: usize) -> Vec<usize> {
    let mut run = vec![at];
    let mut next = at + 1;
    loop {
        match bytes.get(next..) {
            Some([b'0'..=b'9', ..]) => {
                run.push(next);
                next += 1;
            }
            Some([b' ' | b'-' | b'.' | b'_' | b'/', b'0'..=b'9', ..]) => {
                run.push(next + 1);
                next += 2;
            }
            _ => return run,
        }
    }
}

fn hide_run(run: &[usize], style: MaskStyle, hidden: &mut [bool]) {
    let shown = match run.len() {
        0..PAN_MIN => 0..0,
        PAN_MIN..=PAN_MAX => head(run.len(), style)..run.len() - TAIL,
        _ => 6..run.len(),
    };
    let concealed = if run.len() < PAN_MIN { 0..run.len() } else { shown };
    run[concealed].iter().for_each(|at| hidden[*at] = true);
}

/// Where the rest of a track ends whose separator stands at `at`, behind so many digits; `None` if there is no such.
fn track_rest(bytes: &[u8], at: usize, digits: usize) -> Option<usize> {
    let (separator, rest) = bytes.get(at..)?.split_first()?;
    let followed = rest.iter().take_while(|byte| byte.is_ascii_digit()).count() >= TRACK_REST_MIN;
    if digits < PAN_MIN && !(digits >= TRACK_PAN_MIN && followed) {
        return None;
    }
    let len = match separator {
        b'=' | b'D' | b'd' => rest.iter().take_while(|byte| is_track_character(**byte)).count(),
        b'^' => rest.len(),
        _ => return None,
    };
    Some(at + 1 + len)
}

/// What track 2 may have, and letters, which hosts put there.
fn is_track_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || (b'0'..=b'?').contains(&byte)
}

/// Whether the value of this EMV tag is the card's or the cardholder's, and not to be shown or kept.
pub fn is_sensitive_tag(tag: u32) -> bool {
    matches!(
        tag,
        0x5A // PAN
        | 0x57 // track 2 equivalent data
        | 0x56 // track 1 equivalent data
        | 0x99 // transaction PIN data
        | 0x5F20 // cardholder name
        | 0x5F24 // expiration date
        | 0x5F30 // service code
        | 0x9F0B // cardholder name, extended
        | 0x9F1F // track 1 discretionary data
        | 0x9F20 // track 2 discretionary data
        | 0x9F61 // cardholder identification
        | 0x9F6B // track 2 data (contactless)
    )
}

/// EMV tags whose values are long, known to be no card data, and by chance look like digits of a PAN.
const HARMLESS_TAGS: [u32; 8] = [
    0x4F,   // application identifier
    0x84,   // dedicated file name
    0x91,   // issuer authentication data
    0x9F06, // application identifier, terminal
    0x9F10, // issuer application data
    0x9F1E, // interface device serial number
    0x9F26, // application cryptogram
    0x9F5B, // issuer script results
];

/// EMV data (DE 55) as hex: values of sensitive tags starred, of others shown, in those not known to be harmless
/// PAN-like digits masked. What is no TLV is starred wholly.
pub fn icc(data: &[u8], style: MaskStyle) -> String {
    if style.reveal {
        return hex(data);
    }
    let Ok(objects) = emv::data_objects(data) else { return stars(data.len() * 2) };
    let mut shown = hex(data);
    for object in objects.iter().filter(|object| !object.is_constructed) {
        let range = object.value.start * 2..object.value.end * 2;
        let masked = match object.tag {
            tag if is_sensitive_tag(tag) => stars(range.len()),
            tag if HARMLESS_TAGS.contains(&tag) => continue,
            _ => free_text(&shown[range.clone()], style),
        };
        shown.replace_range(range, &masked);
    }
    shown
}

fn head(count: usize, style: MaskStyle) -> usize {
    let head = usize::from(style.head.min(8));
    if count < 16 { head.min(6) } else { head }
}

fn stars(count: usize) -> String {
    "*".repeat(count)
}

fn escape_controls(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            control if control.is_control() => escaped.push_str(&format!("\\x{:02x}", u32::from(control))),
            plain => escaped.push(plain),
        }
    }
    escaped
}

/// A primary account number. Shown masked, whoever prints it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pan<'m>(Cow<'m, str>);

impl<'m> Pan<'m> {
    /// From its digits.
    pub fn new(digits: &'m str) -> Pan<'m> {
        Pan(digits.into())
    }

    /// The digits. The only way to them.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// As it may be shown.
    pub fn masked(&self, style: MaskStyle) -> String {
        pan(&self.0, style)
    }
}

/// Track 2 data. Shown masked, whoever prints it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Track2<'m>(Cow<'m, str>);

impl<'m> Track2<'m> {
    /// From its characters.
    pub fn new(text: &'m str) -> Track2<'m> {
        Track2(text.into())
    }

    /// DE 35 of a message.
    pub fn of(message: &'m Message) -> Option<Track2<'m>> {
        message.text(field::TRACK_2).map(Track2)
    }

    /// The PAN in it: the digits in front of the separator, if they are digits.
    pub fn pan(&self) -> Option<Pan<'_>> {
        let (digits, _) = split_track2(&self.0)?;
        let is_pan = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_pan.then(|| Pan::new(digits))
    }

    /// The characters. The only way to them but for [`Track2::pan`] and [`Track2::expose_rest`].
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands behind the separator.
    pub fn expose_rest(&self) -> Option<&str> {
        split_track2(&self.0).map(|(_, rest)| rest)
    }

    /// As it may be shown.
    pub fn masked(&self, style: MaskStyle) -> String {
        track2(&self.0, style)
    }
}

/// Bytes that are never shown, not even how many: PIN blocks, keys, whole messages.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// From the bytes.
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(bytes.into())
    }

    /// The bytes. The only way to them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

macro_rules! shown_masked {
    ($($name:ty => $masked:expr;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let masked: fn(&$name) -> String = $masked;
                f.write_str(&masked(self))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

shown_masked! {
    Pan<'_> => |pan| pan.masked(MaskStyle::default());
    Track2<'_> => |track| track.masked(MaskStyle::default());
    Secret => |_| stars(8);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIX: MaskStyle = MaskStyle { head: 6, reveal: false };
    const EIGHT: MaskStyle = MaskStyle { head: 8, reveal: false };
    const ALL: MaskStyle = MaskStyle { head: 6, reveal: true };

    #[test]
    fn a_pan_shows_its_head_and_last_four() {
        for (digits, six, eight) in [
            ("4850781234567891", "485078******7891", "48507812****7891"),
            ("485078123456789", "485078*****6789", "485078*****6789"),
            ("4850781234567", "485078***4567", "485078***4567"),
            ("4850781234567891234", "485078*********1234", "48507812*******1234"),
            ("485078123456", "************", "************"),
            ("48507812345678912345", "********************", "********************"),
            ("4850781234567x91", "****************", "****************"),
            ("", "", ""),
        ] {
            assert_eq!(pan(digits, SIX), six);
            assert_eq!(pan(digits, EIGHT), eight);
            assert_eq!(pan(digits, ALL), digits);
        }
    }

    #[test]
    fn track_2_keeps_only_its_masked_pan_and_separator() {
        for (text, masked) in [
            ("4850781234567891=19082012232800000037", "485078******7891=********************"),
            ("4850781234567891D19082012232800000037", "485078******7891D********************"),
            ("485078123456=1908", "************=****"),
            ("4850781234567891", "485078******7891"),
            ("4850781234567891=", "485078******7891="),
            ("B4850781234567891=1908", "*****************=****"),
            ("no track at all", "***************"),
        ] {
            assert_eq!(track2(text, SIX), masked);
        }
    }

    #[test]
    fn pan_like_digits_in_any_text_are_masked() {
        for (text, masked) in [
            ("paid with 4850781234567891.", "paid with 485078******7891."),
            ("4850 7812 3456 7891", "4850 78** **** 7891"),
            ("4850-7812-3456-7891", "4850-78**-****-7891"),
            ("x4850781234567891y", "x485078******7891y"),
            ("номер 4850781234567891", "номер 485078******7891"),
            // 15 and 13 digits, which the original shows in clear.
            ("371449635398431", "371449*****8431"),
            ("4222222222222", "422222***2222"),
            ("123456789012", "123456789012"),
            // PAN, expiry and security code in one: nothing of what follows the PAN.
            ("48507812345678911908123", "485078*****************"),
            ("4850781234567891 1908 123", "485078********** **** ***"),
            // A PAN behind another number.
            ("0000012 4850781234567891", "000001* ****************"),
            ("4850781234567891=19082012232800000037 tail", "485078******7891=******************** tail"),
            ("4850781234567891D1908201?;", "485078******7891D*********"),
            (
                "\"35\":\"4850781234567891=1908\",\"41\":\"1\"",
                "\"35\":\"485078******7891=****\",\"41\":\"1\"",
            ),
            ("%B4850781234567891^DOE/JOHN ^1908201?", "%B485078******7891^******************"),
            ("585012345678=1908", "************=****"),
            ("12345678=90", "12345678=90"),
            ("a=1908", "a=1908"),
            ("line\nbreak\x1b[0m", "line\\x0abreak\\x1b[0m"),
            ("", ""),
        ] {
            assert_eq!(free_text(text, SIX), masked);
        }
        assert_eq!(free_text("4850781234567891", EIGHT), "48507812****7891");
        assert_eq!(free_text("4850781234567891\n", ALL), "4850781234567891\\x0a");
    }

    /// Whatever surrounds it, at most the first 6 and last 4 digits of a PAN are seen.
    #[test]
    fn no_surroundings_uncover_a_pan() {
        let pan = "4850781234567891";
        for (before, after) in [
            ("", ""),
            ("7", ""),
            ("", "7"),
            ("777", "777"),
            ("7777777777", "7777777777"),
            ("7 ", " 7"),
            ("7-", "=7"),
            ("777 ", "D777"),
            ("a", "^b"),
            ("=", "="),
            ("7777=", "=7777"),
        ] {
            let shown = free_text(&format!("{before}{pan}{after}"), SIX);
            for window in pan.as_bytes().windows(7) {
                let window = std::str::from_utf8(window).unwrap();
                assert!(!shown.contains(window), "{shown} has {window}");
            }
        }
    }

    #[test]
    fn emv_data_show_all_but_the_card() {
        // 9F26 (8, in part a PAN by its digits); 5A; 9F02; 57; 5F24; DF01 with a PAN in it; 95.
        let data = [
            "9f26084850781234567891",
            "5a084850781234567891",
            "9f0206000000001000",
            "57114850781234567891d1908201223280000f",
            "5f2403190831",
            "df01084850781234567891",
            "95050080001000",
        ];
        let masked = [
            "9f26084850781234567891",
            "5a08****************",
            "9f0206000000001000",
            "5711**********************************",
            "5f2403******",
            "df0108485078******7891",
            "95050080001000",
        ];
        let bytes = from_hex(&data.concat());
        assert_eq!(icc(&bytes, ALL), data.concat());
        assert_eq!(icc(&bytes, SIX), masked.concat());
        let template = from_hex("700a5a084850781234567891");
        assert_eq!(icc(&template, SIX), "700a5a08****************");
        let cut = from_hex("5a08485078123456");
        assert_eq!(icc(&cut, SIX), "*".repeat(16));
    }

    #[test]
    fn wrappers_print_masked_and_give_all_only_when_asked() {
        let pan = Pan::new("4850781234567891");
        assert_eq!(format!("{pan} {pan:?}"), "485078******7891 485078******7891");
        assert_eq!(pan.expose(), "4850781234567891");
        let track = Track2::new("4850781234567891=1908");
        assert_eq!(format!("{track} {track:?}"), "485078******7891=**** 485078******7891=****");
        assert_eq!(track.pan(), Some(pan));
        assert_eq!(Track2::new("4850x=1908").pan(), None);
        let secret = Secret::new(&[1, 2, 3]);
        assert_eq!(format!("{secret} {secret:?}"), "******** ********");
        assert_eq!(secret.expose(), [1, 2, 3]);
    }

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }
}
