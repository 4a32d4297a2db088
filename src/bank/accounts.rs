//! The accounts of the bank: one for each card that ever bought something.

use std::collections::HashMap;
use std::fmt;

/// What an account has when it is opened, in minor units (SocketQueue's Socket Bank, a11 of the reference).
pub(crate) const OPENING_BALANCE: i128 = 100_000;

/// How many accounts there can be. A card beyond them is refused as one without an account.
pub(crate) const ACCOUNTS_MAX: usize = 1_000_000;

/// A card number of 1 to 19 digits (ISO/IEC 7812). `Debug` shows no digit of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pan {
    digits: u64,
    len: u8,
}

/// The place of an account in [`Accounts`].
pub(crate) type AccountId = u32;

/// The accounts, by card number.
pub(crate) struct Accounts {
    count_max: usize,
    by_pan: HashMap<Pan, AccountId>,
    // Amounts have at most 20 digits: no number of messages that can ever be sent overflows 128 bits.
    balances: Vec<i128>,
}

impl Pan {
    /// From digits: 1 to 19 of them, else `None`.
    pub fn of_digits(text: &str) -> Option<Pan> {
        let fits = (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let digits = fits.then(|| text.parse().ok())??;
        Some(Pan { digits, len: text.len() as u8 })
    }

    /// The digits of track 2 before its separator (`=`, or `D` where the track was packed as BCD).
    pub fn of_track_2(track: &str) -> Option<Pan> {
        Pan::of_digits(track.split(['=', 'D', 'd']).next()?)
    }

    /// The digits, for DE 2 of an answer.
    pub fn expose(self) -> String {
        format!("{:0width$}", self.digits, width = usize::from(self.len))
    }
}

impl fmt::Debug for Pan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pan({} digits)", self.len)
    }
}

impl Accounts {
    /// No accounts yet, and never more than `count_max` ([`ACCOUNTS_MAX`] outside tests).
    pub fn new(count_max: usize) -> Accounts {
        Accounts { count_max, by_pan: HashMap::new(), balances: Vec::new() }
    }

    /// The account of a card, if it has one.
    pub fn find(&self, pan: Pan) -> Option<AccountId> {
        self.by_pan.get(&pan).copied()
    }

    /// The account of a card, opened if need be; `None` when there are as many as there can be.
    pub fn open(&mut self, pan: Pan) -> Option<AccountId> {
        if let Some(account) = self.find(pan) {
            return Some(account);
        }
        if self.balances.len() >= self.count_max {
            return None;
        }
        let account = self.balances.len() as AccountId;
        self.balances.push(OPENING_BALANCE);
        self.by_pan.insert(pan, account);
        Some(account)
    }

    /// What an account has.
    pub fn balance(&self, account: AccountId) -> i128 {
        self.balances.get(account as usize).copied().unwrap_or(0)
    }

    /// Sets what an account has.
    pub fn set_balance(&mut self, account: AccountId, balance: i128) {
        if let Some(at) = self.balances.get_mut(account as usize) {
            *at = balance;
        }
    }

    /// Takes from an account; a negative amount gives. It may go below zero: whether it may is the books' question.
    pub fn charge(&mut self, account: AccountId, amount: i128) {
        if let Some(at) = self.balances.get_mut(account as usize) {
            *at -= amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_has_1_to_19_digits() {
        for (text, digits) in [
            ("", None),
            ("0", Some("0")),
            ("0004850781234567891", Some("0004850781234567891")),
            ("9999999999999999999", Some("9999999999999999999")),
            ("99999999999999999999", None),
            ("485078123456789x", None),
            ("+485", None),
        ] {
            assert_eq!(Pan::of_digits(text).map(Pan::expose).as_deref(), digits, "{text}");
        }
    }

    #[test]
    fn track_2_ends_its_card_number_at_the_separator() {
        for track in
            ["4850781234567891=1908", "4850781234567891D1908", "4850781234567891d1908f", "4850781234567891"]
        {
            assert_eq!(
                Pan::of_track_2(track).map(Pan::expose).as_deref(),
                Some("4850781234567891"),
                "{track}"
            );
        }
        assert_eq!(Pan::of_track_2("=1908"), None);
    }

    #[test]
    fn a_card_number_does_not_leak_into_a_debug_print() {
        assert_eq!(format!("{:?}", Pan::of_digits("4850781234567891").unwrap()), "Pan(16 digits)");
    }

    #[test]
    fn the_account_after_the_last_is_refused_and_the_others_stay() {
        let mut accounts = Accounts::new(2);
        let pan = |n: usize| Pan::of_digits(&format!("{n:016}")).unwrap();
        assert_eq!(
            (accounts.open(pan(0)), accounts.open(pan(1)), accounts.open(pan(2))),
            (Some(0), Some(1), None)
        );
        assert_eq!((accounts.open(pan(1)), accounts.balance(1)), (Some(1), OPENING_BALANCE));
    }
}
