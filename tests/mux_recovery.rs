//! What the design's tables say of a process that was killed, each row as a scene: how far a transaction had come, what
//! the journal had of it, and what the host gets from the process after.

#![allow(clippy::unwrap_used)]

#[path = "support/restart.rs"]
#[allow(dead_code)]
mod restart;
#[path = "support/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::time::Duration;

use restart::{World, world, world_with};
use socketqueue::iso8583::field;
use socketqueue::mux::{
    Decision, Event, Fact, FinalState, Objection, OnRestart, Order, Stage, State, TxId, What, Withheld,
};

const NOTHING: [&str; 0] = [];

fn ended(world: &World, state: FinalState) -> u64 {
    world.scene.tally().ended[state as usize]
}

/// Why the listed ones were listed.
fn listed(world: &mut World) -> Vec<Withheld> {
    let facts = world.scene.whole_facts();
    facts
        .iter()
        .filter_map(|fact| if let Fact::Listed { why, .. } = fact { Some(*why) } else { None })
        .collect()
}

fn order(world: &mut World, id: TxId, what: What) -> Result<(), Objection> {
    let decision = Decision { operator: "jo".into(), reason: "seen on the host".into() };
    world.scene.handle(Event::Operator(Order { id, what, decision }));
    world.scene.operated.pop().unwrap()
}

/// A sale whose reversal was sent eleven times without an answer, and parked.
fn with_a_parked_reversal() -> World {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().at(2000.0);
    w.commit();
    assert_eq!(w.row().stage, Stage::Parked);
    assert_eq!(w.row().attempts, 11);
    w
}

// -- killed before and while the host is asked ------------------------------------------------------------------------

#[test]
fn killed_before_its_intent_is_durable_nothing_was_sent_and_nothing_is_owed() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    assert_eq!(w.scene.host_got(), NOTHING);
    w.kill(1).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
    assert_eq!(w.scene.tally().recovered, 0);
}

#[test]
fn killed_in_flight_it_is_reversed_before_anything_else_of_its_terminal() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    assert_eq!(w.scene.host_got(), ["0200 1/7"]);
    w.kill(5).sale('B', 1, 8);
    w.scene.link_up();
    w.commit();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    assert_eq!((w.scene.tally().recovered, w.scene.tally().owed), (1, 1));
    w.scene.answer("0400", 1, 7, "000");
    w.commit();
    assert_eq!(w.scene.host_got(), ["0200 1/8"]);
    assert_eq!(ended(&w, FinalState::Reversed), 1);
}

#[test]
fn its_reversal_after_a_restart_has_the_card_number_and_lacks_track_and_pin_block() {
    let mut w = world();
    w.scene.send('A', "0200", 1, 7, &[(52, "12345678")]);
    w.commit();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    let (sale, reversal) = (w.scene.message("0200", 1, 7), w.scene.message("0400", 1, 7));
    assert_eq!(reversal.text(field::PAN).unwrap(), "4850781234567891");
    for n in [field::TRACK_2, field::PIN_BLOCK] {
        assert!(sale.has(n) && !reversal.has(n), "{n}");
    }
    for n in [field::PROCESSING_CODE, field::AMOUNT, field::STAN, field::LOCAL_TIME, field::TID, field::MID] {
        assert_eq!(sale.text(n), reversal.text(n), "{n}");
    }
    assert_ne!(sale.text(field::TRANSMISSION_TIME), reversal.text(field::TRANSMISSION_TIME));
}

#[test]
fn not_found_is_not_believed_right_after_a_restart() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    w.kill(1).link_up().answer("0400", 1, 7, "914");
    assert_eq!(w.scene.tally().owed, 1);
    w.scene.at(61.0).answer("0400", 1, 7, "914");
    assert_eq!(ended(&w, FinalState::Reversed), 1);
}

#[test]
fn not_found_is_believed_by_the_time_since_the_original_left_however_young_the_process_is() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    let row = w.journal.rows.get_mut(&1).unwrap();
    row.left_ms = Some(row.received_ms);
    w.kill(55).link_up().answer("0400", 1, 7, "914");
    assert_eq!(w.scene.tally().owed, 1, "55 s are not enough");
    w.kill(5).link_up().answer("0400", 1, 7, "914");
    assert_eq!(ended(&w, FinalState::Reversed), 1, "60 s after it left");
}

