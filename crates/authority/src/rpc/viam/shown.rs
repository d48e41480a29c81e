//! A part with what the caller may know of it: first the state is looked at, with the caller's rights, then the
//! documents that it names are read.

use domain::query::{self, PartRights};
use domain::{
    DocumentKind, Kind, Machine, Part, PartId, Presence, Principal, Refusal, Revision, State, StoredError,
    Timestamp, View as _,
};
use wire::convert::part::{self, ShownPart};
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::failure::Failure;
use crate::rpc::App;
use crate::secrets;

/// What the state says of a part, and what of the rest the caller may read.
pub(super) struct Seen {
    part: Part,
    machine: Machine,
    presence: Presence,
    rights: PartRights,
}

impl Seen {
    /// Looks. That the caller sees the part at all was asked before.
    ///
    /// # Errors
    /// Where the part hangs on no machine, which no command can cause.
    pub(super) fn of(
        app: &App,
        state: &State,
        principal: &Principal<'_>,
        part: &Part,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            machine: state.machine(part.machine).ok_or(Refusal::NotFound(Kind::Machine))?.clone(),
            presence: app.engine.shared().parts.state(part.id, now),
            rights: PartRights::of(state, principal, part),
            part: part.clone(),
        })
    }
}

/// The part for the wire; and its configuration as text, to those who may read it.
///
/// # Errors
/// Where a document cannot be read, or the part went away in between.
pub(super) async fn shown(app: &App, seen: &Seen) -> Result<(pb::RobotPart, Option<String>), Failure> {
    let Seen { part, machine, presence, rights } = seen;
    let revision = match rights.configuration {
        true if part.revision > 0 => revision(app, part.id, part.revision).await?,
        _ => None,
    };
    let secrets = match rights.secrets {
        true => secrets::open(&app.engine, &part.secrets).await?,
        false => Vec::new(),
    };
    let text = revision.as_ref().map_or("", |revision| revision.configuration.as_str());
    let configuration = rights.configuration.then_some(text);
    let view = ShownPart { part, machine, presence: *presence, configuration, secrets: &secrets };
    let shown = part::robot_part(&app.domain, &view).map_err(|_| BROKEN)?;
    let text = configuration.map(|text| if text.is_empty() { "{}" } else { text }.to_owned());
    Ok((shown, text))
}

/// A part that was just changed, as the one who changed it may see it.
///
/// # Errors
/// As [`shown`].
pub(super) async fn shown_again(app: &App, call: &Call, part: Part) -> Result<pb::RobotPart, Failure> {
    let seen = app.engine.look(call.caller, |state, principal, now| {
        // Somebody may have changed it again; whoever asks for a change is told of their own.
        query::get_part(state, principal, part.id)?;
        Seen::of(app, state, principal, &part, now)
    })?;
    Ok(shown(app, &seen).await?.0)
}

/// The revision with this number. A database that was restored from a backup with later entries replayed knows of
/// revisions that it does not have: then it is the newest before it, or nothing, and the log says so.
///
/// # Errors
/// Where it cannot be read, or the part went away since.
async fn revision(app: &App, part: PartId, number: u32) -> Result<Option<Revision>, Failure> {
    let id = |number| Revision::document_id(part, number);
    let kind = DocumentKind::Configuration;
    let newest = app.engine.newest_documents(kind, &id(1), &id(number), 1).await?.pop();
    if newest.as_ref().is_none_or(|(found, _)| *found != id(number)) {
        if app.engine.look_as_system(|state| state.part(part).is_none()) {
            return Err(Refusal::NotFound(Kind::Part).into());
        }
        tracing::error!(
            id = id(number),
            "a configuration is not in the database; what was before it is told"
        );
    }
    let decoded = newest.map(|(id, content)| Revision::decode(&id, &content).map_err(|error| broken(&error)));
    decoded.transpose()
}

const BROKEN: Failure = Failure::Internal("a configuration that was stored cannot be read");

/// A stored document that does not read: the log says which.
pub(super) fn broken(error: &StoredError) -> Failure {
    tracing::error!(error = error as &dyn std::error::Error, "a stored document does not read");
    BROKEN
}
