//! What the core counts. The rules are those of the behaviour reference, chapter a8, with its cases st-001 and st-002.

use std::time::Duration;

use socketqueue::dialect::RequestClass;
use socketqueue::iso8583::Mti;
use socketqueue::mux::{FaultCode, FinalState, Statistics};

use crate::scene::{Scene, scene, scene_with};

/// Secured, processed, refunded, reversed.
fn amounts(s: &Scene) -> (i64, i64, i64, i64) {
    let Statistics { secured, processed, refunded, reversed, .. } = *s.mux.statistics();
    (secured, processed, refunded, reversed)
}

fn faults(s: &Scene) -> Vec<(u16, u64)> {
    let number = |code: &FaultCode| match code {
        FaultCode::Number(number) => *number,
        other => panic!("{other:?}"),
    };
    s.mux.statistics().faults.iter().map(|(code, count)| (number(code), *count)).collect()
}

/// `0200=2 0210=1`, and the total.
fn packets(s: &Scene) -> (String, u64) {
    let statistics = s.mux.statistics();
    let kinds: Vec<_> = statistics.packets.iter().map(|(mti, count)| format!("{mti}={count}")).collect();
    (kinds.join(" "), statistics.packets_total)
}

/// Of 10.00 each.
#[test]
fn approved_sales_are_secured_refunds_taken_off_and_all_of_them_processed() {
    let mut s = scene();
    s.sale('A', 1, 1).answer("0200", 1, 1, "000").delivered('A');
    s.sale('B', 2, 1).answer("0200", 2, 1, "116").delivered('B');
    assert_eq!(amounts(&s), (1000, 2000, 0, 0));
    s.send('C', "0200", 3, 1, &[(3, "200000"), (4, "000000000250")])
        .answer("0200", 3, 1, "000")
        .delivered('C');
    assert_eq!(amounts(&s), (750, 2250, 250, 0));
    assert_eq!(faults(&s), [(116, 1)]);
    assert_eq!(packets(&s), ("0200=3 0210=3".into(), 6));
}

#[test]
fn a_partial_approval_secures_what_it_approves() {
    let mut s = scene();
    s.sale('A', 1, 1).answer_with("0200", 1, 1, "000", &[(4, "000000000400")]).delivered('A');
    assert_eq!(amounts(&s), (400, 1000, 0, 0));
}

#[test]
fn messages_without_money_are_packets_only() {
    let mut s = scene();
    s.send('A', "0800", 1, 1, &[]).answer("0800", 1, 1, "909").delivered('A');
    s.send('B', "0100", 2, 1, &[]).answer("0100", 2, 1, "000").delivered('B');
    assert_eq!(amounts(&s), (0, 0, 0, 0));
    assert_eq!(faults(&s), []);
    assert_eq!(packets(&s), ("0800=1 0810=1 0100=1 0110=1".into(), 4));
}

/// st-002: in SocketQueue the secured amount went below zero.
#[test]
fn reversing_what_was_never_approved_takes_nothing_off() {
    let mut s = scene_with(|set| set.reverse_on_disconnect = true);
    s.sale('A', 1, 1).gone('A').answer("0400", 1, 1, "000");
    assert_eq!(amounts(&s), (0, 1000, 0, 1000));
    assert_eq!(packets(&s), ("0200=1 0400=1 0410=1".into(), 3));
}

#[test]
fn reversing_what_was_approved_takes_it_off_once() {
    let mut s = scene();
    s.sale('A', 1, 1).answer("0200", 1, 1, "000").delivery_failed('A');
    assert_eq!(amounts(&s), (1000, 1000, 0, 0));
    s.answer("0400", 1, 1, "000");
    assert_eq!(amounts(&s), (0, 1000, 0, 1000));
    s.answer("0400", 1, 1, "000");
    assert_eq!(amounts(&s), (0, 1000, 0, 1000), "the same answer again");
}

