//! SecantusDB, a server that speaks MongoDB's protocol, from the Python package index: each wheel
//! by its hash, in an environment of its own below `target/`.

use crate::place::{output, program};
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The wheels and their hashes, as pip reads them.
const REQUIREMENTS: &str = include_str!("secantusdb.txt");
/// There are wheels for these; the distribution's own comes first.
const PYTHONS: &[&str] = &["python3", "python3.13", "python3.12", "python3.11", "python3.10"];
/// Minor versions of Python 3 that there are wheels for.
const MINORS: std::ops::RangeInclusive<u32> = 10..=13;

/// A Python that there are wheels for, and that can make environments.
pub fn python() -> Option<PathBuf> {
    PYTHONS.iter().filter_map(|name| program(&[name])).find(|path| is_fit(path))
}

/// The server's program in the environment in this folder, if all of it was installed there.
pub fn secantusd(home: &Path) -> Option<PathBuf> {
    let told = fs::read_to_string(home.join("installed.txt")).unwrap_or_default();
    let path = home.join("bin/secantusd-py");
    (told == REQUIREMENTS && path.is_file()).then_some(path)
}

/// Installs the server there, unless it is there.
///
/// # Errors
/// Those of Python and pip, in their words.
pub fn install(python: &Path, home: &Path) -> Result<()> {
    if secantusd(home).is_some() {
        return Ok(());
    }
    println!("installing SecantusDB into {}", home.display());
    // What an interrupted installation left is of no use.
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    output(Command::new(python).args(["-m", "venv"]).arg(home))?;
    let wanted = home.join("requirements.txt");
    fs::write(&wanted, REQUIREMENTS)?;
    let mut pip = Command::new(home.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--require-hashes", "--only-binary", ":all:", "--no-deps", "--requirement"]);
    output(pip.arg(&wanted))?;
    fs::rename(&wanted, home.join("installed.txt"))?;
    if secantusd(home).is_none() {
        bail!("pip installed no secantusd-py");
    }
    Ok(())
}

/// Debian has the making of environments in a package of its own.
fn is_fit(python: &Path) -> bool {
    let says = "import sys, venv, ensurepip; print(*sys.version_info[:2])";
    let text = output(Command::new(python).args(["-c", says])).unwrap_or_default();
    minor(&text).is_some_and(|minor| MINORS.contains(&minor))
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
        assert!(MINORS.contains(&10) && MINORS.contains(&13));
        assert!(!MINORS.contains(&9) && !MINORS.contains(&14));
    }

    #[test]
    fn each_wheel_has_its_hash() {
        let lines: Vec<&str> = REQUIREMENTS.lines().filter(|line| !line.is_empty()).collect();
        let wheels = lines.windows(2).filter(|pair| pair[0].contains("=="));
        let mut count = 0;
        for pair in wheels {
            assert!(pair[0].ends_with(" \\"), "{}", pair[0]);
            assert!(pair[1].starts_with("    --hash=sha256:"), "{}", pair[1]);
            count += 1;
        }
        assert_eq!(count, 16);
        assert!(lines.contains(&"SecantusDB==0.7.0b3 \\"));
    }

    #[test]
    fn half_an_installation_is_none() {
        let home = std::env::temp_dir().join(format!("windlass-venv-{}", std::process::id()));
        fs::create_dir_all(home.join("bin")).unwrap();
        fs::write(home.join("bin/secantusd-py"), "").unwrap();
        assert_eq!(secantusd(&home), None);
        fs::write(home.join("installed.txt"), "SecantusDB==0.7.0b2\n").unwrap();
        assert_eq!(secantusd(&home), None);
        fs::write(home.join("installed.txt"), REQUIREMENTS).unwrap();
        assert_eq!(secantusd(&home), Some(home.join("bin/secantusd-py")));
        fs::remove_dir_all(&home).unwrap();
    }
}
