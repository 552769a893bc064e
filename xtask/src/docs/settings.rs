//! The page of all settings, from the defaults that are compiled into the program: a comment
//! above a key is its description, a key in a comment has no default.

use super::source::cell;

/// The page.
pub fn page(defaults: &str) -> String {
    let mut page = Page { text: String::from("# Settings\n"), ..Page::default() };
    for line in defaults.lines() {
        page.take(line);
    }
    page.text
}

#[derive(Debug, Default)]
struct Page {
    text: String,
    comment: Vec<String>,
    in_table: bool,
}

impl Page {
    fn take(&mut self, line: &str) {
        if line.is_empty() {
            self.paragraph();
        } else if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            self.end_table();
            self.text.push_str(&format!("\n## `[{name}]`\n"));
            self.paragraph();
        } else if let Some((key, value)) = setting(line) {
            self.row(key, &format!("`{value}`"));
        } else if let Some(comment) = line.strip_prefix('#') {
            match setting(comment.trim()) {
                Some((key, value)) => self.row(key, &format!("not set; such as `{value}`")),
                None => self.comment.push(comment.trim().to_owned()),
            }
        }
    }

    /// Comments that belong to no key.
    fn paragraph(&mut self) {
        if !self.comment.is_empty() {
            self.end_table();
            self.text.push_str(&format!("\n{}\n", self.comment.join(" ")));
            self.comment.clear();
        }
    }

    fn row(&mut self, key: &str, value: &str) {
        if !self.in_table {
            self.text.push_str("\n| key | default | what it is |\n| --- | --- | --- |\n");
            self.in_table = true;
        }
        let what = cell(&self.comment.join(" "));
        self.text.push_str(&format!("| `{key}` | {} | {what} |\n", cell(value)));
        self.comment.clear();
    }

    fn end_table(&mut self) {
        self.in_table = false;
    }
}

/// Reads `key = value`.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key = key.chars().all(|character| character.is_ascii_alphanumeric() || character == '-');
    (is_key && !key.is_empty()).then_some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_comments_and_defaults() {
        let defaults = "# All of them.\n# Really.\n\n# For a | b.\noutput = \"text\"\n\n[workos]\n\
            # How long.\ntimeout = \"30s\"\n# The most.\n# max-delete = 1000\n\n# Windows.\n\
            [workos.quota]\n# user-write = \"5/1s\"\n";
        let expected = "# Settings\n\nAll of them. Really.\n\n\
            | key | default | what it is |\n| --- | --- | --- |\n\
            | `output` | `\"text\"` | For a \\| b. |\n\n## `[workos]`\n\n\
            | key | default | what it is |\n| --- | --- | --- |\n\
            | `timeout` | `\"30s\"` | How long. |\n\
            | `max-delete` | not set; such as `1000` | The most. |\n\n\
            ## `[workos.quota]`\n\nWindows.\n\n\
            | key | default | what it is |\n| --- | --- | --- |\n\
            | `user-write` | not set; such as `\"5/1s\"` |  |\n";
        assert_eq!(page(defaults), expected);
    }
}
