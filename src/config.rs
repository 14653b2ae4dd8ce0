//! `flockq.json`: how a spool is set up. Absent means the defaults.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{CONFIG_FILE, LOCK_DIRECTORY, QueueName};
use crate::format::object::{quoted, with};
use crate::store::atomic::{Replacement, replace};
use crate::store::plain::new_attributes;
use crate::store::{Attributes, Open, Store};

/// The version of the configuration that this library reads and writes.
const VERSION: u64 = 1;

/// What is on stable storage when a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Sync {
    /// Every commit.
    Full,
    /// Every commit, except receive, extend, ack and a nack without a reason: a power cut may forget
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) lock_directory: String,
    default: Settings,
    queues: Vec<(String, Settings)>,
}

/// What can be said for a queue, or for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Settings {
    mode: Option<Mode>,
    sync: Option<Sync>,
}

/// The file's own shape. Keys that are not named here are kept, because the file is never written again.
#[derive(Deserialize)]
struct File<'a> {
    version: Option<u64>,
    lock_dir: Option<String>,
    #[serde(borrow)]
    default: Option<&'a RawValue>,
    #[serde(borrow)]
    queues: Option<std::collections::BTreeMap<String, &'a RawValue>>,
}

#[derive(Deserialize)]
struct FileSettings {
    mode: Option<String>,
    sync: Option<String>,
}

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

    /// Puts it on record how a queue commits, under the spool's lock. Everything else in the file stays.
    pub(crate) fn record(store: &dyn Store, queue: &str, mode: Mode) -> Result<()> {
        let path = || store.root().join(CONFIG_FILE);
        let found = store
            .stat(CONFIG_FILE)
            .map_err(|error| Error::io("look at", path(), error))?;
        let (text, attributes) = if found.is_some() {
            let read = store.open(CONFIG_FILE, Open::Read);
            let read = read.and_then(|file| Ok((file.read_all()?, file.attributes()?)));
            let (bytes, attributes) = read.map_err(|error| Error::io("read", path(), error))?;
            Self::parse(&bytes).map_err(|error| error.at(path()))?;
            (String::from_utf8_lossy(&bytes).into_owned(), attributes)
        } else {
            let text = format!("{{\n  \"version\": {VERSION}\n}}\n");
            (text, new_attributes(store)?)
        };
        let value = quoted(mode.name());
        let end = text.trim_end().len();
        let start = text.len() - text.trim_start().len();
        let object = text.get(start..end).unwrap_or_default();
        let changed = with(object, &["queues", queue, "mode"], value)
            .ok_or_else(|| wrong("queues", "something else", "an object of objects").at(path()))?;
        write_file(store, &attributes, format!("{changed}\n").as_bytes())
    }

    fn own(&self, queue: &str) -> Option<Settings> {
        let found = self.queues.iter().find(|(name, _)| name == queue);
        found.map(|(_, settings)| *settings)
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let file: File<'_> = serde_json::from_slice(bytes).map_err(|error| {
            Error::new(
                ErrorKind::Corrupt,
                format!("{CONFIG_FILE} is damaged: {error}; mend it or move it away"),
            )
        })?;
        match file.version {
            Some(VERSION) => {}
            Some(other) => {
                return Err(Error::new(
                    ErrorKind::Version,
                    format!(
                        "{CONFIG_FILE} has version {other}, this library knows {VERSION}; use a newer flockq"
                    ),
                ));
            }
            None => return Err(wrong("version", "nothing", "the number 1")),
        }
        let lock_directory = file.lock_dir.unwrap_or_else(|| LOCK_DIRECTORY.to_owned());
        check_lock_directory(&lock_directory)?;
        let default = file
            .default
            .map(|raw| Settings::parse("default", raw))
            .transpose()?
            .unwrap_or_default();
        let mut queues = Vec::new();
        for (name, raw) in file.queues.unwrap_or_default() {
            let name =
                QueueName::parse(&name).map_err(|_| wrong("queues", &name, "names of queues"))?;
            queues.push((name.to_string(), Settings::parse(name.as_str(), raw)?));
        }
        Ok(Self {
            lock_directory,
            default,
            queues,
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lock_directory: LOCK_DIRECTORY.to_owned(),
            default: Settings::default(),
            queues: Vec::new(),
        }
    }
}

impl Settings {
    fn parse(owner: &str, raw: &RawValue) -> Result<Self> {
        let file: FileSettings = serde_json::from_str(raw.get()).map_err(|error| {
            wrong(
                owner,
                raw.get(),
                &format!("an object of settings ({error})"),
            )
        })?;
        let mode = file
            .mode
            .map(|mode| {
                mode.parse()
                    .map_err(|_| wrong(&format!("{owner}.mode"), &mode, "plain or journal"))
            })
            .transpose()?;
        let sync = file
            .sync
            .map(|sync| {
                sync.parse()
                    .map_err(|_| wrong(&format!("{owner}.sync"), &sync, "full, normal or off"))
            })
            .transpose()?;
        Ok(Self { mode, sync })
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

fn wrong(key: &str, value: &str, allowed: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("{CONFIG_FILE}: {key} is {value:?}; it must be {allowed}"),
    )
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
        write_file(store, &new_attributes(store)?, &bytes)
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
    use super::*;

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
}
