//! What can still be read of a damaged journalled queue, message by message.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::foreign::WRITTEN;
use crate::error::{Error, Result};
use crate::format::envelope::Element;
use crate::format::frame::{self, Frame, Kind};
use crate::format::journal::{self, Base, Record, Switch};
use crate::format::name::QueueName;
use crate::format::{json, salvage};
use crate::index::merge::{Numbered, added};
use crate::store::{Open, Store};

/// What was saved, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    pub(crate) array: Vec<Arc<[u8]>>,
    pub(crate) lost: Vec<Lost>,
    /// The generation that was found.
    pub(crate) generation: u64,
    /// How often another program had replaced the snapshot, as far as a journal says it.
    pub(crate) replaced: u64,
}

/// Something that could not be read, and where.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    pub(crate) rule: String,
}

/// Reads what is whole of a snapshot alone.
pub(crate) fn snapshot(store: &dyn Store, name: &QueueName) -> Result<Salvage> {
    let path = store.root().join(name.snapshot());
    let mut saved = Salvage::default();
    if let Some(bytes) = read(store, &name.snapshot())? {
        saved.take_array(&path, &bytes);
    }
    Ok(saved)
}

/// Reads what is whole of a snapshot and its journal.
pub(crate) fn journalled(store: &dyn Store, name: &QueueName) -> Result<Salvage> {
    let journal_path = store.root().join(name.journal());
    let Some(bytes) = read(store, &name.journal())? else {
        let mut saved = snapshot(store, name)?;
        let rule = "it is not there: what was committed since the snapshot is lost";
        saved.lose(&journal_path, 0, rule.to_owned());
        return Ok(saved);
    };
    let mut saved = Salvage::default();
    let frames = of_one_generation(&bytes);
    saved.tell_gaps(&journal_path, &frames, bytes.len());
    let bases = bases(&bytes, &frames);
    let counted = bases.iter().map(|(base, _)| base.replaced);
    saved.replaced = counted.max().unwrap_or_default();
    let numbered = numbered(store, name, &bases)?;
    let from = numbered.as_ref().map_or(0, |found| found.from);
    saved.generation = numbered.as_ref().map_or(0, |found| found.generation);
    let known = numbered.as_ref().map(|found| found.known.clone());
    let mut known = known.unwrap_or_default();
    for (at, frame) in frames.iter().filter(|(at, _)| *at as u64 >= from) {
        if frame.header.kind == Kind::Commit {
            let body = bytes.get(frame.body.clone()).unwrap_or_default();
            if let Err(rule) = apply(body, &mut known) {
                saved.lose(&journal_path, *at as u64, rule);
            }
        }
    }
    let path = store.root().join(name.snapshot());
    match &numbered {
        Some(found) if found.is_at_path => {}
        // What is there was put there by another program, or by a repair that was cut short.
        Some(found) => {
            let bytes = read(store, &name.snapshot())?.unwrap_or_default();
            let theirs = added(salvage::array(&bytes).elements, &found.known, &known);
            if !theirs.is_empty() {
                let rule = format!(
                    "another program has replaced it: {} messages that only it has were saved, and those that it has taken out may come again",
                    theirs.len()
                );
                saved.lose(&path, 0, rule);
                saved.take(&theirs);
            }
        }
        None => {
            let found = snapshot(store, name)?;
            saved.array = found.array;
            saved.lost.extend(found.lost);
            let rule = "it is not the snapshot that the journal builds on: what was done with its messages since is not known";
            saved.lose(&path, 0, rule.to_owned());
        }
    }
    let known: Vec<Element> = known.into_values().collect();
    saved.take(&known);
    Ok(saved)
}

impl Salvage {
    fn lose(&mut self, path: &Path, offset: u64, rule: String) {
        let path = path.to_owned();
        self.lost.push(Lost { path, offset, rule });
    }

    fn take(&mut self, elements: &[Element]) {
        let texts = elements.iter().map(|element| Arc::clone(element.text()));
        self.array.extend(texts);
    }

    fn take_array(&mut self, path: &Path, bytes: &[u8]) {
        let found = salvage::array(bytes);
        self.take(&found.elements);
        for (range, rule) in found.lost {
            let rule = format!("{} bytes: {rule}", range.len());
            self.lose(path, range.start as u64, rule);
        }
    }

    /// Tells where frames are missing.
    fn tell_gaps(&mut self, path: &Path, frames: &[(usize, Frame)], length: usize) {
        let (mut number, mut end) = (0, 0);
        for (at, frame) in frames {
            if frame.header.number != number || *at != end {
                let missing = frame.header.number.saturating_sub(number);
                let rule = format!("{missing} commits are damaged: what they changed is lost");
                self.lose(path, end as u64, rule);
            }
            (number, end) = (frame.header.number + 1, frame.body.end);
        }
        if end < length {
            let rule = "what stands behind the last frame is none: a commit that was not finished, or is lost";
            self.lose(path, end as u64, rule.to_owned());
        }
    }
}

