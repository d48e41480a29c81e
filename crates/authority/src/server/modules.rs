//! The files of modules, in plain HTTP.
//!
//! `GET /modules/<module id>/<version>/<platform>.tar.gz`, as the answers of `GetPackage` and `UploadModuleFile` name
//! it. A public module is there for everybody. For a private one the caller presents a key in the headers `key_id` and
//! `key`, as the `viam` CLI does, a part's secret in `part_id` and `secret`, as viam-server does, or a token; whoever
//! may not have it finds nothing.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::routing::get;
use domain::{Caller, Denial, Module, ModuleRef, Refusal, query, verify_part};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use tonic::Code;

use super::download::{self, Asked};
use super::layer::Gate;
use crate::files::Files;

/// What a download is called in the log.
const DOWNLOAD: &str = "GET /modules";

#[derive(Clone)]
struct Pages {
    gate: Arc<Gate>,
    files: Files,
}

/// The routes below `/modules/`.
pub(super) fn routes(gate: Arc<Gate>, files: Files) -> Router {
    Router::new().route("/modules/{module}/{version}/{file}", get(module)).with_state(Pages { gate, files })
}

/// One file of a module.
async fn module(
    State(pages): State<Pages>,
    Path((module, version, file)): Path<(String, String, String)>,
    request: Request<Body>,
) -> Response<Body> {
    let seen = pages.gate.seen(&request, DOWNLOAD);
    let found = pages.presented(request.headers()).and_then(|caller| match caller {
        Some(caller) => pages.find(caller, &module, seen.address),
        None => pages.find_public(&module),
    });
    let (answer, code, denial) = match found {
        Ok(found) => {
            let (headers, with_body) = (request.headers(), *request.method() == Method::GET);
            let asked = Asked { headers, with_body, version: &version, file: &file };
            let answer = download::answer(&pages.files, &found, &asked).await;
            let code = code(answer.status());
            (answer, code, None)
        }
        Err(Refusal::Unauthenticated(Denial::Unconfirmed)) => (
            plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            Code::Unavailable,
            Some(Denial::Unconfirmed),
        ),
        Err(Refusal::Unauthenticated(denial)) => (unauthorized(), Code::Unauthenticated, Some(denial)),
        Err(_) => (plain(StatusCode::NOT_FOUND, "not found\n"), Code::NotFound, None),
    };
    pages.gate.done(&seen, code, denial);
    answer
}

impl Pages {
    /// Who asks; nobody in particular where nothing is presented.
    fn presented(&self, headers: &HeaderMap) -> Result<Option<Caller>, Refusal> {
        let engine = &self.gate.engine;
        let given = |names: [&str; 2]| names.iter().any(|name| headers.contains_key(*name));
        let (key, part) = (given(["key_id", "key"]), given(["part_id", "secret"]));
        let token = headers.contains_key(header::AUTHORIZATION);
        let caller = match (key, part, token) {
            (false, false, false) => return Ok(None),
            (true, false, false) => {
                pair(headers, ["key_id", "key"]).and_then(|(id, value)| engine.verify(id, value))
            }
            (false, true, false) => pair(headers, ["part_id", "secret"]).and_then(|(id, secret)| {
                engine.look_as_system(|state| verify_part(state, id, secret).map(|part| part.caller()))
            }),
            (false, false, true) => self.gate.caller(headers).map(|(caller, _)| caller),
            // One of them might be right; which one is meant is not for us to choose.
            _ => Err(Denial::BadToken),
        };
        caller.map(Some).map_err(Refusal::Unauthenticated)
    }

    fn find(&self, caller: Caller, module: &str, address: IpAddr) -> Result<Module, Refusal> {
        let engine = &self.gate.engine;
        let found = engine.look(caller, |state, principal, _| {
            query::get_module(state, principal, &parse(module)?).cloned()
        })?;
        if let Caller::Key { id, .. } = caller {
            engine.shared().usage.touch(id, engine.shared().clock.now(), address);
        }
        Ok(found)
    }

    fn find_public(&self, module: &str) -> Result<Module, Refusal> {
        let engine = &self.gate.engine;
        if !engine.confirmed() {
            return Err(Refusal::Unauthenticated(Denial::Unconfirmed));
        }
        engine.look_as_system(|state| query::get_public_module(state, &parse(module)?).cloned())
    }
}

fn parse(module: &str) -> Result<ModuleRef, Refusal> {
    module.parse().map_err(|_| Refusal::NotFound(domain::Kind::Module))
}

/// Two headers that belong together, each there once.
fn pair<'a>(headers: &'a HeaderMap, names: [&str; 2]) -> Result<(&'a str, &'a str), Denial> {
    let one = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Denial::Missing) };
        value.to_str().map_err(|_| Denial::MalformedValue)
    };
    let [id, value] = names;
    Ok((one(id)?, one(value)?))
}

fn unauthorized() -> Response<Body> {
    let mut answer = plain(StatusCode::UNAUTHORIZED, "invalid credentials\n");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
    answer
}

/// An answer that is a word.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::RANGE_NOT_SATISFIABLE => Code::OutOfRange,
        status if status.is_server_error() => Code::Unavailable,
        _ => Code::Ok,
    }
}
