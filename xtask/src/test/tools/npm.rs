//! Packages of npm, each in a folder of its own or a few that belong together in one, and whether
//! they are there.

use crate::place::output;
use anyhow::{Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One version of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name on npm.
    pub name: String,
    /// Its exact version.
    pub version: &'static str,
    /// Whether its optional dependencies are needed: programs for one system each are such.
    pub with_optional: bool,
}

impl Package {
    /// A package that needs nothing optional.
    pub fn new(name: impl Into<String>, version: &'static str) -> Self {
        Self { name: name.into(), version, with_optional: false }
    }

    /// Node itself, as npm has it for this system.
    pub fn of_node(version: &'static str) -> Self {
        let cpu = if env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
        let system = if env::consts::OS == "macos" { "darwin" } else { "linux" };
        Self::new(format!("node-{system}-{cpu}"), version)
    }

    /// The folder of its files.
    pub fn folder(&self, home: &Path) -> PathBuf {
        home.join("node_modules").join(&self.name)
    }

    /// Whether this version was installed there.
    pub fn is_in(&self, home: &Path) -> bool {
        let manifest = self.folder(home).join("package.json");
        let text = fs::read_to_string(manifest).unwrap_or_default();
        let json = serde_json::from_str::<serde_json::Value>(&text);
        json.is_ok_and(|json| json["version"] == self.version)
    }

    /// Installs it there, as [`install`] does with several.
    ///
    /// # Errors
    /// Those of npm, in its words.
    pub fn install(&self, npm: &Path, home: &Path) -> Result<()> {
        install(std::slice::from_ref(self), npm, home)
    }
}

/// Whether all of these versions were installed there.
pub fn are_in(packages: &[Package], home: &Path) -> bool {
    packages.iter().all(|package| package.is_in(home))
}

/// Installs them there, unless they are there. None of their scripts is run. A package that others
/// expect beside them (a peer) has to be one of them.
///
/// # Errors
/// Those of npm, in its words.
pub fn install(packages: &[Package], npm: &Path, home: &Path) -> Result<()> {
    if are_in(packages, home) {
        return Ok(());
    }
    let name = |package: &Package| format!("{}@{}", package.name, package.version);
    let names: Vec<String> = packages.iter().map(name).collect();
    println!("installing {} into {}", names.join(", "), home.display());
    fs::create_dir_all(home)?;
    // Without it npm looks for a package.json in the folders above.
    fs::write(home.join("package.json"), "{\"private\":true}\n")?;
    let mut command = Command::new(npm);
    command.current_dir(home).arg("install").args(&names);
    command.args(["--ignore-scripts", "--omit=peer"]);
    if !packages.iter().any(|package| package.with_optional) {
        command.arg("--omit=optional");
    }
    command.args(["--no-audit", "--no-fund", "--loglevel=error"]);
    output(&mut command)?;
    if !are_in(packages, home) {
        bail!("npm installed something else than {}", names.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_version_is_there() {
        let home = env::temp_dir().join(format!("windlass-npm-{}", std::process::id()));
        let package = Package::new("undici", "7.30.2");
        assert!(!package.is_in(&home));
        fs::create_dir_all(package.folder(&home)).unwrap();
        let manifest = package.folder(&home).join("package.json");
        fs::write(&manifest, r#"{"version":"7.30.1"}"#).unwrap();
        assert!(!package.is_in(&home));
        fs::write(&manifest, r#"{"version":"7.30.2"}"#).unwrap();
        assert!(package.is_in(&home));
        let other = Package::new("@langfuse/otel", "5.11.1");
        let both = [package, other.clone()];
        assert!(!are_in(&both, &home));
        fs::create_dir_all(other.folder(&home)).unwrap();
        fs::write(other.folder(&home).join("package.json"), r#"{"version":"5.11.1"}"#).unwrap();
        assert!(are_in(&both, &home));
        fs::remove_dir_all(&home).unwrap();
    }
}
