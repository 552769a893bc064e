//! The section about environment variables: what `windlass config variables` says of each.

use super::source::cell;
use crate::place::output;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Asks the program for the variables that it knows.
pub fn section(program: &Path) -> Result<String> {
    let mut command = Command::new(program);
    command.args(["config", "variables", "--output", "json"]).env_clear();
    table(&output(&mut command)?)
}

fn table(lines: &str) -> Result<String> {
    let mut table = String::from(
        "\n## Environment variables\n\nThey go before the files, and flags go before them. Where \
         several set the same, the first that is set wins.\n\n\
         | variable | what it sets |\n| --- | --- |\n",
    );
    for line in lines.lines() {
        let row: serde_json::Value = serde_json::from_str(line).context("a line is not JSON")?;
        let text = |name: &str| row[name].as_str().with_context(|| format!("no `{name}`: {line}"));
        let (variable, sets) = (text("variable")?, text("sets")?);
        // Keys are written as they stand in a file, other things in words.
        let sets = if sets.contains(' ') { cell(sets) } else { format!("`{sets}`") };
        table.push_str(&format!("| `{variable}` | {sets} |\n"));
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_code_and_words_are_words() {
        let lines = "{\"variable\":\"A_URL\",\"sets\":\"a.base-url\"}\n\
                     {\"variable\":\"A_KEY\",\"sets\":\"the key to a\"}\n";
        let table = table(lines).unwrap();
        assert!(
            table.ends_with(
                "| --- | --- |\n| `A_URL` | `a.base-url` |\n| `A_KEY` | the key to a |\n"
            ),
            "{table}"
        );
        assert!(super::table("{\"variable\":\"A\"}\n").is_err());
        assert!(super::table("no JSON\n").is_err());
    }
}
