//! What is measured: the jobs, their sizes, and who takes part.

use super::client::Client;

/// What is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Organizations.
    Organizations,
    /// Users.
    Users,
}

/// One job, the same for every client.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name for `--only`.
    pub name: &'static str,
    /// What it is, for the table.
    pub title: &'static str,
    /// What is deleted.
    pub kind: Kind,
    /// How many; all of them exist on the one day and nothing else does.
    pub count: u32,
    /// The round trip of the simulated network, in milliseconds.
    pub latency_ms: u32,
    /// Whether the remote allows [`LIMIT`] deletions in any second; otherwise everything.
    pub limited: bool,
    /// Who takes part.
    pub clients: &'static [Client],
    /// How often.
    pub rounds: u32,
}

/// The day on which everything was created.
pub const DAY: &str = "2005-12-17";
/// Deletions in any second where a job is limited.
pub const LIMIT: u32 = 50;
/// Requests on the wire, for every client.
pub const CONNECTIONS: u32 = 40;

const EVERYONE: &[Client] =
    &[Client::Windlass, Client::NodeFetch, Client::NodePool, Client::Curl, Client::Floor];
const WITHOUT_CURL: &[Client] =
    &[Client::Windlass, Client::NodeFetch, Client::NodePool, Client::Floor];
const LIMITED: &[Client] = &[Client::Windlass, Client::NodeFetch, Client::Floor];
const ALONE: &[Client] = &[Client::Windlass];

impl Job {
    /// The simulator's arguments.
    pub fn simulator(&self) -> Vec<String> {
        let (organizations, users) = match self.kind {
            Kind::Organizations => (self.count, 0),
            Kind::Users => (0, self.count),
        };
        let mut arguments = vec![
            format!("--organizations={organizations}"),
            format!("--users={users}"),
            format!("--all-on={DAY}"),
            format!("--latency={}ms", self.latency_ms),
            "--counters-only".to_owned(),
        ];
        if self.limited {
            let limits = ["all=unlimited", "authkit-read=unlimited"];
            arguments.push("--strict".to_owned());
            arguments.extend(limits.iter().map(|limit| format!("--limit={limit}")));
            arguments.push(format!("--limit=authkit-write={LIMIT}/1s"));
        } else {
            arguments.push("--no-limits".to_owned());
        }
        arguments
    }
}

/// All jobs. The quick ones take a minute together, all of them a quarter of an hour.
pub fn all(quick: bool, rounds: u32) -> Vec<Job> {
    let plain = |name, title, count, latency_ms, clients, rounds| Job {
        name,
        title,
        kind: Kind::Organizations,
        count,
        latency_ms,
        limited: false,
        clients,
        rounds,
    };
    let few = |most: u32| rounds.min(most);
    let start = "10 organizations: from start to exit";
    let mut jobs = vec![
        plain("a", "2,000 organizations, no latency, no limit", 2_000, 0, EVERYONE, rounds),
        plain("b", "2,000 organizations, 1 ms, no limit", 2_000, 1, EVERYONE, rounds),
        plain("c", "2,000 organizations, 50 ms, no limit", 2_000, 50, EVERYONE, few(3)),
        plain("f", start, 10, 0, EVERYONE, rounds * 2),
    ];
    if quick {
        return jobs;
    }
    let many = "100,000 organizations, no latency, no limit";
    jobs.push(plain("d", many, 100_000, 0, WITHOUT_CURL, few(2)));
    jobs.push(Job {
        kind: Kind::Users,
        limited: true,
        ..plain("e", "1,000 users, 50 in any second, 50 ms", 1_000, 50, LIMITED, few(3))
    });
    jobs.push(Job {
        kind: Kind::Users,
        ..plain("g", "1,000,000 users, no latency, no limit", 1_000_000, 0, ALONE, 1)
    });
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_job_limits_its_deletions_alone() {
        let jobs = all(false, 5);
        let limited = jobs.iter().find(|job| job.name == "e").unwrap().simulator();
        assert!(limited.contains(&"--limit=authkit-write=50/1s".to_owned()), "{limited:?}");
        assert!(!limited.contains(&"--no-limits".to_owned()));
        let names: std::collections::BTreeSet<_> = jobs.iter().map(|job| job.name).collect();
        assert_eq!(names.len(), jobs.len());
        assert!(all(true, 2).iter().all(|job| !job.limited && job.count <= 2_000));
    }
}
