//! Migrating documents of a MongoDB: windlass beside a script of the usual shape, its own bare hash
//! rate, and a bare loop of raw updates, all against the small server of this project.

mod server;
mod table;

use super::build;
use super::samples::Sample;
use super::turns::rounds;
use crate::measure;
use crate::place::{Place, output, program};
use crate::test::tools::npm::Package;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use server::Server;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The versions of the packages that the script uses.
const DRIVER: &str = "7.0.0";
const BCRYPT: &str = "6.0.0";

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The program itself, with plan, checks, journal, checkpoints and the last look.
    Windlass,
    /// A script in Node with the official driver and npm's bcrypt.
    Node,
    /// Nothing but hashing, in the program's own threads.
    Hashing,
    /// A bare loop of raw updates.
    Floor,
}

impl Client {
    const fn name(self) -> &'static str {
        match self {
            Self::Windlass => "windlass",
            Self::Node => "Node script, 2 workers",
            Self::Hashing => "windlass, hashing alone",
            Self::Floor => "bare loop (floor)",
        }
    }
}

/// One thing to be measured.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name on the command line.
    pub name: &'static str,
    title: String,
    people: u64,
    documents: u64,
    /// The cost of bcrypt; without one there are no passwords.
    cost: Option<u32>,
    clients: &'static [Client],
    rounds: u32,
}

/// All jobs.
#[must_use]
pub fn all(quick: bool, rounds: u32) -> Vec<Job> {
    const HASHERS: &[Client] = &[Client::Windlass, Client::Node, Client::Hashing];
    const WRITERS: &[Client] = &[Client::Windlass, Client::Floor];
    let few = rounds.min(3);
    let accounts = |name, people, cost| Job {
        name,
        title: format!("MongoDB: {people} accounts with bcrypt of cost {cost}"),
        people,
        documents: people * 2,
        cost: Some(cost),
        clients: HASHERS,
        rounds: few,
    };
    let documents = |name, documents: u64, clients, rounds| Job {
        name,
        title: format!("MongoDB: {documents} documents without passwords"),
        people: (documents / 20).max(100),
        documents,
        cost: None,
        clients,
        rounds,
    };
    let mut jobs = vec![
        accounts("mongo-accounts-10", if quick { 200 } else { 1_000 }, 10),
        documents("mongo-documents", if quick { 20_000 } else { 100_000 }, WRITERS, few),
    ];
    if !quick {
        jobs.push(accounts("mongo-accounts-12", 400, 12));
        jobs.push(documents("mongo-small", 10_000, &[Client::Windlass], 1));
        jobs.push(documents("mongo-large", 1_000_000, &[Client::Windlass], 1));
    }
    jobs
}

/// Measures these jobs, and returns a table of each.
///
/// # Errors
/// When something can't be started, or did not do all of a job.
pub fn measure(place: &Place, windlass: &Path, jobs: &[&Job]) -> Result<Vec<String>> {
    let floor = build::example(place, "mongo_floor")?;
    let script = script(place);
    let mut texts = Vec::new();
    for job in jobs {
        let field = Field { place, windlass, floor: &floor, script: script.as_deref().ok(), job };
        let absent = match &script {
            Err(error) if job.clients.contains(&Client::Node) => Some(format!("{error:#}")),
            _ => None,
        };
        let clients: Vec<Client> = job
            .clients
            .iter()
            .copied()
            .filter(|client| *client != Client::Node || absent.is_none())
            .collect();
        let all = rounds(&clients, job.rounds, |client| {
            let sample = field.take(client);
            let sample = sample.with_context(|| format!("job {}, {}", job.name, client.name()))?;
            println!("{} {}: {}", job.name, client.name(), sample.words(job.counted()));
            Ok(sample)
        })?;
        let text = table::of_job(job, &all, absent.as_deref());
        println!("{text}");
        texts.push(text);
    }
    Ok(texts)
}

impl Job {
    const fn counted(&self) -> &'static str {
        if self.cost.is_some() { "accounts" } else { "documents" }
    }

    fn migration(&self) -> String {
        let head = "name = \"bench\"\n[write_concern]\nw = 1\n";
        match self.cost {
            Some(cost) => format!("{head}{}{cost}\n", ACCOUNTS),
            None => format!("{head}{DOCUMENTS}"),
        }
    }
}

const ACCOUNTS: &str = r#"
[[phase]]
name = "users"
from = "responses"
to = "users"
where = "text(doc.name) != ''"
otherwise = "no usable name"
group = "fold(doc.name)"
first = "date(doc.createdAt)"
[phase.fields]
username = "slug(doc.name, 3, 30)"
email = "target.username + '@example.com'"
role = "'user'"
[phase.fields.migrationData]
legacyName = "text(doc.name)"
source = "'migration'"
[[phase.unique]]
fields = ["username"]
collision = "number"
length = 30
[phase.password]
field = "password"
algorithm = "bcrypt"
cost = "#;

