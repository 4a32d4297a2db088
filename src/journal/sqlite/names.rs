//! What outlives the process so that transactions can be asked for by the names that clients were given.

use rusqlite::{Connection, OptionalExtension, params};

use crate::journal::bundle;

/// Numbers that a process is allowed before the next one begins behind them: 2^20 transactions, by their ids' upper bits.
/// Transactions without money in them take numbers and leave no row.
const AHEAD: u64 = 1 << 42;
/// Of so many rows, the youngest, the highest number is looked for.
const LOOKED_AT: i64 = 10_000;
/// And of so many bundles.
const BUNDLES_LOOKED_AT: i64 = 200;

/// What outlives the process so that transactions can be asked for by name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Names {
    /// With which names are sealed.
    pub secret: [u8; 32],
    /// No transaction of a process before has a higher id (as a number).
    pub last: u64,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Names(…, up to {:x})", self.last)
    }
}

/// Reads them, and notes that another process begins. `fresh`: the secret of a journal that has none yet.
pub(super) fn load(conn: &Connection, fresh: [u8; 32]) -> rusqlite::Result<Names> {
    let setting = |name: &str| {
        conn.query_row("SELECT value FROM settings WHERE name = ?1", [name], |row| row.get::<_, String>(0))
            .optional()
    };
    let put = |name: &str, value: &str| {
        conn.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)", params![name, value])
    };
    let secret = match setting("names")?.as_deref().and_then(read_secret) {
        Some(secret) => secret,
        None => {
            let text: String = fresh.iter().map(|byte| format!("{byte:02x}")).collect();
            put("names", &text)?;
            fresh
        }
    };
    let noted = setting("numbers")?.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let newest = "SELECT MAX(tx) FROM (SELECT tx FROM records ORDER BY id DESC LIMIT ?1)";
    let newest: Option<i64> = conn.query_row(newest, [LOOKED_AT], |row| row.get(0))?;
    let bundled = bundle::last_tx(conn, BUNDLES_LOOKED_AT)?.unwrap_or(0);
    let last = noted.max(newest.map_or(0, |tx| tx as u64)).max(bundled);
    put("numbers", &last.saturating_add(AHEAD).to_string())?;
    Ok(Names { secret, last })
}

fn read_secret(text: &str) -> Option<[u8; 32]> {
    let mut secret = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in secret.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(secret)
}
