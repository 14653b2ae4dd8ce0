//! The committed header is what its sources say, whole and of this version.
#![cfg(feature = "capi")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;

include!("../include/version_macros.rs");

const HEADER: &str = include_str!("../include/flockq.h");

#[test]
fn the_committed_header_is_the_generated_one() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut config = cbindgen::Config::from_file(format!("{root}/include/cbindgen.toml")).unwrap();
    version_macros(&mut config);
    let bindings = cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .unwrap();
    let mut generated = Vec::new();
    bindings.write(&mut generated);
    let generated = String::from_utf8(generated).unwrap();
    for (number, (committed, fresh)) in HEADER.lines().zip(generated.lines()).enumerate() {
        assert_eq!(
            committed,
            fresh,
            "line {}; `make build` writes it",
            number + 1
        );
    }
    assert_eq!(HEADER, generated);
}

#[test]
fn every_function_that_is_exported_is_declared_and_explained() {
    let mut exported = BTreeSet::new();
    let mut sources = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/capi")];
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        for function in source.split("extern \"C\" fn ").skip(1) {
            exported.extend(function.split('(').next().map(str::to_owned));
        }
    }
    assert!(exported.len() > 60, "{exported:?}");
    let lines: Vec<&str> = HEADER.lines().collect();
    for name in exported {
        let declared = lines
            .iter()
            .position(|line| {
                line.contains(&format!("{name}(")) && !line.trim_start().starts_with('*')
            })
            .unwrap_or_else(|| panic!("{name} is not in the header"));
        assert_eq!(lines[declared - 1], " */", "{name} has no comment");
    }
}

/// What the header declares stands in one name space with everything else that a C program has.
#[test]
fn every_name_that_is_declared_is_flockqs() {
    let mut names = 0;
    for line in HEADER.lines() {
        let words: Vec<&str> = line
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .collect();
        let name = match &words[..] {
            ["typedef", _, "", "", name, ..] | ["typedef", .., name, ""] if line.ends_with(';') => {
                name
            }
            ["", "", name, ""] if line.starts_with("} ") => name,
            ["", "define", name, ..] | ["enum" | "struct", name, ..] => name,
            _ => continue,
        };
        assert!(name.to_lowercase().starts_with("flockq_"), "{line}");
        names += 1;
    }
    assert!(names > 30, "{names}");
}

#[test]
fn the_version_of_the_header_is_the_crates() {
    let number = |part: &str| part.parse::<u32>().unwrap();
    let whole = number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 1000
        + number(env!("CARGO_PKG_VERSION_PATCH"));
    for line in [
        format!("#define FLOCKQ_VERSION \"{}\"", env!("CARGO_PKG_VERSION")),
        format!("#define FLOCKQ_VERSION_NUMBER {whole}"),
    ] {
        assert!(HEADER.lines().any(|other| other == line), "{line}");
    }
}
