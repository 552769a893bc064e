//! The program as a process, a folder that is all it knows of the world, and remotes whose every
//! request is on record.

use bytes::Bytes;
use clap::{Command as ClapCommand, FromArgMatches};
use http::{Request, Response};
use regex::Regex;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;
use windlass_connectors::workos;
use windlass_connectors::workos::sim::{Options, WorkosSim};
use windlass_engine::plan::Plan;
use windlass_sim::{Reset, Simulator};

/// The key that the simulators accept.
pub const KEY: &str = "sk_test_simulated";
/// Nothing that is waited for takes longer, unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// No program runs longer: the longest waits a minute for a remote's window.
const LONGEST_RUN: Duration = Duration::from_secs(150);

/// What a doorman says to a request: `Some` is his own answer, `None` lets it pass.
type Look = Box<dyn Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send>;

/// A simulated WorkOS on a port, with a doorman in front who counts and may answer himself.
pub struct Remote {
    pub sim: Arc<WorkosSim>,
    pub url: String,
    door: Arc<Door>,
    _open: oneshot::Sender<()>,
}

struct Door {
    sim: Mutex<Arc<WorkosSim>>,
    look: Mutex<Option<Look>>,
    inside: AtomicUsize,
    most_inside: AtomicUsize,
}

impl Simulator for Door {
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Reset> {
        let _visit = Visit::begin(self);
        let answer = self.look.lock().unwrap().as_ref().and_then(|look| look(&request));
        match answer {
            Some(answer) => Ok(answer),
            None => {
                let sim = Arc::clone(&self.sim.lock().unwrap());
                sim.call(request).await
            }
        }
    }

    fn control(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.sim.lock().unwrap().control(request)
    }
}

/// A request on its way, until it is answered or its connection is gone.
struct Visit<'a>(&'a Door);

impl<'a> Visit<'a> {
    fn begin(door: &'a Door) -> Self {
        let inside = door.inside.fetch_add(1, Ordering::SeqCst) + 1;
        door.most_inside.fetch_max(inside, Ordering::SeqCst);
        Self(door)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Remote {
    /// Starts one with these flags of `windlass sim workos`.
    pub fn start(flags: &[&str]) -> Self {
        let command: ClapCommand = (workos::CONNECTOR.simulator.command)();
        let words = [&["workos"], flags].concat();
        let matches = command.try_get_matches_from(words).unwrap_or_else(|e| panic!("{e}"));
        Self::with(Options::from_arg_matches(&matches).unwrap())
    }

    /// Starts one with these options.
    pub fn with(options: Options) -> Self {
        let (told, hear) = std::sync::mpsc::channel();
        let (open, closed) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let serve = options.serve.clone();
                let sim = Arc::new(WorkosSim::new(options).unwrap());
                let door = Arc::new(Door {
                    sim: Mutex::new(Arc::clone(&sim)),
                    look: Mutex::new(None),
                    inside: AtomicUsize::new(0),
                    most_inside: AtomicUsize::new(0),
                });
                let any = "127.0.0.1:0".parse().unwrap();
                let served = windlass_sim::serve(Arc::clone(&door), any, serve).await;
                let (address, serving) = served.unwrap();
                told.send((sim, door, address)).unwrap();
                tokio::select! {
                    () = serving => {}
                    _ = closed => {}
                }
            });
        });
        let (sim, door, address) = hear.recv().unwrap();
        Self { sim, url: format!("http://{address}"), door, _open: open }
    }

    /// From now on this one looks at every request first.
    pub fn door(&self, look: impl Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send + 'static) {
        *self.door.look.lock().unwrap() = Some(Box::new(look));
    }

    /// Every request passes again.
    pub fn no_door(&self) {
        *self.door.look.lock().unwrap() = None;
    }

    /// At this one's address, another one answers from now on.
    pub fn hand_over(&self, to: &Self) {
        *self.door.sim.lock().unwrap() = Arc::clone(&to.sim);
    }

    /// The most requests that were on their way at once.
    pub fn most_at_once(&self) -> usize {
        self.door.most_inside.load(Ordering::SeqCst)
    }

    /// How many deletions arrived, answered or not.
    pub fn deletes(&self) -> usize {
        self.sim.ledger().count(|entry| entry.method == "DELETE")
    }

    /// The ids that deletions arrived for, in their order.
    pub fn asked(&self) -> Vec<String> {
        let mut ids = Vec::new();
        self.sim.ledger().each(|entry| {
            if entry.method == "DELETE" {
                ids.push(entry.leaf.to_owned());
            }
        });
        ids
    }

    /// The ids that are gone.
    pub fn deleted(&self) -> BTreeSet<String> {
        self.sim.deleted().into_iter().collect()
    }

    /// Everything that is still there.
    pub fn remaining(&self) -> BTreeSet<String> {
        let users = self.sim.remaining_users();
        self.sim.remaining_organizations().into_iter().chain(users).collect()
    }

    /// Waits until so many deletions have arrived.
    pub fn wait_for_deletes(&self, count: usize) {
        wait_until(&format!("{count} deletions"), || self.deletes() >= count);
    }
}

