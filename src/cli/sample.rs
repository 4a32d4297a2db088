//! `socketqueue sample echo|purchase|reversal [--hostConfig NAME]`: the bytes of a current message, to pipe into `nc`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::iso8583::{Draft, FieldNumber, Message, Mti, field};
use crate::output;
use crate::time::Now;

/// How the subcommand is used.
const USAGE: &str = "\
usage: socketqueue sample echo|purchase|reversal [--hostConfig=smartVista|openWay]
";

/// What a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 0800.
    Echo,
    /// 0200.
    Purchase,
    /// 0400 of that purchase.
    Reversal,
}

/// Why there is no sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// There are samples of the built-in dialects only.
    #[error("there is no sample for the dialect {0}: smartVista and openWay have one")]
    NoSample(String),
    /// The dialect was changed so that the sample is no message of it.
    #[error("the sample is no message of the dialect: {0}")]
    NotWritable(String),
}

impl Kind {
    /// By its name on the command line.
    pub fn parse(name: &str) -> Option<Kind> {
        match name {
            "echo" => Some(Kind::Echo),
            "purchase" => Some(Kind::Purchase),
            "reversal" => Some(Kind::Reversal),
            _ => None,
        }
    }
}

/// The sample's bytes, without framing, DE 7 and DE 12 (13) now.
///
/// smartVista's are the payloads in `sample_payloads`, as they were recorded from SocketQueue; a reversal is that of the
/// sample purchase (DE 24 = 400). openWay's are the same terminal's in its own fields.
///
/// # Errors
/// [`SampleError`] for other dialects than the built-in ones.
pub fn sample(kind: Kind, dialect: &Dialect, now: Now) -> Result<Bytes, SampleError> {
    let mut draft = match dialect.name.as_str() {
        "smartVista" => smart_vista(kind, dialect)?,
        "openWay" => open_way(kind, dialect),
        other => return Err(SampleError::NoSample(other.to_owned())),
    };
    let local = now.local();
    let transmitted = local.mmddhhmmss();
    set(&mut draft, field::TRANSMISSION_TIME, &String::from_utf8_lossy(&transmitted));
    if kind != Kind::Echo {
        let has_date = dialect.schema.field(field::LOCAL_TIME).is_some_and(|spec| spec.max() == 12);
        if has_date {
            set(&mut draft, field::LOCAL_TIME, &String::from_utf8_lossy(&local.yymmddhhmmss()));
        } else {
            set(&mut draft, field::LOCAL_TIME, &String::from_utf8_lossy(&local.hhmmss()));
            set(&mut draft, field::LOCAL_DATE, &String::from_utf8_lossy(&local.mmdd()));
        }
    }
    draft.to_bytes().map_err(|error| SampleError::NotWritable(error.to_string()))
}

fn smart_vista(kind: Kind, dialect: &Dialect) -> Result<Draft, SampleError> {
    let recorded: &[u8] = match kind {
        Kind::Echo => include_bytes!("../../sample_payloads/sv_800_echo.txt"),
        Kind::Purchase => include_bytes!("../../sample_payloads/sv_200_purchase.txt"),
        Kind::Reversal => include_bytes!("../../sample_payloads/sv_400_reversal.txt"),
    };
    let original =
        Dialect::builtin("smartVista").ok_or_else(|| SampleError::NoSample(dialect.name.clone()))?;
    let read = Message::parse(&original.schema, Bytes::from_static(recorded));
    let message = read.map_err(|error| SampleError::NotWritable(error.to_string()))?;
    // With overrides the fields are written otherwise.
    let mut draft = Draft::new(&dialect.schema, message.mti());
    message.bitmap().iter().for_each(|n| {
        draft.take(&message, n);
    });
    Ok(draft)
}

fn open_way(kind: Kind, dialect: &Dialect) -> Draft {
    let (mti, fields): (u16, &[(u16, &str)]) = match kind {
        Kind::Echo => (0x0800, &[(3, "990000"), (11, "123456"), (41, "TERM0001"), (63, "echo")]),
        Kind::Purchase | Kind::Reversal => (
            if kind == Kind::Purchase { 0x0200 } else { 0x0400 },
            &[
                (2, "4850781234567891"),
                (3, "000000"),
                (4, "000000001000"),
                (11, "618160"),
                (22, "0051"),
                (41, "TERM0001"),
                (42, "MERCHANT0000001"),
                (49, "0643"),
            ],
        ),
    };
    let mut draft = Draft::new(&dialect.schema, Mti::new(mti));
    for (n, text) in fields {
        if let Some(n) = FieldNumber::new(*n) {
            draft.set_text(n, text);
        }
    }
    draft
}

fn set(draft: &mut Draft, n: FieldNumber, text: &str) {
    draft.set_text(n, text);
}

