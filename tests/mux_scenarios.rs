//! The rows of the design's tables, each as a scene: who sends what when, what the host gets, what the clients are told.

#![allow(clippy::unwrap_used)]

#[path = "support/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::time::Duration;

use scene::{Scene, scene, scene_with, scene_without_link};
use socketqueue::mux::{ClientTag, Doubt, Event, Fact, FinalState, JournalOp, Record, State, Unmatched};

const NOTHING: [&str; 0] = [];

fn seconds(list: &[u64]) -> Vec<Duration> {
    list.iter().copied().map(Duration::from_secs).collect()
}

// -- the main road ---------------------------------------------------------------------------------------------------

#[test]
fn a_sale_goes_out_and_its_answer_comes_back() {
    let mut s = scene();
    s.sale('A', 1, 7);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    s.answer("0200", 1, 7, "000");
    assert_eq!(s.told(), ["A: 0210 000"]);
    s.delivered('A').acknowledged('A').at(700.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 1);
    assert_eq!(s.tally().open, 0);
}

#[test]
fn an_untouched_message_leaves_byte_identical() {
    let mut s = scene();
    s.sale('A', 1, 7).host_got();
    let sent = s.message("0200", 1, 7).raw().clone();
    assert_eq!(&sent[..4], b"0200");
    assert_eq!(sent.len(), 4 + 8 + 6 + 12 + 10 + 6 + 12 + 3 + 3 + 2 + 2 + 37 + 8 + 15 + 3);
}

#[test]
fn a_terminal_has_one_message_at_the_host_in_the_order_of_arrival() {
    let mut s = scene();
    s.sale('A', 1, 1).sale('B', 1, 2).sale('C', 1, 3).sale('D', 2, 1);
    assert_eq!(s.host_got(), ["0200 1/1", "0200 2/1"]);
    s.answer("0200", 1, 1, "000");
    assert_eq!(s.host_got(), NOTHING, "the terminal is free only when the reply is delivered");
    s.delivered('A');
    assert_eq!(s.host_got(), ["0200 1/2"]);
    s.answer("0200", 1, 2, "116").delivered('B');
    assert_eq!(s.host_got(), ["0200 1/3"]);
}

#[test]
fn with_the_lock_off_a_terminal_may_have_many() {
    let mut s = scene_with(|set| set.lock_terminal = false);
    s.sale('A', 1, 1).sale('B', 1, 2);
    assert_eq!(s.host_got(), ["0200 1/1", "0200 1/2"]);
}

// -- refused on arrival ----------------------------------------------------------------------------------------------

#[test]
fn a_full_queue_refuses_at_once_and_counts_what_waits_and_what_is_in_flight() {
    let mut s = scene_with(|set| set.queue_max = 2);
    s.sale('A', 1, 1).sale('B', 1, 2).sale('C', 2, 1);
    assert_eq!(s.told(), ["C: QueueFull"]);
    assert_eq!(s.host_got(), ["0200 1/1"]);
    s.answer("0200", 1, 1, "000").delivered('A').sale('D', 2, 1);
    assert_eq!(s.told(), ["A: 0210 000"]);
    assert_eq!(s.host_got(), ["0200 1/2", "0200 2/1"]);
    assert_eq!(s.tally().ended[FinalState::Refused as usize], 1);
}

#[test]
fn a_key_with_an_open_reversal_is_reserved() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).told();
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
    s.sale('B', 1, 7);
    assert_eq!(s.told(), ["B: KeyReserved"]);
    s.answer("0400", 1, 7, "000").sale('C', 1, 7);
    assert_eq!(s.host_got(), ["0200 1/7"], "after the reversal was accepted the key is free again");
}

#[test]
fn what_waited_when_its_key_was_reserved_is_refused_on_its_turn() {
    let mut s = scene_with(|set| set.reversal_hold = Duration::from_secs(5));
    s.sale('A', 1, 7).at(10.0).sale('B', 1, 7).at(35.0);
    assert_eq!(s.told(), ["A: TimedOut"]);
    s.at(40.0);
    assert_eq!(s.told(), ["B: KeyReserved"], "the hold is over, the reversal is not");
    let got = s.host_got();
    assert!(got.iter().all(|label| label != "0200 1/7" || got[0] == *label), "{got:?}");
    assert_eq!(got.iter().filter(|label| *label == "0200 1/7").count(), 1);
}

#[test]
fn a_full_table_of_tombstones_that_matter_refuses_new_financial_requests_only() {
    let mut s = scene_with(|set| set.tombstones_max = 2);
    for stan in 1..=2 {
        s.sale('A', 1, stan).answer("0200", 1, stan, "116").delivered('A');
    }
    s.told();
    s.sale('B', 1, 3).send('C', "0800", 2, 1, &[]);
    assert_eq!(s.told(), ["B: TableFull"]);
    assert_eq!(s.host_got().last().unwrap(), "0800 2/1");
    s.answer("0800", 2, 1, "000").delivered('C').at(601.0).told();
    s.sale('D', 1, 4);
    assert_eq!(s.told(), NOTHING, "the tombstones ended with the late window");
}

#[test]
fn tombstones_that_change_nothing_make_way() {
    let mut s = scene_with(|set| set.tombstones_max = 2);
    for stan in 1..=5 {
        s.sale('A', 1, stan).answer("0200", 1, stan, "000").delivered('A').acknowledged('A');
    }
    assert_eq!(s.tally().tombstones, 2);
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 5);
}

#[test]
fn a_full_list_of_reversals_refuses_new_financial_requests() {
    let mut s = scene_with(|set| set.saf_max = 1);
    s.sale('A', 1, 1).at(35.0).told();
    s.sale('B', 2, 1).send('C', "0800", 3, 1, &[]);
    assert_eq!(s.told(), ["B: TableFull"]);
}

// -- before it is sent -----------------------------------------------------------------------------------------------

#[test]
fn deadline_passes_while_queued_the_client_is_told_and_nothing_goes_out() {
    let mut s = scene();
    s.sale('A', 1, 1).at(10.0).send('B', "0200", 1, 2, &[]).at(34.0).answer("0200", 1, 1, "000");
    s.at(35.0).told();
    // A was answered and never said delivered: TooLate. Its reversal holds the terminal now.
    assert_eq!(s.host_got(), ["0200 1/1", "0400 1/1"]);
    s.at(45.0);
    assert_eq!(s.told(), ["B: TerminalHeld"]);
    assert_eq!(s.tally().ended[FinalState::NeverSent as usize], 1);
}

#[test]
fn without_a_link_until_the_deadline_the_client_is_told_so() {
    let mut s = scene_without_link(|_| {});
    s.sale('A', 1, 1).at(34.9);
    assert_eq!(s.told(), NOTHING);
    s.at(35.0);
    assert_eq!(s.told(), ["A: LinkDown"]);
    s.link_up();
    assert_eq!(s.host_got(), NOTHING);
}

#[test]
fn what_waited_for_the_link_goes_out_when_it_comes_up() {
    let mut s = scene_without_link(|_| {});
    s.sale('A', 1, 1).sale('B', 2, 1).at(20.0).link_up();
    assert_eq!(s.host_got(), ["0200 1/1", "0200 2/1"]);
}

#[test]
fn a_request_with_less_than_the_minimum_response_time_left_is_not_sent() {
    for (at, sent) in [(28.0, true), (28.001, false)] {
        let mut s = scene_without_link(|_| {});
        s.sale('A', 1, 1).at(at).link_up();
        assert_eq!(s.host_got().len(), usize::from(sent), "at {at}");
        assert_eq!(s.told().is_empty(), sent);
    }
}

#[test]
fn a_client_that_leaves_while_queued_is_forgotten() {
    let mut s = scene();
    s.sale('A', 1, 1).sale('B', 1, 2).sale('C', 1, 3).gone('B');
    s.answer("0200", 1, 1, "000").delivered('A');
    assert_eq!(s.host_got(), ["0200 1/1", "0200 1/3"]);
    assert_eq!(s.told(), ["A: 0210 000"]);
}

