//! The page of the kinds of failures, from the doc comments and the table in the engine. The
//! tests compare what is read here with what the engine itself says.

use super::source::{block, cell, variants};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// What the engine does about a kind, as text.
type Fields = BTreeMap<String, String>;

const COLUMNS: &[&str] = &["retry", "spends_budget", "pushes_back", "counts_for_breaker"];

/// The page.
pub fn page(text: &str) -> Result<String> {
    let mut page = String::from(
        "# Failures\n\nEvery error of a remote is put into one of these kinds, and the kind alone \
         decides what happens next.\n\n\
         | kind | what it is | tried again | spends a retry | slows the remote | counts for the \
         breaker | ends the run |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let verdicts = verdicts(text)?;
    for kind in variants(text, "Kind")? {
        let fields =
            verdicts.get(&kind.name).with_context(|| format!("no verdict on {}", kind.name))?;
        page.push_str(&format!("| {} | {} |", snake(&kind.name), cell(&kind.doc)));
        for column in COLUMNS {
            let yes = fields.get(*column).with_context(|| format!("no `{column}`"))? == "true";
            page.push_str(if yes { " yes |" } else { " no |" });
        }
        page.push_str(&format!(" {} |\n", ending(text, fields)?));
    }
    page.push_str(
        "\nOnly requests that may be repeated without harm are tried again after a timeout; for \
         all others the remote is asked first what became of them.\n",
    );
    Ok(page)
}

fn ending(text: &str, fields: &Fields) -> Result<String> {
    let ends = fields.get("ends_run").context("no `ends_run`")?;
    match ends.strip_prefix("EndsRun::").context("`ends_run` is no EndsRun")? {
        "Never" => Ok("no".to_owned()),
        "Always" => Ok("yes".to_owned()),
        after => {
            let number = after.strip_prefix("After(").and_then(|rest| rest.strip_suffix(')'));
            let number = number.with_context(|| format!("`{after}` is not understood"))?;
            Ok(format!("after {} in a row", constant(text, number)?))
        }
    }
}

/// A number, or the value of the constant of this name.
fn constant(text: &str, name: &str) -> Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    Ok(block(text, &format!("const {name}: u32 = "), ";")?.parse()?)
}

/// Reads the one match that is the table: `Self::A | Self::B => Verdict { retry: true, ..BASE },`.
fn verdicts(text: &str) -> Result<BTreeMap<String, Fields>> {
    let body = block(text, "fn verdict(self) -> Verdict {\n", "\n    }\n")?;
    let (constants, arms) = body.split_once("match self {").context("verdict has no match")?;
    let mut bases = BTreeMap::new();
    for part in constants.split("const ").skip(1) {
        let (name, rest) = part.split_once(':').context("a constant without a type")?;
        let (_, rest) = rest.split_once("Verdict {").context("a constant that is no Verdict")?;
        let (inner, _) = rest.split_once('}').context("a constant without an end")?;
        bases.insert(name.to_owned(), fields(inner, &bases)?);
    }
    let mut verdicts = BTreeMap::new();
    let mut rest = arms;
    while let Some((patterns, value)) = rest.split_once("=>") {
        let value = value.trim_start().trim_start_matches('{').trim_start();
        let (read, after) = match value.strip_prefix("Verdict {") {
            Some(value) => {
                let (inner, after) = value.split_once('}').context("an arm without an end")?;
                (fields(inner, &bases)?, after)
            }
            None => {
                // rustfmt puts a name that has no room behind its patterns into braces.
                let (name, after) =
                    value.split_once([',', '}']).context("an arm without an end")?;
                let base = bases.get(name.trim()).with_context(|| format!("no `{name}`"))?;
                (base.clone(), after)
            }
        };
        for pattern in patterns.split("Self::").skip(1) {
            let name = pattern.trim_matches(|character: char| !character.is_alphanumeric());
            verdicts.insert(name.to_owned(), read.clone());
        }
        rest = after;
    }
    Ok(verdicts)
}

/// Reads `retry: true, ends_run: EndsRun::Never, ..BASE`.
fn fields(inner: &str, bases: &BTreeMap<String, Fields>) -> Result<Fields> {
    let mut own = Fields::new();
    let mut all = Fields::new();
    for part in inner.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        if let Some(base) = part.strip_prefix("..") {
            all = bases.get(base).with_context(|| format!("no `{base}`"))?.clone();
        } else if let Some((name, value)) = part.split_once(": ") {
            own.insert(name.to_owned(), value.to_owned());
        } else {
            bail!("`{part}` is no field");
        }
    }
    all.extend(own);
    Ok(all)
}

/// The name as it stands in JSON.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(character.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_engine::Kind;
    use windlass_engine::failure::EndsRun;

    const SOURCE: &str = include_str!("../../../crates/engine/src/failure.rs");

    /// The page says of every kind what the engine does: the table is read as text, so it is
    /// compared with the function itself.
    #[test]
    fn the_page_says_what_the_engine_does() {
        let page = page(SOURCE).unwrap();
        let kinds = variants(SOURCE, "Kind").unwrap();
        assert!(kinds.len() >= 10, "{kinds:?}");
        for kind in kinds {
            let name = snake(&kind.name);
            let known: Kind = serde_json::from_value(name.clone().into()).unwrap();
            let verdict = known.verdict();
            let word = |yes: bool| if yes { "yes" } else { "no" };
            let ends = match verdict.ends_run {
                EndsRun::Never => "no".to_owned(),
                EndsRun::Always => "yes".to_owned(),
                EndsRun::After(number) => format!("after {number} in a row"),
            };
            let expected = format!(
                "| {} | {} | {} | {} | {ends} |",
                word(verdict.retry),
                word(verdict.spends_budget),
                word(verdict.pushes_back),
                word(verdict.counts_for_breaker),
            );
            let row = page.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
            assert!(row.ends_with(&expected), "{row} is not {expected}");
        }
    }

    #[test]
    fn a_kind_without_a_verdict_is_an_error() {
        let source = SOURCE.replace("Self::Throttled =>", "Self::Other =>");
        assert!(page(&source).is_err());
    }
}
