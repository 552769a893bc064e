//! The names of all keys as one JSON array, for wrangler, which deletes what it is told. Names
//! follow from the simulator's seed: another one with the same arguments has the same.

use super::client::environment;
use super::jobs::{Job, NAMESPACE};
use crate::bench::remote::Remote;
use crate::place::Place;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Writes the names of a job's keys, outside of everything that is measured.
///
/// # Errors
/// When they can't be listed or written, or are not as many as the job has keys.
pub fn of_job(place: &Place, windlass: &Path, job: &Job) -> Result<PathBuf> {
    let path = place.target.join("bench").join(format!("{}.names.json", job.name));
    let remote = Remote::start(windlass, "cloudflare", &job.simulator())?;
    let mut command = Command::new(windlass);
    command.args(["kv", "list", "--all", "--namespace-id", NAMESPACE, "--quota", "unlimited"]);
    command.envs(environment(&remote, &place.target.join("bench")));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
    let count = write_array(lines, BufWriter::new(File::create(&path)?))?;
    if !child.wait()?.success() || count != job.keys {
        bail!("{count} names were listed of {} keys", job.keys);
    }
    Ok(path)
}

/// Writes lines as an array of texts, and says how many there were.
fn write_array(lines: impl BufRead, mut to: impl Write) -> Result<u64> {
    let mut count = 0;
    for line in lines.lines() {
        to.write_all(if count == 0 { b"[\n" } else { b",\n" })?;
        serde_json::to_writer(&mut to, &line?)?;
        count += 1;
    }
    to.write_all(if count == 0 { b"[]\n" } else { b"\n]\n" })?;
    to.flush()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_one_array() {
        let mut array = Vec::new();
        assert_eq!(write_array(&b"a\nb \"c\"\n"[..], &mut array).unwrap(), 2);
        assert_eq!(String::from_utf8(array).unwrap(), "[\n\"a\",\n\"b \\\"c\\\"\"\n]\n");
        let mut nothing = Vec::new();
        assert_eq!(write_array(&b""[..], &mut nothing).unwrap(), 0);
        assert_eq!(nothing, b"[]\n");
    }
}
