//! Compiles the protocol definitions in `proto` to Rust, without `protoc`.

use std::error::Error;
use std::path::Path;

const DEFINITIONS: [&str; 4] = ["discovery.proto", "certificate.proto", "security.proto", "workload.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("proto");
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(DEFINITIONS, [folder])?;
    prost_build::Config::new()
        // Maps in order: equal messages have equal bytes.
        .btree_map(["."])
        .bytes(["."])
        .include_file("definitions.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