#[test]
fn restarts_do_not_use_up_the_tries_of_a_reversal() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    for _ in 0..20 {
        w.kill(1).link_up().answer("0400", 1, 7, "909");
        w.commit();
        assert_eq!(w.row().stage, Stage::Owed);
    }
    // The schedule of the last start is whole: the first sending there, and ten more.
    w.scene.host_got();
    w.scene.at(2000.0);
    assert_eq!(w.scene.host_got().len(), 9, "two at once were answered, nine more");
    assert_eq!(ended(&w, FinalState::Parked), 1);
    w.commit();
    assert_eq!(w.row().stage, Stage::Parked);
}

#[test]
fn a_decline_that_comes_after_the_restart_cancels_a_reversal_not_yet_sent() {
    let mut w = world();
    w.scene.sale('A', 1, 7).sale('B', 2, 7);
    w.commit();
    w.scene.host_got();
    w.kill(1);
    // The link's first bytes are answers that the host had kept.
    w.scene.handle(Event::LinkDown);
    w.scene.answer("0200", 1, 7, "116").link_up();
    assert_eq!(w.scene.host_got(), ["0400 2/7"]);
    assert_eq!(ended(&w, FinalState::DeclinedUndelivered), 1);
}

// -- killed after the answer ------------------------------------------------------------------------------------------

#[test]
fn killed_between_the_answer_and_its_end_goes_by_what_the_host_said() {
    for (code, on_restart, got, state) in [
        ("000", OnRestart::Reverse, vec!["0400 1/7"], None),
        ("000", OnRestart::List, vec![], Some(FinalState::Listed)),
        ("911", OnRestart::Reverse, vec!["0400 1/7"], None),
        ("911", OnRestart::List, vec![], Some(FinalState::Listed)),
        ("116", OnRestart::Reverse, vec![], Some(FinalState::DeclinedUndelivered)),
        ("116", OnRestart::List, vec![], Some(FinalState::DeclinedUndelivered)),
    ] {
        let mut w = match on_restart {
            OnRestart::Reverse => world(),
            OnRestart::List => world_with(|set| set.on_restart = OnRestart::List),
        };
        w.scene.sale('A', 1, 7);
        w.commit().answer("0200", 1, 7, code);
        w.commit();
        // Delivered, but that never reached the disk.
        w.scene.delivered('A').host_got();
        w.kill(5).link_up();
        assert_eq!(w.scene.host_got(), got, "{code} {on_restart:?}");
        if let Some(state) = state {
            assert_eq!(ended(&w, state), 1, "{code} {on_restart:?}");
        }
    }
}

#[test]
fn killed_after_a_delivery_whose_end_is_durable_nothing_is_sent() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "000").delivered('A');
    w.commit();
    w.scene.host_got();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
    assert_eq!(w.scene.tally().recovered, 0);
}

#[test]
fn an_answer_that_never_reached_the_disk_is_as_no_answer() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "000").delivered('A').host_got();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn an_approval_after_the_decline_that_a_restart_closed_is_made_good() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "116");
    w.commit();
    w.scene.host_got();
    w.kill(5).link_up();
    w.scene.answer("0200", 1, 7, "000");
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn the_journal_has_reference_approval_code_and_response_code_of_the_answer() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer_with("0200", 1, 7, "000", &[(38, "A1B2C3")]);
    w.commit();
    let answer = w.row().answer.clone().unwrap();
    assert_eq!(answer.rrn.unwrap()[..], *b"000000012345");
    assert_eq!(answer.approval_code.unwrap()[..], *b"A1B2C3");
    assert_eq!(answer.response_code.unwrap()[..], *b"000");
}

// -- killed while something is owed -----------------------------------------------------------------------------------

