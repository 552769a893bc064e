//! Who takes part on Workers KV: how each client is started for a job, and what it leaves behind.

use super::jobs::{Job, NAMESPACE, PREFIXES, READS_AT_ONCE, Task};
use super::names;
use crate::bench::build;
use crate::bench::remote::Remote;
use crate::bench::turns::{Line, STDOUT};
use crate::place::{Place, output, program};
use crate::test::tools::Tools;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The token that every simulator accepts.
const TOKEN: &str = "cf-token-1";
/// The account that every simulator has.
const ACCOUNT: &str = "acc";
/// The version of the Python module.
const AIOHTTP: &str = "3.14.5";
/// Where windlass exports to.
const EXPORT: &str = "export.jsonl";

/// A client that does the whole job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The program itself, with plan, journal, retries and events.
    Windlass,
    /// Cloudflare's own command line.
    Wrangler,
    /// A streaming script on Node's `fetch`.
    Node,
    /// The same in Python.
    Aiohttp,
    /// A bare loop on hyper.
    Floor,
}

/// The programs that were found, and why others were not.
#[derive(Debug)]
pub struct Programs {
    /// The release build.
    pub windlass: PathBuf,
    floor: PathBuf,
    scripts: PathBuf,
    node: Option<PathBuf>,
    wrangler: Option<PathBuf>,
    python: Result<PathBuf, String>,
    /// A JSON array of all names, for the one that has to be told.
    names: Option<PathBuf>,
}

impl Client {
    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Windlass => "windlass",
            Self::Wrangler => "wrangler",
            Self::Node => "Node script, fetch",
            Self::Aiohttp => "Python script, aiohttp",
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
        let tools = Tools::for_bench(place);
        tools.warn();
        let python = python(&place.target.join("bench/venv"))
            .map_err(|error| format!("{error:#}").lines().next().unwrap_or_default().to_owned());
        if let Err(what) = &python {
            eprintln!("warning: no aiohttp: {what}");
        }
        Ok(Self {
            windlass: windlass.to_owned(),
            floor: build::example(place, "kv_floor")?,
            scripts: place.root.join("xtask/bench/kv"),
            node: tools.node().map(Path::to_owned),
            wrangler: tools.wrangler().map(|at| at.join("node_modules/wrangler/bin/wrangler.js")),
            python,
            names: None,
        })
    }

    /// Makes what clients of this job have to be given.
    ///
    /// # Errors
    /// When the names can't be listed.
    pub fn provide(&mut self, place: &Place, job: &Job) -> Result<()> {
        let is_needed = job.task == Task::Delete && job.clients.contains(&Client::Wrangler);
        self.names =
            if is_needed { Some(names::of_job(place, &self.windlass, job)?) } else { None };
        Ok(())
    }

    /// Why a client can't take part, if so.
    pub fn obstacle(&self, client: Client, job: &Job) -> Option<String> {
        let no_node = || self.node.is_none().then(|| "there is no Node that is recent".to_owned());
        match client {
            Client::Windlass | Client::Floor => None,
            Client::Node => no_node(),
            Client::Aiohttp => self.python.as_ref().err().cloned(),
            Client::Wrangler if job.task == Task::Export => Some(
                "its `kv bulk get` asks for all keys in one request, and the API takes 100".into(),
            ),
            Client::Wrangler if self.wrangler.is_none() => Some("it is not installed".to_owned()),
            Client::Wrangler => no_node(),
        }
    }

    /// How a client is started.
    pub fn line(&self, client: Client, job: &Job, remote: &Remote, folder: &Path) -> Line {
        let words = match client {
            Client::Windlass => self.windlass(job),
            Client::Wrangler => self.wrangler(job),
            Client::Node => {
                let node = self.node.clone().unwrap_or_default();
                self.script(vec![node.into(), self.scripts.join("client.mjs").into()], job)
            }
            Client::Aiohttp => {
                let python = self.python.clone().unwrap_or_default();
                self.script(vec![python.into(), self.scripts.join("client.py").into()], job)
            }
            Client::Floor => {
                let mut words = self.script(vec![self.floor.clone().into()], job);
                words.push(if job.shards { PREFIXES } else { 1 }.to_string().into());
                words
            }
        };
        Line { words, environment: environment(remote, folder) }
    }

    fn windlass(&self, job: &Job) -> Vec<OsString> {
        let mut words = vec!["kv"];
        match job.task {
            Task::List => words.extend(["list", "--all", "--metadata", "--output", "json"]),
            Task::Export => words.extend(["export", "-o", EXPORT]),
            Task::Delete => words.extend(["delete", "--all-keys", "--yes"]),
        }
        words.extend(["--namespace-id", NAMESPACE]);
        if job.shards {
            words.extend(["--shards", "hex"]);
        }
        if !job.limited {
            words.extend(["--quota", "unlimited"]);
        }
        let at_once = if job.shards { PREFIXES } else { READS_AT_ONCE }.to_string();
        words.extend(["--concurrency", &at_once]);
        let words = words.into_iter().map(OsString::from);
        std::iter::once(self.windlass.clone().into()).chain(words).collect()
    }

    fn wrangler(&self, job: &Job) -> Vec<OsString> {
        let node = self.node.clone().unwrap_or_default();
        let mut all: Vec<OsString> =
            vec![node.into(), self.wrangler.clone().unwrap_or_default().into(), "kv".into()];
        let names = self.names.clone().unwrap_or_default();
        match job.task {
            Task::List => all.extend(["key", "list"].map(OsString::from)),
            Task::Export => all.extend(["bulk".into(), "get".into(), names.into()]),
            Task::Delete => {
                all.extend(["bulk".into(), "delete".into(), names.into(), "--force".into()]);
            }
        }
        all.extend(["--namespace-id", NAMESPACE, "--remote"].map(OsString::from));
        all
    }

    /// The scripts and the floor find the rest in their environment.
    fn script(&self, mut words: Vec<OsString>, job: &Job) -> Vec<OsString> {
        let task = match job.task {
            Task::List => "list",
            Task::Export => "export",
            Task::Delete => "delete",
        };
        words.extend([task, NAMESPACE].map(OsString::from));
        words
    }
}