fn read(store: &dyn Store, name: &str) -> Result<Option<Vec<u8>>> {
    let read = store
        .open(name, Open::Read)
        .and_then(|file| file.read_all());
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", store.root().join(name), error)),
    }
}

/// The frames that are whole, of the generation that most of them belong to, in their order.
fn of_one_generation(bytes: &[u8]) -> Vec<(usize, Frame)> {
    let mut frames = frame::all_whole(bytes);
    let mut salts: BTreeMap<u64, usize> = BTreeMap::new();
    for (_, frame) in &frames {
        *salts.entry(frame.header.salt).or_default() += 1;
    }
    let most = salts.into_iter().max_by_key(|(_, count)| *count);
    frames.retain(|(_, frame)| most.is_some_and(|(salt, _)| frame.header.salt == salt));
    let mut number = None;
    frames.retain(|(_, frame)| {
        let follows = number.is_none_or(|number| frame.header.number > number);
        if follows {
            number = Some(frame.header.number);
        }
        follows
    });
    frames
}

/// What the journal says that it and those after it build on, and where in it the commits begin that are not in that.
fn bases(bytes: &[u8], frames: &[(usize, Frame)]) -> Vec<(Base, u64)> {
    let mut bases = Vec::new();
    for (_, frame) in frames {
        let body = bytes.get(frame.body.clone()).unwrap_or_default();
        match frame.header.kind {
            Kind::Base => bases.extend(journal::read_object(body).ok().map(|base| (base, 0))),
            Kind::Switch => {
                let switch: Option<Switch> = journal::read_object(body).ok();
                bases.extend(switch.map(|switch| (switch.base, switch.from)));
            }
            Kind::Commit | Kind::Poison | Kind::Notice => {}
        }
    }
    bases
}

/// A snapshot that the journal names.
struct Found {
    /// Its elements.
    known: Numbered,
    /// Where in the journal it goes on from there.
    from: u64,
    generation: u64,
    /// Whether it is the queue's file, and not a version of it that was kept.
    is_at_path: bool,
}

/// The snapshot that the journal names, if it is to be found: it may have been kept when a repair that was cut short had put
/// another one in its place.
fn numbered(store: &dyn Store, name: &QueueName, bases: &[(Base, u64)]) -> Result<Option<Found>> {
    let at_path = name.snapshot();
    let mut files = vec![at_path.clone(), format!("{WRITTEN}/{at_path}")];
    let kept = store.list("");
    let kept = kept.map_err(|error| Error::io("read the directory", store.root(), error))?;
    let kept = kept.into_iter().filter(|file| {
        let number = file.strip_prefix(&at_path);
        number.is_some_and(|number| number.starts_with(".damaged-"))
    });
    files.extend(kept);
    for file in files {
        let Some(snapshot) = read(store, &file)? else {
            continue;
        };
        let binding = journal::binding(&snapshot);
        // The last one: what was folded later is in it too.
        let base = bases
            .iter()
            .rev()
            .find(|(base, _)| base.snapshot.is(&binding));
        let Some((base, from)) = base else { continue };
        let spans = json::elements(&snapshot).unwrap_or_default();
        let numbers = base.numbers.iter().cloned().flatten();
        let element = |span: std::ops::Range<usize>| {
            Element::parse(Arc::from(snapshot.get(span).unwrap_or_default())).ok()
        };
        let known = numbers
            .zip(spans)
            .filter_map(|(seq, span)| Some((seq, element(span)?)));
        return Ok(Some(Found {
            known: known.collect(),
            from: *from,
            generation: base.generation,
            is_at_path: file == at_path,
        }));
    }
    Ok(None)
}

/// Applies the records of one commit as far as their messages are known.
fn apply(body: &[u8], known: &mut Numbered) -> std::result::Result<(), String> {
    let (totals, records) = journal::read_commit(body).map_err(|damage| damage.rule)?;
    let is_new = |record: &&Record<'_>| matches!(record, Record::Append(_));
    let new = records.iter().filter(is_new).count() as u64;
    let mut next = totals.next.saturating_sub(new);
    for record in records {
        let (number, text) = match record {
            Record::Append(text) => {
                next += 1;
                (next - 1, text.to_vec())
            }
            Record::Envelope { number, head, tail } => match known.get(&number) {
                Some(element) => (number, [head, element.payload(), tail].concat()),
                // Its payload is in a part that is lost.
                None => continue,
            },
            Record::Replace { number, text } => (number, text.to_vec()),
            Record::Remove(number) => {
                known.remove(&number);
                continue;
            }
            // What is known of messages that are gone begins anew.
            Record::Count(_) | Record::Remember { .. } => continue,
        };
        json::check_element(&text).map_err(|damage| damage.rule)?;
        let element = Element::parse(Arc::from(text)).map_err(|damage| damage.rule)?;
        known.insert(number, element);
    }
    Ok(())
}