#[test]
fn killed_while_owed_it_goes_on_with_its_attempts_and_the_reference_learned() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().at(35.0);
    assert_eq!(w.scene.host_got(), ["0200 1/7", "0400 1/7"]);
    w.scene.answer_with("0200", 1, 7, "000", &[(37, "000000000777")]);
    w.commit();
    assert_eq!((w.row().stage, w.row().attempts), (Stage::Owed, 1));
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    assert_eq!(w.scene.message("0400", 1, 7).text(field::RRN).unwrap(), "000000000777");
    let sent: Vec<u32> = w
        .scene
        .whole_facts()
        .iter()
        .filter_map(|fact| if let Fact::ReversalSent { attempt, .. } = fact { Some(*attempt) } else { None })
        .collect();
    assert_eq!(sent, [2]);
    w.scene.answer("0400", 1, 7, "000");
    w.commit();
    assert!(w.row().ended.is_some());
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
}

#[test]
fn a_reversal_that_was_or_may_have_been_sent_goes_on_as_a_repeat() {
    // A host whose repeats have an MTI of their own.
    let repeats = |set: &mut socketqueue::mux::Settings| {
        let mut profile = (**set.reversal.as_ref().unwrap()).clone();
        profile.repeat = socketqueue::iso8583::Mti::new(0x0401);
        set.reversal = Some(std::sync::Arc::new(profile));
    };
    for (sent_is_durable, owed_is_durable, expected) in
        [(true, true, "0401 1/7"), (false, true, "0401 1/7"), (false, false, "0400 1/7")]
    {
        let mut w = world_with(repeats);
        w.scene.sale('A', 1, 7);
        w.commit().link_down();
        if owed_is_durable {
            w.commit();
        }
        w.scene.link_up();
        if sent_is_durable {
            w.commit();
        }
        assert_eq!(w.scene.host_got(), ["0200 1/7", "0400 1/7"]);
        w.kill(5).link_up();
        assert_eq!(w.scene.host_got(), [expected], "{sent_is_durable} {owed_is_durable}");
    }
}

#[test]
fn it_keeps_its_key_and_its_terminal_across_the_restart_as_a_live_one() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().link_down();
    w.commit();
    w.kill(5).sale('B', 1, 7);
    assert_eq!(w.scene.told(), ["B: KeyReserved"]);
    w.scene.sale('C', 1, 8).link_up();
    // The hold runs from the first sending, for 60 s; the sale has a deadline of 35.
    w.scene.at(34.9);
    w.commit();
    assert!(w.scene.host_got().iter().all(|got| got == "0400 1/7"));
    w.scene.at(35.0);
    assert_eq!(w.scene.told(), ["C: TerminalHeld"]);
    w.scene.sale('D', 1, 9).at(61.0);
    w.commit();
    assert!(w.scene.host_got().contains(&"0200 1/9".into()));
}

#[test]
fn without_a_link_nothing_recovered_uses_up_its_tries() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    w.scene.host_got();
    w.kill(5).at(5000.0);
    assert_eq!(w.scene.host_got(), NOTHING);
    w.scene.link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn parked_stays_parked_is_counted_and_its_key_is_free() {
    let mut w = with_a_parked_reversal();
    w.kill(5).link_up().at(4000.0);
    assert_eq!(w.scene.host_got(), NOTHING);
    assert_eq!(ended(&w, FinalState::Parked), 1);
    assert_eq!((w.scene.tally().open, w.scene.tally().owed, w.scene.tally().recovered), (0, 0, 1));
    w.scene.sale('B', 1, 7);
    w.commit();
    assert_eq!(w.scene.host_got(), ["0200 1/7"]);
    assert!(w.journal.rows[&1].superseded);
}

// -- listed -----------------------------------------------------------------------------------------------------------