#[test]
fn an_advice_whose_client_left_stays_in_its_place_and_is_carried_on() {
    let mut s = scene();
    s.sale('A', 1, 1).send('B', "0220", 1, 2, &[]).sale('C', 1, 3).gone('B');
    s.answer("0200", 1, 1, "000").delivered('A');
    assert_eq!(s.host_got(), ["0200 1/1", "0220 1/2"]);
    s.answer("0220", 1, 2, "000");
    assert_eq!(s.host_got(), ["0200 1/3"]);
    assert_eq!(s.tally().ended[FinalState::AdviceAccepted as usize], 1);
}

#[test]
fn an_advice_without_its_client_waits_for_its_key_and_is_not_lost() {
    let mut s = scene();
    s.sale('A', 1, 7).send('B', "0220", 1, 7, &[]).gone('B').at(35.0);
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
    // The hold is over, the reversal is not: its terminal goes on, its key is still reserved.
    s.at(96.0).sale('C', 1, 8);
    let got = s.host_got();
    assert!(got.contains(&"0200 1/8".to_string()) && !got.contains(&"0220 1/7".to_string()), "{got:?}");
    s.answer("0400", 1, 7, "000").at(98.0);
    assert_eq!(s.host_got(), ["0220 1/7"]);
    s.answer("0220", 1, 7, "000");
    assert_eq!(s.tally().ended[FinalState::AdviceAccepted as usize], 1);
}

#[test]
fn an_advice_without_its_client_is_sent_though_its_intent_could_not_be_journaled() {
    let mut s = scene_with(|set| set.journaled = true);
    s.send('A', "0220", 1, 7, &[]).gone('A');
    let id = s.id('A');
    s.handle(Event::JournalFailed { id, unknown: false });
    assert_eq!(s.host_got(), ["0220 1/7"]);
}

#[test]
fn an_advice_whose_deadline_passed_in_the_queue_is_answered_with_a_time_out_and_sent_all_the_same() {
    let mut s = scene_without_link(|_| {});
    s.send('A', "0420", 1, 1, &[]).at(36.0);
    assert_eq!(s.told(), ["A: LinkDown"]);
    s.at(100.0).link_up();
    assert_eq!(s.host_got(), ["0420 1/1"]);
}

// -- in flight -------------------------------------------------------------------------------------------------------

#[test]
fn deadline_passes_in_flight_the_client_is_told_and_the_sale_is_reversed() {
    let mut s = scene();
    s.sale('A', 1, 7).at(34.999);
    assert_eq!(s.told(), NOTHING);
    s.at(35.0);
    assert_eq!(s.told(), ["A: TimedOut"]);
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1);
    assert_eq!(s.tally().open, 0);
}

#[test]
fn an_answer_in_the_instant_of_the_deadline_counts_by_what_was_handled_first() {
    let mut answered = scene();
    answered.sale('A', 1, 7).clock(35.0).answer("0200", 1, 7, "000");
    assert_eq!(answered.told(), ["A: 0210 000"]);
    let mut timed_out = scene();
    timed_out.sale('A', 1, 7).at(35.0).answer("0200", 1, 7, "000");
    assert_eq!(timed_out.told(), ["A: TimedOut"]);
    assert_eq!(timed_out.host_got(), ["0200 1/7", "0400 1/7"]);
    assert_eq!(timed_out.tally().late, 1);
}

#[test]
fn an_answer_after_the_deadline_is_late_also_when_the_time_out_was_not_handled_yet() {
    let mut s = scene();
    s.sale('A', 1, 7).clock(35.001).answer("0200", 1, 7, "000");
    assert_eq!(s.told(), ["A: TimedOut"]);
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
    assert_eq!(s.tally().late, 1);
}

#[test]
fn an_echo_that_is_not_answered_owes_nothing() {
    let mut s = scene();
    s.send('A', "0800", 1, 1, &[]).at(35.0);
    assert_eq!(s.told(), ["A: TimedOut"]);
    assert_eq!(s.host_got(), ["0800 1/1"]);
    assert_eq!(s.tally().ended[FinalState::Unanswered as usize], 1);
}

#[test]
fn an_advice_that_is_not_answered_is_repeated_as_a_repeat_and_never_reversed() {
    let mut s = scene();
    s.send('A', "0220", 1, 1, &[]).at(35.0);
    assert_eq!(s.told(), ["A: TimedOut"]);
    assert_eq!(s.host_got(), ["0220 1/1", "0221 1/1"]);
    s.at(45.0);
    let got = s.host_got();
    assert!(got.iter().all(|label| label == "0221 1/1") && !got.is_empty(), "{got:?}");
    s.answer("0221", 1, 1, "000").at(400.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.tally().ended[FinalState::AdviceAccepted as usize], 1);
}

#[test]
fn a_client_gone_in_flight_is_waited_for_until_the_answer_is_known() {
    // code of the answer, what the host gets then, the final state
    for (code, got, state) in [
        ("000", vec!["0400 1/7"], None),
        ("002", vec!["0400 1/7"], None),
        ("116", vec![], Some(FinalState::DeclinedUndelivered)),
        ("911", vec!["0400 1/7"], None),
        ("777", vec!["0400 1/7"], None),
    ] {
        let mut s = scene();
        s.sale('A', 1, 7).gone('A');
        assert_eq!(s.host_got(), ["0200 1/7"]);
        s.at(3.0).answer("0200", 1, 7, code);
        assert_eq!(s.host_got(), got, "{code}");
        assert_eq!(s.told(), NOTHING);
        if let Some(state) = state {
            assert_eq!(s.tally().ended[state as usize], 1, "{code}");
        }
    }
}

#[test]
fn a_client_gone_in_flight_and_silence_is_reversed_at_the_deadline() {
    let mut s = scene();
    s.sale('A', 1, 7).gone('A').at(34.9);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    s.at(35.0);
    assert_eq!(s.host_got(), ["0400 1/7"]);
}

#[test]
fn reversal_on_disconnect_immediate_reverses_at_once() {
    let mut s = scene_with(|set| set.reverse_on_disconnect = true);
    s.sale('A', 1, 7).gone('A');
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
}

#[test]
fn a_lost_link_tells_the_clients_and_the_sales_are_reversed_once_a_link_is_up() {
    let mut s = scene();
    s.sale('A', 1, 1).sale('B', 2, 1).sale('C', 1, 2).send('D', "0800", 3, 1, &[]);
    s.host_got();
    s.at(1.0).link_down();
    assert_eq!(s.told(), ["A: LinkLost", "B: LinkLost", "D: LinkLost"]);
    s.at(2.0).link_up();
    assert_eq!(s.host_got(), ["0400 1/1", "0400 2/1"]);
    s.answer("0400", 1, 1, "000");
    assert_eq!(s.host_got(), ["0200 1/2"], "what waited stays queued and goes out after the reversal");
}

#[test]
fn nothing_pulled_for_one_link_is_pulled_again_for_the_next() {
    let mut s = scene();
    s.sale('A', 1, 1).host_got();
    s.link_down().link_up();
    assert_eq!(s.host_got(), ["0400 1/1"]);
}

#[test]
fn a_declined_sale_is_delivered_and_over() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "116");
    assert_eq!(s.told(), ["A: 0210 116"]);
    s.delivery_failed('A').at(100.0);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    assert_eq!(s.tally().ended[FinalState::DeclinedUndelivered as usize], 1);
}

// -- answered, not delivered -----------------------------------------------------------------------------------------

#[test]
fn approved_and_not_delivered_is_reversed() {
    for how in ["failed", "gone", "deadline"] {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, "000");
        match how {
            "failed" => s.delivery_failed('A'),
            "gone" => s.gone('A'),
            _ => s.at(35.0),
        };
        assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"], "{how}");
    }
}

#[test]
fn an_answer_not_wholly_written_by_the_deadline_is_called_off() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "000").told();
    s.at(35.0);
    assert_eq!(s.told(), ["A: TooLate"]);
    s.delivered('A');
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"], "a word of delivery after that changes nothing");
}

#[test]
fn a_delivery_after_the_deadline_is_none_also_when_the_time_out_was_not_handled_yet() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "000").clock(35.5).delivered('A');
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
}

