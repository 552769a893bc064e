//! Who takes part: how each client is started for a job.

use super::jobs::{CONNECTIONS, DAY, Job, Kind, LIMIT};
use crate::bench::build;
use crate::bench::remote::Remote;
use crate::bench::turns::Line;
use crate::place::{Place, program};
use crate::test::tools::{apt_get, npm::Package};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The key that every simulator accepts.
pub const KEY: &str = "sk_test_simulated";
/// The version of the undici module that is the faster of the two Node clients.
const UNDICI: &str = "7.30.2";

/// A client that does the whole job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The program itself, with plan, journal, retries and events.
    Windlass,
    /// A script on Node: token bucket, a raced queue, `fetch`.
    NodeFetch,
    /// The same on undici's Pool.
    NodePool,
    /// curl and a shell.
    Curl,
    /// A bare loop on hyper.
    Floor,
}

/// The programs that were found.
#[derive(Debug)]
pub struct Programs {
    /// The release build.
    pub windlass: PathBuf,
    /// The release build.
    pub floor: PathBuf,
    /// The folder of the scripts.
    pub scripts: PathBuf,
    /// Node, any version.
    pub node: Option<PathBuf>,
    /// The main file of the module.
    pub undici: Option<PathBuf>,
    /// curl, where bash is, too.
    pub curl: Option<PathBuf>,
    /// The load generator.
    pub wrk: Option<PathBuf>,
}

impl Client {
    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Windlass => "windlass",
            Self::NodeFetch => "Node script, fetch",
            Self::NodePool => "Node script, undici Pool",
            Self::Curl => "curl --parallel",
            Self::Floor => "bare hyper loop (floor)",
        }
    }

    /// Whether it must do all of its job; others may give up.
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Windlass | Self::Floor)
    }
}

impl Programs {
    /// Builds what is measured, and looks for what it is measured against.
    ///
    /// # Errors
    /// When something of ours does not compile.
    pub fn prepare(place: &Place, windlass: &Path) -> Result<Self> {
        let home = place.target.join("bench");
        let node = program(&["node"]);
        let undici = Package::new("undici", UNDICI);
        let installed = match (&node, program(&["npm"])) {
            (Some(_), Some(npm)) => undici.install(&npm, &home).is_ok(),
            _ => false,
        };
        if program(&["wrk"]).is_none() && cfg!(target_os = "linux") {
            // Without it there is no ceiling; the table says so.
            let _absent = apt_get(&["install", "--yes", "wrk"]);
        }
        Ok(Self {
            windlass: windlass.to_owned(),
            floor: build::example(place, "workos_floor")?,
            scripts: place.root.join("xtask/bench/workos"),
            node,
            undici: installed.then(|| undici.folder(&home).join("index.js")),
            curl: program(&["curl"]).filter(|_| program(&["bash"]).is_some()),
            wrk: program(&["wrk"]),
        })
    }

    /// How a client is started.
    pub fn line(&self, client: Client, job: &Job, remote: &Remote, folder: &Path) -> Line {
        let words = self.command(client, job, remote, folder);
        Line { words, environment: self.environment(client, remote, folder) }
    }

    /// Whether a client can take part on this machine.
    pub fn has(&self, client: Client) -> bool {
        match client {
            Client::Windlass | Client::Floor => true,
            Client::NodeFetch => self.node.is_some(),
            Client::NodePool => self.node.is_some() && self.undici.is_some(),
            Client::Curl => self.curl.is_some(),
        }
    }

    fn command(&self, client: Client, job: &Job, remote: &Remote, folder: &Path) -> Vec<OsString> {
        let kind = match job.kind {
            Kind::Organizations => "organizations",
            Kind::Users => "users",
        };
        let script = |name: &str| self.scripts.join(name).into_os_string();
        let mut words: Vec<OsString> = Vec::new();
        let mut add = |more: &[&str]| words.extend(more.iter().map(OsString::from));
        let connections = CONNECTIONS.to_string();
        match client {
            Client::Windlass => {
                add(&["workos", "delete", DAY, "--yes", "--output", "json"]);
                add(&["--concurrency", &connections]);
                if job.kind == Kind::Users {
                    add(&["--users-only"]);
                }
                if job.limited {
                    add(&["--quota", &format!("user-write={LIMIT}/1s")]);
                } else {
                    add(&["--quota", "unlimited"]);
                }
                words.insert(0, self.windlass.clone().into());
            }
            Client::NodeFetch | Client::NodePool => {
                add(&[&remote.url, KEY, kind, DAY]);
                if job.limited {
                    // What such scripts choose for 50 a second: 80 % of it, all of it at once.
                    add(&["40", "40"]);
                }
                words.insert(0, script("bucket.mjs"));
                words.insert(0, self.node.clone().unwrap_or_default().into());
            }
            Client::Curl => {
                add(&[&remote.url, KEY, kind]);
                words.push(folder.into());
                words.insert(0, script("curl.sh"));
                words.insert(0, "bash".into());
            }
            Client::Floor => {
                add(&[&remote.url, KEY, kind, &connections]);
                if job.limited {
                    add(&[&LIMIT.to_string(), "1000"]);
                }
                words.insert(0, self.floor.clone().into());
            }
        }
        words
    }

    fn environment(
        &self,
        client: Client,
        remote: &Remote,
        folder: &Path,
    ) -> Vec<(&'static str, OsString)> {
        match client {
            Client::Windlass => vec![
                ("WORKOS_API_KEY", KEY.into()),
                ("WORKOS_BASE_URL", remote.url.clone().into()),
                ("WINDLASS_STATE_DIR", folder.join("state").into()),
                ("XDG_CONFIG_HOME", folder.into()),
            ],
            Client::NodePool => vec![("UNDICI", self.undici.clone().unwrap_or_default().into())],
            _ => Vec::new(),
        }
    }
}
