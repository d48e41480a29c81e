//! docs/reference.md, which is made and never written.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference.md"))
}

fn page() -> anyhow::Result<Vec<u8>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run =
        Command::new(cargo).args(["run", "--quiet", "--package", "claviger", "--", "reference"]).output()?;
    ensure!(
        run.status.success(),
        "the program did not print its reference: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(run.stdout)
}

pub(crate) fn write() -> anyhow::Result<()> {
    fs::write(path(), page()?).context("docs/reference.md cannot be written")
}

pub(crate) fn check() -> anyhow::Result<()> {
    if fs::read(path()).unwrap_or_default() != page()? {
        bail!("docs/reference.md is not current: run `cargo xtask reference`");
    }
    Ok(())
}
