//! The statistics as one line of JSON: keys, order and number forms as SocketQueue writes them (case stat-000).
//!
//! Amounts are hundredths there: whole ones without decimals, others with as many as they need. Inside they are integers
//! and stay integers on the way out and in: no amount goes through a floating-point number.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::iso8583::Mti;
use crate::mux::{FaultCode, Statistics};

/// Minor units of an amount as it is shown.
const MINOR: u64 = 100;
/// Faults, and kinds of packets, taken from a dump.
const ENTRIES_MAX: usize = 1000;

/// Why a dump cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// It is not the JSON object that it should be.
    #[error("is not a dump of the statistics: {0}")]
    Json(#[from] serde_json::Error),
    /// A value is not a number of the kind that belongs there.
    #[error("{key} is not a number that belongs there")]
    Number {
        /// Which.
        key: &'static str,
    },
    /// More entries than there can be.
    #[error("{key} has more than {max} entries", max = ENTRIES_MAX)]
    TooMany {
        /// Which.
        key: &'static str,
    },
}

/// The line, with its line break.
pub fn to_json(statistics: &Statistics) -> String {
    let mut line = String::with_capacity(256);
    let amounts = [
        ("securedAmount", statistics.secured),
        ("processedAmount", statistics.processed),
        ("refundAmount", statistics.refunded),
        ("reversalAmount", statistics.reversed),
    ];
    // Writing to a String cannot fail.
    let _ = write!(line, "{{");
    for (name, amount) in amounts {
        let _ = write!(line, "\"{name}\":{},", shown(amount));
    }
    let _ = write!(line, "\"faultStat\":{{");
    for (n, (code, count)) in statistics.faults.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(line, "{comma}{}:{count}", serde_json::Value::from(fault_name(code)));
    }
    let _ = write!(line, "}},\"packetCount\":{{\"total\":{}", statistics.packets_total);
    for (mti, count) in &statistics.packets {
        let _ = write!(line, ",\"{mti}\":{count}");
    }
    line.push_str("}}\n");
    line
}

/// `1383554.49`, `3460`, `-0.5`.
fn shown(amount: i64) -> String {
    let (whole, rest) = (amount.unsigned_abs() / MINOR, amount.unsigned_abs() % MINOR);
    let sign = if amount < 0 { "-" } else { "" };
    match rest {
        0 => format!("{sign}{whole}"),
        rest if rest % 10 == 0 => format!("{sign}{whole}.{}", rest / 10),
        rest => format!("{sign}{whole}.{rest:02}"),
    }
}

