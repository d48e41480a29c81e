//! `claviger rotate-keys`: new keys for what the authority itself signs.

use authority::signing::Purpose;
use clap::Args;
use domain::Timestamp;
use serde::Serialize;
use wire::claviger::v1::{RotateKeysRequest, RotatedKey};
use wire::convert::parse_timestamp;

use super::{block_on, node};
use crate::output::{Output, Printer};
use crate::settings::DataArguments;

/// Make new keys for what the running authority itself signs and seals: tokens, external tokens, certificates.
///
/// API keys are not concerned. The old keys go on verifying, so nobody notices; a new one signs as soon as those who
/// check what it signs have heard of it. The running server does the same by itself (--rotate-keys-days).
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Which keys [default: all]
    #[arg(long, value_delimiter = ',', value_parser = purposes(), value_name = "PURPOSE")]
    purpose: Vec<String>,
    /// Take the old keys that sign tokens away: every token is void, and each client has to authenticate again
    #[arg(long)]
    end_old_tokens: bool,
    /// Take the old CAs away: no certificate from before is to be trusted
    #[arg(long)]
    distrust_old_ca: bool,
    /// How to print what was made
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

#[derive(Serialize)]
struct Made {
    purpose: String,
    id: String,
    signs_at: Timestamp,
    older: u64,
}

impl Made {
    fn of(key: RotatedKey) -> anyhow::Result<Self> {
        let RotatedKey { purpose, id, signs_at, older_count } = key;
        let signs_at = parse_timestamp("signs_at", signs_at.unwrap_or_default())?;
        Ok(Self { purpose, id, signs_at, older: older_count })
    }

    fn line(&self) -> String {
        let Self { purpose, id, signs_at, older } = self;
        format!("{purpose}: {id} signs from {signs_at} on; {older} older still verify")
    }
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let Self { data, purpose, end_old_tokens, distrust_old_ca, output } = self;
        let request = RotateKeysRequest { purposes: purpose, end_old_tokens, distrust_old_ca };
        let keys = block_on(async {
            let mut client = node::connect(&data.dir()).await?;
            Ok(client.rotate_keys(request).await.map_err(|status| node::said(&status))?.into_inner().keys)
        })?;
        let made = keys.into_iter().map(Made::of).collect::<anyhow::Result<Vec<_>>>()?;
        match output {
            Output::Json => printer.json(&made),
            Output::Text => printer.out(&made.iter().map(Made::line).collect::<Vec<_>>().join("\n")),
        }
    }
}

fn purposes() -> clap::builder::PossibleValuesParser {
    Purpose::ALL.iter().map(|purpose| purpose.name()).collect::<Vec<_>>().into()
}
