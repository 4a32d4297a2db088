//! The load generator and judge among the shared tools, where they are at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the tool; why not where it is not at hand: `SOCKETQUEUE_SHARED`, or `../shared` beside the checkout, has its
/// source.
pub fn isoload() -> Result<PathBuf, String> {
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
