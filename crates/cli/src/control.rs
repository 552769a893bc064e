//! The way from another terminal to a run in progress: a socket in the run's folder that takes
//! one order as a line of JSON and answers with the run's status.

use crate::exit::{Error, Exit};
use crate::runs::RunFolder;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use windlass_engine::runner::{Command, Order, Status};

/// The longest path of a socket that every system takes: 104 bytes on macOS with the end mark.
const PATH_BYTES_MAX: usize = 100;
/// An order is shorter than this.
const LINE_BYTES_MAX: u64 = 4096;
/// How long a run may take to answer: it looks at orders in every turn of its loop.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the socket of a run is: in its folder, or, where that path is too long, in the system's
/// folder for temporary files under a name made from it.
fn address(folder: &Path) -> PathBuf {
    let inside = folder.join("control");
    if inside.as_os_str().len() <= PATH_BYTES_MAX {
        return inside;
    }
    let mut hasher = DefaultHasher::new();
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).hash(&mut hasher);
    std::env::temp_dir().join(format!("windlass-{:016x}.control", hasher.finish()))
}

/// The open socket of a run; it goes away with the run.
#[derive(Debug)]
pub struct Listening {
    listener: UnixListener,
    path: PathBuf,
}

impl Listening {
    /// Opens the socket of a run whose lock this process holds.
    ///
    /// # Errors
    /// When the folder takes no socket; the run can do without one.
    pub fn open(run: &RunFolder) -> io::Result<Self> {
        let path = address(run.path());
        // What a killed process left behind; the lock says that nobody listens there.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only)?;
        Ok(Self { listener, path })
    }

    /// Takes orders for as long as it is polled.
    pub async fn serve(&self, orders: Sender<Order>) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            // One at a time is enough for a person; a silent one is cut off.
            let _ = tokio::time::timeout(PATIENCE, converse(stream, &orders)).await;
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn converse(stream: UnixStream, orders: &Sender<Order>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let command: Command = serde_json::from_str(&line)?;
    let (reply, status) = oneshot::channel();
    let order = Order { command, by: "ctl", reply: Some(reply) };
    if orders.send(order).await.is_ok()
        && let Ok(status) = status.await
    {
        let mut answer = serde_json::to_vec(&status)?;
        answer.push(b'\n');
        write.write_all(&answer).await?;
    }
    Ok(())
}

/// Sends one order to the process at work on a run.
///
/// # Errors
/// When no process is at work on it, or it does not answer.
pub fn send(run: &RunFolder, command: Command) -> Result<Status, Error> {
    exchange(run, command).map_err(|error| {
        if run.is_running() {
            return Error::new(Exit::Unavailable, format!("run {} does not answer", run.name))
                .because(&error)
                .hint("it may be about to end; `windlass runs` shows its state");
        }
        Error::new(Exit::Refused, format!("no process is at work on run {}", run.name))
            .hint(format!("`windlass resume {}` goes on with it", run.name))
    })
}

fn exchange(run: &RunFolder, command: Command) -> io::Result<Status> {
    let mut stream = std::os::unix::net::UnixStream::connect(address(run.path()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&command)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
