//! The quick starts of the README do what they say.
#![cfg(feature = "cli")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");

/// The first block of code in this language.
fn block(language: &str) -> &'static str {
    let (_, from) = README.split_once(&format!("```{language}\n")).unwrap();
    from.split_once("```").unwrap().0
}

/// The indented lines below the heading `Shell`, from the first command on.
fn shell() -> String {
    let (_, from) = README.split_once("### Shell\n").unwrap();
    let (section, _) = from.split_once("### ").unwrap();
    let lines = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .skip_while(|line| !line.starts_with("flockq"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs a command in a directory of its own; what it printed.
fn run(command: &mut Command, directory: &Path) -> String {
    let output = command.current_dir(directory).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a part was built; where all are required it must be.
fn built(path: &Path) -> bool {
    if !path.exists() {
        support::left_out(&format!("{} is not there; run make build", path.display()));
    }
    path.exists()
}

#[test]
fn shell_quick_start() {
    let directory = tempfile::tempdir().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_flockq")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let change = directory.path().join("change-state.sh");
    let script = shell().replace("./change-state.sh", change.to_str().unwrap());
    // Without jq the receipt is looked for by other means.
    let script = script.replace(
        "jq -r .receipt",
        "sed 's/.*\"receipt\":\"\\([^\"]*\\)\".*/\\1/'",
    );
    fs::write(&change, "#!/bin/sh\necho changed\n").unwrap();
    run(
        Command::new("chmod").arg("+x").arg(&change),
        directory.path(),
    );
    let mut command = Command::new("bash");
    command.args(["-euc", &script]).env("PATH", path);
    let printed = run(&mut command, directory.path());
    assert!(printed.contains("changed"), "{printed}");
    let queue = fs::read_to_string(directory.path().join("mail-queues/inbound.json")).unwrap();
    assert_eq!(queue, "[]\n");
}

#[test]
fn python_quick_start() {
    let python = support::root().join(".venv/bin/python");
    if built(&python) {
        let directory = tempfile::tempdir().unwrap();
        let printed = run(
            Command::new(python).args(["-c", block("python")]),
            directory.path(),
        );
        assert_eq!(printed, "{'to': 'deacon/'}\n");
    }
}

#[test]
fn c_quick_start() {
    let library = support::root().join("target/release/libflockq.a");
    if built(&library) {
        let directory = tempfile::tempdir().unwrap();
        let source = format!(
            "#include <stdio.h>\n#include <flockq.h>\nint main(void) {{\n{}\nreturn delivery == NULL; }}\n",
            block("c")
        );
        fs::write(directory.path().join("start.c"), source).unwrap();
        let mut compile = Command::new("cc");
        compile.args([
            "-std=c99", "-Wall", "-Wextra", "-Werror", "start.c", "-o", "start",
        ]);
        compile.arg(format!("-I{}", support::root().join("include").display()));
        compile.arg(library);
        compile.args([
            "-lgcc_s",
            "-lutil",
            "-lrt",
            "-lpthread",
            "-lm",
            "-ldl",
            "-lc",
        ]);
        run(&mut compile, directory.path());
        fs::create_dir(directory.path().join("mail-queues")).unwrap();
        run(&mut Command::new("./start"), directory.path());
    }
}

#[test]
fn go_quick_start() {
    if built(&support::root().join("target/drivers/go")) {
        let directory = tempfile::tempdir().unwrap();
        let source = format!(
            "package main\n\nimport (\n\"context\"\n\"fmt\"\n\"log\"\n\"time\"\n\nflockq \"github.com/flockq/flockq/go\"\n)\n\nfunc main() {{\n{}\n}}\n",
            block("go")
        );
        fs::write(directory.path().join("main.go"), source).unwrap();
        let module = format!(
            "module start\n\ngo 1.24\n\nrequire github.com/flockq/flockq/go v0.0.0\n\nreplace github.com/flockq/flockq/go => {}\n",
            support::root().join("go").display()
        );
        fs::write(directory.path().join("go.mod"), module).unwrap();
        let printed = run(Command::new("go").args(["run", "."]), directory.path());
        assert_eq!(printed, "{\"to\":\"deacon/\"}\n");
    }
}

#[test]
fn rust_quick_start() {
    let example = fs::read_to_string(support::root().join("examples/quick_start.rs")).unwrap();
    assert!(
        example.ends_with(block("rust")),
        "examples/quick_start.rs is the README's"
    );
    // Built by cargo when it builds all tests.
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .unwrap()
        .with_file_name("examples/quick_start");
    if built(&program) {
        let directory = tempfile::tempdir().unwrap();
        let printed = run(&mut Command::new(program), directory.path());
        assert_eq!(printed, "{\"to\":\"deacon/\"}\n");
    }
}