/// A command that heeds SIGHUP although these tests may run where it is ignored, such as under
/// `nohup`: what is ignored is handed down.
pub fn heedful(program: &str) -> Command {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim);
    if ignored.is_none_or(|mask| u64::from_str_radix(mask, 16).unwrap() & 1 == 0) {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", program]);
    command
}

/// Waits until something holds.
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, holds);
}

fn wait_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A home directory, a working directory and a state directory; nothing else is known to the
/// programs in it, whatever the environment of the tests says.
pub struct Home {
    folder: TempDir,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("work")).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where the programs work.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Where they keep runs.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Writes a file below the home directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A command line of the program without a remote.
    pub fn windlass(&self, words: &[&str]) -> Program {
        let mut command = heedful(env!("CARGO_BIN_EXE_windlass"));
        command.args(words);
        let mut program = self.program(command);
        program.line = [&["windlass"], words].concat().iter().map(ToString::to_string).collect();
        program
    }

    /// The same with a remote and its key in the environment.
    pub fn at(&self, remote: &Remote, words: &[&str]) -> Program {
        let mut program = self.windlass(words);
        program.command.env("WORKOS_BASE_URL", &remote.url).env("WORKOS_API_KEY", KEY);
        program
    }

    /// Any program in this home.
    pub fn program(&self, mut command: Command) -> Program {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("WINDLASS_STATE_DIR", self.state())
            // All tests at once keep the processor busier than any run would tolerate.
            .env("CPU_THROTTLE_ENABLED", "false")
            .current_dir(self.work())
            .stdin(Stdio::null());
        Program { command, line: Vec::new() }
    }

    /// The names of all runs, in the order of their plans.
    pub fn runs(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.state().join("runs")) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The only run.
    pub fn run(&self) -> String {
        let runs = self.runs();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.into_iter().next().unwrap()
    }

    /// A file in the folder of the only run.
    pub fn of_run(&self, name: &str) -> PathBuf {
        self.state().join("runs").join(self.run()).join(name)
    }
}

/// A program that is about to start.
pub struct Program {
    command: Command,
    line: Vec<String>,
}

impl Program {
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.line.insert(0, format!("{name}={}", value.as_ref().display()));
        self.command.env(name, value);
        self
    }

    /// What would be typed, with the variables that are not those of its remote.
    pub fn line(&self) -> String {
        self.line.join(" ")
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }

    /// Starts it, its words going to files.
    pub fn spawn(mut self) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = self.command.stdout(file("out")).stderr(file("err")).spawn().unwrap();
        Running { child, folder }
    }

    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Starts it with a way to speak to it.
    pub fn spawn_with_stdin(self) -> (ChildStdin, Running) {
        let mut running = self.stdin(Stdio::piped()).spawn();
        (running.child.stdin.take().unwrap(), running)
    }

    /// The bare command, for tests that connect its ends themselves.
    pub fn command(self) -> Command {
        self.command
    }
}

