//! Waiting in memory, for schedules: pages and watches that a file system in memory has, and nothing that a clock would heal.
//! A sleep on a page ends after a few turns, as the real one does after a few milliseconds; a watch waits for ever, so that
//! a signal that was lost is a deadlock.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use shuttle::sync::atomic::AtomicBool;
use shuttle::sync::{Condvar, Mutex};
use shuttle::thread::yield_now;

use crate::store::sleepers::WORDS;
use crate::store::{Page, Waker, Watch, Watched, Woken};

/// So many turns a sleep on a page lasts.
const TURNS: usize = 40;

/// How many sleeps on pages there were, and how many of them nobody ended.
pub(crate) static SLEEPS: AtomicUsize = AtomicUsize::new(0);
pub(crate) static OVERSLEPT: AtomicUsize = AtomicUsize::new(0);

/// What one file system has of it.
#[derive(Default)]
pub(super) struct Waiting {
    pages: HashMap<String, Arc<MemoryPage>>,
    watches: Vec<(Watched, Weak<Events>)>,
}

impl Waiting {
    pub(super) fn page(&mut self, path: &str) -> Arc<dyn Page> {
        let page = self.pages.entry(path.to_owned()).or_default();
        Arc::clone(page) as Arc<dyn Page>
    }

    pub(super) fn watch(&mut self, what: &Watched) -> Box<dyn Watch> {
        let events = Arc::new(Events::default());
        self.watches.push((what.clone(), Arc::downgrade(&events)));
        Box::new(MemoryWatch(events))
    }

    /// Who is to be told that a name leads to another file, or to none.
    pub(super) fn replaced(&self, name: &str) -> Vec<(Arc<Events>, Woken)> {
        self.who(|what| (what.snapshot == name || what.journal == name).then_some(Woken::Changed))
    }

    /// Who is to be told that a file was written.
    pub(super) fn written(&self, name: &str) -> Vec<(Arc<Events>, Woken)> {
        self.who(|what| match &what.slot {
            Some(slot) => (slot == name).then_some(Woken::Chosen),
            None => (what.journal == name).then_some(Woken::Changed),
        })
    }

    fn who(&self, tell: impl Fn(&Watched) -> Option<Woken>) -> Vec<(Arc<Events>, Woken)> {
        let told =
            |(what, events): &(Watched, Weak<Events>)| Some((events.upgrade()?, tell(what)?));
        self.watches.iter().filter_map(told).collect()
    }
}

/// Tells them, with nothing locked.
pub(super) fn tell(watches: &[(Arc<Events>, Woken)]) {
    watches
        .iter()
        .for_each(|(events, woken)| events.tell(*woken));
}

/// The events of one watch.
#[derive(Debug, Default)]
pub(super) struct Events {
    state: Mutex<Happened>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Happened {
    woken: Option<Woken>,
    rung: bool,
}

impl Events {
    fn tell(&self, woken: Woken) {
        let mut state = self.state.lock().unwrap();
        if state.woken != Some(Woken::Chosen) {
            state.woken = Some(woken);
        }
        self.changed.notify_all();
    }
}

impl Waker for Events {
    fn ring(&self) {
        self.state.lock().unwrap().rung = true;
        self.changed.notify_all();
    }
}

#[derive(Debug)]
struct MemoryWatch(Arc<Events>);

impl Watch for MemoryWatch {
    fn drain(&mut self) {
        *self.0.state.lock().unwrap() = Happened::default();
    }

    fn wait(&mut self, _timeout: Duration) -> io::Result<Woken> {
        let mut state = self.0.state.lock().unwrap();
        loop {
            if std::mem::take(&mut state.rung) {
                return Ok(Woken::Rung);
            }
            if let Some(woken) = state.woken.take() {
                return Ok(woken);
            }
            state = self.0.changed.wait(state).unwrap();
        }
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.0) as Arc<dyn Waker>
    }
}

#[derive(Debug)]
struct MemoryPage(Mutex<Words>);

#[derive(Debug)]
struct Words {
    words: [u64; WORDS],
    sleepers: Vec<Arc<AtomicBool>>,
}

impl Default for MemoryPage {
    fn default() -> Self {
        Self(Mutex::new(Words {
            words: [0; WORDS],
            sleepers: Vec::new(),
        }))
    }
}

impl Page for MemoryPage {
    fn read(&self, words: &mut [u64]) -> io::Result<()> {
        words.copy_from_slice(&self.0.lock().unwrap().words[..words.len()]);
        Ok(())
    }

    fn write(&self, word: usize, value: u64) -> io::Result<()> {
        self.0.lock().unwrap().words[word] = value;
        Ok(())
    }

    fn wait(&self, seen: u64, _timeout: Duration) -> io::Result<()> {
        let woken = Arc::new(AtomicBool::new(false));
        let mut page = self.0.lock().unwrap();
        if page.words[0] != seen {
            return Ok(());
        }
        page.sleepers.push(Arc::clone(&woken));
        drop(page);
        SLEEPS.fetch_add(1, Ordering::Relaxed);
        for _ in 0..TURNS {
            if woken.load(Ordering::SeqCst) {
                return Ok(());
            }
            yield_now();
        }
        let mut page = self.0.lock().unwrap();
        page.sleepers
            .retain(|sleeper| !Arc::ptr_eq(sleeper, &woken));
        if !woken.load(Ordering::SeqCst) {
            OVERSLEPT.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn wake_one(&self) -> io::Result<u32> {
        let mut page = self.0.lock().unwrap();
        if page.sleepers.is_empty() {
            return Ok(0);
        }
        page.sleepers.remove(0).store(true, Ordering::SeqCst);
        Ok(1)
    }
}
