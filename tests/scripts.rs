//! What stands behind `make demo`, `make install` and `make clean`, in a tree of its own with a compiler that only notes what it
//! is asked for.
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// What the scripts need besides the toolchains.
const TOOLS: [&str; 17] = [
    "bash", "cat", "cp", "dirname", "env", "find", "grep", "head", "install", "ln", "make",
    "mkdir", "mv", "rm", "sed", "tail", "touch",
];
const CARGO: &str = r#"#!/usr/bin/env bash
echo "$*" >> "$CARGO_LOG"
to=${CARGO_TARGET_DIR:-target}/release
mkdir -p "$to"
for file in flockq libflockq.so libflockq.a; do
    # As the real one: what has not changed is left alone.
    [ -e "$to/$file" ] || echo built > "$to/$file"
done
"#;

/// The project's scripts, and a few files that stand for its sources.
struct Tree(TempDir);

impl Tree {
    /// Toolchains besides the tools that are always there; `None` where one of those is missing.
    fn with(toolchains: &[&str]) -> Option<Self> {
        let tree = Self(tempfile::tempdir().unwrap());
        let files = [
            "Cargo.toml",
            "Cargo.lock",
            "Makefile",
            "build.rs",
            "include/cbindgen.toml",
            "include/flockq.h",
            "include/flockq.map",
            "scripts/install.sh",
            "scripts/make.sh",
            "src/bin/flockq/main.rs",
            "src/lib.rs",
            "src/python/mod.rs",
        ];
        for file in files {
            let to = tree.path().join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(support::root().join(file), to).unwrap();
        }
        fs::create_dir(tree.tools()).unwrap();
        for tool in TOOLS {
            let Some(place) = find(tool) else {
                support::left_out(&format!("{tool} is missing"));
                return None;
            };
            symlink(place, tree.tools().join(tool)).unwrap();
        }
        for name in toolchains {
            let program = tree.tools().join(name);
            fs::write(&program, CARGO).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Some(tree)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn tools(&self) -> PathBuf {
        self.path().join("tools")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path().join(program));
        command
            .env_clear()
            .env("PATH", self.tools())
            .env("CARGO_LOG", self.path().join("log"))
            .current_dir(self.path());
        command
    }

    /// What the compiler was asked for so far.
    fn asked(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(tool));
    places.find(|place| place.is_file())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn well(command: &mut Command) {
    let Output { status, stderr, .. } = command.output().unwrap();
    assert!(status.success(), "{}", text(&stderr));
}

#[test]
fn an_install_builds_what_it_installs_and_only_when_a_source_has_changed() {
    let Some(tree) = Tree::with(&["cargo", "cc"]) else {
        return;
    };
    let install = || {
        let mut install = tree.command("scripts/install.sh");
        well(install.arg("/usr").env("DESTDIR", "to"));
    };
    install();
    let asked = tree.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[0].ends_with("--bin flockq"), "{asked:?}");
    assert!(asked[1].ends_with("--crate-type staticlib"), "{asked:?}");
    assert!(asked[2].contains("-shared"), "{asked:?}");
    install();
    assert_eq!(tree.asked().len(), 3);
    // A source that none of them is made of.
    well(tree.command("tools/touch").arg("src/python/mod.rs"));
    install();
    assert_eq!(tree.asked().len(), 6);
    install();
    assert_eq!(tree.asked().len(), 6);
}

#[test]
fn a_relative_prefix_is_one_of_the_directory_in_which_it_is_given() {
    let Some(tree) = Tree::with(&["cargo", "cc"]) else {
        return;
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let there = elsewhere.path().canonicalize().unwrap();
    well(
        tree.command("scripts/install.sh")
            .arg("below/it")
            .current_dir(&there),
    );
    let place = there.join("below/it");
    assert!(place.join("bin/flockq").exists());
    let package = support::read(&place.join("lib/pkgconfig/flockq.pc"));
    let line = format!("prefix={}\n", place.display());
    assert!(package.starts_with(&line), "{package}");
    well(
        tree.command("scripts/install.sh")
            .arg("/usr")
            .env("DESTDIR", "stage")
            .current_dir(&there),
    );
    let package = support::read(&there.join("stage/usr/lib/pkgconfig/flockq.pc"));
    assert!(package.starts_with("prefix=/usr\n"), "{package}");
}

#[test]
fn where_a_toolchain_is_missing_the_demo_says_which_and_how_to_get_it() {
    let cases: [(&[&str], &str, &str, &str); 4] = [
        (&["cc"], "0", "cargo is missing", "rustup"),
        (&["cargo"], "0", "cc is missing", "build-essential"),
        (&["cargo", "cc"], "1", "python3 is missing", "python3-venv"),
        (
            &["cargo", "cc", "python3"],
            "1",
            "go is missing",
            "https://go.dev",
        ),
    ];
    for (toolchains, all, what, how) in cases {
        let Some(tree) = Tree::with(toolchains) else {
            return;
        };
        let mut demo = tree.command("scripts/make.sh");
        demo.arg("demo").env("FLOCKQ_REQUIRE_ALL", all);
        let Output { status, stderr, .. } = demo.output().unwrap();
        let error = text(&stderr);
        assert_eq!(status.code(), Some(1), "{error}");
        assert!(error.contains(what) && error.contains(how), "{error}");
    }
}

#[test]
fn cleaning_leaves_what_belongs_to_the_go_module() {
    let Some(tree) = Tree::with(&[]) else {
        return;
    };
    let native = tree.path().join("go/internal/native");
    fs::create_dir_all(native.join("linux_amd64")).unwrap();
    let tracked = ["flockq.h", "linux_amd64/native.go"];
    let built = ["linux_amd64/libflockq.a", "linux_amd64/library.go"];
    for file in tracked.iter().chain(&built) {
        fs::write(native.join(file), "").unwrap();
    }
    fs::create_dir(tree.path().join("target")).unwrap();
    well(tree.command("tools/make").arg("clean"));
    assert!(tracked.iter().all(|file| native.join(file).exists()));
    assert!(!built.iter().any(|file| native.join(file).exists()));
    assert!(!tree.path().join("target").exists());
}
