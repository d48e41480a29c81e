//! `viam.app.v1.RobotService`: what parts of machines ask for.
//!
//! The caller is the part itself or somebody who could be it, see [`query::speak_for`]. Every call says that the part is
//! there.

mod config;

use domain::{Domain, Part, PartId, Principal, Refusal, State, Timestamp, query};
use prost::Message as _;
use wire::convert;
use wire::viam::app::v1 as pb;
use wire::viam::app::v1::robot_service_server::RobotService;

use crate::call::Call;
use crate::failure::Failure;
use crate::logs;
use crate::rpc::App;

/// When a part asks again whether it is to start anew, in seconds.
const RESTART_CHECK_SECONDS: i64 = 5;

crate::rpc::serve! {
    RobotService {
        config(pb::ConfigRequest) -> pb::ConfigResponse = config::get,
        certificate(pb::CertificateRequest) -> pb::CertificateResponse = certificate,
        log(pb::LogRequest) -> pb::LogResponse = log,
        needs_restart(pb::NeedsRestartRequest) -> pb::NeedsRestartResponse = needs_restart,
    }
}

/// Looks on behalf of the part with this id, and notes that it is there: also a part that was given a key calls by it.
fn look<T>(
    app: &App,
    call: &Call,
    id: &str,
    look: impl FnOnce(&State, &Principal<'_>, &Part, Timestamp) -> Result<T, Refusal>,
) -> Result<T, Failure> {
    let id: PartId = convert::id("id", id)?;
    let (seen, now) = app.engine.read(call, None, |state, principal, now| {
        let part = query::speak_for(state, principal, id)?;
        Ok((look(state, principal, part, now)?, now))
    })?;
    app.engine.shared().parts.seen(id, now);
    Ok(seen)
}

/// The names of a part: its address, and the one within its own network.
fn names(domain: &Domain, part: &Part) -> [String; 2] {
    [domain.fqdn(&part.label), domain.local_fqdn(&part.label)]
}

async fn certificate(
    app: &App,
    call: &Call,
    request: pb::CertificateRequest,
) -> Result<pb::CertificateResponse, Failure> {
    let (names, now) = look(app, call, &request.id, |_, _, part, now| Ok((names(&app.domain, part), now)))?;
    let issued = app.engine.shared().signing.certificate_for(&names, now).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "no certificate for a part");
        Failure::Internal("a certificate cannot be issued; the authority's log says why")
    })?;
    Ok(pb::CertificateResponse {
        id: request.id,
        tls_certificate: issued.chain,
        tls_private_key: issued.key.to_string(),
    })
}

async fn log(app: &App, call: &Call, request: pb::LogRequest) -> Result<pb::LogResponse, Failure> {
    let pb::LogRequest { id, logs } = request;
    let (part, now) = look(app, call, &id, |_, _, part, now| Ok((part.id, now)))?;
    let lines = logs.into_iter().map(|mut line| {
        logs::cut(&mut line);
        // A line without a time could not be asked for by time.
        line.time.get_or_insert_with(|| convert::timestamp(now));
        line.encode_to_vec().into()
    });
    app.engine.shared().logs.add(part, lines.collect()).map_err(|logs::Full| Failure::Busy)?;
    Ok(pb::LogResponse {})
}

async fn needs_restart(
    app: &App,
    call: &Call,
    request: pb::NeedsRestartRequest,
) -> Result<pb::NeedsRestartResponse, Failure> {
    let (part, asked) = look(app, call, &request.id, |_, _, part, _| Ok((part.id, part.restart_asked_at)))?;
    let must_restart = match asked {
        Some(asked) => app.engine.shared().restarts.tell(app.engine.journal(), part, asked).await?,
        None => false,
    };
    let interval = prost_types::Duration { seconds: RESTART_CHECK_SECONDS, nanos: 0 };
    Ok(pb::NeedsRestartResponse { id: request.id, must_restart, restart_check_interval: Some(interval) })
}
