//! The logs of parts, for those who may read them.

mod question;
mod tail;

use domain::{Permission, query};
use prost::Message as _;
use wire::convert;
use wire::viam::app::v1 as pb;
use wire::viam::common::v1::LogEntry;

use crate::call::Call;
use crate::failure::Failure;
use crate::logs::{Filter, From};
use crate::rpc::App;
use question::Question;

pub(super) use tail::tail;

/// How many lines are looked at with one look into the log.
const STEP: usize = 1_000;

/// The longest text that lines are searched for, in bytes.
const MAX_FILTER: usize = 1_024;

pub(super) async fn get(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartLogsRequest,
) -> Result<pb::GetRobotPartLogsResponse, Failure> {
    let now = app.engine.shared().clock.now();
    let Question { part, filter, mut from, limit } = Question::parse(request, now)?;
    app.engine.read(call, None, |state, principal, _| {
        query::part_for(state, principal, Permission::ReadRobotLogs, part).map(|_| ())
    })?;
    let mut found = Vec::new();
    // One more than a page, so that the last page is known to be the last.
    while found.len() <= limit {
        let lines = read(app, part, from, STEP).await?;
        let Some((last, _)) = lines.last() else { break };
        from = question::onward(from, *last);
        found.extend(lines.into_iter().filter(|(_, line)| filter.matches(line)));
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let next_page_token = last.map(|(place, _)| place.to_string()).unwrap_or_default();
    Ok(pb::GetRobotPartLogsResponse {
        logs: found.into_iter().map(|(_, line)| line).collect(),
        next_page_token,
    })
}

/// Some lines of a log with their places.
async fn read(
    app: &App,
    part: domain::PartId,
    from: From,
    limit: usize,
) -> Result<Vec<(u64, LogEntry)>, Failure> {
    let lines = app.engine.shared().logs.read(app.engine.journal(), part, from, limit).await;
    let lines = lines.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a log could not be read");
        Failure::Internal("the log of the part cannot be read; the authority's log says why")
    })?;
    // What another release wrote and we cannot read is a line that says nothing.
    Ok(lines.into_iter().map(|(place, line)| (place, LogEntry::decode(line).unwrap_or_default())).collect())
}

/// The part of a filter that both requests have.
fn filter(errors_only: bool, text: Option<String>) -> Result<Filter, Failure> {
    let text = text.unwrap_or_default();
    if text.len() > MAX_FILTER {
        let rule = format!("must be at most {MAX_FILTER} bytes");
        return Err(domain::Refusal::invalid("filter", rule).into());
    }
    Ok(Filter { text, ..Filter::errors(errors_only) })
}

fn part(id: &str) -> Result<domain::PartId, Failure> {
    Ok(convert::id("id", id)?)
}
