//! A journalled queue: its snapshot, and behind it its journal, which begins with the first line that begins with `flockq`.
//! What came from a real queue stays what it is, and can be read; [`super::mend`] makes right sums.

use std::fs;

use super::{place, use_up};

/// Where the journal begins.
pub fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let begins =
        |at: &usize| input[*at..].starts_with(b"flockq") && (*at == 0 || input[at - 1] == b'\n');
    input.split_at((0..input.len()).find(begins).unwrap_or(input.len()))
}

pub fn run(input: &[u8]) {
    let spool = place::empty();
    let (snapshot, journal) = split(input);
    fs::write(
        spool.join("flockq.json"),
        r#"{"version":1,"queues":{"q":{"mode":"journal"}}}"#,
    )
    .unwrap();
    fs::write(spool.join("q.json"), snapshot).unwrap();
    fs::write(spool.join("q.json.journal"), journal).unwrap();
    use_up::run(&spool);
}
