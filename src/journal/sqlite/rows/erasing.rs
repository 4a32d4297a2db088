//! Images and sheets whose time is over.

use std::time::Duration;

use super::{End, Rows, SHEET_PATIENCE};

/// What is to be erased now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Due {
    /// Rows with images of their own.
    pub(in super::super) images: Vec<i64>,
    /// Sheets that are to be looked at.
    pub(in super::super) sheets: Vec<i64>,
    pub(super) loose: usize,
    pub(super) ends: usize,
    pub(super) folded: usize,
}

impl Rows {
    /// What earlier runs left: rows with images of their own and sheets, and how long ago each ended, or came.
    pub(in super::super) fn left_over(
        &mut self,
        now: Duration,
        rows: impl Iterator<Item = (i64, Duration)>,
        sheets: impl Iterator<Item = (i64, Duration)>,
    ) {
        let kept_for = self.kept_for;
        let end = |(row, ago)| End { erase_at: now + kept_for.saturating_sub(ago), row, tx: None };
        self.ends.extend(rows.map(end));
        self.ends.make_contiguous().sort_by_key(|end| end.erase_at);
        let look_at = |(id, ago)| (now + (kept_for + SHEET_PATIENCE).saturating_sub(ago), id);
        self.sheets.extend(sheets.map(look_at));
        self.sheets.make_contiguous().sort();
    }

    /// What is due, of the first `most` rows and the first `most_sheets` sheets. What was opened again is passed over.
    pub(in super::super) fn due(&self, now: Duration, most: usize, most_sheets: usize) -> Due {
        let mut due = Due::default();
        // These first: whether they are still over is known as long as their ends are.
        for (_, row, tx) in self.loose.iter().take(most).take_while(|(erase_at, ..)| *erase_at <= now) {
            due.loose += 1;
            due.images.extend(Some(*row).filter(|_| tx.is_none_or(|tx| self.is_over_since(tx, now))));
        }
        let ends = self.ends.iter().take(most - due.loose).take_while(|end| end.erase_at <= now);
        for end in ends {
            due.ends += 1;
            let is_over = || end.tx.is_none_or(|tx| self.is_over_since(tx, now));
            due.images.extend(Some(end.row).filter(|_| is_over()));
        }
        let folded = self.folded.iter().take(most - due.loose);
        due.folded = folded.take_while(|(erase_at, _)| *erase_at <= now).count();
        let sheets = self.sheets.iter().take(most_sheets).take_while(|(look_at, _)| *look_at <= now);
        due.sheets.extend(sheets.map(|(_, id)| *id));
        due
    }

    /// That is erased; sheets, or unfolded.
    pub(in super::super) fn erased(&mut self, now: Duration, due: &Due) {
        let mut gone: Vec<u64> = Vec::new();
        for _ in 0..due.loose {
            gone.extend(self.loose.pop_first().and_then(|(.., tx)| tx));
        }
        gone.extend(self.ends.drain(..due.ends.min(self.ends.len())).filter_map(|end| end.tx));
        gone.extend(self.folded.drain(..due.folded.min(self.folded.len())).map(|(_, tx)| tx));
        for tx in gone {
            if self.is_over_since(tx, now) {
                self.over.remove(&tx);
            }
        }
        self.sheets.drain(..due.sheets.len().min(self.sheets.len()));
    }

    /// Whether anything is due.
    pub(in super::super) fn is_due(&self, now: Duration) -> bool {
        self.loose.first().is_some_and(|(erase_at, ..)| *erase_at <= now)
            || self.ends.front().is_some_and(|end| end.erase_at <= now)
            || self.folded.front().is_some_and(|(erase_at, _)| *erase_at <= now)
            || self.sheets.front().is_some_and(|(look_at, _)| *look_at <= now)
    }

    /// Whether it is over, and its time too.
    fn is_over_since(&self, tx: u64, now: Duration) -> bool {
        self.over.get(&tx).is_some_and(|closed| closed.erase_at <= now)
    }
}
