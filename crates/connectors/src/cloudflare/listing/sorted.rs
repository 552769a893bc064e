//! Several chains joined into the order of their names, in constant memory.
//!
//! The prefixes of the chains are sorted and none begins with another one, so the names of a chain
//! all come before those of the next: reading chain after chain is reading in order. All chains are
//! walked at once nevertheless; what comes before its turn waits in a file for each chain.

use super::chain::{Chain, Message, Over, Sink, Source};
use super::page::{Order, RawPage};
use super::{PAGES_WAITING, ended_early, walk_all};
use crate::cloudflare::api::Api;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use windlass_engine::job::Context;
use windlass_engine::remote::Remote;
use windlass_engine::{Failure, Kind};

/// What the folder of the files is called, with something unique behind.
const FOLDER_PREFIX: &str = ".listing-";
/// The longest head of a page in a file: a cursor and a request id are far shorter.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// All pages of some chains, in the order of their names. Dropping it ends the walk and removes
/// its files.
#[derive(Debug)]
pub struct Sorted {
    /// The chain whose turn it is.
    turn: usize,
    first: mpsc::Receiver<Message>,
    waiting: Vec<Waiting>,
    reader: Option<BufReader<File>>,
    tasks: JoinSet<()>,
    _folder: Option<TempDir>,
}

/// The reading side of a file of pages.
#[derive(Debug)]
struct Waiting {
    path: PathBuf,
    progress: watch::Receiver<Progress>,
    order: Arc<Order>,
    /// Bytes read so far.
    read: u64,
}

/// How far a file of pages was written.
#[derive(Clone, Debug, Default)]
struct Progress {
    written: u64,
    end: Option<Result<(), Failure>>,
}

/// The writing side of a file of pages. The file is open only while its chain is walked, and while
/// it is read: thousands of chains may wait.
pub(super) struct Spool {
    path: PathBuf,
    file: Mutex<Option<File>>,
    progress: watch::Sender<Progress>,
}

/// What stands before the body of a page in a file, behind two lengths of four bytes.
#[derive(Serialize, Deserialize)]
struct Head {
    number: u64,
    walk: u32,
    cursor: Option<String>,
    latency_us: u64,
    request_id: Option<Box<str>>,
}

impl Sorted {
    /// Starts to walk through these chains of a namespace, whose prefixes are as
    /// [`super::shards`] gives them. Pages that come before their turn wait in a new folder inside
    /// `folder`, which is not needed where there is but one chain. After a kill -9 that folder,
    /// `.listing-` and more, stays behind.
    ///
    /// # Errors
    /// When that folder can't be made.
    pub fn start(
        api: Arc<Api>,
        remote: Arc<Remote>,
        context: Context,
        operation: usize,
        namespace: String,
        chains: Vec<Chain>,
        folder: &Path,
    ) -> io::Result<Self> {
        debug_assert!(chains.windows(2).all(|pair| pair[0].prefix < pair[1].prefix));
        let source = Source { api, remote, context, operation, namespace };
        let folder = match chains.len() {
            0 | 1 => None,
            _ => Some(tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir_in(folder)?),
        };
        let (sender, first) = mpsc::channel(PAGES_WAITING);
        let mut waiting = Vec::with_capacity(chains.len());
        let mut sinks = Vec::with_capacity(chains.len());
        for (shard, chain) in chains.into_iter().enumerate() {
            let Some(folder) = folder.as_ref().filter(|_| shard > 0) else {
                sinks.push((chain, Sink::Channel(sender.clone())));
                continue;
            };
            let path = folder.path().join(shard.to_string());
            let (progress, receiver) = watch::channel(Progress::default());
            let order = Order::new(chain.prefix.clone(), chain.after.as_deref());
            let order = Arc::new(order);
            waiting.push(Waiting { path: path.clone(), progress: receiver, order, read: 0 });
            sinks.push((chain, Sink::Spool(Spool { path, file: Mutex::default(), progress })));
        }
        let turn = usize::from(sinks.is_empty());
        let tasks = walk_all(source, sinks);
        Ok(Self { turn, first, waiting, reader: None, tasks, _folder: folder })
    }

