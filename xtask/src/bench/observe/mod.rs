//! The gateway for traces and product events: what it costs its callers, beside a collector and
//! beside the database's own tools, with the goal beside every figure.

mod doors;
mod figures;
mod gateway;
mod inserts;
mod load;
mod memory;
mod postgres;
mod recorder;
mod rotel;
mod seed;

use crate::place::Place;
use crate::test::tools::Tools;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// One thing to be measured.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name on the command line.
    pub name: &'static str,
    case: Case,
    rounds: u32,
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Recorder,
    Doors,
    Rotel,
    Memory,
    Postgres,
    Seed,
}

/// All jobs. The quick ones take some five minutes together, all of them some forty.
#[must_use]
pub fn all(quick: bool, rounds: u32) -> Vec<Job> {
    let few = |most: u32| rounds.min(most);
    let job = |name, case, rounds| Job { name, case, rounds, quick };
    vec![
        job("observe-recorder", Case::Recorder, few(3)),
        job("observe-doors", Case::Doors, few(3)),
        job("observe-rotel", Case::Rotel, rounds),
        job("observe-memory", Case::Memory, 1),
        job("observe-postgres", Case::Postgres, few(3)),
        job("observe-seed", Case::Seed, few(3)),
    ]
}

/// Measures these jobs, and returns a table of each.
///
/// # Errors
/// When something can't be started, or did not do all of a job.
pub fn measure(place: &Place, windlass: &Path, jobs: &[&Job]) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for job in jobs {
        let folder = gateway::empty(place.target.join("bench/observe"))?;
        let field = Field { place, windlass, folder, job };
        let text = match job.case {
            Case::Recorder => recorder::measure(&field),
            Case::Doors => doors::measure(&field),
            Case::Rotel => rotel::measure(&field),
            Case::Memory => memory::measure(&field),
            Case::Postgres => inserts::measure(&field),
            Case::Seed => seed::measure(&field),
        };
        let text = text.with_context(|| format!("job {}", job.name))?;
        println!("{text}");
        texts.push(text);
    }
    Ok(texts)
}

/// Everything that a job needs.
struct Field<'a> {
    place: &'a Place,
    windlass: &'a Path,
    /// An empty folder.
    folder: PathBuf,
    job: &'a Job,
}

impl Field<'_> {
    /// An empty folder for one round.
    fn round(&self) -> Result<PathBuf> {
        gateway::empty(self.folder.join("round"))
    }

    /// One of these, by how much time there is.
    const fn or_quick<T: Copy>(&self, whole: T, quick: T) -> T {
        if self.job.quick { quick } else { whole }
    }

    /// Where a program is that tests know by the name of this variable.
    fn tool(&self, variable: &str) -> Option<PathBuf> {
        let mut told = Command::new("told");
        Tools::find(self.place, true).give_to(&mut told);
        let found = told.get_envs().find(|(name, _)| *name == variable);
        found.and_then(|(_, path)| path).map(PathBuf::from)
    }

    /// How long a load is measured, and how long it is sent before.
    const fn durations(&self) -> (Duration, Duration) {
        let (measured, warmup) = self.or_quick((10, 2), (2, 1));
        (Duration::from_secs(measured), Duration::from_secs(warmup))
    }

    /// How often everything is measured, in words.
    fn times(&self) -> String {
        match self.job.rounds {
            1 => "once".to_owned(),
            2 => "twice".to_owned(),
            rounds => format!("{rounds} times"),
        }
    }
}

/// A gateway's file.
struct Config {
    text: String,
}

impl Config {
    /// One whose answers mean this, without a destination.
    fn new(durability: &str) -> Self {
        Self { text: format!("durability = \"{durability}\"\n") }
    }

    /// With one more destination.
    fn destination(mut self, name: &str, kind: &str, more: &str) -> Self {
        self.text
            .push_str(&format!("\n[[destinations]]\nname = \"{name}\"\nkind = \"{kind}\"\n{more}"));
        self
    }

    /// With the simulators of Langfuse and RudderStack at this address.
    fn simulators(self, url: &str) -> Self {
        let langfuse = format!(
            "url = \"{url}\"\npublic-key = \"pk-lf-simulated\"\n\
             secret-key = {{ env = \"BENCH_LANGFUSE_SECRET\" }}\n"
        );
        let rudder = format!("url = \"{url}\"\nsecret-key = {{ env = \"BENCH_RUDDER_KEY\" }}\n");
        self.destination("langfuse", "langfuse", &langfuse).destination(
            "rudderstack",
            "rudderstack",
            &rudder,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_differ_and_begin_with_the_system() {
        let jobs = all(false, 5);
        let names: BTreeSet<_> = jobs.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), 6);
        assert!(names.iter().all(|name| name.starts_with("observe-")));
        assert!(all(true, 2).iter().all(|job| job.quick && job.rounds <= 2));
    }

    #[test]
    fn a_file_names_its_destinations() {
        let config = Config::new("acknowledged").simulators("http://127.0.0.1:1");
        let config = config.destination("rows", "sql", "");
        let expected = "durability = \"acknowledged\"\n\n[[destinations]]\nname = \"langfuse\"\n\
                        kind = \"langfuse\"\nurl = \"http://127.0.0.1:1\"\n\
                        public-key = \"pk-lf-simulated\"\n\
                        secret-key = { env = \"BENCH_LANGFUSE_SECRET\" }\n\n[[destinations]]\n\
                        name = \"rudderstack\"\nkind = \"rudderstack\"\n\
                        url = \"http://127.0.0.1:1\"\n\
                        secret-key = { env = \"BENCH_RUDDER_KEY\" }\n\n[[destinations]]\n\
                        name = \"rows\"\nkind = \"sql\"\n";
        assert_eq!(config.text, expected);
    }
}
