//! One element of the array: an envelope, or a bare payload.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::Damage;
pub(crate) use super::edit::Edit;
use super::json::check_bare;
use super::lease::{Held, Lease};
use super::object::{Object, quoted, string, string_lossy};
use super::outline;
use super::priority::Priority;
use super::time::{self, NEVER, Timestamp};
use super::transit::Transit;
pub(crate) use rewrite::Rewrite;

/// What flockq knows of one element. The text is the element byte for byte; everything else was read from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    text: Arc<[u8]>,
    payload: Range<usize>,
    /// The element is the payload itself: it has no key `message`.
    bare: bool,
    id: Option<Arc<str>>,
    priority: Priority,
    attempts: u64,
    queued_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    lease: Option<Box<Lease>>,
    expires: Option<Timestamp>,
    transit: Option<Box<Transit>>,
}

/// What an index keeps of an element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    pub(crate) length: usize,
    pub(crate) payload: Range<usize>,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) priority: Priority,
    pub(crate) queued_at: Option<Timestamp>,
    pub(crate) not_before: Option<Timestamp>,
    /// The token and the rest of a lease that was not given back.
    pub(crate) lease: Option<(u64, Held)>,
    /// It is being moved.
    pub(crate) in_transit: bool,
}

/// The texts of an envelope that only people look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    /// The queue that it came from.
    pub(crate) from: Option<String>,
    /// The history of errors, as JSON.
    pub(crate) errors: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) queued_at: Option<String>,
    pub(crate) last_attempt: Option<String>,
    pub(crate) not_before: Option<String>,
}

/// A new message.
pub(crate) struct Fresh<'a> {
    pub(crate) payload: &'a [u8],
    /// The id that was asked for.
    pub(crate) id: Option<&'a str>,
    /// Makes an id, when neither the caller nor the payload has one.
    pub(crate) spare_id: &'a dyn Fn() -> String,
    pub(crate) priority: Option<Priority>,
    pub(crate) queued_at: Timestamp,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) expires: Option<Timestamp>,
}

/// An envelope's keys, read by what they must be. `null` counts as absent.
struct Keys<'a, 'o>(&'o Object<'a>);

impl<'a> Keys<'a, '_> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).filter(|value| *value != "null")
    }

    /// The damage of a key's value.
    fn wrong(&self, name: &str, rule: &str) -> Damage {
        Damage::new(
            self.0.place(name).map_or(0, |place| place.start),
            format!("{name} {rule}"),
        )
    }

    fn string(&self, name: &str) -> Result<Option<Cow<'a, str>>, Damage> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        string_lossy(value)
            .map(Some)
            .ok_or_else(|| self.wrong(name, "is not a string"))
    }

    /// A string that names something; one that not every language can read names nothing.
    fn name(&self, name: &str) -> Result<Option<Cow<'a, str>>, Damage> {
        let told = self.string(name)?;
        Ok(told.filter(|_| self.get(name).is_some_and(|value| string(value).is_some())))
    }

    /// A time; "never" counts as absent.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Damage> {
        let Some(text) = self.string(name)? else {
            return Ok(None);
        };
        if text == NEVER {
            return Ok(None);
        }
        let time = time::parse(&text).ok_or_else(|| self.wrong(name, "is not an RFC 3339 time"))?;
        Ok((!time::is_never(time)).then_some(time))
    }
}

/// What stands before the payload in an envelope that flockq makes.
const HEAD: &str = "{\"message\":";

/// The keys whose repetition would make it unclear what the envelope says.
const KNOWN: &[&str] = &[
    "message",
    "attempts",
    "last_attempt",
    "queued_at",
    "error",
    "id",
    "priority",
    "not_before",
    "expires",
    "lease",
    "move",
    "from",
    "errors",
];

impl Element {
    /// Reads an element of an array that is known to be JSON.
    pub(crate) fn parse(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        utf8(&bytes)?;
        let Some((facts, attempts)) = outline::of(&bytes) else {
            return Self::parse_with_care(bytes);
        };
        Ok(Self {
            payload: facts.payload,
            bare: false,
            id: facts.id.map(|id| Arc::from(&*id)),
            priority: facts.priority,
            attempts,
            queued_at: facts.queued_at,
            not_before: None,
            lease: None,
            expires: None,
            transit: None,
            text: bytes,
        })
    }

