//! What the tests of `windlass observe` run against: the clients that people have, as their makers
//! publish them, and a PostgreSQL.

use super::named;
use super::npm::{Package, are_in};
use super::python::{CLIENTS, LANGFUSE_2, LITELLM, ROTEL, Wheels};
use crate::place::{Place, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the packages from npm below `target/`.
pub const NODE_FOLDER: &str = "observe/node";
/// Where Debian keeps the programs of each version of PostgreSQL's server.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";
/// The programs that a cluster of one's own is made and asked with.
const POSTGRES_PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

/// What was found.
#[derive(Debug, Default)]
pub struct Observe {
    /// The folder of PostgreSQL's programs.
    pub postgres: Option<PathBuf>,
    /// A Python with the clients of today.
    pub python: Option<PathBuf>,
    /// One with Langfuse 2.
    pub langfuse_2: Option<PathBuf>,
    /// One with LiteLLM.
    pub litellm: Option<PathBuf>,
    /// The folder that holds the clients' `node_modules`.
    pub node: Option<PathBuf>,
    /// The collector that benchmarks run beside ours. They install it themselves.
    pub rotel: Option<PathBuf>,
}

/// The clients on Node, and what they expect beside them.
pub fn node_packages() -> Vec<Package> {
    let packages = [
        ("@rudderstack/rudder-sdk-node", "3.0.13"),
        ("@langfuse/otel", "5.11.1"),
        ("@langfuse/tracing", "5.11.1"),
        ("@opentelemetry/api", "1.9.1"),
        ("@opentelemetry/core", "2.12.1"),
        ("@opentelemetry/exporter-trace-otlp-http", "0.223.1"),
        ("@opentelemetry/sdk-trace-base", "2.12.1"),
        ("@opentelemetry/sdk-trace-node", "2.12.0"),
    ];
    packages.into_iter().map(|(name, version)| Package::new(name, version)).collect()
}

impl Observe {
    /// Looks for everything.
    pub fn look(place: &Place) -> Self {
        let found =
            |variable, wheels: &Wheels| named(variable).or_else(|| wheels.find(&place.target));
        let node = Some(place.target.join(NODE_FOLDER));
        let node = node.filter(|home| are_in(&node_packages(), home));
        Self {
            postgres: named("WINDLASS_POSTGRES_BIN").or_else(postgres),
            python: found("WINDLASS_OBSERVE_PYTHON", &CLIENTS),
            langfuse_2: found("WINDLASS_OBSERVE_PYTHON_OLD", &LANGFUSE_2),
            litellm: found("WINDLASS_OBSERVE_LITELLM", &LITELLM),
            node: named("WINDLASS_OBSERVE_NODE_DIR").or(node),
            rotel: found("WINDLASS_ROTEL", &ROTEL),
        }
    }

    /// What tests need from the Python package index and was not found.
    pub fn missing(&self) -> impl Iterator<Item = &'static Wheels> + use<> {
        let sets: [(bool, &Wheels); 3] = [
            (self.python.is_none(), &CLIENTS),
            (self.langfuse_2.is_none(), &LANGFUSE_2),
            (self.litellm.is_none(), &LITELLM),
        ];
        sets.into_iter().filter_map(|(is_missing, wheels)| is_missing.then_some(wheels))
    }

    /// What tests need, where it is, and which tests.
    pub fn wanted(&self) -> [(&'static str, &Option<PathBuf>, &'static str); 5] {
        [
            ("PostgreSQL", &self.postgres, "tests of the gateway's rows in PostgreSQL"),
            ("clients in Python", &self.python, "tests of the gateway with them"),
            ("Langfuse 2", &self.langfuse_2, "tests of the gateway with it"),
            ("LiteLLM", &self.litellm, "tests of the gateway with it"),
            ("clients on Node", &self.node, "tests of the gateway with them"),
        ]
    }

    /// Tells tests and benchmarks where things are.
    pub fn give_to(&self, command: &mut Command) {
        let all = [
            ("WINDLASS_POSTGRES_BIN", &self.postgres),
            ("WINDLASS_OBSERVE_PYTHON", &self.python),
            ("WINDLASS_OBSERVE_PYTHON_OLD", &self.langfuse_2),
            ("WINDLASS_OBSERVE_LITELLM", &self.litellm),
            ("WINDLASS_OBSERVE_NODE_DIR", &self.node),
            ("WINDLASS_ROTEL", &self.rotel),
        ];
        for (variable, path) in all {
            command.envs(path.as_ref().map(|path| (variable, path)));
        }
    }
}

/// The programs of PostgreSQL: those of the newest version that Debian has here, else the PATH's.
fn postgres() -> Option<PathBuf> {
    let on_path = || Some(program(&["initdb"])?.parent()?.to_owned());
    newest_of(Path::new(DEBIAN_POSTGRES)).or_else(|| on_path().filter(|bin| is_whole(bin)))
}

/// The `bin` of the highest version with all programs.
fn newest_of(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let version = |entry: fs::DirEntry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path().join("bin"))).filter(|(_, bin)| is_whole(bin))
    };
    entries.filter_map(version).max().map(|(_, bin)| bin)
}

fn is_whole(bin: &Path) -> bool {
    POSTGRES_PROGRAMS.iter().all(|name| bin.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_postgresql_is_taken() {
        let folder = std::env::temp_dir().join(format!("windlass-postgres-{}", std::process::id()));
        for (version, programs) in [("9", 3), ("15", 3), ("17", 2), ("common", 3)] {
            let bin = folder.join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            for name in &POSTGRES_PROGRAMS[..programs] {
                fs::write(bin.join(name), "").unwrap();
            }
        }
        assert_eq!(newest_of(&folder), Some(folder.join("15/bin")));
        assert_eq!(newest_of(&folder.join("common")), None);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn only_what_was_not_found_is_missing() {
        let found = Observe { python: Some(PathBuf::from("python")), ..Observe::default() };
        let names: Vec<&str> = found.missing().map(|wheels| wheels.name).collect();
        assert_eq!(names, ["Langfuse 2", "LiteLLM"]);
    }
}
