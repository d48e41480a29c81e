//! The one way out: results on stdout, everything else on stderr.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

/// In which form results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// One line of JSON, for programs.
    Json,
}

/// Prints. Whoever wants to say something is handed one, so a secret has one way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer;

impl Printer {
    /// A result, as it stands.
    pub(crate) fn out(self, text: &str) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", text.trim_end_matches('\n')).context("the result could not be printed")?;
        stdout.flush().context("the result could not be printed")
    }

    /// A result as one line of JSON.
    pub(crate) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        self.out(&serde_json::to_string(value)?)
    }

    /// Something a person should know that is not the result.
    pub(crate) fn note(self, text: &str) {
        // Nobody reads stderr: then nobody is there to be told so.
        drop(writeln!(io::stderr().lock(), "{text}"));
    }

    /// An error with everything that led to it.
    pub(crate) fn error(self, error: &anyhow::Error) {
        let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
        self.note(&format!("error: {}", causes.join(": ")));
    }
}
