//! Writes the C header when the C ABI is built.

#![allow(
    clippy::disallowed_methods,
    reason = "a build script writes a file of the source tree"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/capi");
    println!("cargo::rerun-if-changed=include/cbindgen.toml");
    #[cfg(feature = "capi")]
    write_header();
}

/// Writes `include/flockq.h` if it changed. In a source tree that cannot be written, the committed header serves.
#[cfg(feature = "capi")]
fn write_header() {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let mut config = match cbindgen::Config::from_file(format!("{root}/include/cbindgen.toml")) {
        Ok(config) => config,
        Err(error) => return println!("cargo::warning=include/cbindgen.toml: {error}"),
    };
    version_macros(&mut config);
    match cbindgen::Builder::new()
        .with_crate(&root)
        .with_config(config)
        .generate()
    {
        Ok(bindings) => {
            let path = format!("{root}/include/flockq.h");
            let mut header = Vec::new();
            bindings.write(&mut header);
            if std::fs::read(&path).ok().as_ref() != Some(&header) {
                // A package from a registry is read-only.
                let _ = std::fs::write(path, header);
            }
        }
        Err(error) => println!("cargo::warning=the header was not written: {error}"),
    }
}

#[cfg(feature = "capi")]
include!("include/version_macros.rs");
