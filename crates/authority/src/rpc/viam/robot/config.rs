//! What a part is to run with.
//!
//! INVARIANT: the answer is the same bytes until something that concerns the part changes. A machine starts its web
//! service anew at every difference in its cloud, network or auth section, and all who are connected are cut off.

use domain::{
    Actor, DocumentKind, LocationId, MachineId, OrganizationId, Part, PartId, Permission, Principal, Refusal,
    Revision, State, Timestamp, View as _, query,
};
use prost::Message as _;
use serde_json::{Map, Value};
use wire::convert::{self, config, structs};
use wire::viam::app::v1 as pb;
use wire::viam::common::v1::LogEntry;

use super::{look, names};
use crate::call::Call;
use crate::failure::Failure;
use crate::logs::Full;
use crate::rpc::App;
use crate::rpc::viam::shown;

/// How much of one configuration is told to be left out.
const MOST_TOLD: usize = 100;

/// A part and what it hangs on.
struct Placed {
    part: Part,
    machine: MachineId,
    location: LocationId,
    organization: OrganizationId,
}

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::ConfigRequest,
) -> Result<pb::ConfigResponse, Failure> {
    let (placed, now) = look(app, call, &request.id, |state, principal, part, now| {
        Ok((placed(state, principal, part)?, now))
    })?;
    let part = &placed.part;
    let text = match part.revision {
        0 => Map::new(),
        number => revision(app, part.id, number).await?,
    };
    let (written, mut left_out) = config::robot_config(&text);
    let (auth, also) = config::auth_config(&text);
    left_out.extend(also);
    tell(app, part, left_out, now);
    let config = pb::RobotConfig {
        cloud: Some(cloud(app, &placed)),
        auth: auth
            .map(|auth| pb::AuthConfig { external_auth_config: Some(external_auth(app, part, now)), ..auth }),
        revision: part.revision.to_string(),
        ..written
    };
    Ok(pb::ConfigResponse { config: Some(config) })
}

/// Whoever asks in the place of the part has to be allowed to read its configuration.
fn placed(state: &State, principal: &Principal<'_>, part: &Part) -> Result<Placed, Refusal> {
    if principal.actor() != Actor::Part(part.id) {
        query::part_for(state, principal, Permission::ReadRobotConfig, part.id)?;
    }
    let gone = || Refusal::NotFound(domain::Kind::Part);
    let machine = state.machine(part.machine).ok_or_else(gone)?;
    let location = state.location(machine.location).ok_or_else(gone)?;
    Ok(Placed {
        part: part.clone(),
        machine: machine.id,
        location: location.id,
        organization: location.organization,
    })
}

/// What the owner wrote. A database that was restored may not have it: then the machine is not given something older,
/// but goes on with what it has, until its owner writes it again.
async fn revision(app: &App, part: PartId, number: u32) -> Result<Map<String, Value>, Failure> {
    let id = Revision::document_id(part, number);
    let Some(content) = app.engine.document(DocumentKind::Configuration, &id).await? else {
        tracing::error!(id, "a configuration is not in the database; the machine goes on with what it has");
        return Err(Failure::NotRead);
    };
    let revision = Revision::decode(&id, &content).map_err(|error| shown::broken(&error))?;
    serde_json::from_str(revision.configuration.as_str()).map_err(|error| {
        tracing::error!(%error, "a configuration that was stored is no JSON object");
        Failure::Internal("a configuration that was stored cannot be read")
    })
}

fn cloud(app: &App, placed: &Placed) -> pb::CloudConfig {
    let part = &placed.part;
    let [fqdn, local_fqdn] = names(&app.domain, part);
    let made = app.engine.shared().signing.location_secrets(part.id);
    let secrets = made
        .iter()
        .map(|made| pb::LocationSecret { id: made.id.to_string(), secret: made.value.to_string() });
    pb::CloudConfig {
        id: part.id.to_string(),
        fqdn,
        local_fqdn,
        managed_by: app.domain.as_str().to_owned(),
        signaling_address: app.signaling.address.clone(),
        signaling_insecure: app.signaling.insecure,
        location_secret: made.first().map(|newest| newest.value.to_string()).unwrap_or_default(),
        // It was presented with: no need to send it.
        secret: String::new(),
        location_secrets: secrets.collect(),
        primary_org_id: placed.organization.to_string(),
        location_id: placed.location.to_string(),
        machine_id: placed.machine.to_string(),
    }
}

/// By which keys tokens are checked. There is no handler for API keys: their values are nowhere to be had.
fn external_auth(app: &App, part: &Part, now: Timestamp) -> pb::ExternalAuthConfig {
    let jwks = app.engine.shared().signing.jwks_of(part.id, now);
    let json = jwks.as_object().cloned().map(structs::structure);
    pb::ExternalAuthConfig { jwks: Some(pb::JwksFile { json }) }
}

/// Says in the part's log what of its configuration it does not get, once for each revision.
fn tell(app: &App, part: &Part, left_out: Vec<String>, now: Timestamp) {
    let logs = &app.engine.shared().logs;
    if left_out.is_empty() || !logs.is_news(part.id, part.revision) {
        return;
    }
    let line = |what: String| {
        let line = LogEntry {
            host: "claviger".to_owned(),
            level: "warn".to_owned(),
            time: Some(convert::timestamp(now)),
            logger_name: "claviger.config".to_owned(),
            message: format!("left out of revision {} of the configuration: {what}", part.revision),
            ..LogEntry::default()
        };
        line.encode_to_vec().into()
    };
    let lines = left_out.into_iter().take(MOST_TOLD).map(line).collect();
    if logs.add(part.id, lines) == Err(Full) {
        tracing::warn!(part = %part.id, "no room to say what was left out of a configuration");
    }
}
