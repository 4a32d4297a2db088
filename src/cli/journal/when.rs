//! Days and moments, as they are typed and shown.

use crate::net::clock::Clock;
use crate::time::Civil;

const HOUR_MS: i64 = 3_600_000;
/// The longest day: the clocks go back by a few hours at most.
const LONGEST_DAY_H: i64 = 27;

/// A day: its first moment, and the first of the next (wall, ms since 1970).
pub(in crate::cli) fn day(clock: &Clock, text: &str) -> Option<(i64, i64)> {
    let civil = date(text)?;
    let begin = moment_of(clock, civil);
    let end = moment_of(clock, Civil::from_seconds(civil.to_seconds() + 86_400));
    (end > begin && end - begin <= LONGEST_DAY_H * HOUR_MS).then_some((begin, end))
}

/// `2026-11-22`, `2026-11-22T10:30` (or with a blank, and with seconds), or how long ago: `90m`, `2h`, `3d`.
pub(super) fn moment(clock: &Clock, text: &str, now_ms: i64) -> Option<i64> {
    if let Some(ago) = ago_ms(text) {
        return Some(now_ms.saturating_sub(ago));
    }
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut civil = date(day)?;
    if let Some(time) = time {
        let mut parts = time.split(':');
        civil.hour = number(parts.next()?, 2)?;
        civil.minute = number(parts.next()?, 2)?;
        civil.second = parts.next().map_or(Some(0), |part| number(part, 2))?;
        if parts.next().is_some() || Civil::from_seconds(civil.to_seconds()) != civil {
            return None;
        }
    }
    Some(moment_of(clock, civil))
}

/// `2026-11-22T10:30:00.123+01:00`.
pub(super) fn stamp(clock: &Clock, wall_ms: i64) -> String {
    let seconds = wall_ms.div_euclid(1000);
    let offset = clock.offset_at(seconds);
    let Civil { year, month, day, hour, minute, second } = Civil::from_seconds(seconds + i64::from(offset));
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    let ms = wall_ms.rem_euclid(1000);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}{sign}{hours:02}:{minutes:02}"
    )
}

/// For people: `2026-11-22 10:30:00`.
pub(super) fn short(clock: &Clock, wall_ms: i64) -> String {
    let seconds = wall_ms.div_euclid(1000);
    Civil::from_seconds(seconds + i64::from(clock.offset_at(seconds))).to_string()
}

/// The local date of a moment: `2026-11-22`.
pub(in crate::cli) fn date_of(clock: &Clock, wall_ms: i64) -> String {
    short(clock, wall_ms).chars().take(10).collect()
}

fn date(text: &str) -> Option<Civil> {
    let mut parts = text.split('-');
    let civil = Civil {
        year: number(parts.next()?, 4)?,
        month: number(parts.next()?, 2)?,
        day: number(parts.next()?, 2)?,
        hour: 0,
        minute: 0,
        second: 0,
    };
    let is_date = parts.next().is_none() && Civil::from_seconds(civil.to_seconds()) == civil;
    is_date.then_some(civil)
}

fn number<T: std::str::FromStr>(text: &str, len: usize) -> Option<T> {
    let is_number = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn ago_ms(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => 1000,
        'm' => 60_000,
        'h' => HOUR_MS,
        'd' => 24 * HOUR_MS,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    let is_number =
        !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse::<i64>().ok()).flatten().map(|count| count * unit)
}

/// The moment at which clocks of the zone show `civil`. Where they never do, or do twice, the one by the offset before.
fn moment_of(clock: &Clock, civil: Civil) -> i64 {
    let local = civil.to_seconds();
    let guess = local - i64::from(clock.offset_at(local - 86_400));
    let seconds = local - i64::from(clock.offset_at(guess));
    seconds * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 03:04:05 UTC.
    const NOW: i64 = 1_795_316_645_000;

    #[test]
    fn moments_are_local_or_so_long_ago() {
        let clock = Clock::new(Some("+07:00")).unwrap();
        for (text, expected) in [
            ("2026-11-22T10:04:05", Some(NOW)),
            ("2026-11-22 10:04", Some(NOW - 5000)),
            ("2026-11-22", Some(NOW - 36_245_000)),
            ("90m", Some(NOW - 5_400_000)),
            ("2d", Some(NOW - 172_800_000)),
            ("2026-11-31", None),
            ("2026-11-22T24:00", None),
            ("2026-11-22T10", None),
            ("2026-11-22T10:04:05:06", None),
            ("22.11.2026", None),
            ("-1h", None),
            ("9999999h", None),
            ("h", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(moment(&clock, text, NOW), expected, "{text}");
        }
        assert_eq!(stamp(&clock, NOW + 7), "2026-11-22T10:04:05.007+07:00");
        assert_eq!(stamp(&Clock::new(Some("-03:30")).unwrap(), NOW), "2026-11-21T23:34:05.000-03:30");
        assert_eq!(date_of(&clock, NOW), "2026-11-22");
    }

    #[test]
    fn a_day_on_which_the_clocks_change_has_23_or_25_hours() {
        let clock = Clock::new(Some("Europe/Vienna")).unwrap();
        for (text, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-22", 24)] {
            let (begin, end) = day(&clock, text).unwrap();
            assert_eq!((end - begin) / HOUR_MS, hours, "{text}");
        }
        assert_eq!(day(&clock, "2026-02-29"), None);
    }
}
