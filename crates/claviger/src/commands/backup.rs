//! `claviger backup`: a copy of everything, made while the authority runs.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use authority::{MasterKey, MasterKeySource};
use clap::Args;
use serde::Serialize;
use wire::claviger::v1::backup_response::Part;
use wire::claviger::v1::{BackupHeader, BackupRequest};

use super::{block_on, node};
use crate::output::{Output, Printer};
use crate::settings::{DataArguments, master_key};

/// Copy the database of the running authority to a file.
///
/// The copy does not hold the master key, without which no token in it can be checked; export that once with
/// --master-key-out and keep it elsewhere. The copy holds no key value, because none is stored.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Where to write the copy; must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where to write the master key as well; must not exist
    #[arg(long, value_name = "FILE")]
    master_key_out: Option<PathBuf>,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

#[derive(Serialize)]
struct Done {
    seq: u64,
    hash: String,
    size_bytes: u64,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        for path in self.master_key_out.iter().chain([&self.out]) {
            if path.exists() {
                bail!("`{}` exists already: give a name that is free", path.display());
            }
        }
        if self.master_key_out.as_ref() == Some(&self.out) {
            bail!("--out and --master-key-out must be two files, better on two machines");
        }
        // Looked for before anything is copied, so that half a backup is not taken for a whole one.
        let master = match (&self.master_key_out, master_key()?) {
            (None, _) => None,
            (Some(_), MasterKeySource::Given(key)) => Some(key),
            (Some(_), MasterKeySource::DataDir) => Some(MasterKey::read(&self.data.dir().master_key())?),
        };
        let done = block_on(self.fetch())?;
        if let Some((key, path)) = master.zip(self.master_key_out.as_ref()) {
            key.write(path)?;
            printer.note(&format!("The master key is in `{}`: keep it apart from the copy.", path.display()));
        } else {
            let key = self.data.dir().master_key();
            printer.note(&format!(
                "The copy does not hold the master key (`{}`). If that is lost, every client has to log in again; \
                 export it once with --master-key-out.",
                key.display()
            ));
        }
        match self.output {
            Output::Json => printer.json(&done),
            Output::Text => printer.out(&format!(
                "Copied {} bytes up to entry {} ({}) to `{}`",
                done.size_bytes,
                done.seq,
                done.hash,
                self.out.display()
            )),
        }
    }

    async fn fetch(&self) -> anyhow::Result<Done> {
        let mut client = node::connect(&self.data.dir()).await?;
        let mut parts = client.backup(BackupRequest {}).await?.into_inner();
        let Some(Part::Header(header)) = parts.message().await?.and_then(|first| first.part) else {
            bail!("the authority did not say what it sends: is it of another version?");
        };
        let mut copy = Vec::new();
        while let Some(part) = parts.message().await? {
            if let Some(Part::Chunk(chunk)) = part.part {
                copy.extend_from_slice(&chunk);
            }
        }
        let BackupHeader { seq, hash, size_bytes, .. } = header;
        if copy.len() as u64 != size_bytes {
            bail!("the copy ended after {} of {size_bytes} bytes: try again", copy.len());
        }
        authority::write_private(&self.out, &copy)
            .with_context(|| format!("could not write `{}`", self.out.display()))?;
        Ok(Done { seq, hash, size_bytes })
    }
}