    /// The same, of any shape; says what is wrong with it.
    pub(super) fn parse_with_care(bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let text = utf8(&bytes)?;
        let object = Object::read(text)?;
        let Some((object, message)) = object
            .as_ref()
            .and_then(|object| Some((object, object.place("message")?)))
        else {
            check_bare(&bytes)?;
            let (id, priority) = own(object.as_ref());
            let (payload, priority) = (0..bytes.len(), priority.unwrap_or_default());
            let text = bytes;
            return Ok(Self {
                text,
                payload,
                bare: true,
                id,
                priority,
                attempts: 0,
                queued_at: None,
                not_before: None,
                lease: None,
                expires: None,
                transit: None,
            });
        };
        if let Some((name, place)) = object.twice(KNOWN) {
            return Err(Damage::new(
                place,
                format!("{name} stands twice in one envelope"),
            ));
        }
        let payload = Object::read(text.get(message.clone()).unwrap_or_default())?;
        let (own_id, own_priority) = own(payload.as_ref());
        let keys = Keys(object);
        let attempts = keys
            .get("attempts")
            .map_or(Ok(0), str::parse)
            .map_err(|_| keys.wrong("attempts", "is not a whole number from 0"))?;
        let lease = keys.get("lease").map(Lease::parse).transpose();
        let lease = lease.map_err(|rule| {
            Damage::new(object.place("lease").map_or(0, |place| place.start), rule)
        })?;
        keys.string("error")?;
        keys.time("last_attempt")?;
        let expires = keys.time("expires")?;
        let transit = keys.get("move").map(Transit::parse).transpose();
        let transit = transit.map_err(|rule| {
            Damage::new(object.place("move").map_or(0, |place| place.start), rule)
        })?;
        keys.string("from")?;
        let id = keys
            .name("id")?
            .filter(|id| !id.is_empty())
            .map(|id| Arc::from(&*id));
        let priority = keys
            .name("priority")?
            .map(|priority| Priority::of(&priority));
        let (queued_at, not_before) = (keys.time("queued_at")?, keys.time("not_before")?);
        Ok(Self {
            payload: message,
            bare: false,
            id: id.or(own_id),
            priority: priority.or(own_priority).unwrap_or_default(),
            attempts,
            queued_at,
            not_before,
            lease: lease.map(Box::new),
            expires,
            transit: transit.map(Box::new),
            text: bytes,
        })
    }

    /// A new envelope. Keys that say nothing new are left out.
    pub(crate) fn compose(fresh: &Fresh<'_>) -> Result<Self, Damage> {
        let payload = utf8(fresh.payload)?.trim();
        let (own_id, own_priority) = match outline::own(payload.as_bytes()) {
            Some(own) => (own.id.map(Arc::from), own.priority),
            None => own(Object::read(payload)?.as_ref()),
        };
        let mut text = String::with_capacity(payload.len() + 256);
        text.extend([HEAD, payload, ",\"attempts\":0,\"last_attempt\":\"", NEVER]);
        let queued_at = fresh.queued_at.to_string();
        text.extend(["\",\"queued_at\":\"", &queued_at, "\""]);
        let id: Option<Arc<str>> = match (fresh.id, &own_id) {
            (Some(id), Some(own)) if id == &**own => None,
            (Some(id), _) => Some(Arc::from(id)),
            (None, Some(_)) => None,
            (None, None) => Some(Arc::from((fresh.spare_id)())),
        };
        let mut add = |key: &str, value: &str| text.extend([",\"", key, "\":", value]);
        if let Some(id) = &id {
            add("id", &quoted(id));
        }
        let own_priority = own_priority.unwrap_or_default();
        let priority = fresh.priority.unwrap_or(own_priority);
        if priority != own_priority {
            add("priority", &quoted(priority.name()));
        }
        if let Some(not_before) = fresh.not_before {
            add("not_before", &quoted(&not_before.to_string()));
        }
        if let Some(expires) = fresh.expires {
            add("expires", &quoted(&expires.to_string()));
        }
        text.push('}');
        // What parsing the text would say: the tests compare them.
        let start = HEAD.len();
        Ok(Self {
            text: Arc::from(text.into_bytes()),
            payload: start..start + payload.len(),
            bare: false,
            id: id.or(own_id),
            priority,
            attempts: 0,
            queued_at: (!time::is_never(fresh.queued_at)).then_some(fresh.queued_at),
            not_before: fresh.not_before.filter(|time| !time::is_never(*time)),
            lease: None,
            expires: fresh.expires.filter(|time| !time::is_never(*time)),
            transit: None,
        })
    }

