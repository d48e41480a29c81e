//! CORS for those who ask for it. A browser says where a page comes from; an SDK does not, and its answers need none of
//! the headers that only a browser reads.

use http::{Request, header};
use tower::{Layer, Service};
use tower_http::cors::{Cors, CorsLayer};

/// A service with CORS for browsers, and itself for everybody else.
#[derive(Clone)]
pub(super) struct ForBrowsers<S> {
    browsers: Cors<S>,
    others: S,
}

impl<S: Clone> ForBrowsers<S> {
    pub(super) fn new(cors: &CorsLayer, service: S) -> Self {
        Self { browsers: cors.layer(service.clone()), others: service }
    }
}

impl<S, B> Service<Request<B>> for ForBrowsers<S>
where
    S: Service<Request<B>>,
    Cors<S>: Service<Request<B>, Response = S::Response, Error = S::Error>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = futures::future::Either<<Cors<S> as Service<Request<B>>>::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        // Both are the same service, always ready or not together.
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.headers().contains_key(header::ORIGIN) {
            futures::future::Either::Left(self.browsers.call(request))
        } else {
            futures::future::Either::Right(self.others.call(request))
        }
    }
}
