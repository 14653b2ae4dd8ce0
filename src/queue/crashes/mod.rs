//! Whatever the last effect before a power cut is, and whatever of the rest the disk has kept: what is found is what was
//! confirmed, or that and the operation under way. On the simulated disk, with a list of messages as the oracle.
//!
//! A failure names its seed; `FLOCKQ_SEED` begins with it, `FLOCKQ_PROVE=1` goes through all.

mod failures;
mod image;
mod mail;
mod model;
mod short;

/// Whether everything is to be gone through, and not a part that is quick.
fn proves() -> bool {
    std::env::var_os("FLOCKQ_PROVE").is_some_and(|value| value == "1")
}

/// Where chance begins.
fn seed() -> u64 {
    let given = std::env::var("FLOCKQ_SEED").ok();
    given.map_or(1, |text| text.parse().expect("FLOCKQ_SEED is a number"))
}

/// Tells how much was gone through, for the report: past the test harness, which keeps what is printed by a test that passes.
fn proved(what: &str, count: usize) {
    use std::io::Write;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let line = format!("PROVED {count} {what} [{test}]\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
