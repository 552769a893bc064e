//! Programs and libraries from the Python package index: each wheel by its hash, each set in an
//! environment of its own below `target/`.

use crate::place::{output, program};
use anyhow::{Context, Result, bail};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The distribution's own comes first.
const PYTHONS: &[&str] = &["python3", "python3.13", "python3.12", "python3.11", "python3.10"];

/// What is installed together.
#[derive(Clone, Debug)]
pub struct Wheels {
    /// What people call it.
    pub name: &'static str,
    /// Its folder below `target/`.
    pub folder: &'static str,
    /// The wheels and their hashes, as pip reads them.
    pub requirements: &'static str,
    /// Minor versions of Python 3 that there are wheels for.
    pub minors: RangeInclusive<u32>,
    /// The file that it is there for, below the environment; `*` stands for `python3.N`.
    pub program: &'static str,
}

/// SecantusDB, a server that speaks MongoDB's protocol.
pub const SECANTUSDB: Wheels = Wheels {
    name: "SecantusDB",
    folder: "secantusdb",
    requirements: include_str!("secantusdb.txt"),
    minors: 10..=13,
    program: "bin/secantusd-py",
};

/// The clients of today: OpenTelemetry, Langfuse 5, RudderStack.
pub const CLIENTS: Wheels = Wheels {
    name: "clients of OpenTelemetry, Langfuse and RudderStack",
    folder: "observe/python",
    requirements: include_str!("observe.txt"),
    minors: 11..=13,
    program: "bin/python",
};

/// Langfuse 2, whose traces are JSON.
pub const LANGFUSE_2: Wheels = Wheels {
    name: "Langfuse 2",
    folder: "observe/langfuse2",
    requirements: include_str!("langfuse2.txt"),
    minors: 11..=13,
    program: "bin/python",
};

/// LiteLLM with its callback for Langfuse. Of what it names as needed, what only other vendors,
/// its proxy or local tokenizers use is left out: 60 MB.
pub const LITELLM: Wheels = Wheels {
    name: "LiteLLM",
    folder: "observe/litellm",
    requirements: include_str!("litellm.txt"),
    minors: 11..=13,
    program: "bin/python",
};

/// Rotel, a collector of OpenTelemetry in Rust, which benchmarks run beside ours.
pub const ROTEL: Wheels = Wheels {
    name: "Rotel",
    folder: "observe/rotel",
    requirements: include_str!("rotel.txt"),
    minors: 11..=13,
    program: "lib/*/site-packages/rotel/rotel-agent",
};

impl Wheels {
    /// Its program, if all of it was installed below this folder.
    pub fn find(&self, target: &Path) -> Option<PathBuf> {
        let home = target.join(self.folder);
        let told = fs::read_to_string(home.join("installed.txt")).unwrap_or_default();
        if told != self.requirements {
            return None;
        }
        let own = |minor: u32| home.join(self.program.replace('*', &format!("python3.{minor}")));
        self.minors.clone().map(own).find(|path| path.is_file())
    }

    /// A Python that there are wheels for, and that can make environments.
    pub fn python(&self) -> Option<PathBuf> {
        PYTHONS.iter().filter_map(|name| program(&[name])).find(|path| self.fits(path))
    }

