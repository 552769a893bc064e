//! A folder in memory that crashes, fills up and loses syncs as real ones do.

use super::storage::{Appender, Storage};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug, Default)]
struct File {
    content: Vec<u8>,
    /// So much of it outlives a power cut.
    synced: usize,
    /// After a failed sync: what was written between these places reads well as long as the
    /// machine runs, and is gone after that, whatever later syncs say.
    lost: Vec<(usize, usize)>,
}

type Names = BTreeMap<String, usize>;

#[derive(Clone, Debug, Default)]
struct World {
    files: Vec<File>,
    names: Names,
    /// What the names were after each change since they were synced, the synced ones first.
    past: Vec<Names>,
    /// The disk is full with so many bytes in all files that have names.
    capacity: Option<usize>,
    failing_syncs: u32,
    failing_truncates: u32,
    is_locked: bool,
    syncs: u64,
    appends: u64,
}

/// A folder; copies are the same one.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    world: Arc<Mutex<World>>,
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

fn no_file() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl World {
    fn id(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(no_file)
    }

    fn used(&self) -> usize {
        self.names.values().map(|id| self.files[*id].content.len()).sum()
    }

    fn change(&mut self, change: impl FnOnce(&mut Names)) {
        if self.past.is_empty() {
            self.past.push(Names::new());
        }
        change(&mut self.names);
        self.past.push(self.names.clone());
    }
}

impl Memory {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder as it is after the process was killed: everything written is there.
    pub fn killed(&self) -> Self {
        let mut world = self.world().clone();
        (world.is_locked, world.capacity) = (false, None);
        (world.failing_syncs, world.failing_truncates) = (0, 0);
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// The folder as it is after a power cut: of what was not synced a part is there, chosen by
    /// the numbers that `choose` gives below its bound.
    pub fn power_cut(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let copy = self.killed();
        let mut world = copy.world();
        if !world.past.is_empty() {
            let past = choose(world.past.len());
            world.names = world.past[past].clone();
        }
        for file in &mut world.files {
            let unsynced = file.content.len() - file.synced;
            let kept = file.synced + choose(unsynced + 1);
            file.content.truncate(kept);
            for &(from, to) in &file.lost {
                let to = to.min(kept);
                if from < to {
                    file.content[from..to].fill(0);
                }
            }
            (file.synced, file.lost) = (kept, Vec::new());
        }
        world.past = vec![world.names.clone()];
        drop(world);
        copy
    }

    /// Lets all files together have so many bytes at most.
    pub fn limit(&self, capacity: Option<usize>) {
        self.world().capacity = capacity;
    }

    /// How many bytes all files have.
    pub fn used(&self) -> usize {
        self.world().used()
    }

    /// Lets the next syncs fail.
    pub fn fail_syncs(&self, count: u32) {
        self.world().failing_syncs = count;
    }

    /// Lets the next truncations fail.
    pub fn fail_truncates(&self, count: u32) {
        self.world().failing_truncates = count;
    }

    /// How many syncs of files and how many writes there were.
    pub fn work(&self) -> (u64, u64) {
        let world = self.world();
        (world.syncs, world.appends)
    }

    /// The names of files that begin so.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.world().names.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    /// Changes the content of a file.
    pub fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let id = world.id(name).unwrap();
        edit(&mut world.files[id].content);
        world.files[id].synced = world.files[id].content.len();
    }
}

/// An open file.
struct Handle {
    world: Arc<Mutex<World>>,
    id: usize,
}

impl Appender for Handle {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        world.appends += 1;
        let room = world.capacity.map_or(usize::MAX, |most| most.saturating_sub(world.used()));
        let fits = room.min(bytes.len());
        world.files[self.id].content.extend_from_slice(&bytes[..fits]);
        if fits == bytes.len() { Ok(()) } else { Err(full()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        if world.failing_truncates > 0 {
            world.failing_truncates -= 1;
            return Err(io::Error::other("input/output error"));
        }
        let file = &mut world.files[self.id];
        file.content.truncate(usize::try_from(length).unwrap());
        file.synced = file.synced.min(file.content.len());
        let length = file.content.len();
        file.lost.retain(|(from, _)| *from < length);
        for (_, to) in &mut file.lost {
            *to = (*to).min(length);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.world.lock().unwrap();
        world.syncs += 1;
        let is_failing = world.failing_syncs > 0;
        world.failing_syncs = world.failing_syncs.saturating_sub(1);
        let file = &mut world.files[self.id];
        let (from, to) = (file.synced, file.content.len());
        file.synced = to;
        if is_failing {
            file.lost.push((from, to));
            return Err(io::Error::other("input/output error"));
        }
        Ok(())
    }
}

/// Gives the folder free when it is dropped.
struct Lock(Arc<Mutex<World>>);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.lock().unwrap().is_locked = false;
    }
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.world().names.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        let world = self.world();
        Ok(world.files[world.id(name)?].content.len() as u64)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let world = self.world();
        let content = &world.files[world.id(name)?].content;
        let rest = content.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Appender>> {
        let mut world = self.world();
        if world.capacity.is_some_and(|most| world.used() >= most) {
            return Err(full());
        }
        world.files.push(File::default());
        let id = world.files.len() - 1;
        world.change(|names| {
            names.insert(name.to_owned(), id);
        });
        Ok(Arc::new(Handle { world: Arc::clone(&self.world), id }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Appender>> {
        let id = self.world().id(name)?;
        Ok(Arc::new(Handle { world: Arc::clone(&self.world), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.world();
        let id = world.id(from)?;
        world.change(|names| {
            names.remove(from);
            names.insert(to.to_owned(), id);
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.world();
        world.id(name)?;
        world.change(|names| {
            names.remove(name);
        });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut world = self.world();
        world.past = vec![world.names.clone()];
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let mut world = self.world();
        if std::mem::replace(&mut world.is_locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(Arc::clone(&self.world))))
    }
}
