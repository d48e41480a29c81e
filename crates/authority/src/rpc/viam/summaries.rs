//! Machines in short, with what their parts last did.

use std::collections::BTreeSet;

use domain::{LocationId, Permission, Refusal, Resource, View as _, query};
use wire::convert::{self, part};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

/// How many machines are told, unless more are asked for.
const LIMIT: i32 = 100;
/// How many can be asked for.
const MAX_LIMIT: i32 = 10_000;
/// How many locations one call may name.
const MAX_LOCATIONS: usize = 1_000;

pub(super) async fn list(
    app: &App,
    call: &Call,
    request: pb::ListMachineSummariesRequest,
) -> Result<pb::ListMachineSummariesResponse, Failure> {
    let pb::ListMachineSummariesRequest { organization_id, fragment_ids, location_ids, limit } = request;
    let organization = convert::id("organization_id", &organization_id)?;
    let within = locations(&location_ids)?;
    let limit = parse_limit(limit)?;
    let uses = (Permission::ReadRobot, Resource::Organization(organization));
    let location_summaries = app.engine.read(call, Some(uses), |state, principal, now| {
        let seen = query::machine_summaries(state, principal, organization, &within, limit)?;
        if !fragment_ids.is_empty() {
            // There are no fragments, so no machine uses one.
            return Ok(Vec::new());
        }
        let presence = |part: &domain::Part| app.engine.shared().parts.state(part.id, now);
        let summary = |machine: &domain::Machine| pb::MachineSummary {
            machine_id: machine.id.to_string(),
            machine_name: machine.name.to_string(),
            part_summaries: state
                .parts_of(machine.id)
                .map(|part| part::part_summary(part, presence(part)))
                .collect(),
        };
        let summaries = seen.into_iter().map(|(location, machines)| pb::LocationSummary {
            location_id: location.id.to_string(),
            location_name: location.name.to_string(),
            machine_summaries: machines.into_iter().map(summary).collect(),
        });
        Ok(summaries.collect())
    })?;
    Ok(pb::ListMachineSummariesResponse { location_summaries })
}

fn locations(ids: &[String]) -> Result<BTreeSet<LocationId>, Refusal> {
    if ids.len() > MAX_LOCATIONS {
        return Err(Refusal::invalid("location_ids", format!("must be at most {MAX_LOCATIONS} ids")));
    }
    let each = ids.iter().enumerate();
    each.map(|(number, id)| convert::id(format!("location_ids[{number}]"), id)).collect()
}

fn parse_limit(asked: Option<i32>) -> Result<usize, Refusal> {
    let asked = Some(asked.unwrap_or(LIMIT)).filter(|asked| (1..=MAX_LIMIT).contains(asked));
    let rule = || Refusal::invalid("limit", format!("must be 1 to {MAX_LIMIT}"));
    asked.and_then(|asked| usize::try_from(asked).ok()).ok_or_else(rule)
}
