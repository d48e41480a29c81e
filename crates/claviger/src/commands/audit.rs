//! `claviger audit verify`: is the journal whole?

use authority::audit;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::block_on;
use crate::output::{Output, Printer};
use crate::settings::DataArguments;

/// Look after the journal, which is the audit log.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the chain of all entries and print its head, on data that no running authority uses.
    ///
    /// Keep the head elsewhere: given back with --expect it also proves that nothing was cut off at the end.
    Verify {
        #[command(flatten)]
        data: DataArguments,
        /// A head printed before, as SEQ:HASH; the chain must still hold it
        #[arg(long, value_name = "HEAD")]
        expect: Option<audit::ExpectedHead>,
        /// How to print the head
        #[arg(long, value_enum, default_value_t, value_name = "FORM")]
        output: Output,
    },
}

#[derive(Serialize)]
struct Head {
    seq: u64,
    hash: String,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let Command::Verify { data, expect, output } = self.command;
        let head = block_on(async { Ok(audit::verify(&data.dir(), expect).await?) })?;
        let head = Head { seq: head.seq, hash: head.hash.to_string() };
        match output {
            Output::Json => printer.json(&head),
            Output::Text => printer.out(&format!("{}:{}", head.seq, head.hash)),
        }
    }
}
