//! Compiles `proto/` with protox, so that no `protoc` has to be installed.
//!
//! Every `.proto` file below the folder is compiled; there is no list to forget one in. Fields marked
//! `debug_redact` are collected on the way: their messages get no derived `Debug`, and `src/redact.rs` has to
//! write one.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use protox::prost_reflect::{DescriptorPool, MessageDescriptor, Value};

const ROOT: &str = "../../proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files = Vec::new();
    proto_files(Path::new(ROOT), &mut files)?;
    files.sort();

    // Clients that ask by reflection have no use for comments.
    let compiler = compile(&files, false)?;
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;

    let redacted = redacted_fields(&compiler.descriptor_pool());
    let names: Vec<String> = redacted.iter().map(|(message, field)| format!("{message}.{field}")).collect();
    fs::write(out.join("redacted_fields.rs"), format!("&{names:#?}"))?;

    tonic_prost_build::configure()
        .build_transport(false)
        // The same message is the same bytes, whoever asks and how often: machines act on every difference.
        .btree_map(".")
        .skip_debug(redacted.iter().map(|(message, _)| format!(".{message}")))
        .compile_fds(compile(&files, true)?.file_descriptor_set())?;
    Ok(())
}

fn compile(files: &[PathBuf], comments: bool) -> Result<protox::Compiler, protox::Error> {
    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(comments).open_files(files)?;
    Ok(compiler)
}

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// Full name of the message and name of the field, for each field marked `debug_redact`.
fn redacted_fields(pool: &DescriptorPool) -> Vec<(String, String)> {
    let marked = |message: MessageDescriptor| {
        let fields: Vec<_> = message
            .fields()
            .filter(|field| {
                let options = field.options();
                options.get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true))
            })
            .map(|field| (message.full_name().to_owned(), field.name().to_owned()))
            .collect();
        fields
    };
    pool.all_messages().flat_map(marked).collect()
}
