//! What is known of a call before anybody looks at its message.

use std::net::IpAddr;

use domain::{Caller, SigningKeyId};
use http::Extensions;

use crate::failure::Failure;

/// A call whose credential is one of ours. What the caller may do is looked up when they are heard.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Who calls.
    pub caller: Caller,
    /// Which of the authority's keys signed the token. What stays open ends with it.
    pub signer: SigningKeyId,
    /// The path of the RPC.
    pub method: &'static str,
    /// From where, as the server saw it or a trusted proxy said.
    pub address: IpAddr,
}

impl Call {
    /// The call that the listener put beside the message.
    ///
    /// # Errors
    /// Where there is none: then a method is served without the layer that checks credentials, which is a bug,
    /// and the answer is no.
    pub fn of(extensions: &Extensions) -> Result<Self, Failure> {
        extensions.get().copied().ok_or(Failure::Internal("this method is served without a caller"))
    }
}
