//! Deleting from WorkOS: windlass beside scripts and curl. The ceiling is what wrk gets out of the
//! same simulator.

mod client;
mod jobs;
mod table;

use super::remote::Remote;
use super::table::thousands;
use super::turns::{self, Turn};
use crate::place::{Place, output};
use anyhow::{Context, Result};
use client::{Client, KEY, Programs};
use jobs::Job;
pub use jobs::all;
use std::path::Path;
use std::process::Command;

/// Measures these jobs, and returns a table of each.
///
/// # Errors
/// When something can't be started, or windlass or the floor did not delete everything.
pub fn measure(
    place: &Place,
    windlass: &Path,
    jobs: &[&Job],
    with_ceiling: bool,
) -> Result<Vec<String>> {
    let programs = Programs::prepare(place, windlass)?;
    let mut texts = Vec::new();
    for job in jobs {
        let text = measure_job(place, &programs, job)?;
        println!("{text}");
        texts.push(text);
    }
    if with_ceiling {
        let text = ceiling(place, &programs)?;
        println!("{text}");
        texts.push(text);
    }
    Ok(texts)
}

fn measure_job(place: &Place, programs: &Programs, job: &Job) -> Result<String> {
    let clients = job.clients.iter().copied();
    let clients: Vec<Client> = clients.filter(|client| programs.has(*client)).collect();
    let simulator = job.simulator();
    let count = u64::from(job.count);
    let all = turns::rounds(&clients, job.rounds, |client| {
        let must = client.is_ours().then_some(count);
        let windlass = &programs.windlass;
        let turn = Turn { place, windlass, system: "workos", simulator: &simulator, must };
        let line = |remote: &Remote, folder: &Path| programs.line(client, job, remote, folder);
        let sample = turn.take(line, |summary, _| {
            let left = |kind: &str| summary.json[kind].as_u64().with_context(|| kind.to_owned());
            Ok(count.saturating_sub(left("organizations")? + left("users")?))
        });
        let sample = sample.with_context(|| format!("job {}, {}", job.name, client.name()))?;
        println!("{} {}: {}", job.name, client.name(), sample.words("deleted"));
        Ok(sample)
    })?;
    Ok(table::of_job(job, &all))
}

/// What wrk gets: deletions that are answered 404.
fn ceiling(place: &Place, programs: &Programs) -> Result<String> {
    let Some(wrk) = &programs.wrk else {
        return Ok("The ceiling was not measured: wrk is not installed.\n".to_owned());
    };
    let nothing = ["--organizations=0", "--no-limits"];
    let remote = Remote::start(&programs.windlass, "workos", &nothing)?;
    let mut command = Command::new(wrk);
    let script = place.root.join("xtask/bench/workos/delete.lua");
    command.args(["-t1", "-c40", "-d4s", "-s"]).arg(script);
    command.arg("-H").arg(format!("Authorization: Bearer {KEY}"));
    command.arg(format!("{}/organizations/none", remote.url));
    let said = output(&mut command)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate: f64 = rate.context("wrk told no rate")?.trim().parse()?;
    Ok(format!(
        "The ceiling: wrk gets {} deletions a second out of this simulator, each answered 404, \
         over 40 connections.\n",
        thousands(rate as u64)
    ))
}