#[test]
fn what_is_too_old_from_the_future_or_of_another_upstream_is_listed_and_not_sent() {
    let day = 86_400;
    for (after, moved_ms, foreign, why) in [
        (day, 0, false, None),
        (day + 1, 0, false, Some(Withheld::TooOld)),
        (5, 3_600_000, false, Some(Withheld::FromTheFuture)),
        (5, 0, true, Some(Withheld::OtherUpstream)),
    ] {
        let mut w = world();
        w.scene.sale('A', 1, 7);
        w.commit().link_down();
        w.commit();
        w.scene.host_got();
        let row = w.journal.rows.get_mut(&1).unwrap();
        row.received_ms += moved_ms;
        row.foreign = foreign;
        w.kill(after).link_up().at(2000.0);
        match why {
            None => assert!(!w.scene.host_got().is_empty()),
            Some(why) => {
                assert_eq!(w.scene.host_got(), NOTHING, "{why:?}");
                assert_eq!(listed(&mut w), [why]);
                assert_eq!((ended(&w, FinalState::Listed), w.scene.tally().open), (1, 0));
                // It comes back listed, whatever the clock says by then.
                w.commit();
                assert_eq!(w.row().stage, Stage::Listed);
                w.journal.rows.get_mut(&1).unwrap().received_ms = w.scene.now.wall_ms;
                w.kill(1).link_up();
                assert_eq!(w.scene.host_got(), NOTHING, "{why:?}");
                assert_eq!(ended(&w, FinalState::Listed), 1);
            }
        }
    }
}

#[test]
fn without_automatic_reversals_what_is_in_doubt_is_listed_alive_and_after_a_restart() {
    let mut w = world_with(|set| set.no_auto_reversal = true);
    w.scene.sale('A', 1, 7);
    w.commit().at(35.0);
    w.commit();
    assert_eq!(w.row().stage, Stage::Listed);
    w.scene.sale('B', 2, 7);
    w.commit();
    w.scene.host_got();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
    assert_eq!(listed(&mut w), [Withheld::Before, Withheld::NoAutoReversal]);
    assert_eq!(ended(&w, FinalState::Listed), 2);
}

// -- a person's orders ------------------------------------------------------------------------------------------------

#[test]
fn a_parked_reversal_that_a_person_retries_has_all_its_tries_again() {
    let mut w = with_a_parked_reversal();
    w.kill(5).link_up();
    let id = w.recovered(0);
    assert_eq!(order(&mut w, id, What::Retry { force: false }), Ok(()));
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    assert_eq!((ended(&w, FinalState::Parked), w.scene.tally().owed), (0, 1));
    w.commit();
    assert_eq!(w.row().reasons, ["seen on the host"]);
    // Its key is reserved again.
    w.scene.sale('B', 1, 7);
    assert_eq!(w.scene.told(), ["B: KeyReserved"]);
    w.scene.at(2000.0);
    assert_eq!(w.scene.host_got().len(), 10, "the first sending and ten more");
    assert_eq!(ended(&w, FinalState::Parked), 1);
}

#[test]
fn a_retry_is_refused_when_the_key_was_used_again_unless_it_is_forced() {
    let mut w = with_a_parked_reversal();
    w.scene.host_got();
    w.scene.sale('B', 1, 7);
    w.commit().answer("0200", 1, 7, "000").delivered('B').acknowledged('B');
    w.commit();
    // Known also to a process that was not there.
    w.kill(5).link_up();
    let id = w.recovered(0);
    assert_eq!(order(&mut w, id, What::Retry { force: false }), Err(Objection::KeyUsedAgain));
    w.scene.host_got();
    assert_eq!(order(&mut w, id, What::Retry { force: true }), Ok(()));
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn what_was_for_another_upstream_is_sent_by_force_only() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    w.scene.host_got();
    w.journal.rows.get_mut(&1).unwrap().foreign = true;
    w.kill(5).link_up();
    let id = w.recovered(0);
    assert_eq!(order(&mut w, id, What::Retry { force: false }), Err(Objection::OtherUpstream));
    assert_eq!(order(&mut w, id, What::Retry { force: true }), Ok(()));
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn a_resolved_one_is_over_and_does_not_come_back() {
    let mut w = with_a_parked_reversal();
    w.kill(5).link_up();
    let id = w.recovered(0);
    assert_eq!(order(&mut w, id, What::Resolve), Ok(()));
    assert_eq!(order(&mut w, id, What::Resolve), Err(Objection::Unknown));
    assert_eq!(ended(&w, FinalState::Parked), 1);
    assert!(w.scene.mux.transactions().is_empty());
    w.commit();
    w.kill(5).link_up();
    assert_eq!(w.scene.tally().recovered, 0);
}

#[test]
fn an_order_for_what_is_still_being_seen_to_is_refused() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    let id = w.scene.id('A');
    assert_eq!(order(&mut w, id, What::Resolve), Err(Objection::NotWaiting));
    w.scene.link_down();
    assert_eq!(order(&mut w, id, What::Retry { force: true }), Err(Objection::NotWaiting));
}

