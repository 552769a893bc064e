//! What holds of the parts that belong together: the marks of a range, and how commands are called.

use super::board::{Mark, Range};
use super::commands::{OPERATIONS, commands};
use crate::leaf;
use clap::Command;
use std::collections::BTreeSet;

fn mark(first: i64, end: i64, failed: &[i64]) -> Mark {
    Mark {
        id: first,
        first,
        end,
        written: 0,
        failed: failed.to_vec(),
        digest: String::new(),
        by: "me".to_owned(),
    }
}

fn range(marks: Vec<Mark>) -> Range {
    Range {
        id: "run/00000000".to_owned(),
        run: "run".to_owned(),
        n: 0,
        phase: 0,
        first: 10,
        end: 20,
        state: "leased".to_owned(),
        worker: None,
        until: None,
        left: 10,
        marks,
        lines: Vec::new(),
    }
}

#[test]
fn what_is_left_follows_from_all_marks_together() {
    assert_eq!((range(Vec::new()).untried(false), range(Vec::new()).done().len()), (10, 0));
    let twice = range(vec![mark(10, 15, &[]), mark(12, 15, &[])]);
    assert_eq!(twice.untried(false), 5, "a step that two processes carried out counts once");
    assert_eq!(twice.done(), BTreeSet::from([10, 11, 12, 13, 14]));
    let failed = range(vec![mark(10, 20, &[13])]);
    assert_eq!((failed.untried(false), failed.untried(true)), (0, 1));
    assert!(!failed.done().contains(&13));
    let mended = range(vec![mark(10, 20, &[13]), mark(13, 14, &[])]);
    assert_eq!(mended.untried(true), 0);
}

#[test]
fn every_operation_is_a_command_and_every_command_an_operation() {
    let program = Command::new("windlass").subcommands(commands());
    let migrate = program.find_subcommand("migrate").unwrap();
    let names: BTreeSet<&str> = migrate.get_subcommands().map(Command::get_name).collect();
    let known: BTreeSet<&str> = OPERATIONS.iter().map(|operation| operation.path[1]).collect();
    assert_eq!(names, known);
    for command in migrate.get_subcommands() {
        let about = command.get_about().unwrap().to_string();
        assert!(!about.contains('`'), "{}: {about}", command.get_name());
    }
}

#[test]
fn a_plan_is_never_carried_out() {
    let program = Command::new("windlass").subcommands(commands());
    let matches = program.try_get_matches_from(["windlass", "migrate", "plan", "m.toml"]).unwrap();
    let (path, matches) = leaf(&matches);
    assert_eq!(path, ["migrate", "plan"]);
    assert!(matches.get_flag("dry_run"));
}
