//! A directory in memory that belongs to this process, empty for each input.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

pub fn empty() -> &'static Path {
    static PLACE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, spool) = PLACE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let place = tempfile::tempdir_in(parent).unwrap();
        let spool = place.path().join("spool");
        (place, spool)
    });
    let _ = std::fs::remove_dir_all(spool);
    std::fs::create_dir(spool).unwrap();
    spool
}
