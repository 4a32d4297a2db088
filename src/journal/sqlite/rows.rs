//! Which rows this process knows, by transaction: those that are open, and those that are over and still have an image.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

/// An image is kept so much longer than `lateWindow`, for what the core decided in its last moment and the disk has not
/// taken yet. Together with the pause between two sweeps it is gone within a minute.
pub(super) const ERASE_GRACE: Duration = Duration::from_secs(10);

/// Rows by transaction.
pub(super) struct Rows {
    by_tx: HashMap<u64, Row>,
    /// What is over, in the order of its end; also what was opened again since.
    over: VecDeque<Over>,
    open: usize,
    underway: usize,
    kept_for: Duration,
}

#[derive(Clone, Copy)]
struct Row {
    row: i64,
    /// It is with the host, or its answer with the client.
    is_underway: bool,
    /// The uptime at which its image is erased, if it is over.
    erase_at: Option<Duration>,
}

#[derive(Clone, Copy)]
struct Over {
    erase_at: Duration,
    row: i64,
    /// Of what ended in an earlier run, nobody asks by transaction.
    tx: Option<u64>,
}

impl Rows {
    /// None; images of what is over are kept for `late_window` and [`ERASE_GRACE`].
    pub(super) fn new(late_window: Duration) -> Rows {
        let kept_for = late_window + ERASE_GRACE;
        Rows { by_tx: HashMap::new(), over: VecDeque::new(), open: 0, underway: 0, kept_for }
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// How many of them are with the host, or their answers with clients; not those for which something is owed.
    pub(super) fn underway(&self) -> usize {
        self.underway
    }

    /// The row of a transaction, and whether it is open.
    pub(super) fn get(&self, tx: u64) -> Option<(i64, bool)> {
        self.by_tx.get(&tx).map(|row| (row.row, row.erase_at.is_none()))
    }

    /// It is open (again).
    pub(super) fn opened(&mut self, tx: u64, row: i64, is_underway: bool) {
        let before = self.by_tx.insert(tx, Row { row, is_underway, erase_at: None });
        self.discount(before);
        self.open += 1;
        self.underway += usize::from(is_underway);
    }

    /// It was over at this uptime.
    pub(super) fn closed(&mut self, tx: u64, row: i64, uptime: Duration) {
        let erase_at = uptime + self.kept_for;
        let before = self.by_tx.insert(tx, Row { row, is_underway: false, erase_at: Some(erase_at) });
        self.discount(before);
        self.over.push_back(Over { erase_at, row, tx: Some(tx) });
    }

    /// It goes on under another id.
    pub(super) fn forget(&mut self, tx: u64) {
        let before = self.by_tx.remove(&tx);
        self.discount(before);
    }

    /// What a row was is counted no more.
    fn discount(&mut self, before: Option<Row>) {
        let Some(before) = before else { return };
        self.open -= usize::from(before.erase_at.is_none());
        self.underway -= usize::from(before.is_underway);
    }

    /// What earlier runs left: rows and how long ago each ended, oldest end first.
    pub(super) fn left_over(&mut self, now: Duration, rows: impl Iterator<Item = (i64, Duration)>) {
        let kept_for = self.kept_for;
        let over = |(row, ago)| Over { erase_at: now + kept_for.saturating_sub(ago), row, tx: None };
        self.over.extend(rows.map(over));
        self.over.make_contiguous().sort_by_key(|over| over.erase_at);
    }

    /// Of the first `most` entries that are due, the rows whose images are to be erased; and how many entries that are.
    /// What was opened again is passed over.
    pub(super) fn due(&self, now: Duration, most: usize) -> (Vec<i64>, usize) {
        let due: Vec<&Over> = self.over.iter().take(most).take_while(|over| over.erase_at <= now).collect();
        let is_over = |over: &&&Over| match over.tx {
            None => true,
            Some(tx) => self.by_tx.get(&tx).is_some_and(|row| row.erase_at.is_some_and(|at| at <= now)),
        };
        (due.iter().filter(is_over).map(|over| over.row).collect(), due.len())
    }

    /// The images of the first `count` entries are erased. Whether more are due.
    pub(super) fn erased(&mut self, now: Duration, count: usize) -> bool {
        for over in self.over.drain(..count) {
            let Some(tx) = over.tx else { continue };
            if self.by_tx.get(&tx).is_some_and(|row| row.erase_at.is_some_and(|at| at <= now)) {
                self.by_tx.remove(&tx);
            }
        }
        self.over.front().is_some_and(|over| over.erase_at <= now)
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
        (1..=4).for_each(|tx| rows.opened(tx, tx as i64, true));
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
