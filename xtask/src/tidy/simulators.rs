//! The rule that keeps judge and judged apart: a simulator uses nothing of the connector beside
//! it, of any other connector, or of the engine.

use super::{Finding, Source};

const CONNECTORS: &str = "crates/connectors/src/";

/// What files of a simulator use of others.
pub fn imports_of_simulators(source: &Source) -> Vec<Finding> {
    let Some((connector, depth)) = place(source) else { return Vec::new() };
    // Inside `mod tests { ... }` the first `super` is the file itself.
    let mut depth = depth;
    let mut findings = Vec::new();
    for (number, line) in source.lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if line.starts_with("mod tests {") {
            depth += 1;
        }
        if let Some(what) = foreign(line, connector, depth) {
            findings.push(source.finding(number, format!("a simulator uses {what}")));
        }
    }
    findings
}

/// The connector that a file of a simulator belongs to, and how many `super` stay inside the
/// simulator: none in `sim.rs` and `sim/mod.rs`, one in `sim/store.rs`.
fn place(source: &Source) -> Option<(&str, usize)> {
    let path = source.path.strip_prefix(CONNECTORS)?;
    let (connector, rest) = path.split_once('/')?;
    if rest == "sim.rs" {
        return Some((connector, 0));
    }
    let inside = rest.strip_prefix("sim/")?.strip_suffix(".rs")?;
    let folders = inside.matches('/').count();
    let own = usize::from(inside.rsplit('/').next() != Some("mod"));
    Some((connector, folders + own))
}

fn foreign(line: &str, connector: &str, depth: usize) -> Option<String> {
    if line.contains("windlass_engine") {
        return Some("the engine".to_owned());
    }
    let mut rest = line;
    while let Some((_, path)) = rest.split_once("crate::") {
        let own = path.strip_prefix(connector).is_some_and(|path| path.starts_with("::sim"));
        if !own {
            return Some("what stands outside its folder, through `crate::`".to_owned());
        }
        rest = path;
    }
    (longest_climb(line) > depth).then(|| "what stands outside its folder, by `super`".to_owned())
}

/// The longest chain of `super::` in a line.
fn longest_climb(line: &str) -> usize {
    let mut longest = 0;
    let mut current = 0;
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("super::") {
        current = if before.is_empty() { current + 1 } else { 1 };
        longest = longest.max(current);
        rest = after;
    }
    longest
}
