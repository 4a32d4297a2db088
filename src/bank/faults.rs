//! Faults: how the bank misbehaves on request, the same way each time for the same seed.

use std::collections::HashMap;
use std::time::Duration;

use super::chance::{Chance, mix};

/// Faults, in permille of the financial messages and reversals (of all messages with [`Faults::of_all`]); drawn for
/// each from the seed, its TID, its STAN and how many messages of that TID and STAN came before it. All zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Each answer waits so long (min, max), network management included.
    pub delay: (Duration, Duration),
    /// Neither books nor answers.
    pub drop: u16,
    /// Answers twice.
    pub duplicate: u16,
    /// How long after the first answer the second one comes.
    pub duplicate_after: Duration,
    /// Writes the answer byte by byte.
    pub single_bytes: u16,
    /// Holds the answer back and writes it together with the next.
    pub coalesce: u16,
    /// Swaps the answer with the next one.
    pub reorder: u16,
    /// Processes a reversal before the sale that came just before it: the sale waits for its reversal.
    pub reorder_reversal: u16,
    /// Books, answers `late_by` later.
    pub late: u16,
    /// How late.
    pub late_by: Duration,
    /// Books, then closes the link.
    pub close: u16,
    /// Writes garbage before the answer: half of the times a frame that is no message, which a gateway survives, and
    /// half of the times bytes that are no frame, after which it has to give the link up.
    pub garbage: u16,
    /// Books and stays silent.
    pub silent: u16,
    /// Answers the first reversal of a sale with an error, undoing nothing.
    pub reversal_error: u16,
    /// Whether network management messages are struck as well.
    pub of_all: bool,
}

impl Faults {
    /// What `testRealLife` does to the bank (a1 of the reference): a tenth of the connections is closed, a fifth of the
    /// answers comes again after 500 ms. Test clients send echoes, so those are struck too.
    pub fn real_life() -> Faults {
        Faults {
            close: 100,
            duplicate: 200,
            duplicate_after: Duration::from_millis(500),
            of_all: true,
            ..Faults::default()
        }
    }

    /// Whether there are none.
    pub fn is_none(&self) -> bool {
        let quiet = Faults {
            duplicate_after: self.duplicate_after,
            late_by: self.late_by,
            of_all: self.of_all,
            ..Faults::default()
        };
        *self == quiet
    }
}

/// What garbage looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// A frame whose payload is no message.
    Framed,
    /// Bytes that are no frame.
    Raw,
}

/// What happens to one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub delay: Duration,
    pub is_dropped: bool,
    /// A second answer, so long after the first.
    pub again_after: Option<Duration>,
    pub in_single_bytes: bool,
    pub is_coalesced: bool,
    pub is_swapped: bool,
    pub awaits_reversal: bool,
    pub closes: bool,
    pub garbage: Option<Garbage>,
    pub is_silent: bool,
    pub fails_reversal: bool,
}

/// Draws faults.
pub(crate) struct Dice {
    faults: Faults,
    seed: u64,
    turns: HashMap<u64, u32>,
}

/// How many pairs of TID and STAN the dice count the messages of. When they are more, counting begins again for all,
/// which changes what a later repeat draws and nothing else.
const TURNS_MAX: usize = 1_000_000;

impl Dice {
    /// Dice for `faults`; `None` when there is nothing to draw.
    pub fn new(faults: Faults, seed: u64) -> Option<Dice> {
        (!faults.is_none()).then(|| Dice { faults, seed, turns: HashMap::new() })
    }

