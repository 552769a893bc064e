//! `cargo xtask bench`: windlass beside what people run today for the same job, against the same
//! simulator on this machine, in one run, taking turns. The floor is a bare loop that does nothing
//! else.
//!
//! Nothing here judges a time: it measures, and checks that everything was done.

mod build;
mod kv;
mod machine;
mod mongo;
mod observe;
mod remote;
mod samples;
mod table;
mod turns;
mod workos;

use crate::place::Place;
use anyhow::{Context, Result, bail};
use machine::Machine;
use std::fs;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    quick: bool,
    write: bool,
    rounds: u32,
    only: Vec<String>,
    words: String,
}

/// Runs the jobs and prints the tables.
pub fn run(flags: &[&str]) -> Result<bool> {
    let flags = Flags::parse(flags)?;
    let place = Place::find()?;
    let workos = workos::all(flags.quick, flags.rounds);
    let kv = kv::all(flags.quick, flags.rounds);
    let mongo = mongo::all(flags.quick, flags.rounds);
    let observe = observe::all(flags.quick, flags.rounds);
    let mut names = vec!["workos", "kv", "mongo", "observe"];
    names.extend(workos.iter().map(|job| job.name).chain(kv.iter().map(|job| job.name)));
    names.extend(mongo.iter().map(|job| job.name).chain(observe.iter().map(|job| job.name)));
    flags.check(&names)?;
    let workos: Vec<_> = workos.iter().filter(|job| flags.wants("workos", job.name)).collect();
    let kv: Vec<_> = kv.iter().filter(|job| flags.wants("kv", job.name)).collect();
    let mongo: Vec<_> = mongo.iter().filter(|job| flags.wants("mongo", job.name)).collect();
    let observe: Vec<_> = observe.iter().filter(|job| flags.wants("observe", job.name)).collect();
    let windlass = build::windlass(&place)?;
    let mut texts = vec![Machine::read(&place).describe(&flags.words)];
    if !workos.is_empty() {
        texts.extend(workos::measure(&place, &windlass, &workos, flags.only.is_empty())?);
    }
    if !kv.is_empty() {
        texts.extend(kv::measure(&place, &windlass, &kv)?);
    }
    if !mongo.is_empty() {
        texts.extend(mongo::measure(&place, &windlass, &mongo)?);
    }
    if !observe.is_empty() {
        texts.extend(observe::measure(&place, &windlass, &observe)?);
    }
    if flags.write {
        write(&place, &texts.join("\n"))?;
    }
    Ok(true)
}

impl Flags {
    fn parse(words: &[&str]) -> Result<Self> {
        let mut flags = Self {
            quick: false,
            write: false,
            rounds: 5,
            only: Vec::new(),
            words: words.join(" "),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--quick" => (flags.quick, flags.rounds) = (true, flags.rounds.min(2)),
                "--write" => flags.write = true,
                "--rounds" => {
                    let rounds = words.next().and_then(|number| number.parse().ok());
                    flags.rounds = rounds.filter(|rounds| *rounds > 0).context("--rounds N")?;
                }
                "--only" => {
                    let names = words.next().context("--only JOB,...")?;
                    flags.only = names.split(',').map(str::to_owned).collect();
                }
                other => bail!("`{other}` is not understood; see cargo xtask help"),
            }
        }
        Ok(flags)
    }

    /// Refuses names of jobs that there are not.
    fn check(&self, names: &[&str]) -> Result<()> {
        match self.only.iter().find(|name| !names.contains(&name.as_str())) {
            Some(name) => bail!("there is no job `{name}`; there are {}", names.join(", ")),
            None => Ok(()),
        }
    }

    /// Whether a job is wanted, by its own name or by that of its group.
    fn wants(&self, group: &str, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name || only == group)
    }
}

/// Replaces what stands between the markers in README.md.
fn write(place: &Place, text: &str) -> Result<()> {
    let path = place.root.join("README.md");
    let readme = fs::read_to_string(&path).context("README.md")?;
    fs::write(&path, replaced(&readme, text)?)?;
    println!("README.md written");
    Ok(())
}

fn replaced(readme: &str, text: &str) -> Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).with_context(|| format!("README.md has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README.md has no {END}"))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let readme = format!("# A\n\n{BEGIN}\nold\n{END}\n\nafter\n");
        let new = replaced(&readme, "\nnew\n\n").unwrap();
        assert_eq!(new, format!("# A\n\n{BEGIN}\nnew\n{END}\n\nafter\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert!(replaced("# A\n", "new").is_err());
    }

    #[test]
    fn flags_are_read() {
        let flags = Flags::parse(&["--quick", "--only", "a,kv", "--write"]).unwrap();
        assert!(flags.quick && flags.write && flags.rounds == 2);
        assert_eq!(flags.only, ["a", "kv"]);
        assert!(flags.wants("workos", "a") && flags.wants("kv", "kv-list"));
        assert!(!flags.wants("workos", "b"));
        assert!(flags.check(&["a", "kv"]).is_ok() && flags.check(&["a"]).is_err());
        assert_eq!(Flags::parse(&["--rounds", "7"]).unwrap().rounds, 7);
        for wrong in [&["--rounds", "0"][..], &["--rounds"], &["--fast"]] {
            assert!(Flags::parse(wrong).is_err());
        }
    }
}
