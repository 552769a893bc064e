//! The page of all commands: what `windlass help` says of each, word for word.

use crate::place::output;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// The deepest command below the program.
const DEPTH_MAX: usize = 4;

/// Asks the program for the help of every command it names.
pub fn page(program: &Path) -> Result<String> {
    let mut page = String::from("# Commands\n");
    add(program, &mut Vec::new(), &mut page)?;
    Ok(page)
}

fn add(program: &Path, path: &mut Vec<String>, page: &mut String) -> Result<()> {
    let help = help(program, path)?;
    let name: Vec<&str> =
        std::iter::once("windlass").chain(path.iter().map(String::as_str)).collect();
    page.push_str(&format!("\n## `{}`\n\n```text\n{}\n```\n", name.join(" "), help.trim_end()));
    if path.len() < DEPTH_MAX {
        for command in commands(&help) {
            path.push(command);
            add(program, path, page)?;
            path.pop();
        }
    }
    Ok(())
}

/// The words are the same on every machine: a fixed width, no colour, and no settings of the
/// person who runs this.
fn help(program: &Path, path: &[String]) -> Result<String> {
    let mut command = Command::new(program);
    command.arg("help").args(path).env_clear().env("COLUMNS", "100").env("NO_COLOR", "1");
    let text = output(&mut command)?;
    Ok(text.lines().map(|line| format!("{}\n", line.trim_end())).collect())
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| line.starts_with("  "));
    // Deeper lines go on with the text of the one above.
    let names = listed.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_the_help() {
        let help = "Does it\n\nUsage: windlass <COMMAND>\n\nCommands:\n  workos  WorkOS: delete\n  \
            apply   Carry out a plan,\n          exactly\n  help    Print this message\n\n\
            Global:\n      --output <text|json>  Text\n";
        assert_eq!(commands(help), ["workos", "apply"]);
        assert_eq!(commands("Usage: windlass runs\n"), Vec::<String>::new());
    }
}
