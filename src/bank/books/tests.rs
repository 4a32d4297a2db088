use std::sync::Arc;

use super::super::accounts::{OPENING_BALANCE, Pan};
use super::super::facts::Original;
use super::*;
use crate::iso8583::Mti;

const PAN: &str = "4850781234567891";

fn smart_vista() -> Arc<Dialect> {
    Dialect::builtin("smartVista").unwrap()
}

struct Bank {
    books: Books,
}

/// A message of terminal 00000001, at 26-11-22 03:26:33.
fn message(mti: u16, stan: u32, amount: u64) -> Facts {
    let mti = Mti::new(mti);
    Facts {
        mti,
        kind: Kind::of(mti),
        is_broken: false,
        tid: *b"00000001\0\0\0\0\0\0\0\0",
        stan: Some(stan),
        local_time: *b"261122032633",
        sent_at: *b"1122032633\0\0",
        amount: Some(amount),
        pan: Pan::of_digits(PAN),
        rrn: None,
        original: Original::Own,
        is_refund: false,
        is_inquiry: false,
    }
}

fn bank(policy: Policy) -> Bank {
    Bank { books: Books::new(&smart_vista(), policy) }
}

impl Bank {
    fn take(&mut self, facts: &Facts) -> (Option<Note>, String) {
        self.take_through(Gate::Open, facts)
    }

    fn take_through(&mut self, gate: Gate, facts: &Facts) -> (Option<Note>, String) {
        let ruling = self.books.take(facts, gate);
        (ruling.note, ruling.code.map_or("silence", |code| self.books.codes().text(code)).to_owned())
    }

    fn balance(&self) -> i128 {
        let account = self.books.accounts.find(Pan::of_digits(PAN).unwrap());
        account.map_or(OPENING_BALANCE, |account| self.books.accounts.balance(account))
    }

    /// Takes these one after the other; each must be answered so, and leave the balance so.
    fn story(&mut self, name: &str, steps: &[(Facts, Option<Note>, &str, i128)]) {
        for (step, (facts, note, code, balance)) in steps.iter().enumerate() {
            let (its_note, its_code) = self.take(facts);
            assert_eq!(
                (its_note, &*its_code, self.balance()),
                (*note, *code, *balance),
                "{name}, step {step}"
            );
        }
    }
}

fn repeat(facts: &Facts) -> Facts {
    Facts { mti: facts.mti.repeat(), ..facts.clone() }
}

fn refund(facts: Facts) -> Facts {
    Facts { is_refund: true, ..facts }
}

