//! What a driver tells of itself: copies, made when they are asked for.

use super::super::handle::{CENSUS_AGE_MAX, Snapshot, Standing};
use super::Driver;
use crate::mux::Census;
use crate::net::Stream;
use crate::time::Now;

impl<S: Stream> Driver<S> {
    pub(super) fn snapshot(&mut self, now: Now) -> Snapshot {
        Snapshot {
            at: now.uptime,
            draining: self.draining.is_some(),
            queue_max: self.settings.mux.queue_max,
            tally: self.mux.tally(),
            census: self.census(now),
            outcomes: self.mux.outcomes().clone(),
            timings: *self.mux.timings(),
            counts: self.report.counts.clone(),
            link: self.report.link,
            journal_up: self.mux.is_journal_up(),
            statistics: self.mux.statistics().clone(),
        }
    }

    /// A census walks through all that is open; however often it is asked for, that is done now and then only.
    fn census(&mut self, now: Now) -> Census {
        match self.census {
            Some((at, census)) if now.uptime < at + CENSUS_AGE_MAX => census,
            _ => {
                let census = self.mux.census();
                self.census = Some((now.uptime, census));
                census
            }
        }
    }

    pub(super) fn oldest(&self, most: usize, now: Now) -> Vec<Standing> {
        let standing = |view: crate::mux::View| Standing {
            request: view.id,
            mti: view.mti,
            key: self.report.key_pairs(&view.key),
            state: view.state,
            age: now.uptime.saturating_sub(view.arrived),
            attempts: view.attempts,
        };
        self.mux.oldest(most).into_iter().map(standing).collect()
    }
}
