//! How often a wrong key may be tried.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Wrong keys that an address may try within [`WINDOW`].
pub const FAILURES_MAX: u32 = 10;
/// For so long failures are added up, from the first of them.
pub const WINDOW: Duration = Duration::from_secs(60);
/// For so long an address that has used up its tries is not looked at, from the try that was one too many.
pub const PENALTY: Duration = Duration::from_secs(60);
/// Addresses that are remembered. While all of them are still counted, the tries of further ones are counted together,
/// as if they were one address.
pub const ADDRESSES_MAX: usize = 4096;

/// Failures by address: IPv4 each for itself, IPv6 by its /64, which one person has.
#[derive(Debug, Default)]
pub struct Failures {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<IpAddr, Entry>,
    /// Those for which there is no room.
    others: Entry,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    count: u32,
    /// When this is forgotten (uptime).
    until: Duration,
}

impl Failures {
    /// How long `address` is still not looked at; `None`: it may try.
    pub fn penalty(&self, address: IpAddr, uptime: Duration) -> Option<Duration> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match table.entries.get(&household(address)) {
            Some(entry) => *entry,
            None if table.entries.len() >= ADDRESSES_MAX => table.others,
            None => return None,
        };
        (entry.count >= FAILURES_MAX && entry.until > uptime).then(|| entry.until - uptime)
    }

    /// `address` has tried a wrong key.
    pub fn add(&self, address: IpAddr, uptime: Duration) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let table = &mut *table;
        let address = household(address);
        if table.entries.len() >= ADDRESSES_MAX && !table.entries.contains_key(&address) {
            table.entries.retain(|_, entry| entry.until > uptime);
        }
        let has_room = table.entries.len() < ADDRESSES_MAX || table.entries.contains_key(&address);
        let entry = if has_room { table.entries.entry(address).or_default() } else { &mut table.others };
        if entry.until <= uptime {
            *entry = Entry { count: 0, until: uptime + WINDOW };
        }
        entry.count = entry.count.saturating_add(1);
        if entry.count == FAILURES_MAX {
            entry.until = uptime + PENALTY;
        }
    }
}

fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            const NETWORK: u128 = !(u64::MAX as u128);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn v4(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(n))
    }

    #[test]
    fn the_tenth_wrong_key_closes_the_door_for_a_minute() {
        let failures = Failures::default();
        for _ in 0..FAILURES_MAX - 1 {
            failures.add(v4(1), s(0));
        }
        assert_eq!(failures.penalty(v4(1), s(30)), None);
        failures.add(v4(1), s(30));
        assert_eq!(failures.penalty(v4(1), s(30)), Some(s(60)));
        assert_eq!(failures.penalty(v4(1), s(89)), Some(s(1)));
        assert_eq!(failures.penalty(v4(1), s(90)), None);
        assert_eq!(failures.penalty(v4(2), s(30)), None);
        // A new count begins.
        failures.add(v4(1), s(90));
        assert_eq!(failures.penalty(v4(1), s(90)), None);
    }

    #[test]
    fn failures_of_an_hour_ago_do_not_count() {
        let failures = Failures::default();
        for minute in 0..100 {
            failures.add(v4(1), s(minute * 61));
            assert_eq!(failures.penalty(v4(1), s(minute * 61)), None);
        }
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let failures = Failures::default();
        for n in 0..FAILURES_MAX {
            failures.add(format!("2001:db8:0:1::{n:x}").parse().unwrap(), s(0));
        }
        assert!(failures.penalty("2001:db8:0:1:ffff::1".parse().unwrap(), s(0)).is_some());
        assert!(failures.penalty("2001:db8:0:2::1".parse().unwrap(), s(0)).is_none());
    }

    #[test]
    fn a_full_table_counts_the_others_together_until_there_is_room() {
        let failures = Failures::default();
        for n in 0..ADDRESSES_MAX as u32 {
            failures.add(v4(n), s(0));
        }
        for n in 0..FAILURES_MAX {
            assert_eq!(failures.penalty(v4(1_000_000), s(0)), None);
            failures.add(v4(1_000_000 + n), s(0));
        }
        assert!(failures.penalty(v4(2_000_000), s(0)).is_some());
        assert!(failures.penalty(v4(7), s(0)).is_none(), "who was there before is counted alone");
        // A minute later the table has room again.
        failures.add(v4(2_000_000), s(61));
        assert!(failures.penalty(v4(2_000_000), s(61)).is_none());
    }
}
