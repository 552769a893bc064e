//! Where the files of a queue lie: a folder on disk, or for tests memory with faults.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// What a queue needs of a folder. Names have no path in them.
pub trait Storage: Send + Sync {
    /// The names of all files.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self, name: &str) -> io::Result<u64>;

    /// Fills the buffer from this place of a file and says how much there was.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Makes an empty file; what had its name is gone.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn Appender>>;

    /// Opens a file that is there, to write at its end.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn Appender>>;

    /// Gives a file another name; what had that name is gone.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes what was created, renamed and removed last through a power cut.
    ///
    /// # Errors
    /// What the system says.
    fn sync_names(&self) -> io::Result<()>;

    /// Takes the folder for this process until the answer is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when somebody else has it, and what the system says.
    fn lock(&self) -> io::Result<Box<dyn Send + Sync>>;
}

/// A file that is written at its end.
pub trait Appender: Send + Sync {
    /// Puts bytes at the end. After an error an unknown part of them may be there.
    ///
    /// # Errors
    /// What the system says: a full disk, a lost mount.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file to this length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Makes everything that was written last through a power cut.
    ///
    /// # Errors
    /// What the system says; what was written since the last success is then in doubt.
    fn sync(&self) -> io::Result<()>;
}

/// A folder on disk.
#[derive(Clone, Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// The folder of this path, which is made where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.folder.join(name))?.len())
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let file = File::open(self.folder.join(name))?;
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn Appender>> {
        let path = self.folder.join(name);
        drop(OpenOptions::new().write(true).create(true).truncate(true).open(&path)?);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Appender>> {
        Ok(Arc::new(OpenOptions::new().append(true).open(self.folder.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let path = self.folder.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Appender for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.write_all(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Everything that is in a file.
///
/// # Errors
/// What the system says.
pub fn read_all(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    let length = storage.length(name)?;
    let mut content = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let count = storage.read_at(name, 0, &mut content)?;
    content.truncate(count);
    Ok(content)
}

/// Puts a whole file in the place of another, so that a crash leaves the one or the other.
///
/// # Errors
/// What the system says; the file that was there then still is.
pub fn replace(storage: &dyn Storage, name: &str, content: &[u8]) -> io::Result<()> {
    let fresh = format!("{name}.new");
    let file = storage.create(&fresh)?;
    file.append(content)?;
    file.sync()?;
    storage.rename(&fresh, name)?;
    storage.sync_names()
}
