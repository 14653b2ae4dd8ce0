//! A directory in memory that belongs to this thread, empty for each input.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

thread_local! {
    static PLACE: OnceCell<TempDir> = const { OnceCell::new() };
}

/// An empty spool. It is alone in its parent.
pub fn empty() -> PathBuf {
    let spool = PLACE.with(|place| {
        let memory = Path::new("/dev/shm");
        let place = place.get_or_init(|| {
            if memory.is_dir() {
                tempfile::tempdir_in(memory).unwrap()
            } else {
                tempfile::tempdir().unwrap()
            }
        });
        place.path().join("spool")
    });
    let _ = fs::remove_dir_all(&spool);
    fs::create_dir(&spool).unwrap();
    spool
}

/// The files of the spool, without the directories in it.
pub fn files(spool: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(spool).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}
