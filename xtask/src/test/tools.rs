//! What tests and benchmarks need from outside: a browser, on Node the official WorkOS emulator and
//! wrangler, on Python a server for MongoDB's protocol, and PostgreSQL and real clients of traces
//! and product events. On Debian and Ubuntu what is missing is installed; elsewhere its tests are
//! skipped, and that is said.

pub mod npm;
mod observe;
pub mod python;

use crate::place::{Place, is_ci, output, program};
use anyhow::{Context, Result};
use npm::Package;
use observe::Observe;
use python::{SECANTUSDB, Wheels};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the official emulator that the tests were written against.
const EMULATOR: &str = "0.14.0";
/// The version of Cloudflare's own command line that tests and benchmarks were written against.
const WRANGLER: &str = "4.164.0";
/// The oldest Node that this wrangler accepts; the emulator is content with an older one.
const NODE_OLDEST: (u32, u32) = (22, 12);
/// The Node that is taken from npm where the machine's own is too old.
const NODE_VERSION: &str = "22.23.3";
const BROWSERS: &[&str] =
    &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// What was found or installed.
#[derive(Debug, Default)]
pub struct Tools {
    chromium: Option<PathBuf>,
    node: Option<PathBuf>,
    emulator: Option<PathBuf>,
    wrangler: Option<PathBuf>,
    secantusd: Option<PathBuf>,
    observe: Observe,
    /// Whether a missing tool is a failure rather than a skip.
    required: bool,
    /// What went wrong while installing.
    troubles: Vec<String>,
}

impl Tools {
    /// Looks for everything and, unless `quick`, installs what is missing.
    pub fn find(place: &Place, quick: bool) -> Self {
        let debian = is_debian();
        let required = debian && is_ci();
        let mut tools = Self { required, ..Self::default() };
        tools.look(place);
        if !quick {
            if debian {
                tools.install_packages();
            }
            tools.look(place);
            tools.install_from_npm(place, true);
            tools.install_from_pypi(place);
            tools.look(place);
        }
        tools
    }

    /// Looks for Node and wrangler alone, and takes what is missing from npm.
    pub fn for_bench(place: &Place) -> Self {
        let mut tools = Self::default();
        tools.look(place);
        tools.install_from_npm(place, false);
        tools.look(place);
        tools
    }

    fn look(&mut self, place: &Place) {
        let home = |name: &str| place.target.join(name);
        let holds = |name: &str, package: Package| Some(home(name)).filter(|at| package.is_in(at));
        self.chromium = named("WINDLASS_CHROMIUM").or_else(|| program(BROWSERS));
        let own = Package::of_node(NODE_VERSION).folder(&home("node")).join("bin/node");
        let candidates = [program(&["node"]), Some(own)];
        self.node = candidates.into_iter().flatten().find(|node| is_recent(node));
        self.emulator =
            named("WINDLASS_EMULATOR_DIR").or_else(|| holds("emulator", emulator_package()));
        self.wrangler =
            named("WINDLASS_WRANGLER_DIR").or_else(|| holds("wrangler", wrangler_package()));
        self.secantusd = named("WINDLASS_SECANTUSD").or_else(|| SECANTUSDB.find(&place.target));
        self.observe = Observe::look(place);
    }

    /// What the distribution has.
    fn install_packages(&mut self) {
        let mut packages = Vec::new();
        let lacks_packages =
            self.emulator.is_none() || self.wrangler.is_none() || self.observe.node.is_none();
        if self.chromium.is_none() {
            packages.push("chromium");
        }
        // A Node that is not the distribution's brings its own npm.
        if lacks_packages && program(&["npm"]).is_none() {
            packages.push("npm");
        }
        if lacks_packages && program(&["node"]).is_none() {
            packages.push("nodejs");
        }
        let missing = |wheels: &Wheels| wheels.python().is_none();
        let lacks_python = self.secantusd.is_none() && missing(&SECANTUSDB);
        if lacks_python || self.observe.missing().any(missing) {
            packages.extend(["python3", "python3-venv"]);
        }
        if self.observe.postgres.is_none() {
            packages.push("postgresql");
        }
        if packages.is_empty() {
            return;
        }
        let result = apt_get(&["update"]).and_then(|()| {
            let mut words = vec!["install", "--yes", "--no-install-recommends"];
            words.extend(&packages);
            apt_get(&words)
        });
        if let Err(error) = result {
            self.troubles.push(format!("{} not installed: {error:#}", packages.join(", ")));
        }
    }

    /// What runs on Node, and a newer Node where the machine's own is too old for it.
    fn install_from_npm(&mut self, place: &Place, with_tests: bool) {
        let clients = with_tests && self.observe.node.is_none();
        let wanted = [
            (self.node.is_none(), "node", vec![Package::of_node(NODE_VERSION)]),
            (self.wrangler.is_none(), "wrangler", vec![wrangler_package()]),
            (with_tests && self.emulator.is_none(), "emulator", vec![emulator_package()]),
            (clients, observe::NODE_FOLDER, observe::node_packages()),
        ];
        for (is_missing, folder, packages) in wanted {
            if !is_missing {
                continue;
            }
            let Some(npm) = program(&["npm"]) else {
                self.troubles.push(format!("no {folder}: npm was not found"));
                continue;
            };
            if let Err(error) = npm::install(&packages, &npm, &place.target.join(folder)) {
                self.troubles.push(format!("no {folder} from npm: {error:#}"));
            }
        }
    }

