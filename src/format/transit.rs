//! A move between two queues that has not ended: the key `move` of an envelope. Nobody is given a message that has it.

use serde::{Deserialize, Serialize};

use super::name::QueueName;

/// Which move, and where the other copy is or is going to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transit {
    /// The same in both copies, and in no others.
    pub(crate) id: String,
    pub(crate) way: Way,
    pub(crate) queue: QueueName,
}

/// Whether a copy is the one that goes or the one that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    To,
    From,
}

#[derive(Serialize, Deserialize)]
struct Shape<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
}

impl Transit {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "move has a wrong shape".to_owned();
        let shape: Shape<'_> = serde_json::from_str(text).map_err(|_| wrong())?;
        let (way, queue) = match (shape.to, shape.from) {
            (Some(queue), None) => (Way::To, queue),
            (None, Some(queue)) => (Way::From, queue),
            _ => return Err(wrong()),
        };
        Ok(Self {
            id: shape.id.to_owned(),
            way,
            queue: QueueName::parse(queue).map_err(|error| format!("move: {error}"))?,
        })
    }

    pub(crate) fn text(&self) -> String {
        let (to, from) = match self.way {
            Way::To => (Some(self.queue.as_str()), None),
            Way::From => (None, Some(self.queue.as_str())),
        };
        let id = &self.id;
        serde_json::to_string(&Shape { id, to, from }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_anything_else_is_damage() {
        for way in [Way::To, Way::From] {
            let queue = QueueName::parse("dead-letter").unwrap();
            let id = "m1".to_owned();
            let transit = Transit { id, way, queue };
            assert_eq!(Transit::parse(&transit.text()).unwrap(), transit);
        }
        for text in [
            "7",
            "{}",
            r#"{"id":"m1"}"#,
            r#"{"id":"m1","to":"a","from":"b"}"#,
            r#"{"id":"m1","to":"../a"}"#,
            r#"{"to":"a"}"#,
        ] {
            assert!(Transit::parse(text).is_err(), "{text}");
        }
    }
}
