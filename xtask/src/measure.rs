//! Runs one command and says what it cost. As a process of its own, since the kernel adds up the
//! children of a process: here there is one, with all its descendants that it waited for.

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a command cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Seconds from start to exit.
    pub wall_s: f64,
    /// Seconds of CPU, user and system.
    pub cpu_s: f64,
    /// The largest resident set of one of its processes.
    pub peak_mib: f64,
    /// Whether it ended well.
    pub success: bool,
}

/// Runs the command with our own stdout and stderr, and writes its cost to the file.
pub fn run(file: &str, command: &[&str]) -> Result<bool> {
    let [program, arguments @ ..] = command else { bail!("there is no command to measure") };
    let start = Instant::now();
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).status();
    let wall = start.elapsed();
    let status = status.with_context(|| format!("{program} can't be started"))?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("the kernel keeps no accounts")?;
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cost = json!({
        "wall_s": wall.as_secs_f64(),
        "cpu_s": cpu_us as f64 / 1e6,
        // Linux counts in KiB.
        "peak_mib": usage.max_rss() as f64 / 1024.0,
        "success": status.success(),
    });
    std::fs::write(file, cost.to_string()).with_context(|| file.to_owned())?;
    Ok(true)
}

/// Reads what [`run`] wrote.
pub fn read(file: &Path) -> Result<Cost> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let cost: Value = serde_json::from_str(&text)?;
    let number = |name: &str| cost[name].as_f64().with_context(|| format!("no {name}"));
    Ok(Cost {
        wall_s: number("wall_s")?,
        cpu_s: number("cpu_s")?,
        peak_mib: number("peak_mib")?,
        success: cost["success"] == true,
    })
}
