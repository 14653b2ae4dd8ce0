//! Processes in four languages at work on one mail spool, what goes wrong meanwhile, and what has to hold of it afterwards.

#![allow(dead_code, reason = "tests use a part of it")]
#![allow(unreachable_pub, reason = "shared by the tests of this binary")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

#[path = "../disk/chance.rs"]
pub mod chance;
pub mod checker;
pub mod crew;
pub mod drain;
pub mod history;
pub mod nemesis;
pub mod run;
pub mod session;
pub mod worker;

/// What messages go through.
pub const QUEUES: [&str; 4] = ["inbound", "outbound", "dead-letter", "archive"];
