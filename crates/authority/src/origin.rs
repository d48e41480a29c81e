//! Under which address callers reach this authority: for answers that hand out addresses.

use domain::{Module, ModuleFile, ModuleVersion, Organization, Refusal};
use http::uri::Authority;
use http::{Extensions, HeaderMap, Uri, header};
use wire::convert::modules;

use crate::failure::Failure;

/// Where modules are downloaded.
pub(crate) const MODULES: &str = "/modules/";

/// Scheme, host and port, such as `https://fleet.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(String);

/// The address under which callers reach an authority, where it is not the one they call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The text is no such address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address for callers: it must be such as https://fleet.example.com, without a path")]
pub struct InvalidPublicUrl(String);

impl std::str::FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let wrong = || InvalidPublicUrl(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (scheme, authority) = (uri.scheme_str(), uri.authority().map(Authority::as_str));
        match (scheme, authority, uri.path(), uri.query()) {
            (Some(scheme @ ("http" | "https")), Some(authority), "/", None) if !authority.contains('@') => {
                Ok(Self(format!("{scheme}://{authority}")))
            }
            _ => Err(wrong()),
        }
    }
}

impl PublicUrl {
    /// Whether it is reached through TLS.
    pub(crate) fn secure(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Host and port, also where the scheme says the port.
    pub(crate) fn host_and_port(&self) -> String {
        let authority = self.0.split_once("://").map_or(self.0.as_str(), |(_, authority)| authority);
        let has_port = authority.parse::<Authority>().is_ok_and(|authority| authority.port().is_some());
        match (has_port, self.secure()) {
            (true, _) => authority.to_owned(),
            (false, true) => format!("{authority}:443"),
            (false, false) => format!("{authority}:80"),
        }
    }
}

/// What is known about it before anybody calls.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    /// It was told.
    Given(PublicUrl),
    /// It is what the caller called, with this scheme.
    AsCalled(&'static str),
}

impl Origins {
    /// The origin for a request; none where the request does not name whom it calls.
    pub(crate) fn of(&self, uri: &Uri, headers: &HeaderMap) -> Option<Origin> {
        let scheme = match self {
            Self::Given(PublicUrl(given)) => return Some(Origin(given.clone())),
            Self::AsCalled(scheme) => scheme,
        };
        let host = || headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let authority = uri.authority().cloned().or_else(host)?;
        // Nothing before an `@` is part of an address.
        Some(Origin(match authority.port() {
            Some(port) => format!("{scheme}://{}:{port}", authority.host()),
            None => format!("{scheme}://{}", authority.host()),
        }))
    }
}

impl Origin {
    /// The origin that the layer put beside the message.
    ///
    /// # Errors
    /// Where the caller did not say whom they call.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Failure> {
        let said = "this server does not know its own address: its operator has to set public_url";
        let none = || Failure::Refused(Refusal::FailedPrecondition(said.to_owned()));
        extensions.get().cloned().ok_or_else(none)
    }

    /// Where a file can be downloaded.
    pub(crate) fn download(
        &self,
        module: &Module,
        owner: &Organization,
        (version, file): (&ModuleVersion, &ModuleFile),
    ) -> String {
        let (Self(origin), module) = (self, modules::module_id(module, owner));
        format!("{origin}{MODULES}{module}/{}/{}.tar.gz", version.number, file.platform.dashed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_called_is_the_address() {
        let mut headers = HeaderMap::new();
        let here = Origins::AsCalled("http");
        let of = |uri: &str, headers: &HeaderMap| here.of(&uri.parse().unwrap(), headers).map(|it| it.0);
        assert_eq!(of("/a", &headers), None);
        assert_eq!(of("http://localhost:8080/a", &headers).unwrap(), "http://localhost:8080");
        assert_eq!(of("http://me@[::1]:8080/a", &headers).unwrap(), "http://[::1]:8080");
        headers.insert(header::HOST, "fleet.example.com".parse().unwrap());
        assert_eq!(of("/a", &headers).unwrap(), "http://fleet.example.com");
        let given = Origins::Given("https://fleet.example.com/".parse().unwrap());
        assert_eq!(
            given.of(&"/a".parse().unwrap(), &HeaderMap::new()).unwrap().0,
            "https://fleet.example.com"
        );
    }
}