// -- advices ----------------------------------------------------------------------------------------------------------

#[test]
fn an_advice_is_carried_on_as_a_repeat_after_a_restart() {
    let mut w = world();
    w.scene.send('A', "0220", 1, 7, &[]);
    w.commit();
    assert_eq!(w.scene.host_got(), ["0220 1/7"]);
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0221 1/7"]);
    w.scene.answer("0221", 1, 7, "000");
    w.commit();
    assert_eq!(ended(&w, FinalState::AdviceAccepted), 1);
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
}

#[test]
fn an_advice_that_the_host_had_accepted_is_over_after_a_restart() {
    let mut w = world();
    w.scene.send('A', "0220", 1, 7, &[]);
    w.commit().answer("0220", 1, 7, "000");
    w.commit();
    w.scene.host_got();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
    assert_eq!(ended(&w, FinalState::AdviceAccepted), 1);
}

fn at_once(set: &mut socketqueue::mux::Settings) {
    let dialect = socketqueue::dialect::Dialect::builtin("smartVista").unwrap();
    set.advice_reply = socketqueue::rules::AdviceReply::of(&dialect).map(std::sync::Arc::new);
}

#[test]
fn an_advice_answered_at_once_is_answered_after_the_commit_and_not_before() {
    let mut w = world_with(at_once);
    w.scene.link_down();
    w.scene.send('A', "0220", 1, 7, &[]).send('B', "0400", 2, 7, &[]);
    assert_eq!(w.scene.told(), NOTHING);
    w.commit();
    assert_eq!(w.scene.told(), ["A: 0230 000"], "a reversal's answer is the host's");
    // The client is done with; the advice is not.
    w.scene.delivered('A').at(100.0);
    w.commit();
    assert_eq!(w.scene.told(), ["B: LinkDown"]);
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0221 1/7", "0401 2/7"]);
}

#[test]
fn a_repeat_of_an_advice_answered_at_once_is_answered_at_once() {
    let mut w = world_with(at_once);
    w.scene.sale('A', 1, 1);
    w.commit().send('B', "0220", 1, 7, &[]);
    w.commit();
    assert_eq!(w.scene.told(), ["B: 0230 000"]);
    // Its terminal is busy: it waits its turn without a client.
    w.scene.send('C', "0221", 1, 7, &[]);
    assert_eq!(w.scene.told(), ["C: 0230 000"]);
    w.scene.answer("0200", 1, 1, "000").delivered('A').acknowledged('A');
    w.commit();
    assert_eq!(w.scene.host_got(), ["0200 1/1", "0220 1/7"]);
    w.scene.told();
    // It is with the host.
    w.scene.send('D', "0221", 1, 7, &[]);
    assert_eq!(w.scene.told(), ["D: 0230 000"]);
    w.scene.delivered('D');
    w.scene.answer("0220", 1, 7, "000");
    w.commit();
    assert_eq!(w.scene.tally().open, 0);
}

#[test]
fn a_client_that_takes_the_place_of_one_that_left_has_a_deadline_of_its_own() {
    let mut w = world();
    w.scene.link_down();
    w.scene.send('A', "0220", 1, 7, &[]).at(35.0);
    assert_eq!(w.scene.told(), ["A: LinkDown"]);
    w.scene.send('B', "0221", 1, 7, &[]).at(69.9);
    assert_eq!(w.scene.told(), NOTHING);
    w.scene.at(70.0);
    assert_eq!(w.scene.told(), ["B: LinkDown"]);
}

// -- those who ask ----------------------------------------------------------------------------------------------------

