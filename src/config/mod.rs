//! `flockq.json`: how a spool is set up. Absent means the defaults.

mod settings;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{CONFIG_FILE, LOCK_DIRECTORY, QueueName};
use crate::format::object::{quoted, with};
use crate::store::atomic::{Replacement, replace};
use crate::store::plain::new_attributes;
use crate::store::{Attributes, Open, Store};
pub(crate) use settings::{Expired, Policy};
use settings::{Settings, fallbacks, value_of, wrong};

/// The version of the configuration that this library reads and writes.
const VERSION: u64 = 1;

/// What is on stable storage when a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Sync {
    /// Every commit.
    Full,
    /// Every commit, except receive, pop, extend, detach, ack and a nack without a reason: a power cut may forget
    /// those, and the message is delivered again, never lost.
    #[default]
    Normal,
    /// Nothing: left to the operating system. The death of a process loses nothing. A power cut may
    /// lose the last commits, and leave a queue's file empty or zeroed.
    Off,
}

impl Sync {
    /// The name, the same in every language and in `flockq.json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Sync::Full => "full",
            Sync::Normal => "normal",
            Sync::Off => "off",
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sync {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "full" => Ok(Sync::Full),
            "normal" => Ok(Sync::Normal),
            "off" => Ok(Sync::Off),
            other => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("sync is {other:?}; it can be full, normal or off"),
            )),
        }
    }
}

/// How a queue commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Every commit writes the whole file: for queues that are shared with programs that do not use the library.
    Plain,
    /// Every commit appends to a journal beside the file.
    Journal,
}

impl Mode {
    /// The name, the same in every language and in `flockq.json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Journal => "journal",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "plain" => Ok(Mode::Plain),
            "journal" => Ok(Mode::Journal),
            other => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("mode is {other:?}; it can be plain or journal"),
            )),
        }
    }
}

/// A spool's configuration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) lock_directory: String,
    default: Settings,
    queues: Vec<(String, Settings)>,
    /// Keys that this library does not know; they are kept, and told.
    pub(crate) unknown: Vec<String>,
    /// As it stands in the file.
    said: Value,
}

/// Whose setting it is: a queue's, or that of all which have none of their own.
const ALL: &str = "default";

impl Config {
    /// Reads the configuration of the spool.
    pub(crate) fn load(store: &dyn Store) -> Result<Self> {
        let path = || store.root().join(CONFIG_FILE);
        let bytes = match store
            .open(CONFIG_FILE, Open::Read)
            .and_then(|file| file.read_all())
        {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.map_err(|error| Error::io("read", path(), error))?,
        };
        Self::parse(&bytes).map_err(|error| error.at(path()))
    }

    /// The durability of a queue.
    pub(crate) fn sync(&self, queue: &str) -> Sync {
        let own = self.own(queue).and_then(|settings| settings.sync);
        own.or(self.default.sync).unwrap_or_default()
    }

    /// What is on record of how a queue commits.
    pub(crate) fn mode(&self, queue: &str) -> Option<Mode> {
        self.own(queue).and_then(|settings| settings.mode)
    }

    /// How a queue that is made now commits.
    pub(crate) fn mode_of_new(&self) -> Mode {
        self.default.mode.unwrap_or(Mode::Journal)
    }

    /// What holds for a queue.
    pub(crate) fn policy(&self, queue: &str) -> Policy {
        Settings::policy(self.own(queue), &self.default, queue)
    }

    /// The queues whose policy gives up to this one, of those that there are and those of which something is said.
    pub(crate) fn given_up_to(
        &self,
        queue: &QueueName,
        there: BTreeSet<QueueName>,
    ) -> BTreeSet<QueueName> {
        let said = self.queues.iter();
        let mut names = there;
        names.extend(said.filter_map(|(name, _)| QueueName::parse(name).ok()));
        names.retain(|name| self.policy(name.as_str()).dead_letter_queue.as_ref() == Some(queue));
        names
    }

    /// Puts it on record how a queue commits, under the spool's lock. Everything else in the file stays.
    pub(crate) fn record(store: &dyn Store, queue: &str, mode: Mode) -> Result<()> {
        let value = quoted(mode.name());
        Self::change(store, |_| {
            Ok(vec![(vec!["queues", queue, "mode"], value.clone())])
        })
        .map(drop)
    }

