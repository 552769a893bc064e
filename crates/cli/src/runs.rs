//! The folder of all runs: each run is a folder with its plan, its journal, and a lock that the
//! process at work holds.

use crate::exit::{Error, Exit};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use windlass_engine::journal::{Disk, Journal, Recovered, replay};
use windlass_engine::plan::{Header, Plan, PlanWriter};
use windlass_engine::tally::Tally;

const PLAN: &str = "plan.jsonl";
const JOURNAL: &str = "journal";
const LOCK: &str = "lock";
/// A listing that is at work writes to its folder, or holds its lock.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// All runs.
#[derive(Clone, Debug)]
pub struct Runs {
    folder: PathBuf,
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// Its name.
    pub name: String,
    folder: PathBuf,
}

/// What a session of a run applies.
#[derive(Debug)]
pub struct Planned {
    /// The plan, as far as it is there.
    pub plan: Plan,
    /// The rest of its listing, where it is applied while it is listed.
    pub listing: Option<PlanWriter>,
}

impl Planned {
    /// A plan that is whole.
    #[must_use]
    pub fn whole(plan: Plan) -> Self {
        Self { plan, listing: None }
    }

    /// A plan that is applied while it is listed.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn growing(mut listing: PlanWriter) -> Result<Self, Error> {
        listing.grow()?;
        Ok(Self { plan: listing.growing(), listing: Some(listing) })
    }
}

/// Held while a process works on a run.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Runs {
    /// The runs below this state directory, which is made when it is not there. Plans hold whole
    /// objects, so only the owner can look inside.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub fn open(state_dir: &Path) -> Result<Self, Error> {
        let folder = state_dir.join("runs");
        private_folder(&folder).map_err(|error| {
            let what = format!("the state directory {} can't be used", state_dir.display());
            Error::new(Exit::Usage, what)
                .because(&error)
                .hint("set WINDLASS_STATE_DIR to a folder that you can write to")
        })?;
        Ok(Self { folder })
    }

    /// Makes the folder of a run.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn create(&self, name: &str) -> Result<RunFolder, Error> {
        let run = self.named(name);
        private_folder(&run.folder).map_err(|error| io_error(&run.folder, &error))?;
        Ok(run)
    }

    fn named(&self, name: &str) -> RunFolder {
        RunFolder { name: name.to_owned(), folder: self.folder.join(name) }
    }

    /// Every run that has a plan, or lists one while it applies it, the newest first.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn all(&self) -> Result<Vec<RunFolder>, Error> {
        let entries = fs::read_dir(&self.folder).map_err(|error| io_error(&self.folder, &error))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut runs: Vec<RunFolder> = names.map(|name| self.named(&name)).collect();
        runs.retain(|run| run.plan_path().exists() || run.is_begun());
        runs.sort_by_key(|run| {
            let planned = modified(&run.plan_path());
            std::cmp::Reverse(planned.or_else(|| modified(&run.folder)))
        });
        Ok(runs)
    }

    /// Removes the folders of listings that were killed: they hold the beginning of a plan, which
    /// nothing can be done with. Young ones are left alone, since a listing makes its folder before
    /// it locks it.
    pub fn remove_abandoned(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        for run in names.map(|name| self.named(&name)) {
            if run.is_abandoned() && !run.is_running() {
                run.discard();
            }
        }
    }

    /// The run that a person means: by its name, or by a part that only one has.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn find(&self, text: &str) -> Result<RunFolder, Error> {
        let mut found = self.all()?;
        if let Some(exact) = found.iter().find(|run| run.name == text) {
            return Ok(exact.clone());
        }
        found.retain(|run| run.name.contains(text));
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Error::new(Exit::Usage, format!("there is no run `{text}`"))
                .hint("`windlass runs` lists them")),
            several => {
                Err(Error::new(Exit::Usage, format!("{several} runs have `{text}` in their names"))
                    .hint("write more of the name"))
            }
        }
    }
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().and_then(|meta| meta.modified()).ok()
}

impl RunFolder {
    /// Where its plan is.
    #[must_use]
    pub fn plan_path(&self) -> PathBuf {
        self.folder.join(PLAN)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// What is known of its plan, whether that is whole or still grows.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn header(&self) -> Result<Header, Error> {
        Ok(Header::read(&self.plan_path())?)
    }

    /// What is to be applied: its plan, checked, or the one whose listing was interrupted.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn planned(&self) -> Result<Planned, Error> {
        if self.plan_path().exists() {
            return self.plan().map(Planned::whole);
        }
        Planned::growing(PlanWriter::reopen(&self.plan_path())?)
    }

    /// Its plan, checked.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan::open(&self.plan_path())?)
    }

    /// Whether it was ever begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.folder.join(JOURNAL).exists()
    }

    /// Takes the lock for this process.
    ///
    /// # Errors
    /// When another process works on the run.
    pub fn lock(&self) -> Result<Lock, Error> {
        let path = self.folder.join(LOCK);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| io_error(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let what = format!("another process is at work on run {}", self.name);
                Err(Error::new(Exit::Refused, what).hint(format!(
                    "`windlass ctl {} status` asks it; wait for it to end, or stop it",
                    self.name
                )))
            }
            Err(TryLockError::Error(error)) => Err(io_error(&path, &error)),
        }
    }

    /// Whether a process is at work on it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let file = File::open(self.folder.join(LOCK));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Begins its journal, or opens it again.
    ///
    /// # Errors
    /// When it can't be written, or is damaged.
    pub fn journal(&self, plan: &Header) -> Result<(Journal, Recovered), Error> {
        let path = self.folder.join(JOURNAL);
        if path.exists() {
            let files = Disk::open(&path).map_err(|error| io_error(&path, &error))?;
            return Ok(Journal::open(Box::new(files), plan)?);
        }
        let files = Disk::create(&path).map_err(|error| io_error(&path, &error))?;
        let journal = Journal::create(Box::new(files), plan);
        let journal = journal.map_err(|error| io_error(&path, &error))?;
        Ok((journal, Recovered::nothing(plan)))
    }

    /// The totals of its journal, read without touching it.
    ///
    /// # Errors
    /// When the journal is damaged.
    pub fn tally(&self, plan: &Header) -> Result<Tally, Error> {
        let mut tally = Tally::new(plan);
        match File::open(self.folder.join(JOURNAL)) {
            Ok(file) => replay(file, plan, |stamped| tally.take_in(stamped))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&self.folder, &error)),
        }
        Ok(tally)
    }

    /// Whether all that is there is the beginning of a plan, untouched for [`ABANDONED_AFTER`].
    fn is_abandoned(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.folder) else { return false };
        let mut files = entries.flatten().map(|entry| entry.path());
        let is_old = |path: &Path| {
            let age = modified(path).and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age >= ABANDONED_AFTER)
        };
        let is_rest = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name == LOCK || path.extension().is_some_and(|extension| extension == "partial")
        };
        is_old(&self.folder) && files.all(|path| is_rest(&path) && is_old(&path))
    }

    /// Removes a folder that has nothing in it worth keeping.
    pub fn discard(&self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// An error of the file system, with the path and what to do.
pub fn io_error(path: &Path, error: &io::Error) -> Error {
    Error::new(Exit::Usage, format!("{} can't be read or written", path.display()))
        .because(error)
        .hint("check permissions and the free space of the disk")
}
