//! The lines of a log as they come.

use domain::{PartId, Permission, Principal, Refusal, State, Timestamp, query};
use tonic::Status;
use wire::viam::app::v1 as pb;

use crate::call::Call;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::feed::{Writer, feed};
use crate::logs::{Filter, From};
use crate::rpc::{App, Told};
use crate::streams::sleep_until;

/// How many lines one message has at most.
const LINES: usize = 100;

/// What a message of the stream is.
type Reply = pb::TailRobotPartLogsResponse;

/// What somebody watches.
struct Watched {
    app: App,
    call: Call,
    part: PartId,
    filter: Filter,
}

pub(in crate::rpc::viam) async fn tail(
    app: &App,
    call: &Call,
    request: pb::TailRobotPartLogsRequest,
) -> Result<Told<Reply>, Failure> {
    let pb::TailRobotPartLogsRequest { id, errors_only, filter } = request;
    let (part, filter) = (super::part(&id)?, super::filter(errors_only, filter)?);
    app.engine.read(call, None, may_read(part))?;
    let (engine, call) = (app.engine.clone(), *call);
    let (writer, reader) = feed(move || accepted(&engine, &call, part).map(drop).map_err(Status::from));
    let place = *app.engine.shared().logs.watch(part).borrow();
    let watched = Watched { app: app.clone(), call, part, filter };
    tokio::spawn(watched.run(writer, place));
    Ok(Box::pin(reader))
}

/// Whether the caller may read the log still, with the token they came with, and until when if nothing happens.
fn accepted(engine: &Engine, call: &Call, part: PartId) -> Result<Option<Timestamp>, Failure> {
    engine.accepts(call)?;
    Ok(engine.look(call.caller, may_read(part))?)
}

fn may_read(
    part: PartId,
) -> impl FnOnce(&State, &Principal<'_>, Timestamp) -> Result<Option<Timestamp>, Refusal> {
    move |state, principal, _| {
        query::part_for(state, principal, Permission::ReadRobotLogs, part)?;
        Ok(principal.key().and_then(|key| key.expires_at))
    }
}

impl Watched {
    /// Tells line after line until the caller goes away or may not read them any more.
    async fn run(self, writer: Writer<Reply>, place: u64) {
        let metrics = &self.app.engine.shared().metrics;
        metrics.streams.inc();
        if let Err(failure) = self.run_until_ended(&writer, place).await {
            writer.end(failure.into());
        }
        metrics.streams.dec();
    }

    /// `place` is up to where everything was told.
    async fn run_until_ended(&self, writer: &Writer<Reply>, mut place: u64) -> Result<(), Failure> {
        let engine = &self.app.engine;
        let shared = engine.shared();
        let mut seat = shared.streams.seat();
        let mut end = shared.logs.watch(self.part);
        loop {
            let expires_at = accepted(engine, &self.call, self.part)?;
            let all_told = *end.borrow_and_update() <= place;
            tokio::select! {
                biased;
                _look = seat.asked() => {
                    // The answer to the change waits for this look, so it ends here what must end.
                    if let Err(failure) = accepted(engine, &self.call, self.part) {
                        writer.end(failure.into());
                        return Ok(());
                    }
                }
                () = shared.streams.stopped() => return Err(Failure::Stopping),
                () = writer.left() => return Ok(()),
                () = sleep_until(shared.clock.now(), expires_at) => {}
                heard = end.changed(), if all_told => {
                    if heard.is_err() {
                        // The log went, and its part with it; the next look says so.
                        end = shared.logs.watch(self.part);
                    }
                }
                told = self.tell(writer, place), if !all_told => place = told?,
            }
        }
    }

    /// Tells what was said after a place, once the caller has read what was told before. Returns up to where it got.
    async fn tell(&self, writer: &Writer<Reply>, place: u64) -> Result<u64, Failure> {
        writer.taken().await;
        let lines = super::read(&self.app, self.part, From::After(place), LINES).await?;
        let Some((last, _)) = lines.last() else {
            // Something was said and nothing is there: it was too much to be kept.
            return Ok(*self.app.engine.shared().logs.watch(self.part).borrow());
        };
        let last = *last;
        let asked = lines.into_iter().filter(|(_, line)| self.filter.matches(line));
        let logs: Vec<_> = asked.map(|(_, line)| line).collect();
        if !logs.is_empty() {
            writer.put(Reply { logs });
        }
        Ok(last)
    }
}