    /// The same element with some keys changed; every other byte stays (INV-3). A bare payload becomes the
    /// `message` of an envelope.
    pub(crate) fn edit(&self, edits: &[Edit<'_>]) -> Result<Self, Damage> {
        let text = utf8(&self.text)?;
        let (text, place) = if self.bare {
            let place = HEAD.len()..HEAD.len() + text.len();
            (Cow::Owned(format!("{HEAD}{text}}}")), place)
        } else {
            (Cow::Borrowed(text), self.payload.clone())
        };
        let object = Object::read_around(&text, &place)?;
        let values: Vec<_> = edits
            .iter()
            .map(|edit| (edit.key(), edit.value()))
            .collect();
        let edited = object.map(|object| object.edit_around(&values, &place));
        let (edited, start) = edited.unwrap_or_default();
        // What parsing the text would say: the tests compare them.
        let mut element = Self {
            payload: start..start + place.len(),
            bare: false,
            text: Arc::from(edited.into_bytes()),
            ..self.clone()
        };
        for edit in edits {
            element.learn(edit);
        }
        Ok(element)
    }

    /// What an edit changes in what is known.
    fn learn(&mut self, edit: &Edit<'_>) {
        let real = |time: &Option<Timestamp>| time.filter(|time| !time::is_never(*time));
        match edit {
            Edit::Attempts(attempts) => self.attempts = *attempts,
            Edit::NotBefore(at) => self.not_before = real(at),
            Edit::Expires(at) => self.expires = real(at),
            Edit::Lease(lease) => self.lease = lease.clone().map(Box::new),
            Edit::Id(id) => self.id = Some(Arc::from(*id)),
            Edit::Move(transit) => self.transit = transit.clone().map(Box::new),
            // Only people look at these.
            Edit::LastAttempt(_) | Edit::Error(_) | Edit::Errors(_) | Edit::From(_) => {}
        }
    }

    /// The edit that gives it back what this one takes; `None` for what is said of it for good.
    pub(crate) fn undoing(&self, edit: &Edit<'_>) -> Option<Edit<'static>> {
        Some(match edit {
            Edit::Attempts(_) => Edit::Attempts(self.attempts),
            Edit::NotBefore(_) => Edit::NotBefore(self.not_before),
            Edit::Expires(_) => Edit::Expires(self.expires),
            Edit::From(_) => Edit::From(self.texts().from.map(Cow::Owned)),
            Edit::LastAttempt(_)
            | Edit::Lease(_)
            | Edit::Id(_)
            | Edit::Error(_)
            | Edit::Errors(_)
            | Edit::Move(_) => return None,
        })
    }

    /// What an index keeps of it.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let lease = self.lease.as_ref();
        Facts {
            length: self.text.len(),
            payload: self.payload.clone(),
            id: self.id.as_deref().map(Cow::Borrowed),
            priority: self.priority,
            queued_at: self.queued_at,
            not_before: self.not_before,
            lease: lease.and_then(|lease| Some((lease.token, lease.held.clone()?))),
            in_transit: self.transit.is_some(),
        }
    }

    pub(crate) fn text(&self) -> &Arc<[u8]> {
        &self.text
    }

    /// What stands before the payload, and behind it.
    pub(crate) fn around(&self) -> (&[u8], &[u8]) {
        (
            self.text.get(..self.payload.start).unwrap_or_default(),
            self.text.get(self.payload.end..).unwrap_or_default(),
        )
    }

    pub(crate) fn payload(&self) -> &[u8] {
        self.text.get(self.payload.clone()).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> Option<&Arc<str>> {
        self.id.as_ref()
    }

    pub(crate) fn priority(&self) -> Priority {
        self.priority
    }

    pub(crate) fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Before when it is delivered to nobody.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// When its time to live is over.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The move that it is in.
    pub(crate) fn transit(&self) -> Option<&Transit> {
        self.transit.as_deref()
    }

    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_deref()
    }

    /// Whether it has the marks of an envelope that was sent, and not only a key that happens to have its name.
    pub(crate) fn is_marked(&self) -> bool {
        let object = utf8(&self.text).and_then(Object::read).ok().flatten();
        let has = |name: &str| {
            object
                .as_ref()
                .is_some_and(|object| object.get(name).is_some())
        };
        !self.bare && (has("attempts") || has("queued_at"))
    }

    /// Reads what is not kept, because only people look at it.
    pub(crate) fn texts(&self) -> Texts {
        let object = utf8(&self.text).and_then(Object::read).ok().flatten();
        let Some(object) = object.filter(|_| !self.bare) else {
            return Texts::default();
        };
        let keys = Keys(&object);
        let read = |name: &str| keys.string(name).ok().flatten().map(Cow::into_owned);
        let time = |name: &str| keys.time(name).ok().flatten().and_then(|_| read(name));
        Texts {
            from: read("from"),
            errors: keys.get("errors").map(str::to_owned),
            error: read("error"),
            queued_at: time("queued_at"),
            last_attempt: time("last_attempt"),
            not_before: time("not_before"),
        }
    }
}

/// What a payload says of itself: its string `id` and `priority`. Anything else there is not flockq's business.
fn own(payload: Option<&Object<'_>>) -> (Option<Arc<str>>, Option<Priority>) {
    let read = |name: &str| string(payload?.get(name)?);
    let id = read("id")
        .filter(|id| !id.is_empty())
        .map(|id| Arc::from(&*id));
    (id, read("priority").map(|priority| Priority::of(&priority)))
}

fn utf8(bytes: &[u8]) -> Result<&str, Damage> {
    std::str::from_utf8(bytes).map_err(|error| Damage::new(error.valid_up_to(), "it is not UTF-8"))
}

mod rewrite;
#[cfg(test)]
mod tests;
