//! The tables, in plain types that PostgreSQL has too (`BIGINT` for `INTEGER`, `BYTEA` for `BLOB` there).
//!
//! `records` has no card data (`elements` are those of the request by their numbers, as JSON; `rrn`, `approval_code` and
//! `response_code` are those of an answer) and is kept `keepRecords`. `images` has one sealed message for each row that may still have
//! to be sent: what is open, and what ended less than `lateWindow` ago; the pages of erased images are used again. `sheets`
//! has both for the rows of whole commits, and `answers` what hosts said to them (`sheet.rs`), as long as nothing has
//! happened to them that needs more: then that stands in the other two. `bundles` has records of what ended in one commit, of
//! which there is nothing more to tell (`bundle.rs`). Nothing is unique but row numbers: with the terminal lock off a terminal may
//! have several transactions at a time, and the keys of all of them may be the same. `notes` has what was decided about a record:
//! `operator` is null where no person did, `upstream` is the host of the gateway that took an order, null where it was
//! written into the file.

/// `application_id` of a journal: "SQJ1".
pub(super) const APPLICATION_ID: i64 = 0x5351_4A31;
/// `user_version`: the schema that this release reads and writes. No release had an older one.
pub(super) const VERSION: i64 = 4;

pub(super) const CREATE: &str = "
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE upstreams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    dialect TEXT NOT NULL
);
CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    tx INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    mti TEXT NOT NULL,
    stage INTEGER NOT NULL,
    outcome INTEGER,
    received_ms INTEGER NOT NULL,
    left_ms INTEGER,
    ended_ms INTEGER,
    attempts INTEGER NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    rrn TEXT,
    approval_code TEXT,
    response_code TEXT,
    elements TEXT NOT NULL,
    idempotency_key BLOB,
    idempotency_body BLOB
);
CREATE TABLE images (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    tx INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    nonce BLOB NOT NULL,
    sealed BLOB NOT NULL
);
CREATE TABLE sheets (
    id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    run INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    lines BLOB NOT NULL
);
CREATE TABLE bundles (
    id INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    run INTEGER NOT NULL,
    upstream INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    rows BLOB NOT NULL,
    lines BLOB NOT NULL
);
CREATE TABLE answers (
    id INTEGER PRIMARY KEY,
    lines BLOB NOT NULL
);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    record INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    what TEXT NOT NULL,
    operator TEXT,
    reason TEXT NOT NULL,
    upstream INTEGER
);
CREATE INDEX records_open ON records (id) WHERE stage <> 7;
CREATE INDEX records_asked ON records (ended_ms) WHERE idempotency_body IS NOT NULL;
CREATE INDEX notes_of ON notes (record);
";

pub(super) const INSERT_RECORD: &str = "
INSERT INTO records (id, run, tx, upstream, mti, stage, outcome, received_ms, left_ms, ended_ms, attempts, rrn,
    approval_code, response_code, idempotency_key, idempotency_body, elements)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

pub(super) const DELETE_RECORD: &str = "DELETE FROM records WHERE id = ?1";

/// The intents of a commit.
pub(super) const INSERT_SHEET: &str = "
INSERT INTO sheets (id, last, run, upstream, received_ms, key_id, lines) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// The ends of a commit; when the youngest of them came, and ended.
pub(super) const INSERT_BUNDLE: &str = "
INSERT INTO bundles (id, last, run, upstream, received_ms, ended_ms, rows, lines) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

/// The answers of a commit to rows without records. Also when they are written again after a commit of unknown outcome.
pub(super) const INSERT_ANSWERS: &str = "INSERT OR REPLACE INTO answers (id, lines) VALUES (?1, ?2)";

pub(super) const DELETE_ANSWERS: &str = "DELETE FROM answers WHERE id = ?1";

pub(super) const DELETE_SHEET: &str = "DELETE FROM sheets WHERE id = ?1";

/// What a sheet has of a row, and perhaps its answer, for which there was nothing more to tell.
pub(super) const UNFOLD_RECORD: &str = "
INSERT OR IGNORE INTO records (id, run, tx, upstream, mti, stage, received_ms, left_ms, attempts, rrn, approval_code,
    response_code, elements)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, ?8, ?9, ?10, ?11)";

pub(super) const UNFOLD_IMAGE: &str =
    "INSERT OR IGNORE INTO images (id, run, tx, key_id, nonce, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Once, also when it is written again after a commit of unknown outcome.
pub(super) const INSERT_NOTE: &str = "
INSERT INTO notes (record, at_ms, what, operator, reason, upstream) SELECT ?1, ?2, ?3, ?4, ?5, ?6
WHERE NOT EXISTS (SELECT 1 FROM notes WHERE record = ?1 AND at_ms = ?2 AND what = ?3)";

pub(super) const INSERT_IMAGE: &str =
    "INSERT INTO images (id, run, tx, key_id, nonce, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// `?9`: 0 leaves outcome and end, 1 sets both, 2 takes both away (it is open again), 3 sets the end only.
pub(super) const UPDATE_RECORD: &str = "
UPDATE records SET
    stage = COALESCE(?2, stage),
    attempts = COALESCE(?3, attempts),
    rrn = COALESCE(?4, rrn),
    approval_code = COALESCE(?5, approval_code),
    response_code = COALESCE(?6, response_code),
    superseded = COALESCE(?10, superseded),
    outcome = CASE WHEN ?9 = 0 THEN outcome WHEN ?9 = 1 THEN ?7 WHEN ?9 = 2 THEN NULL ELSE outcome END,
    ended_ms = CASE WHEN ?9 = 0 THEN ended_ms ELSE ?8 END
