//! The requests and the replies, one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::peer::{About, Failure};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    Open,
    Send(Send),
    Receive(Receive),
    SendStamped(SendStamped),
    ReceiveStamped(ReceiveStamped),
    Depth,
    Close,
    Version,
}

#[derive(Deserialize)]
pub struct Send {
    pub first: u32,
    pub count: u32,
    pub batch: usize,
    pub limit_s: f64,
}

#[derive(Deserialize)]
pub struct Receive {
    pub count: u32,
    pub batch: usize,
    pub wait: bool,
    pub limit_s: f64,
}

#[derive(Deserialize)]
pub struct SendStamped {
    pub count: u32,
    pub pause_ms: f64,
}

#[derive(Deserialize)]
pub struct ReceiveStamped {
    pub count: u32,
    pub limit_s: f64,
}

#[derive(Serialize)]
#[serde(untagged)]
pub enum Reply {
    Opened {
        seconds: f64,
    },
    Sent {
        done: u32,
        seconds: f64,
        #[serde(flatten)]
        failures: Failures,
    },
    Received {
        done: u32,
        seconds: f64,
        ranges: String,
        again: u32,
        #[serde(flatten)]
        failures: Failures,
    },
    SentStamped {
        done: u32,
        before_ns: Vec<u64>,
        after_ns: Vec<u64>,
    },
    ReceivedStamped {
        done: u32,
        numbers: Vec<u32>,
        had_ns: Vec<u64>,
    },
    Depth {
        messages: u64,
    },
    Closed {},
    Version {
        peer: String,
        runtime: &'static str,
        #[serde(flatten)]
        about: About,
    },
    Unsupported {
        unsupported: String,
    },
    Error {
        error: String,
    },
}

/// Calls that failed and were made again.
#[derive(Default, Serialize)]
pub struct Failures {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<u32>,
    /// What the first said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Reply {
    pub fn version(peer: &str, about: About) -> Self {
        Self::Version {
            peer: peer.to_owned(),
            runtime: env!("COMPILER"),
            about,
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsupported(why) => Self::Unsupported { unsupported: why },
            Failure::Error(error) => Self::Error { error },
        }
    }
}
