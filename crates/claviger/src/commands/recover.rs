//! `claviger recover`: another owner key, when the last one was lost.

use anyhow::{Context as _, bail};
use authority::engine::Engine;
use authority::{Absent, Authority};
use clap::Args;
use domain::command::RecoverOwner;
use domain::{Name, Organization, OrganizationId, View as _};
use serde::Serialize;

use super::{ShownKey, block_on};
use crate::output::{Output, Printer};
use crate::settings::{DataArguments, master_key};

/// Make a new owner key for an organization whose last one was lost, on data that no running authority uses.
///
/// The journal says that it was made by the person at the server. The lost key stays until it is deleted with
/// the new one.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    data: DataArguments,
    /// Which organization; not needed where there is only one
    #[arg(long, value_name = "ID")]
    organization_id: Option<String>,
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
        let made = block_on(async {
            let authority = Authority::open(self.data.dir(), Absent::Refuse, master_key()?).await?;
            let made = recover(&authority.engine, self.organization_id.as_deref()).await;
            authority.close().await;
            made
        })?;
        match self.output {
            Output::Json => printer.json(&made),
            Output::Text => {
                printer.note("A new owner key. Delete the lost one with it. The value is shown once and stored nowhere.");
                printer.out(&format!("Key ID: {}\nKey: {}", made.owner_key.id, made.owner_key.key))
            }
        }
    }
}

async fn recover(engine: &Engine, wanted: Option<&str>) -> anyhow::Result<Made> {
    let all = engine.look_as_system(|state| {
        let all = state.organizations().filter_map(|id| state.organization(id).cloned());
        all.collect::<Vec<_>>()
    });
    let organization = chosen(&all, wanted)?;
    let command = RecoverOwner { organization, key_name: Name::parse("recovered-owner")? };
    let key = engine.command("claviger recover", command).await?;
    Ok(Made { organization_id: organization.to_string(), owner_key: ShownKey::of(&key) })
}

fn chosen(all: &[Organization], wanted: Option<&str>) -> anyhow::Result<OrganizationId> {
    if let Some(wanted) = wanted {
        return wanted.parse().with_context(|| "--organization-id");
    }
    match all {
        [] => bail!("there is no organization here: make one with `claviger init --organization NAME`"),
        [only] => Ok(only.id),
        several => {
            let list: Vec<_> = several.iter().map(|it| format!("{} ({})", it.id, it.name)).collect();
            bail!("there are several organizations: give --organization-id, one of {}", list.join(", "))
        }
    }
}
