//! Reads enums out of Rust sources as text: names, doc comments and numbers. It knows the form
//! that rustfmt gives them and no other.

use anyhow::{Context, Result, bail};

/// One variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its doc comment on one line.
    pub doc: String,
    /// What stands behind the `=`.
    pub value: Option<String>,
}

/// The variants of a public enum; an error when there is none or one has no doc comment.
pub fn variants(text: &str, name: &str) -> Result<Vec<Variant>> {
    let body = block(text, &format!("pub enum {name} {{\n"), "\n}\n")?;
    let mut variants = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            doc.push(comment.trim());
        } else if !line.is_empty() && !line.starts_with('#') {
            let line = line.trim_end_matches(',');
            let (variant, value) = match line.split_once(" = ") {
                Some((variant, value)) => (variant, Some(value.to_owned())),
                None => (line, None),
            };
            if doc.is_empty() || !variant.chars().all(char::is_alphanumeric) {
                bail!("`{line}` of {name} is no documented plain variant");
            }
            variants.push(Variant { name: variant.to_owned(), doc: doc.join(" "), value });
            doc.clear();
        }
    }
    Ok(variants)
}

/// The text between a line that begins something and the line that ends it.
pub fn block<'a>(text: &'a str, begin: &str, end: &str) -> Result<&'a str> {
    let (_, rest) = text.split_once(begin).with_context(|| format!("there is no `{begin}`"))?;
    let (body, _) = rest.split_once(end).with_context(|| format!("`{begin}` does not end"))?;
    Ok(body)
}

/// Text for a cell of a table.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undocumented_variant_is_an_error() {
        assert!(variants("pub enum A {\n    B,\n}\n", "A").is_err());
        assert!(variants("pub enum A {\n    /// B.\n    B(u8),\n}\n", "A").is_err());
        assert!(variants("pub enum A {\n    /// B.\n    B,\n}\n", "C").is_err());
    }

    #[test]
    fn attributes_are_passed_over() {
        let text = "pub enum A {\n    /// B\n    /// is.\n    #[default]\n    B,\n}\n";
        let expected = Variant { name: "B".into(), doc: "B is.".into(), value: None };
        assert_eq!(variants(text, "A").unwrap(), [expected]);
    }
}
