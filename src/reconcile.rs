//! Our records of a day against a host's settlement list: what differs.
//!
//! Values in, values out: [`bank_file`] reads the host's list, [`money`] its amounts; [`compare`] finds for each of its
//! lines the record that it is about, by the RRN (DE 37) where both have one, else by terminal and STAN, and says where
//! the two disagree.

pub mod bank_file;
mod books;
pub mod money;

pub use books::{Compared, Difference, Kind, Total, compare};

use bank_file::BankLine;
use money::Currency;

/// What a record of ours says about money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Approved, and it stands: the bank has it.
    Stands,
    /// Undone: the bank has it not, or not any more.
    Undone,
    /// Declined, or never sent.
    Nothing,
    /// Not known yet: on its way, parked or listed.
    Open,
}

/// A record of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Its row in the journal.
    pub row: i64,
    /// DE 41.
    pub tid: Option<String>,
    /// DE 11.
    pub stan: Option<String>,
    /// DE 37.
    pub rrn: Option<String>,
    /// DE 4, in minor units.
    pub amount: Option<u64>,
    /// DE 49.
    pub currency: Option<Currency>,
    /// What it says about money.
    pub fate: Fate,
    /// Where it stands, in a word.
    pub state: &'static str,
    /// Whether it undoes another one: a client's own reversal.
    pub is_reversal: bool,
    /// Whether it is of the day that is compared. Those of the days beside it only explain lines of the bank's.
    pub is_of_the_day: bool,
}

/// How two numbers are written that mean the same: without blanks around, and without zeros in front.
fn plain(text: &str) -> &str {
    let trimmed = text.trim();
    let without = trimmed.trim_start_matches('0');
    if without.is_empty() && !trimmed.is_empty() { "0" } else { without }
}

/// By what lines and records are found.
fn keys(
    rrn: Option<&str>,
    tid: Option<&str>,
    stan: Option<&str>,
) -> (Option<String>, Option<(String, String)>) {
    let rrn = rrn.map(plain).filter(|rrn| !matches!(*rrn, "" | "0")).map(str::to_owned);
    let pair = tid.zip(stan).map(|(tid, stan)| (plain(tid).to_owned(), plain(stan).to_owned()));
    (rrn, pair.filter(|(tid, stan)| !tid.is_empty() && !stan.is_empty()))
}

impl Ours {
    fn keys(&self) -> (Option<String>, Option<(String, String)>) {
        keys(self.rrn.as_deref(), self.tid.as_deref(), self.stan.as_deref())
    }
}

impl BankLine {
    fn keys(&self) -> (Option<String>, Option<(String, String)>) {
        keys(self.rrn.as_deref(), self.tid.as_deref(), self.stan.as_deref())
    }
}
