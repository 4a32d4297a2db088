//! The comparison itself.

use std::collections::{BTreeMap, HashMap};

use super::bank_file::BankLine;
use super::money::Currency;
use super::{Fate, Ours};

/// How a line and a record disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bank has a sale of which we know nothing.
    InBankNotOurs,
    /// We have an approval that stands, and the bank has no such sale.
    OursNotInBank,
    /// Both have it, with another amount or in another currency.
    AmountDiffers,
    /// The bank has a sale that we reversed.
    BankHasWhatWeReversed,
    /// The bank has a sale that for us was declined, or never sent.
    BankHasWhatWeDoNot,
    /// The bank has undone or declined what stands for us.
    BankHasUndoneOurs,
    /// The bank has it more than once.
    TwiceInBank,
    /// It is not settled with us yet; the bank has it.
    OpenAndInBank,
    /// It is not settled with us yet; the bank does not have it.
    OpenAndNotInBank,
}

impl Kind {
    /// Its name, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::InBankNotOurs => "in_bank_not_ours",
            Kind::OursNotInBank => "ours_not_in_bank",
            Kind::AmountDiffers => "amount_differs",
            Kind::BankHasWhatWeReversed => "bank_has_what_we_reversed",
            Kind::BankHasWhatWeDoNot => "bank_has_what_we_do_not",
            Kind::BankHasUndoneOurs => "bank_has_undone_ours",
            Kind::TwiceInBank => "twice_in_bank",
            Kind::OpenAndInBank => "open_and_in_bank",
            Kind::OpenAndNotInBank => "open_and_not_in_bank",
        }
    }

    /// What it says, for people.
    pub const fn words(self) -> &'static str {
        match self {
            Kind::InBankNotOurs => "in bank, not ours",
            Kind::OursNotInBank => "ours, not in bank",
            Kind::AmountDiffers => "amount differs",
            Kind::BankHasWhatWeReversed => "bank has a sale that we reversed",
            Kind::BankHasWhatWeDoNot => "bank has a sale that failed with us",
            Kind::BankHasUndoneOurs => "bank undid or declined it, ours stands",
            Kind::TwiceInBank => "more than once in bank",
            Kind::OpenAndInBank => "open with us, in bank",
            Kind::OpenAndNotInBank => "open with us, not in bank",
        }
    }
}

/// One disagreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub kind: Kind,
    /// Our record, by its place in what was compared.
    pub ours: Option<usize>,
    /// The bank's line, by its place in what was compared.
    pub bank: Option<usize>,
}

/// How many sales of a currency, and their sum in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// How many.
    pub count: u64,
    /// Their sum; a list that has no amounts gives none.
    pub minor: u128,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Records of the day on which both agree, those with no money in them included.
    pub agreed: u64,
    /// The others, in the order of our records; those of which we know nothing last, in the order of the list.
    pub differences: Vec<Difference>,
    /// What stands for us, of the day.
    pub ours: BTreeMap<Option<Currency>, Total>,
    /// What stands for the bank: sales of its list that it has not undone in it.
    pub bank: BTreeMap<Option<Currency>, Total>,
    /// Lines about records of the days beside.
    pub of_other_days: u64,
}

/// What the bank has of one record.
#[derive(Clone, Debug, Default)]
struct AtBank {
    sales: Vec<usize>,
    undone: u64,
    declined: Option<usize>,
}

impl AtBank {
    /// Sales that stand.
    fn standing(&self) -> u64 {
        (self.sales.len() as u64).saturating_sub(self.undone)
    }

    fn line(&self) -> Option<usize> {
        self.sales.first().copied().or(self.declined)
    }
}

/// Compares. `approved`: whether a response code means an approval. `fallback`: the currency of lines that name none and
/// are about no record of ours.
pub fn compare(
    ours: &[Ours],
    bank: &[BankLine],
    approved: impl Fn(&str) -> bool,
    fallback: Option<Currency>,
) -> Compared {
    let index = Index::new(ours);
    let fates = index.fates(ours);
    let mut at_bank = vec![AtBank::default(); ours.len()];
    let mut strangers: HashMap<StrangerKey, AtBank> = HashMap::new();
    for (at, line) in bank.iter().enumerate() {
        let is_sale = line.code.as_deref().is_none_or(&approved);
        let known = index.find(ours, &at_bank, line);
        let has = match known {
            Some(row) => at_bank.get_mut(row),
            None => Some(strangers.entry(line.keys()).or_default()),
        };
        let Some(has) = has else { continue };
        match (is_sale, line.is_reversal) {
            (true, false) => has.sales.push(at),
            (true, true) => has.undone += 1,
            (false, _) => has.declined = has.declined.or(Some(at)),
        }
    }
    let mut compared = Compared::default();
    for (row, (own, fate)) in ours.iter().zip(fates).enumerate() {
        let Some(has) = at_bank.get(row) else { continue };
        compared.add_bank(has, bank, own.currency.or(fallback));
        if !own.is_of_the_day {
            compared.of_other_days += has.sales.len() as u64;
        } else if !own.is_reversal {
            compared.add(row, own, fate, has, bank);
        }
    }
    let mut unknown: Vec<&AtBank> = strangers.values().collect();
    unknown.sort_by_key(|has| has.line());
    for has in unknown {
        compared.add_bank(has, bank, fallback);
        for line in has.sales.iter().take(usize::try_from(has.standing()).unwrap_or(usize::MAX)) {
            let difference = Difference { kind: Kind::InBankNotOurs, ours: None, bank: Some(*line) };
            compared.differences.push(difference);
        }
    }
    compared
}

