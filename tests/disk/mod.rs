//! A disk that writes down what it is told to keep. A file of a file system in user space backs a loop device; each write and
//! each flush that reaches it is in a log, so that afterwards every disk can be made that a power cut could have left.
//!
//! The test process never touches what is mounted on a recorded disk: one of its threads is that disk, and a process that
//! waited for itself could not even be killed. Workers are processes of their own, and so are `mount` and `umount`.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "shared by the tests of this binary")]
#![allow(clippy::disallowed_methods, reason = "tests touch files directly")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

pub mod chance;
pub mod failure;
pub mod image;
pub mod ledger;
pub mod load;
pub mod log;
pub mod recorder;
pub mod recording;
pub mod spool;
pub mod states;

use std::path::{Path, PathBuf};
use std::process::Command;

use image::FileSystem;

use crate::support;

/// Runs a tool; what it said if it failed.
pub fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let told = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if told.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&told.stderr).trim()
        ))
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn finds(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), "/sbin".into()]);
    places.into_iter().any(|place| place.join(program).exists())
}

fn knows(kernel_name: &str) -> bool {
    let is_known = || {
        let known = support::read(Path::new("/proc/filesystems"));
        known.split_whitespace().any(|word| word == kernel_name)
    };
    // A module may not be loaded yet.
    is_known() || (run("modprobe", &[kernel_name]).is_ok() && is_known())
}

/// What is missing for tests on disks of this kind, with how to get it.
fn missing(file_system: FileSystem, tools: &[(&'static str, &'static str)]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root mounts file systems".to_owned());
    }
    for device in ["/dev/fuse", "/dev/loop-control"] {
        if std::fs::File::open(device).is_err() {
            return Some(format!("{device} cannot be opened (modprobe fuse loop)"));
        }
    }
    let own = file_system.tool();
    for (tool, package) in tools.iter().chain([&own]) {
        if !finds(tool) {
            return Some(format!("{tool} is missing (apt-get install {package})"));
        }
    }
    let name = file_system.kernel_name();
    (!knows(name)).then(|| format!("this kernel has no {name}"))
}

/// Whether a test can run here; says loudly if not, or fails where everything is required.
pub fn can(file_system: FileSystem, tools: &[(&'static str, &'static str)]) -> bool {
    let Some(missing) = missing(file_system, tools) else {
        return true;
    };
    support::left_out(&format!("{file_system:?}: {missing}"));
    false
}