    /// Sets one key of a queue or of `default`, under the spool's lock. `text` is as on a command line.
    pub(crate) fn set(store: &dyn Store, owner: &str, key: &str, text: &str) -> Result<()> {
        let mut path = vec![ALL];
        if owner != ALL {
            QueueName::parse(owner)?;
            path = vec!["queues", owner];
            if key == "mode" {
                let text = format!(
                    "{owner}.mode is changed with the queue itself: flockq convert {owner} --to {text}"
                );
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        path.push(key);
        let value = value_of(owner, key, text)?.to_string();
        Self::change(store, |_| Ok(vec![(path.clone(), value.clone())])).map(drop)
    }

    /// Sets the policy of the mail daemon, as far as nothing else is said.
    pub(crate) fn set_mail(store: &dyn Store) -> Result<bool> {
        Self::change(store, |said| {
            let is_said = |key: &str| {
                said["queues"]["inbound"]
                    .get(key)
                    .is_some_and(|value| !value.is_null())
            };
            let keys = MAIL.iter().filter(|(key, _)| !is_said(key));
            Ok(keys
                .map(|(key, value)| (vec!["queues", "inbound", *key], (*value).to_owned()))
                .collect())
        })
    }

    /// What is said, and what holds where nothing is said.
    pub(crate) fn show(&self) -> Value {
        let mut default = Map::new();
        let said = &self.said;
        for (name, fallback) in fallbacks() {
            let value = said[ALL].get(name).filter(|value| !value.is_null());
            default.insert(name.to_owned(), value.cloned().unwrap_or(fallback));
        }
        json!({
            "version": VERSION,
            "lock_dir": self.lock_directory,
            "default": default,
            "queues": said.get("queues").cloned().unwrap_or_else(|| json!({})),
            "unknown": self.unknown,
        })
    }

    /// Changes some values in the file, which is made when it is missing. Everything else in it stays.
    fn change<'a>(
        store: &dyn Store,
        decide: impl FnOnce(&Value) -> Result<Vec<(Vec<&'a str>, String)>>,
    ) -> Result<bool> {
        let path = || store.root().join(CONFIG_FILE);
        let found = store
            .stat(CONFIG_FILE)
            .map_err(|error| Error::io("look at", path(), error))?;
        let (text, attributes, said) = if found.is_some() {
            let read = store.open(CONFIG_FILE, Open::Read);
            let read = read.and_then(|file| Ok((file.read_all()?, file.attributes()?)));
            let (bytes, attributes) = read.map_err(|error| Error::io("read", path(), error))?;
            let config = Self::parse(&bytes).map_err(|error| error.at(path()))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (text, attributes, config.said)
        } else {
            let text = format!("{{\n  \"version\": {VERSION}\n}}\n");
            (text, new_attributes(store, None)?, Value::Null)
        };
        let mut object = text.trim().to_owned();
        let before = object.clone();
        for (keys, value) in decide(&said)? {
            object = with(&object, &keys, value).ok_or_else(|| {
                wrong("queues", "something else", "an object of objects").at(path())
            })?;
        }
        if object == before && found.is_some() {
            return Ok(false);
        }
        // What was set may be wrong together with what was there.
        Self::parse(object.as_bytes())
            .map_err(|error| error.into_kind(ErrorKind::InvalidArgument, ""))?;
        write_file(store, &attributes, format!("{object}\n").as_bytes())?;
        Ok(true)
    }

    fn own(&self, queue: &str) -> Option<&Settings> {
        let found = self.queues.iter().find(|(name, _)| name == queue);
        found.map(|(_, settings)| settings)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |error: &str| {
            let text = format!("{CONFIG_FILE} is damaged: {error}; mend it or move it away");
            Error::new(ErrorKind::Corrupt, text)
        };
        let said: Value =
            serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        if !said.is_object() {
            return Err(damaged("it is no object"));
        }
        match said.get("version").filter(|version| !version.is_null()) {
            None => return Err(wrong("version", "nothing", "the number 1")),
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(version) if version.is_u64() => {
                let text = format!(
                    "{CONFIG_FILE} has version {version}, this library knows {VERSION}; use a newer flockq"
                );
                return Err(Error::new(ErrorKind::Version, text));
            }
            Some(version) => return Err(wrong("version", &version.to_string(), "the number 1")),
        }
        let lock_directory = match said.get("lock_dir").filter(|value| !value.is_null()) {
            None => LOCK_DIRECTORY.to_owned(),
            Some(Value::String(directory)) => directory.clone(),
            Some(other) => return Err(wrong("lock_dir", &other.to_string(), "a path")),
        };
        check_lock_directory(&lock_directory)?;
        let known = ["version", "lock_dir", ALL, "queues"];
        let keys = said.as_object().into_iter().flatten().map(|(key, _)| key);
        let unknown = keys.filter(|key| !known.contains(&key.as_str()));
        let mut unknown: Vec<String> = unknown.cloned().collect();
        let mut settings = |owner: &str, value: Option<&Value>| match value {
            None | Some(Value::Null) => Ok(Settings::default()),
            Some(value) => {
                let (settings, more) = Settings::parse(owner, value)?;
                unknown.extend(more);
                Ok(settings)
            }
        };
        let default = settings(ALL, said.get(ALL))?;
        let mut queues = Vec::new();
        match said.get("queues") {
            None | Some(Value::Null) => {}
            Some(Value::Object(all)) => {
                for (name, value) in all {
                    let name = QueueName::parse(name)
                        .map_err(|_| wrong("queues", name, "names of queues"))?;
                    queues.push((name.to_string(), settings(name.as_str(), Some(value))?));
                }
            }
            Some(other) => return Err(wrong("queues", &other.to_string(), "an object of objects")),
        }
        Ok(Self {
            lock_directory,
            default,
            queues,
            unknown,
            said,
        })
    }
}

/// The policy of the daemon that mail queues come from.
const MAIL: [(&str, &str); 4] = [
    ("attempts", "3"),
    ("backoff", "\"5m\""),
    ("retry_queue", "\"outbound\""),
    ("dead_letter_queue", "\"dead-letter\""),
];

impl Default for Config {
    fn default() -> Self {
        Self {
            lock_directory: LOCK_DIRECTORY.to_owned(),
            default: Settings::default(),
            queues: Vec::new(),
            unknown: Vec::new(),
            said: Value::Null,
        }
    }
}

fn write_file(store: &dyn Store, attributes: &Attributes, bytes: &[u8]) -> Result<()> {
    let how = Replacement {
        name: CONFIG_FILE,
        temporary: (".flockq.json.", ".tmp"),
        attributes,
        sync_content: true,
        sync_name: true,
    };
    replace(store, &how, bytes, || Ok(true)).map(drop)
}

/// Inside the spool, whatever a hostile file says.
fn check_lock_directory(directory: &str) -> Result<()> {
    let part_is_sound = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && part.len() <= 100 && !part.contains('\0')
    };
    if directory.split('/').all(part_is_sound) {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::InvalidArgument,
            format!(
                "the lock directory {directory:?} must be a relative path inside the spool, without . and .."
            ),
        ))
    }
}

