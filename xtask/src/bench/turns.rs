//! Clients that take turns: each on a fresh simulator, in an empty folder, as a process whose cost
//! is measured.

use super::machine;
use super::remote::{Remote, Summary};
use super::samples::{Sample, Samples};
use crate::measure;
use crate::place::Place;
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a client's standard output is called in its folder.
pub const STDOUT: &str = "stdout";

/// How a client is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// What it finds in its environment, on top of ours.
    pub environment: Vec<(&'static str, OsString)>,
}

/// One client at one job.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// Where things are.
    pub place: &'a Place,
    /// The release build, which is the simulator, too.
    pub windlass: &'a Path,
    /// Which simulator.
    pub system: &'a str,
    /// Its arguments.
    pub simulator: &'a [String],
    /// What has to be done by a client of ours; others may give up.
    pub must: Option<u64>,
}

impl Turn<'_> {
    /// Measures the client that `line` starts; `done` says how much of the job it did.
    ///
    /// # Errors
    /// When it can't be started, or one of ours did not do it all.
    pub fn take(
        &self,
        line: impl FnOnce(&Remote, &Path) -> Line,
        done: impl FnOnce(&Summary, &Path) -> Result<u64>,
    ) -> Result<Sample> {
        let folder = self.place.target.join("bench/run");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let remote = Remote::start(self.windlass, self.system, self.simulator)?;
        let mut sample = measured(&remote, &folder, line(&remote, &folder))?;
        let summary = remote.summary()?;
        sample.done = done(&summary, &folder)?;
        (sample.requests, sample.too_many) = (summary.requests, summary.too_many);
        if let Some(must) = self.must
            && !(sample.cost.success && sample.done == must)
        {
            bail!("{} of {must} done: {}", sample.done, said(&folder));
        }
        fs::remove_dir_all(&folder)?;
        Ok(sample)
    }
}

fn measured(remote: &Remote, folder: &Path, line: Line) -> Result<Sample> {
    let report = folder.join("cost.json");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("measure").arg(&report).args(line.words).envs(line.environment);
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(File::create(folder.join(STDOUT))?);
    command.stderr(File::create(folder.join("stderr"))?);
    let start = Instant::now();
    let before = (machine::busy_s(), remote.cpu_s());
    let ran = command.status()?;
    let after = (machine::busy_s(), remote.cpu_s());
    let capacity_s = start.elapsed().as_secs_f64() * machine::cores() as f64;
    if !ran.success() {
        bail!("it could not be measured: {}", said(folder));
    }
    let cost = measure::read(&report)?;
    let others_s = (after.0 - before.0) - (after.1 - before.1) - cost.cpu_s;
    let others_percent = (100.0 * others_s / capacity_s).clamp(0.0, 100.0);
    Ok(Sample { cost, others_percent, ..Sample::default() })
}

fn said(folder: &Path) -> String {
    fs::read_to_string(folder.join("stderr")).unwrap_or_default()
}

/// All rounds of a job; each round begins with another client.
pub fn rounds<C: Copy>(
    clients: &[C],
    rounds: u32,
    mut take: impl FnMut(C) -> Result<Sample>,
) -> Result<Vec<(C, Samples)>> {
    let mut all: Vec<(C, Samples)> =
        clients.iter().map(|client| (*client, Samples::default())).collect();
    for round in 0..rounds as usize {
        let first = round % all.len().max(1);
        all.rotate_left(first);
        for (client, samples) in &mut all {
            samples.push(take(*client)?);
        }
        all.rotate_right(first);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_client() {
        let mut order = String::new();
        let all = rounds(&['a', 'b', 'c'], 3, |client| {
            order.push(client);
            Ok(Sample { done: u64::from(client), ..Sample::default() })
        });
        assert_eq!(order, "abcbcacab");
        let all = all.unwrap();
        assert_eq!(all.iter().map(|(client, _)| *client).collect::<String>(), "abc");
        let done = all[1].1.spread(|sample| sample.done as f64);
        assert_eq!((all[1].1.len(), done.min, done.max), (3, 98.0, 98.0));
    }
}