/// `sample KIND [--hostConfig=NAME]`: writes the bytes to standard output. `now` is the caller's clock, in the zone of
/// the terminals.
pub fn run(args: &[String], now: Now) -> ExitCode {
    let mut kind = None;
    let mut name = "smartVista".to_owned();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.split_once('=') {
            Some(("--hostConfig" | "--host-config", value)) => name = value.to_owned(),
            None if arg == "--hostConfig" || arg == "--host-config" => match args.next() {
                Some(value) => name.clone_from(value),
                None => return usage(),
            },
            None if kind.is_none() && Kind::parse(arg).is_some() => kind = Kind::parse(arg),
            _ => return usage(),
        }
    }
    let Some(kind) = kind else { return usage() };
    let bytes = match Dialect::builtin(&name) {
        Some(dialect) => sample(kind, &dialect, now),
        None => Err(SampleError::NoSample(name)),
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => return complain(&format!("socketqueue sample: {error}\n"), 1),
    };
    let mut out = std::io::stdout().lock();
    let is_terminal = out.is_terminal();
    let written =
        out.write_all(&bytes).and_then(|()| if is_terminal { out.write_all(b"\n") } else { Ok(()) });
    match written.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("socketqueue sample: {error}\n"), 1),
    }
}

fn usage() -> ExitCode {
    complain(USAGE, 2)
}

fn complain(text: &str, code: u8) -> ExitCode {
    output::complain(text);
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{KeyFields, prepare};

    // 2026-11-22 03:04:05 UTC.
    const NOW: Now = Now { uptime: std::time::Duration::ZERO, wall_ms: 1_795_316_645_000, offset_s: 7200 };

    #[test]
    fn every_sample_is_a_request_of_now() {
        for name in Dialect::builtin_names() {
            let dialect = Dialect::builtin(name).unwrap();
            for (kind, mti) in [(Kind::Echo, 0x0800), (Kind::Purchase, 0x0200), (Kind::Reversal, 0x0400)] {
                let bytes = sample(kind, &dialect, NOW).unwrap();
                let message = Message::parse(&dialect.schema, bytes).unwrap();
                assert_eq!(message.mti(), Mti::new(mti));
                assert_eq!(message.text(field::TRANSMISSION_TIME).unwrap(), "1122050405");
                if kind != Kind::Echo {
                    let time = if name == "openWay" { "050405" } else { "261122050405" };
                    assert_eq!(message.text(field::LOCAL_TIME).unwrap(), time);
                }
                assert!(prepare(&dialect, &KeyFields::default(), message, NOW).is_ok(), "{name} {kind:?}");
            }
        }
    }

    #[test]
    fn smart_vista_samples_are_the_payloads_but_for_their_time() {
        let dialect = Dialect::builtin("smartVista").unwrap();
        for (kind, payload, changed) in [
            (Kind::Echo, &include_bytes!("../../sample_payloads/sv_800_echo.txt")[..], &[(18, 10)][..]),
            (
                Kind::Purchase,
                include_bytes!("../../sample_payloads/sv_200_purchase.txt"),
                &[(30, 10), (46, 12)],
            ),
            (
                Kind::Reversal,
                include_bytes!("../../sample_payloads/sv_400_reversal.txt"),
                &[(30, 10), (46, 12)],
            ),
        ] {
            let mut bytes = sample(kind, &dialect, NOW).unwrap().to_vec();
            let mut payload = payload.to_vec();
            for (at, len) in changed {
                bytes[*at..at + len].fill(b'#');
                payload[*at..at + len].fill(b'#');
            }
            assert_eq!(bytes, payload, "{kind:?}");
        }
    }

    #[test]
    fn the_payloads_with_a_header_have_their_length_in_front() {
        for (plain, with_header) in [
            (
                &include_bytes!("../../sample_payloads/sv_800_echo.txt")[..],
                &include_bytes!("../../sample_payloads/sv_800_echo_header.txt")[..],
            ),
            (
                include_bytes!("../../sample_payloads/sv_200_purchase.txt"),
                include_bytes!("../../sample_payloads/sv_200_purchase_header.txt"),
            ),
            (
                include_bytes!("../../sample_payloads/sv_400_reversal.txt"),
                include_bytes!("../../sample_payloads/sv_400_reversal_header.txt"),
            ),
        ] {
            assert_eq!(with_header, [format!("{:04}", plain.len()).as_bytes(), plain].concat());
        }
    }

    #[test]
    fn another_dialect_has_no_sample() {
        let mut other = Dialect::clone(&Dialect::builtin("smartVista").unwrap());
        other.name = "mine".to_owned();
        assert_eq!(sample(Kind::Echo, &other, NOW), Err(SampleError::NoSample("mine".to_owned())));
    }
}