#[test]
fn a_retry_under_the_same_idempotency_key_gets_the_truth_after_a_crash_and_is_never_sent_again() {
    type Doing = fn(&mut World);
    let cases: [(Doing, &str); 5] = [
        (|_| {}, "known ReversalPending"),
        (|w| _ = w.commit().answer("0200", 1, 7, "000"), "known ReversalPending"),
        (|w| _ = w.commit().answer("0200", 1, 7, "000").delivered('A').acknowledged('A'), "known Delivered"),
        (|w| _ = w.commit().answer("0200", 1, 7, "116"), "known DeclinedUndelivered"),
        (|w| _ = w.commit().at(2000.0), "known Parked"),
    ];
    for (doing, truth) in cases {
        let mut w = world();
        w.scene.keyed_sale('A', 1, 7, 1, 1);
        w.commit();
        let was = w.scene.id('A');
        doing(&mut w);
        w.commit();
        w.scene.host_got();
        w.kill(5).keyed_sale('B', 1, 7, 1, 1);
        assert_eq!(w.scene.told(), [format!("B: {truth}")]);
        w.scene.keyed_sale('C', 1, 7, 1, 2);
        assert_eq!(w.scene.told(), ["C: KeyReused"]);
        // It is known by the id that it had.
        assert_eq!(format!("known {:?}", w.scene.mux.status(was).unwrap().state), truth);
        w.scene.link_up();
        w.commit();
        assert!(w.scene.host_got().iter().all(|got| got != "0200 1/7"), "{truth}");
    }
}

#[test]
fn the_truth_moves_on_with_what_was_recovered() {
    let mut w = world();
    w.scene.keyed_sale('A', 1, 7, 1, 1);
    w.commit();
    let was = w.scene.id('A');
    w.kill(5).link_up().answer("0400", 1, 7, "000");
    w.commit();
    assert_eq!(w.scene.mux.status(was).unwrap().state, State::Reversed);
    w.kill(5).keyed_sale('B', 1, 7, 1, 1);
    assert_eq!(w.scene.told(), ["B: known Reversed"]);
}

#[test]
fn what_ended_longer_ago_than_it_is_remembered_is_forgotten() {
    for (after, told) in [(86_399, vec!["B: known Delivered"]), (86_400, vec![])] {
        let mut w = world();
        w.scene.keyed_sale('A', 1, 7, 1, 1);
        w.commit().answer("0200", 1, 7, "000").delivered('A').acknowledged('A');
        w.commit();
        w.kill(after).keyed_sale('B', 1, 7, 1, 1);
        assert_eq!(w.scene.told(), told);
    }
}

#[test]
fn no_new_transaction_has_an_id_of_the_process_before() {
    let mut w = world();
    for n in 0..5 {
        w.scene.sale('A', n + 1, 7);
        w.commit();
    }
    let last = w.scene.id('A');
    w.kill(1).sale('B', 9, 9);
    assert!(w.scene.id('B') > last);
}

// -- counting ---------------------------------------------------------------------------------------------------------

#[test]
fn the_sum_holds_over_everything_that_is_recovered_at_once() {
    let mut w = world();
    w.scene.sale('A', 1, 1).sale('B', 2, 1).sale('C', 3, 1).sale('D', 4, 1).send('E', "0220", 5, 1, &[]);
    w.commit().answer("0200", 2, 1, "000").answer("0200", 3, 1, "116");
    w.commit();
    w.scene.host_got();
    w.journal.rows.get_mut(&4).unwrap().received_ms = 0;
    w.kill(5).link_up();
    let mut got = w.scene.host_got();
    got.sort();
    assert_eq!(got, ["0221 5/1", "0400 1/1", "0400 2/1"]);
    let tally = w.scene.tally();
    assert_eq!((tally.recovered, tally.open, tally.owed), (5, 3, 3));
    assert_eq!(ended(&w, FinalState::DeclinedUndelivered), 1);
    assert_eq!(ended(&w, FinalState::Listed), 1);
}

#[test]
fn a_drain_gives_what_was_recovered_its_try() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit();
    w.kill(5).link_up();
    let deadline = w.scene.now.uptime + Duration::from_secs(20);
    w.scene.handle(Event::Drain { deadline });
    assert_eq!(w.scene.drained, None);
    w.scene.answer("0400", 1, 7, "000");
    assert_eq!(w.scene.drained, Some(0));
}

// -- what had ended before the kill ------------------------------------------------------------------------------------

