//! The ledger under the eyes of an independent tool (`isoload audit`), where that is at hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use socketqueue::bank::{Faults, Settings, Summary};

use crate::host::{Bank, echo, reversal, sale, settings};

/// Builds the tool; why not where it is not at hand: `SOCKETQUEUE_SHARED`, or `../shared` beside the checkout, has its
/// source.
fn isoload() -> Result<PathBuf, String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let shared = std::env::var_os("SOCKETQUEUE_SHARED").map_or_else(beside, PathBuf::from);
    let manifest = shared.join("tools/isoload/Cargo.toml");
    if !manifest.exists() {
        return Err(format!("there is no {}", manifest.display()));
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("isoload");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success(), "the tool does not build");
    Ok(target.join("debug/isoload"))
}

/// Clients of the tool straight at a bank with these faults; what the bank did, and what the audit says.
fn audited(tool: &Path, faults: Faults) -> (Summary, Output) {
    let folder = tempfile::tempdir().unwrap();
    let (bank_file, client_file) = (folder.path().join("bank.jsonl"), folder.path().join("clients.jsonl"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let summary = runtime.block_on(async {
        let ledger = Some(bank_file.clone());
        let bank = Bank::start(Settings { unlimited: true, magic: false, ledger, ..settings(faults) }).await;
        let mut clients = Command::new(tool);
        clients
            .args([
                "clients",
                "--frame",
                "ascii4",
                "--mti",
                "0200",
                "--conns",
                "5",
                "--pipeline",
                "4",
                "--survive",
            ])
            .args(["--tids", "per-request:8", "--warmup", "0", "--duration", "1", "--timeout-ms", "1500"])
            .args(["--target", &bank.address.to_string(), "--ledger"])
            .arg(&client_file);
        let run = tokio::task::spawn_blocking(move || clients.output().unwrap()).await.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&[run.stdout, run.stderr].concat()));
        bank.stop().await
    });
    let audit = Command::new(tool)
        .args(["audit", "--json", "--clients"])
        .arg(&client_file)
        .arg("--bank")
        .arg(&bank_file)
        .output()
        .unwrap();
    (summary, audit)
}

#[test]
fn the_audit_reads_the_ledger_and_finds_what_was_hidden() {
    let tool = match isoload() {
        Ok(tool) => tool,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // What a client can stand passes (a second answer it would call a mismatch).
    let harmless = Faults { single_bytes: 20, coalesce: 20, reorder: 20, drop: 2, ..Faults::default() };
    let (summary, audit) = audited(&tool, harmless);
    let verdict: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert!(audit.status.success(), "{verdict:#}");
    assert_eq!(verdict["verdict"], "pass");
    assert_eq!(verdict["booked"], summary.booked);
    assert!(summary.booked > 100 && summary.lost > 0, "{summary:?}");
    // What the bank keeps to itself is found, to the last one.
    let (summary, audit) = audited(&tool, Faults { silent: 20, ..Faults::default() });
    let verdict: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(audit.status.code(), Some(1), "{verdict:#}");
    assert_eq!(verdict["orphan"], summary.messages - summary.answers);
}

#[tokio::test]
async fn a_ledger_tells_what_happened_in_order_and_no_card() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.jsonl");
    let bank = Bank::start(Settings { ledger: Some(file.clone()), ..settings(Faults::default()) }).await;
    let mut link = bank.connect().await;
    let mut repeat = sale(1, 1, 40);
    repeat[3] = b'1';
    let messages = [
        echo(1, 9),
        sale(1, 1, 40),
        repeat,
        sale(1, 1, 40),
        reversal(1, 1, 40),
        reversal(1, 1, 40),
        reversal(1, 2, 40),
    ];
    link.send(&messages).await;
    link.send(&[sale(1, 2, 40), sale(1, 3, 100_001)]).await;
    for _ in 0..9 {
        link.answer().await;
    }
    bank.stop().await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("4850781234567900"), "a card number in the ledger");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> =
        lines.iter().map(|line| format!("{} {} {}", line["event"], line["stan"], line["rc"])).collect();
    assert_eq!(
        told.join("\n").replace('"', ""),
        "booked 1 000\nsale_repeat 1 000\nduplicate_sale 1 000\nreversed 1 000\nreversal_repeat 1 000\n\
         reversal_not_found 2 914\nlate_original_refused 2 100\ndeclined 3 116"
    );
    assert_eq!(lines[0]["t_us"], 1_795_316_645_000_000_i64);
    assert_eq!(lines[0]["tid"], "00000001");
    assert_eq!(lines[0]["de12"], "261122032633");
    assert_eq!(lines[0]["rrn"], lines[1]["rrn"]);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_made_is_refused_at_start() {
    let missing = Some(PathBuf::from("no/such/folder/bank.jsonl"));
    let settings = Settings { ledger: missing, ..settings(Faults::default()) };
    let listener = socketqueue::bank::bind(&settings).await.unwrap();
    let dialect = socketqueue::dialect::Dialect::builtin("smartVista").unwrap();
    let clock: socketqueue::bank::Clock = std::sync::Arc::new(socketqueue::time::Now::default);
    let refused = socketqueue::bank::serve(listener, settings, dialect, clock, std::future::pending()).await;
    assert_eq!(refused.unwrap_err().to_string(), "the ledger no/such/folder/bank.jsonl can't be written");
}
