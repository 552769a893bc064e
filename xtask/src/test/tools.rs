//! What tests need from outside: a browser, and the official WorkOS emulator on Node. On Debian
//! and Ubuntu what is missing is installed; elsewhere its tests are skipped, and that is said.

use crate::place::{Place, is_ci, output, program};
use anyhow::{Context, Result, bail};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of the official emulator that the tests were written against.
const EMULATOR: &str = "0.14.0";
/// The oldest Node that this emulator accepts.
const NODE_OLDEST: (u32, u32) = (20, 20);
/// The Node that is taken from npm where the distribution's own is too old.
const NODE_VERSION: &str = "22.23.3";
const BROWSERS: &[&str] =
    &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/// What was found or installed.
#[derive(Debug, Default)]
pub struct Tools {
    chromium: Option<PathBuf>,
    node: Option<PathBuf>,
    emulator: Option<PathBuf>,
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
            tools.install_from_npm(place);
            tools.look(place);
        }
        tools
    }

    fn look(&mut self, place: &Place) {
        self.chromium = named("WINDLASS_CHROMIUM").or_else(|| program(BROWSERS));
        let own = node_home(place).join("node_modules").join(node_package()).join("bin/node");
        let candidates = [program(&["node"]), Some(own)];
        self.node = candidates.into_iter().flatten().find(|node| is_recent(node));
        self.emulator = named("WINDLASS_EMULATOR_DIR")
            .or_else(|| Some(emulator_home(place)).filter(|folder| has_emulator(folder)));
    }

    /// What the distribution has.
    fn install_packages(&mut self) {
        let mut packages = Vec::new();
        if self.chromium.is_none() {
            packages.push("chromium");
        }
        // A Node that is not the distribution's brings its own npm.
        if self.emulator.is_none() && program(&["npm"]).is_none() {
            packages.push("npm");
        }
        if self.emulator.is_none() && program(&["node"]).is_none() {
            packages.push("nodejs");
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

    /// The emulator, and a newer Node where the distribution's is too old for it.
    fn install_from_npm(&mut self, place: &Place) {
        if self.emulator.is_some() && self.node.is_some() {
            return;
        }
        let Some(npm) = program(&["npm"]) else {
            self.troubles.push("npm was not found".to_owned());
            return;
        };
        if self.node.is_none()
            && let Err(error) = install(&npm, &node_home(place), &node_package(), NODE_VERSION)
        {
            self.troubles.push(format!("no newer Node from npm: {error:#}"));
        }
        if self.emulator.is_none()
            && let Err(error) = install(&npm, &emulator_home(place), "workos", EMULATOR)
        {
            self.troubles.push(format!("no WorkOS emulator from npm: {error:#}"));
        }
    }

    /// Says what is there and what is not.
    pub fn report(&self) {
        for trouble in &self.troubles {
            eprintln!("warning: {trouble}");
        }
        let wanted = [
            ("chromium", &self.chromium, "browser tests"),
            ("node", &self.node, "emulator tests"),
            ("the WorkOS emulator", &self.emulator, "emulator tests"),
        ];
        for (name, path, tests) in wanted {
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
        if let (Some(node), Some(emulator)) = (&self.node, &self.emulator) {
            command.env("WINDLASS_EMULATOR_DIR", emulator);
            command.env("PATH", path_with(node));
        }
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

/// The folder that holds the emulator's `node_modules`.
fn emulator_home(place: &Place) -> PathBuf {
    place.target.join("emulator")
}

fn has_emulator(folder: &Path) -> bool {
    has_version(folder, "workos", EMULATOR)
}

fn has_version(folder: &Path, package: &str, version: &str) -> bool {
    let manifest = folder.join("node_modules").join(package).join("package.json");
    let text = fs::read_to_string(manifest).unwrap_or_default();
    serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|json| json["version"] == version)
}

fn node_package() -> String {
    let cpu = if env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
    let system = if env::consts::OS == "macos" { "darwin" } else { "linux" };
    format!("node-{system}-{cpu}")
}

fn node_home(place: &Place) -> PathBuf {
    place.target.join("node")
}

/// Installs one package of npm into a folder of its own.
pub fn install(npm: &Path, home: &Path, package: &str, version: &str) -> Result<()> {
    if has_version(home, package, version) {
        return Ok(());
    }
    println!("installing {package} {version} into {}", home.display());
    fs::create_dir_all(home)?;
    // Without it npm looks for a package.json in the folders above.
    fs::write(home.join("package.json"), "{\"private\":true}\n")?;
    let mut command = Command::new(npm);
    command.current_dir(home).arg("install").arg(format!("{package}@{version}"));
    command.args(["--ignore-scripts", "--omit=optional", "--omit=peer"]);
    command.args(["--no-audit", "--no-fund", "--loglevel=error"]);
    output(&mut command)?;
    if !has_version(home, package, version) {
        bail!("npm installed something else than {package} {version}");
    }
    Ok(())
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
        assert!(version("v20.19.5").unwrap() < NODE_OLDEST);
        assert!(version("v9.99.0").unwrap() < NODE_OLDEST);
        assert!(version("v22.0.0").unwrap() >= NODE_OLDEST);
        assert_eq!(version("20.20.2"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_chosen_node_is_the_first_on_the_path() {
        let path = path_with(Path::new("somewhere/bin/node"));
        assert_eq!(env::split_paths(&path).next().unwrap(), Path::new("somewhere/bin"));
    }
}