    /// The next page. `None` comes only when every chain was walked to its end, or after a failure.
    ///
    /// # Errors
    /// A failure of the chain whose turn it is; the walk is over then.
    pub async fn next(&mut self) -> Option<Result<RawPage, Failure>> {
        loop {
            let message = match self.turn.checked_sub(1) {
                None => self.first.recv().await.unwrap_or_else(|| Message::Failed(ended_early())),
                Some(place) => match self.waiting.get_mut(place) {
                    Some(waiting) => waiting.next(self.turn, &mut self.reader).await,
                    None => return None,
                },
            };
            match message {
                Message::Page(page) => return Some(Ok(page)),
                Message::End => self.turn += 1,
                Message::Failed(failure) => {
                    self.turn = usize::MAX;
                    self.tasks.abort_all();
                    return Some(Err(failure));
                }
            }
        }
    }
}

impl Waiting {
    async fn next(&mut self, shard: usize, reader: &mut Option<BufReader<File>>) -> Message {
        let read = self.read;
        let more = |progress: &Progress| progress.written > read || progress.end.is_some();
        let progress = match self.progress.wait_for(more).await {
            Ok(progress) => progress.clone(),
            Err(_) => return Message::Failed(ended_early()),
        };
        if progress.written > read {
            return match self.page(shard, reader) {
                Ok(page) => Message::Page(page),
                Err(error) => Message::Failed(broken(&self.path, "read", &error)),
            };
        }
        *reader = None;
        // Its space is free from here on, not only at the end of the walk.
        let _ = std::fs::remove_file(&self.path);
        match progress.end {
            Some(Err(failure)) => Message::Failed(failure),
            _ => Message::End,
        }
    }

    fn page(&mut self, shard: usize, open: &mut Option<BufReader<File>>) -> io::Result<RawPage> {
        let reader = match open {
            Some(reader) => reader,
            None => open.insert(BufReader::new(File::open(&self.path)?)),
        };
        let mut lengths = [0; 8];
        reader.read_exact(&mut lengths)?;
        let lengths = u64::from_le_bytes(lengths);
        let (head, body) = ((lengths >> 32) as usize, (lengths & u64::from(u32::MAX)) as usize);
        if head > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut content = vec![0; head + body];
        reader.read_exact(&mut content)?;
        self.read += (8 + content.len()) as u64;
        let mut content = Bytes::from(content);
        let head: Head = serde_json::from_slice(&content.split_to(head))?;
        Ok(RawPage {
            shard,
            number: head.number,
            body: content,
            cursor: head.cursor,
            latency: Duration::from_micros(head.latency_us),
            request_id: head.request_id,
            walk: head.walk,
            order: Arc::clone(&self.order),
            beyond: OnceLock::new(),
        })
    }
}

impl Spool {
    /// Takes a page, or how the chain ended. Writing goes to the page cache at some gigabytes a
    /// second, which is no longer than parsing a page, and so is done in the task itself.
    pub(super) fn put(&self, message: Message) -> Result<(), Over> {
        let end = match message {
            Message::Page(page) => match self.write(&page) {
                Ok(bytes) => {
                    self.progress.send_modify(|progress| progress.written += bytes);
                    return Ok(());
                }
                Err(error) => Err(broken(&self.path, "written", &error)),
            },
            Message::End => Ok(()),
            Message::Failed(failure) => Err(failure),
        };
        let over = if end.is_err() { Err(Over) } else { Ok(()) };
        self.file().take();
        self.progress.send_modify(|progress| progress.end = Some(end));
        over
    }

    fn file(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, page: &RawPage) -> io::Result<u64> {
        let head = serde_json::to_vec(&Head {
            number: page.number,
            walk: page.walk,
            cursor: page.cursor.clone(),
            latency_us: u64::try_from(page.latency.as_micros()).unwrap_or(u64::MAX),
            request_id: page.request_id.clone(),
        })?;
        let too_long = || io::Error::from(io::ErrorKind::FileTooLarge);
        let lengths = |head: usize, body: usize| {
            let (head, body) = (u32::try_from(head).ok()?, u32::try_from(body).ok()?);
            Some((u64::from(head) << 32 | u64::from(body)).to_le_bytes())
        };
        let lengths = lengths(head.len(), page.body.len()).ok_or_else(too_long)?;
        let mut open = self.file();
        let file = match &mut *open {
            Some(file) => file,
            None => open.insert(File::options().append(true).create_new(true).open(&self.path)?),
        };
        file.write_all(&lengths)?;
        file.write_all(&head)?;
        file.write_all(&page.body)?;
        Ok((lengths.len() + head.len() + page.body.len()) as u64)
    }
}

fn broken(path: &Path, what: &str, error: &io::Error) -> Failure {
    let folder = path.parent().unwrap_or(path).display();
    Failure::new(Kind::Bug, format!("pages that wait in {folder} can't be {what}: {error}"))
        .with_hint("check the free space of that disk, or list without --shards")
}
