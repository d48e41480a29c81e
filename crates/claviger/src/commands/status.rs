//! `claviger status`: what runs on a data folder.

use clap::Args;
use serde::Serialize;
use wire::claviger::v1::{GetStatusRequest, GetStatusResponse};

use super::{block_on, node};
use crate::output::{Output, Printer};
use crate::settings::DataArguments;

/// Tell how the authority that runs on a data folder is.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// How to print it
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

#[derive(Serialize)]
struct Status {
    version: String,
    seq: u64,
    hash: String,
    organizations: u64,
    locations: u64,
    machines: u64,
    keys: u64,
    confirmed: bool,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let answer: GetStatusResponse = block_on(async {
            let mut client = node::connect(&self.data.dir()).await?;
            Ok(client.get_status(GetStatusRequest {}).await?.into_inner())
        })?;
        let status = Status {
            version: answer.version,
            seq: answer.head_seq,
            hash: answer.head_hash,
            organizations: answer.organization_count,
            locations: answer.location_count,
            machines: answer.machine_count,
            keys: answer.key_count,
            confirmed: !answer.restored_unconfirmed,
        };
        match self.output {
            Output::Json => printer.json(&status),
            Output::Text => printer.out(&format!(
                "version {}\nentry {} ({})\n{} organizations, {} locations, {} machines, {} keys\n{}",
                status.version,
                status.seq,
                status.hash,
                status.organizations,
                status.locations,
                status.machines,
                status.keys,
                if status.confirmed {
                    "keys are accepted"
                } else {
                    "no key is accepted: the state waits to be confirmed"
                },
            )),
        }
    }
}