#[test]
fn a_delivery_that_turns_out_undelivered_is_opened_again_and_reversed() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A').sale('B', 1, 8);
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/8"]);
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 1);
    s.at(9.0).delivery_failed('A').sale('C', 1, 9);
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 0);
    assert_eq!(s.host_got(), NOTHING, "one outstanding at a time, also for a reversal");
    s.answer("0200", 1, 8, "000").delivered('B');
    assert_eq!(s.host_got(), ["0400 1/7"], "and it goes before what waits");
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.host_got(), ["0200 1/9"]);
}

#[test]
fn after_the_delivery_timeout_or_an_acknowledgement_a_delivery_stands() {
    for acknowledged in [true, false] {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A');
        match acknowledged {
            true => s.acknowledged('A'),
            false => s.at(10.0),
        };
        s.delivery_failed('A').at(20.0);
        assert_eq!(s.host_got(), ["0200 1/7"]);
    }
}

// -- late, again, contradictory --------------------------------------------------------------------------------------

#[test]
fn a_late_approval_leaves_its_reversal_standing_and_tells_it_the_rrn() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).host_got();
    s.answer("0200", 1, 7, "000").facts();
    assert_eq!(s.tally().late, 1);
    s.at(40.0);
    assert_eq!(s.host_got(), ["0400 1/7"], "the reversal was not answered and is repeated");
    s.answer("0400", 1, 7, "000").at(700.0);
    assert_eq!(s.host_got(), NOTHING);
}

#[test]
fn a_late_approval_after_the_reversal_was_accepted_or_not_found_wants_one_more_repeat() {
    for code in ["000", "914"] {
        let mut s = scene();
        s.sale('A', 1, 7).at(35.0).host_got();
        // 'Not found' is believed only when the original left long enough ago.
        s.at(35.0).answer("0400", 1, 7, code);
        if code == "914" {
            s.at(61.0).host_got();
            s.answer("0400", 1, 7, code);
        }
        assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1, "{code}");
        s.answer("0200", 1, 7, "000");
        assert_eq!(s.host_got(), ["0400 1/7"], "{code}");
        assert_eq!(s.tally().ended[FinalState::Reversed as usize], 0);
        s.answer("0400", 1, 7, "000");
        s.answer("0200", 1, 7, "000").at(700.0);
        assert_eq!(s.host_got(), NOTHING, "only once");
        assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1);
    }
}

#[test]
fn a_late_decline_cancels_a_reversal_that_was_not_sent_yet() {
    let mut s = scene();
    s.sale('A', 1, 7).host_got();
    s.link_down();
    s.answer("0200", 1, 7, "116").link_up().at(100.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.tally().ended[FinalState::DeclinedUndelivered as usize], 1);
}

#[test]
fn a_late_decline_does_not_cancel_a_reversal_that_was_sent() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).host_got();
    s.answer("0200", 1, 7, "116").at(40.0);
    assert_eq!(s.host_got(), ["0400 1/7"]);
}

#[test]
fn a_late_answer_in_doubt_cancels_nothing() {
    let mut s = scene();
    s.sale('A', 1, 7).host_got();
    s.link_down();
    s.answer("0200", 1, 7, "911").link_up();
    assert_eq!(s.host_got(), ["0400 1/7"]);
}

#[test]
fn the_same_answer_again_is_counted_and_nothing_else() {
    for (first, second) in [("000", "000"), ("116", "116"), ("000", "116"), ("116", "911")] {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, first).answer("0200", 1, 7, second);
        s.delivered('A').answer("0200", 1, 7, second).acknowledged('A').answer("0200", 1, 7, second);
        s.at(500.0);
        assert_eq!(s.told(), [format!("A: 0210 {first}")]);
        assert_eq!(s.host_got(), ["0200 1/7"], "{first} {second}");
        assert_eq!(s.tally().again, 3, "{first} {second}");
    }
}

#[test]
fn an_approval_after_a_decline_was_given_is_reversed() {
    for delivered in [false, true] {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, "116");
        if delivered {
            s.delivered('A');
        }
        s.at(5.0).answer("0200", 1, 7, "000");
        assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"], "delivered: {delivered}");
        s.answer("0400", 1, 7, "000");
        assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1);
        assert!(s.facts().contains(&"ApprovedAfterDecline".to_string()));
    }
}

#[test]
fn a_decline_after_an_approval_does_not_cancel_the_reversal() {
    // Its terminal is busy, so that the reversal waits while the first answer comes a second time.
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "116").delivered('A').sale('B', 1, 8);
    s.answer("0200", 1, 7, "000").answer("0200", 1, 7, "116");
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/8"]);
    s.answer("0200", 1, 8, "000").delivered('B');
    assert_eq!(s.host_got(), ["0400 1/7"], "approved after the decline");

    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A').sale('B', 1, 8).delivery_failed('A');
    s.answer("0200", 1, 7, "116").answer("0200", 1, 8, "000").delivered('B');
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/8", "0400 1/7"], "delivered, and then it was not");

    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "911").delivered('A').sale('B', 1, 8).delivery_failed('A');
    s.answer("0200", 1, 7, "000").answer("0200", 1, 7, "116").answer("0200", 1, 8, "000").delivered('B');
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/8", "0400 1/7"], "a late approval before it");
}

#[test]
fn who_asked_again_while_a_decline_was_being_delivered_is_told_that_it_is_void() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "116").told();
    s.keyed_sale('B', 1, 7, 9, 1).answer("0200", 1, 7, "000");
    assert_eq!(s.told(), ["B: known ReversalPending"]);
}

#[test]
fn a_late_response_is_not_given_to_the_next_request_with_that_stan() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "116").delivered('A');
    let first_time =
        s.message("0200", 1, 7).text(socketqueue::iso8583::field::LOCAL_TIME).unwrap().into_owned();
    // The same STAN a minute later: DE 12 differs.
    s.at(60.0).sale('B', 1, 7);
    s.told();
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/7"]);
    assert_ne!(s.message("0200", 1, 7).text(socketqueue::iso8583::field::LOCAL_TIME).unwrap(), first_time);
    s.answer_with("0200", 1, 7, "000", &[(12, &first_time)]);
    assert_eq!(s.told(), NOTHING);
    s.answer("0200", 1, 7, "116").delivered('B');
    assert_eq!(s.told(), ["B: 0210 116"]);
    assert_eq!(s.host_got(), ["0400 1/7"], "it was an approval of the first, after its decline");
}

// -- matching --------------------------------------------------------------------------------------------------------

#[test]
fn an_answer_that_does_not_fit_is_nobodys() {
    // changes of a 000 answer, why
    for (changes, why) in [
        (vec![(0, "0410")], Unmatched::WrongMti),
        (vec![(12, "261122000000")], Unmatched::Disagrees),
        (vec![(3, "200000")], Unmatched::Disagrees),
        (vec![(42, "000000000000001")], Unmatched::Disagrees),
        (vec![(49, "840")], Unmatched::Disagrees),
        (vec![(11, "000008")], Unmatched::UnknownKey),
        (vec![(41, "00000002")], Unmatched::UnknownKey),
        (vec![(41, "")], Unmatched::NoKey),
    ] {
        let mut s = scene();
        s.sale('A', 1, 7).facts();
        s.answer_with("0200", 1, 7, "000", &changes);
        assert_eq!(s.told(), NOTHING, "{changes:?}");
        let facts = s.whole_facts();
        let found = facts.iter().find_map(|fact| match fact {
            Fact::Unmatched { why, .. } => Some(*why),
            _ => None,
        });
        assert_eq!(found, Some(why), "{changes:?}");
        s.at(1.0).answer("0200", 1, 7, "000");
        assert_eq!(s.told(), ["A: 0210 000"], "{changes:?}");
    }
}

#[test]
fn with_keys_that_lack_the_terminal_an_answer_for_another_terminal_is_not_its_answer() {
    use socketqueue::iso8583::field;
    let mut s = scene_with(|set| set.key_fields = socketqueue::rules::KeyFields(vec![field::STAN]));
    s.sale('A', 1, 7).facts();
    s.answer_with("0200", 1, 7, "000", &[(41, "00000002")]);
    assert_eq!(s.told(), NOTHING);
    s.answer("0200", 1, 7, "000");
    assert_eq!(s.told(), ["A: 0210 000"]);
}

