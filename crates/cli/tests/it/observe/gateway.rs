//! The gateway and the simulators of its destinations, each as a process of its own.

use super::http::{self, Answer, Connection};
use super::postgres::Postgres;
use super::rows::Database;
use crate::support::{Ended, Home, Program, Running, wait_until};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// The keys of the one project that tests send as.
pub const PUBLIC_KEY: &str = "pk-lf-tests";
pub const SECRET_KEY: &str = "sk-lf-tests-secret";
pub const WRITE_KEY: &str = "tests-write-key";
/// The keys that the simulators take.
const LANGFUSE_PUBLIC: &str = "pk-lf-simulated";
const LANGFUSE_SECRET: &str = "sk-lf-simulated";
const RUDDER_KEY: &str = "simulated-write-key";

/// Langfuse, RudderStack and a receiver of OTLP on one port.
pub struct Simulators {
    pub url: String,
    _running: Running,
}

impl Simulators {
    /// Starts them with these flags of `windlass sim observe`.
    pub fn start(home: &Home, flags: &[&str]) -> Self {
        let words = [&["sim", "observe", "--port", "0"], flags].concat();
        let mut running = home.windlass(&words).spawn();
        let url = first_line(&mut running);
        Self { url, _running: running }
    }

    /// Puts a remote in trouble (`down`, `hang`, `slow:1s`, `503`, ...), or out of it with `off`.
    pub fn outage(&self, remote: &str, mode: &str) {
        let path = format!("/_sim/outage?remote={remote}&mode={mode}");
        let answer = Connection::to(&self.url).unwrap().send("POST", &path, &[], b"").unwrap();
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Ends all trouble.
    pub fn all_well(&self) {
        ["langfuse", "rudder", "otlp"].iter().for_each(|remote| self.outage(remote, "off"));
    }

    /// What `langfuse`, `rudder`, `otlp` or `scores` accepted, in the order of arrival.
    pub fn events(&self, remote: &str) -> Vec<Value> {
        let answer = http::get(&self.url, &format!("/_sim/events?remote={remote}")).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Totals by remote.
    pub fn counts(&self) -> Value {
        http::get(&self.url, "/_sim/counts").unwrap().json()
    }

    /// Every observation that a reader of Langfuse sees.
    pub fn observations(&self) -> Vec<Value> {
        let key = http::basic(LANGFUSE_PUBLIC, LANGFUSE_SECRET);
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!(
                "/api/public/v2/observations?limit=1000&cursor={cursor}\
                 &fields=basic,trace_context,model,usage"
            );
            let headers = [("authorization", key.as_str())];
            let page = http::get_with(&self.url, &path, &headers).unwrap().json();
            all.extend(page["data"].as_array().unwrap_or_else(|| panic!("{page}")).iter().cloned());
            match page["meta"]["cursor"].as_str() {
                Some(next) => cursor = next.replace('+', "%2B").replace('=', "%3D"),
                None => return all,
            }
        }
    }
}

/// The gateway's file.
pub struct Config {
    text: String,
}

impl Config {
    /// One project with keys, and no destination.
    pub fn new() -> Self {
        let text = format!(
            "drain = \"10s\"\nthreads = 2\n\n[[projects]]\nname = \"tests\"\n\
             public-key = \"{PUBLIC_KEY}\"\nsecret-key = {{ env = \"TESTS_SECRET_KEY\" }}\n\
             write-key = {{ env = \"TESTS_WRITE_KEY\" }}\n"
        );
        Self { text }
    }

    /// With all three simulators as destinations.
    pub fn simulators(self, simulators: &Simulators) -> Self {
        let url = &simulators.url;
        let langfuse = format!(
            "public-key = \"{LANGFUSE_PUBLIC}\"\nsecret-key = {{ env = \"LANGFUSE_SECRET\" }}"
        );
        self.destination("langfuse", "langfuse", &format!("url = \"{url}\"\n{langfuse}"))
            .destination(
                "rudderstack",
                "rudderstack",
                &format!("url = \"{url}\"\nsecret-key = {{ env = \"RUDDER_KEY\" }}"),
            )
            .destination("otlp", "otlp", &format!("url = \"{url}\""))
    }

    /// With the embedded database, and PostgreSQL where there is one.
    pub fn databases(self, postgres: Option<&Postgres>) -> Self {
        let config = self.destination("sqlite", "sql", "");
        match postgres {
            Some(postgres) => {
                config.destination("postgres", "sql", &format!("url = \"{}\"", postgres.url()))
            }
            None => config,
        }
    }

    /// With one more destination.
    pub fn destination(mut self, name: &str, kind: &str, more: &str) -> Self {
        self.text.push_str(&format!(
            "\n[[destinations]]\nname = \"{name}\"\nkind = \"{kind}\"\n{more}\n"
        ));
        self
    }

    /// With other lines at the top.
    pub fn top(mut self, lines: &str) -> Self {
        self.text.insert_str(0, &format!("{lines}\n"));
        self
    }

