//! Where an export goes: a file in the order of the plan, or standard output.
//!
//! Batches are answered in any order and written in the plan's, so the file itself proves what is
//! done: everything up to its last whole record. It has another name until it is whole.

use crate::cloudflare::records::{Format, Positions, write_csv_header};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use windlass_engine::job::{Context, Covered};
use windlass_engine::plan::Plan;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Failure, Kind, Steps};

/// The place that an export is written to.
pub struct Output {
    path: Option<PathBuf>,
    format: Format,
    sink: Mutex<Option<Sink>>,
    turn: watch::Sender<Turn>,
}

type Sink = Box<dyn Write + Send>;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// The first step that is not written.
    next: u64,
    /// The first step of a batch that will not come in this session.
    broken: Option<u64>,
}

impl Output {
    /// A file, which gets its name when it is whole.
    #[must_use]
    pub fn file(path: PathBuf, format: Format) -> Self {
        Self { path: Some(path), format, sink: Mutex::new(None), turn: watch::Sender::default() }
    }

    /// A stream, which can't be gone on with later.
    #[must_use]
    pub fn stream(sink: Sink, format: Format) -> Self {
        let sink = Mutex::new(Some(sink));
        Self { path: None, format, sink, turn: watch::Sender::default() }
    }

    /// Opens the file of this run, cuts off what is not a whole record of its plan, and says up to
    /// which step it goes.
    ///
    /// # Errors
    /// When it can't be read or written, or a file of another run has the name already.
    pub fn prepare(&self, plan: &Plan) -> Result<Option<Covered>, DiscoverError> {
        let Some(path) = &self.path else {
            return self.begin_stream().map(|()| None).map_err(|error| unwritten(&error).into());
        };
        let partial = partial_path(path, &plan.header.id);
        let io = |error: io::Error| unwritable(&partial, &error);
        if !partial.exists() && path.exists() && is_whole(path, self.format, plan)? {
            std::fs::rename(path, &partial).map_err(io)?;
        }
        let mut file = OpenOptions::new();
        let file = file.read(true).write(true).create(true).truncate(false).open(&partial);
        let mut file = file.map_err(io)?;
        let (covered, bytes) = covered(&file, self.format, plan)?;
        file.set_len(bytes).map_err(io)?;
        file.seek(SeekFrom::Start(bytes)).map_err(io)?;
        if bytes == 0 && self.format == Format::Csv {
            let mut header = Vec::new();
            write_csv_header(&mut header);
            file.write_all(&header).map_err(io)?;
        }
        *self.sink() = Some(Box::new(file));
        self.turn.send_modify(|turn| turn.next = covered.below);
        Ok(Some(covered))
    }

    fn begin_stream(&self) -> io::Result<()> {
        let mut header = Vec::new();
        if self.format == Format::Csv {
            write_csv_header(&mut header);
        }
        self.sink().as_mut().map_or(Ok(()), |sink| sink.write_all(&header))
    }

    /// Writes what a batch of these steps brought, when everything before it is written.
    ///
    /// # Errors
    /// When it can't be written, or when a batch before it will not come.
    pub async fn put(
        &self,
        context: &Context,
        steps: RangeInclusive<u64>,
        lines: &[u8],
    ) -> Result<(), Failure> {
        self.wait_for(context, *steps.start()).await?;
        let written = match self.sink().as_mut() {
            Some(sink) => sink.write_all(lines),
            None => Err(io::Error::other("it was never opened")),
        };
        written.map_err(|error| unwritten(&error))?;
        self.turn.send_modify(|turn| turn.next = turn.next.max(steps.end() + 1));
        Ok(())
    }

    /// A batch will not be written: whatever comes behind it can't be either, in this session.
    pub fn give_up(&self, first: u64) {
        self.turn.send_modify(|turn| {
            turn.broken = Some(turn.broken.map_or(first, |other| other.min(first)));
        });
    }

    async fn wait_for(&self, context: &Context, first: u64) -> Result<(), Failure> {
        let mut turns = self.turn.subscribe();
        let mine = |turn: &Turn| turn.next >= first || turn.broken.is_some_and(|at| at < first);
        let turn = tokio::select! {
            turn = turns.wait_for(mine) => turn.map(|turn| *turn).unwrap_or_default(),
            () = context.stop.aborting() => return Err(Failure::cancelled()),
        };
        if turn.next >= first { Ok(()) } else { Err(Failure::cancelled()) }
    }

    /// Gives the file its name, or flushes the stream, and says how many bytes there are.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(&self, plan: &Plan) -> Result<Option<u64>, Failure> {
        let sink = self.sink().take();
        let Some(path) = &self.path else {
            sink.map_or(Ok(()), |mut sink| sink.flush()).map_err(|error| unwritten(&error))?;
            return Ok(None);
        };
        drop(sink);
        let partial = partial_path(path, &plan.header.id);
        let named = || {
            let file = File::open(&partial)?;
            file.sync_all()?;
            std::fs::rename(&partial, path)?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file.metadata()?.len())
        };
        named().map(Some).map_err(|error: io::Error| unwritable(path, &error))
    }

    fn sink(&self) -> std::sync::MutexGuard<'_, Option<Sink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of an export until it is whole.
fn partial_path(path: &Path, run: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{run}.partial"));
    path.with_file_name(name)
}

/// Compares a file's records with the plan's keys, which come in the same order: what the file
/// covers, and the bytes of that.
fn covered(file: &File, format: Format, plan: &Plan) -> Result<(Covered, u64), DiscoverError> {
    let unreadable = |error: io::Error| unwritable(plan.path(), &error);
    let file = file.try_clone().map_err(unreadable)?;
    let mut lines = plan.lines()?;
    let (mut covered, mut bytes) = (Covered::default(), 0);
    for record in Positions::new(BufReader::with_capacity(1 << 18, file), format) {
        let Ok((key, end)) = record else { break };
        let mut passed = Steps::default();
        let mut step = lines.next_step()?;
        while let Some(other) = step.take_if(|step| *step.key != *key) {
            passed.extend([other.number]);
            step = lines.next_step()?;
        }
        let Some(step) = step else { break };
        covered.below = step.number + 1;
        covered.missing.extend(passed.iter());
        bytes = end;
    }
    Ok((covered, bytes))
}

/// Whether a file with the final name is this run's, whose journal was cut short behind it.
fn is_whole(path: &Path, format: Format, plan: &Plan) -> Result<bool, DiscoverError> {
    let file = File::open(path).map_err(|error| unwritable(path, &error))?;
    let length = file.metadata().map_err(|error| unwritable(path, &error))?.len();
    Ok(length > 0 && covered(&file, format, plan)?.1 == length)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let what = format!("{} can't be read or written: {error}", path.display());
    Failure::new(Kind::Output, what)
        .with_hint("free some space or mend the permissions, then `windlass resume`")
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Kind::Output, format!("the output can't be written: {error}"))
        .with_hint("whoever reads it has gone away, or the disk is full")
}