#[test]
fn an_unmatched_answer_names_the_nearest_pending_key() {
    let mut s = scene();
    s.sale('A', 1, 7).sale('B', 22_222_222, 999_999).facts();
    s.answer_with("0200", 1, 7, "000", &[(11, "000009")]);
    let facts = s.whole_facts();
    let nearest = facts.iter().find_map(|fact| match fact {
        Fact::Unmatched { nearest, .. } => nearest.clone(),
        _ => None,
    });
    let nearest = format!("{:?}", nearest.unwrap());
    assert!(nearest.contains("000007") && nearest.contains("00000001"), "{nearest}");
}

#[test]
fn with_the_lock_off_the_best_score_gets_the_answer() {
    let mut s = scene_with(|set| set.lock_terminal = false);
    s.send('A', "0200", 1, 7, &[(4, "000000001111")]).send('B', "0200", 1, 7, &[(4, "000000002222")]);
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/7"]);
    s.answer_with("0200", 1, 7, "000", &[(4, "000000002222")]);
    assert_eq!(s.told(), ["B: 0210 000"]);
    s.answer_with("0200", 1, 7, "000", &[(4, "000000001111")]);
    assert_eq!(s.told(), ["A: 0210 000"]);
}

#[test]
fn without_a_unique_best_nobody_gets_the_answer_and_all_stay_in_doubt() {
    let mut s = scene_with(|set| set.lock_terminal = false);
    s.sale('A', 1, 7).sale('B', 1, 7).host_got();
    s.answer("0200", 1, 7, "000");
    assert_eq!(s.told(), NOTHING);
    s.at(35.0);
    assert_eq!(s.told(), ["A: TimedOut", "B: TimedOut"]);
    assert_eq!(s.host_got(), ["0400 1/7", "0400 1/7"]);
}

#[test]
fn a_third_candidate_that_fits_less_does_not_break_the_tie_of_the_best_two() {
    let mut s = scene_with(|set| set.lock_terminal = false);
    s.sale('A', 1, 7).sale('B', 1, 7).send('C', "0200", 1, 7, &[(4, "000000002222")]).host_got();
    s.answer_with("0200", 1, 7, "000", &[(4, "000000001000")]);
    assert_eq!(s.told(), NOTHING);
    s.answer_with("0200", 1, 7, "000", &[(4, "000000002222")]);
    assert_eq!(s.told(), ["C: 0210 000"]);
}

#[test]
fn with_the_lock_off_a_late_answer_is_not_given_to_another_with_its_key() {
    let mut s = scene_with(|set| set.lock_terminal = false);
    let time = [(12, "261122030405")];
    s.send('A', "0200", 1, 7, &[(4, "000000001111"), time[0]]).at(1.0);
    s.send('B', "0200", 1, 7, &[(4, "000000002222"), time[0]]).at(35.0);
    assert_eq!(s.told(), ["A: TimedOut"]);
    s.answer_with("0200", 1, 7, "000", &[(4, "000000001111")]);
    assert_eq!(s.told(), NOTHING);
    assert_eq!(s.tally().late, 1);
    s.answer_with("0200", 1, 7, "000", &[(4, "000000002222")]);
    assert_eq!(s.told(), ["B: 0210 000"]);
}

// -- reversals -------------------------------------------------------------------------------------------------------

#[test]
fn the_schedule_is_the_originals_eleven_sendings_and_then_parked() {
    // rv-020: 0, 0, 2, then 10 s six times, then 300 s twice, each after a refusing answer.
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).host_got();
    let mut now = 35.0;
    let mut gaps = Vec::new();
    for gap in [0.0, 2.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 300.0, 300.0] {
        s.answer("0400", 1, 7, "909");
        if gap > 0.0 {
            s.at(now + gap - 0.001);
            assert_eq!(s.host_got(), NOTHING, "before {gap} s");
        }
        now += gap;
        s.at(now);
        assert_eq!(s.host_got(), ["0400 1/7"], "after {gap} s");
        gaps.push(gap);
    }
    s.answer("0400", 1, 7, "909").at(5000.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.tally().ended[FinalState::Parked as usize], 1);
    assert!(s.facts().contains(&"Parked".to_string()));
    assert_eq!(gaps.len(), 10);
}

#[test]
fn silence_is_repeated_after_the_reversal_timeout() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).host_got();
    s.at(39.999);
    assert_eq!(s.host_got(), NOTHING);
    s.at(40.0);
    assert_eq!(s.host_got(), ["0400 1/7"], "delay 0 after the time-out");
    s.at(46.999);
    assert_eq!(s.host_got(), NOTHING);
    s.at(47.0);
    assert_eq!(s.host_got(), ["0400 1/7"], "5 s time-out and 2 s delay");
}

#[test]
fn without_a_link_the_schedule_stands_still_and_only_sendings_count() {
    let mut s = scene_with(|set| set.reversal_schedule = seconds(&[1]));
    s.sale('A', 1, 7).host_got();
    s.link_down().at(1000.0).link_up();
    assert_eq!(s.host_got(), ["0400 1/7"]);
    s.link_down().at(2000.0).link_up();
    assert_eq!(s.host_got(), ["0400 1/7"]);
    s.answer("0400", 1, 7, "909");
    assert_eq!(s.tally().ended[FinalState::Parked as usize], 1);
}

#[test]
fn a_rejected_reversal_is_parked_at_once() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).answer("0400", 1, 7, "904").at(900.0);
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
    assert_eq!(s.tally().ended[FinalState::Parked as usize], 1);
}

#[test]
fn not_found_is_not_final_before_the_settling_time_and_the_last_try_lies_after_it() {
    let mut s = scene_with(|set| set.reversal_schedule = seconds(&[1, 1]));
    s.sale('A', 1, 7).at(35.0).host_got();
    s.answer("0400", 1, 7, "914").at(36.0);
    assert_eq!(s.host_got(), ["0400 1/7"]);
    s.answer("0400", 1, 7, "914").at(59.999);
    assert_eq!(s.host_got(), NOTHING);
    s.at(60.0);
    assert_eq!(s.host_got(), ["0400 1/7"], "60 s after the original left us");
    s.answer("0400", 1, 7, "914");
    assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1);
}

#[test]
fn an_unknown_or_missing_code_on_a_reversal_is_a_retry() {
    for changes in [vec![(39, "777")], vec![(39, "")]] {
        let mut s = scene();
        s.sale('A', 1, 7).at(35.0).host_got();
        s.answer_with("0400", 1, 7, "000", &changes);
        assert_eq!(s.host_got(), ["0400 1/7"]);
    }
}

#[test]
fn nothing_new_of_a_terminal_overtakes_its_reversal_while_the_hold_runs() {
    let mut s = scene_with(|set| set.reversal_hold = Duration::from_secs(20));
    s.sale('A', 1, 1).at(34.0).sale('B', 1, 2).sale('X', 2, 1).at(35.0);
    assert_eq!(s.host_got(), ["0200 1/1", "0200 2/1", "0400 1/1"]);
    s.at(54.9);
    assert!(s.host_got().iter().all(|label| label == "0400 1/1"));
    s.at(55.0);
    assert!(s.host_got().contains(&"0200 1/2".to_string()), "then the terminal moves on");
    s.answer("0200", 1, 2, "000");
    assert!(s.told().contains(&"B: 0210 000".to_string()));
    s.at(62.0);
    assert_eq!(s.host_got(), ["0400 1/1"], "and the reversal goes on beside it");
}

#[test]
fn the_hold_stands_still_without_a_link() {
    let mut s = scene_with(|set| {
        set.reversal_hold = Duration::from_secs(20);
        set.queue_timeout = Duration::from_secs(300);
        set.min_response_time = Duration::from_secs(1);
    });
    s.sale('A', 1, 1).at(300.0).sale('B', 1, 2).host_got();
    s.at(310.0).link_down().at(400.0).link_up().at(409.9);
    assert!(s.host_got().iter().all(|label| label == "0400 1/1"));
    s.at(410.0);
    assert!(s.host_got().contains(&"0200 1/2".to_string()));
}

#[test]
fn a_refused_reversal_never_blocks_another_terminal() {
    let mut s = scene();
    s.sale('A', 1, 1).at(35.0).answer("0400", 1, 1, "909").host_got();
    s.sale('B', 2, 1);
    assert_eq!(s.host_got(), ["0200 2/1"]);
}