#[test]
fn each_message_is_answered_and_booked_as_the_table_says() {
    use Note::*;
    let sale = |stan, amount| message(0x0200, stan, amount);
    let authorization = |stan, amount| message(0x0100, stan, amount);
    let advice = |stan, amount| message(0x0220, stan, amount);
    let undo = |stan, amount| message(0x0400, stan, amount);
    let cardless = |facts: Facts| Facts { pan: None, ..facts };
    let broken = |facts: Facts| Facts { is_broken: true, ..facts };
    type Step = (Facts, Option<Note>, &'static str, i128);
    let stories: Vec<(&str, Vec<Step>)> = vec![
        ("an echo", vec![(message(0x0800, 1, 0), None, "000", 100_000)]),
        ("an echo's advice", vec![(message(0x0820, 1, 0), None, "000", 100_000)]),
        (
            "what is no business of a bank",
            vec![
                (message(0x0210, 1, 5), None, "silence", 100_000),
                (message(0x0240, 1, 5), None, "silence", 100_000),
                (message(0x0500, 1, 5), None, "silence", 100_000),
            ],
        ),
        ("a sale opens the account with 100000", vec![(sale(1, 1), Some(Booked), "000", 99_999)]),
        (
            "the whole balance may be spent, and not one more",
            vec![
                (sale(1, 100_001), Some(Declined), "116", 100_000),
                (sale(2, 100_000), Some(Booked), "000", 0),
                (sale(3, 1), Some(Declined), "116", 0),
            ],
        ),
        ("an authorization is held like a sale", vec![(authorization(1, 40), Some(Booked), "000", 99_960)]),
        (
            "no card, no amount",
            vec![
                (cardless(sale(1, 40)), Some(Declined), "005", 100_000),
                (sale(2, 0), Some(Declined), "005", 100_000),
                (Facts { amount: None, ..sale(3, 1) }, Some(Declined), "005", 100_000),
            ],
        ),
        (
            "a broken message is refused",
            vec![
                (broken(sale(1, 40)), Some(Declined), "120", 100_000),
                (broken(undo(1, 40)), Some(ReversalError), "120", 100_000),
                (broken(advice(2, 40)), None, "120", 100_000),
                (message(0x0800, 1, 0), None, "000", 100_000),
            ],
        ),
        (
            "...777 answers its leading digits where they are a known code, below 100 too (D24)",
            vec![
                (sale(1, 116_777), Some(Declined), "116", 100_000),
                (sale(2, 5_777), Some(Declined), "005", 100_000),
                (sale(3, 20_777), Some(Booked), "020", 100_000),
                (sale(4, 555_777), Some(Booked), "000", 100_000),
                (sale(5, 777), Some(Booked), "000", 100_000),
                (undo(4, 555_777), Some(Reversed), "000", 100_000),
                (undo(1, 116_777), Some(ReversalNotFound), "914", 100_000),
            ],
        ),
        (
            "...888 sets the balance of a card that has an account",
            vec![
                (sale(1, 50_888), Some(Booked), "000", 49_112),
                (sale(2, 50_888), Some(Booked), "000", 50),
                (sale(3, 51), Some(Declined), "116", 50),
                (undo(2, 50_888), Some(Reversed), "000", 50),
            ],
        ),
        (
            "a refund gives",
            vec![
                (refund(sale(1, 500)), Some(Booked), "000", 100_500),
                (refund(undo(1, 500)), Some(Reversed), "000", 100_000),
            ],
        ),
        ("an inquiry moves nothing", vec![(Facts { is_inquiry: true, ..sale(1, 0) }, None, "000", 100_000)]),
        (
            "a repeat is answered as the first was",
            vec![
                (sale(1, 40), Some(Booked), "000", 99_960),
                (repeat(&sale(1, 40)), Some(SaleRepeat), "000", 99_960),
                (sale(2, 100_000), Some(Declined), "116", 99_960),
                (repeat(&sale(2, 100_000)), Some(SaleRepeat), "116", 99_960),
                (repeat(&authorization(3, 60)), Some(Booked), "000", 99_900),
            ],
        ),
        (
            "a repeat of what was undone is refused",
            vec![
                (sale(1, 40), Some(Booked), "000", 99_960),
                (undo(1, 40), Some(Reversed), "000", 100_000),
                (repeat(&sale(1, 40)), Some(SaleRepeat), "100", 100_000),
            ],
        ),
        (
            "the same sale again is booked again, and the newest is undone",
            vec![
                (sale(1, 40), Some(Booked), "000", 99_960),
                (sale(1, 40), Some(DuplicateSale), "000", 99_920),
                (undo(1, 40), Some(Reversed), "000", 99_960),
                (undo(1, 40), Some(ReversalRepeat), "000", 99_960),
            ],
        ),
        (
            "a STAN at another time is another sale",
            vec![
                (sale(1, 40), Some(Booked), "000", 99_960),
                (Facts { local_time: *b"261122032634", ..sale(1, 40) }, Some(Booked), "000", 99_920),
            ],
        ),
        (
            "an advice is booked once, whatever the balance",
            vec![
                (advice(1, 100_040), None, "000", -40),
                (repeat(&advice(1, 100_040)), None, "000", -40),
                (advice(1, 100_040), None, "000", -40),
                (message(0x0120, 2, 10), None, "000", -50),
                (cardless(advice(3, 10)), None, "000", -50),
                (refund(sale(4, 10)), Some(Booked), "000", -40),
                (undo(1, 100_040), Some(Reversed), "000", 100_000),
            ],
        ),
        (
            "a reversal undoes once, and its repeats are answered the same",
            vec![
                (sale(1, 40), Some(Booked), "000", 99_960),
                (undo(1, 40), Some(Reversed), "000", 100_000),
                (undo(1, 40), Some(ReversalRepeat), "000", 100_000),
                (message(0x0401, 1, 40), Some(ReversalRepeat), "000", 100_000),
                (message(0x0421, 1, 40), Some(ReversalRepeat), "000", 100_000),
            ],
        ),
        (
            "a reversal of something else is not found",
            vec![
                (sale(1, 40), Some(Booked), "000", 99_960),
                (undo(1, 41), Some(ReversalNotFound), "914", 99_960),
                (undo(2, 40), Some(ReversalNotFound), "914", 99_960),
                (
                    Facts { tid: *b"00000002\0\0\0\0\0\0\0\0", ..undo(1, 40) },
                    Some(ReversalNotFound),
                    "914",
                    99_960,
                ),
                (
                    Facts { local_time: *b"261122032634", ..undo(1, 40) },
                    Some(ReversalNotFound),
                    "914",
                    99_960,
                ),
                // None of them hides the sale.
                (undo(1, 40), Some(Reversed), "000", 100_000),
            ],
        ),
        (
            "what was declined cannot be undone",
            vec![
                (sale(1, 100_001), Some(Declined), "116", 100_000),
                (undo(1, 100_001), Some(ReversalNotFound), "914", 100_000),
            ],
        ),
        (
            "the original of a reversal that came before it is refused, for ever",
            vec![
                (undo(1, 40), Some(ReversalNotFound), "914", 100_000),
                (undo(1, 40), Some(ReversalNotFound), "914", 100_000),
                (sale(1, 40), Some(LateOriginalRefused), "100", 100_000),
                (sale(1, 40), Some(LateOriginalRefused), "100", 100_000),
                (repeat(&sale(1, 40)), Some(LateOriginalRefused), "100", 100_000),
                (undo(1, 40), Some(ReversalNotFound), "914", 100_000),
                (sale(2, 40), Some(Booked), "000", 99_960),
            ],
        ),
        (
            "an advice whose reversal came before it is accepted and not booked",
            vec![
                (undo(1, 40), Some(ReversalNotFound), "914", 100_000),
                (advice(1, 40), Some(LateOriginalRefused), "000", 100_000),
            ],
        ),
    ];
    for (name, steps) in stories {
        bank(Policy::default()).story(name, &steps);
    }
}

#[test]
fn a_reversal_names_its_original_by_rrn_by_de_90_by_de_56_or_like_the_original() {
    let of = |stan: u32, original: Original| Facts { original, ..message(0x0420, stan, 40) };
    let by_rrn = |rrn: u64, facts: Facts| Facts { rrn: Some(rrn), ..facts };
    let other_card = Facts { pan: Pan::of_digits("4850781234567892"), ..message(0x0400, 9, 40) };
    let other_tid = Facts { tid: *b"00000002\0\0\0\0\0\0\0\0", ..message(0x0400, 9, 40) };
    let no_card_other_tid = Facts { pan: None, ..other_tid.clone() };
    let no_card = Facts { pan: None, ..message(0x0400, 9, 40) };
    type Make<'a> = Box<dyn Fn(u64) -> Facts + 'a>;
    let ways: Vec<(&str, Make, bool)> = vec![
        ("the RRN and the card", Box::new(|rrn| by_rrn(rrn, other_tid.clone())), true),
        ("the RRN and the TID", Box::new(|rrn| by_rrn(rrn, no_card.clone())), true),
        ("the RRN and neither", Box::new(|rrn| by_rrn(rrn, no_card_other_tid.clone())), false),
        ("the RRN and another card", Box::new(|rrn| by_rrn(rrn, other_card.clone())), false),
        ("the RRN and another amount", Box::new(|rrn| by_rrn(rrn, message(0x0400, 9, 41))), false),
        (
            "the RRN and no amount",
            Box::new(|rrn| Facts { amount: None, ..by_rrn(rrn, message(0x0400, 9, 0)) }),
            true,
        ),
        ("another RRN", Box::new(|rrn| by_rrn(rrn + 1, message(0x0400, 9, 40))), false),
        ("an RRN of the terminal's own", Box::new(|rrn| by_rrn(rrn + 1, message(0x0400, 1, 40))), true),
        ("DE 90", Box::new(|_| of(9, Original::SentAt(1, *b"1122032633\0\0"))), true),
        ("DE 90 at another time", Box::new(|_| of(9, Original::SentAt(1, *b"1122032634\0\0"))), false),
        ("DE 56", Box::new(|_| of(9, Original::LocalTime(1, *b"261122032633"))), true),
        ("DE 56 with another STAN", Box::new(|_| of(1, Original::LocalTime(2, *b"261122032633"))), false),
        ("its own names", Box::new(|_| of(1, Original::Own)), true),
    ];
    for (name, reversal, is_found) in ways {
        let mut bank = bank(Policy::default());
        let rrn = bank.books.take(&message(0x0200, 1, 40), Gate::Open).rrn.unwrap();
        let expected = if is_found {
            (Some(Note::Reversed), "000".into())
        } else {
            (Some(Note::ReversalNotFound), "914".into())
        };
        assert_eq!(bank.take(&reversal(rrn)), expected, "{name}");
    }
}

#[test]
fn an_original_that_de_90_announced_is_refused_when_it_comes() {
    let mut bank = bank(Policy::default());
    let reversal = Facts {
        original: Original::SentAt(1, *b"1122032633\0\0"),
        local_time: [0; 12],
        ..message(0x0420, 9, 40)
    };
    assert_eq!(bank.take(&reversal), (Some(Note::ReversalNotFound), "914".into()));
    assert_eq!(
        bank.take(&message(0x0200, 9, 40)).0,
        Some(Note::Booked),
        "the reversal's own STAN means nothing"
    );
    assert_eq!(bank.take(&message(0x0200, 1, 40)), (Some(Note::LateOriginalRefused), "100".into()));
}

#[test]
fn what_a_line_is_about_is_the_original() {
    let mut bank = bank(Policy::default());
    let rrn = bank.books.take(&message(0x0200, 1, 40), Gate::Open).rrn;
    let reversal = Facts { rrn, amount: None, ..message(0x0400, 9, 0) };
    let about = bank.books.take(&reversal, Gate::Open).about;
    assert_eq!((about.stan, about.amount, about.rrn, &about.local_time), (Some(1), 40, rrn, b"261122032633"));
}

#[test]
fn a_repeat_gets_the_rrn_of_the_first_and_a_duplicate_gets_another() {
    let mut bank = bank(Policy::default());
    let sale = message(0x0200, 1, 40);
    let first = bank.books.take(&sale, Gate::Open);
    let again = bank.books.take(&repeat(&sale), Gate::Open);
    let duplicate = bank.books.take(&sale, Gate::Open);
    assert!(first.is_debited && again.is_debited);
    assert_eq!(first.rrn, again.rrn);
    assert!(duplicate.rrn.is_some() && duplicate.rrn != first.rrn);
}

#[test]
fn magic_answers_and_refusals_have_no_rrn_and_an_echo_has_one() {
    let mut bank = bank(Policy::default());
    for (facts, has_rrn, is_debited) in [
        (message(0x0800, 1, 0), true, false),
        (message(0x0200, 2, 40), true, true),
        (message(0x0200, 3, 50_888), false, false),
        (message(0x0200, 4, 20_777), false, false),
        (message(0x0200, 5, 51_000_000), false, false),
        (message(0x0400, 2, 40), false, false),
    ] {
        let ruling = bank.books.take(&facts, Gate::Open);
        assert_eq!(
            (ruling.rrn.is_some(), ruling.is_debited),
            (has_rrn, is_debited),
            "{} {:?}",
            facts.mti,
            facts.amount
        );
    }
}

#[test]
fn a_lost_message_leaves_no_booking_and_its_second_sending_is_noticed() {
    let mut bank = bank(Policy::default());
    let silence = |note| (Some(note), "silence".to_owned());
    assert_eq!(bank.take_through(Gate::Lose, &message(0x0200, 1, 40)), silence(Note::Lost));
    assert_eq!(bank.take(&message(0x0400, 1, 40)), (Some(Note::ReversalNotFound), "914".into()));
    assert_eq!(bank.take(&message(0x0200, 1, 40)), (Some(Note::DuplicateSale), "000".into()));
    assert_eq!(bank.take_through(Gate::Lose, &message(0x0200, 2, 40)), silence(Note::Lost));
    assert_eq!(bank.take(&repeat(&message(0x0200, 2, 40))), (Some(Note::Booked), "000".into()));
    assert_eq!(bank.take_through(Gate::Lose, &message(0x0400, 2, 40)), silence(Note::Lost));
    assert_eq!(bank.balance(), 99_920);
    assert_eq!(bank.take(&message(0x0400, 2, 40)), (Some(Note::Reversed), "000".into()));
}

#[test]
fn an_error_on_reversal_strikes_the_first_reversal_of_a_sale_only() {
    let mut bank = bank(Policy::default());
    bank.take(&message(0x0200, 1, 40));
    let undo = message(0x0400, 1, 40);
    assert_eq!(bank.take_through(Gate::FailReversal, &undo), (Some(Note::ReversalError), "909".into()));
    assert_eq!(bank.balance(), 99_960);
    assert_eq!(bank.take_through(Gate::FailReversal, &undo), (Some(Note::Reversed), "000".into()));
    assert_eq!(bank.take_through(Gate::FailReversal, &undo), (Some(Note::ReversalRepeat), "000".into()));
}

#[test]
fn unlimited_accounts_go_below_zero_and_without_magic_all_amounts_are_amounts() {
    let mut bank = bank(Policy { unlimited: true, magic: false, ..Policy::default() });
    bank.story(
        "no tricks",
        &[
            (message(0x0200, 1, 116_777), Some(Note::Booked), "000", -16_777),
            (message(0x0200, 2, 50_888), Some(Note::Booked), "000", -67_665),
        ],
    );
}

#[test]
fn a_card_beyond_the_last_account_is_refused() {
    let mut bank = bank(Policy { accounts_max: 1, ..Policy::default() });
    let other = |stan| Facts { pan: Pan::of_digits("4850781234567892"), ..message(0x0200, stan, 40) };
    assert_eq!(bank.take(&other(1)), (Some(Note::Booked), "000".into()));
    assert_eq!(bank.take(&message(0x0200, 2, 40)), (Some(Note::Declined), "005".into()));
    assert_eq!(bank.take(&other(3)), (Some(Note::Booked), "000".into()));
}

#[test]
fn the_books_remember_no_more_than_they_may_and_settled_sales_go_first() {
    let mut bank = bank(Policy { remembered_max: 2, ..Policy::default() });
    bank.take(&message(0x0200, 1, 40));
    bank.take(&message(0x0200, 2, 40));
    bank.take(&message(0x0400, 2, 40));
    bank.take(&message(0x0200, 3, 40));
    assert_eq!(bank.books.sales.len(), 2);
    assert_eq!(bank.take(&message(0x0400, 1, 40)), (Some(Note::Reversed), "000".into()));
}

#[test]
fn rrns_do_not_come_twice() {
    let mut bank = bank(Policy { seed: u64::MAX, ..Policy::default() });
    let mut rrns: Vec<u64> = (0..10_000).map(|_| bank.books.next_rrn()).collect();
    rrns.sort_unstable();
    rrns.dedup();
    assert_eq!(rrns.len(), 10_000);
    assert!(rrns.iter().all(|&rrn| rrn < RRN_COUNT));
}

#[test]
fn open_way_answers_with_its_own_codes() {
    let mut books = Books::new(&Dialect::builtin("openWay").unwrap(), Policy::default());
    let mut code = |facts: &Facts, gate| {
        let ruling = books.take(facts, gate);
        books.codes().text(ruling.code.unwrap()).to_owned()
    };
    assert_eq!(code(&message(0x0800, 1, 0), Gate::Open), "00");
    assert_eq!(code(&message(0x0200, 2, 40), Gate::Open), "00");
    assert_eq!(code(&message(0x0200, 3, 200_000), Gate::Open), "51");
    assert_eq!(code(&message(0x0200, 4, 5_777), Gate::Open), "05");
    assert_eq!(code(&Facts { pan: None, ..message(0x0200, 5, 40) }, Gate::Open), "14");
    assert_eq!(code(&message(0x0200, 6, 0), Gate::Open), "13");
    assert_eq!(code(&Facts { is_broken: true, ..message(0x0200, 7, 40) }, Gate::Open), "30");
    assert_eq!(code(&message(0x0400, 2, 40), Gate::FailReversal), "96");
    assert_eq!(code(&message(0x0400, 2, 40), Gate::Open), "00");
    let dialect = Dialect::builtin("openWay").unwrap();
    let not_found = code(&message(0x0400, 8, 40), Gate::Open);
    assert_eq!(
        dialect.codes.of_reversal(Some(not_found.as_bytes())),
        crate::dialect::ReversalClass::NotFound
    );
}
