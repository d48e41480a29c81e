//! Repository chores.
//!
//! - `cargo xtask tidy` asserts which crate may know which, and what must not be in the tree at all.
//! - `cargo xtask reference [--check]` writes docs/reference.md from the program's own definitions, or says that
//!   it is not current.

mod reference;
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["tidy"] => tidy::check(),
        ["reference"] => reference::write(),
        ["reference", "--check"] => reference::check(),
        _ => Err(anyhow::anyhow!("give one of: tidy, reference, reference --check")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a chore says what is wrong")]
            {
                eprintln!("{error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