#[test]
fn without_auto_reversal_what_is_owed_is_listed_and_not_sent() {
    let mut s = scene_with(|set| set.no_auto_reversal = true);
    s.sale('A', 1, 7).at(35.0).at(700.0);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    assert_eq!(s.tally().ended[FinalState::Listed as usize], 1);
    assert!(s.facts().contains(&"NotReversed".to_string()));
    // An advice of the client's is not made by the gateway and is carried on.
    s.send('B', "0420", 1, 8, &[]).at(735.0);
    assert_eq!(s.host_got(), ["0420 1/8", "0421 1/8"]);
}

#[test]
fn a_no_money_inquiry_is_not_reversed() {
    let mut s = scene();
    s.send('A', "0200", 1, 7, &[(3, "310000")]).at(35.0);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    assert_eq!(s.tally().ended[FinalState::Unanswered as usize], 1);
}

#[test]
fn an_authorization_is_reversed_as_a_sale_is() {
    let mut s = scene();
    s.send('A', "0100", 1, 7, &[]).at(35.0);
    assert_eq!(s.host_got(), ["0100 1/7", "0400 1/7"]);
}

// -- clients' own repeats and reversals ------------------------------------------------------------------------------

#[test]
fn a_clients_reversal_joins_the_open_one_and_gets_its_answer() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).host_got();
    s.again('B', "0400", 1, 7);
    assert_eq!(s.host_got(), NOTHING);
    s.told();
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.told(), ["B: 0410 000"]);
    s.delivered('B').at(200.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.tally().open, 0);
}

#[test]
fn a_clients_reversal_of_another_sale_with_that_key_does_not_join() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).told();
    s.send('B', "0400", 1, 7, &[(4, "000000002222")]);
    assert_eq!(s.told(), ["B: KeyReserved"]);
    s.send('C', "0400", 1, 7, &[]).answer("0400", 1, 7, "000");
    assert_eq!(s.told(), ["C: 0410 000"], "its own time in DE 12 does not matter");
}

#[test]
fn another_advice_with_the_key_of_an_open_one_does_not_join_it() {
    let mut s = scene();
    s.send('A', "0220", 1, 7, &[]).at(35.0).told();
    s.send('B', "0220", 1, 7, &[(4, "000000002222")]);
    assert_eq!(s.told(), ["B: KeyReserved"]);
    s.at(40.0).send('C', "0220", 1, 7, &[(12, "261122030405")]).answer("0221", 1, 7, "000");
    assert_eq!(s.told(), ["C: 0230 000"], "the same again does");
}

#[test]
fn a_joined_reversal_that_gets_no_answer_times_out_and_owes_nothing_more() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).told();
    s.again('B', "0400", 1, 7).at(70.0);
    assert_eq!(s.told(), ["B: TimedOut"]);
    assert!(s.host_got().iter().all(|label| label == "0200 1/7" || label == "0400 1/7"));
    assert_eq!(s.tally().owed, 1);
}

#[test]
fn a_clients_repeat_in_flight_takes_the_place_of_the_first() {
    let mut s = scene();
    s.sale('A', 1, 7).at(5.0).again('B', "0201", 1, 7);
    assert_eq!(s.told(), ["A: Superseded"]);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    s.answer("0200", 1, 7, "000");
    assert_eq!(s.told(), ["B: 0210 000"]);
    s.delivered('B');
    assert_eq!(s.tally().received, 1);
}

#[test]
fn a_clients_repeat_of_a_delivered_sale_gets_the_stored_answer() {
    for acknowledged in [false, true] {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A');
        if acknowledged {
            s.acknowledged('A');
        }
        s.told();
        s.again('B', "0201", 1, 7);
        assert_eq!(s.told(), ["B: 0210 000"]);
        assert_eq!(s.host_got(), ["0200 1/7"]);
    }
}

#[test]
fn a_clients_repeat_of_a_declined_sale_gets_the_stored_answer_and_does_not_reach_the_host() {
    for code in ["116", "911"] {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, code).delivered('A').at(60.0).told();
        s.again('B', "0201", 1, 7);
        assert_eq!(s.told(), [format!("B: 0210 {code}")]);
        assert_eq!(s.host_got(), ["0200 1/7"]);
    }
}

#[test]
fn an_approval_given_to_a_repeat_is_not_reversed_when_the_first_delivery_turns_out_lost() {
    let repeated = || {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A').at(5.0).again('B', "0201", 1, 7);
        assert_eq!(s.told(), ["A: 0210 000", "B: 0210 000"]);
        s.host_got();
        s
    };
    // The old connection is found dead before, or after, the new one has taken the answer.
    let mut s = repeated();
    s.delivery_failed('A').delivered('B').at(60.0);
    assert_eq!(s.host_got(), NOTHING);
    let mut s = repeated();
    s.delivered('B').delivery_failed('A').at(60.0);
    assert_eq!(s.host_got(), NOTHING);
    // Neither has it, however late the second says so.
    let mut s = repeated();
    s.delivery_failed('A').at(30.0).delivery_failed('B');
    assert_eq!(s.host_got(), ["0400 1/7"]);
    let mut s = repeated();
    s.delivered('B').delivery_failed('B').delivery_failed('A');
    assert_eq!(s.host_got(), ["0400 1/7"]);
    // The first one's was acknowledged after all.
    let mut s = repeated();
    s.acknowledged('A').delivery_failed('B').at(60.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 1);
}

#[test]
fn a_repeat_of_an_older_sale_with_that_stan_is_not_taken_for_one_of_the_newer() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A').acknowledged('A');
    s.at(60.0).sale('B', 1, 7).at(61.0).told();
    // DE 12 is that of neither: unknown, so it is forwarded, after the one before it.
    s.send('C', "0201", 1, 7, &[]);
    assert_eq!(s.told(), NOTHING);
    s.answer("0200", 1, 7, "000").delivered('B');
    assert_eq!(s.told(), ["B: 0210 000"]);
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/7", "0201 1/7"]);
}

#[test]
fn a_clients_repeat_of_what_is_or_was_reversed_is_refused() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).told();
    s.again('B', "0201", 1, 7);
    assert_eq!(s.told(), ["B: BeingReversed"]);
    s.answer("0400", 1, 7, "000").again('C', "0201", 1, 7);
    assert_eq!(s.told(), ["C: Reversed"]);
}

#[test]
fn a_clients_repeat_of_something_unknown_is_forwarded_as_it_stands() {
    let mut s = scene();
    s.send('A', "0201", 1, 7, &[]);
    assert_eq!(s.host_got(), ["0201 1/7"]);
    s.answer_with("0201", 1, 7, "000", &[(0, "0210")]);
    assert_eq!(s.told(), ["A: 0210 000"]);
}

#[test]
fn using_the_key_of_a_parked_entry_marks_it_superseded() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).answer("0400", 1, 7, "904").facts();
    s.sale('B', 1, 7);
    assert!(s.facts().contains(&"Superseded".to_string()));
    assert_eq!(s.host_got().last().unwrap(), "0200 1/7");
}

// -- idempotency keys and status -------------------------------------------------------------------------------------

#[test]
fn the_same_key_and_body_in_flight_makes_the_new_request_its_client() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).keyed_sale('B', 1, 7, 9, 1);
    assert_eq!(s.told(), ["A: Superseded"]);
    assert_eq!(s.host_got(), ["0200 1/7"], "never sent twice");
    s.answer("0200", 1, 7, "000").delivered('B');
    assert_eq!(s.told(), ["B: 0210 000"]);
    assert_eq!(s.state('B'), Some(State::Delivered));
}

#[test]
fn the_same_key_after_delivery_gives_the_same_answer() {
    for wait in [0.0, 300.0, 3600.0] {
        let mut s = scene();
        s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").delivered('A').told();
        s.at(wait).keyed_sale('B', 1, 8, 9, 1);
        assert_eq!(s.told(), ["B: 0210 000"], "after {wait} s");
        assert_eq!(s.host_got(), ["0200 1/7"]);
    }
}

#[test]
fn a_key_with_another_body_is_refused() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).keyed_sale('B', 2, 8, 9, 2);
    assert_eq!(s.told(), ["B: KeyReused"]);
    assert_eq!(s.host_got(), ["0200 1/7"]);
}