    /// Installs it below this folder, unless it is there.
    ///
    /// # Errors
    /// Those of Python and pip, in their words, and that there is no Python for it.
    pub fn install(&self, target: &Path) -> Result<()> {
        if self.find(target).is_some() {
            return Ok(());
        }
        let (from, to) = (self.minors.start(), self.minors.end());
        let python = self.python();
        let python =
            python.with_context(|| format!("no Python 3.{from} to 3.{to} with venv was found"))?;
        let home = target.join(self.folder);
        println!("installing {} into {}", self.name, home.display());
        // What an interrupted installation left is of no use.
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        output(Command::new(python).args(["-m", "venv"]).arg(&home))?;
        let wanted = home.join("requirements.txt");
        fs::write(&wanted, self.requirements)?;
        let mut pip = Command::new(home.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement"]);
        output(pip.arg(&wanted))?;
        fs::rename(&wanted, home.join("installed.txt"))?;
        if self.find(target).is_none() {
            bail!("pip installed no {}", self.program);
        }
        Ok(())
    }

    /// Debian has the making of environments in a package of its own.
    fn fits(&self, python: &Path) -> bool {
        let says = "import sys, venv, ensurepip; print(*sys.version_info[:2])";
        let text = output(Command::new(python).args(["-c", says])).unwrap_or_default();
        minor(&text).is_some_and(|minor| self.minors.contains(&minor))
    }
}

/// Reads `3 11`.
fn minor(text: &str) -> Option<u32> {
    text.trim().strip_prefix("3 ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_python_are_compared() {
        assert_eq!(minor("3 11\n"), Some(11));
        assert_eq!(minor("2 7\n"), None);
        assert_eq!(minor(""), None);
        assert!(SECANTUSDB.minors.contains(&10) && SECANTUSDB.minors.contains(&13));
        assert!(!SECANTUSDB.minors.contains(&9) && !SECANTUSDB.minors.contains(&14));
        assert!(!CLIENTS.minors.contains(&10), "Langfuse 5 needs Python 3.11");
    }

    #[test]
    fn each_wheel_has_its_hash() {
        let sets = [
            (SECANTUSDB, 16, "SecantusDB==0.7.0b3 \\"),
            (CLIENTS, 33, "langfuse==5.0.4 \\"),
            (LANGFUSE_2, 18, "langfuse==2.60.10 \\"),
            (LITELLM, 50, "litellm==1.106.2 \\"),
            (ROTEL, 2, "rotel==0.0.1a15 \\"),
        ];
        for (wheels, expected, main) in sets {
            let lines = wheels.requirements.lines().filter(|line| !line.is_empty());
            let lines: Vec<&str> = lines.collect();
            let pairs = lines.windows(2).filter(|pair| pair[0].contains("=="));
            let mut count = 0;
            for pair in pairs {
                assert!(pair[0].ends_with(" \\"), "{}", pair[0]);
                assert!(pair[1].starts_with("    --hash=sha256:"), "{}", pair[1]);
                count += 1;
            }
            assert_eq!(count, expected, "{}", wheels.name);
            assert!(lines.contains(&main), "{}", wheels.name);
        }
    }

    #[test]
    fn half_an_installation_is_none() {
        let target = std::env::temp_dir().join(format!("windlass-venv-{}", std::process::id()));
        let home = target.join("secantusdb");
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("bin/secantusd-py"), "").unwrap();
        assert_eq!(SECANTUSDB.find(&target), None);
        fs::write(home.join("installed.txt"), "SecantusDB==0.7.0b2\n").unwrap();
        assert_eq!(SECANTUSDB.find(&target), None);
        fs::write(home.join("installed.txt"), SECANTUSDB.requirements).unwrap();
        assert_eq!(SECANTUSDB.find(&target), Some(home.join("bin/secantusd-py")));
        fs::remove_dir_all(&target).unwrap();
    }

    #[test]
    fn a_program_between_libraries_is_found_for_any_python() {
        let target = std::env::temp_dir().join(format!("windlass-rotel-{}", std::process::id()));
        let home = target.join("observe/rotel");
        let folder = home.join("lib/python3.12/site-packages/rotel");
        fs::create_dir_all(&folder).unwrap();
        fs::write(home.join("installed.txt"), ROTEL.requirements).unwrap();
        assert_eq!(ROTEL.find(&target), None);
        fs::write(folder.join("rotel-agent"), "").unwrap();
        assert_eq!(ROTEL.find(&target), Some(folder.join("rotel-agent")));
        fs::remove_dir_all(&target).unwrap();
    }
}