WHERE id = ?1";

/// The same where nothing but the answer and the end is told: nearly always.
pub(super) const END_RECORD: &str = "
UPDATE records SET stage = ?2, outcome = ?3, ended_ms = ?4, rrn = COALESCE(?5, rrn),
    approval_code = COALESCE(?6, approval_code), response_code = COALESCE(?7, response_code)
WHERE id = ?1";

/// `records.tx` stays: it is the id that the client was told. `images.tx` is the one that it has now.
pub(super) const RENAME_IMAGE: &str = "UPDATE images SET run = ?2, tx = ?3 WHERE id = ?1";

/// Sheets, and when the youngest of their intents came; oldest first.
pub(super) const SHEETS: &str = "SELECT id, received_ms FROM sheets ORDER BY id";

/// Sheets that begin at row `?1` at the latest.
pub(super) const SHEETS_UP_TO: &str = "SELECT id FROM sheets WHERE id <= ?1";

/// First and last row of sheet `?1`.
pub(super) const SHEET_SPAN: &str = "SELECT id, last FROM sheets WHERE id = ?1";

/// How many rows from `?1` to `?2` had ended by `?3`.
pub(super) const ENDED_BY: &str =
    "SELECT COUNT(*) FROM records WHERE id BETWEEN ?1 AND ?2 AND stage = 7 AND ended_ms <= ?3";

/// Rows that are over, from `?1` to `?2`, and when they ended.
pub(super) const ENDED_BETWEEN: &str =
    "SELECT id, ended_ms FROM records WHERE id BETWEEN ?1 AND ?2 AND stage = 7";

/// An open row that cannot be read waits for a person. 5 and 6 are parked and listed: it does already.
pub(super) const SET_ASIDE: &str = "UPDATE records SET stage = 6 WHERE id = ?1 AND stage NOT IN (5, 6)";

/// A sealed image whose transaction is over.
pub(super) const ERASE_IMAGE: &str = "
DELETE FROM images WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM records r WHERE r.id = ?1 AND r.stage <> 7)";

/// Records from `?1` on, whether they came before `?2`, and whether they are over.
pub(super) const OLD_RECORDS: &str =
    "SELECT id, received_ms < ?2, stage = 7 FROM records WHERE id > ?1 ORDER BY id LIMIT ?3";

/// The first bundles, their last row, and whether all of it came before `?1`.
pub(super) const OLD_BUNDLES: &str = "SELECT id, last, received_ms < ?1 FROM bundles ORDER BY id LIMIT ?2";

/// Notes about records up to `?1` that are gone.
pub(super) const DELETE_NOTES: &str =
    "DELETE FROM notes WHERE record <= ?1 AND record NOT IN (SELECT id FROM records)";

/// The images that are open, what is known of them, the last order to send them, and the host for which it was given.
pub(super) const OPEN: &str = "
SELECT i.id, r.tx, r.mti, r.received_ms, r.left_ms, r.stage, r.attempts, r.rrn, r.idempotency_key, r.idempotency_body,
    u.id, u.name, u.address, u.dialect, i.key_id, i.nonce, i.sealed, r.superseded, n.what, f.name, f.address, f.dialect
FROM images i JOIN records r ON r.id = i.id JOIN upstreams u ON u.id = r.upstream
LEFT JOIN notes n ON n.id =
    (SELECT MAX(m.id) FROM notes m WHERE m.record = r.id AND m.what IN ('retried', 'forced'))
LEFT JOIN upstreams f ON f.id = n.upstream
WHERE r.stage <> 7 ORDER BY i.id";

/// The images of what is over, oldest first.
pub(super) const ENDED: &str =
    "SELECT i.id, r.ended_ms FROM images i JOIN records r ON r.id = i.id WHERE r.stage = 7 ORDER BY i.id";

/// What ended since `?1` and is remembered for those who ask, newest first.
pub(super) const REMEMBERED: &str = "
SELECT r.tx, r.idempotency_key, r.idempotency_body, r.outcome, r.attempts, r.ended_ms, u.dialect, r.mti,
    r.rrn, r.approval_code, r.response_code, r.elements, r.id
FROM records r JOIN upstreams u ON u.id = r.upstream
WHERE r.idempotency_body IS NOT NULL AND r.stage = 7 AND r.ended_ms >= ?1 ORDER BY r.ended_ms DESC LIMIT ?2";

/// What ended since `?1` and still has its message. In no order: SQLite would sort by way of a file, messages and all.
pub(super) const LATELY: &str = "
SELECT i.id, r.tx, r.mti, r.received_ms, r.outcome, r.attempts, r.rrn, r.response_code, r.ended_ms,
    u.id, u.name, u.address, u.dialect, i.key_id, i.nonce, i.sealed
FROM images i JOIN records r ON r.id = i.id JOIN upstreams u ON u.id = r.upstream
WHERE r.stage = 7 AND r.ended_ms >= ?1";

/// The same of rows from `?2` to `?3`, whose messages are in a sheet.
pub(super) const LATELY_BETWEEN: &str = "
SELECT r.id, r.tx, r.mti, r.received_ms, r.outcome, r.attempts, r.rrn, r.response_code, r.ended_ms,
    u.id, u.name, u.address, u.dialect
FROM records r JOIN upstreams u ON u.id = r.upstream
WHERE r.stage = 7 AND r.ended_ms >= ?1 AND r.id BETWEEN ?2 AND ?3";
