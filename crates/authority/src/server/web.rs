//! Plain HTTP beside gRPC on the public port: what is fetched with a GET by programs that speak nothing else.
//!
//! Everything is told apart by its path, which no gRPC method has. To add something: its prefix in [`PATHS`], its route
//! in [`Web::new`]. What is here is public, so it needs no credential and any page may read it; the files of modules,
//! which [`modules`] serves, are not.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::TryFutureExt as _;
use futures::future::{BoxFuture, Either};
use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tower::{Service, ServiceExt as _};
use tower_http::cors::{Any, CorsLayer};

use super::layer::Gate;
use super::modules;
use crate::engine::Engine;
use crate::files::Files;
use crate::origin::MODULES;

/// What is served here; everything else is gRPC.
const PATHS: &[&str] = &["/.well-known/", "/ca.pem", MODULES];

/// For how long an answer may be kept, by caches too: a new key signs ten minutes after it is told at the earliest.
const CACHED: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));

/// A service for gRPC, with plain HTTP beside it.
#[derive(Clone)]
pub(super) struct Web<S> {
    pages: Router,
    grpc: S,
}

impl<S> Web<S> {
    pub(super) fn new(gate: Arc<Gate>, files: Files, grpc: S) -> Self {
        let pages = Router::new()
            .route("/.well-known/jwks.json", get(jwks))
            .route("/ca.pem", get(ca))
            .layer(CorsLayer::new().allow_origin(Any).allow_methods([Method::GET, Method::HEAD]))
            .with_state(gate.engine.clone())
            .merge(modules::routes(gate, files));
        Self { pages, grpc }
    }
}

impl<S> Service<Request<Incoming>> for Web<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        // The pages are always ready.
        self.grpc.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        if !PATHS.iter().any(|served| path.starts_with(served)) {
            return Either::Left(self.grpc.call(request));
        }
        let answer = self.pages.clone().oneshot(request);
        Either::Right(Box::pin(answer.map_ok(|answer| answer.map(Body::new))))
    }
}

/// The public keys that check tokens for machines.
async fn jwks(State(engine): State<Engine>) -> impl IntoResponse {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([CACHED, kind], engine.shared().signing.jwks().to_string())
}

/// The certificates of the authority's CA.
async fn ca(State(engine): State<Engine>) -> impl IntoResponse {
    let shared = engine.shared();
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/pem-certificate-chain"));
    ([CACHED, kind], shared.signing.ca_bundle(shared.clock.now()))
}