#[test]
fn once_a_reversal_is_on_its_way_the_key_never_gives_the_approval() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").delivery_failed('A').told();
    s.keyed_sale('B', 1, 7, 9, 1);
    assert_eq!(s.told(), ["B: known ReversalPending"]);
    s.answer("0400", 1, 7, "000").keyed_sale('C', 1, 7, 9, 1);
    assert_eq!(s.told(), ["C: known Reversed"]);
    s.at(1.0);
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).at(35.0).answer("0400", 1, 7, "904").told();
    s.keyed_sale('B', 1, 7, 9, 1);
    assert_eq!(s.told(), ["B: known Parked"]);
}

#[test]
fn a_delivery_that_turned_out_undelivered_is_no_longer_an_answer() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").delivered('A').delivery_failed('A').told();
    s.keyed_sale('B', 1, 7, 9, 1);
    assert_eq!(s.told(), ["B: known ReversalPending"]);
}

#[test]
fn who_asks_again_while_the_answer_is_being_delivered_gets_it_if_that_fails() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").told();
    s.keyed_sale('B', 1, 7, 9, 1);
    assert_eq!(s.told(), NOTHING);
    s.delivery_failed('A');
    assert_eq!(s.told(), ["B: 0210 000"]);
    s.delivered('B').at(100.0);
    assert_eq!(s.host_got(), ["0200 1/7"], "delivery to it counts");
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").told();
    s.keyed_sale('B', 1, 7, 9, 1).delivered('A');
    assert_eq!(s.told(), ["B: 0210 000"]);
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").told();
    s.keyed_sale('B', 1, 7, 9, 1).at(35.0);
    assert_eq!(s.told(), ["A: TooLate", "B: TooLate"]);
    assert_eq!(s.host_got(), ["0200 1/7", "0400 1/7"]);
}

#[test]
fn who_recalls_gets_what_holds_and_never_sends_anything() {
    let mut s = scene();
    let record = |key: u8, body: u8| Record { key: Some([key; 32]), body: [body; 32] };
    let recall = |client: char, record| Event::Recall { client: ClientTag(client as u64), record };
    s.handle(recall('A', record(9, 1)));
    assert_eq!(s.told(), ["A: Expired"], "nothing is known by this key");
    s.keyed_sale('B', 1, 7, 9, 1).handle(recall('C', record(9, 2)));
    assert_eq!(s.told(), ["C: KeyReused"]);
    s.handle(recall('D', record(9, 1)));
    assert_eq!(s.told(), ["B: Superseded"], "it has become the client");
    s.answer("0200", 1, 7, "000");
    assert_eq!(s.told(), ["D: 0210 000"]);
    s.delivered('D').handle(recall('E', record(9, 1)));
    assert_eq!(s.told(), ["E: 0210 000"]);
    assert_eq!(s.host_got(), ["0200 1/7"]);
    assert_eq!(s.mux.find(&[9; 32]), Some(s.id('B')));
    assert_eq!(s.mux.find(&[8; 32]), None);
}

#[test]
fn the_status_tells_that_an_answer_came_late_before_and_after_the_end() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).at(35.0);
    let late = |s: &Scene| s.mux.status(s.id('A')).is_some_and(|status| status.late);
    assert!(!late(&s));
    s.answer("0200", 1, 7, "000");
    assert!(late(&s), "its reversal is open");
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).at(35.0).answer("0400", 1, 7, "000");
    assert!(!late(&s));
    s.answer("0200", 1, 7, "116");
    assert!(late(&s), "it was reversed");
}

#[test]
fn a_late_answer_to_a_reversal_is_told_as_what_it_is_and_is_no_late_answer_to_the_sale() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).at(35.0).at(40.0).at(45.5).facts();
    // Two sendings have timed out, the third is not due.
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.tally().late, 1);
    assert_eq!(
        s.mux.status(s.id('A')).map(|status| (status.state, status.late)),
        Some((State::Reversed, false))
    );
    let facts = s.whole_facts();
    let told = facts.iter().find_map(|fact| match fact {
        Fact::OwedLate { mti, class, .. } => Some((mti.to_string(), *class)),
        _ => None,
    });
    assert_eq!(told, Some(("0410".to_owned(), socketqueue::dialect::ReversalClass::Accepted)));
    assert!(!facts.iter().any(|fact| matches!(fact, Fact::Late { .. })), "{facts:?}");
}

#[test]
fn who_asked_again_and_has_the_answer_keeps_it_when_the_first_turns_out_not_to_have_it() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 9, 1).answer("0200", 1, 7, "000").told();
    s.keyed_sale('B', 1, 7, 9, 1).delivered('A');
    assert_eq!(s.told(), ["B: 0210 000"]);
    s.delivered('B').delivery_failed('A').at(100.0);
    assert_eq!(s.host_got(), ["0200 1/7"], "one of them has it");
}

#[test]
fn what_was_never_sent_says_so_again() {
    let mut s = scene_without_link(|_| {});
    s.keyed_sale('A', 1, 7, 9, 1).at(35.0).told();
    s.link_up().keyed_sale('B', 1, 7, 9, 1);
    assert_eq!(s.told(), ["B: known NeverSent"]);
    assert_eq!(s.host_got(), NOTHING);
}

#[test]
fn a_full_store_refuses_new_keys_and_evicts_nothing_live() {
    let mut s = scene_with(|set| set.records_max = 1);
    s.keyed_sale('A', 1, 7, 9, 1).keyed_sale('B', 2, 7, 8, 1);
    assert_eq!(s.told(), ["B: RecordsFull"]);
    s.sale('C', 3, 7).answer("0200", 1, 7, "000").delivered('A');
    s.at(86_399.0).keyed_sale('D', 2, 7, 8, 1).told();
    s.at(86_401.0).keyed_sale('E', 2, 8, 8, 1);
    assert_eq!(s.told(), NOTHING, "its time is over, there is room");
}

#[test]
fn the_status_follows_a_transaction_to_its_end() {
    let mut s = scene_without_link(|_| {});
    s.keyed_sale('A', 1, 7, 9, 1);
    assert_eq!(s.state('A'), Some(State::Queued));
    s.link_up();
    assert_eq!(s.state('A'), Some(State::InFlight));
    s.at(35.0);
    assert_eq!(s.state('A'), Some(State::ReversalPending));
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.state('A'), Some(State::Reversed));
    s.answer("0200", 1, 7, "000");
    assert_eq!(s.state('A'), Some(State::ReversalPending), "a late approval opened it again");
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.state('A'), Some(State::Reversed));
    s.at(35.0 + 86_401.0);
    assert_eq!(s.state('A'), None);
}

// -- journal ---------------------------------------------------------------------------------------------------------

#[test]
fn nothing_goes_out_before_its_intent_is_durable() {
    let mut s = scene_with(|set| set.journaled = true);
    s.sale('A', 1, 7);
    assert_eq!(s.host_got(), NOTHING);
    assert!(matches!(s.journal[..], [JournalOp::Intent { .. }]));
    let id = s.id('A');
    s.handle(Event::Durable { id });
    assert_eq!(s.host_got(), ["0200 1/7"]);
    s.answer("0200", 1, 7, "000").delivered('A');
    assert!(matches!(
        s.journal[1..],
        [JournalOp::Answered { .. }, JournalOp::End { state: FinalState::Delivered, .. }]
    ));
}

#[test]
fn the_end_of_a_terminals_transaction_precedes_its_next_intent() {
    let mut s = scene_with(|set| set.journaled = true);
    s.sale('A', 1, 1).sale('B', 1, 2);
    let (a, b) = (s.id('A'), s.id('B'));
    s.handle(Event::Durable { id: a }).answer("0200", 1, 1, "000").delivered('A');
    let position = |wanted: &dyn Fn(&JournalOp) -> bool| s.journal.iter().position(wanted).unwrap();
    let end = position(&|op| matches!(op, JournalOp::End { id, .. } if *id == a));
    let next = position(&|op| matches!(op, JournalOp::Intent { id, .. } if *id == b));
    assert!(end < next);
}

