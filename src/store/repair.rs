//! Every rule of `docs/format.md` asked of a queue's files; and a sound queue made of what is whole in damaged ones.

use std::io;
use std::path::Path;

use super::files::{Need, look};
use super::journal::Journal;
use super::journal::salvage::{self, Salvage};
use super::lock::Hold;
use super::plain::{Plain, new_attributes, replace_snapshot};
use super::{Attributes, Open, Store};
use crate::check::{Finding, Report};
use crate::config::{Config, Mode};
use crate::error::{Error, ErrorKind, Result};
use crate::format::json::check_element;
use crate::format::name::QueueName;
use crate::index::change::Image;
use crate::index::{Index, Standing, text::Text};
use crate::store::files::Files;

/// Under the shared lock at least.
pub(crate) fn check(store: &dyn Store, name: &QueueName) -> Result<Report> {
    let mode = mode(store, name)?;
    let mut report = Report {
        queue: name.to_string(),
        mode,
        messages: 0,
        replaced: 0,
        damage: Vec::new(),
        notes: Vec::new(),
        kept: Vec::new(),
    };
    let mut files = Files::new();
    if let Err(error) = files.refresh(store, name, Need::Index).map(drop) {
        if error.errno() == Some(libc::EMLINK) {
            // Nobody writes to it before it is replaced.
            let rule = "it has a second name: somebody has linked it, or a repair was cut short";
            let path = error.path().map(Path::to_owned).unwrap_or_default();
            report.damage.push(Finding::new(path, None, rule));
        } else if !files.is_replaced() {
            report.damage.push(Finding::of(error)?);
        } else if let Err(error) = Plain::open(store, name).map(drop) {
            report.damage.push(Finding::of(error)?);
        } else if let Err(error) = Journal::can_be_mended(store, name) {
            report.damage.push(Finding::of(error)?);
        } else {
            let note = "another program has replaced the file; the next change makes it a part of the queue";
            report.notes.push(note.to_owned());
        }
        return Ok(report);
    }
    report.messages = files.index().len() as u64;
    if let Some(journal) = files.journal() {
        report.replaced = journal.replaced();
        report.notes.extend(journal.notes());
    }
    if files.is_unrecorded() && look(store, &name.journal())?.is_some() {
        let note = "flockq.json does not say yet that the queue has a journal; the next change puts it on record";
        report.notes.push(note.to_owned());
    }
    check_elements(store, name, files.index(), &mut report)?;
    Ok(report)
}

/// What reading a journal takes for granted because flockq wrote it: that the elements are JSON.
fn check_elements(
    store: &dyn Store,
    name: &QueueName,
    index: &Index,
    report: &mut Report,
) -> Result<()> {
    let path = store.root().join(name.snapshot());
    for Standing { seq, text, .. } in index.in_order() {
        let Text::There(_) = text else { continue };
        let sound = match index.element_of(seq) {
            Ok(element) => check_element(element.text()).map_err(|damage| {
                let rule = format!("element {seq}, byte {}: {}", damage.offset, damage.rule);
                Finding::new(&path, None, rule)
            }),
            Err(error) => Err(Finding::of(error)?),
        };
        report.damage.extend(sound.err());
    }
    Ok(())
}

fn mode(store: &dyn Store, name: &QueueName) -> Result<Mode> {
    let config = Config::load(store)?;
    let has = |file: &str| Ok::<bool, Error>(look(store, file)?.is_some());
    Ok(match config.mode(name.as_str()) {
        Some(mode) => mode,
        None if has(&name.journal())? => Mode::Journal,
        None if has(&name.snapshot())? => Mode::Plain,
        None => config.mode_of_new(),
    })
}

/// Whether a plain queue has a journal in which something may be: a conversion was cut short, and somebody did not know of it.
fn has_commits(store: &dyn Store, name: &QueueName) -> Result<bool> {
    let has_journal = look(store, &name.journal())?.is_some();
    Ok(has_journal && !matches!(Journal::is_left_over(store, name), Ok(true)))
}

/// Under the exclusive lock and the guard.
pub(crate) fn repair(store: &dyn Store, name: &QueueName, hold: &Hold) -> Result<Report> {
    let mut report = check(store, name)?;
    if report.is_sound() {
        return Ok(report);
    }
    let saved = if report.mode == Mode::Journal || has_commits(store, name)? {
        salvage::journalled(store, name)?
    } else {
        salvage::snapshot(store, name)?
    };
    if !hold.is_current()? {
        let text = "another program removed the lock file during the repair; nothing was changed, try again";
        return Err(Error::new(ErrorKind::Interrupted, text));
    }
    for file in [name.snapshot(), name.journal()] {
        report
            .kept
            .extend(keep(store, &file)?.map(|kept| store.root().join(kept)));
    }
    write(store, name, report.mode, hold.lock_file()?, &saved)?;
    report.messages = saved.array.len() as u64;
    let lost = saved.lost.into_iter();
    report.damage = lost
        .map(|lost| Finding::new(lost.path, Some(lost.offset), lost.rule))
        .collect();
    Ok(report)
}

/// Writes a sound queue over the damaged files, which have been kept.
fn write(
    store: &dyn Store,
    name: &QueueName,
    mode: Mode,
    lock: u64,
    saved: &Salvage,
) -> Result<()> {
    let attributes = attributes(store, name)?;
    let mut image = Image::new(saved.array.iter().map(|text| text.len() + 4).sum());
    for text in &saved.array {
        image.push(text);
    }
    let image = image.end();
    replace_snapshot(store, name, &attributes, &image)?;
    match mode {
        Mode::Journal => {
            let counts = (saved.generation + 1, saved.replaced);
            Journal::restart(store, name, lock, &attributes, &image, counts)
        }
        // What was in one is in the array.
        Mode::Plain if look(store, &name.journal())?.is_some() => Journal::remove(store, name),
        Mode::Plain => Ok(()),
    }
}

fn attributes(store: &dyn Store, name: &QueueName) -> Result<Attributes> {
    for file in [name.snapshot(), name.journal()] {
        let found = store
            .open(&file, Open::Read)
            .and_then(|file| file.attributes());
        if let Ok(found) = found {
            return Ok(found);
        }
    }
    new_attributes(store, None)
}

/// Gives a file a second name, `FILE.damaged-N`; `None` when there is no file.
fn keep(store: &dyn Store, file: &str) -> Result<Option<String>> {
    let mut number = 1;
    loop {
        let kept = format!("{file}.damaged-{number}");
        match store.link(file, &kept) {
            Ok(()) => {
                // Makes the second name durable before the first one stands for something else.
                let synced = store.sync_directory("");
                synced.map_err(|error| {
                    Error::io("sync the directory of", store.root().join(&kept), error)
                })?;
                return Ok(Some(kept));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => {
                let path = store.root().join(file);
                return Err(Error::io("keep a second name of", path, error));
            }
        }
    }
}
