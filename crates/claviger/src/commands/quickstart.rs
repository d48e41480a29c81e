//! `claviger quickstart`: from nothing to keys that work, in one command.

use authority::engine::Engine;
use authority::server::Server;
use authority::{Absent, secrets};
use clap::Args;
use domain::command::{FoundFleet, NewFleet};
use domain::{Name, RecordId, View as _};
use serde::Serialize;

use super::serve::{say_ca, serve, url};
use super::{ShownKey, block_on};
use crate::output::{Output, Printer};
use crate::settings::Settings;

/// Start an authority on an embedded database and, the first time, make a fleet and two keys to begin with.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// How to say that it is ready
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

/// What is told when it is ready. The keys are there on the first run only.
#[derive(Serialize)]
struct Ready {
    url: String,
    organization_id: Option<String>,
    location_id: Option<String>,
    machine_id: Option<String>,
    owner_key: Option<ShownKey>,
    operator_key: Option<ShownKey>,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let settings = self.settings.layered()?;
        let data = settings.data().root().display().to_string();
        block_on(serve(&settings, Absent::Create, printer, async |server| {
            let ready = fleet(server).await?;
            match self.output {
                Output::Json => printer.json(&ready),
                Output::Text => {
                    printer.out(&text(&ready, &data))?;
                    say_ca(server, printer);
                    Ok(())
                }
            }
        }))
    }
}

/// The fleet that is there, or a new one.
async fn fleet(server: &Server) -> anyhow::Result<Ready> {
    let engine = &server.authority().engine;
    let url = url(server);
    if let Some(organization) = engine.look_as_system(|state| state.organizations().next()) {
        return Ok(existing(engine, url, organization));
    }
    let command = FoundFleet {
        organization: Name::parse("My organization")?,
        location: Name::parse("First location")?,
        machine: Name::parse("first-machine")?,
        owner_key: Name::parse("quickstart-owner")?,
        operator_key: Name::parse("quickstart-operator")?,
        secret: secrets::make(engine)?,
    };
    let made: NewFleet = engine.command("claviger quickstart", command).await?;
    Ok(Ready {
        url,
        organization_id: Some(made.organization.id.to_string()),
        location_id: Some(made.location.id.to_string()),
        machine_id: Some(made.machine.id.to_string()),
        owner_key: Some(ShownKey::of(&made.owner_key)),
        operator_key: Some(ShownKey::of(&made.operator_key)),
    })
}

/// The same fleet again: the oldest organization, its first location, its first machine, where they still are.
fn existing(engine: &Engine, url: String, organization: domain::OrganizationId) -> Ready {
    let (location, machine) = engine.look_as_system(|state| {
        let location =
            state.locations_in(RecordId::Organization(organization)).min_by_key(|it| it.created_at);
        let location = location.map(|it| it.id);
        let machine = location.and_then(|id| state.machines_in(id).next().map(|it| it.id));
        (location, machine)
    });
    Ready {
        url,
        organization_id: Some(organization.to_string()),
        location_id: location.map(|id| id.to_string()),
        machine_id: machine.map(|id| id.to_string()),
        owner_key: None,
        operator_key: None,
    }
}

fn text(ready: &Ready, data: &str) -> String {
    let or_none = |id: &Option<String>| id.clone().unwrap_or_else(|| "none".to_owned());
    let mut text = format!(
        "Claviger serves {}\n\n  organization  {}\n  location      {}\n  machine       {}\n",
        ready.url,
        or_none(&ready.organization_id),
        or_none(&ready.location_id),
        or_none(&ready.machine_id),
    );
    let (Some(owner), Some(operator)) = (&ready.owner_key, &ready.operator_key) else {
        text.push_str(&format!(
            "\nThis is the fleet that was made before; its keys were shown then and are not stored. To get new ones:\n\
             \x20 - with an owner key: rotate it, or create another, with the SDK\n\
             \x20 - without one: stop this server and run  claviger recover --data {data}\n"
        ));
        return text;
    };
    text.push_str(&format!(
        "\nTwo keys. Copy them now: their values are shown once and stored nowhere.\n\n\
         \x20 owner of the organization\n    Key ID: {}\n    Key: {}\n\n\
         \x20 operator of the machine\n    Key ID: {}\n    Key: {}\n",
        owner.id, owner.key, operator.id, operator.key
    ));
    text.push_str(&snippet(ready, owner));
    text
}

fn snippet(ready: &Ready, owner: &ShownKey) -> String {
    let insecure = if ready.url.starts_with("https") {
        ""
    } else {
        "\n        options.insecure = True  # plaintext, on this machine only"
    };
    format!(
        r#"
Paste this into a file and run it (pip install viam-sdk):

    import asyncio
    from viam.app.viam_client import ViamClient
    from viam.rpc.dial import DialOptions

    async def main():
        options = DialOptions.with_api_key(api_key="{key}", api_key_id="{id}"){insecure}
        client = await ViamClient.create_from_dial_options(options, "{url}")
        for key in await client.app_client.list_keys(org_id="{organization}"):
            print(key.api_key.id, key.api_key.name)
        client.close()

    asyncio.run(main())

Three things to try next:
  1. Create a key that may control one location, and nothing else: docs/api-keys.md
  2. Rotate it while the script above runs, and see the old value die at the next call
  3. Ask what a key may do: client.app_client.check_permissions
"#,
        key = owner.key,
        id = owner.id,
        url = ready.url,
        organization = ready.organization_id.as_deref().unwrap_or_default(),
    )
}