    /// The server that the tests of migrations run against, and the clients of the gateway.
    fn install_from_pypi(&mut self, place: &Place) {
        let server = self.secantusd.is_none().then_some(&SECANTUSDB);
        for wheels in server.into_iter().chain(self.observe.missing()) {
            if let Err(error) = wheels.install(&place.target) {
                self.troubles.push(format!("no {} from PyPI: {error:#}", wheels.name));
            }
        }
    }

    /// A Node that is recent enough.
    pub fn node(&self) -> Option<&Path> {
        self.node.as_deref()
    }

    /// The folder that holds wrangler's `node_modules`.
    pub fn wrangler(&self) -> Option<&Path> {
        self.wrangler.as_deref()
    }

    /// Says what went wrong while installing.
    pub fn warn(&self) {
        for trouble in &self.troubles {
            eprintln!("warning: {trouble}");
        }
    }

    /// Says what is there and what is not.
    pub fn report(&self) {
        self.warn();
        let wanted = [
            ("chromium", &self.chromium, "browser tests"),
            ("node", &self.node, "emulator and explorer tests"),
            ("the WorkOS emulator", &self.emulator, "emulator tests"),
            ("wrangler", &self.wrangler, "explorer tests"),
            ("SecantusDB", &self.secantusd, "tests of migrations on a real server"),
        ];
        for (name, path, tests) in wanted.into_iter().chain(self.observe.wanted()) {
            match path {
                Some(path) => println!("{name}: {}", path.display()),
                None if self.required => println!("{name}: missing, so the {tests} will fail"),
                None => println!("{name}: missing, so the {tests} are skipped"),
            }
        }
    }

    /// Tells the tests where things are.
    pub fn give_to(&self, command: &mut Command) {
        if let Some(chromium) = &self.chromium {
            command.env("WINDLASS_CHROMIUM", chromium);
        }
        if let Some(node) = &self.node {
            command.env("PATH", path_with(node));
            let folders = [
                ("WINDLASS_EMULATOR_DIR", &self.emulator),
                ("WINDLASS_WRANGLER_DIR", &self.wrangler),
            ];
            for (variable, folder) in folders {
                command.envs(folder.as_ref().map(|folder| (variable, folder)));
            }
        }
        if let Some(secantusd) = &self.secantusd {
            command.env("WINDLASS_SECANTUSD", secantusd);
        }
        self.observe.give_to(command);
        if self.required {
            command.env("WINDLASS_REQUIRE_ALL", "1");
        }
    }
}

/// PATH with the folder of this Node in front, so that `node` is this one.
fn path_with(node: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = node.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&path));
    env::join_paths(folders).unwrap_or(path)
}

fn named(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.exists())
}

fn emulator_package() -> Package {
    Package::new("workos", EMULATOR)
}

/// Its programs, workerd and esbuild, are optional packages for each system.
fn wrangler_package() -> Package {
    Package { with_optional: true, ..Package::new("wrangler", WRANGLER) }
}

fn is_recent(node: &Path) -> bool {
    let text = output(Command::new(node).arg("--version")).unwrap_or_default();
    version(&text).is_some_and(|version| version >= NODE_OLDEST)
}

/// Reads `v20.20.2`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn is_debian() -> bool {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let ids = text
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")));
    ids.flat_map(|ids| ids.trim_matches('"').split(' ')).any(|id| id == "debian")
}

/// Runs apt-get as root, or through sudo where that asks for no password.
pub fn apt_get(arguments: &[&str]) -> Result<()> {
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = if root {
        Command::new("apt-get")
    } else {
        output(Command::new("sudo").args(["-n", "true"])).context("neither root nor sudo")?;
        let mut command = Command::new("sudo");
        command.args(["-n", "--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
        command
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet=2").args(arguments);
    println!("apt-get {}", arguments.join(" "));
    output(&mut command).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_compared() {
        assert_eq!(version("v20.20.2\n"), Some((20, 20)));
        assert!(version("v22.11.9").unwrap() < NODE_OLDEST);
        assert!(version("v9.99.0").unwrap() < NODE_OLDEST);
        assert!(version("v22.12.0").unwrap() >= NODE_OLDEST);
        assert!(version("v24.0.0").unwrap() >= NODE_OLDEST);
        assert_eq!(version("20.20.2"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_chosen_node_is_the_first_on_the_path() {
        let path = path_with(Path::new("somewhere/bin/node"));
        assert_eq!(env::split_paths(&path).next().unwrap(), Path::new("somewhere/bin"));
    }
}
