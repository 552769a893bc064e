//! `cargo xtask docs`: the reference pages, made from the program and its sources, so that they
//! cannot say anything else than these do.

mod commands;
mod failures;
mod settings;
mod source;
mod variables;

use crate::place::Place;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;

/// What is done with the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Write them.
    Write,
    /// Build the program, and fail when a page is stale.
    Check,
    /// The same with the program that the tests have just built, where there is one.
    CheckWithBuilt,
}

const FOLDER: &str = "docs/reference";
const ORIGIN: &str = "<!-- Written by `cargo xtask docs`; edit its source instead. -->\n";

/// Writes or compares all pages; whether they are as they should be.
pub fn run(place: &Place, mode: Mode) -> Result<bool> {
    let folder = place.root.join(FOLDER);
    if mode == Mode::Write {
        fs::create_dir_all(&folder)?;
    }
    let mut fresh = true;
    for (name, text) in pages(place, mode)? {
        let path = folder.join(name);
        let text = format!("{ORIGIN}\n{}\n", text.trim());
        if fs::read_to_string(&path).is_ok_and(|kept| kept == text) {
            continue;
        }
        if mode == Mode::Write {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            println!("{FOLDER}/{name} written");
        } else {
            println!("{FOLDER}/{name} is stale; run `cargo xtask docs`");
            fresh = false;
        }
    }
    Ok(fresh)
}

fn pages(place: &Place, mode: Mode) -> Result<Vec<(&'static str, String)>> {
    let read = |path: &str| fs::read_to_string(place.root.join(path)).context(path.to_owned());
    let failure = read("crates/engine/src/failure.rs")?;
    let program = program(place, mode)?;
    let defaults = read("crates/cli/src/defaults.toml")?;
    Ok(vec![
        ("commands.md", commands::page(&program)?),
        ("settings.md", settings::page(&defaults) + &variables::section(&program)?),
        ("exit-codes.md", exit_codes(&read("crates/cli/src/exit.rs")?)?),
        ("failures.md", failures::page(&failure)?),
    ])
}

/// The program itself.
fn program(place: &Place, mode: Mode) -> Result<PathBuf> {
    let path = place.target.join("debug/windlass");
    if mode == Mode::CheckWithBuilt && path.is_file() {
        return Ok(path);
    }
    let build = place.cargo(&["build", "--package", "windlass", "--locked"]).status()?;
    if !build.success() {
        bail!("the program can't be built, so its commands can't be listed");
    }
    Ok(path)
}

fn exit_codes(text: &str) -> Result<String> {
    let mut page = String::from(
        "# Exit codes\n\nEach code has one meaning, whichever command ends with it.\n\n\
         | code | meaning |\n| --: | --- |\n",
    );
    for variant in source::variants(text, "Exit")? {
        let code = variant.value.context("an exit code without a number")?;
        page.push_str(&format!("| {code} | {} |\n", source::cell(&variant.doc)));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_table() {
        let text = "/// The codes.\npub enum Exit {\n    /// Done.\n    Done = 0,\n    \
            /// A bug,\n    /// or two | three.\n    Bug = 1,\n}\n";
        let page = exit_codes(text).unwrap();
        assert!(page.ends_with("| 0 | Done. |\n| 1 | A bug, or two \\| three. |\n"), "{page}");
        assert!(exit_codes("pub enum Exit {\n    /// Done.\n    Done,\n}\n").is_err());
    }
}
