//! Builds what is measured, as a release.

use crate::place::Place;
use anyhow::{Result, bail};
use std::fs;
use std::path::PathBuf;

/// The program itself.
///
/// # Errors
/// When it does not compile.
pub fn windlass(place: &Place) -> Result<PathBuf> {
    fs::create_dir_all(place.target.join("bench"))?;
    release(place, &["--package", "windlass"])?;
    Ok(place.target.join("release/windlass"))
}

/// A floor, which is an example of this package.
///
/// # Errors
/// When it does not compile.
pub fn example(place: &Place, name: &str) -> Result<PathBuf> {
    release(place, &["--package", "xtask", "--example", name])?;
    Ok(place.target.join("release/examples").join(name))
}

fn release(place: &Place, words: &[&str]) -> Result<()> {
    let mut command = place.cargo(&["build", "--release", "--locked"]);
    if !command.args(words).status()?.success() {
        bail!("what is measured can't be built");
    }
    Ok(())
}
