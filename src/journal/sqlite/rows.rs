//! Which rows this process knows, by transaction: those that are open, and those that are over and still have an image.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

/// An image is kept so much longer than `lateWindow`, for what the core decided in its last moment and the disk has not
/// taken yet. Together with the pause between two sweeps it is gone within a minute.
pub(super) const ERASE_GRACE: Duration = Duration::from_secs(10);

/// Rows by transaction.
pub(super) struct Rows {
    /// A table of its own, as there are few of them: it stays in the caches.
    open: HashMap<u64, Open>,
    over: HashMap<u64, Closed>,
    /// What is over, in the order of its end; also what was opened again since.
    ends: VecDeque<End>,
    underway: usize,
    kept_for: Duration,
}

#[derive(Clone, Copy)]
struct Open {
    row: i64,
    /// It is with the host, or its answer with the client.
    is_underway: bool,
}

#[derive(Clone, Copy)]
struct Closed {
    row: i64,
    /// The uptime at which its image is erased.
    erase_at: Duration,
}

/// What was known of a transaction's row before a commit changed it.
#[derive(Clone, Copy)]
pub(super) struct Before {
    tx: u64,
    open: Option<Open>,
    over: Option<Closed>,
}

#[derive(Clone, Copy)]
struct End {
    erase_at: Duration,
    row: i64,
    /// Of what ended in an earlier run, nobody asks by transaction.
    tx: Option<u64>,
}

