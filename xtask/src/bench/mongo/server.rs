//! The small MongoDB of this project as a process of its own.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// How it is reached, with a database.
    pub uri: String,
    child: Child,
}

impl Server {
    /// Starts one on a free port; its first line says where it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(windlass: &Path) -> Result<Self> {
        let mut command = Command::new(windlass);
        command.args(["sim", "mongo", "--port", "0", "--ledger-rows", "0"]);
        // A history as long as the job, as servers have: a day of it is usual.
        command.args(["--oplog-entries", "10000000"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("windlass sim mongo")?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let mut server = Self { uri: String::new(), child };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Some((_, address)) = line.trim().split_once("://") else {
            bail!("it did not say where it listens but `{}`", line.trim_end());
        };
        let address = address.split('/').next().unwrap_or_default();
        server.uri = format!("mongodb://{address}/faf");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about it either way.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
