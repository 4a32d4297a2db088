//! The clock of the shell: the only place that reads the time of day.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::time::Now;

/// Reads monotonic time, wall time and the offset of the terminals' zone. Clones share their beginning and their zone.
///
/// [`Clock::now`] costs one read of the kernel's clock page and three atomic loads. The wall clock is read once in
/// [`WALL_KEPT`], and goes on with the uptime until then: so long a step of it can stay unnoticed. With it the offset is
/// taken anew, and at every full second; it is looked up in the zone once per quarter of an hour. Rules for daylight saving time switch at quarters of an hour; where a zone (in its
/// history) switches in between, that quarter is looked up each time, so that the offset is right at every second.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    begin: Instant,
    zone: TimeZone,
    name: String,
    cached: AtomicU64,
    /// By how much wall time was ahead of the uptime when it was read last, the offset then, and until when both hold;
    /// in milliseconds (the last of uptime) and seconds.
    ahead_ms: AtomicI64,
    offset_s: AtomicI32,
    kept_until_ms: AtomicI64,
}

/// A `timezone` that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// No such zone.
    #[error("unknown time zone; write an IANA name like Europe/Vienna, UTC, or an offset like +07:00")]
    Unknown {
        /// What the zone database said.
        #[source]
        source: jiff::Error,
    },
    /// The system does not say which zone it is in.
    #[error("the system's time zone cannot be found (TZ, /etc/localtime); give timezone")]
    System {
        /// What the zone database said.
        #[source]
        source: jiff::Error,
    },
}

/// How long wall time follows the uptime before it is read again.
const WALL_KEPT: Duration = Duration::from_millis(50);
/// Seconds of a quarter of an hour: what one cached offset is valid for.
const QUARTER_S: i64 = 900;
/// No quarter of an hour has this as its entry: offsets are within ±26 hours.
const EMPTY: u64 = u64::MAX;
/// Added to an offset so that the low half of an entry is not negative.
const OFFSET_BIAS: i64 = 1 << 20;

impl Clock {
    /// A clock that begins now, in the zone of this name, or in the system's.
    ///
    /// # Errors
    /// [`ZoneError`].
    pub fn new(timezone: Option<&str>) -> Result<Clock, ZoneError> {
        let zone = match timezone {
            Some(name) => zone(name)?,
            None => system_zone()?,
        };
        let name = match (timezone, zone.iana_name()) {
            (Some(name), _) | (None, Some(name)) => name.to_owned(),
            (None, None) => "the system's".to_owned(),
        };
        Ok(Clock::with_zone(zone, name))
    }

    fn with_zone(zone: TimeZone, name: String) -> Clock {
        Clock(Arc::new(Inner {
            begin: Instant::now(),
            zone,
            name,
            cached: AtomicU64::new(EMPTY),
            ahead_ms: AtomicI64::new(0),
            offset_s: AtomicI32::new(0),
            kept_until_ms: AtomicI64::new(0),
        }))
    }

    /// This moment.
    pub fn now(&self) -> Now {
        let uptime = self.uptime();
        let uptime_ms = millis(uptime);
        if uptime_ms >= self.0.kept_until_ms.load(Ordering::Relaxed) {
            self.read_wall(uptime_ms);
        }
        let wall_ms = uptime_ms + self.0.ahead_ms.load(Ordering::Relaxed);
        Now { uptime, wall_ms, offset_s: self.0.offset_s.load(Ordering::Relaxed) }
    }