/// How a new spool is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Init {
    plain: bool,
    lock_directory: Option<String>,
    sync: Option<Sync>,
}

impl Init {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// New queues are plain files, for directories that are shared with programs that do not use the library.
    #[must_use]
    pub fn plain(mut self, plain: bool) -> Self {
        self.plain = plain;
        self
    }

    /// Another lock directory, relative to the spool. It cannot be changed afterwards.
    #[must_use]
    pub fn lock_dir(mut self, directory: impl Into<String>) -> Self {
        self.lock_directory = Some(directory.into());
        self
    }

    /// The durability of all queues.
    #[must_use]
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = Some(sync);
        self
    }

    pub(crate) fn lock_directory(&self) -> Result<&str> {
        let directory = self.lock_directory.as_deref().unwrap_or(LOCK_DIRECTORY);
        check_lock_directory(directory).map(|()| directory)
    }

    /// Writes `flockq.json`, under the spool's lock.
    pub(crate) fn write(&self, store: &dyn Store) -> Result<()> {
        let bytes = self.text()?;
        let wanted = Config::parse(&bytes)?;
        let path = || store.root().join(CONFIG_FILE);
        if store
            .stat(CONFIG_FILE)
            .map_err(|error| Error::io("look at", path(), error))?
            .is_some()
        {
            let found = Config::load(store)?;
            // What is on record of single queues is no choice of whoever sets a spool up.
            let is_same =
                found.lock_directory == wanted.lock_directory && found.default == wanted.default;
            return if is_same {
                Ok(())
            } else {
                let text = format!(
                    "{} is there already and says something else; a spool is set up once",
                    path().display()
                );
                Err(Error::new(ErrorKind::AlreadyExists, text).at(path()))
            };
        }
        write_file(store, &new_attributes(store, None)?, &bytes)
    }

    fn text(&self) -> Result<Vec<u8>> {
        let mut file =
            serde_json::json!({ "version": VERSION, "lock_dir": self.lock_directory()? });
        let mut default = serde_json::Map::new();
        if self.plain {
            default.insert("mode".to_owned(), "plain".into());
        }
        if let Some(sync) = self.sync {
            default.insert("sync".to_owned(), sync.name().into());
        }
        if let (Some(file), false) = (file.as_object_mut(), default.is_empty()) {
            file.insert("default".to_owned(), default.into());
        }
        let mut bytes = serde_json::to_vec_pretty(&file)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::fault::FaultStore;

    fn refused(text: &str) -> (ErrorKind, String) {
        let error = Config::parse(text.as_bytes()).unwrap_err();
        (error.kind(), error.to_string())
    }

    #[test]
    fn what_init_writes_is_read_back() {
        let init = Init::new()
            .plain(true)
            .lock_dir("locks/here")
            .sync(Sync::Full);
        let config = Config::parse(&init.text().unwrap()).unwrap();
        assert_eq!(config.lock_directory, "locks/here");
        assert_eq!(config.sync("inbound"), Sync::Full);
    }

    #[test]
    fn a_queue_overrides_the_default_and_unknown_keys_are_no_error() {
        let config = Config::parse(br#"{"version":1,"default":{"sync":"off","color":1},"queues":{"inbound":{"sync":"full"}},"more":[]}"#).unwrap();
        assert_eq!(config.sync("inbound"), Sync::Full);
        assert_eq!(config.sync("outbound"), Sync::Off);
        assert_eq!(Config::default().sync("outbound"), Sync::Normal);
    }

    #[test]
    fn a_wrong_value_names_the_key_the_value_and_what_is_allowed() {
        let (kind, text) = refused(r#"{"version":1,"default":{"sync":"sometimes"}}"#);
        assert_eq!(kind, ErrorKind::Corrupt);
        assert!(
            text.contains("default.sync")
                && text.contains("sometimes")
                && text.contains("full, normal or off"),
            "{text}"
        );
    }

    #[test]
    fn a_newer_version_is_refused_as_such() {
        assert_eq!(refused(r#"{"version":2}"#).0, ErrorKind::Version);
    }

    #[test]
    fn a_lock_directory_outside_the_spool_is_refused() {
        for directory in ["", "/tmp", "../x", "a/../b", "a//b", "."] {
            assert_eq!(
                Init::new()
                    .lock_dir(directory)
                    .lock_directory()
                    .unwrap_err()
                    .kind(),
                ErrorKind::InvalidArgument,
                "{directory}"
            );
        }
    }

    const WHOLE: &str = r#"{"version":1,"mine":[1e9],"lock_dir":"l","default":{"sync":"off","attempts":3,"lease":"5m"},"queues":{"q":{"mode":"journal","backoff":"1h"}}}"#;

    proptest! {
        // Some bytes of a configuration are others; then a setting is made.
        #[test]
        fn any_bytes_are_a_configuration_or_refused_in_one_line_and_then_stay(
            wrong in proptest::collection::vec((0..WHOLE.len(), any::<u8>()), 0..4),
            length in 0..WHOLE.len() * 2,
            key in "sync|attempts|lease|backoff|[a-z_]{1,9}",
            value in "off|[0-9]{1,20}|[0-9]{1,20}[smhd]|\\PC{0,9}",
        ) {
            let mut bytes = WHOLE.as_bytes()[..length.min(WHOLE.len())].to_vec();
            for (place, byte) in wrong {
                if let Some(there) = bytes.get_mut(place) {
                    *there = byte;
                }
            }
            let store = FaultStore::new();
            store.put(CONFIG_FILE, &bytes);
            let before = Config::load(&store);
            let set = Config::set(&store, "q", &key, &value);
            for error in [before.as_ref().err(), set.as_ref().err()].into_iter().flatten() {
                prop_assert!(!error.to_string().contains('\n'), "{}", error);
                prop_assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Version | ErrorKind::InvalidArgument), "{}", error);
            }
            let after = store.content(CONFIG_FILE).unwrap();
            if set.is_err() {
                prop_assert_eq!(after, bytes);
                return Ok(());
            }
            let (before, after) = (before.unwrap(), Config::load(&store).unwrap());
            prop_assert_eq!(&after.lock_directory, &before.lock_directory);
            prop_assert_eq!(after.said.get("mine"), before.said.get("mine"));
            prop_assert_eq!(after.said.get("default"), before.said.get("default"));
            prop_assert!(after.said["queues"]["q"].get(&key).is_some());
        }
    }
}