    /// What happens to a message. `is_network`: it is network management.
    pub fn plan(&mut self, tid: &[u8], stan: Option<u32>, is_network: bool) -> Plan {
        let Dice { faults, seed, turns } = self;
        let stan = stan.unwrap_or(0).to_be_bytes();
        let mut chance = Chance::new(*seed).stir(tid).stir(&stan);
        if turns.len() >= TURNS_MAX {
            turns.clear();
        }
        let turn = turns.entry(mix(chance.clone().next())).or_insert(0);
        chance = chance.stir(&turn.to_be_bytes());
        *turn = turn.wrapping_add(1);
        let (min, max) = faults.delay;
        let delay = Duration::from_micros(chance.between(micros(min), micros(max)));
        if is_network && !faults.of_all {
            return Plan { delay, ..Plan::default() };
        }
        // Every fault is drawn, struck or not, so that one switch does not change what another one strikes.
        let mut plan = Plan {
            delay,
            is_dropped: chance.permille(faults.drop),
            again_after: chance.permille(faults.duplicate).then_some(faults.duplicate_after),
            in_single_bytes: chance.permille(faults.single_bytes),
            is_coalesced: chance.permille(faults.coalesce),
            is_swapped: chance.permille(faults.reorder),
            awaits_reversal: chance.permille(faults.reorder_reversal),
            closes: false,
            garbage: None,
            is_silent: false,
            fails_reversal: false,
        };
        if chance.permille(faults.late) {
            plan.delay = plan.delay.saturating_add(faults.late_by);
        }
        plan.closes = chance.permille(faults.close);
        let garbage = if chance.next() & 1 == 0 { Garbage::Framed } else { Garbage::Raw };
        plan.garbage = chance.permille(faults.garbage).then_some(garbage);
        plan.is_silent = chance.permille(faults.silent);
        plan.fails_reversal = chance.permille(faults.reversal_error);
        plan
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(permille: u16) -> Faults {
        Faults {
            delay: (Duration::from_micros(500), Duration::from_micros(20_000)),
            drop: permille,
            duplicate: permille,
            single_bytes: permille,
            coalesce: permille,
            reorder: permille,
            reorder_reversal: permille,
            late: permille,
            late_by: Duration::from_secs(4),
            close: permille,
            garbage: permille,
            silent: permille,
            reversal_error: permille,
            ..Faults::default()
        }
    }

    fn plans(seed: u64, order: &[u32]) -> Vec<(u32, Plan)> {
        let mut dice = Dice::new(all(300), seed).unwrap();
        let mut plans: Vec<(u32, Plan)> =
            order.iter().map(|&stan| (stan, dice.plan(b"00000001", Some(stan), false))).collect();
        plans.sort_by_key(|(stan, _)| *stan);
        plans
    }

    #[test]
    fn the_same_seed_tid_and_stan_draw_the_same_faults_in_whatever_order_they_come() {
        let order: Vec<u32> = (0..200).collect();
        let backwards: Vec<u32> = (0..200).rev().collect();
        assert_eq!(plans(1, &order), plans(1, &backwards));
        assert_ne!(plans(1, &order), plans(2, &order));
    }

    #[test]
    fn the_next_message_of_a_tid_and_stan_draws_anew() {
        let mut dice = Dice::new(Faults { silent: 500, ..Faults::default() }, 3).unwrap();
        let draws: Vec<bool> = (0..100).map(|_| dice.plan(b"00000001", Some(7), false).is_silent).collect();
        assert!(draws.contains(&true) && draws.contains(&false));
    }

    #[test]
    fn network_management_is_only_delayed_unless_all_is_struck() {
        let mut dice = Dice::new(all(1000), 3).unwrap();
        let plan = dice.plan(b"00000001", Some(7), true);
        assert_eq!(plan, Plan { delay: plan.delay, ..Plan::default() });
        assert!((Duration::from_micros(500)..=Duration::from_micros(20_000)).contains(&plan.delay));
        let mut dice = Dice::new(Faults { of_all: true, ..all(1000) }, 3).unwrap();
        assert!(dice.plan(b"00000001", Some(7), true).is_silent);
    }

    #[test]
    fn without_faults_there_are_no_dice() {
        assert!(
            Dice::new(Faults { late_by: Duration::from_secs(5), of_all: true, ..Faults::default() }, 1)
                .is_none()
        );
        assert!(Dice::new(Faults { close: 1, ..Faults::default() }, 1).is_some());
    }
}