/// What every client finds in its environment. Nobody reads what belongs to this machine's user.
pub fn environment(remote: &Remote, folder: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("CLOUDFLARE_API_TOKEN", TOKEN.into()),
        ("CLOUDFLARE_ACCOUNT_ID", ACCOUNT.into()),
        ("CLOUDFLARE_API_BASE_URL", remote.url.clone().into()),
        ("HOME", folder.into()),
        ("XDG_CONFIG_HOME", folder.into()),
        ("WINDLASS_STATE_DIR", folder.join("state").into()),
        ("CI", "1".into()),
        ("WRANGLER_SEND_METRICS", "false".into()),
        ("WRANGLER_HIDE_BANNER", "true".into()),
    ]
}

/// Where a client leaves its lines.
pub fn product(client: Client, task: Task) -> &'static str {
    if client == Client::Windlass && task == Task::Export { EXPORT } else { STDOUT }
}

/// A Python of its own that has aiohttp.
fn python(home: &Path) -> Result<PathBuf> {
    let python = home.join("bin/python");
    let check = format!("import aiohttp; assert aiohttp.__version__ == '{AIOHTTP}'");
    if output(Command::new(&python).args(["-c", &check])).is_ok() {
        return Ok(python);
    }
    let system = program(&["python3"]).context("python3 was not found")?;
    println!("installing aiohttp {AIOHTTP} into {}", home.display());
    output(Command::new(system).args(["-m", "venv"]).arg(home))?;
    let module = format!("aiohttp=={AIOHTTP}");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &module];
    output(Command::new(&python).args(install))?;
    output(Command::new(&python).args(["-c", &check]))?;
    Ok(python)
}
