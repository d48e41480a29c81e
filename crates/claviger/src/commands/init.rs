//! `claviger init`: an organization and its owner key.

use authority::{Absent, Authority};
use clap::Args;
use domain::Name;
use domain::command::FoundOrganization;
use serde::Serialize;

use super::{ShownKey, block_on};
use crate::output::{Output, Printer};
use crate::settings::{DataArguments, master_key};

/// Make an organization and its owner key, on data that no running authority uses.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// What to call the organization
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// How to print the key
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

#[derive(Serialize)]
struct Made {
    organization_id: String,
    owner_key: ShownKey,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let name =
            Name::parse(&self.organization).map_err(|rule| anyhow::anyhow!("--organization {rule}"))?;
        let made = block_on(async {
            let authority = Authority::open(self.data.dir(), Absent::Create, master_key()?).await?;
            let command = FoundOrganization { name, key_name: Name::parse("owner")? };
            let made = authority.engine.command("claviger init", command).await;
            authority.close().await;
            Ok(made?)
        })?;
        let (organization, key) = made;
        let made = Made { organization_id: organization.id.to_string(), owner_key: ShownKey::of(&key) };
        match self.output {
            Output::Json => printer.json(&made),
            Output::Text => {
                printer.note(
                    "The key is the owner of the organization. Its value is shown once and stored nowhere.",
                );
                let Made { organization_id, owner_key } = made;
                printer.out(&format!(
                    "Organization ID: {organization_id}\nKey ID: {}\nKey: {}",
                    owner_key.id, owner_key.key
                ))
            }
        }
    }
}