#[test]
fn echoes_and_inquiries_do_not_wait_for_the_journal() {
    let mut s = scene_with(|set| set.journaled = true);
    s.send('A', "0800", 1, 1, &[]).send('B', "0200", 2, 1, &[(3, "310000")]);
    assert_eq!(s.host_got(), ["0800 1/1", "0200 2/1"]);
    assert!(s.journal.iter().all(|op| !matches!(op, JournalOp::Intent { .. })));
}

#[test]
fn when_intents_fail_the_client_is_told_and_new_financial_requests_are_refused() {
    let mut s = scene_with(|set| set.journaled = true);
    s.sale('A', 1, 1);
    let id = s.id('A');
    s.handle(Event::JournalFailed { id, unknown: false });
    assert_eq!(s.told(), ["A: JournalDown"]);
    s.sale('B', 1, 2).send('C', "0800", 2, 1, &[]);
    assert_eq!(s.told(), ["B: JournalDown"]);
    assert_eq!(s.host_got(), ["0800 2/1"]);
    s.handle(Event::JournalUp).sale('D', 1, 3);
    assert_eq!(s.told(), NOTHING);
}

#[test]
fn an_intent_of_unknown_outcome_is_not_sent_until_it_was_read_back() {
    let mut s = scene_with(|set| set.journaled = true);
    s.sale('A', 1, 1);
    let id = s.id('A');
    s.handle(Event::JournalFailed { id, unknown: true }).at(2.0);
    assert_eq!(s.host_got(), NOTHING);
    assert_eq!(s.told(), NOTHING);
    s.handle(Event::Durable { id });
    assert_eq!(s.host_got(), ["0200 1/1"]);
}

#[test]
fn a_gate_that_fails_after_the_commit_is_told_and_journaled_as_never_sent() {
    for gate in ["deadline", "link", "gone"] {
        let mut s = scene_with(|set| set.journaled = true);
        s.sale('A', 1, 1);
        let id = s.id('A');
        match gate {
            "deadline" => s.at(30.0),
            "link" => s.link_down(),
            _ => s.gone('A'),
        };
        s.handle(Event::Durable { id }).link_up();
        assert_eq!(s.host_got(), NOTHING, "{gate}");
        let last = s.journal.last().unwrap();
        assert!(matches!(last, JournalOp::End { state: FinalState::NeverSent, .. }), "{gate}: {last:?}");
        assert_eq!(s.tally().open, 0, "{gate}");
    }
}

#[test]
fn an_advice_is_journaled_when_it_is_accepted() {
    let mut s = scene_with(|set| set.journaled = true);
    s.sale('A', 1, 1).send('B', "0220", 1, 2, &[]);
    let b = s.id('B');
    assert!(s.journal.iter().any(|op| matches!(op, JournalOp::Intent { id, .. } if *id == b)));
}

#[test]
fn every_sending_of_a_reversal_is_journaled() {
    let mut s = scene_with(|set| set.journaled = true);
    s.sale('A', 1, 7);
    let id = s.id('A');
    s.handle(Event::Durable { id }).at(35.0).answer("0400", 1, 7, "909").answer("0400", 1, 7, "000");
    let tail: Vec<String> = s.journal[1..].iter().map(|op| format!("{op:?}")).collect();
    let names: Vec<&str> = tail.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["Owed", "Sent", "Sent", "End"], "{tail:?}");
}

// -- draining --------------------------------------------------------------------------------------------------------

fn drain(s: &mut scene::Scene, after: u64) {
    let deadline = s.now.uptime + Duration::from_secs(after);
    s.handle(Event::Drain { deadline });
}

#[test]
fn at_rest_draining_is_over_at_once() {
    let mut s = scene();
    drain(&mut s, 40);
    assert_eq!(s.drained, Some(0));
    s.sale('A', 1, 1);
    assert_eq!(s.told(), ["A: Draining"]);
}

#[test]
fn while_draining_what_is_in_flight_gets_its_answer_and_what_waits_is_sent() {
    let mut s = scene();
    s.sale('A', 1, 1).sale('B', 1, 2);
    drain(&mut s, 40);
    s.sale('C', 1, 3);
    assert_eq!(s.told(), ["C: Draining"]);
    s.answer("0200", 1, 1, "000").delivered('A');
    assert_eq!(s.host_got(), ["0200 1/1", "0200 1/2"]);
    assert_eq!(s.drained, None);
    s.answer("0200", 1, 2, "000").delivered('B');
    assert_eq!(s.drained, Some(0));
}

#[test]
fn what_waits_is_refused_when_too_little_drain_time_is_left() {
    let mut s = scene_without_link(|_| {});
    s.sale('A', 1, 1);
    drain(&mut s, 20);
    s.at(13.0);
    assert_eq!(s.told(), NOTHING);
    s.at(13.1);
    assert_eq!(s.told(), ["A: Draining"]);
    assert_eq!(s.drained, Some(0));
}

#[test]
fn at_the_end_of_the_drain_time_what_is_in_flight_is_in_doubt_and_stays_owed() {
    let mut s = scene_with(|set| set.journaled = false);
    s.sale('A', 1, 1).facts();
    drain(&mut s, 10);
    s.at(9.9);
    assert_eq!(s.drained, None);
    s.at(10.0);
    assert_eq!(s.told(), ["A: TimedOut"]);
    assert_eq!(s.drained, Some(1));
    let facts = s.whole_facts();
    assert!(facts.iter().any(|fact| matches!(fact, Fact::Owed { why: Doubt::Stopped, .. })));
}

#[test]
fn reversals_get_a_try_before_draining_is_over() {
    let mut s = scene();
    s.sale('A', 1, 1).at(34.0);
    drain(&mut s, 40);
    s.at(35.0);
    assert_eq!(s.drained, None);
    assert_eq!(s.host_got(), ["0200 1/1", "0400 1/1"]);
    s.answer("0400", 1, 1, "000");
    assert_eq!(s.drained, Some(0));
}

#[test]
fn a_reversal_that_was_tried_and_not_accepted_stays_owed() {
    let mut s = scene();
    s.sale('A', 1, 1).at(35.0).answer("0400", 1, 1, "909").answer("0400", 1, 1, "909").host_got();
    drain(&mut s, 40);
    assert_eq!(s.drained, Some(1));
}

// -- bounds and steps ------------------------------------------------------------------------------------------------

#[test]
fn answers_to_the_hosts_own_requests_are_bounded_and_die_with_the_link() {
    let mut s = scene_without_link(|_| {});
    s.mux.handle(s.now, Event::LinkUp);
    for _ in 0..1000 {
        s.mux.handle(s.now, Event::HostRequest { reply: Some(bytes::Bytes::from_static(b"0810")) });
    }
    let mut sent = 0;
    while s.mux.poll_transmit(s.now).is_some() {
        sent += 1;
    }
    assert_eq!(sent, 64);
    s.mux.handle(s.now, Event::HostRequest { reply: Some(bytes::Bytes::from_static(b"0810")) });
    s.mux.handle(s.now, Event::LinkDown);
    s.mux.handle(s.now, Event::LinkUp);
    assert!(s.mux.poll_transmit(s.now).is_none());
}

#[test]
fn two_thousand_refusals_in_a_row_on_one_terminal_do_not_deepen_the_stack() {
    let mut s = scene_with(|set| {
        set.queue_max = 100_000;
        set.reversal_hold = Duration::ZERO;
    });
    s.sale('A', 1, 7);
    for _ in 0..2_000 {
        s.sale('B', 1, 7);
    }
    s.at(5.0).link_down().link_up();
    assert_eq!(s.told().iter().filter(|told| *told == "B: KeyReserved").count(), 2_000);
}

#[test]
fn a_flood_of_time_outs_is_taken_in_steps() {
    let mut s = scene_with(|set| set.queue_max = 10_000);
    for tid in 1..=5_000 {
        s.sale('A', tid, 1);
    }
    s.clock(35.0);
    let mut steps = 0;
    while s.mux.poll_timeout().is_some_and(|due| due <= s.now.uptime) {
        s.mux.handle_timeout(s.now);
        steps += 1;
        assert!(steps < 100);
    }
    assert!(steps >= 5_000 / 512);
    assert_eq!(s.tally().owed, 5_000);
}

