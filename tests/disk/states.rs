//! What a power cut can leave of what a disk was told: everything up to some flush, and of what came after it anything.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::chance::Chance;
use super::image;
use super::log::Entry;

const SECTOR: usize = 512;

#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Just behind a flush.
    Boundary,
    /// All writes up to some moment.
    Prefix,
    /// Some of the writes since the last flush.
    Subset,
    /// Some of them, and of some only some sectors.
    Torn,
}

/// A moment in a log, and what is left then.
#[derive(Clone, Copy, Debug)]
pub struct State {
    pub at: usize,
    pub how: How,
    seed: u64,
}

impl State {
    pub fn choose(entries: &[Entry], chance: &mut Chance) -> Self {
        Self::since(entries, 0, chance)
    }

    /// One that is no earlier than this.
    pub fn since(entries: &[Entry], from: usize, chance: &mut Chance) -> Self {
        let how = [How::Boundary, How::Prefix, How::Subset, How::Torn][chance.below(4)];
        let mut at = from + chance.below(entries.len() + 1 - from);
        if matches!(how, How::Boundary) {
            let flushes = |entry: &Entry| matches!(entry, Entry::Flush);
            let next = entries[at..].iter().position(flushes);
            at = next.map_or(entries.len(), |place| at + place + 1);
        }
        Self {
            at,
            how,
            seed: chance.next(),
        }
    }

    /// The end of the log, for which nothing that came after the last flush is certain.
    pub fn end(entries: &[Entry], chance: &mut Chance) -> Self {
        Self {
            at: entries.len(),
            how: [How::Prefix, How::Subset, How::Torn][chance.below(3)],
            seed: chance.next(),
        }
    }

    /// Makes the image: the one that the log began with, and what is left.
    pub fn write(&self, entries: &[Entry], from: &Path, to: &Path) -> Result<(), String> {
        image::copy(from, to)?;
        let file = File::options().write(true).open(to);
        let file = file.map_err(|error| error.to_string())?;
        let mut chance = Chance::new(self.seed);
        let entries = &entries[..self.at];
        let flushed = entries
            .iter()
            .rposition(|entry| matches!(entry, Entry::Flush));
        for (place, entry) in entries.iter().enumerate() {
            let Entry::Write { offset, bytes } = entry else {
                continue;
            };
            let is_certain = flushed.is_some_and(|flushed| place < flushed);
            let is_kept = match self.how {
                _ if is_certain => true,
                How::Boundary | How::Prefix => true,
                How::Subset | How::Torn => chance.percent(50),
            };
            if !is_kept {
                continue;
            }
            let is_torn = matches!(self.how, How::Torn) && !is_certain && is_data(bytes);
            let done = if is_torn && chance.percent(50) {
                tear(&file, *offset, bytes, &mut chance)
            } else {
                file.write_all_at(bytes, *offset)
            };
            done.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Writes some of the sectors: the first ones, or any.
fn tear(file: &File, offset: u64, bytes: &[u8], chance: &mut Chance) -> std::io::Result<()> {
    let count = bytes.len().div_ceil(SECTOR);
    let first = chance.percent(50).then(|| chance.below(count));
    for (place, sector) in bytes.chunks(SECTOR).enumerate() {
        if first.map_or_else(|| chance.percent(50), |first| place < first) {
            file.write_all_at(sector, offset + u64::try_from(place * SECTOR).unwrap())?;
        }
    }
    Ok(())
}

/// Whether a write is of a file, and not of the file system, which counts on its blocks being whole: queue files are text.
fn is_data(bytes: &[u8]) -> bool {
    let mut start = bytes.iter().take(128);
    start.all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n'))
}
