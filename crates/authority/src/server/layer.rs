//! What every call passes: a request id, the check of its credential, the counters, the log.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use domain::{Caller, Denial, Refusal, SigningKeyId};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::addresses::TrustedProxies;
use super::methods::{Method, Methods};
use crate::call::Call;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::origin::Origins;

const REQUEST_ID: &str = "request-id";

/// The methods whose answers say where something can be downloaded. The others are not told where they were called.
const HANDS_OUT_ADDRESSES: [&str; 2] =
    ["/viam.app.v1.AppService/UploadModuleFile", "/viam.app.packages.v1.PackageService/GetPackage"];

/// What the layer needs to know.
pub(super) struct Gate {
    pub(super) engine: Engine,
    pub(super) methods: Methods,
    pub(super) proxies: TrustedProxies,
    pub(super) requests: RequestIds,
    pub(super) sample: Sample,
    pub(super) origins: Origins,
}

/// The address a connection comes from, put beside each of its requests by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

impl Gate {
    /// Lets a request in with its [`Call`] beside it, or says why not.
    fn admit<B>(
        &self,
        request: &mut Request<B>,
        method: Option<Method>,
        address: IpAddr,
    ) -> Result<(), Status> {
        match method {
            None => Err(not_served(request.uri().path())),
            Some(Method::Open(_)) => Ok(()),
            Some(Method::Authenticated(method)) => {
                let refused = |reason| Failure::from(Refusal::Unauthenticated(reason));
                let (caller, signer) = self.caller(request.headers()).map_err(refused)?;
                if HANDS_OUT_ADDRESSES.contains(&method)
                    && let Some(origin) = self.origins.of(request.uri(), request.headers())
                {
                    request.extensions_mut().insert(origin);
                }
                request.extensions_mut().insert(Call { caller, signer, method, address });
                Ok(())
            }
        }
    }

    /// Who presents a token. Exactly one header, `Bearer`, one space: what the SDKs send.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<(Caller, SigningKeyId), Denial> {
        let mut presented = headers.get_all(http::header::AUTHORIZATION).iter();
        let (Some(header), None) = (presented.next(), presented.next()) else {
            let some = headers.contains_key(http::header::AUTHORIZATION);
            return Err(if some { Denial::BadToken } else { Denial::Missing });
        };
        let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        self.engine.shared().signing.check(token.ok_or(Denial::BadToken)?)
    }

    /// What is known of a request when it comes.
    pub(super) fn seen<B>(&self, request: &Request<B>, method: &'static str) -> Seen {
        let peer = request.extensions().get().map_or(IpAddr::from([0, 0, 0, 0]), |Peer(peer)| *peer);
        Seen {
            number: self.requests.next(),
            method,
            address: self.proxies.client(peer, request.headers()),
            started: Instant::now(),
        }
    }

    pub(super) fn done(&self, seen: &Seen, code: Code, denial: Option<Denial>) {
        let took = seen.started.elapsed();
        let metrics = &self.engine.shared().metrics;
        metrics.call(code, took);
        if let Some(denial) = denial {
            metrics.denied(denial);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let (number, method) = (seen.number, seen.method);
        let request_id = || self.requests.id(number);
        match code {
            Code::Ok => tracing::debug!(request_id = request_id(), method, micros, "answered"),
            Code::Unauthenticated => {
                // Ten thousand wrong keys a second are one line a second and a number.
                if let Some(unlogged) = self.sample.take() {
                    let reason = denial.map_or("", Denial::name);
                    let (request_id, address) = (request_id(), seen.address);
                    tracing::warn!(request_id, method, %address, reason, unlogged, "credentials refused");
                }
            }
            Code::Internal | Code::Unavailable | Code::Unknown | Code::DataLoss => {
                tracing::error!(request_id = request_id(), method, ?code, micros, "failed");
            }
            _ => tracing::info!(request_id = request_id(), method, ?code, micros, "refused"),
        }
    }
}

