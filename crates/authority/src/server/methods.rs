//! Which methods there are. The list comes from the descriptors, so that none can be forgotten.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// What is done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Served to whoever presents a credential that is accepted.
    Authenticated(&'static str),
    /// Served to everybody: how to get a credential, and what tools ask before they have one.
    Open(&'static str),
}

impl Method {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Authenticated(path) | Self::Open(path) => path,
        }
    }
}

/// The services that do not ask who calls. The tests hold this list against the descriptors: it can only shrink.
const OPEN: [&str; 4] = [
    "/proto.rpc.v1.AuthService/",
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Methods that are served though our own descriptors do not declare them.
const FOREIGN: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The service that has a socket of its own and is not there for callers.
const NODE: &str = "/claviger.v1.NodeService/";

/// All methods that callers can reach.
#[derive(Debug)]
pub(super) struct Methods {
    by_path: HashMap<&'static str, Method, RandomState>,
}

impl Methods {
    /// The methods of our descriptors and the foreign ones.
    pub(super) fn new() -> Result<Self, prost::DecodeError> {
        let ours = wire::served_methods()?.into_iter().map(|method| method.path);
        let all = ours.chain(FOREIGN.map(str::to_owned)).filter(|path| !path.starts_with(NODE));
        let by_path = all.map(|path| {
            // As many as there are methods, once in the life of the process.
            let path: &'static str = path.leak();
            let open = OPEN.iter().any(|service| path.starts_with(service));
            (path, if open { Method::Open(path) } else { Method::Authenticated(path) })
        });
        Ok(Self { by_path: by_path.collect() })
    }

    /// What is done with this path; nothing if nobody serves it.
    pub(super) fn get(&self, path: &str) -> Option<Method> {
        self.by_path.get(path).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_open_service_is_there_and_no_other_is_open() {
        let methods = Methods::new().unwrap();
        let open: Vec<_> = methods
            .by_path
            .values()
            .filter_map(|method| match method {
                Method::Open(path) => Some(*path),
                Method::Authenticated(_) => None,
            })
            .collect();
        for service in OPEN {
            assert!(open.iter().any(|path| path.starts_with(service)), "{service} is listed for nothing");
        }
        assert_eq!(open.len(), 5, "{open:?}");
        assert_eq!(methods.get("/claviger.v1.NodeService/Backup"), None);
        assert!(methods.get("/viam.app.v1.AppService/CreateKey").is_some());
        assert_eq!(methods.get("/viam.app.v1.AppService/CreateFragment"), None);
    }
}
