//! `claviger serve`.

use anyhow::Context as _;
use authority::server::Server;
use authority::{Absent, Authority};
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::block_on;
use crate::output::{Output, Printer};
use crate::settings::{Settings, master_key};

/// Run the authority on the data that `init` or `quickstart` made.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// How to say that it is ready
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

#[derive(Serialize)]
struct Ready<'a> {
    url: &'a str,
    observe_url: Option<String>,
    ca: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self, printer: &Printer) -> anyhow::Result<()> {
        let settings = self.settings.layered()?;
        block_on(serve(&settings, Absent::Refuse, printer, async |server| {
            let url = url(server);
            match self.output {
                Output::Json => printer.json(&Ready {
                    url: &url,
                    observe_url: server.observe_address().map(|address| format!("http://{address}")),
                    ca: server.local_ca().map(|path| path.display().to_string()),
                }),
                Output::Text => {
                    printer.out(&format!("Claviger serves {url}"))?;
                    say_ca(server, printer);
                    Ok(())
                }
            }
        }))
    }
}

/// Tells how to trust a certificate that was made here.
pub(super) fn say_ca(server: &Server, printer: &Printer) {
    if let Some(ca) = server.local_ca() {
        printer.note(&format!("Clients trust it with SSL_CERT_FILE={}", ca.display()));
    }
}

/// Opens, binds, says that it is ready, serves until a signal comes, closes.
pub(super) async fn serve(
    settings: &Settings,
    absent: Absent,
    printer: &Printer,
    ready: impl AsyncFnOnce(&Server) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    settings.start_logging()?;
    let options = settings.options()?;
    // From here on a signal ends it in order.
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be received")?;
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be received")?;
    let authority = Authority::open(settings.data(), absent, master_key()?).await?;
    if let Some(why) = &authority.unconfirmed {
        printer.note(&format!("Attention: {why}"));
    }
    let server = Server::bind(authority, options).await?;
    let told = ready(&server).await;
    if told.is_ok() {
        tracing::info!(address = %server.address(), "serving");
    }
    server
        .serve_until(async {
            if told.is_ok() {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
        })
        .await;
    told
}

/// What to write into a client.
pub(super) fn url(server: &Server) -> String {
    let address = server.address();
    let scheme = if server.tls() { "https" } else { "http" };
    if address.ip().is_loopback() && address.is_ipv4() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}