    /// Reads the wall clock: by how many milliseconds it is ahead of the uptime, and the offset of this second.
    #[inline(never)]
    fn read_wall(&self, uptime_ms: i64) {
        let wall_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(error) => -millis(error.duration()),
        };
        self.keep(uptime_ms, wall_ms);
    }

    /// Keeps what holds at this moment for the ones to come, of this second.
    fn keep(&self, uptime_ms: i64, wall_ms: i64) {
        let second_left_ms = 1000 - wall_ms.rem_euclid(1000);
        let kept_ms = millis(WALL_KEPT).min(second_left_ms);
        self.0.ahead_ms.store(wall_ms - uptime_ms, Ordering::Relaxed);
        self.0.offset_s.store(self.offset_at(wall_ms.div_euclid(1000)), Ordering::Relaxed);
        self.0.kept_until_ms.store(uptime_ms + kept_ms, Ordering::Relaxed);
    }

    /// Time since this clock (or the one it was cloned from) began.
    pub fn uptime(&self) -> Duration {
        self.0.begin.elapsed()
    }

    /// The moment of an uptime as the runtime's timers want it.
    pub fn instant(&self, uptime: Duration) -> Instant {
        self.0.begin + uptime
    }

    /// Seconds to add to UTC at `wall_s`, seconds since 1970-01-01T00:00:00Z.
    pub fn offset_at(&self, wall_s: i64) -> i32 {
        let quarter = wall_s.div_euclid(QUARTER_S);
        let entry = self.0.cached.load(Ordering::Relaxed);
        if entry != EMPTY && entry >> 32 == quarter as u64 & 0xffff_ffff {
            return ((entry & 0xffff_ffff) as i64 - OFFSET_BIAS) as i32;
        }
        let offset = self.look_up(wall_s);
        // The last second decides whether the whole quarter has one offset; no zone ever switched twice within one.
        let (first, last) = (quarter * QUARTER_S, quarter * QUARTER_S + QUARTER_S - 1);
        if self.look_up(first) == offset && self.look_up(last) == offset {
            let entry = (quarter as u64 & 0xffff_ffff) << 32 | (i64::from(offset) + OFFSET_BIAS) as u64;
            self.0.cached.store(entry, Ordering::Relaxed);
        }
        offset
    }

    /// The name of the zone, for messages about expired requests.
    pub fn zone_name(&self) -> &str {
        &self.0.name
    }

    fn look_up(&self, wall_s: i64) -> i32 {
        Timestamp::from_second(wall_s).map_or(0, |moment| self.0.zone.to_offset(moment).seconds())
    }
}

fn millis(span: Duration) -> i64 {
    span.as_secs() as i64 * 1000 + i64::from(span.subsec_millis())
}

/// The zone that `TZ` or the system names. A machine that names none keeps UTC, as everywhere in Unix (a bare container);
/// a name that cannot be found is an error, since every sale would look expired.
fn system_zone() -> Result<TimeZone, ZoneError> {
    match TimeZone::try_system() {
        Ok(zone) => Ok(zone),
        Err(_) if std::env::var_os("TZ").is_none() && !Path::new(LOCALTIME).exists() => Ok(TimeZone::UTC),
        Err(source) => Err(ZoneError::System { source }),
    }
}

/// Where a system keeps its zone.
const LOCALTIME: &str = "/etc/localtime";

/// The zone of a `timezone` setting: an IANA name, `UTC`, or an offset `+hh:mm`.
///
/// # Errors
/// [`ZoneError::Unknown`].
pub fn zone(name: &str) -> Result<TimeZone, ZoneError> {
    match fixed(name) {
        Some(offset) => Ok(TimeZone::fixed(offset)),
        None => TimeZone::get(name).map_err(|source| ZoneError::Unknown { source }),
    }
}

