//! wrangler, Cloudflare's own command line, as a program.

use crate::support::{Home, Program, Running, is_installed, skipped, wait_until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::door::{API, Door};

/// An installed wrangler.
pub struct Wrangler(PathBuf);

impl Wrangler {
    /// Without node or the package, says so.
    pub fn find() -> Option<Self> {
        let Some(folder) = std::env::var_os("WINDLASS_WRANGLER_DIR").map(PathBuf::from) else {
            skipped("wrangler: WINDLASS_WRANGLER_DIR names no folder");
            return None;
        };
        let script = folder.join("node_modules/wrangler/bin/wrangler.js");
        if !script.exists() {
            skipped("wrangler: WINDLASS_WRANGLER_DIR has no package wrangler");
            return None;
        }
        if !is_installed("node") {
            skipped("wrangler: node is not installed");
            return None;
        }
        Some(Self(script))
    }

    /// A command line of it, in a home that it takes for its user's.
    pub fn program(&self, home: &Home, words: &[&str]) -> Program {
        let mut command = Command::new("node");
        command.arg(&self.0).args(words);
        let program = home.program(command).env("CI", "1").env("NO_COLOR", "1");
        program.env("WRANGLER_SEND_METRICS", "false").env("WRANGLER_HIDE_BANNER", "true")
    }
}

/// The local explorer of `wrangler dev` with two namespaces, behind a door.
pub struct Explorer {
    pub door: Door,
    running: Running,
    _home: Home,
}

/// The first namespace.
pub const FIRST: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The second namespace.
pub const SECOND: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

impl Explorer {
    /// Starts one and waits until its API answers.
    pub fn start() -> Option<Self> {
        let wrangler = Wrangler::find()?;
        let home = Home::new();
        let namespaces = serde_json::json!([
            { "binding": "FIRST", "id": FIRST },
            { "binding": "SECOND", "id": SECOND },
        ]);
        let config = serde_json::json!({
            "name": "explored",
            "main": "worker.js",
            "compatibility_date": "2026-01-01",
            "kv_namespaces": namespaces,
        });
        home.write("work/wrangler.json", config.to_string());
        home.write("work/worker.js", "export default { fetch: () => new Response('ok') };\n");
        let words = ["dev", "--local", "--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"];
        let words = [&words[..], &["--persist-to", "state"]].concat();
        let mut running = wrangler.program(&home, &words).spawn();
        let mut server = None;
        wait_until("the local explorer", || {
            assert!(running.is_running(), "{}{}", running.out(), running.err());
            server = server.or_else(|| address(&running.out()));
            server.is_some_and(answers)
        });
        Some(Self { door: Door::open(server.unwrap()), running, _home: home })
    }

    /// A command line of the program under test.
    pub fn windlass(&self, home: &Home, words: &[&str]) -> Program {
        let words = [words, &["--quota", "unlimited"]].concat();
        account(home.windlass(&words), &self.door.url)
    }
}

/// What clients of any of these servers find in their environment.
pub fn account(program: Program, url: &str) -> Program {
    let program = program.env("CLOUDFLARE_API_BASE_URL", url);
    program.env("CLOUDFLARE_API_TOKEN", "cf-token-1").env("CLOUDFLARE_ACCOUNT_ID", "acc")
}

/// Where it says that it listens.
fn address(said: &str) -> Option<SocketAddr> {
    let (_, rest) = said.split_once("Ready on http://")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Whether the API answers at all yet.
fn answers(server: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(server)?;
        let (path, close) = (format!("{API}/storage/kv/namespaces"), "connection: close");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {server}\r\n{close}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.contains(SECOND))
}

impl Drop for Explorer {
    /// Killed at once, it would leave its own servers behind.
    fn drop(&mut self) {
        let start = Instant::now();
        if self.running.is_running() {
            self.running.signal("TERM");
        }
        while self.running.is_running() && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
