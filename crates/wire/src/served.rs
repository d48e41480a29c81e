use prost::Message as _;
use prost_types::FileDescriptorSet;

use crate::DESCRIPTOR_SET;

/// A method that a Claviger process serves on one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedMethod {
    /// The path of its calls, `/package.Service/Method`.
    pub path: String,
    /// Whether it is asked with a stream.
    pub client_streaming: bool,
    /// Whether it answers with a stream.
    pub server_streaming: bool,
}

/// Every method that `proto/` declares, in the order of the files.
///
/// This is the list to hold a table of permissions against: what is missing there is missing a decision. It
/// includes `claviger.v1.NodeService`, which is served on a unix socket only.
///
/// # Errors
///
/// Fails if [`DESCRIPTOR_SET`] does not decode, which the tests of this crate rule out.
pub fn served_methods() -> Result<Vec<ServedMethod>, prost::DecodeError> {
    let set = FileDescriptorSet::decode(DESCRIPTOR_SET)?;
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            methods.extend(service.method.iter().map(|method| ServedMethod {
                path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                client_streaming: method.client_streaming(),
                server_streaming: method.server_streaming(),
            }));
        }
    }
    Ok(methods)
}

/// What callers may learn through reflection: [`DESCRIPTOR_SET`] without the service that only the unix socket has.
///
/// # Errors
///
/// As [`served_methods`].
pub fn descriptors_for_callers() -> Result<Vec<u8>, prost::DecodeError> {
    let mut set = FileDescriptorSet::decode(DESCRIPTOR_SET)?;
    set.file.retain(|file| file.name() != "claviger/v1/node.proto");
    Ok(set.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_listed_with_their_kind() {
        let methods = served_methods().unwrap();
        let find = |path: &str| methods.iter().find(|method| method.path == path).unwrap();

        assert!(!find("/proto.rpc.v1.AuthService/Authenticate").server_streaming);
        assert!(!find("/viam.app.v1.AppService/CreateKey").server_streaming);
        assert!(find("/claviger.v1.IdentityService/WatchIdentity").server_streaming);
        assert!(find("/claviger.v1.NodeService/Backup").server_streaming);
    }

    #[test]
    fn the_generated_servers_answer_for_the_listed_services() {
        use crate::{claviger, proto, viam};
        use tonic::server::NamedService;

        fn name<S: NamedService>(_: Option<S>) -> &'static str {
            S::NAME
        }
        // `()` stands for an implementation; only the name is looked at.
        let mut generated = [
            name(None::<proto::rpc::v1::auth_service_server::AuthServiceServer<()>>),
            name(None::<proto::rpc::v1::external_auth_service_server::ExternalAuthServiceServer<()>>),
            name(None::<viam::app::v1::app_service_server::AppServiceServer<()>>),
            name(None::<claviger::v1::audit_service_server::AuditServiceServer<()>>),
            name(None::<viam::app::packages::v1::package_service_server::PackageServiceServer<()>>),
            name(None::<viam::app::v1::robot_service_server::RobotServiceServer<()>>),
            name(None::<claviger::v1::identity_service_server::IdentityServiceServer<()>>),
            name(None::<claviger::v1::key_service_server::KeyServiceServer<()>>),
            name(None::<claviger::v1::node_service_server::NodeServiceServer<()>>),
        ];
        generated.sort_unstable();

        let methods = served_methods().unwrap();
        let mut listed: Vec<&str> =
            methods.iter().map(|method| method.path.split('/').nth(1).unwrap()).collect();
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed, generated);
    }
}