#[test]
fn a_reversal_that_was_opened_again_has_its_try_before_draining_is_over() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).answer("0400", 1, 7, "000").host_got();
    s.link_down().answer("0200", 1, 7, "000");
    drain(&mut s, 40);
    assert_eq!(s.drained, None, "nothing was sent since the approval came");
    s.link_up();
    assert_eq!(s.host_got(), ["0400 1/7"]);
    s.answer("0400", 1, 7, "000");
    assert_eq!(s.drained, Some(0));
}

#[test]
fn an_advice_that_was_sent_once_by_its_own_has_a_try_as_a_repeat_before_draining_is_over() {
    let mut s = scene();
    s.send('A', "0220", 1, 7, &[]).gone('A').link_down().host_got();
    drain(&mut s, 40);
    assert_eq!(s.drained, None);
    s.link_up();
    assert_eq!(s.host_got(), ["0221 1/7"]);
    s.answer("0221", 1, 7, "000");
    assert_eq!(s.drained, Some(0));
}

#[test]
fn what_waits_for_a_person_counts_where_new_requests_are_refused() {
    let mut s = scene_with(|set| set.saf_max = 1);
    s.sale('A', 1, 7).at(35.0).answer("0400", 1, 7, "904").told();
    assert_eq!(s.tally().ended[FinalState::Parked as usize], 1);
    s.sale('B', 2, 8);
    assert_eq!(s.told(), ["B: TableFull"]);
    // A late acceptance takes it off the list.
    s.answer("0400", 1, 7, "000").sale('C', 2, 9).host_got();
    s.answer("0200", 2, 9, "000");
    assert_eq!(s.told(), ["C: 0210 000"]);
}

#[test]
fn a_delivery_to_who_asked_again_that_is_never_confirmed_is_not_watched_for_ever() {
    let mut s = scene();
    s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A');
    // It asks again on another connection, which says nothing of it, ever.
    s.at(5.0).again('B', "0201", 1, 7).told();
    s.at(41.0);
    assert_eq!(s.mux.transactions().len(), 1, "B's session may still tell");
    s.at(51.0);
    assert!(s.mux.transactions().is_empty(), "its time and one more watch are over");
    // Nor when the second one failed: then the first one has it, or had its time to say so.
    s.sale('C', 1, 8).answer("0200", 1, 8, "000").delivered('C').again('D', "0201", 1, 8);
    s.delivery_failed('D').at(101.0);
    assert!(s.mux.transactions().is_empty());
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 2);
}

#[test]
fn a_drain_waits_for_who_asked_again_when_the_first_one_lost_the_answer() {
    let drained = || {
        let mut s = scene();
        s.sale('A', 1, 7).answer("0200", 1, 7, "000").delivered('A').again('B', "0201", 1, 7);
        s.delivery_failed('A').host_got();
        drain(&mut s, 10);
        assert_eq!(s.drained, None, "nobody knows whether B has it");
        s
    };
    let mut s = drained();
    s.delivered('B');
    assert_eq!(s.drained, Some(0));
    let mut s = drained();
    s.delivery_failed('B');
    assert_eq!(s.host_got(), ["0400 1/7"]);
    // The second one lost it, and the first one has it.
    let mut s = scene();
    s.sale('A', 1, 7)
        .answer("0200", 1, 7, "000")
        .delivered('A')
        .again('B', "0201", 1, 7)
        .delivery_failed('B');
    drain(&mut s, 10);
    assert_eq!(s.drained, Some(0));
    // Not heard of by the end: in doubt.
    let mut s = drained();
    s.at(10.0);
    assert_eq!(s.drained, Some(1));
    assert_eq!(s.tally().ended[FinalState::Delivered as usize], 0);
}

#[test]
fn at_the_end_of_the_drain_time_nobody_is_given_what_no_process_will_hear_of() {
    let mut s = scene();
    s.keyed_sale('A', 1, 7, 1, 1).answer("0200", 1, 7, "000").keyed_sale('B', 1, 7, 1, 1);
    drain(&mut s, 10);
    s.told();
    s.at(10.0);
    assert_eq!(s.told(), ["A: TooLate", "B: TooLate"]);
    assert_eq!(s.drained, Some(1), "its reversal is owed");
}

#[test]
fn at_the_end_of_the_drain_time_each_advice_that_waits_comes_to_be_owed_once() {
    // The second one's turn comes when the first one has gone, and finds its key reserved by it.
    let mut s = scene_without_link(|_| {});
    s.send('A', "0220", 1, 7, &[]).send('B', "0420", 1, 7, &[]);
    drain(&mut s, 0);
    assert_eq!(s.drained, Some(2));
    assert!(s.tally().adds_up());
}

#[test]
fn an_answer_to_an_earlier_sending_does_not_send_a_reversal_past_what_its_terminal_is_busy_with() {
    let mut s = scene();
    s.sale('A', 1, 7).at(35.0).at(40.0).host_got();
    // Accepted, so the terminal goes on; then the approval opens it again, and it waits for its terminal.
    s.answer("0400", 1, 7, "000").sale('B', 1, 8);
    assert_eq!(s.host_got(), ["0200 1/8"]);
    s.answer("0200", 1, 7, "000").answer("0400", 1, 7, "909");
    assert_eq!(s.host_got(), Vec::<String>::new(), "one outstanding at a time");
    s.answer("0200", 1, 8, "000").delivered('B');
    assert_eq!(s.host_got(), ["0400 1/7"]);
}

#[test]
fn an_advice_whose_client_left_keeps_its_place_also_where_nothing_is_held() {
    let mut s = scene_with(|set| set.reversal_hold = Duration::ZERO);
    s.sale('A', 1, 7).send('B', "0220", 1, 8, &[]).sale('C', 1, 9).gone('B').host_got();
    s.answer("0200", 1, 7, "000").delivered('A');
    assert_eq!(s.host_got(), ["0220 1/8", "0200 1/9"]);
}

#[test]
fn an_advice_that_waits_for_its_key_waits_for_its_intent_too() {
    let mut s = scene_without_link(|set| (set.journaled, set.reversal_hold) = (true, Duration::ZERO));
    s.send('A', "0400", 1, 3, &[]).send('B', "0220", 1, 3, &[]).gone('A').gone('B').link_up();
    let (first, second) = (s.id('A'), s.id('B'));
    s.handle(Event::Durable { id: first });
    assert_eq!(s.host_got(), ["0400 1/3"]);
    s.answer("0400", 1, 3, "000").at(5.0);
    assert_eq!(s.host_got(), Vec::<String>::new(), "the journal has not got it");
    s.handle(Event::Durable { id: second }).at(6.0);
    assert_eq!(s.host_got(), ["0220 1/3"]);
}

#[test]
fn of_two_sales_with_one_key_and_time_a_late_answer_to_a_reversal_is_that_ones_whose_amount_it_has() {
    let mut s = scene_with(|set| set.lock_terminal = false);
    s.sale('A', 1, 7).send('B', "0200", 1, 7, &[(4, "000000002222")]).at(35.0);
    assert_eq!(s.host_got(), ["0200 1/7", "0200 1/7", "0400 1/7", "0400 1/7"]);
    // A's first reversal is answered when its time is over; B's is under way again.
    s.at(40.0).host_got();
    s.answer_with("0400", 1, 7, "000", &[(4, "000000001000")]);
    assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1);
    s.answer_with("0400", 1, 7, "000", &[(4, "000000001000")]);
    assert_eq!(s.tally().ended[FinalState::Reversed as usize], 1, "A's answer again is not B's");
    s.answer_with("0400", 1, 7, "000", &[(4, "000000002222")]);
    assert_eq!(s.tally().ended[FinalState::Reversed as usize], 2);
}

#[test]
fn at_the_end_of_the_drain_time_a_clients_reversal_that_joins_ours_is_over_with_it() {
    let mut s = scene_with(|set| set.reversal_hold = Duration::ZERO);
    s.sale('A', 1, 7).send('B', "0400", 1, 7, &[]);
    drain(&mut s, 10);
    s.at(10.0);
    assert_eq!(s.drained, Some(1));
    assert_eq!(s.mux.transactions().len(), 1, "A's reversal");
    assert_eq!(s.told(), ["B: Draining", "A: TimedOut"]);
}