fn not_served(path: &str) -> Status {
    let named = path.strip_prefix('/').filter(|name| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'_');
        name.len() <= 200 && name.bytes().all(plain)
    });
    match named {
        Some(name) => Status::unimplemented(format!("{name} is not served by this authority")),
        None => Status::unimplemented("this method is not served by this authority"),
    }
}

/// What is known of a call when it is done.
pub(super) struct Seen {
    /// Its number; written out only where somebody reads it.
    number: u64,
    /// The path; one that nobody serves is not repeated.
    method: &'static str,
    pub(super) address: IpAddr,
    started: Instant,
}

/// Ids by which a caller's error is found in the log.
#[derive(Debug)]
pub(super) struct RequestIds {
    start: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that differ from those of every other start.
    pub(super) fn new(start_micros: i64) -> Self {
        Self { start: start_micros.unsigned_abs(), next: AtomicU64::new(0) }
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of the call with this number.
    fn id(&self, number: u64) -> String {
        format!("{:x}-{number:x}", self.start)
    }
}

/// Lets one event a second through and counts the others.
#[derive(Debug, Default)]
pub(super) struct Sample {
    last: Mutex<Option<(Instant, u64)>>,
}

impl Sample {
    /// How many were not let through since the last one; nothing if this one is not either.
    fn take(&self) -> Option<u64> {
        let mut last = self.last.lock();
        match &mut *last {
            Some((at, unlogged)) if at.elapsed() < Duration::from_secs(1) => {
                *unlogged += 1;
                None
            }
            other => {
                let unlogged = other.map_or(0, |(_, unlogged)| unlogged);
                *other = Some((Instant::now(), 0));
                Some(unlogged)
            }
        }
    }
}

/// The layer.
#[derive(Clone)]
pub(super) struct Gated(pub(super) Arc<Gate>);

impl<S> Layer<S> for Gated {
    type Service = GatedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatedService { gate: Arc::clone(&self.0), inner }
    }
}

/// A service behind the layer.
#[derive(Clone)]
pub(super) struct GatedService<S> {
    gate: Arc<Gate>,
    inner: S,
}

impl<S, B> Service<Request<B>> for GatedService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let method = self.gate.methods.get(request.uri().path());
        let seen = self.gate.seen(&request, method.map_or("(not served)", Method::path));
        let gate = Arc::clone(&self.gate);
        if !is_grpc(request.headers()) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Box::pin(async move { Ok(response) });
        }
        match self.gate.admit(&mut request, method, seen.address) {
            Ok(()) => {
                let answer = self.inner.call(request);
                Box::pin(async move { Ok(finished(&gate, &seen, answer.await?)) })
            }
            Err(status) => {
                let response = status.into_http();
                Box::pin(async move { Ok(finished(&gate, &seen, response)) })
            }
        }
    }
}

/// Whether a request says that it is gRPC. Anything else could be sent by a page of another site without asking.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// Counts and logs, and puts the request id where an error's trailers are.
fn finished(gate: &Gate, seen: &Seen, mut response: Response<Body>) -> Response<Body> {
    // An answer without a message carries its status; every refusal is one.
    let Some(status) = response.extensions().get::<Status>() else {
        gate.done(seen, Code::Ok, None);
        return response;
    };
    let code = restated(status);
    let refusal = std::error::Error::source(status).and_then(|source| source.downcast_ref());
    let denial = match refusal {
        Some(Refusal::Unauthenticated(denial)) => Some(*denial),
        _ => None,
    };
    gate.done(seen, code, denial);
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code as i32));
    if let Ok(id) = HeaderValue::from_str(&gate.requests.id(seen.number)) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The right code for what the protocol library says in another: a message over the limit is too much, not out
/// of range, and one that cannot be read is the caller's mistake, not ours.
fn restated(status: &Status) -> Code {
    match status.code() {
        Code::OutOfRange => Code::ResourceExhausted,
        Code::Internal if status.message().starts_with("failed to decode Protobuf") => Code::InvalidArgument,
        code => code,
    }
}
