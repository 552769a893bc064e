//! The simulator as a process of its own, and what it counted.

use super::machine;
use crate::place::shown;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long it may take to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A simulator; it ends when this is dropped.
#[derive(Debug)]
pub struct Remote {
    /// Where it listens.
    pub url: String,
    child: Child,
}

/// What it counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// All requests.
    pub requests: u64,
    /// Those that were answered 429.
    pub too_many: u64,
    /// The whole summary, with what this simulator alone knows.
    pub json: Value,
}

impl Remote {
    /// Starts `windlass sim SYSTEM` on a free port; its first line says where it listens.
    pub fn start(windlass: &Path, system: &str, arguments: &[impl AsRef<str>]) -> Result<Self> {
        let mut command = Command::new(windlass);
        command.args(["sim", system, "--port", "0"]);
        command.args(arguments.iter().map(AsRef::as_ref));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let shown = shown(&command);
        let mut child = command.spawn().with_context(|| shown.clone())?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let mut remote = Self { url: String::new(), child };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if !line.starts_with("http://") {
            bail!("`{shown}` did not say where it listens but `{}`", line.trim_end());
        }
        line.trim_end().clone_into(&mut remote.url);
        Ok(remote)
    }

    /// Its CPU time so far, in seconds.
    pub fn cpu_s(&self) -> f64 {
        machine::cpu_of_s(self.child.id())
    }

    /// What it counted so far.
    pub fn summary(&self) -> Result<Summary> {
        let (_, rest) = self.url.split_once("://").context("an address has a scheme")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let mut stream = TcpStream::connect(authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request =
            format!("GET /_sim/summary HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("the simulator gave no summary")?;
        Summary::read(body)
    }
}

impl Summary {
    /// Reads the JSON of `/_sim/summary`.
    pub fn read(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("the summary is no JSON")?;
        let number = |name: &str| json[name].as_u64().with_context(|| format!("no {name}"));
        let (requests, too_many) = (number("requests")?, number("too_many_requests")?);
        Ok(Self { requests, too_many, json })
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about it either way.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read() {
        let text = r#"{"users":2,"requests":30,"too_many_requests":4}"#;
        let summary = Summary::read(text).unwrap();
        assert_eq!((summary.requests, summary.too_many), (30, 4));
        assert_eq!(summary.json["users"], 2);
        assert!(Summary::read("{}").is_err());
    }
}
