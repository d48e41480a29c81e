//! `claviger export-journal`: what happened since a backup, to replay on it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use wire::claviger::v1::ExportJournalRequest;

use super::{block_on, node};
use crate::output::Printer;
use crate::settings::DataArguments;

/// Write the entries of the running authority's journal to a file, one JSON object a line.
///
/// With a backup and the journal exported since, a restore knows everything up to the export, also which keys
/// were revoked: claviger restore --from BACKUP --replay FILE.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Begin after the entry with this number, for example the last one in a backup
    #[arg(long, default_value_t = 0, value_name = "SEQ")]
    after: u64,
    /// Where to write; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        if self.out.exists() {
            bail!("`{}` exists already: give a name that is free", self.out.display());
        }
        let lines = block_on(async {
            let mut client = node::connect(&self.data.dir()).await?;
            let request = ExportJournalRequest { after_seq: self.after };
            let mut chunks = client.export_journal(request).await?.into_inner();
            let mut lines = Vec::new();
            while let Some(chunk) = chunks.message().await? {
                lines.extend_from_slice(&chunk.chunk);
            }
            Ok(lines)
        })?;
        authority::write_private(&self.out, &lines)
            .with_context(|| format!("could not write `{}`", self.out.display()))?;
        // The last line says up to where the export is complete.
        let count = lines.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1);
        printer.out(&format!("Exported {count} entries after {} to `{}`", self.after, self.out.display()))
    }
}
