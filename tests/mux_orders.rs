//! What a person's decisions do across the end of a process, and what listed transactions are while it runs.

#![allow(clippy::unwrap_used)]

#[path = "support/restart.rs"]
#[allow(dead_code)]
mod restart;
#[path = "support/scene.rs"]
#[allow(dead_code)]
mod scene;

use restart::{World, world, world_with};
use socketqueue::dialect::RequestClass;
use socketqueue::mux::{
    Decision, Event, Fact, FinalState, JournalOp, Objection, OnUndelivered, Order, Stage, State, TxId, What,
    Withheld,
};

const NOTHING: [&str; 0] = [];

fn order(world: &mut World, id: TxId, what: What) -> Result<(), Objection> {
    let decision = Decision { operator: "jo".into(), reason: "seen on the host".into() };
    world.scene.handle(Event::Operator(Order { id, what, decision }));
    world.scene.operated.pop().unwrap()
}

fn why_listed(world: &mut World) -> Option<Withheld> {
    let facts = world.scene.whole_facts();
    facts.iter().find_map(|fact| if let Fact::Listed { why, .. } = fact { Some(*why) } else { None })
}

/// In flight when the process ended, and of a stage and age of the test's choice at the next start.
fn left_behind(stage: Stage, after_s: u64, change: impl FnOnce(&mut restart::Row)) -> World {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    assert_eq!(w.scene.host_got(), ["0200 1/7"]);
    let row = w.journal.rows.values_mut().next().unwrap();
    row.stage = stage;
    change(row);
    w.kill(after_s).link_up();
    w
}

#[test]
fn what_a_person_ordered_is_sent_whatever_its_age_and_what_nobody_ordered_is_listed() {
    const TWO_DAYS: u64 = 2 * 86_400;
    let mut w = left_behind(Stage::Ordered, TWO_DAYS, |_| {});
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    let mut w = left_behind(Stage::Owed, TWO_DAYS, |_| {});
    assert_eq!((why_listed(&mut w), w.scene.host_got()), (Some(Withheld::TooOld), vec![]));
}

#[test]
fn an_order_for_one_host_is_none_for_another() {
    let mut w = left_behind(Stage::Ordered, 1, |row| row.foreign = true);
    assert_eq!(why_listed(&mut w), Some(Withheld::OtherUpstream));
    assert_eq!(w.scene.host_got(), NOTHING);
}

#[test]
fn an_order_by_force_for_another_host_is_carried_on_after_a_crash() {
    let mut w = left_behind(Stage::Owed, 1, |row| row.foreign = true);
    assert_eq!(why_listed(&mut w), Some(Withheld::OtherUpstream));
    let id = w.recovered(0);
    assert_eq!(order(&mut w, id, What::Retry { force: false }), Err(Objection::OtherUpstream));
    assert_eq!(order(&mut w, id, What::Retry { force: true }), Ok(()));
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    w.commit();
    w.kill(1).link_up();
    assert_eq!((why_listed(&mut w), w.scene.host_got()), (None, vec!["0400 1/7".to_owned()]));
}

#[test]
fn the_tries_of_an_ordered_one_begin_anew_and_then_it_is_parked_again() {
    let mut w = left_behind(Stage::Ordered, 1, |row| row.attempts = 11);
    w.commit().at(2000.0);
    w.commit();
    assert_eq!(w.scene.host_got(), ["0400 1/7"; 11]);
    assert_eq!((w.row().stage, w.row().attempts), (Stage::Parked, 22));
}

#[test]
fn what_was_listed_while_it_ran_can_be_resolved_once_and_not_sent() {
    let mut w = world_with(|settings| settings.no_auto_reversal = true);
    w.scene.sale('A', 1, 7);
    w.commit().at(36.0);
    w.commit();
    assert_eq!(w.row().stage, Stage::Listed);
    let id = w.row().was;
    assert_eq!(order(&mut w, id, What::Retry { force: true }), Err(Objection::NothingToSend));
    assert_eq!(order(&mut w, id, What::Resolve), Ok(()));
    assert!(matches!(w.scene.journal.last(), Some(JournalOp::Resolved { .. })));
    assert_eq!(order(&mut w, id, What::Resolve), Err(Objection::Unknown));
    assert!(w.scene.tally().adds_up());
    assert_eq!(w.scene.tally().ended[FinalState::Listed as usize], 1);
    // After the next start it would have been one that can be sent: it was resolved before.
    w.commit();
    w.kill(1).link_up();
    assert_eq!(w.scene.tally().recovered, 0);
}

#[test]
fn with_no_auto_reversal_an_order_is_carried_out_all_the_same() {
    let mut w = world_with(|settings| settings.no_auto_reversal = true);
    w.scene.sale('A', 1, 7);
    w.commit();
    w.kill(1).link_up();
    assert_eq!(why_listed(&mut w), Some(Withheld::NoAutoReversal));
    w.commit();
    w.journal.rows.values_mut().next().unwrap().stage = Stage::Ordered;
    w.kill(1).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn an_approval_found_undelivered_is_reversed_or_listed_as_configured() {
    for (on_undelivered, sent, state) in [
        (OnUndelivered::Reverse, &["0200 1/7", "0400 1/7"][..], None),
        (OnUndelivered::List, &["0200 1/7"], Some(FinalState::Listed)),
    ] {
        let change: fn(&mut socketqueue::mux::Settings) = match on_undelivered {
            OnUndelivered::Reverse => |_| {},
            OnUndelivered::List => |settings| settings.on_undelivered = OnUndelivered::List,
        };
        let mut w = world_with(change);
        w.scene.sale('A', 1, 7);
        w.commit().answer("0200", 1, 7, "000").delivered('A');
        w.commit().delivery_failed('A');
        w.commit();
        assert_eq!(w.scene.host_got(), sent, "{on_undelivered:?}");
        assert!(w.scene.tally().adds_up());
        assert_eq!(w.scene.tally().ended[FinalState::Delivered as usize], 0);
        if let Some(state) = state {
            assert_eq!(w.scene.tally().ended[state as usize], 1);
            assert_eq!(w.row().stage, Stage::Listed);
        }
    }
}

#[test]
fn what_is_left_of_an_answer_is_told_where_an_answer_is_valid() {
    for (state, shown) in [
        (State::Delivered, true),
        (State::DeclinedUndelivered, true),
        (State::AdviceAccepted, true),
        (State::Reversed, false),
        (State::Parked, false),
        (State::NeverSent, false),
    ] {
        let mut w = world();
        w.scene.keyed_sale('A', 1, 7, 1, 1);
        w.commit().answer("0200", 1, 7, "000").delivered('A');
        w.commit();
        let id = w.row().was;
        w.journal.rows.values_mut().next().unwrap().ended.as_mut().unwrap().0 = state;
        w.kill(1);
        w.scene.mux.remember_answer(id, b"what was kept"[..].into(), RequestClass::Approved);
        let status = w.scene.mux.status(id).unwrap();
        assert_eq!((status.state, status.answer.is_some()), (state, shown), "{state:?}");
        w.scene.mux.remember_answer(TxId::from_bits(u64::MAX), b""[..].into(), RequestClass::Approved);
    }
}

#[test]
fn numbers_go_on_after_those_of_the_processes_before() {
    let mut w = world();
    let last = TxId::from_bits(77 << 40);
    w.scene.mux.number_after(last);
    w.scene.sale('A', 1, 7);
    assert!(w.scene.id('A') > last);
}
