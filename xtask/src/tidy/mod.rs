//! `cargo xtask tidy`: reads all sources and names what breaks a rule of the house that neither
//! compiler nor clippy knows. The rules are in [`rules`]; here is what they are applied to.

mod rules;
mod simulators;
#[cfg(test)]
mod tests;

use crate::place::Place;
use anyhow::{Context, Result};
use std::fmt;
use std::fs;
use std::path::Path;

/// Where sources are, from the root. Whatever else lies there belongs to the person who put it.
const ROOTS: &[&str] = &[".cargo", ".ci", ".github", "crates", "deploy", "docs", "xtask"];
/// Folders with what others wrote or a program built.
const FOREIGN: &[&str] = &["node_modules", "target", ".git"];

/// One text file.
#[derive(Clone, Debug)]
pub struct Source {
    /// From the root, with slashes.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// Its lines with their numbers, from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn has_ending(&self, endings: &[&str]) -> bool {
        let ending = self.path.rsplit_once('.').map_or("", |(_, ending)| ending);
        endings.contains(&ending)
    }

    fn is_rust(&self) -> bool {
        self.has_ending(&["rs"])
    }

    fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }
}

/// A rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Names every broken rule; whether there is none.
pub fn run(place: &Place) -> Result<bool> {
    let sources = read(place)?;
    let findings = check(&sources);
    for finding in &findings {
        println!("{finding}");
    }
    println!("{} files read, {} rules broken", sources.len(), findings.len());
    Ok(findings.is_empty())
}

/// Everything that is wrong, in the order of the files.
fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = sources
        .iter()
        .flat_map(|source| rules::RULES.iter().flat_map(|rule| rule(source)))
        .collect();
    findings.extend(rules::connector_folders(sources));
    findings.sort();
    findings
}

fn read(place: &Place) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for root in ROOTS.iter().map(|root| place.root.join(root)).filter(|root| root.is_dir()) {
        descend(place, &root, &mut sources)?;
    }
    for entry in fs::read_dir(&place.root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ours = name == "Cargo.lock" || name.ends_with(".md") || name.ends_with(".toml");
        if ours && path.is_file() {
            take(place, &path, &mut sources)?;
        }
    }
    Ok(sources)
}

fn descend(place: &Place, folder: &Path, sources: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_file() {
            take(place, &path, sources)?;
        } else if kind.is_dir() && !FOREIGN.iter().any(|name| entry.file_name() == *name) {
            descend(place, &path, sources)?;
        }
    }
    Ok(())
}

/// Takes a file unless it is no text.
fn take(place: &Place, path: &Path, sources: &mut Vec<Source>) -> Result<()> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
    let path = path.strip_prefix(&place.root)?.to_string_lossy().replace('\\', "/");
    sources.push(Source { path, text });
    Ok(())
}