impl Rows {
    /// None; images of what is over are kept for `late_window` and [`ERASE_GRACE`].
    pub(super) fn new(late_window: Duration) -> Rows {
        Rows {
            open: HashMap::new(),
            over: HashMap::new(),
            ends: VecDeque::new(),
            underway: 0,
            kept_for: late_window + ERASE_GRACE,
        }
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// How many of them are with the host, or their answers with clients; not those for which something is owed.
    pub(super) fn underway(&self) -> usize {
        self.underway
    }

    /// The row of a transaction, and whether it is open.
    pub(super) fn get(&self, tx: u64) -> Option<(i64, bool)> {
        match self.open.get(&tx) {
            Some(open) => Some((open.row, true)),
            None => self.over.get(&tx).map(|closed| (closed.row, false)),
        }
    }

    /// The row of a new transaction, which is open.
    pub(super) fn begun(&mut self, tx: u64, row: i64, is_underway: bool) -> Before {
        let open = self.put(tx, Open { row, is_underway });
        Before { tx, open, over: None }
    }

    /// It is open (again). What was known of it before.
    pub(super) fn opened(&mut self, tx: u64, row: i64, is_underway: bool) -> Before {
        Before { over: self.over.remove(&tx), ..self.begun(tx, row, is_underway) }
    }

    /// It was over at this uptime. What was known of it before.
    pub(super) fn closed(&mut self, tx: u64, row: i64, uptime: Duration) -> Before {
        let open = self.take(tx);
        let erase_at = uptime + self.kept_for;
        let over = self.over.insert(tx, Closed { row, erase_at });
        self.ends.push_back(End { erase_at, row, tx: Some(tx) });
        Before { tx, open, over }
    }

    /// It goes on under another id. What was known of it under this one.
    pub(super) fn forget(&mut self, tx: u64) -> Before {
        Before { tx, open: self.take(tx), over: self.over.remove(&tx) }
    }

    /// What a commit did is not so. It stays among the ends, where what is open is passed over.
    pub(super) fn restore(&mut self, before: Before) {
        self.forget(before.tx);
        if let Some(open) = before.open {
            self.put(before.tx, open);
        }
        if let Some(closed) = before.over {
            self.over.insert(before.tx, closed);
        }
    }

    fn put(&mut self, tx: u64, open: Open) -> Option<Open> {
        let before = self.open.insert(tx, open);
        self.underway += usize::from(open.is_underway);
        self.underway -= usize::from(before.is_some_and(|before| before.is_underway));
        before
    }

    fn take(&mut self, tx: u64) -> Option<Open> {
        let before = self.open.remove(&tx);
        self.underway -= usize::from(before.is_some_and(|before| before.is_underway));
        before
    }

    /// What earlier runs left: rows and how long ago each ended, oldest end first.
    pub(super) fn left_over(&mut self, now: Duration, rows: impl Iterator<Item = (i64, Duration)>) {
        let kept_for = self.kept_for;
        let end = |(row, ago)| End { erase_at: now + kept_for.saturating_sub(ago), row, tx: None };
        self.ends.extend(rows.map(end));
        self.ends.make_contiguous().sort_by_key(|end| end.erase_at);
    }

    /// Of the first `most` entries that are due, the rows whose images are to be erased; and how many entries that are.
    /// What was opened again is passed over.
    pub(super) fn due(&self, now: Duration, most: usize) -> (Vec<i64>, usize) {
        let due: Vec<&End> = self.ends.iter().take(most).take_while(|end| end.erase_at <= now).collect();
        let is_over = |end: &&&End| end.tx.is_none_or(|tx| self.is_over_since(tx, now));
        (due.iter().filter(is_over).map(|end| end.row).collect(), due.len())
    }

    /// The images of the first `count` entries are erased. Whether more are due.
    pub(super) fn erased(&mut self, now: Duration, count: usize) -> bool {
        for tx in (0..count).map_while(|_| self.ends.pop_front()).filter_map(|end| end.tx).collect::<Vec<_>>()
        {
            if self.is_over_since(tx, now) {
                self.over.remove(&tx);
            }
        }
        self.ends.front().is_some_and(|end| end.erase_at <= now)
    }

    /// Whether it is over, and its time too.
    fn is_over_since(&self, tx: u64, now: Duration) -> bool {
        self.over.get(&tx).is_some_and(|closed| closed.erase_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_is_over_is_due_after_its_time_and_what_was_opened_again_is_not() {
        let mut rows = Rows::new(seconds(590));
        for tx in 1..=3 {
            rows.opened(tx, tx as i64 * 10, true);
            rows.closed(tx, tx as i64 * 10, seconds(tx));
        }
        rows.opened(2, 20, false);
        assert_eq!((rows.open(), rows.get(2), rows.get(3)), (1, Some((20, true)), Some((30, false))));
        assert_eq!(rows.due(seconds(600), 10), (vec![], 0));
        assert_eq!(rows.due(seconds(603), 10), (vec![10, 30], 3));
        assert_eq!(rows.due(seconds(603), 2), (vec![10], 2));
        assert!(rows.erased(seconds(603), 2));
        assert!(!rows.erased(seconds(603), 1));
        assert_eq!((rows.get(1), rows.get(2)), (None, Some((20, true))));
        rows.closed(2, 20, seconds(700));
        assert_eq!((rows.open(), rows.due(seconds(1300), 10).0), (0, vec![20]));
    }

    #[test]
    fn underway_is_what_is_open_and_owes_nothing() {
        let mut rows = Rows::new(seconds(590));
        for tx in 1..=4 {
            rows.opened(tx, tx as i64, true);
        }
        rows.opened(1, 1, false);
        rows.opened(2, 2, true);
        rows.closed(3, 3, seconds(1));
        assert_eq!((rows.open(), rows.underway()), (3, 2));
        rows.forget(2);
        rows.closed(1, 1, seconds(2));
        rows.closed(3, 3, seconds(3));
        assert_eq!((rows.open(), rows.underway()), (1, 1));
        rows.forget(4);
        assert_eq!((rows.open(), rows.underway()), (0, 0));
    }

    #[test]
    fn what_a_commit_did_can_be_undone() {
        let mut rows = Rows::new(seconds(590));
        rows.opened(1, 10, true);
        let before = [
            rows.closed(1, 10, seconds(1)),
            rows.opened(2, 20, true),
            rows.opened(1, 10, false),
            rows.forget(2),
            rows.opened(3, 20, true),
        ];
        assert_eq!((rows.open(), rows.underway(), rows.get(2)), (2, 1, None));
        before.into_iter().rev().for_each(|before| rows.restore(before));
        assert_eq!((rows.open(), rows.underway()), (1, 1));
        assert_eq!((rows.get(1), rows.get(2), rows.get(3)), (Some((10, true)), None, None));
        // It was put into the order of ends; what is open is not erased.
        assert_eq!(rows.due(seconds(601), 10), (vec![], 1));
    }

    #[test]
    fn what_goes_on_under_another_id_is_erased_after_its_second_end_only() {
        let mut rows = Rows::new(seconds(590));
        rows.closed(1, 10, seconds(0));
        rows.forget(1);
        rows.opened(2, 10, false);
        assert_eq!(rows.due(seconds(600), 10), (vec![], 1));
        rows.closed(2, 10, seconds(300));
        assert_eq!(rows.due(seconds(899), 10).0, Vec::<i64>::new());
        assert_eq!(rows.due(seconds(900), 10).0, [10]);
    }

    #[test]
    fn what_an_earlier_run_left_is_erased_when_its_time_is_over() {
        let mut rows = Rows::new(seconds(590));
        rows.left_over(seconds(5), [(7, seconds(10_000)), (9, seconds(0)), (8, seconds(100))].into_iter());
        assert_eq!(rows.due(seconds(5), 10).0, [7]);
        assert_eq!(rows.due(seconds(505), 10).0, [7, 8]);
    }
}
