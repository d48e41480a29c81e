//! Parts, as `viam.app.v1` tells of them.

use domain::{
    Actor, Configuration, Domain, Machine, MachineId, OnlineState, Part, PartId, Presence, Refusal, Revision,
    Secret,
};

use super::{structs, timestamp};
use crate::viam::app::v1 as pb;

/// A secret with its value, which is empty where it cannot be opened any more.
#[derive(Clone)]
pub struct OpenSecret {
    /// What is known of it.
    pub secret: Secret,
    /// Its value.
    pub value: String,
}

impl std::fmt::Debug for OpenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenSecret").field("id", &self.secret.id).finish_non_exhaustive()
    }
}

/// A part with what the caller may know of it.
#[derive(Debug)]
pub struct ShownPart<'a> {
    /// The part.
    pub part: &'a Part,
    /// Its machine.
    pub machine: &'a Machine,
    /// When it was last heard of.
    pub presence: Presence,
    /// Its configuration, to those who may read it; empty if it has none.
    pub configuration: Option<&'a str>,
    /// Its secrets, to those who may read them.
    pub secrets: &'a [OpenSecret],
}

/// A part of a machine.
///
/// # Errors
/// Where its configuration is not the JSON it was when it was taken in.
pub fn robot_part(domain: &Domain, shown: &ShownPart<'_>) -> Result<pb::RobotPart, serde_json::Error> {
    let ShownPart { part, machine, presence, configuration, secrets } = shown;
    let text = configuration.filter(|text| !text.is_empty());
    Ok(pb::RobotPart {
        id: part.id.to_string(),
        name: part.name.to_string(),
        secret: secrets.last().map(|it| it.value.clone()).unwrap_or_default(),
        robot: part.machine.to_string(),
        robot_config: configuration
            .map(|_| text.map_or(Ok(Default::default()), structs::from_json))
            .transpose()?,
        last_access: presence.last_access.map(timestamp),
        user_supplied_info: None,
        main_part: part.main,
        fqdn: domain.fqdn(&part.label),
        dns_name: part.label.to_string(),
        local_fqdn: domain.local_fqdn(&part.label),
        location_id: machine.location.to_string(),
        created_on: Some(timestamp(part.created_at)),
        secrets: secrets.iter().map(shared_secret).collect(),
        last_updated: Some(timestamp(part.last_updated())),
        online_state: online_state(*presence).into(),
        seconds_since_online: presence.seconds_since_online,
        robot_config_json: text.map(str::to_owned),
    })
}

fn shared_secret(it: &OpenSecret) -> pb::SharedSecret {
    pb::SharedSecret {
        id: it.secret.id.to_string(),
        secret: it.value.clone(),
        created_on: Some(timestamp(it.secret.created_at)),
        state: pb::shared_secret::State::Enabled.into(),
    }
}

/// The secrets of a location.
#[must_use]
pub fn location_auth(location: domain::LocationId, secrets: &[OpenSecret]) -> pb::LocationAuth {
    pb::LocationAuth {
        secret: secrets.last().map(|it| it.value.clone()).unwrap_or_default(),
        location_id: location.to_string(),
        secrets: secrets.iter().map(shared_secret).collect(),
    }
}

/// A part in short.
#[must_use]
pub fn part_summary(part: &Part, presence: Presence) -> pb::PartSummary {
    let last = presence.last_access.map(timestamp);
    pb::PartSummary {
        part_id: part.id.to_string(),
        part_name: part.name.to_string(),
        last_online: last,
        dns_name: Some(part.label.to_string()),
        is_main_part: part.main,
        online_state: online_state(presence).into(),
        seconds_since_online: presence.seconds_since_online,
        last_access: last,
        ..Default::default()
    }
}

/// Whether it is connected.
#[must_use]
pub const fn online_state(presence: Presence) -> pb::OnlineState {
    match presence.state {
        OnlineState::Online => pb::OnlineState::Online,
        OnlineState::Offline => pb::OnlineState::Offline,
        OnlineState::AwaitingSetup => pb::OnlineState::AwaitingSetup,
    }
}

