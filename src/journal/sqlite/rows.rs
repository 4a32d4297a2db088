//! Which rows this process knows, by transaction: those that are open, and those that are over and still have an image; and
//! when images and sheets are to be erased (`erasing.rs`).

mod erasing;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

/// An image is kept so much longer than `lateWindow`, for what the core decided in its last moment and the disk has not
/// taken yet.
pub(super) const ERASE_GRACE: Duration = Duration::from_secs(10);
/// A sheet is looked at so long after the images of what ended at once could go: by then nearly all has ended. Together
/// with the grace and the pause between two sweeps it is gone within a minute after `lateWindow`.
const SHEET_PATIENCE: Duration = Duration::from_secs(15);
/// Of what is over and has its image in a sheet, so many are known by transaction, the youngest: twice as many as the core
/// remembers, who alone has more to say of them. At 10,000 a second `lateWindow` has six million.
const FOLDED_MAX: usize = 1 << 19;

/// Rows by transaction.
pub(super) struct Rows {
    /// A table of its own, as there are few of them: it stays in the caches.
    open: HashMap<u64, Open>,
    over: HashMap<u64, Closed>,
    /// What is over and has an image of its own, in the order of its end; also what was opened again since.
    ends: VecDeque<End>,
    /// The same of what has its image in a sheet (or had when it ended): when it is forgotten, and its transaction.
    folded: VecDeque<(Duration, u64)>,
    /// What had ended when its sheet was unfolded: when its image is erased, its row, its transaction if that is known.
    loose: BTreeSet<(Duration, i64, Option<u64>)>,
    /// When each sheet is looked at, and its number, oldest first.
    sheets: VecDeque<(Duration, i64)>,
    /// How many rows without records each of the answers has.
    answers: HashMap<i64, usize>,
    /// Answers that have none any more.
    spent: Vec<i64>,
    underway: usize,
    kept_for: Duration,
}

struct Open {
    row: i64,
    /// It is with the host, or its answer with the client.
    is_underway: bool,
    in_sheet: bool,
    /// What its record will have, as long as it has none.
    facts: Option<Arc<[u8]>>,
    /// What its host answered, as long as it has none, and the answers that this stands among.
    answered: Option<(Box<[u8]>, i64)>,
}

#[derive(Clone, Copy)]
struct Closed {
    row: i64,
    /// The uptime at which its image is erased.
    erase_at: Duration,
    in_sheet: bool,
    /// Its record is in a bundle.
    is_bundled: bool,
}

/// What was known of a transaction's row before a commit changed it.
pub(super) struct Before {
    tx: u64,
    open: Option<Open>,
    over: Option<Closed>,
}

impl Before {
    /// The row, if it was open and had no record.
    pub(super) fn row_without_record(&self) -> Option<i64> {
        self.open.as_ref().filter(|open| open.facts.is_some()).map(|open| open.row)
    }
}

#[derive(Clone, Copy)]
struct End {
    erase_at: Duration,
    row: i64,
    /// Of what ended in an earlier run, nobody asks by transaction.
    tx: Option<u64>,
}

/// A row that was in a sheet and is not any more.
pub(super) struct Unfolded {
    pub(super) row: i64,
    /// Its transaction, if it is of this run.
    pub(super) tx: Option<u64>,
    /// How long ago it ended, if it has.
    pub(super) ended_ago: Option<Duration>,
}