#[test]
fn reversing_a_refund_gives_its_amount_back() {
    let mut s = scene();
    s.send('A', "0200", 1, 1, &[(3, "200000")]).answer("0200", 1, 1, "000").delivery_failed('A');
    assert_eq!(amounts(&s), (-1000, 1000, 1000, 0));
    s.answer("0400", 1, 1, "000");
    assert_eq!(amounts(&s), (0, 1000, 1000, 1000));
}

/// st-001: in SocketQueue a typing error kept the faults of reversals out.
#[test]
fn faults_of_reversals_count_too() {
    let mut s = scene();
    s.sale('A', 1, 1).answer("0200", 1, 1, "000").delivery_failed('A');
    s.answer("0400", 1, 1, "907");
    assert_eq!(faults(&s), [(907, 1)]);
    s.answer("0400", 1, 1, "000");
    assert_eq!(faults(&s), [(907, 1)]);
    assert_eq!(packets(&s), ("0200=1 0210=1 0400=2 0410=2".into(), 6));
}

#[test]
fn a_clients_own_reversal_takes_back_what_its_sale_had_brought() {
    let mut s = scene();
    s.sale('A', 1, 1).answer("0200", 1, 1, "000").delivered('A').acknowledged('A');
    s.sale('B', 2, 1).answer("0200", 2, 1, "116").delivered('B');
    assert_eq!(amounts(&s), (1000, 2000, 0, 0));
    s.send('C', "0400", 2, 1, &[]).answer("0400", 2, 1, "000").delivered('C');
    assert_eq!(amounts(&s), (1000, 2000, 0, 1000), "a declined sale had brought nothing");
    s.send('D', "0400", 1, 1, &[]).answer("0400", 1, 1, "914").delivered('D');
    assert_eq!(amounts(&s), (1000, 2000, 0, 1000), "the host undid nothing");
    s.send('D', "0400", 1, 1, &[]).answer("0400", 1, 1, "000").delivered('D');
    assert_eq!(amounts(&s), (0, 2000, 0, 2000));
    s.send('E', "0400", 1, 1, &[]).answer("0400", 1, 1, "000").delivered('E');
    assert_eq!(amounts(&s), (0, 2000, 0, 3000), "and it is not taken back twice");
    s.send('F', "0400", 9, 9, &[]).answer("0400", 9, 9, "000").delivered('F');
    assert_eq!(
        amounts(&s),
        (-1000, 2000, 0, 4000),
        "of a sale that is not remembered the host's word counts"
    );
    s.send('G', "0400", 9, 8, &[]).answer("0400", 9, 8, "914").delivered('G');
    assert_eq!(amounts(&s), (-1000, 2000, 0, 4000), "not found: nothing was undone");
}

#[test]
fn late_unmatched_and_refused_ones_do_not_count() {
    let mut s = scene_with(|set| set.queue_max = 1);
    s.sale('A', 1, 1).sale('B', 2, 1);
    assert_eq!(s.told(), ["B: QueueFull"]);
    s.at(36.0);
    assert_eq!(s.host_got(), ["0200 1/1", "0400 1/1"]);
    s.answer("0200", 1, 1, "000");
    s.answer_with("0200", 1, 1, "000", &[(11, "000077")]);
    assert_eq!((s.tally().late, s.tally().unmatched), (1, 1));
    assert_eq!(amounts(&s), (0, 1000, 0, 0));
    assert_eq!(packets(&s), ("0200=1 0400=1".into(), 2));
    s.answer("0400", 1, 1, "000");
    assert_eq!(amounts(&s), (0, 1000, 0, 1000));
}

#[test]
fn a_reset_begins_with_zeros_and_what_came_before_it_is_forgotten() {
    let mut s = scene();
    s.sale('A', 1, 1).answer("0200", 1, 1, "000").delivered('A');
    s.sale('B', 2, 1).answer("0200", 2, 1, "000").delivered('B').acknowledged('B');
    s.mux.set_statistics(Statistics::default());
    s.delivery_failed('A').answer("0400", 1, 1, "000");
    s.send('C', "0400", 2, 1, &[]).answer("0400", 2, 1, "000").delivered('C');
    assert_eq!(amounts(&s), (0, 0, 0, 2000));
    // What metrics are made from is untouched.
    assert_eq!(s.mux.outcomes().rows().map(|row| row.count).sum::<u64>(), 4);
}

