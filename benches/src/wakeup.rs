//! How long a receiver in another process that waits needs to have a message, from the moment the send returned; beside a
//! bare hand-over by a futex.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::futex;
use rustix::time::{ClockId, clock_gettime};

use crate::contenders::{Contender, Flockq};
use crate::payload;

/// What the argument of the process that waits begins with.
pub const SLEEPER: &str = "sleeper";
const TIMES: usize = 1000;

/// The time on a clock that both processes share, in nanoseconds.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// A word that both processes see.
fn word(directory: &Path) -> &'static AtomicU32 {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(directory.join("word")).expect("a file");
    file.set_len(4096).expect("a page");
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, which stays until the process ends, of a file that nobody makes shorter.
    unsafe {
        let page = rustix::mm::mmap(
            ptr::null_mut(),
            4096,
            protection,
            MapFlags::SHARED,
            &file,
            0,
        );
        &*page.expect("a mapping").cast()
    }
}

/// The median and the 99th percentile in microseconds, of flockq and of the futex.
pub fn measure() -> [(&'static str, [f64; 2]); 2] {
    [("Flockq", of("flockq")), ("Futex", of("futex"))]
}

fn of(what: &str) -> [f64; 2] {
    let directory =
        tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory of its own");
    let mut queue = Flockq::new(directory.path(), "journal", false);
    let word = word(directory.path());
    let mut sleeper = Command::new(std::env::current_exe().expect("this program"))
        .args([SLEEPER, what])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut woken = BufReader::new(sleeper.stdout.take().expect("an output")).lines();
    let mut times: Vec<i64> = Vec::new();
    for number in 0..TIMES {
        // Until it sleeps.
        std::thread::sleep(Duration::from_millis(2));
        if what == "flockq" {
            queue.send(&payload(number));
        } else {
            word.fetch_add(1, Ordering::SeqCst);
            futex::wake(word, futex::Flags::empty(), 1).expect("woken");
        }
        let returned = now();
        let had = woken.next().expect("a line").expect("a line");
        times.push((had.parse::<i64>().expect("a time") - returned).max(0));
    }
    sleeper.wait().expect("an end");
    times.sort_unstable();
    [TIMES / 2, TIMES * 99 / 100].map(|place| times[place] as f64 / 1000.0)
}

/// What the process that waits does.
pub fn sleep(arguments: &[String]) {
    let [what, directory] = arguments else {
        panic!("a sleeper has two arguments")
    };
    let directory = Path::new(directory);
    let mut queue = Flockq::new(directory, "journal", false);
    let word = word(directory);
    let mut output = std::io::stdout();
    for number in 0..TIMES {
        let had = if what == "flockq" {
            queue.wait_and_ack_at(now)
        } else {
            let seen = u32::try_from(number).expect("a small number");
            while word.load(Ordering::SeqCst) == seen {
                let _ = futex::wait(word, futex::Flags::empty(), seen, None);
            }
            now()
        };
        writeln!(output, "{had}").expect("told");
    }
}
