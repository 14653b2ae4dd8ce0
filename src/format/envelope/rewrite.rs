//! Another payload, priority or time for a message that is there already.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Edit, Element, HEAD, own, utf8};
use crate::format::Damage;
use crate::format::object::{NewValue, Object, quoted};
use crate::format::priority::Priority;

/// What a message is to be from now on; what is not named stays. Its id stays in any case.
#[derive(Debug, Default)]
pub(crate) struct Rewrite<'a> {
    /// It has been checked.
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) priority: Option<Priority>,
    /// Other times.
    pub(crate) times: Vec<Edit<'a>>,
}

impl Rewrite<'_> {
    pub(crate) fn is_nothing(&self) -> bool {
        self.is_around() && self.times.is_empty()
    }

    /// Whether payload and priority stay: then it is another envelope around the same payload.
    pub(crate) fn is_around(&self) -> bool {
        self.payload.is_none() && self.priority.is_none()
    }
}

impl Element {
    /// The same message with what is named changed; every other byte of its envelope stays (INV-3). A bare payload becomes
    /// the `message` of an envelope.
    pub(crate) fn rewrite(&self, rewrite: &Rewrite<'_>) -> Result<Self, Damage> {
        let text = utf8(&self.text)?;
        let text = if self.bare {
            Cow::Owned(format!("{HEAD}{text}}}"))
        } else {
            Cow::Borrowed(text)
        };
        let payload = utf8(rewrite.payload.unwrap_or(self.payload()))?.trim();
        let mut values: Vec<NewValue<'_>> = Vec::new();
        if rewrite.payload.is_some() {
            values.push(("message", Some(payload.to_owned())));
        }
        if let Some(priority) = rewrite.priority {
            let (_, own) = own(Object::read(payload)?.as_ref());
            let is_own = priority == own.unwrap_or_default();
            values.push(("priority", (!is_own).then(|| quoted(priority.name()))));
        }
        let times = rewrite.times.iter();
        values.extend(times.map(|edit| (edit.key(), edit.value())));
        if self.bare && values.iter().all(|(_, value)| value.is_none()) {
            // Nothing is to be recorded.
            return Ok(self.clone());
        }
        let edited = Object::read(&text)?.map(|object| object.edit(&values));
        let edited = Self::parse(Arc::from(edited.unwrap_or_default().into_bytes()))?;
        match &self.id {
            // The other payload says something else of itself, or nothing.
            Some(id) if edited.id.as_ref() != Some(id) => edited.edit(&[Edit::Id(id)]),
            _ => Ok(edited),
        }
    }
}