#[test]
fn response_codes_that_are_none_make_no_table_grow() {
    let mut s = scene();
    for stan in 1..=1500 {
        s.sale('A', 1, stan)
            .answer("0200", 1, stan, &format!("{:03}", stan % 1000))
            .delivered('A')
            .acknowledged('A');
    }
    let faults = &s.mux.statistics().faults;
    assert_eq!(faults.len(), 999);
    assert_eq!(faults.values().sum::<u64>(), 1499, "000 is no fault");
}

// -- for metrics -----------------------------------------------------------------------------------------------------

#[test]
fn every_end_is_counted_by_kind_answer_and_state_and_reopening_is_told() {
    let mut s = scene();
    s.sale('A', 1, 1).answer("0200", 1, 1, "000").delivered('A').delivery_failed('A');
    s.answer("0400", 1, 1, "000");
    s.sale('B', 2, 1).answer("0200", 2, 1, "116").delivered('B');
    s.send('C', "0800", 3, 1, &[]).at(36.0);
    let rows: Vec<_> =
        s.mux.outcomes().rows().map(|row| (row.mti.unwrap(), row.class, row.state, row.count)).collect();
    let (sale, echo) = (Mti::new(0x0200), Mti::new(0x0800));
    let (approved, declined) = (Some(RequestClass::Approved), Some(RequestClass::Declined));
    assert_eq!(
        rows,
        [
            (sale, approved, FinalState::Delivered, 1),
            (sale, approved, FinalState::Reversed, 1),
            (sale, declined, FinalState::Delivered, 1),
            (echo, None, FinalState::Unanswered, 1),
        ]
    );
    assert_eq!(s.mux.outcomes().reopenings().collect::<Vec<_>>(), [(FinalState::Delivered, 1)]);
    assert_eq!(s.mux.outcomes().balance() + s.tally().open, s.tally().received);
}

#[test]
fn round_trip_and_added_latency_are_the_times_between_the_steps() {
    let mut s = scene();
    s.sale('A', 1, 1).sale('B', 1, 2);
    s.at(0.25).answer("0200", 1, 1, "000");
    s.at(0.5).delivered('A');
    s.at(2.0).answer("0200", 1, 2, "000").delivered('B');
    let timings = s.mux.timings();
    assert_eq!((timings.round_trip.count(), timings.round_trip.sum), (2, Duration::from_millis(250 + 1500)));
    // A: 250 ms until it was delivered. B: 500 ms behind A.
    assert_eq!((timings.added.count(), timings.added.sum), (2, Duration::from_millis(250 + 500)));
}

#[test]
fn a_census_tells_where_everything_stands_and_since_when() {
    let mut s = scene_with(|set| set.reversal_schedule = vec![Duration::from_secs(30)]);
    s.at(1.0).sale('A', 1, 1).answer("0200", 1, 1, "000").delivery_failed('A').answer("0400", 1, 1, "904");
    s.at(2.0).sale('B', 2, 1).answer("0200", 2, 1, "000").delivery_failed('B');
    s.at(3.0).sale('C', 3, 1).sale('D', 3, 2);
    s.at(4.0).sale('E', 4, 1).answer("0200", 4, 1, "000");
    let census = s.mux.census();
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!((census.parked, census.owed_sent, census.owed_waiting), (1, 1, 0));
    assert_eq!((census.in_flight, census.waiting, census.answered), (1, 1, 1));
    assert_eq!((census.oldest_owed, census.oldest_waiting), (seconds(2), seconds(3)));
    let states: Vec<_> = s.mux.oldest(3).iter().map(|view| (view.id, view.state)).collect();
    assert_eq!(states, [(s.id('A'), "parked"), (s.id('B'), "sent"), (s.id('C'), "in flight")]);
    assert_eq!(s.mux.oldest(100).len(), 5);
}
