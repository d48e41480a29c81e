//! Talking to the authority that runs on a data folder, through its socket.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use authority::DataDir;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use wire::claviger::v1::node_service_client::NodeServiceClient;

/// Connects to the running authority.
pub(super) async fn connect(data: &DataDir) -> anyhow::Result<NodeServiceClient<Channel>> {
    let socket = data.socket();
    // The name is for the protocol only; the connection goes to the socket.
    let endpoint = Endpoint::from_static("http://localhost");
    let connected = endpoint.connect_with_connector(service_fn(move |_| open(socket.clone()))).await;
    let channel = connected.with_context(|| {
        format!("no authority answers on `{}`: is it running on this data folder?", data.socket().display())
    })?;
    Ok(NodeServiceClient::new(channel).max_decoding_message_size(32 * 1024 * 1024))
}

/// What the authority said to a call, without the protocol's words around it.
pub(super) fn said(status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{}", status.message())
}

async fn open(socket: PathBuf) -> io::Result<TokioIo<UnixStream>> {
    Ok(TokioIo::new(UnixStream::connect(socket).await?))
}
