//! How parts were configured before, and by whom.

use domain::{DocumentKind, PartId, Permission, Refusal, Revision, Timestamp, query};
use prost::Message as _;
use wire::convert::{self, part};
use wire::viam::app::v1 as pb;

use super::shown::broken;
use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;

/// How many entries a page has, unless told otherwise.
const PAGE: u32 = 50;
/// How many it has at most: there are no more.
const MAX_PAGE: u32 = domain::KEPT_REVISIONS;
/// How large a page gets, in bytes: half of a message, so that the last entry still fits.
const MAX_BYTES: usize = super::super::MAX_MESSAGE / 2;
/// How many revisions are read at once.
const READ: u32 = 8;

pub(super) async fn of_part(
    app: &App,
    call: &Call,
    request: pb::GetRobotPartHistoryRequest,
) -> Result<pb::GetRobotPartHistoryResponse, Failure> {
    let pb::GetRobotPartHistoryRequest { id, page_token, page_limit, start, end } = request;
    let id = convert::id("id", &id)?;
    let limit = limit(page_limit)?;
    let before = page_token.filter(|token| !token.is_empty()).map(|token| parse_token(&token)).transpose()?;
    let start = convert::optional_timestamp("start", start)?;
    let end = convert::optional_timestamp("end", end)?;
    let (machine, newest) = app.engine.read(call, None, |state, principal, _| {
        let part = query::part_for(state, principal, Permission::ReadRobotHistory, id)?;
        Ok((part.machine, part.revision))
    })?;
    let from = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
    let revisions = Revisions { app, part: id, oldest: Revision::oldest_kept(newest) };

    let (mut history, mut bytes, mut next_page_token) = (Vec::new(), 0, String::new());
    let mut window = revisions.from(from).await?.into_iter().peekable();
    while let Some((number, revision)) = window.next() {
        if window.peek().is_none() && number > revisions.oldest {
            window = revisions.from(number.saturating_sub(1)).await?.into_iter().peekable();
        }
        let earlier = window.peek().map(|(_, earlier)| earlier);
        // Of the oldest that is kept nobody knows any more what was before it; before the first was nothing.
        if earlier.is_none() && number > 1 {
            break;
        }
        if !within(revision.at, start, end) {
            continue;
        }
        if history.len() >= limit || bytes >= MAX_BYTES {
            next_page_token = number.saturating_add(1).to_string();
            break;
        }
        let known = app.engine.look_as_system(|state| query::is_known(state, revision.by));
        let entry = part::history_entry(id, machine, &revision, earlier, known)
            .map_err(|_| Failure::Internal("a configuration that was stored cannot be read"))?;
        bytes += entry.encoded_len();
        history.push(entry);
    }
    Ok(pb::GetRobotPartHistoryResponse { history, next_page_token })
}

/// The revisions of a part that are kept, read a few at a time.
struct Revisions<'a> {
    app: &'a App,
    part: PartId,
    oldest: u32,
}

impl Revisions<'_> {
    /// This one and some before it, the newest first.
    async fn from(&self, newest: u32) -> Result<Vec<(u32, Revision)>, Failure> {
        let (first, last) = (self.oldest.max(1), newest);
        let id = |number| Revision::document_id(self.part, number);
        let kind = DocumentKind::Configuration;
        let read = self.app.engine.newest_documents(kind, &id(first), &id(last), READ).await?;
        let revision = |(id, content): (String, Vec<u8>)| {
            let number = id.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            Revision::decode(&id, &content).map(|revision| (number, revision)).map_err(|error| broken(&error))
        };
        read.into_iter().map(revision).collect()
    }
}

fn within(at: Timestamp, start: Option<Timestamp>, end: Option<Timestamp>) -> bool {
    start.is_none_or(|start| at > start) && end.is_none_or(|end| at < end)
}

fn limit(asked: Option<i64>) -> Result<usize, Refusal> {
    let asked = asked.map_or(Ok(PAGE), u32::try_from).ok().filter(|asked| (1..=MAX_PAGE).contains(asked));
    let rule = || Refusal::invalid("page_limit", format!("must be 1 to {MAX_PAGE}"));
    asked.and_then(|asked| usize::try_from(asked).ok()).ok_or_else(rule)
}

/// The number of the revision after which the page goes on.
fn parse_token(token: &str) -> Result<u32, Refusal> {
    let rule = || Refusal::invalid("page_token", "must be the next_page_token of an earlier answer");
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    token.parse().ok().filter(|_| digits).ok_or_else(rule)
}