type StrangerKey = (Option<String>, Option<(String, String)>);

impl Compared {
    fn add(&mut self, row: usize, own: &Ours, fate: Fate, has: &AtBank, bank: &[BankLine]) {
        if fate == Fate::Stands {
            let total = self.ours.entry(own.currency).or_default();
            total.count += 1;
            total.minor += u128::from(own.amount.unwrap_or(0));
        }
        let line = has.line();
        let kind = match (fate, has.standing()) {
            (Fate::Stands, 0) if line.is_some() => Some(Kind::BankHasUndoneOurs),
            (Fate::Stands, 0) => Some(Kind::OursNotInBank),
            (Fate::Stands, 1) => {
                let same = line.and_then(|line| bank.get(line)).is_none_or(|line| same_amount(own, line));
                (!same).then_some(Kind::AmountDiffers)
            }
            (Fate::Stands, _) => Some(Kind::TwiceInBank),
            (Fate::Open, 0) => Some(Kind::OpenAndNotInBank),
            (Fate::Open, _) => Some(Kind::OpenAndInBank),
            (Fate::Undone | Fate::Nothing, 0) => None,
            (Fate::Undone, _) => Some(Kind::BankHasWhatWeReversed),
            (Fate::Nothing, _) => Some(Kind::BankHasWhatWeDoNot),
        };
        match kind {
            None => self.agreed += 1,
            Some(kind) => self.differences.push(Difference { kind, ours: Some(row), bank: line }),
        }
    }

    fn add_bank(&mut self, has: &AtBank, bank: &[BankLine], currency: Option<Currency>) {
        let standing = usize::try_from(has.standing()).unwrap_or(usize::MAX);
        for line in has.sales.iter().take(standing).filter_map(|line| bank.get(*line)) {
            let currency = line.currency.or(currency);
            let exponent = currency.map_or(2, Currency::exponent);
            let minor = line.amount.and_then(|amount| amount.minor(exponent)).unwrap_or(0);
            let total = self.bank.entry(currency).or_default();
            total.count += 1;
            total.minor += u128::from(minor);
        }
    }
}

/// Whether they agree, as far as the list tells amount and currency.
fn same_amount(own: &Ours, line: &BankLine) -> bool {
    let same_currency = line.currency.zip(own.currency).is_none_or(|(theirs, ours)| theirs == ours);
    let exponent = own.currency.or(line.currency).map_or(2, Currency::exponent);
    let same = match (line.amount, own.amount) {
        (Some(theirs), Some(ours)) => theirs.minor(exponent) == Some(ours),
        _ => true,
    };
    same && same_currency
}

/// Our records, by what lines name them.
struct Index {
    by_rrn: HashMap<String, Vec<usize>>,
    by_pair: HashMap<(String, String), Vec<usize>>,
}

impl Index {
    fn new(ours: &[Ours]) -> Index {
        let mut index = Index { by_rrn: HashMap::new(), by_pair: HashMap::new() };
        for (row, own) in ours.iter().enumerate() {
            let (rrn, pair) = own.keys();
            if let Some(rrn) = rrn {
                index.by_rrn.entry(rrn).or_default().push(row);
            }
            if let Some(pair) = pair {
                index.by_pair.entry(pair).or_default().push(row);
            }
        }
        index
    }

    /// Where records stand, clients' own reversals taken into account: they undo what they are about.
    fn fates(&self, ours: &[Ours]) -> Vec<Fate> {
        let mut fates: Vec<Fate> = ours.iter().map(|own| own.fate).collect();
        for own in ours.iter().filter(|own| own.is_reversal && own.fate == Fate::Stands) {
            let (rrn, pair) = own.keys();
            let undone =
                [rrn.and_then(|rrn| self.by_rrn.get(&rrn)), pair.and_then(|pair| self.by_pair.get(&pair))]
                    .into_iter()
                    .flatten()
                    .flatten()
                    // The last one before it: a terminal may use a STAN again.
                    .filter(|row| {
                        ours.get(**row).is_some_and(|other| !other.is_reversal && other.row < own.row)
                    })
                    .max();
            if let Some(fate) =
                undone.and_then(|row| fates.get_mut(*row)).filter(|fate| **fate == Fate::Stands)
            {
                *fate = Fate::Undone;
            }
        }
        fates
    }

    /// The record that a line is about. Of several the one with its amount, of the day, not found by another line yet;
    /// then the oldest.
    fn find(&self, ours: &[Ours], at_bank: &[AtBank], line: &BankLine) -> Option<usize> {
        let (rrn, pair) = line.keys();
        let by_rrn = rrn.and_then(|rrn| self.by_rrn.get(&rrn));
        let candidates = by_rrn.or_else(|| pair.and_then(|pair| self.by_pair.get(&pair)))?;
        let sales = candidates.iter().copied().filter_map(|row| Some((row, ours.get(row)?)));
        let sales = sales.filter(|(_, own)| !own.is_reversal);
        sales
            .min_by_key(|(row, own)| {
                let found = at_bank.get(*row).is_some_and(|has| !has.sales.is_empty());
                // A reversal is about what the list has; a sale about what it does not have yet.
                let taken = found != line.is_reversal;
                (!same_amount(own, line), taken, !own.is_of_the_day, *row)
            })
            .map(|(row, _)| row)
    }
}

#[cfg(test)]
mod tests;