/// One change of a part's configuration: what it was before, and who changed it.
///
/// # Errors
/// Where what it was before is not the JSON it was when it was taken in.
pub fn history_entry(
    part: PartId,
    machine: MachineId,
    revision: &Revision,
    before: Option<&Revision>,
    known: bool,
) -> Result<pb::RobotPartHistoryEntry, serde_json::Error> {
    let text = before.map(|before| before.configuration.as_str());
    let old = pb::RobotPart {
        id: part.to_string(),
        name: before.unwrap_or(revision).part_name.to_string(),
        robot: machine.to_string(),
        robot_config: Some(text.map_or(Ok(Default::default()), structs::from_json)?),
        robot_config_json: text.map(str::to_owned),
        last_updated: before.map(|before| timestamp(before.at)),
        ..Default::default()
    };
    Ok(pb::RobotPartHistoryEntry {
        part: part.to_string(),
        robot: machine.to_string(),
        when: Some(timestamp(revision.at)),
        old: Some(old),
        edited_by: Some(authenticator(revision, known)),
    })
}

fn authenticator(revision: &Revision, known: bool) -> pb::AuthenticatorInfo {
    let name = revision.by_name.as_ref();
    let named = |id: String| name.map_or_else(|| id.clone(), |name| format!("{name} ({id})"));
    let (kind, value) = match revision.by {
        Actor::Key(id) => (pb::AuthenticationType::ApiKey, named(id.to_string())),
        Actor::User(id) => (pb::AuthenticationType::WebOauth, id.to_string()),
        Actor::Part(id) => (pb::AuthenticationType::RobotPartSecret, id.to_string()),
        Actor::System => (pb::AuthenticationType::Unspecified, "system".to_owned()),
    };
    pb::AuthenticatorInfo { r#type: kind.into(), value, is_deactivated: !known }
}

/// The configuration that a request carries, if it does: the text where there is one, because it says more.
///
/// # Errors
/// Names the field that is wrong: also where both are there and do not say the same.
pub fn parse_configuration(
    structure: Option<&prost_types::Struct>,
    text: Option<String>,
) -> Result<Option<Configuration>, Refusal> {
    let (field, text) = match (structure, text) {
        (None, None) => return Ok(None),
        (Some(it), None) => ("robot_config", structs::to_json("robot_config", it)?),
        (_, Some(text)) => ("robot_config_json", text),
    };
    let parsed = Configuration::parse(text).map_err(|rule| Refusal::invalid(field, rule))?;
    if let Some(structure) = structure.filter(|_| field == "robot_config_json")
        && structs::from_json(parsed.as_str()).ok().as_ref() != Some(structure)
    {
        return Err(Refusal::invalid(field, "must say the same as robot_config where both are given"));
    }
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(structure: Option<&str>, text: Option<&str>) -> Result<Option<String>, String> {
        let structure = structure.map(|it| structs::from_json(it).unwrap());
        let parsed = parse_configuration(structure.as_ref(), text.map(str::to_owned));
        parsed.map(|it| it.map(|it| it.as_str().to_owned())).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn the_text_counts_and_must_not_contradict() {
        assert_eq!(parse(None, None), Ok(None));
        assert_eq!(parse(Some("{\"b\":1,\"a\":2}"), None), Ok(Some("{\"a\":2,\"b\":1}".to_owned())));
        let text = "{\"b\" : 1.0, \"a\":2}";
        assert_eq!(parse(None, Some(text)), Ok(Some(text.to_owned())));
        assert_eq!(parse(Some("{\"a\":2,\"b\":1}"), Some(text)), Ok(Some(text.to_owned())));
        // What no double holds is the same double.
        let text = "{\"a\":12345678901234567890}";
        assert_eq!(parse(Some("{\"a\":12345678901234567000}"), Some(text)), Ok(Some(text.to_owned())));
        for (structure, text) in [("{}", "{\"a\":1}"), ("{\"a\":1}", "{}"), ("{\"a\":1}", "{\"a\":\"1\"}")] {
            let refused = parse(Some(structure), Some(text)).unwrap_err();
            assert_eq!(refused, "robot_config_json: must say the same as robot_config where both are given");
        }
        assert!(parse(None, Some("")).unwrap_err().starts_with("robot_config_json: must be JSON"));
    }
}
