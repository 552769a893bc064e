//! From the text of a migration file to a checked [`Migration`]: what stands above the phases.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use toml::{Table, Value};

use super::error::MappingError;
use super::phase::phase;
use super::table::Reader;
use super::{IndexSpec, Migration, Phase};

/// Bytes of a file, phases, indexes, variables, and fields, references, uniques or checks of a
/// phase that there may be.
const MOST_BYTES: usize = 1024 * 1024;
pub(super) const MOST_ITEMS: usize = 200;

/// The migrations that come with the program.
const PRESET_TEXTS: &[(&str, &str)] =
    &[("form-a-friend", include_str!("presets/form-a-friend.toml"))];

/// What a name has to be that the program puts between other texts.
const NAME_HINT: &str = "a name is 1 to 60 letters, digits, -, _ or dots";

impl Migration {
    /// The names of the presets.
    pub const PRESETS: &[&str] = &["form-a-friend"];

    /// Parses and checks a file. `environment` answers with the value of an environment variable.
    ///
    /// # Errors
    /// When the file can't be used: what is wrong, with the path of the table, and a hint.
    pub fn parse(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, MappingError> {
        let mut root = open(text)?;
        let mut variables = BTreeMap::new();
        if let Some(mut table) = root.table("variables")? {
            for name in table.names() {
                let value = variable(&mut table, &name, environment)?;
                variables.insert(name, value);
            }
        }
        build(root, text, variables)
    }

    /// Parses and checks a file, with the variables as they were resolved when a run began.
    ///
    /// # Errors
    /// As [`Migration::parse`], and when a variable has no value.
    pub fn restore(text: &str, variables: BTreeMap<String, String>) -> Result<Self, MappingError> {
        let mut root = open(text)?;
        if let Some(table) = root.table("variables")?
            && let Some(name) = table.names().iter().find(|name| !variables.contains_key(*name))
        {
            return Err(MappingError::new(
                format!("the variable `{name}` has no value in what was kept of the run"),
                "the file is not the one that the run was planned with",
            ));
        }
        build(root, text, variables)
    }

    /// The text of a migration that comes with the program.
    #[must_use]
    pub fn preset(name: &str) -> Option<&'static str> {
        PRESET_TEXTS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }
}

fn open(text: &str) -> Result<Reader, MappingError> {
    if text.len() > MOST_BYTES {
        return Err(MappingError::new(
            format!("the file has {} bytes, and {MOST_BYTES} are the most", text.len()),
            "a migration file says what to do, it does not hold data",
        ));
    }
    match text.parse::<Table>() {
        Ok(table) => Ok(Reader::root(table)),
        Err(error) => Err(MappingError::new(
            format!("the file is not TOML: {}", error.to_string().trim_end()),
            "windlass migrate preset form-a-friend prints one that is",
        )),
    }
}

fn variable(
    table: &mut Reader,
    name: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, MappingError> {
    if !is_identifier(name) {
        return Err(table.wrong(name, "is no name that an expression can use", IDENTIFIER_HINT));
    }
    if table.is_text(name) {
        return table.text(name);
    }
    let Some(mut source) = table.table(name)? else { return Ok(String::new()) };
    let env = source.text("env")?;
    let default = source.optional("default")?;
    source.finish()?;
    environment(&env).or(default).ok_or_else(|| {
        MappingError::new(
            format!("variables.{name}: the environment variable {env} is not set"),
            format!("set {env}, or give the variable a `default`"),
        )
    })
}

pub(super) const IDENTIFIER_HINT: &str = "it begins with a letter, then letters, digits and _";

pub(super) fn is_identifier(name: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(letters)
        && name.len() <= 60
}

fn build(
    mut root: Reader,
    text: &str,
    variables: BTreeMap<String, String>,
) -> Result<Migration, MappingError> {
    let name = name_of(&mut root, "name")?;
    let stamp = root.optional("stamp")?.unwrap_or_else(|| "_windlass".to_owned());
    if !is_field(&stamp) || stamp == "_id" {
        return Err(root.wrong("stamp", "is no name of a top-level field", FIELD_HINT));
    }
    let write_concern = write_concern(&mut root)?;
    let max_left = max_left(&mut root)?;
    let mut indexes = Vec::new();
    // What new work waits for is read where it is watched.
    root.table("throttle")?;
    for table in root.tables("index", MOST_ITEMS)? {
        indexes.push(index(table)?);
    }
    let file = Shared { stamp: &stamp, variables: &variables };
    let mut phases: Vec<Phase> = Vec::new();
    for table in root.tables("phase", MOST_ITEMS)? {
        phases.push(phase(table, &file, &phases)?);
    }
    if phases.is_empty() {
        return Err(MappingError::new(
            "the file has no [[phase]]",
            "a phase says which collection is read, which is written, and the fields",
        ));
    }
    root.finish()?;
    let text = text.to_owned();
    Ok(Migration { name, stamp, phases, indexes, write_concern, max_left, variables, text })
}

/// What the phases have from the file.
pub(super) struct Shared<'a> {
    pub(super) stamp: &'a str,
    pub(super) variables: &'a BTreeMap<String, String>,
}

