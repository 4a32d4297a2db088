use super::*;
use crate::reconcile::bank_file::{self, Layout};

fn own(row: i64, tid: &str, stan: &str, fate: Fate) -> Ours {
    Ours {
        row,
        tid: Some(tid.into()),
        stan: Some(stan.into()),
        rrn: None,
        amount: Some(1000),
        currency: Currency::parse("978"),
        fate,
        state: "",
        is_reversal: false,
        is_of_the_day: true,
    }
}

fn compared(ours: &[Ours], list: &str) -> Compared {
    let bank = bank_file::read(list.as_bytes(), &Layout::default()).unwrap();
    compare(ours, &bank, |code| code == "000", Currency::parse("978"))
}

/// `kind row line`: what differs, in short.
fn differences(ours: &[Ours], list: &str) -> Vec<String> {
    let bank = bank_file::read(list.as_bytes(), &Layout::default()).unwrap();
    compared(ours, list)
        .differences
        .iter()
        .map(|one| {
            let row = one.ours.map_or("-".to_owned(), |row| ours[row].row.to_string());
            let line = one.bank.map_or("-".to_owned(), |line| bank[line].line.to_string());
            format!("{} {row} {line}", one.kind.name())
        })
        .collect()
}

#[test]
fn each_pair_of_fates_is_judged() {
    const HEAD: &str = "tid,stan,amount,code,mti\n";
    const SALE: &str = "1,7,10.00,000,0200\n";
    const DECLINED: &str = "1,7,10.00,116,0200\n";
    const UNDONE: &str = "1,7,10.00,000,0200\n1,7,10.00,000,0400\n";
    for (fate, lines, expected) in [
        (Fate::Stands, SALE, None),
        (Fate::Stands, "", Some("ours_not_in_bank 1 -")),
        (Fate::Stands, DECLINED, Some("bank_has_undone_ours 1 2")),
        (Fate::Stands, UNDONE, Some("bank_has_undone_ours 1 2")),
        (Fate::Stands, "1,7,10.01,000,0200\n", Some("amount_differs 1 2")),
        (Fate::Stands, "1,7,10.00,000,0200\n1,7,10.00,000,0200\n", Some("twice_in_bank 1 2")),
        (Fate::Undone, SALE, Some("bank_has_what_we_reversed 1 2")),
        (Fate::Undone, UNDONE, None),
        (Fate::Undone, DECLINED, None),
        (Fate::Undone, "", None),
        (Fate::Nothing, SALE, Some("bank_has_what_we_do_not 1 2")),
        (Fate::Nothing, DECLINED, None),
        (Fate::Nothing, "", None),
        (Fate::Open, SALE, Some("open_and_in_bank 1 2")),
        (Fate::Open, UNDONE, Some("open_and_not_in_bank 1 2")),
        (Fate::Open, "", Some("open_and_not_in_bank 1 -")),
    ] {
        let ours = [own(1, "00000001", "000007", fate)];
        let found = differences(&ours, &format!("{HEAD}{lines}"));
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{fate:?} {lines}");
    }
}

#[test]
fn what_we_know_nothing_of_is_listed_unless_the_list_undoes_it() {
    let list =
        "tid,stan,amount,mti\n9,1,10,0200\n9,2,10,0200\n9,2,10,0400\n9,3,-10,\n9,4,10,0200\n9,4,10,0200\n";
    assert_eq!(
        differences(&[], list),
        ["in_bank_not_ours - 2", "in_bank_not_ours - 6", "in_bank_not_ours - 7"]
    );
}

#[test]
fn the_rrn_decides_before_terminal_and_stan() {
    let mut first = own(1, "1", "7", Fate::Stands);
    first.rrn = Some("000000000042".into());
    let mut second = own(2, "1", "7", Fate::Stands);
    second.rrn = Some("000000000043".into());
    let ours = [first, second];
    assert_eq!(differences(&ours, "rrn,amount\n43,10\n42,10\n"), [] as [&str; 0]);
    assert_eq!(differences(&ours, "rrn,amount\n43,10\n"), ["ours_not_in_bank 1 -"]);
    // An RRN that we do not have: by terminal and STAN.
    assert_eq!(differences(&ours[..1], "rrn,tid,stan,amount\n99,1,7,10\n"), [] as [&str; 0]);
}

#[test]
fn of_several_with_one_key_amounts_find_each_other() {
    let (mut first, second) = (own(1, "1", "7", Fate::Stands), own(2, "1", "7", Fate::Stands));
    first.amount = Some(2000);
    let ours = [first, second];
    assert_eq!(differences(&ours, "tid,stan,amount\n1,7,10\n1,7,20\n"), [] as [&str; 0]);
    assert_eq!(differences(&ours, "tid,stan,amount\n1,7,10\n1,7,30\n"), ["amount_differs 1 3"]);
    // Without amounts, each line finds another one.
    assert_eq!(differences(&ours, "tid,stan\n1,7\n1,7\n"), [] as [&str; 0]);
}

#[test]
fn a_clients_own_reversal_undoes_the_sale_before_it() {
    let mut reversal = own(2, "1", "7", Fate::Stands);
    reversal.is_reversal = true;
    let later = own(3, "1", "7", Fate::Stands);
    let ours = [own(1, "1", "7", Fate::Stands), reversal, later];
    assert_eq!(
        differences(&ours, "tid,stan,amount\n1,7,10\n"),
        ["bank_has_what_we_reversed 1 2", "ours_not_in_bank 3 -"]
    );
    assert_eq!(differences(&ours[..2], "tid,stan,amount\n"), [] as [&str; 0]);
}

#[test]
fn a_record_of_the_day_beside_explains_a_line_and_is_not_missed() {
    let mut yesterday = own(1, "1", "7", Fate::Stands);
    yesterday.is_of_the_day = false;
    let ours = [yesterday, own(2, "1", "8", Fate::Stands)];
    let found = compared(&ours, "tid,stan,amount\n1,7,10\n1,8,10\n");
    assert_eq!((found.differences.len(), found.agreed, found.of_other_days), (0, 1, 1));
    assert_eq!(differences(&ours, "tid,stan,amount\n1,8,10\n"), [] as [&str; 0]);
}

#[test]
fn totals_are_by_currency_with_its_decimals() {
    let mut yen = own(2, "1", "8", Fate::Stands);
    yen.currency = Currency::parse("392");
    let ours = [own(1, "1", "7", Fate::Stands), yen, own(3, "1", "9", Fate::Undone)];
    let found = compared(&ours, "tid,stan,amount\n1,7,10.00\n1,8,1000\n9,9,5\n");
    let total = |count, minor| Total { count, minor };
    let (euro, yen) = (Currency::parse("978"), Currency::parse("392"));
    assert_eq!(found.ours, BTreeMap::from([(euro, total(1, 1000)), (yen, total(1, 1000))]));
    assert_eq!(found.bank, BTreeMap::from([(euro, total(2, 1500)), (yen, total(1, 1000))]));
    assert_eq!(found.differences.len(), 1);
    let other = "tid,stan,amount,currency\n1,7,10.00,840\n";
    assert_eq!(differences(&ours[..1], other), ["amount_differs 1 2"]);
}
