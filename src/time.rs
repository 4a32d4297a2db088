//! Moments as values. Nothing in here reads a clock: the shell does, and hands [`Now`] down.

use std::fmt;
use std::time::Duration;

/// A moment, as the shell read it: monotonic for deadlines, wall time for DE 7/12/13, age and display.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Time since the process (or the simulation) began; never goes back.
    pub uptime: Duration,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub wall_ms: i64,
    /// Seconds to add to UTC for the terminals' local time.
    pub offset_s: i32,
}

impl Now {
    /// The local civil time of this moment.
    pub fn local(&self) -> Civil {
        Civil::from_seconds(self.wall_ms.div_euclid(1000) + i64::from(self.offset_s))
    }

    /// This moment, `by` later on both clocks.
    pub fn after(self, by: Duration) -> Now {
        Now { uptime: self.uptime + by, wall_ms: self.wall_ms + by.as_millis() as i64, ..self }
    }
}

/// A civil date and time of the proleptic Gregorian calendar, without a zone.
///
/// `Display` gives `2026-11-22 03:04:05`, the form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// Year, e.g. 2026.
    pub year: i32,
    /// Month, 1–12.
    pub month: u8,
    /// Day of the month, 1–31.
    pub day: u8,
    /// Hour, 0–23.
    pub hour: u8,
    /// Minute, 0–59.
    pub minute: u8,
    /// Second, 0–59.
    pub second: u8,
}

impl Civil {
    /// From seconds since 1970-01-01T00:00:00 in the same (unnamed) zone.
    pub fn from_seconds(seconds: i64) -> Civil {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Days to a date by eras of 400 years that begin on 1 March (H. Hinnant, "chrono-Compatible Low-Level Date
        // Algorithms", civil_from_days).
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: (year_of_era + era * 400 + i64::from(month <= 2)) as i32,
            month: month as u8,
            day: (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }

    /// Seconds since 1970-01-01T00:00:00 in the same zone. The inverse of [`Civil::from_seconds`].
    #[inline(always)]
    pub fn to_seconds(self) -> i64 {
        let year = i64::from(self.year) - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = i64::from(self.month);
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * 86_400 + i64::from(self.hour) * 3600 + i64::from(self.minute) * 60 + i64::from(self.second)
    }

    /// Parses `YYMMDDhhmmss` (DE 12 in the 1993 style), years 2000–2099. `None` when it is not twelve digits or not a
    /// moment of the calendar (31 February, hour 24).
    #[inline(always)]
    pub fn parse_yymmddhhmmss(text: &[u8]) -> Option<Civil> {
        if text.len() != 12 {
            return None;
        }
        // The day stands in both.
        let [year, month, day, hour] = pairs(text.first_chunk()?)?;
        let [_, _, minute, second] = pairs(text.last_chunk()?)?;
        let civil = Civil { year: 2000 + i32::from(year), month, day, hour, minute, second };
        let is_time = civil.hour < 24 && civil.minute < 60 && civil.second < 60;
        (is_time && (1..=civil.days_of_month()).contains(&civil.day)).then_some(civil)
    }

    /// How many days its month has; none, where there is no such month.
    fn days_of_month(self) -> u8 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(is_leap),
            1..=12 => 31,
            _ => 0,
        }
    }

    /// DE 7, transmission date and time: `MMDDhhmmss`.
    pub fn mmddhhmmss(self) -> [u8; 10] {
        let mut out = [0; 10];
        write_pairs(&mut out, &[self.month, self.day, self.hour, self.minute, self.second]);
        out
    }

    /// DE 12 in the 1993 style: `YYMMDDhhmmss`.
    pub fn yymmddhhmmss(self) -> [u8; 12] {
        let mut out = [0; 12];
        let year = self.year.rem_euclid(100) as u8;
        write_pairs(&mut out, &[year, self.month, self.day, self.hour, self.minute, self.second]);
        out
    }

    /// DE 12 in the 1987 style: `hhmmss`.
    pub fn hhmmss(self) -> [u8; 6] {
        let mut out = [0; 6];
        write_pairs(&mut out, &[self.hour, self.minute, self.second]);
        out
    }

    /// DE 13, local date: `MMDD`.
    pub fn mmdd(self) -> [u8; 4] {
        let mut out = [0; 4];
        write_pairs(&mut out, &[self.month, self.day]);
        out
    }
}

/// The four numbers that eight digits say two by two.
fn pairs(digits: &[u8; 8]) -> Option<[u8; 4]> {
    let ones = u64::from_le_bytes(*digits) ^ 0x3030_3030_3030_3030;
    // What is left of a digit is at most 9: 0x76 more does not reach the top bit, nor is there a carry below.
    if (ones | ones.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = ones * 10 + (ones >> 8);
    Some([0, 16, 32, 48].map(|at| (pairs >> at) as u8))
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

fn write_pairs(out: &mut [u8], values: &[u8]) {
    for (pair, value) in out.chunks_exact_mut(2).zip(values) {
        pair[0] = b'0' + value / 10 % 10;
        pair[1] = b'0' + value % 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_have_their_date() {
        // From `date -u -d @N`.
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_795_316_645, "2026-11-22 03:04:05"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(Civil::from_seconds(seconds).to_string(), text);
            assert_eq!(Civil::from_seconds(seconds).to_seconds(), seconds);
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        let mut last = Civil::from_seconds(-1);
        for day in 0..146_097 {
            let civil = Civil::from_seconds(day * 86_400);
            assert!(civil > last);
            assert_eq!(civil.to_seconds(), day * 86_400);
            last = civil;
        }
    }

    #[test]
    fn a_de_12_is_a_moment_if_its_day_survives_the_round_trip() {
        for year in 0..100 {
            for (month, day) in (0..14).flat_map(|month| (0..33).map(move |day| (month, day))) {
                let text = format!("{year:02}{month:02}{day:02}235959");
                let said = Civil { year: 2000 + year, month, day, hour: 23, minute: 59, second: 59 };
                let is_moment = Civil::from_seconds(said.to_seconds()) == said;
                assert_eq!(Civil::parse_yymmddhhmmss(text.as_bytes()), is_moment.then_some(said), "{text}");
            }
        }
    }

    #[test]
    fn an_impossible_de_12_is_no_moment() {
        for text in
            ["260230120000", "261301000000", "261122240000", "26112212000", "26112212000a", "260000000000"]
        {
            assert_eq!(Civil::parse_yymmddhhmmss(text.as_bytes()), None, "{text}");
        }
        let civil = Civil::parse_yymmddhhmmss(b"261122030405").unwrap();
        assert_eq!(civil.to_string(), "2026-11-22 03:04:05");
        assert_eq!(&civil.yymmddhhmmss(), b"261122030405");
        assert_eq!(&civil.mmddhhmmss(), b"1122030405");
        assert_eq!(&civil.hhmmss(), b"030405");
        assert_eq!(&civil.mmdd(), b"1122");
    }
}
