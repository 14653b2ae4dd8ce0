//! A directory in memory that belongs to this process, empty for each input.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

pub fn empty() -> &'static Path {
    static PLACE: OnceLock<TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        tempfile::tempdir_in(parent).unwrap()
    });
    let spool: PathBuf = place.path().join("spool");
    let _ = std::fs::remove_dir_all(&spool);
    std::fs::create_dir(&spool).unwrap();
    // Lives as long as the process.
    Box::leak(spool.into_boxed_path())
}
