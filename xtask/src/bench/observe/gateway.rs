//! A gateway, or another server that is measured beside it, as a process of its own.

use crate::bench::machine;
use crate::place::{output, shown};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to be ready. A queue of a million events has to be read for it.
const START: Duration = Duration::from_secs(120);
/// Between two looks at a server that starts.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long it may take to tell about itself.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the simulators of destinations want, by the names that the gateways' files have for it.
const SECRETS: [(&str, &str); 2] =
    [("BENCH_LANGFUSE_SECRET", "sk-lf-simulated"), ("BENCH_RUDDER_KEY", "simulated-write-key")];

/// A process that ends with this.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it; what it says to stderr is in the file.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command, stderr: &Path) -> Result<Self> {
        command.stdin(Stdio::null()).stderr(File::create(stderr)?);
        let child = command.spawn().with_context(|| shown(command))?;
        Ok(Self { child })
    }

    /// Asks it to end with the signal of this name, and waits for that.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn end(mut self, signal: &str) -> Result<()> {
        output(Command::new("kill").args(["-s", signal, &self.child.id().to_string()]))?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it still runs.
    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its CPU time so far, in seconds.
    pub fn cpu_s(&self) -> f64 {
        machine::cpu_of_s(self.child.id())
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.child.id());
        Memory::read(&fs::read_to_string(path).unwrap_or_default())
    }

    /// Waits until `is_ready`, and says how long that took.
    ///
    /// # Errors
    /// When it ends before that, or takes too long.
    pub fn wait_until(&mut self, mut is_ready: impl FnMut() -> bool) -> Result<Duration> {
        let start = Instant::now();
        while !is_ready() {
            if !self.is_alive() {
                bail!("it ended before it was ready");
            }
            if start.elapsed() > START {
                bail!("it was not ready within {} s", START.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(start.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about it either way.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The resident set of a process, in MB of 1,000,000 bytes, as the goals have them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Now.
    pub now_mb: f64,
    /// At most, since its start.
    pub peak_mb: f64,
}

impl Memory {
    /// Reads `/proc/PID/status`.
    fn read(status: &str) -> Self {
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
            kib.map_or(0.0, |kib: f64| kib * 1024.0 / 1e6)
        };
        Self { now_mb: field("VmRSS:"), peak_mb: field("VmHWM:") }
    }
}

/// A gateway, which may be killed and started again over the same folder.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub url: String,
    program: PathBuf,
    folder: PathBuf,
    process: Option<Process>,
}

impl Gateway {
    /// Starts one in an empty folder with this file, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(windlass: &Path, folder: &Path, config: &str) -> Result<Self> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("gateway.toml"), config)?;
        let mut gateway = Self {
            url: String::new(),
            program: windlass.to_owned(),
            folder: folder.to_owned(),
            process: None,
        };
        gateway.again()?;
        Ok(gateway)
    }

    /// Starts it, at another port, and says how long it took until it was ready.
    ///
    /// # Errors
    /// When it does not start.
    pub fn again(&mut self) -> Result<Duration> {
        self.kill();
        let mut command = Command::new(&self.program);
        command.args(["observe", "serve", "--config", "gateway.toml", "--listen", "127.0.0.1:0"]);
        command.arg("--folder").arg(self.folder.join("gateway")).current_dir(&self.folder);
        command.env("WINDLASS_STATE_DIR", self.folder.join("state")).envs(SECRETS);
        let stderr = self.folder.join("stderr");
        let start = Instant::now();
        let mut process = Process::start(command.stdout(Stdio::piped()), &stderr)?;
        let said = || fs::read_to_string(&stderr).unwrap_or_default();
        self.url = first_line(&mut process).with_context(said)?;
        process
            .wait_until(|| matches!(get(&self.url, "/ready"), Ok((200, _))))
            .with_context(said)?;
        self.process = Some(process);
        Ok(start.elapsed())
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Its process.
    ///
    /// # Errors
    /// When it was killed.
    pub fn process(&self) -> Result<&Process> {
        self.process.as_ref().context("the gateway does not run")
    }

    /// What it tells about itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn status(&self) -> Result<Value> {
        let (status, body) = get(&self.url, "/v1/status")?;
        if status != 200 {
            bail!("the gateway's status is answered {status}: {body}");
        }
        Ok(serde_json::from_str(&body)?)
    }

    /// A figure of one of its destinations, such as `pending`.
    ///
    /// # Errors
    /// When there is no such destination or figure.
    pub fn destination(&self, name: &str, figure: &str) -> Result<u64> {
        let status = self.status()?;
        let all = status["destinations"].as_array().context("there are no destinations")?;
        let one = all.iter().find(|one| one["name"] == name);
        one.and_then(|one| one[figure].as_u64())
            .with_context(|| format!("no {figure} of {name} in {status}"))
    }
}

/// Its first line says where it listens. The pipe stays open, so that it may say more.
fn first_line(process: &mut Process) -> Result<String> {
    let stdout = process.child.stdout.as_mut().context("stdout is a pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if !line.starts_with("http://") {
        bail!("it did not say where it listens but `{}`", line.trim_end());
    }
    Ok(line.trim_end().to_owned())
}

/// Asks a server, and returns the status and body of its answer.
///
/// # Errors
/// When it does not answer.
pub fn get(url: &str, path: &str) -> Result<(u16, String)> {
    let authority = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parts(&answer).with_context(|| format!("{path} is answered with `{answer}`"))
}

fn parts(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// An address on this machine that was free a moment ago.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// An empty folder, whatever was in it before.
///
/// # Errors
/// When it can't be made.
pub fn empty(folder: PathBuf) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_millions_of_bytes() {
        let status = "Name:\twindlass\nVmHWM:\t  200000 kB\nVmRSS:\t  100000 kB\nThreads:\t9\n";
        assert_eq!(Memory::read(status), Memory { now_mb: 102.4, peak_mb: 204.8 });
        assert_eq!(Memory::read(""), Memory::default());
    }

    #[test]
    fn answers_have_a_status_and_a_body() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\r\nbusy\r\n\r\n";
        assert_eq!(parts(answer), Some((503, "busy\r\n\r\n".to_owned())));
        assert_eq!(parts("HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(parts("SSH-2.0-x\r\n\r\n"), None);
    }

    #[test]
    fn a_process_that_ends_is_not_waited_for() {
        let log = std::env::temp_dir().join(format!("windlass-ended-{}", std::process::id()));
        let mut process = Process::start(&mut Command::new("true"), &log).unwrap();
        let waited = process.wait_until(|| false);
        assert_eq!(waited.unwrap_err().to_string(), "it ended before it was ready");
        fs::remove_file(log).unwrap();
    }
}
