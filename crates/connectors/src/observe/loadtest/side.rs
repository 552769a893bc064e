//! The two gateways of a comparison: started anew for every round, in an order that alternates, so
//! that what the machine does meanwhile and what the first leaves behind falls on both.

use super::report::Report;
use super::{LoadError, Plan, measure};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is there.
    A,
    /// The one that is compared with it.
    B,
}

/// A gateway that runs until this is dropped.
pub struct Running {
    /// Where it is.
    pub url: String,
    stop: Option<Box<dyn FnOnce() + Send>>,
}

impl Running {
    /// A gateway at an address, and what ends it.
    pub fn new(url: impl Into<String>, stop: impl FnOnce() + Send + 'static) -> Self {
        Self { url: url.into(), stop: Some(Box::new(stop)) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop();
        }
    }
}

/// Measures both in so many rounds: A B, B A, A B and so on. The reports of A and of B.
///
/// # Errors
/// When the plan can't be done or a gateway does not start.
pub fn alternate(
    plan: &Plan,
    rounds: usize,
    mut start: impl FnMut(Side) -> io::Result<Running>,
) -> Result<(Vec<Report>, Vec<Report>), LoadError> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let order = if round % 2 == 0 { [Side::A, Side::B] } else { [Side::B, Side::A] };
        for side in order {
            let running = start(side)?;
            let report = measure(&Plan { url: running.url.clone(), ..plan.clone() })?;
            drop(running);
            match side {
                Side::A => a.push(report),
                Side::B => b.push(report),
            }
        }
    }
    Ok((a, b))
}

/// Between two looks whether a gateway is ready.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Starts a process and waits until `GET` of the path answers 200. It is killed at the end: what a
/// measured gateway has in its queue is of no use to anybody.
///
/// # Errors
/// When it can't be started, ends, or is not ready in time; it does not run any more then.
pub fn child(
    command: &mut Command,
    url: &str,
    ready_path: &str,
    within: Duration,
) -> io::Result<Running> {
    let mut child = command.spawn()?;
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    let ready = wait(&mut child, authority, ready_path, within);
    let running = Running::new(url, move || end(child));
    ready.map(|()| running)
}

fn wait(child: &mut Child, authority: &str, path: &str, within: Duration) -> io::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!(
                "the gateway ended before it was ready: {status}"
            )));
        }
        match look(authority, path) {
            Ok(true) => return Ok(()),
            answer if Instant::now() >= deadline => {
                let why = answer.map_or_else(|error| error.to_string(), |_| "no 200".to_owned());
                let what = format!("the gateway is not ready after {within:?}: {why}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            _ => std::thread::sleep(LOOK_EVERY),
        }
    }
}

fn look(authority: &str, path: &str) -> io::Result<bool> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(LOOK_MAX))?;
    stream.set_write_timeout(Some(LOOK_MAX))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(head.ends_with(b" 200"))
}

fn end(mut child: Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