impl Rows {
    /// None; images of what is over are kept for `late_window` and [`ERASE_GRACE`].
    pub(super) fn new(late_window: Duration) -> Rows {
        Rows {
            open: HashMap::new(),
            over: HashMap::new(),
            ends: VecDeque::new(),
            folded: VecDeque::new(),
            loose: BTreeSet::new(),
            sheets: VecDeque::new(),
            answers: HashMap::new(),
            spent: Vec::new(),
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

    /// What the record of a transaction will have, if it has none yet.
    pub(super) fn facts(&self, tx: u64) -> Option<&[u8]> {
        self.open.get(&tx)?.facts.as_deref()
    }

    /// What the host answered to one that has no record yet.
    pub(super) fn answered(&self, tx: u64) -> Option<&[u8]> {
        self.open.get(&tx)?.answered.as_ref().map(|(answered, _)| &answered[..])
    }

    /// Whether the record of a transaction is in a bundle.
    pub(super) fn is_bundled(&self, tx: u64) -> bool {
        self.over.get(&tx).is_some_and(|closed| closed.is_bundled)
    }

    /// The row of a new transaction, which is open. `facts`: its record is still to be written; `in_sheet`: where its image
    /// is.
    pub(super) fn begun(
        &mut self,
        tx: u64,
        row: i64,
        is_underway: bool,
        in_sheet: bool,
        facts: Option<Arc<[u8]>>,
    ) -> Before {
        let open = self.put(tx, Open { row, is_underway, in_sheet, facts, answered: None });
        Before { tx, open, over: None }
    }

    /// It is open (again), and has a record. What was known of it before.
    pub(super) fn opened(&mut self, tx: u64, row: i64, is_underway: bool) -> Before {
        let (open, over) = (self.take(tx), self.over.remove(&tx));
        let in_sheet = in_sheet(open.as_ref(), over);
        self.put(tx, Open { row, is_underway, in_sheet, facts: None, answered: None });
        Before { tx, open, over }
    }

    /// Its host has answered, which stands among these answers; its record is still to be written. What was known of it before.
    pub(super) fn noted(&mut self, tx: u64, row: i64, answered: Box<[u8]>, answers: i64) -> Before {
        let open = self.take(tx);
        let (facts, in_sheet) =
            open.as_ref().map_or((None, false), |open| (open.facts.clone(), open.in_sheet));
        self.put(tx, Open { row, is_underway: true, in_sheet, facts, answered: Some((answered, answers)) });
        Before { tx, open, over: None }
    }

    /// It was over at this uptime, and its record is in a bundle or by itself. What was known of it before.
    pub(super) fn closed(&mut self, tx: u64, row: i64, uptime: Duration, is_bundled: bool) -> Before {
        let open = self.take(tx);
        let erase_at = uptime + self.kept_for;
        let in_sheet = in_sheet(open.as_ref(), self.over.get(&tx).copied());
        let over = self.over.insert(tx, Closed { row, erase_at, in_sheet, is_bundled });
        match in_sheet {
            true => self.fold(erase_at, tx),
            false => self.ends.push_back(End { erase_at, row, tx: Some(tx) }),
        }
        Before { tx, open, over }
    }

    /// Its image goes with its sheet.
    fn fold(&mut self, erase_at: Duration, tx: u64) {
        self.folded.push_back((erase_at, tx));
        if self.folded.len() > FOLDED_MAX
            && let Some((_, oldest)) = self.folded.pop_front()
            // What was unfolded since is known as long as its image is.
            && self.over.get(&oldest).is_some_and(|closed| closed.in_sheet)
        {
            self.over.remove(&oldest);
        }
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
        let before = self.take(tx);
        self.underway += usize::from(open.is_underway);
        if let Some((_, answers)) = &open.answered {
            *self.answers.entry(*answers).or_default() += 1;
        }
        self.open.insert(tx, open);
        before
    }

    fn take(&mut self, tx: u64) -> Option<Open> {
        let before = self.open.remove(&tx)?;
        self.underway -= usize::from(before.is_underway);
        if let Some((_, answers)) = &before.answered
            && let Some(rows) = self.answers.get_mut(answers)
        {
            *rows -= 1;
            if *rows == 0 {
                self.answers.remove(answers);
                self.spent.push(*answers);
            }
        }
        Some(before)
    }

    /// Answers of which every row has a record.
    pub(super) fn spent_answers(&self) -> impl Iterator<Item = i64> {
        // What a commit did may have been undone.
        self.spent.iter().copied().filter(|answers| !self.answers.contains_key(answers))
    }

    /// They are gone.
    pub(super) fn forget_spent_answers(&mut self) {
        self.spent.clear();
    }

    // -- sheets ------------------------------------------------------------------------------------------------------

    /// The youngest sheet: when the last of its intents came, by uptime, and its number.
    pub(super) fn sheet(&mut self, uptime: Duration, id: i64) {
        self.sheets.push_back((uptime + self.kept_for + SHEET_PATIENCE, id));
    }

    /// These rows have records and images of their own from now on.
    pub(super) fn unfolded(&mut self, now: Duration, rows: &[Unfolded]) {
        for Unfolded { row, tx, ended_ago } in rows {
            if let Some((tx, open)) = tx.and_then(|tx| Some((tx, self.take(tx)?))) {
                // Its end is still to come.
                self.put(tx, Open { in_sheet: false, facts: None, answered: None, ..open });
                continue;
            }
            let (erase_at, tx) = match tx.and_then(|tx| self.over.get_mut(&tx)) {
                Some(over) => {
                    (over.in_sheet, over.is_bundled) = (false, false);
                    (Some(over.erase_at), *tx)
                }
                // Nobody asks for it any more.
                None => (ended_ago.map(|ago| now + self.kept_for.saturating_sub(ago)), None),
            };
            self.loose.extend(erase_at.map(|erase_at| (erase_at, *row, tx)));
        }
    }

    /// The journal was opened anew, and what was committed last may be in it or not. `find` looks up a row: `Some(None)`, it
    /// has a record; `Some` facts, it has none and is in a sheet. Where images are is left open: each is erased by itself,
    /// too.
    pub(super) fn refresh<E>(
        &mut self,
        mut find: impl FnMut(i64) -> Result<Option<Option<Arc<[u8]>>>, E>,
    ) -> Result<(), E> {
        for tx in self.open.keys().copied().collect::<Vec<_>>() {
            let Some(mut open) = self.take(tx) else { continue };
            open.in_sheet = false;
            match find(open.row) {
                Ok(Some(None)) => (open.facts, open.answered) = (None, None),
                Ok(Some(facts)) => open.facts = facts,
                Ok(None) => {}
                Err(error) => {
                    self.put(tx, open);
                    return Err(error);
                }
            }
            self.put(tx, open);
        }
        self.over.values_mut().for_each(|closed| closed.in_sheet = false);
        for (erase_at, tx) in std::mem::take(&mut self.folded) {
            let end = self.over.get(&tx).map(|closed| End { erase_at, row: closed.row, tx: Some(tx) });
            self.ends.extend(end);
        }
        self.ends.make_contiguous().sort_by_key(|end| end.erase_at);
        Ok(())
    }
}

fn in_sheet(open: Option<&Open>, over: Option<Closed>) -> bool {
    open.is_some_and(|open| open.in_sheet) || over.is_some_and(|closed| closed.in_sheet)
}

#[cfg(test)]
mod tests {
    use super::erasing::Due;
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn due(rows: &Rows, at: u64, most: usize) -> Vec<i64> {
        rows.due(seconds(at), most, most).images
    }

    fn erase(rows: &mut Rows, at: u64, most: usize) -> bool {
        let due = rows.due(seconds(at), most, most);
        rows.erased(seconds(at), &due);
        rows.is_due(seconds(at))
    }

    #[test]
    fn what_is_over_is_due_after_its_time_and_what_was_opened_again_is_not() {
        let mut rows = Rows::new(seconds(590));
        for tx in 1..=3 {
            rows.opened(tx, tx as i64 * 10, true);
            rows.closed(tx, tx as i64 * 10, seconds(tx), false);
        }
        rows.opened(2, 20, false);
        assert_eq!((rows.open(), rows.get(2), rows.get(3)), (1, Some((20, true)), Some((30, false))));
        assert_eq!(due(&rows, 600, 10), [0; 0]);
        assert_eq!(due(&rows, 603, 10), [10, 30]);
        assert_eq!(due(&rows, 603, 2), [10]);
        assert!(erase(&mut rows, 603, 2));
        assert!(!erase(&mut rows, 603, 1));
        assert_eq!((rows.get(1), rows.get(2)), (None, Some((20, true))));
        rows.closed(2, 20, seconds(700), false);
        assert_eq!((rows.open(), due(&rows, 1300, 10)), (0, vec![20]));
    }

    #[test]
    fn underway_is_what_is_open_and_owes_nothing() {
        let mut rows = Rows::new(seconds(590));
        for tx in 1..=4 {
            rows.opened(tx, tx as i64, true);
        }
        rows.opened(1, 1, false);
        rows.opened(2, 2, true);
        rows.closed(3, 3, seconds(1), false);
        assert_eq!((rows.open(), rows.underway()), (3, 2));
        rows.forget(2);
        rows.closed(1, 1, seconds(2), false);
        rows.closed(3, 3, seconds(3), false);
        assert_eq!((rows.open(), rows.underway()), (1, 1));
        rows.forget(4);
        assert_eq!((rows.open(), rows.underway()), (0, 0));
    }

    #[test]
    fn what_a_commit_did_can_be_undone() {
        let mut rows = Rows::new(seconds(590));
        rows.opened(1, 10, true);
        let before = [
            rows.closed(1, 10, seconds(1), false),
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
        assert_eq!(due(&rows, 601, 10), [0; 0]);
    }

    #[test]
    fn what_goes_on_under_another_id_is_erased_after_its_second_end_only() {
        let mut rows = Rows::new(seconds(590));
        rows.closed(1, 10, seconds(0), false);
        rows.forget(1);
        rows.opened(2, 10, false);
        assert_eq!(due(&rows, 600, 10), [0; 0]);
        rows.closed(2, 10, seconds(300), false);
        assert_eq!(due(&rows, 899, 10), [0; 0]);
        assert_eq!(due(&rows, 900, 10), [10]);
    }

    #[test]
    fn what_an_earlier_run_left_is_erased_when_its_time_is_over() {
        let mut rows = Rows::new(seconds(590));
        let ended = [(7, seconds(10_000)), (9, seconds(0)), (8, seconds(100))];
        rows.left_over(seconds(5), ended.into_iter(), [(1, seconds(9_000)), (5, seconds(100))].into_iter());
        assert_eq!(
            rows.due(seconds(5), 10, 10),
            Due { images: vec![7], sheets: vec![1], ends: 1, ..Due::default() }
        );
        assert_eq!(due(&rows, 505, 10), [7, 8]);
        assert_eq!(rows.due(seconds(520), 10, 1).sheets, [1]);
        assert_eq!(rows.due(seconds(520), 10, 10).sheets, [1, 5]);
    }

    /// Three in sheet 10, of which the first two end.
    fn sheet() -> Rows {
        let mut rows = Rows::new(seconds(590));
        for tx in 1..=3 {
            rows.begun(tx, 9 + tx as i64, true, true, Some(Arc::default()));
        }
        rows.sheet(seconds(0), 10);
        rows.closed(1, 10, seconds(1), false);
        rows.closed(2, 11, seconds(100), false);
        rows
    }

    #[test]
    fn images_in_a_sheet_are_erased_with_it() {
        let mut rows = sheet();
        rows.closed(3, 12, seconds(2), false);
        assert_eq!(rows.due(seconds(614), 10, 10).sheets, [0; 0]);
        assert_eq!(rows.due(seconds(615), 10, 10), Due { sheets: vec![10], folded: 1, ..Due::default() });
        assert!(!erase(&mut rows, 615, 10));
        assert_eq!((rows.get(1), rows.get(2)), (None, Some((11, false))));
    }

    #[test]
    fn images_of_a_sheet_that_was_unfolded_are_erased_one_by_one() {
        let mut rows = sheet();
        assert!(!erase(&mut rows, 615, 10));
        let unfolded = |row, ended_ago: Option<u64>| Unfolded {
            row,
            tx: Some(row.unsigned_abs() - 9),
            ended_ago: ended_ago.map(seconds),
        };
        rows.unfolded(seconds(615), &[unfolded(10, Some(614)), unfolded(11, Some(515)), unfolded(12, None)]);
        assert!(rows.is_due(seconds(615)));
        assert_eq!(due(&rows, 615, 10), [10], "its time was over before its sheet was unfolded");
        assert!(!erase(&mut rows, 615, 10));
        rows.closed(3, 12, seconds(620), false);
        assert_eq!((due(&rows, 699, 10), due(&rows, 700, 10)), (vec![], vec![11]));
        assert!(!erase(&mut rows, 700, 10));
        assert_eq!((due(&rows, 1219, 10), due(&rows, 1220, 10)), (vec![], vec![12]));
    }

    #[test]
    fn what_was_opened_again_after_its_sheet_was_unfolded_is_erased_after_its_second_end() {
        let mut rows = sheet();
        rows.unfolded(seconds(101), &[Unfolded { row: 11, tx: Some(2), ended_ago: Some(seconds(1)) }]);
        rows.opened(2, 11, false);
        assert_eq!(due(&rows, 700, 10), [0; 0]);
        rows.closed(2, 11, seconds(300), false);
        assert_eq!((due(&rows, 899, 10), due(&rows, 900, 10)), (vec![], vec![11, 11]));
        rows.refresh(|row| Ok::<_, ()>(Some((row != 12).then(Arc::default)))).unwrap();
        assert_eq!(due(&rows, 900, 10), [11, 10, 11, 11]);
        assert!(rows.facts(3).is_none(), "it has a record after all");
    }

    #[test]
    fn answers_are_spent_when_every_row_of_theirs_has_a_record() {
        let mut rows = sheet();
        let noted = rows.noted(3, 12, b"000"[..].into(), 12);
        assert_eq!((rows.answered(3), rows.facts(3)), (Some(&b"000"[..]), Some(&b""[..])));
        let closed = rows.closed(3, 12, seconds(3), false);
        assert_eq!(rows.spent_answers().collect::<Vec<_>>(), [12]);
        rows.restore(closed);
        assert_eq!(rows.spent_answers().count(), 0);
        rows.unfolded(seconds(4), &[Unfolded { row: 12, tx: Some(3), ended_ago: None }]);
        assert_eq!((rows.answered(3), rows.facts(3)), (None, None));
        assert!(rows.spent_answers().eq([12, 12]) || rows.spent_answers().eq([12]));
        rows.forget_spent_answers();
        assert_eq!(rows.spent_answers().count(), 0);
        rows.restore(noted);
        assert_eq!((rows.answered(3), rows.facts(3)), (None, Some(&b""[..])));
    }

    #[test]
    fn facts_are_known_until_there_is_a_record_and_again_when_that_is_undone() {
        let mut rows = sheet();
        assert!(rows.facts(3).is_some() && rows.facts(1).is_none());
        let before = rows.opened(3, 12, true);
        assert!(rows.facts(3).is_none());
        rows.restore(before);
        assert!(rows.facts(3).is_some());
    }

    #[test]
    fn of_what_lies_in_sheets_the_youngest_are_known_and_what_was_unfolded_as_long_as_its_image_is() {
        let mut rows = Rows::new(seconds(590));
        let last = FOLDED_MAX as u64 + 3;
        for tx in 1..=last {
            rows.begun(tx, tx as i64, true, true, Some(Arc::default()));
            rows.closed(tx, tx as i64, seconds(1), true);
            if tx == 2 {
                rows.unfolded(seconds(1), &[Unfolded { row: 2, tx: Some(2), ended_ago: Some(seconds(0)) }]);
            }
        }
        assert_eq!([1, 2, 3, 4].map(|tx| rows.get(tx).is_some()), [false, true, false, true]);
        assert_eq!((rows.over.len(), rows.folded.len()), (FOLDED_MAX + 1, FOLDED_MAX));
        assert_eq!((due(&rows, 600, 10), due(&rows, 601, 10)), (vec![], vec![2]));
        while erase(&mut rows, 601, 100_000) {}
        assert_eq!((rows.over.len(), rows.folded.len(), rows.get(last)), (0, 0, None));
    }

    #[test]
    fn images_that_were_unfolded_are_all_erased_whatever_their_number() {
        let mut rows = Rows::new(seconds(590));
        let unfolded = |tx: u64| Unfolded { row: tx as i64, tx: Some(tx), ended_ago: Some(seconds(0)) };
        for tx in 1..=50 {
            rows.begun(tx, tx as i64, true, true, Some(Arc::default()));
            rows.closed(tx, tx as i64, seconds(1), true);
        }
        rows.unfolded(seconds(1), &(1..=50).map(unfolded).collect::<Vec<_>>());
        let mut images = Vec::new();
        while rows.is_due(seconds(601)) {
            let due = rows.due(seconds(601), 7, 7);
            rows.erased(seconds(601), &due);
            images.extend(due.images);
        }
        assert_eq!((images, rows.over.len()), ((1..=50).collect::<Vec<_>>(), 0));
    }
}
