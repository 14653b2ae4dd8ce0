//! File systems in image files: made, copied, mounted.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{run, text};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileSystem {
    Ext4,
    /// Blocks are chosen when bytes are written, and not when they are flushed: other orders of writes.
    Ext4Nodelalloc,
    Xfs,
    Btrfs,
}

const MIB: u64 = 1 << 20;

impl FileSystem {
    pub fn kernel_name(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Ext4Nodelalloc => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// What makes one, and the package that has it.
    pub fn tool(self) -> (&'static str, &'static str) {
        match self {
            Self::Ext4 | Self::Ext4Nodelalloc => ("mkfs.ext4", "e2fsprogs"),
            Self::Xfs => ("mkfs.xfs", "xfsprogs"),
            Self::Btrfs => ("mkfs.btrfs", "btrfs-progs"),
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Btrfs => "loop",
            Self::Ext4Nodelalloc => "loop,nodelalloc",
            // Two images may be copies of the same one.
            Self::Xfs => "loop,nouuid",
        }
    }

    /// Makes a small image with as little in it as can be.
    pub fn make(self, path: &Path) -> Result<(), String> {
        let whole = path.with_extension("whole");
        let (size, arguments): (u64, &[&str]) = match self {
            Self::Ext4 | Self::Ext4Nodelalloc => (
                64 * MIB,
                &[
                    "-q",
                    "-F",
                    "-E",
                    "lazy_itable_init=0,lazy_journal_init=0",
                    text(&whole),
                ],
            ),
            Self::Xfs => (320 * MIB, &["-q", "-f", text(&whole)]),
            Self::Btrfs => (128 * MIB, &["-q", "-f", text(&whole)]),
        };
        let file = File::create(&whole).map_err(|error| error.to_string())?;
        file.set_len(size).map_err(|error| error.to_string())?;
        drop(file);
        run(self.tool().0, arguments)?;
        // A log of zeros is written out; copied so it takes no space.
        copy(&whole, path)?;
        std::fs::remove_file(&whole).map_err(|error| error.to_string())
    }
}

/// A copy that leaves holes where there are zeros.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    run("cp", &["--sparse=always", text(from), text(to)])
}

/// A file system that is mounted until this is dropped. The loop device goes with it.
pub struct Mounted {
    place: PathBuf,
    device: PathBuf,
}

impl Mounted {
    pub fn mount(file_system: FileSystem, device: &Path, place: &Path) -> Result<Self, String> {
        let _ = std::fs::create_dir(place);
        let mount = || {
            let name = file_system.kernel_name();
            let options = file_system.options();
            run(
                "mount",
                &["-t", name, "-o", options, text(device), text(place)],
            )
        };
        mount().or_else(|error| {
            if file_system != FileSystem::Btrfs {
                return Err(error);
            }
            // It remembers where it has seen a file system of this name, and takes an older copy for a mistake.
            run("btrfs", &["device", "scan", "--forget"])?;
            mount()
        })?;
        Ok(Self {
            place: place.to_owned(),
            device: device.to_owned(),
        })
    }

    pub fn place(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever was killed just now may not have let go yet.
        let deadline = Instant::now() + Duration::from_secs(5);
        while run("umount", &[text(&self.place)]).is_err() {
            if Instant::now() > deadline {
                let _ = run("umount", &["-l", text(&self.place)]);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        wait_until_detached(&self.device);
    }
}

/// Waits until no loop device has this file any more; not for ever.
pub fn wait_until_detached(file: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while is_attached(file) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_attached(file: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten();
    devices.flatten().any(|device| {
        let backing = device.path().join("loop/backing_file");
        std::fs::read_to_string(backing).is_ok_and(|path| path.trim_end() == text(file))
    })
}