/// A program at work. It is killed when the test ends first.
pub struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    /// What it has said so far.
    pub fn err(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("err")).unwrap()
    }

    /// What it has put out so far.
    pub fn out(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    /// Waits until it has said this.
    pub fn wait_for(&self, words: &str) {
        wait_until(words, || self.err().contains(words));
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Kills it at once, with SIGKILL.
    pub fn kill(&mut self) -> ExitStatus {
        self.child.kill().unwrap();
        self.child.wait().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ended {
        let mut status = None;
        wait_within(LONGEST_RUN, "the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended { status: status.unwrap(), out: self.out(), err: self.err() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {process}")).status();
    assert!(status.unwrap().success());
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// The same, after a look at the exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "\n--- stdout\n{}\n--- stderr\n{}",
            self.out,
            self.err
        );
        self
    }

    /// The error as it stands on stderr, from its first word on, without what changes.
    pub fn error(&self) -> String {
        let starts = |text: &str| text.starts_with("error: ").then_some(0);
        let start = starts(&self.err).or_else(|| Some(self.err.find("\nerror: ")? + 1));
        let start = start.unwrap_or_else(|| panic!("no error: {}", self.err));
        folded(&redacted(&self.err[start..]))
    }

    /// The lines of stdout as JSON.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The report at the end of the JSON lines.
    pub fn report(&self) -> serde_json::Value {
        let last = self.json().pop().unwrap();
        assert_eq!(last["event"], "report");
        last
    }
}

/// The text without names of runs and folders, ports, times and numbers of requests.
pub fn redacted(text: &str) -> String {
    let rules = [
        (r"(workos|cloudflare)-\d{8}-\d{6}-[a-z0-9]{4}", "RUN"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"[^\s`=]*/\.tmp[A-Za-z0-9]+", "HOME"),
        (r"req_[0-9a-f]{16}", "REQUEST"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "WHEN"),
        (r"\b[0-9a-f]{16}-SIM\b", "REQUEST"),
        (r"sk_[a-z]+_[0-9a-f]{16}", "FINGERPRINT"),
        (r"\b(org|user)_[0-9A-Z]{26}\b", "${1}_ID"),
    ];
    rules.iter().fold(text.to_owned(), |text, (pattern, word)| {
        Regex::new(pattern).unwrap().replace_all(&text, *word).into_owned()
    })
}

/// The text with long lines broken behind a blank, which is then marked by a backslash.
fn folded(text: &str) -> String {
    let mut folded = String::new();
    for mut line in text.lines() {
        while line.chars().count() > 84 {
            let mut blanks = line.match_indices(' ').map(|(at, _)| at);
            let Some(at) = blanks.rfind(|at| line[..*at].chars().count() < 84) else { break };
            folded.push_str(&line[..=at]);
            folded.push_str("\\\n");
            line = &line[at + 1..];
        }
        folded.push_str(line);
        folded.push('\n');
    }
    folded
}

/// The keys of a plan's steps, in their order.
pub fn keys(path: &Path) -> Vec<String> {
    let plan = Plan::open(path).unwrap();
    let mut lines = plan.lines().unwrap();
    let mut keys = Vec::new();
    while let Some(step) = lines.next_step().unwrap() {
        keys.push(step.key.into());
    }
    keys
}

/// The events of a journal by name and content, without a torn last line.
pub fn events(journal: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().skip(1);
    lines.map(|line| serde_json::from_str(line.splitn(3, ' ').nth(2).unwrap()).unwrap()).collect()
}

/// The keys that have their final outcome in a journal.
pub fn settled(journal: &Path) -> BTreeSet<String> {
    let events = events(journal);
    let steps = events.iter().filter(|event| event["event"] == "settled");
    let steps = steps.flat_map(|event| event["steps"].as_array().unwrap());
    let finals = steps.filter(|step| step["outcome"] != "in_doubt");
    finals.map(|step| step["key"].as_str().unwrap().to_owned()).collect()
}

/// An answer of a doorman.
pub fn answer(status: u16, content_type: &str, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

/// Says that a test did not run because something is missing. Where everything has to be there,
/// that is a failure.
pub fn skipped(what: &str) {
    // Captured words of passing tests are not shown; the process's own stderr is.
    let line = format!("SKIPPED: {what}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    assert!(std::env::var_os("WINDLASS_REQUIRE_ALL").is_none_or(|all| all != "1"), "{line}");
}

/// Whether a program can be started.
pub fn is_installed(name: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {name} >/dev/null")).status();
    found.is_ok_and(|status| status.success())
}
