//! `claviger exchange-master-key`: another master key for the same data.

use std::path::PathBuf;

use authority::signing::exchange;
use clap::Args;

use super::block_on;
use crate::output::Printer;
use crate::settings::{DataArguments, master_key};

/// Make a new master key and seal everything under it, on data that no running authority uses.
///
/// Tokens, certificates and everything that is sealed stay good. Backups from before open with the old key only. If
/// the old key may be in wrong hands, follow it with `claviger rotate-keys --end-old-tokens --distrust-old-ca`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Where to write the new key if the environment holds the old one; must not exist
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let Self { data, out } = self;
        let data = data.dir();
        let count = block_on(async { Ok(exchange(&data, master_key()?, out.as_deref()).await?) })?;
        match &out {
            Some(path) => {
                let path = path.display();
                printer.note(&format!("The new master key is in `{path}`: put it into CLAVIGER_MASTER_KEY."));
            }
            None => printer.note("Export the new key (claviger backup --master-key-out) and keep it apart."),
        }
        printer.note("Keep the export of the old key for as long as there are backups from before.");
        printer.out(&format!("Exchanged the master key; {count} keys are sealed under the new one"))
    }
}
