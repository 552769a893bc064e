//! The rules of the house, each a function from one file to what is wrong in it. Words that are
//! banned are written in two pieces here, since this file is read, too.

use super::simulators::imports_of_simulators;
use super::{Finding, Source};

/// The longest file, in lines.
const LINES_MAX: usize = 600;
/// The longest line, in characters.
const COLUMNS_MAX: usize = 100;
/// What is written by hand as code.
const CODE: &[&str] = &["rs", "mjs", "js", "sh", "css"];
/// Nothing is named like this: such names say nothing.
const EMPTY_NAMES: &[&str] =
    &["manager", "managers", "helper", "helpers", "util", "utils", "service", "services"];
/// Words of unfinished work, in any file.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("X", "XX"), concat!("TO", "DO")];
/// Calls that are not in finished Rust.
const CALLS: &[(&str, &str)] = &[
    (concat!("dbg", "!"), "a debugging macro"),
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unbounded_", "channel"), "a queue without a bound"),
];
/// Folders of one machine.
const MACHINE: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// The only place that crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Files that every connector has.
const CONNECTOR_FILES: &[&str] = &["README.md", "mod.rs", "args.rs"];
/// Those of a connector that makes calls. One that takes calls has a gateway instead.
const CALLING_FILES: &[&str] = &["api.rs", "job.rs"];
/// What a connector that takes calls has.
const GATEWAY_FILE: &str = "gateway.rs";
/// Modules that every connector has, as a file or as a folder.
const CONNECTOR_MODULES: &[&str] = &["sim", "tests"];

/// The rules that look at one file alone.
pub const RULES: &[fn(&Source) -> Vec<Finding>] = &[
    long_files,
    long_lines,
    unfinished_words,
    banned_calls,
    imports_of_simulators,
    missing_heads,
    empty_names,
    paths_of_a_machine,
    foreign_registries,
];

fn long_files(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if !source.has_ending(CODE) || lines <= LINES_MAX {
        return Vec::new();
    }
    vec![source.finding(lines, format!("{lines} lines; a file has at most {LINES_MAX}"))]
}

/// A link cannot be broken into two lines.
fn long_lines(source: &Source) -> Vec<Finding> {
    if !source.has_ending(CODE) {
        return Vec::new();
    }
    let long = source.lines().filter(|(_, line)| !line.contains("https://"));
    let long = long.map(|(number, line)| (number, line.chars().count()));
    long.filter(|(_, columns)| *columns > COLUMNS_MAX)
        .map(|(number, columns)| {
            let what = format!("{columns} columns; a line has at most {COLUMNS_MAX}");
            source.finding(number, what)
        })
        .collect()
}

fn unfinished_words(source: &Source) -> Vec<Finding> {
    if source.path == "Cargo.lock" {
        return Vec::new();
    }
    let found = source.lines().filter_map(|(number, line)| {
        let is_word = |word: &str| UNFINISHED.contains(&word);
        let word = words(line).find(|word| is_word(word))?;
        Some(source.finding(number, format!("`{word}`: unfinished work is not kept")))
    });
    found.collect()
}

/// The names in a line.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
}

fn banned_calls(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let found = source.lines().flat_map(|(number, line)| {
        let calls = CALLS.iter().filter(move |(call, _)| line.contains(call));
        calls.map(move |(call, why)| source.finding(number, format!("`{call}`: {why}")))
    });
    found.collect()
}

/// Files of tests say their goal where it is not obvious, which no program can judge.
fn missing_heads(source: &Source) -> Vec<Finding> {
    let is_test = source.path.contains("/tests/") || source.path.ends_with("tests.rs");
    if !source.is_rust() || is_test {
        return Vec::new();
    }
    let first = source.lines().find(|(_, line)| !line.trim().is_empty());
    match first {
        Some((_, line)) if line.starts_with("//!") => Vec::new(),
        Some((number, _)) => {
            vec![
                source
                    .finding(number, "the file does not begin with a `//!` that says its purpose"),
            ]
        }
        None => vec![source.finding(1, "an empty file")],
    }
}

/// Looks at names of files, modules and types.
fn empty_names(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let file = source.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let file = is_empty_name(file)
        .then(|| source.finding(1, format!("a file named `{file}` says nothing of its purpose")));
    let types = source.lines().filter_map(|(number, line)| {
        let name = declared(line).filter(|name| is_empty_name(name))?;
        Some(source.finding(number, format!("the name `{name}` says nothing of its purpose")))
    });
    file.into_iter().chain(types).collect()
}

/// The name of the module or type that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    let keyword = words.next()?;
    if !["mod", "struct", "enum", "trait", "type", "union"].contains(&keyword) {
        return None;
    }
    let name = words.next()?;
    self::words(name).next()
}

/// Whether a part of the name, `snake_case` or `CamelCase`, is one of the empty words.
fn is_empty_name(name: &str) -> bool {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake.split('_').any(|part| EMPTY_NAMES.contains(&part))
}

fn paths_of_a_machine(source: &Source) -> Vec<Finding> {
    let found = source.lines().filter_map(|(number, line)| {
        let path = MACHINE.iter().find(|path| names_path(line, path))?;
        Some(source.finding(number, format!("`{path}` is a path of one machine")))
    });
    found.collect()
}

/// Whether the path stands there as a path from the root, not in the middle of another one.
fn names_path(line: &str, path: &str) -> bool {
    let before = |at: usize| line.get(..at).and_then(|start| start.chars().next_back());
    let inside = |character: char| character.is_alphanumeric() || "-_.~}".contains(character);
    line.match_indices(path).any(|(at, _)| !before(at).is_some_and(inside))
}

fn foreign_registries(source: &Source) -> Vec<Finding> {
    if source.path != "Cargo.lock" {
        return Vec::new();
    }
    let found = source.lines().filter_map(|(number, line)| {
        let from = line.strip_prefix("source = ")?.trim_matches('"');
        let what = format!("a crate from `{from}`, not from crates.io");
        (from != REGISTRY).then(|| source.finding(number, what))
    });
    found.collect()
}

/// Every connector's folder has the same files. A connector is a folder whose `mod.rs` declares
/// a `Connector`.
pub fn connector_folders(sources: &[Source]) -> Vec<Finding> {
    let declares = |source: &&Source| source.text.contains(": Connector = Connector {");
    let folders = sources.iter().filter(declares).filter_map(|source| {
        let folder = source.path.strip_suffix("/mod.rs")?;
        folder.starts_with("crates/connectors/src/").then_some((source, folder))
    });
    let has = |folder: &str, name: &str| {
        let path = format!("{folder}/{name}");
        sources.iter().any(|source| source.path == path)
    };
    let mut findings = Vec::new();
    for (source, folder) in folders {
        let calling = if has(folder, GATEWAY_FILE) { &[] } else { CALLING_FILES };
        let missing = CONNECTOR_FILES.iter().chain(calling).filter(|name| !has(folder, name));
        findings.extend(missing.map(|name| source.finding(1, format!("{folder} has no {name}"))));
        let either = |name: &str| {
            has(folder, &format!("{name}.rs")) || has(folder, &format!("{name}/mod.rs"))
        };
        let absent = CONNECTOR_MODULES.iter().filter(|name| !either(name));
        findings.extend(absent.map(|name| {
            source.finding(1, format!("{folder} has neither {name}.rs nor {name}/mod.rs"))
        }));
    }
    findings
}
