//! At the end: the host's books against what the clients know.

use super::clients::Told;
use super::host::Booked;
use super::world::World;

impl World {
    pub fn audit(&self) {
        let watch = &self.watch;
        for (amount, booked) in &self.host.books {
            let told = self.clients.told_of(*amount);
            let knows = |told: &Told| matches!(told, Told::Approved | Told::ApprovedAgain | Told::InDoubt);
            let waits =
                watch.parked.contains(amount) || watch.listed.contains(amount) || watch.is_owed(*amount);
            match booked {
                Booked::Approved if watch.window.contains(amount) => {}
                Booked::Approved => assert!(
                    told.iter().any(knows) || waits,
                    "orphan: amount {amount} is approved, its clients were told {told:?}"
                ),
                Booked::Reversed if self.clients.undone.contains(amount) => {}
                Booked::Reversed if watch.repeated.contains(amount) => {}
                Booked::Reversed if watch.unknown_at_crash.contains(amount) => {
                    let needless = told.contains(&Told::Approved);
                    watch.needless_after_crash.set(watch.needless_after_crash.get() + u64::from(needless));
                }
                Booked::Reversed => {
                    let has = |told: &Told| matches!(told, Told::Approved | Told::ApprovedAgain);
                    assert!(
                        !told.iter().any(has),
                        "needless: amount {amount} was delivered and reversed, {told:?}"
                    );
                }
                Booked::Declined => {}
            }
        }
        let missing = watch.advices_due().into_iter().find(|amount| {
            let waits =
                watch.parked.contains(amount) || watch.listed.contains(amount) || watch.is_owed(*amount);
            !self.host.advices.contains(amount) && !waits
        });
        assert_eq!(missing, None, "advice: it was taken and the host never got it");
    }
}