/// The name of a fault: a number without leading zeros, or the text.
fn fault_name(code: &FaultCode) -> String {
    match code {
        FaultCode::Number(number) => number.to_string(),
        FaultCode::Text(text) => text.escape_ascii().to_string(),
        FaultCode::Other => "other".to_owned(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dumped {
    secured_amount: Box<RawValue>,
    processed_amount: Box<RawValue>,
    refund_amount: Box<RawValue>,
    reversal_amount: Box<RawValue>,
    fault_stat: serde_json::Map<String, serde_json::Value>,
    packet_count: serde_json::Map<String, serde_json::Value>,
}

/// Takes a line over, ours or SocketQueue's. Keys that we do not know are passed over.
///
/// # Errors
/// [`StatisticsError`], naming what is wrong.
pub fn from_json(line: &str) -> Result<Statistics, StatisticsError> {
    let dumped: Dumped = serde_json::from_str(line)?;
    let amount = |key, raw: &RawValue| minor_units(raw.get()).ok_or(StatisticsError::Number { key });
    let count = |key, value: &serde_json::Value| value.as_u64().ok_or(StatisticsError::Number { key });
    for (key, entries) in [("faultStat", &dumped.fault_stat), ("packetCount", &dumped.packet_count)] {
        if entries.len() > ENTRIES_MAX {
            return Err(StatisticsError::TooMany { key });
        }
    }
    let mut faults = BTreeMap::new();
    for (name, value) in &dumped.fault_stat {
        *faults.entry(fault_of(name)).or_default() += count("faultStat", value)?;
    }
    let (mut packets, mut packets_total) = (Vec::new(), 0);
    for (name, value) in &dumped.packet_count {
        let value = count("packetCount", value)?;
        match Mti::parse(name.as_bytes()) {
            Some(mti) => packets.push((mti, value)),
            None if name == "total" => packets_total = value,
            None => return Err(StatisticsError::Number { key: "packetCount" }),
        }
    }
    Ok(Statistics {
        secured: amount("securedAmount", &dumped.secured_amount)?,
        processed: amount("processedAmount", &dumped.processed_amount)?,
        refunded: amount("refundAmount", &dumped.refund_amount)?,
        reversed: amount("reversalAmount", &dumped.reversal_amount)?,
        faults,
        packets,
        packets_total,
    })
}

fn fault_of(name: &str) -> FaultCode {
    match name.parse() {
        _ if name == "other" => FaultCode::Other,
        Ok(number) => FaultCode::Number(number),
        Err(_) if name.len() <= 3 => FaultCode::Text(name.as_bytes().into()),
        Err(_) => FaultCode::Other,
    }
}

/// Minor units of a JSON number. Of more than two decimals (SocketQueue adds up floating-point numbers, which gives
/// 0.30000000000000004), the rest is rounded away.
fn minor_units(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digit = |at: usize| decimals.as_bytes().get(at).map_or(0, |digit| i64::from(digit - b'0'));
    let rest = digit(0) * 10 + digit(1) + i64::from(digit(2) >= 5);
    whole.parse::<i64>().ok()?.checked_mul(MINOR as i64)?.checked_add(rest).map(|amount| sign * amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case stat-000-initial, byte for byte.
    const INITIAL: &str = "{\"securedAmount\":0,\"processedAmount\":0,\"refundAmount\":0,\"reversalAmount\":0,\"faultStat\":{},\"packetCount\":{\"total\":0}}\n";

    /// The seed's example, on one line.
    const SEED: &str = "{\"securedAmount\":1383554.49,\"processedAmount\":1876911.69,\"refundAmount\":0,\"reversalAmount\":3460,\"faultStat\":{\"5\":2,\"100\":7,\"103\":1,\"116\":3,\"117\":1,\"120\":10},\"packetCount\":{\"total\":2265,\"0800\":730,\"0810\":724,\"0200\":367,\"0210\":364,\"0400\":48,\"0410\":32}}\n";

    #[test]
    fn lines_are_those_of_the_original() {
        assert_eq!(to_json(&Statistics::default()), INITIAL);
        let seed = from_json(SEED).unwrap();
        assert_eq!((seed.secured, seed.processed, seed.reversed), (138_355_449, 187_691_169, 346_000));
        assert_eq!(to_json(&seed), SEED);
    }

    #[test]
    fn amounts_are_exact_both_ways() {
        for (amount, text) in [
            (0, "0"),
            (1, "0.01"),
            (10, "0.1"),
            (100, "1"),
            (-50, "-0.5"),
            (-1, "-0.01"),
            (i64::MAX, "92233720368547758.07"),
        ] {
            assert_eq!(shown(amount), text);
            assert_eq!(minor_units(text), Some(amount));
        }
        // 0.1 + 0.2 in JavaScript, and another of its sums.
        assert_eq!(minor_units("0.30000000000000004"), Some(30));
        assert_eq!(minor_units("1.7899999999999998"), Some(179));
        for wrong in ["", "-", "1e3", "\"1\"", ".5", "92233720368547758.08", "null"] {
            assert_eq!(minor_units(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn faults_stand_in_the_order_of_their_numbers_as_javascript_has_it() {
        let mut statistics = Statistics::default();
        for (code, count) in [
            (FaultCode::Number(116), 1),
            (FaultCode::Text(b"N0"[..].into()), 4),
            (FaultCode::Number(5), 2),
            (FaultCode::Other, 3),
        ] {
            statistics.faults.insert(code, count);
        }
        let line = to_json(&statistics);
        assert!(line.contains("\"faultStat\":{\"5\":2,\"116\":1,\"N0\":4,\"other\":3}"), "{line}");
        assert_eq!(from_json(&line).unwrap(), statistics);
    }

    #[test]
    fn what_is_no_dump_is_refused_with_its_place() {
        for (line, says) in [
            ("", "is not a dump"),
            ("[]", "is not a dump"),
            ("{\"securedAmount\":0}", "is not a dump"),
            (&INITIAL.replace("\"securedAmount\":0", "\"securedAmount\":true"), "securedAmount"),
            (&INITIAL.replace("\"total\":0", "\"total\":-1"), "packetCount"),
            (&INITIAL.replace("\"total\":0", "\"total\":0,\"02x0\":1"), "packetCount"),
            (&INITIAL.replace("\"faultStat\":{}", "\"faultStat\":{\"5\":\"2\"}"), "faultStat"),
        ] {
            let error = from_json(line).unwrap_err().to_string();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