const DOCUMENTS: &str = r#"
[[phase]]
name = "submissions"
from = "responses"
to = "submissions"
[phase.fields]
name = "doc.name"
month = "doc.month"
answers = "doc.responses"
submittedAt = "doc.createdAt"
formVersion = "'v1_migration'"
"#;

/// Everything that a round needs.
struct Field<'a> {
    place: &'a Place,
    windlass: &'a Path,
    floor: &'a Path,
    script: Option<&'a Path>,
    job: &'a Job,
}

impl Field<'_> {
    /// One client at the job, on a fresh server with fresh documents.
    fn take(&self, client: Client) -> Result<Sample> {
        let folder = self.place.target.join("bench/mongo");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        if client == Client::Hashing {
            return self.hashing(&folder);
        }
        let server = Server::start(self.windlass)?;
        self.generate(&server, &folder)?;
        fs::write(folder.join("migration.toml"), self.job.migration())?;
        let mut command = self.command(client, &folder)?;
        let (report, state) = (folder.join("cost.json"), folder.join("state"));
        command.current_dir(&folder).env("MONGODB_URI", &server.uri);
        command.env("WINDLASS_STATE_DIR", &state).stdin(Stdio::null());
        command.stdout(File::create(folder.join("stdout"))?);
        command.stderr(File::create(folder.join("stderr"))?);
        if !command.status()?.success() {
            bail!("{}", fs::read_to_string(folder.join("stderr")).unwrap_or_default());
        }
        let mut cost = measure::read(&report)?;
        if !cost.success {
            bail!("{}", fs::read_to_string(folder.join("stderr")).unwrap_or_default());
        }
        if client == Client::Windlass {
            cost.wall_s = self.applying_s(&folder)?.unwrap_or(cost.wall_s);
        }
        let done = if self.job.cost.is_some() { self.job.people } else { self.job.documents };
        Ok(Sample { cost, done, ..Sample::default() })
    }

    fn generate(&self, server: &Server, folder: &Path) -> Result<()> {
        let mut command = Command::new(self.windlass);
        command.args(["migrate", "generate", "--quiet"]);
        command.args(["--documents", &self.job.documents.to_string()]);
        command.args(["--people", &self.job.people.to_string()]);
        command.env("MONGODB_URI", &server.uri).env("WINDLASS_STATE_DIR", folder.join("other"));
        let made = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        if made.success() { Ok(()) } else { bail!("no documents could be generated") }
    }

    fn command(&self, client: Client, folder: &Path) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("measure").arg(folder.join("cost.json"));
        match client {
            Client::Windlass => {
                command.arg(self.windlass).args(["migrate", "run", "migration.toml", "--execute"]);
                command.arg("--quiet");
            }
            Client::Floor => {
                command.arg(self.floor);
            }
            _ => {
                let node = program(&["node"]).context("node was not found")?;
                command.arg(node).arg(self.script.context("there is no script")?);
                command.env("HASH_COST", self.job.cost.unwrap_or(12).to_string());
            }
        }
        Ok(command)
    }

    /// How long the run was at work: the plan is shown before and costs nobody's time.
    fn applying_s(&self, folder: &Path) -> Result<Option<f64>> {
        let mut command = Command::new(self.windlass);
        command.args(["report", "--output", "json"]);
        command.env("WINDLASS_STATE_DIR", folder.join("state"));
        let report: Value = serde_json::from_str(&output(&mut command)?)?;
        Ok(report["seconds"].as_f64())
    }

    /// The rate of hashing alone, as the time that this job's accounts would take.
    fn hashing(&self, folder: &Path) -> Result<Sample> {
        let report = folder.join("cost.json");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("measure").arg(&report).arg(self.windlass);
        let cost = self.job.cost.unwrap_or(12).to_string();
        command.args(["migrate", "hashes", "--output", "json", "--cost", &cost]);
        command.args(["--seconds", "10"]);
        let told: Value = serde_json::from_str(&output(&mut command)?)?;
        let mut cost = measure::read(&report)?;
        let (hashes, seconds) = (told["hashes"].as_f64(), told["seconds"].as_f64());
        let (hashes, seconds) = hashes.zip(seconds).context("the measurement tells no hashes")?;
        let share = self.job.people as f64 / hashes;
        (cost.wall_s, cost.cpu_s) = (seconds * share, cost.cpu_s * share);
        Ok(Sample { cost, done: self.job.people, ..Sample::default() })
    }
}

/// The script, with its packages where Node looks for them: in its folder and in the one above,
/// since npm keeps one folder to what one installation asked for.
fn script(place: &Place) -> Result<PathBuf> {
    program(&["node"]).context("node was not found")?;
    let npm = program(&["npm"]).context("npm was not found")?;
    let above = place.target.join("bench/npm-mongo");
    let folder = above.join("script");
    Package::new("mongodb", DRIVER).install(&npm, &above)?;
    Package::new("bcrypt", BCRYPT).install(&npm, &folder)?;
    let script = folder.join("script.mjs");
    fs::copy(place.root.join("xtask/bench/mongo/script.mjs"), &script)?;
    Ok(script)
}
