//! `cargo xtask bench`: windlass beside what people run today for the same job, against the same
//! simulator on this machine, in one run, taking turns. The floor is a bare loop that does nothing
//! else; the ceiling is what wrk gets out of the same simulator.
//!
//! Nothing here judges a time: it measures, and checks that everything was deleted.

mod client;
mod jobs;
mod machine;
mod remote;
mod samples;
mod table;

use crate::measure;
use crate::place::{Place, output, program};
use crate::test::tools;
use anyhow::{Context, Result, bail};
use client::{Client, Programs};
use jobs::Job;
use machine::Machine;
use remote::Remote;
use samples::{Sample, Samples};
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Instant;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";
/// The version of the undici module that is the faster of the two Node clients.
const UNDICI: &str = "7.30.2";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    quick: bool,
    write: bool,
    rounds: u32,
    only: Vec<String>,
    words: String,
}

/// Runs the jobs and prints the tables.
pub fn run(flags: &[&str]) -> Result<bool> {
    let flags = Flags::parse(flags)?;
    let place = Place::find()?;
    let programs = prepare(&place)?;
    let jobs = jobs::all(flags.quick, flags.rounds);
    if let Some(name) = flags.only.iter().find(|name| jobs.iter().all(|job| job.name != **name)) {
        bail!("there is no job `{name}`; there are {}", names(&jobs));
    }
    let mut text = Machine::read(&place).describe(&flags.words);
    for job in jobs.iter().filter(|job| flags.wants(job)) {
        let table = table::of_job(job, &measure_job(&place, &programs, job)?);
        println!("{table}");
        text.push_str(&format!("\n{table}"));
    }
    if flags.only.is_empty() {
        let ceiling = ceiling(&place, &programs)?;
        println!("{ceiling}");
        text.push_str(&format!("\n{ceiling}"));
    }
    if flags.write {
        write(&place, &text)?;
    }
    Ok(true)
}

fn names(jobs: &[Job]) -> String {
    jobs.iter().map(|job| job.name).collect::<Vec<_>>().join(", ")
}

impl Flags {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut flags = Self {
            quick: false,
            write: false,
            rounds: 5,
            only: Vec::new(),
            words: words.join(" "),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => (flags.quick, flags.rounds) = (true, flags.rounds.min(2)),
                "--write" => flags.write = true,
                "--rounds" => {
                    let rounds = words.next().and_then(|number| number.parse().ok());
                    flags.rounds = rounds.filter(|rounds| *rounds > 0).context("--rounds N")?;
                }
                "--only" => {
                    let names = words.next().context("--only JOB,...")?;
                    flags.only = names.split(',').map(str::to_owned).collect();
                }
                other => bail!("`{other}` is not understood; see cargo xtask help"),
            }
        }
        Ok(flags)
    }

    fn wants(&self, job: &Job) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == job.name)
    }
}

/// Builds what is measured, and looks for what it is measured against.
fn prepare(place: &Place) -> Result<Programs> {
    let build = |words: &[&str]| -> Result<()> {
        let mut command = place.cargo(&["build", "--release", "--locked"]);
        if !command.args(words).status()?.success() {
            bail!("what is measured can't be built");
        }
        Ok(())
    };
    build(&["--package", "windlass"])?;
    build(&["--package", "xtask", "--example", "floor"])?;
    let home = place.target.join("bench");
    fs::create_dir_all(&home)?;
    let node = program(&["node"]);
    let undici = match (&node, program(&["npm"])) {
        (Some(_), Some(npm)) => tools::install(&npm, &home, "undici", UNDICI).ok(),
        _ => None,
    };
    if program(&["wrk"]).is_none() && cfg!(target_os = "linux") {
        // Without it there is no ceiling; the table says so.
        let _absent = tools::apt_get(&["install", "--yes", "wrk"]);
    }
    Ok(Programs {
        windlass: place.target.join("release/windlass"),
        floor: place.target.join("release/examples/floor"),
        scripts: place.root.join("xtask/bench"),
        node,
        undici: undici.map(|()| home.join("node_modules/undici/index.js")),
        curl: program(&["curl"]).filter(|_| program(&["bash"]).is_some()),
        wrk: program(&["wrk"]),
    })
}