    /// With a table at the end.
    pub fn table(mut self, lines: &str) -> Self {
        self.text.push_str(&format!("\n{lines}\n"));
        self
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// With something else instead of a text that stands in it.
    #[track_caller]
    pub fn replaced(mut self, what: &str, with: &str) -> Self {
        assert!(self.text.contains(what), "{what}");
        self.text = self.text.replace(what, with);
        self
    }
}

/// A gateway that may be killed and started again over the same folder, on the same port.
pub struct Gateway<'a> {
    home: &'a Home,
    pub url: String,
    pub running: Running,
}

impl<'a> Gateway<'a> {
    /// Starts one with this file and waits until it is ready.
    pub fn start(home: &'a Home, config: &Config) -> Self {
        home.write("gateway.toml", config.text());
        Self::of(home, Self::command(home, "127.0.0.1:0").spawn())
    }

    /// The command line, with all secrets in its environment.
    pub fn command(home: &Home, listen: &str) -> Program {
        let config = home.path().join("gateway.toml");
        let folder = Self::folder(home);
        let (config, folder) = (config.to_str().unwrap(), folder.to_str().unwrap());
        let words =
            ["observe", "serve", "--config", config, "--listen", listen, "--folder", folder];
        with_secrets(home.windlass(&words))
    }

    /// The same below a shell, which sets limits or wraps it.
    pub fn below_shell(home: &Home, listen: &str, before: &str) -> Program {
        let line = format!(
            "{before}; exec '{}' observe serve --config '{}' --listen {listen} --folder '{}'",
            env!("CARGO_BIN_EXE_windlass"),
            home.path().join("gateway.toml").display(),
            Self::folder(home).display()
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]);
        with_secrets(home.program(shell))
    }

    /// What was started is one.
    pub fn of(home: &'a Home, mut running: Running) -> Self {
        let url = first_line(&mut running);
        let gateway = Self { home, url, running };
        gateway.wait_until_ready();
        gateway
    }

    /// Where its queue and its embedded database are.
    pub fn folder(home: &Home) -> PathBuf {
        home.path().join("gateway")
    }

    /// The embedded database.
    pub fn sqlite(&self) -> Database<'static> {
        Database::Sqlite(Self::folder(self.home).join("observe.db"))
    }

    fn listen(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    fn wait_until_ready(&self) {
        wait_until("the gateway", || {
            http::get(&self.url, "/ready").is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Everything that it tells of itself.
    pub fn status(&self) -> Value {
        let answer = http::get(&self.url, "/v1/status").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// One destination in its status.
    #[track_caller]
    pub fn destination(&self, name: &str) -> Value {
        let status = self.status();
        let destinations = status["destinations"].as_array().unwrap();
        let found = destinations.iter().find(|one| one["name"] == name);
        found.cloned().unwrap_or_else(|| panic!("no {name}: {status}"))
    }

    /// Ends it as a crash would.
    pub fn kill9(&mut self) {
        self.running.kill();
    }

    /// Starts it again after its end, on the port that its clients know.
    pub fn again(&mut self) {
        self.running = Self::command(self.home, self.listen()).spawn();
        self.wait_until_ready();
    }

    /// Asks it to end in good order, and waits for that. The time is from the signal to the end.
    pub fn terminate(self) -> (Ended, Duration) {
        let start = Instant::now();
        self.running.signal("TERM");
        let ended = self.running.wait();
        (ended, start.elapsed())
    }

    /// Waits until every event that was taken in is delivered.
    #[track_caller]
    pub fn wait_until_delivered(&self, patience: Duration) {
        let start = Instant::now();
        loop {
            let status = self.status();
            if is_delivered(&status) {
                return;
            }
            assert!(start.elapsed() < patience, "waited in vain for the delivery: {status:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends messages as a client of RudderStack does.
    pub fn send_messages(&self, messages: &[Value]) -> Answer {
        let body = serde_json::json!({ "batch": messages }).to_string();
        let key = http::basic(WRITE_KEY, "");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let mut connection = Connection::to(&self.url).unwrap();
        connection.send("POST", "/v1/batch", &headers, body.as_bytes()).unwrap()
    }
}

/// Whether nothing is on its way any more: no request, no part of an observation, no batch.
fn is_delivered(status: &Value) -> bool {
    let held = ["parts", "spans"].iter().all(|name| status["held"][name] == 0);
    let written = ["queue", "hold"].iter().all(|name| status[name]["waiting"] == 0);
    let mut destinations = status["destinations"].as_array().unwrap().iter();
    held && written && destinations.all(|one| one["pending"] == 0)
}

/// A program with all secrets that the files of tests name.
fn with_secrets(program: Program) -> Program {
    program
        .env("TESTS_SECRET_KEY", SECRET_KEY)
        .env("TESTS_WRITE_KEY", WRITE_KEY)
        .env("LANGFUSE_SECRET", LANGFUSE_SECRET)
        .env("RUDDER_KEY", RUDDER_KEY)
}

/// Waits for the first line of standard output: where a server is.
fn first_line(running: &mut Running) -> String {
    let mut line = None;
    wait_until("the address", || {
        let is_running = running.is_running();
        line = running.out().split_once('\n').map(|(line, _)| line.to_owned());
        assert!(line.is_some() || is_running, "it has ended: {}", running.err());
        line.is_some()
    });
    line.unwrap()
}
