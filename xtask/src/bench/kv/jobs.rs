//! What is measured on Workers KV: the jobs, their sizes, who takes part, and what is hoped for.

use super::client::Client;
use super::goals::Goal;
use crate::bench::table::thousands;

/// What is done with the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Names and metadata into a file, one line a key.
    List,
    /// The same with values.
    Export,
    /// All keys are found and deleted.
    Delete,
}

/// One job, the same for every client.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name for `--only`.
    pub name: &'static str,
    /// What it is, for the table.
    pub title: String,
    /// What is done.
    pub task: Task,
    /// With how many keys, all of which have metadata.
    pub keys: u64,
    /// The round trip of the simulated network, in milliseconds.
    pub latency_ms: u32,
    /// Whether windlass and the floor list by the 16 digits that names begin with. The others
    /// follow one chain of cursors always.
    pub shards: bool,
    /// Whether the remote keeps its documented limits; otherwise everything is allowed.
    pub limited: bool,
    /// Who takes part.
    pub clients: &'static [Client],
    /// How often.
    pub rounds: u32,
    /// What is hoped for.
    pub goals: Vec<Goal>,
}

/// The id of the namespace.
pub const NAMESPACE: &str = "5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e";
/// Bulk reads on the wire at once, for every client.
pub const READS_AT_ONCE: u32 = 10;
/// How many prefixes the digits of names make.
pub const PREFIXES: u32 = 16;
/// Bytes in a value.
const VALUE_BYTES: u32 = 512;

const PAGE_KEYS: u64 = 1_000;
const GET_KEYS: u64 = 100;
const DELETE_KEYS: u64 = 10_000;

const EVERYONE: &[Client] =
    &[Client::Windlass, Client::Wrangler, Client::Node, Client::Aiohttp, Client::Floor];
/// Where the time goes into waiting, wrangler's start tells nothing more.
const SCRIPTS: &[Client] = &[Client::Windlass, Client::Node, Client::Aiohttp, Client::Floor];
const ALONE: &[Client] = &[Client::Windlass];

impl Job {
    /// The simulator's arguments.
    pub fn simulator(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--keys={}", self.keys),
            "--namespaces=1".to_owned(),
            format!("--namespace-id={NAMESPACE}"),
            format!("--value-bytes={VALUE_BYTES}"),
            format!("--latency={}ms", self.latency_ms),
            "--counters-only".to_owned(),
        ];
        if !self.limited {
            arguments.push("--no-limits".to_owned());
        }
        arguments
    }

    const fn pages(&self) -> u64 {
        self.keys.div_ceil(PAGE_KEYS)
    }

    /// The fewest requests that do it.
    pub const fn requests(&self) -> u64 {
        let more = match self.task {
            Task::List => 0,
            Task::Export => self.keys.div_ceil(GET_KEYS),
            Task::Delete => self.keys.div_ceil(DELETE_KEYS),
        };
        self.pages() + more
    }

    /// The time of its round trips when one page follows the other, in seconds.
    pub fn chain_s(&self) -> f64 {
        (self.pages() * u64::from(self.latency_ms)) as f64 / 1_000.0
    }

    /// A job that everybody does without limits and latency; its goals come later.
    fn plain(name: &'static str, task: Task, keys: u64, rounds: u32) -> Self {
        let count = thousands(keys);
        let title = match task {
            Task::List => format!("Workers KV: {count} keys listed with metadata into a file"),
            Task::Export => {
                format!("Workers KV: {count} values of {VALUE_BYTES} bytes exported into a file")
            }
            Task::Delete => format!("Workers KV: {count} keys found and deleted"),
        };
        Self {
            name,
            title,
            task,
            keys,
            latency_ms: 0,
            shards: false,
            limited: false,
            clients: EVERYONE,
            rounds,
            goals: Vec::new(),
        }
    }

    fn at_ms(mut self, latency_ms: u32) -> Self {
        self.latency_ms = latency_ms;
        self.title.push_str(&format!(", {latency_ms} ms"));
        self
    }

    fn by(mut self, clients: &'static [Client]) -> Self {
        self.clients = clients;
        self
    }

    fn hoping(mut self, goals: impl Fn(&Self) -> Vec<Goal>) -> Self {
        self.goals = goals(&self);
        self
    }
}

