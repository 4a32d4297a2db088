//! The gateway as a process that is killed, and started again in the same directory: what the host gets from the one
//! after. SIGKILL leaves no time for anything; what counts is what the journal had.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod full;
mod place;
#[path = "../support/process.rs"]
mod process;
mod secrets;
mod world;

use rustix::process::Signal;
use socketqueue::iso8583::field;

use process::Line;
use world::{Gateway, World, approve, label, parse, sale};

#[test]
fn killed_in_flight_the_sale_is_reversed_by_the_next_start() {
    let mut world = World::new(&[]);
    let (mut gateway, mut link) = world.start();
    let mut client = gateway.client();
    let asked = sale(1, 7);
    client.write(&asked);
    assert_eq!(link.frame(), asked);
    gateway.kill();
    assert!(client.end().is_empty(), "the client is told nothing that is not so");

    let (gateway, mut link) = world.start();
    gateway.logs("journal open");
    let reversal = link.frame();
    assert_eq!(label(&reversal), "0400 1/7");
    let (asked, reversal) = (parse(&asked), parse(&reversal));
    for n in [field::PROCESSING_CODE, field::AMOUNT, field::LOCAL_TIME, field::MID, field::CURRENCY] {
        assert_eq!(asked.text(n), reversal.text(n), "{n}");
    }
    assert!(!reversal.has(field::TRACK_2));
    assert_eq!(reversal.text(field::PAN).unwrap(), "4850781234567891");
}

#[test]
fn killed_before_anything_was_sent_nothing_is_owed() {
    let mut world = World::new(&["--vv"]);
    let (mut gateway, link) = world.start();
    drop(link);
    gateway.logs("upstream link lost");
    // It waits for a link.
    let mut client = gateway.client();
    client.write(&sale(1, 7));
    gateway.logs("request accepted");
    gateway.kill();
    assert!(client.end().is_empty());
    let (gateway, mut link) = world.start();
    gateway.client().write(&sale(1, 8));
    assert_eq!(label(&link.frame()), "0200 1/8");
}

#[test]
fn a_delivered_sale_is_not_reversed_and_the_one_behind_it_is() {
    let mut world = World::new(&[]);
    let (mut gateway, mut link) = world.start();
    let mut client = gateway.client();
    client.write(&sale(1, 1));
    let first = link.frame();
    let reply = approve(&first);
    link.send_frame(&reply);
    assert_eq!(client.read(reply.len()), reply);
    // The intent of the next one is journaled behind the end of the one before.
    client.write(&sale(1, 2));
    assert_eq!(label(&link.frame()), "0200 1/2");
    gateway.kill();

    let (_gateway, mut link) = world.start();
    let reversal = link.frame();
    assert_eq!(label(&reversal), "0400 1/2");
    link.send_frame(&approve(&reversal));
    assert!(world.is_silent(&mut link));
}

/// A sale of TID 1 with this STAN that the host has approved, whose client was gone before, and whose reversal the host
/// has not answered. Nothing of this takes time.
fn leave_a_reversal_open(gateway: &Gateway, link: &mut Line, stan: u32) {
    let mut client = gateway.client();
    client.write(&sale(1, stan));
    let asked = link.frame();
    assert_eq!(label(&asked), format!("0200 1/{stan}"));
    client.reset();
    // An approval that comes before the reset is written, and found to be lost a moment later: see the windows in
    // docs/money-safety.md.
    gateway.logs("client disconnected");
    link.send_frame(&approve(&asked));
    assert_eq!(label(&link.frame()), format!("0400 1/{stan}"));
}

#[test]
fn killed_after_an_answer_that_nobody_took_the_sale_is_reversed() {
    let mut world = World::new(&["--vv"]);
    let (mut gateway, mut link) = world.start();
    leave_a_reversal_open(&gateway, &mut link, 7);
    gateway.kill();
    let (_gateway, mut link) = world.start();
    assert_eq!(label(&link.frame()), "0400 1/7");
}

#[test]
fn killed_while_a_reversal_is_owed_it_goes_on_until_it_is_accepted_and_no_longer() {
    let mut world = World::new(&["--vv"]);
    let (mut gateway, mut link) = world.start();
    leave_a_reversal_open(&gateway, &mut link, 7);
    gateway.kill();

    let (mut gateway, mut link) = world.start();
    let reversal = link.frame();
    assert_eq!(label(&reversal), "0400 1/7");
    // Its terminal waits for it, and its key is reserved.
    let mut same_key = gateway.client();
    same_key.write(&sale(1, 7));
    assert!(same_key.end().is_empty());
    let mut next = gateway.client();
    link.send_frame(&approve(&reversal));
    next.write(&sale(1, 8));
    let asked = link.frame();
    assert_eq!(label(&asked), "0200 1/8");
    let reply = approve(&asked);
    link.send_frame(&reply);
    assert_eq!(next.read(reply.len()), reply);
    next.write(&sale(1, 9));
    assert_eq!(label(&link.frame()), "0200 1/9");
    gateway.kill();

    let (_gateway, mut link) = world.start();
    assert_eq!(label(&link.frame()), "0400 1/9", "the one accepted before is over");
}

#[test]
fn a_stop_leaves_what_is_owed_to_the_next_start_and_exits_well() {
    let mut world = World::new(&["--vv", "--drainTimeout=1"]);
    let (mut gateway, mut link) = world.start();
    leave_a_reversal_open(&gateway, &mut link, 7);
    gateway.process.signal(Signal::TERM);
    assert!(gateway.process.exit().success(), "{}", gateway.process.log());
    let (_gateway, mut link) = world.start();
    assert_eq!(label(&link.frame()), "0400 1/7");
}

#[test]
fn an_advice_answered_at_once_reaches_the_host_though_the_process_was_killed() {
    let mut world = World::new(&["--adviceResponse=atOnce"]);
    let (mut gateway, link) = world.start();
    drop(link);
    gateway.logs("upstream link lost");
    let mut client = gateway.client();
    client.write(&world::message("0220", 1, 7));
    let reply = world::read_message(&mut client);
    assert_eq!(label(&reply), "0230 1/7");
    assert_eq!(parse(&reply).text(field::RESPONSE_CODE).unwrap(), "000");
    gateway.kill();
    let (_gateway, mut link) = world.start();
    assert_eq!(label(&link.frame()), "0221 1/7");
}

#[test]
fn what_was_for_another_host_is_listed_and_not_sent() {
    let mut world = World::new(&[]);
    let (mut gateway, mut link) = world.start();
    gateway.client().write(&sale(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    world.another_host();
    let (gateway, mut link) = world.start();
    gateway.logs("listed, not sent");
    assert!(world.is_silent(&mut link));
}

#[test]
fn with_on_restart_list_a_sale_without_an_answer_is_reversed_all_the_same() {
    let mut world = World::new(&["--onRestart=list"]);
    let (mut gateway, mut link) = world.start();
    gateway.client().write(&sale(1, 7));
    assert_eq!(label(&link.frame()), "0200 1/7");
    gateway.kill();
    let (_gateway, mut link) = world.start();
    assert_eq!(label(&link.frame()), "0400 1/7");
}