/// `+07:00`, `-0330`, `+7`.
fn fixed(name: &str) -> Option<Offset> {
    let (sign, rest) = match name.as_bytes().first()? {
        b'+' => (1, &name[1..]),
        b'-' => (-1, &name[1..]),
        _ => return None,
    };
    if !rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes) = match (rest.split_once(':'), rest.len()) {
        (Some(parts), _) => parts,
        (None, 4) => rest.split_at(2),
        (None, _) => (rest, "0"),
    };
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zone by its rule, so that the test needs no zone database.
    fn clock(posix: &str) -> Clock {
        Clock::with_zone(TimeZone::posix(posix).unwrap(), posix.to_owned())
    }

    #[test]
    fn wall_time_goes_on_with_the_uptime_until_it_is_read_again() {
        let clock = clock("UTC0");
        let system = || millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let is_right = |before: i64, now: Now| (before - 1..=system() + 1).contains(&now.wall_ms);
        assert!(is_right(system(), clock.now()));
        // As if the wall clock had been set since it was read.
        clock.0.ahead_ms.store(7, Ordering::Relaxed);
        clock.0.kept_until_ms.store(i64::MAX, Ordering::Relaxed);
        let now = clock.now();
        assert_eq!(now.wall_ms, millis(now.uptime) + 7);
        clock.0.kept_until_ms.store(0, Ordering::Relaxed);
        assert!(is_right(system(), clock.now()));
        let read = clock.0.kept_until_ms.load(Ordering::Relaxed);
        assert!(read > 0 && read <= millis(clock.uptime() + WALL_KEPT));
    }

    #[test]
    fn what_is_kept_is_of_one_second() {
        let vienna = clock("CET-1CEST,M3.5.0,M10.5.0/3");
        let switch_ms = 1_774_746_000_000;
        for (wall_ms, kept_ms, offset) in [
            (switch_ms - 1000, 50, 3600),
            (switch_ms - 50, 50, 3600),
            (switch_ms - 49, 49, 3600),
            (switch_ms - 1, 1, 3600),
            (switch_ms, 50, 7200),
            (-1, 1, 3600),
            (-1000, 50, 3600),
        ] {
            vienna.keep(5, wall_ms);
            let inner = &vienna.0;
            let kept = (inner.kept_until_ms.load(Ordering::Relaxed), inner.offset_s.load(Ordering::Relaxed));
            assert_eq!(kept, (5 + kept_ms, offset), "{wall_ms}");
            assert_eq!(inner.ahead_ms.load(Ordering::Relaxed), wall_ms - 5);
        }
    }

    #[test]
    fn the_offset_is_right_on_both_sides_of_a_switch_to_the_second() {
        // Central Europe: `TZ=Europe/Vienna date -d @N +%z`.
        let vienna = clock("CET-1CEST,M3.5.0,M10.5.0/3");
        for (wall_s, offset) in [
            (1_774_745_999, 3600), // 2026-03-29T00:59:59Z
            (1_774_746_000, 7200), // 2026-03-29T01:00:00Z
            (1_774_745_999, 3600), // the wall clock was set back
            (1_792_889_999, 7200), // 2026-10-25T00:59:59Z
            (1_792_890_000, 3600),
            (-1, 3600),
        ] {
            assert_eq!(vienna.offset_at(wall_s), offset, "{wall_s}");
            assert_eq!(vienna.offset_at(wall_s), offset, "{wall_s}, cached");
        }
    }

    #[test]
    fn a_switch_inside_a_quarter_of_an_hour_is_right_too() {
        // A made-up rule that switches at 02:07:30 local standard time on 29 March 2026 (the last Sunday).
        let odd = clock("AAA-1BBB,M3.5.0/2:07:30,M10.5.0/3");
        let switch = 1_774_746_000 + 450;
        for wall_s in switch - 900..switch + 900 {
            assert_eq!(odd.offset_at(wall_s), if wall_s < switch { 3600 } else { 7200 }, "{wall_s}");
        }
    }

    #[test]
    fn every_quarter_of_a_year_agrees_with_the_zone() {
        let clock = clock("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"); // Lord Howe: half an hour of daylight saving
        let mut seen = std::collections::BTreeSet::new();
        for quarter in 0..365 * 96 {
            let wall_s = 1_767_225_600 + quarter * 900 + 7;
            assert_eq!(clock.offset_at(wall_s), clock.look_up(wall_s));
            seen.insert(clock.offset_at(wall_s));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [37_800, 39_600]);
    }

    #[test]
    fn a_zone_is_a_name_or_an_offset() {
        for (name, offset) in
            [("UTC", 0), ("+07:00", 25_200), ("-03:30", -12_600), ("+0545", 20_700), ("+7", 25_200)]
        {
            assert_eq!(Clock::new(Some(name)).unwrap().offset_at(1_795_316_645), offset, "{name}");
        }
        for name in ["Europe/Wien2", "+25:00", "+07:60", "+", "-:", "+é", "", "+1:2:3"] {
            assert!(Clock::new(Some(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn now_tells_uptime_wall_time_and_offset() {
        let clock = Clock::new(Some("+07:00")).unwrap();
        let (one, two) = (clock.now(), clock.clone().now());
        assert!(two.uptime >= one.uptime && two.wall_ms >= 1_700_000_000_000);
        assert_eq!(two.offset_s, 25_200);
        assert_eq!(
            clock.instant(Duration::from_secs(1)).duration_since(clock.instant(Duration::ZERO)),
            Duration::from_secs(1)
        );
    }
}
