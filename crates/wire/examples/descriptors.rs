//! Prints what `proto/` declares, as an encoded `google.protobuf.FileDescriptorSet`. `tests/compat` reads it.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    io::stdout().write_all(wire::DESCRIPTOR_SET)
}
