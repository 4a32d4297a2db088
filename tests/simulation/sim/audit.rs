//! At the end: the host's books against what the clients know.

use super::clients::Told;
use super::host::Booked;
use super::world::World;

impl World {
    pub fn audit(&mut self) {
        let told_of = self.clients.told();
        // A person can see it: it is owed, parked or listed, or somebody has seen to it.
        let mut waits = self.open_amounts();
        waits.extend(&self.watch.seen_to);
        let (mut needless_after_crash, mut needless_unacknowledged, mut doubts_lost) = (0, 0, 0);
        for (amount, booked) in &self.host.books {
            let told = told_of.get(amount).map_or(&[][..], Vec::as_slice);
            let has = |told: &Told| matches!(told, Told::Approved | Told::ApprovedAgain);
            match booked {
                Booked::Approved if told.iter().any(|told| has(told) || *told == Told::InDoubt) => {}
                Booked::Approved if waits.contains(amount) => {}
                // The process was gone for good when the host said so.
                Booked::Approved if !self.settings.journaled && self.host.untold.contains(amount) => {}
                // It is written down as over, and that it was opened again is not: a crash came between.
                Booked::Approved if self.watch.doubts_lost.contains(amount) => doubts_lost += 1,
                Booked::Approved => {
                    panic!("orphan: amount {amount} is approved, its clients were told {told:?}")
                }
                Booked::Reversed if !told.iter().any(has) => {}
                // By its client itself; or one that its client repeated, whose repeat is a sale of its own.
                Booked::Reversed if self.clients.undone.contains(amount) => {}
                Booked::Reversed if self.watch.repeated.contains(amount) => {}
                Booked::Reversed if self.watch.unwritten.contains(amount) => needless_after_crash += 1,
                Booked::Reversed if self.watch.unacknowledged.contains(amount) => {
                    needless_unacknowledged += 1
                }
                Booked::Reversed => panic!("needless: amount {amount} was delivered and reversed, {told:?}"),
                Booked::Declined => {}
            }
        }
        self.watch.windows = [needless_after_crash, needless_unacknowledged, doubts_lost];
        let missing = self.watch.advices_due();
        let missing =
            missing.iter().find(|amount| !self.host.advices.contains(amount) && !waits.contains(amount));
        assert_eq!(missing, None, "advice: it was taken and the host never got it");
    }
}
