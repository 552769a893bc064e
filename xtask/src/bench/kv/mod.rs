//! Listing, exporting and deleting the keys of a Workers KV namespace: windlass beside wrangler and
//! streaming scripts.

mod client;
mod goals;
mod jobs;
mod names;
mod table;

use super::remote::{Remote, Summary};
use super::turns::{self, Turn};
use crate::place::{Place, shown};
use anyhow::{Context, Result};
use client::{Client, Programs, product};
pub use jobs::all;
use jobs::{Job, NAMESPACE, Task};
use std::path::Path;
use std::process::Command;

/// Measures these jobs, and returns a table of each.
///
/// # Errors
/// When something can't be started, or windlass or the floor did not do all of a job.
pub fn measure(place: &Place, windlass: &Path, jobs: &[&Job]) -> Result<Vec<String>> {
    let mut programs = Programs::prepare(place, windlass)?;
    let mut texts = Vec::new();
    for job in jobs {
        programs.provide(place, job)?;
        let text = measure_job(place, &programs, job)?;
        println!("{text}");
        texts.push(text);
    }
    Ok(texts)
}

fn measure_job(place: &Place, programs: &Programs, job: &Job) -> Result<String> {
    let (mut clients, mut absent) = (Vec::new(), Vec::new());
    for &client in job.clients {
        match programs.obstacle(client, job) {
            None => clients.push(client),
            Some(why) => absent.push((client, why)),
        }
    }
    let simulator = job.simulator();
    let all = turns::rounds(&clients, job.rounds, |client| {
        let must = client.is_ours().then_some(job.keys);
        let windlass = &programs.windlass;
        let turn = Turn { place, windlass, system: "cloudflare", simulator: &simulator, must };
        let line = |remote: &Remote, folder: &Path| programs.line(client, job, remote, folder);
        let sample = turn.take(line, |summary, folder| done(client, job, summary, folder));
        let sample = sample.with_context(|| format!("job {}, {}", job.name, client.name()))?;
        println!("{} {}: {}", job.name, client.name(), sample.words("keys"));
        Ok(sample)
    })?;
    Ok(table::of_job(job, &all, &absent))
}

/// How many keys a client dealt with.
fn done(client: Client, job: &Job, summary: &Summary, folder: &Path) -> Result<u64> {
    let file = folder.join(product(client, job.task));
    match job.task {
        Task::List => lines_with(&file, &["\"name\":", "\"metadata\":"]),
        Task::Export => lines_with(&file, &["\"value\":", "\"metadata\":"]),
        Task::Delete => {
            let left = summary.json["keys"][NAMESPACE].as_u64();
            Ok(job.keys.saturating_sub(left.context("the simulator told no keys")?))
        }
    }
}

/// In how many lines of a file each of these texts is, at least. Every client writes them in lines
/// of their own or one line a key. grep reads a gigabyte faster than anything in a debug build.
fn lines_with(file: &Path, texts: &[&str]) -> Result<u64> {
    let counts = texts.iter().map(|text| {
        let mut command = Command::new("grep");
        let ran = command.args(["-c", "-F", "-e", text]).arg(file).output()?;
        let count = String::from_utf8_lossy(&ran.stdout).trim().parse();
        // Its exit code says whether there were any.
        count.with_context(|| format!("`{}` counted nothing", shown(&command)))
    });
    counts.collect::<Result<Vec<u64>>>().map(|counts| counts.into_iter().min().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rarest_text_counts() {
        let path = std::env::temp_dir().join(format!("windlass-lines-{}", std::process::id()));
        let lines = "{\"name\":\"a\",\"metadata\":1}\n{\"name\":\"b\"}\n  \"name\": \"c\"\n";
        std::fs::write(&path, lines).unwrap();
        assert_eq!(lines_with(&path, &["\"name\":"]).unwrap(), 3);
        assert_eq!(lines_with(&path, &["\"name\":", "\"metadata\":"]).unwrap(), 1);
        assert_eq!(lines_with(&path, &["\"value\":"]).unwrap(), 0);
        std::fs::remove_file(&path).unwrap();
        assert!(lines_with(&path, &["\"name\":"]).is_err());
    }
}
