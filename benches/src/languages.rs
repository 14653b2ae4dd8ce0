//! A send from Python and from Go beside one from Rust. Both stand on the library that `make build` made.

use std::path::Path;
use std::process::Command;

use crate::contenders::{Contender, Flockq};
use crate::payload;

const TIMES: usize = 5000;

/// The median of the microseconds that a send takes, by language; none for what is not built.
pub fn measure(rounds: usize) -> [(&'static str, Option<f64>); 3] {
    let mut times = [(); 3].map(|()| Vec::new());
    for _ in 0..rounds {
        times[0].extend(rust());
        times[1].extend(other(".venv/bin/python", &["benches/send.py"], "."));
        times[2].extend(other("go", &["run", "./internal/sendbench"], "go"));
    }
    let medians = times.map(|mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.get(times.len() / 2).copied()
    });
    let [rust, python, go] = medians;
    [("Rust", rust), ("Python", python), ("Go", go)]
}

fn rust() -> Option<f64> {
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).ok()?;
    let mut queue = Flockq::new(directory.path(), "journal", false);
    let message = payload(1);
    queue.send(&message);
    let started = std::time::Instant::now();
    (0..TIMES).for_each(|_| queue.send(&message));
    Some(started.elapsed().as_secs_f64() * 1e6 / TIMES as f64)
}

fn other(program: &str, arguments: &[&str], place: &str) -> Option<f64> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).ok()?;
    let program = if program.contains('/') {
        project.join(program)
    } else {
        program.into()
    };
    let output = Command::new(program)
        .args(arguments)
        .arg(directory.path())
        .arg(TIMES.to_string())
        .current_dir(project.join(place))
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