/// All rounds of a job; the clients take turns, and each round begins with another one.
fn measure_job(place: &Place, programs: &Programs, job: &Job) -> Result<Vec<(Client, Samples)>> {
    let clients = job.clients.iter().filter(|client| programs.has(**client));
    let mut all: Vec<(Client, Samples)> =
        clients.map(|client| (*client, Samples::default())).collect();
    for round in 0..job.rounds as usize {
        let first = round % all.len().max(1);
        all.rotate_left(first);
        for (client, samples) in &mut all {
            let sample = measure_once(place, programs, job, *client)
                .with_context(|| format!("job {}, {}", job.name, client.name()))?;
            println!(
                "{} {}: {:.3} s, {} deleted, others {:.0} %",
                job.name,
                client.name(),
                sample.cost.wall_s,
                sample.deleted,
                sample.others_percent
            );
            samples.push(sample);
        }
        all.rotate_right(first);
    }
    Ok(all)
}

/// One client, on a fresh simulator, in an empty folder.
fn measure_once(place: &Place, programs: &Programs, job: &Job, client: Client) -> Result<Sample> {
    let folder = place.target.join("bench/run");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let remote = Remote::start(&programs.windlass, &job.simulator())?;
    let report = folder.join("cost.json");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("measure").arg(&report).args(programs.command(client, job, &remote, &folder));
    command.envs(programs.environment(client, &remote, &folder)).current_dir(&folder);
    command.stdin(Stdio::null()).stdout(File::create(folder.join("stdout"))?);
    command.stderr(File::create(folder.join("stderr"))?);
    let start = Instant::now();
    let before = (machine::busy_s(), remote.cpu_s());
    let ran = command.status()?;
    let after = (machine::busy_s(), remote.cpu_s());
    let capacity_s = start.elapsed().as_secs_f64() * machine::cores() as f64;
    let said = || fs::read_to_string(folder.join("stderr")).unwrap_or_default();
    if !ran.success() {
        bail!("it could not be measured: {}", said());
    }
    let cost = measure::read(&report)?;
    let summary = remote.summary()?;
    let deleted = u64::from(job.count).saturating_sub(summary.remaining);
    if client.is_ours() && !(cost.success && deleted == u64::from(job.count)) {
        bail!("{deleted} of {} deleted: {}", job.count, said());
    }
    let others_s = (after.0 - before.0) - (after.1 - before.1) - cost.cpu_s;
    let others_percent = (100.0 * others_s / capacity_s).clamp(0.0, 100.0);
    fs::remove_dir_all(&folder)?;
    let (requests, too_many) = (summary.requests, summary.too_many);
    Ok(Sample { cost, requests, too_many, deleted, others_percent })
}

/// What wrk gets: deletions that are answered 404.
fn ceiling(place: &Place, programs: &Programs) -> Result<String> {
    let Some(wrk) = &programs.wrk else {
        return Ok("The ceiling was not measured: wrk is not installed.\n".to_owned());
    };
    let remote = Remote::start(&programs.windlass, &["--organizations=0", "--no-limits"])?;
    let mut command = Command::new(wrk);
    command.args(["-t1", "-c40", "-d4s", "-s"]).arg(place.root.join("xtask/bench/delete.lua"));
    command.arg("-H").arg(format!("Authorization: Bearer {}", remote::KEY));
    command.arg(format!("{}/organizations/none", remote.url));
    let said = output(&mut command)?;
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate: f64 = rate.context("wrk told no rate")?.trim().parse()?;
    Ok(format!(
        "The ceiling: wrk gets {} deletions a second out of this simulator, each answered 404, \
         over 40 connections.\n",
        table::thousands(rate as u64)
    ))
}

/// Replaces what stands between the markers in README.md.
fn write(place: &Place, text: &str) -> Result<()> {
    let path = place.root.join("README.md");
    let readme = fs::read_to_string(&path).context("README.md")?;
    fs::write(&path, replaced(&readme, text)?)?;
    println!("README.md written");
    Ok(())
}

fn replaced(readme: &str, text: &str) -> Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).with_context(|| format!("README.md has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README.md has no {END}"))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let readme = format!("# A\n\n{BEGIN}\nold\n{END}\n\nafter\n");
        let new = replaced(&readme, "\nnew\n\n").unwrap();
        assert_eq!(new, format!("# A\n\n{BEGIN}\nnew\n{END}\n\nafter\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert!(replaced("# A\n", "new").is_err());
    }

    #[test]
    fn flags_are_read() {
        let flags = Flags::parse(&["--quick", "--only", "a,f", "--write"]).unwrap();
        assert!(flags.quick && flags.write && flags.rounds == 2);
        assert_eq!(flags.only, ["a", "f"]);
        assert_eq!(Flags::parse(&["--rounds", "7"]).unwrap().rounds, 7);
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--fast"]] {
            assert!(Flags::parse(wrong).is_err());
        }
    }
}
