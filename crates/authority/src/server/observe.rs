//! Health and figures, on a listener of their own.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, http};
use domain::Kind;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::engine::Engine;

/// Serves `/healthz`, `/readyz` and `/metrics` until the server stops.
pub(super) async fn serve(listener: TcpListener, engine: Engine, mut stopped: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(engine);
    let stop = async move { super::stopped(&mut stopped).await };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "health and figures are not served any more");
    }
}

/// Whether this authority can be asked: not while a restored state waits to be confirmed.
async fn ready(State(engine): State<Engine>) -> impl IntoResponse {
    if engine.confirmed() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the state waits to be confirmed: claviger restore confirm\n")
    }
}

async fn figures(State(engine): State<Engine>) -> impl IntoResponse {
    let shared = engine.shared();
    shared.state(|state| {
        for kind in Kind::ALL {
            shared.metrics.resident(kind.name(), state.count(*kind));
        }
    });
    shared.metrics.confirmed.set(i64::from(engine.confirmed()));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(http::header::CONTENT_TYPE, kind)], shared.metrics.encode())
}