#[test]
fn a_delivery_that_failed_after_its_end_was_durable_is_reversed_after_a_kill() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "000").delivered('A');
    w.commit();
    assert_eq!(w.row().ended.map(|(state, _)| state), Some(State::Delivered));
    // Its last bytes were not acknowledged. That is known to the journal, and nothing of it was sent yet.
    w.scene.link_down().delivery_failed('A').host_got();
    w.commit();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn an_approval_that_voids_a_delivered_answer_is_reversed_after_a_kill() {
    // The host did not know (delivered as it is, and watched), then it approved after all.
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "912").delivered('A');
    w.commit();
    w.scene.answer("0200", 1, 7, "000").link_down().host_got();
    w.commit();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
}

#[test]
fn an_approval_after_a_decline_that_was_delivered_before_the_restart_is_made_good() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "116").delivered('A');
    w.commit();
    w.scene.host_got();
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), NOTHING);
    w.scene.answer("0200", 1, 7, "000");
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    assert_eq!((w.scene.tally().recovered, w.scene.tally().open), (1, 1));
    assert!(w.scene.tally().adds_up());
    // It goes on in its row, through another kill and to its end.
    w.commit();
    assert_eq!(w.row().stage, Stage::Owed);
    w.kill(5).link_up();
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    w.scene.answer("0400", 1, 7, "000");
    w.commit();
    assert_eq!(w.row().ended.map(|(state, _)| state), Some(State::Reversed));
}

#[test]
fn an_approval_that_comes_after_the_reversal_and_a_restart_gets_one_more_repeat() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().at(35.0).answer("0400", 1, 7, "000").host_got();
    w.commit();
    w.kill(5).link_up();
    w.scene.answer_with("0200", 1, 7, "000", &[(37, "000000000777")]);
    assert_eq!(w.scene.host_got(), ["0400 1/7"]);
    assert_eq!(w.scene.message("0400", 1, 7).text(field::RRN).unwrap(), "000000000777");
    assert!(w.scene.tally().adds_up());
    // Once: the next approval is the same one again.
    w.scene.answer("0400", 1, 7, "000").answer("0200", 1, 7, "000");
    assert_eq!(w.scene.host_got(), NOTHING);
}

#[test]
fn a_clients_repeat_of_what_was_reversed_before_the_restart_is_refused() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().at(35.0).answer("0400", 1, 7, "000").told();
    w.commit();
    w.kill(5).link_up();
    w.scene.again('B', "0201", 1, 7);
    w.commit();
    assert_eq!(w.scene.told(), ["B: Reversed"]);
    assert_eq!(w.scene.host_got(), NOTHING);
}

#[test]
fn an_answer_again_after_a_restart_is_known_and_changes_nothing() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "000").delivered('A').host_got();
    w.commit();
    w.kill(5).link_up();
    w.scene.answer("0200", 1, 7, "000");
    assert_eq!((w.scene.tally().again, w.scene.tally().unmatched), (1, 0));
    assert_eq!(w.scene.host_got(), NOTHING);
}

#[test]
fn an_answer_after_the_late_window_is_unmatched_though_a_restart_lies_between() {
    for (after, unmatched) in [(594, 0), (595, 1)] {
        let mut w = world();
        w.scene.sale('A', 1, 7);
        w.commit().at(5.0).answer("0200", 1, 7, "116").delivered('A');
        w.commit();
        // Ended at 5 s, remembered for 600.
        w.kill(after).link_up();
        w.scene.at(5.0);
        w.scene.answer("0200", 1, 7, "000");
        assert_eq!(w.scene.tally().unmatched, unmatched, "{after} s after the kill");
    }
}

#[test]
fn a_clients_repeat_of_what_a_restart_closed_as_declined_is_not_given_an_empty_answer() {
    let mut w = world();
    w.scene.sale('A', 1, 7);
    w.commit().answer("0200", 1, 7, "116").told();
    w.commit();
    w.kill(5).link_up();
    w.scene.again('B', "0201", 1, 7);
    w.commit();
    assert_eq!(w.scene.told(), NOTHING);
    assert_eq!(w.scene.host_got(), ["0201 1/7"], "the answer is gone with the process: the host is asked");
}
