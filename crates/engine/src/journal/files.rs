//! Where the bytes of a journal lie: on disk, in memory, or in memory with faults for tests.

use super::SyncTask;
use std::fs::{File, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What a journal needs of a file.
pub trait Files: Send {
    /// Puts bytes at the end. After an error an unknown part of them may be there.
    ///
    /// # Errors
    /// What the system says: a full disk, a lost mount.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to this length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes everything that was appended last through a power cut.
    ///
    /// # Errors
    /// What the system says; the bytes are then in doubt.
    fn sync(&mut self) -> io::Result<()>;

    /// The same as a task for another thread, where syncing takes time; `None` where it does not.
    ///
    /// # Errors
    /// When the file can't be shared with that thread.
    fn sync_task(&self) -> io::Result<Option<SyncTask>>;

    /// The content from its beginning.
    ///
    /// # Errors
    /// What the system says.
    fn reader(&self) -> io::Result<Box<dyn Read + Send>>;
}

/// A file on disk.
#[derive(Debug)]
pub struct Disk {
    file: File,
}

impl Disk {
    /// Creates the file; it must not be there yet.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(path)?;
        crate::plan::sync_folder_of(path)?;
        Ok(Self { file })
    }

    /// Opens a file that is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().read(true).append(true).open(path)? })
    }
}

impl Files for Disk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_task(&self) -> io::Result<Option<SyncTask>> {
        let file = self.file.try_clone()?;
        Ok(Some(Box::new(move || file.sync_data())))
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Box::new(file))
    }
}

/// Bytes in memory, for runs in tests. Copies share the content.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    content: Arc<Mutex<Vec<u8>>>,
}

impl Memory {
    /// A copy of all bytes.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Files for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn sync_task(&self) -> io::Result<Option<SyncTask>> {
        Ok(None)
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.content())))
    }
}

/// A disk that fills up after so many bytes, or loses its sync: everything from then on fails,
/// and of the write that failed the bytes that still fitted are there.
#[derive(Clone, Debug)]
pub struct Faulty {
    inner: Memory,
    bytes_left: u64,
    syncs_left: u64,
}

impl Faulty {
    /// Fails at the byte after `bytes` and at the sync after `syncs`.
    #[must_use]
    pub fn new(inner: Memory, bytes: u64, syncs: u64) -> Self {
        Self { inner, bytes_left: bytes, syncs_left: syncs }
    }
}

fn disk_full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

impl Files for Faulty {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fits = usize::try_from(self.bytes_left).unwrap_or(usize::MAX).min(bytes.len());
        let (fitting, rest) = bytes.split_at(fits);
        self.inner.append(fitting)?;
        self.bytes_left -= fits as u64;
        if rest.is_empty() { Ok(()) } else { Err(disk_full()) }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some(left) = self.syncs_left.checked_sub(1) else { return Err(disk_full()) };
        self.syncs_left = left;
        Ok(())
    }

    fn sync_task(&self) -> io::Result<Option<SyncTask>> {
        Ok(None)
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        self.inner.reader()
    }
}
