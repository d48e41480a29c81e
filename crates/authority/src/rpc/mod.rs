//! The endpoints: one file a subject, one function an RPC.
//!
//! Each has the same shape: parse the message into domain types, hand it to the engine, turn the answer into a
//! message. What may go wrong is a [`Failure`](crate::Failure), which becomes a status in one place.

mod auth;
mod claviger;
mod external;
mod node;
mod packages;
mod viam;

pub(crate) use node::Node;

use std::pin::Pin;

use domain::Domain;
use futures::Stream;
use tonic::Status;
use tonic::service::Routes;
use wire::claviger::v1::audit_service_server::AuditServiceServer;
use wire::claviger::v1::identity_service_server::IdentityServiceServer;
use wire::claviger::v1::key_service_server::KeyServiceServer;
use wire::proto::rpc::v1::auth_service_server::AuthServiceServer;
use wire::proto::rpc::v1::external_auth_service_server::ExternalAuthServiceServer;
use wire::viam::app::packages::v1::package_service_server::PackageServiceServer;
use wire::viam::app::v1::app_service_server::AppServiceServer;
use wire::viam::app::v1::robot_service_server::RobotServiceServer;

use crate::engine::Engine;
use crate::files::Files;
use crate::logs::MAX_CALL;

/// The largest message, in bytes: what Viam's own clients and servers allow.
pub(crate) const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// What every endpoint works with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    /// The domain that the addresses of machines lie in.
    pub(crate) domain: Domain,
    pub(crate) files: Files,
    /// Where machines wait for calls.
    pub(crate) signaling: Signaling,
}

/// Where machines wait for calls.
#[derive(Clone, Debug)]
pub(crate) struct Signaling {
    /// Host and port.
    pub(crate) address: String,
    /// Whether it is plaintext there. A machine that is told so speaks plaintext itself, to itself only.
    pub(crate) insecure: bool,
}

impl App {
    /// The services that are served to callers.
    pub(crate) fn routes(&self) -> Routes {
        macro_rules! sized {
            ($server:ident) => {
                $server::new(self.clone())
                    .max_decoding_message_size(MAX_MESSAGE)
                    .max_encoding_message_size(MAX_MESSAGE)
            };
        }
        Routes::new(sized!(AppServiceServer))
            .add_service(sized!(AuthServiceServer))
            .add_service(sized!(PackageServiceServer))
            .add_service(sized!(ExternalAuthServiceServer))
            .add_service(sized!(KeyServiceServer))
            .add_service(sized!(IdentityServiceServer))
            .add_service(sized!(AuditServiceServer))
            // A machine's call is small; the largest one hands over lines of its log.
            .add_service(RobotServiceServer::new(self.clone()).max_decoding_message_size(MAX_CALL))
    }
}

/// What a stream of messages is answered with.
pub(crate) type Told<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Implements a service by one function an RPC, each taking the app, the call and the message.
macro_rules! serve {
    ($service:ident { $($method:ident($request:ty) -> $reply:ty = $handler:path,)* } $($rest:item)*) => {
        #[tonic::async_trait]
        impl $service for $crate::rpc::App {
            $(async fn $method(
                &self,
                request: tonic::Request<$request>,
            ) -> Result<tonic::Response<$reply>, tonic::Status> {
                let call = $crate::call::Call::of(request.extensions())?;
                let reply = $handler(self, &call, request.into_inner()).await;
                reply.map(tonic::Response::new).map_err(Into::into)
            })*
            $($rest)*
        }
    };
}
pub(crate) use serve;