pub(super) fn name_of(table: &mut Reader, key: &str) -> Result<String, MappingError> {
    let name = table.text(key)?;
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if name.is_empty() || name.len() > 60 || !name.chars().all(letters) {
        return Err(table.wrong(key, &format!("is `{name}`, which is no name"), NAME_HINT));
    }
    Ok(name)
}

pub(super) fn collection(table: &mut Reader, key: &str) -> Result<String, MappingError> {
    let name = table.text(key)?;
    let odd = name.is_empty() || name.len() > 200 || name.starts_with("system.");
    if odd || name.contains(['$', '\0']) {
        return Err(table.wrong(
            key,
            &format!("is `{name}`, which no collection is called"),
            "a collection's name is 1 to 200 characters without $, and not system.*",
        ));
    }
    Ok(name)
}

fn write_concern(root: &mut Reader) -> Result<Document, MappingError> {
    let Some(mut table) = root.table("write_concern")? else {
        return Ok(doc! { "w": "majority", "j": true });
    };
    let mut concern = Document::new();
    if table.is_text("w") {
        concern.insert("w", table.text("w")?);
    } else if let Some(members) = table.integer("w")? {
        if !(1..=50).contains(&members) {
            return Err(table.wrong(
                "w",
                "is not 1 to 50",
                "unacknowledged writes (w = 0) can be lost without anybody knowing",
            ));
        }
        concern.insert("w", i32::try_from(members).unwrap_or(1));
    }
    if let Some(journaled) = table.flag("j")? {
        concern.insert("j", journaled);
    }
    if let Some(millis) = table.integer("wtimeout")? {
        let millis = i32::try_from(millis).ok().filter(|millis| *millis > 0);
        let Some(millis) = millis else {
            return Err(table.wrong("wtimeout", "is no number of milliseconds", "such as 30000"));
        };
        concern.insert("wtimeout", millis);
    }
    table.finish()?;
    Ok(concern)
}

fn max_left(root: &mut Reader) -> Result<Option<f64>, MappingError> {
    let Some(text) = root.optional("max_left")? else { return Ok(None) };
    let share = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match share.filter(|share| (0.0..=100.0).contains(share)) {
        Some(share) => Ok(Some(share / 100.0)),
        None => Err(root.wrong("max_left", "is no share", "such as \"10%\"")),
    }
}

fn index(mut table: Reader) -> Result<IndexSpec, MappingError> {
    let collection = collection(&mut table, "collection")?;
    let unique = table.flag("unique")?.unwrap_or(false);
    let Some(fields) = table.raw_table("keys")? else {
        return Err(table.missing("keys"));
    };
    let mut keys = Document::new();
    for (name, direction) in fields {
        let direction = match direction {
            Value::Integer(1) => Bson::Int32(1),
            Value::Integer(-1) => Bson::Int32(-1),
            Value::String(kind) if ["hashed", "text", "2dsphere"].contains(&kind.as_str()) => {
                Bson::String(kind)
            }
            _ => {
                let hint = "it is 1, -1, \"hashed\", \"text\" or \"2dsphere\"";
                return Err(table.wrong("keys", &format!("has no direction for `{name}`"), hint));
            }
        };
        keys.insert(name, direction);
    }
    if keys.is_empty() {
        return Err(table.wrong("keys", "is empty", "such as { email = 1 }"));
    }
    table.finish()?;
    Ok(IndexSpec { collection, keys, unique })
}

pub(super) const FIELD_HINT: &str =
    "a field's name has no dot, no $ at its start, and is not empty";

pub(super) fn is_field(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('$') && !name.contains(['.', '\0'])
}