/// All jobs. The quick ones take a minute and a half together, all of them some ten minutes.
pub fn all(quick: bool, rounds: u32) -> Vec<Job> {
    let few = |most: u32| rounds.min(most);
    let many = if quick { 100_000 } else { 1_000_000 };
    let mut jobs = vec![list("kv-list", many, rounds)];
    if !quick {
        let job = Job::plain("kv-list-10m", Task::List, 10_000_000, 1).by(ALONE);
        jobs.push(job.hoping(|_| vec![Goal::Memory(16.0)]));
    }
    jobs.extend([
        chain("kv-list-20ms", many, few(2)),
        shards("kv-list-shards-20ms", many, few(2)),
        Job::plain("kv-export", Task::Export, 10_000, rounds)
            .hoping(|job| vec![Goal::PeerTime(0.2), Goal::Requests(job.requests())]),
        Job::plain("kv-export-50ms", Task::Export, 10_000, few(3))
            .at_ms(50)
            .hoping(|job| vec![Goal::Seconds(0.7), Goal::Requests(job.requests())]),
        delete("kv-delete", many, few(3)),
        limited("kv-delete-limited", many, few(2)),
        Job::plain("kv-start", Task::List, 10, rounds)
            .hoping(|_| vec![Goal::Seconds(0.015), Goal::Memory(10.0)]),
    ]);
    jobs
}

fn list(name: &'static str, keys: u64, rounds: u32) -> Job {
    Job::plain(name, Task::List, keys, rounds).hoping(|job| {
        let requests = Goal::Requests(job.requests());
        vec![Goal::PeerTime(0.4), Goal::PeerCpu(0.3), Goal::Memory(16.0), requests]
    })
}

/// One page follows the other: nobody is quicker than their round trips.
fn chain(name: &'static str, keys: u64, rounds: u32) -> Job {
    let job = Job::plain(name, Task::List, keys, rounds).at_ms(20).by(SCRIPTS);
    job.hoping(|job| vec![Goal::Bound { factor: 1.1, bound_s: job.chain_s() }])
}

fn shards(name: &'static str, keys: u64, rounds: u32) -> Job {
    let mut job = Job::plain(name, Task::List, keys, rounds).at_ms(20).by(SCRIPTS);
    job.title.push_str("; windlass and the floor by 16 prefixes");
    job.shards = true;
    job.hoping(|job| {
        let most = job.requests() * 103 / 100;
        vec![Goal::PeerTime(0.06), Goal::RequestsAtMost(most)]
    })
}

/// The final walk, which proves that nothing is left, is one page.
fn delete(name: &'static str, keys: u64, rounds: u32) -> Job {
    Job::plain(name, Task::Delete, keys, rounds).hoping(|job| {
        let requests = Goal::RequestsAtMost(job.requests() + 1);
        vec![Goal::PeerTime(0.3), Goal::Memory(32.0), requests]
    })
}

fn limited(name: &'static str, keys: u64, rounds: u32) -> Job {
    let mut job = Job::plain(name, Task::Delete, keys, rounds).by(ALONE);
    job.title.push_str(", under the documented limits");
    job.limited = true;
    job.hoping(|job| vec![Goal::NoneRefused, Goal::RequestsAtMost(job.requests() + 1)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn find(name: &str) -> Job {
        all(false, 5).into_iter().find(|job| job.name == name).unwrap()
    }

    #[test]
    fn the_fewest_requests_follow_from_the_sizes_of_pages_and_batches() {
        assert_eq!(find("kv-list").requests(), 1_000);
        assert_eq!(find("kv-export").requests(), 110);
        assert_eq!(find("kv-delete").requests(), 1_100);
        assert_eq!(find("kv-start").requests(), 1);
        assert_eq!(find("kv-list-20ms").chain_s(), 20.0);
        assert!(find("kv-list-shards-20ms").goals.contains(&Goal::RequestsAtMost(1_030)));
        assert!(find("kv-delete-limited").goals.contains(&Goal::RequestsAtMost(1_101)));
    }

    #[test]
    fn only_the_limited_job_has_limits() {
        for job in all(false, 5) {
            let is_free = job.simulator().contains(&"--no-limits".to_owned());
            assert_eq!(is_free, job.name != "kv-delete-limited");
        }
    }

    #[test]
    fn quick_jobs_are_small_and_names_differ() {
        assert!(all(true, 2).iter().all(|job| job.keys <= 100_000 && job.rounds <= 2));
        let jobs = all(false, 5);
        let names: BTreeSet<_> = jobs.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), jobs.len());
    }
}
