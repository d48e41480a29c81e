//! `claviger restore` and `claviger restore confirm`.

use std::path::PathBuf;

use anyhow::bail;
use authority::restore::{Restore, Restored, RestoredKey, confirm};
use clap::{Args, Subcommand};

use super::block_on;
use crate::output::Printer;
use crate::settings::{DataArguments, master_key};

/// Put a backup in place, on data that no running authority uses.
///
/// A restore ends all tokens: clients log in again with their keys. It cannot know what happened after the
/// backup, above all which keys were revoked since; so no key is accepted until you say so with
/// `claviger restore confirm`, unless the journal exported since is given with --replay.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// The backup
    #[arg(long, required = true, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The exported master key; the one in the data folder is used if this is not given
    #[arg(long, value_name = "FILE", conflicts_with = "new_master_key")]
    master_key: Option<PathBuf>,
    /// Make a new master key, because the old one is lost: whatever it sealed is lost with it
    #[arg(long)]
    new_master_key: bool,
    /// The journal exported since the backup
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Move aside the database that is there
    #[arg(long)]
    replace: bool,
    #[command(subcommand)]
    then: Option<Then>,
}

#[derive(Debug, Subcommand)]
enum Then {
    /// Accept the state as it is: keys that were revoked after it was saved work again
    Confirm(DataArguments),
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        match self.then {
            Some(Then::Confirm(data)) => match block_on(async { Ok(confirm(&data.dir()).await?) })? {
                Some(_) => printer.out("Confirmed: keys are accepted from the next start on"),
                None => printer.out("There was nothing to confirm"),
            },
            None => {
                let Some(from) = self.from else { bail!("--from is missing") };
                let restore = Restore {
                    data: self.data.dir(),
                    from,
                    master: match (self.master_key, self.new_master_key) {
                        (_, true) => RestoredKey::New,
                        (Some(path), _) => RestoredKey::Exported(path),
                        (None, _) => RestoredKey::AsItIs(master_key()?),
                    },
                    replay: self.replay,
                    replace: self.replace,
                };
                told(&block_on(async { Ok(restore.run().await?) })?, printer)
            }
        }
    }
}

fn told(restored: &Restored, printer: &Printer) -> anyhow::Result<()> {
    let Restored { seq, at, replayed, moved_aside, unconfirmed } = restored;
    if let Some(path) = moved_aside {
        printer.note(&format!("The database that was there is now `{}`.", path.display()));
    }
    printer.out(&format!("Restored the state of {at} (entry {seq}); all tokens are void"))?;
    match unconfirmed {
        Some(why) => printer.note(&format!("Attention: {why}.")),
        None => printer
            .note(&format!("{replayed} entries were replayed; keys are accepted from the next start on.")),
    }
    Ok(())
}
