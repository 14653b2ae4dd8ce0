//! The directory of the simulated disk: what is done to names.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::disk::{Naming, parent};
use super::file::FaultFile;
use super::{Disk, FaultStore, pause};
use crate::store::{File, FileId, Kind, Open, Page, Stat, Store, System, Watch, Watched};

impl FaultStore {
    fn opened(&self, disk: &mut Disk, inode: u64) -> Arc<dyn File> {
        disk.next_open += 1;
        let told = disk.contents.inode(inode).failures;
        Arc::new(FaultFile {
            disk: Arc::clone(&self.disk),
            inode,
            open: disk.next_open,
            told: AtomicU64::new(told),
        })
    }
}

impl Store for FaultStore {
    fn root(&self) -> &Path {
        Path::new("/memory")
    }

    fn root_stat(&self) -> io::Result<Stat> {
        let id = FileId {
            device: u64::MAX,
            inode: self.process,
        };
        Ok(Stat {
            id,
            kind: Kind::Directory,
            size: 0,
            modified: 0,
            changed: 0,
            mode: 0o755,
            owner: 0,
            group: 0,
            links: 1,
        })
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        Ok((1 << 40, 1 << 41))
    }

    fn file_system(&self) -> io::Result<(String, bool)> {
        Ok(("memory".to_owned(), true))
    }

    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let mut disk = self.disk();
        if disk.refused.as_deref() == Some(path) {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let found = disk.contents.names.get(path).copied();
        let inode = match (found, how) {
            (Some(_), Open::New { .. }) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(inode), _) => inode,
            (None, Open::Read | Open::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, Open::Shared { mode } | Open::Append { mode } | Open::New { mode }) => {
                let parent = parent(path);
                if !parent.is_empty() && !disk.contents.directories.contains(parent) {
                    return Err(io::ErrorKind::NotFound.into());
                }
                disk.effect(format!("create {path}"))?;
                disk.contents.make(path, mode)
            }
        };
        Ok(self.opened(&mut disk, inode))
    }

    fn temporary(&self, prefix: &str, suffix: &str) -> io::Result<(Arc<dyn File>, String)> {
        let mut disk = self.disk();
        disk.effect(format!("create {prefix}"))?;
        let name = format!("{prefix}{:06}{suffix}", disk.contents.next_inode);
        let inode = disk.contents.make(&name, 0o600);
        Ok((self.opened(&mut disk, inode), name))
    }

    fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        pause();
        let disk = self.disk();
        let inode = disk.contents.names.get(path);
        Ok(inode.map(|inode| disk.contents.inodes[inode].stat(disk.number, *inode)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        pause();
        let mut disk = self.disk();
        let inode = disk.contents.at(from)?;
        disk.effect(format!("rename {to}"))?;
        let Disk {
            order, contents, ..
        } = &mut *disk;
        order.renamed(contents, from, to, inode);
        contents.name(Naming::Renamed(from.to_owned(), to.to_owned(), inode));
        #[cfg(shuttle)]
        {
            let watches = disk.waiting.replaced(to);
            drop(disk);
            super::waiting::tell(&watches);
        }
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let inode = disk.contents.at(from)?;
        if disk.contents.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let parent = parent(to);
        if !parent.is_empty() && !disk.contents.directories.contains(parent) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.effect(format!("link {to}"))?;
        disk.contents.name(Naming::Named(to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let inode = disk.contents.at(path)?;
        disk.effect("remove".to_owned())?;
        let freed = disk.contents.inode(inode).content.len();
        disk.free_space(freed);
        let Disk {
            order, contents, ..
        } = &mut *disk;
        order.removed(contents, path);
        contents.name(Naming::Removed(path.to_owned()));
        Ok(())
    }

    fn make_directory(&self, path: &str, _mode: u32) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.contents.directories.contains(path) {
            return Ok(());
        }
        disk.effect(format!("make directory {path}"))?;
        disk.contents.directories.insert(path.to_owned());
        disk.contents.name(Naming::Directory(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let done = disk.effect(format!("sync directory {path}"));
        disk.order.synced_the_directory(done.is_ok());
        if done.is_ok() {
            disk.contents.sync_directory(path);
        }
        done
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let inside = |name: &String| match path {
            "" => (!name.contains('/')).then(|| name.clone()),
            directory => name
                .strip_prefix(directory)
                .and_then(|rest| rest.strip_prefix('/'))
                .map(str::to_owned),
        };
        let disk = self.disk();
        Ok(disk.contents.names.keys().filter_map(inside).collect())
    }

    #[cfg(not(shuttle))]
    fn page(&self, _path: &str, _mode: u32) -> io::Result<Arc<dyn Page>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(shuttle))]
    fn watch(&self, _: &Watched) -> io::Result<Box<dyn Watch>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(shuttle)]
    fn page(&self, path: &str, _mode: u32) -> io::Result<Arc<dyn Page>> {
        Ok(self.disk().waiting.page(path))
    }

    #[cfg(shuttle)]
    fn watch(&self, what: &Watched) -> io::Result<Box<dyn Watch>> {
        Ok(self.disk().waiting.watch(what))
    }

    fn system(&self) -> &dyn System {
        &*self.clock
    }
}
