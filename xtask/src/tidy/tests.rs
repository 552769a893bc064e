//! Each rule finds what it is there for, at its line, and nothing else.

use super::*;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

/// What is found in one file, as `line: what`.
fn found(path: &str, text: &str) -> Vec<String> {
    let findings = check(&[source(path, text)]);
    findings.into_iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect()
}

#[track_caller]
fn one(path: &str, text: &str, expected: &str) {
    let found = found(path, text);
    assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
}

#[track_caller]
fn none(path: &str, text: &str) {
    assert_eq!(found(path, text), Vec::<String>::new());
}

#[test]
fn a_good_file_has_nothing() {
    none("crates/engine/src/plan.rs", "//! Plans.\n\npub struct Plan;\n");
}

#[test]
fn a_message_names_file_and_line() {
    let findings = check(&[source("a.rs", "//! Head.\n\nstruct JobManager;\n")]);
    assert_eq!(
        findings[0].to_string(),
        "a.rs:3: the name `JobManager` says nothing of its purpose"
    );
}

#[test]
fn files_are_short() {
    let text = |lines: usize| format!("//! Head.\n{}", "// x\n".repeat(lines - 1));
    none("a.rs", &text(600));
    one("a.rs", &text(601), "601 lines");
    none("docs/a.md", &text(601));
}

#[test]
fn lines_are_short_unless_they_hold_a_link() {
    let line = |columns: usize| format!("//! Head.\n{}\n", "ä".repeat(columns));
    none("a.rs", &line(100));
    one("a.rs", &line(101), "2: 101 columns");
    none("a.rs", &format!("//! Head.\n// https://{}\n", "a".repeat(100)));
    none("a.md", &line(200));
}

#[test]
fn unfinished_work_is_found_as_a_word() {
    for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")] {
        one("docs/a.md", &format!("one\ntwo {word}: three\n"), "2: `");
        one("a.rs", &format!("//! Head.\n// {word}\n"), "2: `");
        none("docs/a.md", &format!("mktemp {word}X\n"));
    }
}

#[test]
fn calls_of_unfinished_code_are_found() {
    one("a.rs", concat!("//! Head.\nfn f() { dbg", "!(1); }\n"), "2: ");
    one("a.rs", concat!("//! Head.\nfn f() { todo", "!() }\n"), "2: ");
    one("a.rs", concat!("//! Head.\nuse tokio::sync::mpsc::unbounded_", "channel;\n"), "bound");
}

#[test]
fn files_say_their_purpose_first() {
    one("a.rs", "\nuse std::fmt;\n//! Late.\n", "2: the file does not begin");
    one("a.rs", "", "1: an empty file");
    none("a.sh", "echo\n");
    none("crates/cli/tests/it/apply.rs", "use std::fmt;\n");
    none("crates/sim/src/tests.rs", "use std::fmt;\n");
}

#[test]
fn names_say_something() {
    for name in
        ["pub mod helpers;", "pub(crate) struct UserService;", "trait Util {", "enum Utils {"]
    {
        one("a.rs", &format!("//! Head.\n{name}\n"), "2: the name");
    }
    one("crates/cli/src/util.rs", "//! Head.\n", "1: a file named `util`");
    none("a.rs", "//! Head.\nuse tower_service::Service;\nstruct Utility;\nstruct Served;\n");
}

#[test]
fn paths_of_one_machine_are_found() {
    for folder in ["wo", "ro", "ho"].into_iter().zip(["rk", "ot", "me"]) {
        let path = format!("/{}{}/", folder.0, folder.1);
        one("docs/a.md", &format!("see `{path}main`\n"), "1: ");
        none("docs/a.md", &format!("see target{path}main\n"));
    }
}

#[test]
fn crates_come_from_one_registry() {
    let lock = |from: &str| format!("[[package]]\nname = \"a\"\nsource = \"{from}\"\n");
    none("Cargo.lock", &lock("registry+https://github.com/rust-lang/crates.io-index"));
    one("Cargo.lock", &lock("registry+https://example.com/index"), "3: a crate from");
    one("Cargo.lock", &lock("git+https://github.com/a/b#c"), "3: a crate from");
}

#[test]
fn connectors_have_the_same_files() {
    let folder = "crates/connectors/src/acme";
    let head = "//! Head.\n";
    let module = format!("{head}pub static CONNECTOR: Connector = Connector {{\n}};\n");
    let mut sources = vec![source(&format!("{folder}/mod.rs"), &module)];
    let names: Vec<String> = check(&sources).iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("acme has neither sim.rs nor sim/mod.rs")));
    for name in ["README.md", "args.rs", "api.rs", "job.rs", "tests.rs", "sim/mod.rs"] {
        sources.push(source(&format!("{folder}/{name}"), head));
    }
    assert_eq!(check(&sources), []);
    // A folder that declares no connector may look as it likes.
    assert_eq!(check(&[source("crates/connectors/src/transport/mod.rs", head)]), []);
}

#[test]
fn simulators_use_nothing_of_their_siblings() {
    let sim = "crates/connectors/src/workos/sim";
    let file = |name: &str, line: &str| (format!("{sim}{name}"), format!("//! Head.\n{line}\n"));
    for (name, line) in [
        ("/store.rs", "use super::super::api::Page;"),
        ("/mod.rs", "use super::api::Page;"),
        (".rs", "use super::api::Page;"),
        ("/store.rs", "use crate::workos::api::Page;"),
        ("/store.rs", "use crate::transport::Transport;"),
        ("/store.rs", "use windlass_engine::Failure;"),
    ] {
        let (path, text) = file(name, line);
        one(&path, &text, "2: a simulator uses");
    }
    for (name, line) in [
        ("/store.rs", "use super::options::Kind;"),
        ("/store.rs", "use crate::workos::sim::options::Kind;"),
        ("/deep/place.rs", "use super::super::options::Kind;"),
        (".rs", "mod tests {\n    use super::*;\n}"),
        (".rs", "//! The rules of `super::api` in words."),
    ] {
        let (path, text) = file(name, line);
        none(&path, &text);
    }
    none("crates/connectors/src/workos/job.rs", "//! Head.\nuse super::super::limits;\n");
}
