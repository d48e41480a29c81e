//! Claviger: the key authority of a robot fleet.
//!
//! This crate is glue: arguments beside their command, one printer, one place where settings come together.
//! Whatever is worth a unit test lives in another crate.

mod commands;
mod output;
mod reference;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{
    audit, backup, exchange_master_key, export_journal, init, quickstart, recover, restore, rotate_keys,
    serve, status,
};
use output::Printer;

/// The key authority of a robot fleet: API keys for organizations, locations and machines, for unmodified Viam
/// SDKs and the viam CLI.
#[derive(Debug, Parser)]
#[command(name = "claviger", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Arguments),
    Serve(serve::Arguments),
    Init(init::Arguments),
    Recover(recover::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    ExportJournal(export_journal::Arguments),
    RotateKeys(rotate_keys::Arguments),
    ExchangeMasterKey(exchange_master_key::Arguments),
    Audit(audit::Arguments),
    Status(status::Arguments),
    /// Print the reference of all commands and settings, as docs/reference.md holds it.
    #[command(hide = true)]
    Reference,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer;
    match run(arguments.command, &printer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, printer: &Printer) -> anyhow::Result<()> {
    match command {
        Command::Quickstart(arguments) => arguments.run(printer),
        Command::Serve(arguments) => arguments.run(printer),
        Command::Init(arguments) => arguments.run(printer),
        Command::Recover(arguments) => arguments.run(printer),
        Command::Backup(arguments) => arguments.run(printer),
        Command::Restore(arguments) => arguments.run(printer),
        Command::ExportJournal(arguments) => arguments.run(printer),
        Command::RotateKeys(arguments) => arguments.run(printer),
        Command::ExchangeMasterKey(arguments) => arguments.run(printer),
        Command::Audit(arguments) => arguments.run(printer),
        Command::Status(arguments) => arguments.run(printer),
        Command::Reference => printer.out(&reference::page(&<Arguments as clap::CommandFactory>::command())),
    }
}
