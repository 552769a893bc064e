//! Which keys are meant: by prefix, pattern, metadata and expression, all of which must agree; and
//! the cache tags in the metadata of a key.
//!
//! A condition that is empty by accident, as `--search "$UNSET"`, would mean every key, and so is
//! refused. Only an empty prefix means all, as it does to the API.

use super::listing::Key;
use crate::connector::OpenError;
use crate::expression::Expression;
use cel::{ExecutionError, Program, Value as CelValue};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// The longest cache tags of a purge have so many characters together in one call.
const TAG_CHARS_MAX: usize = 1_024;
/// The fields of metadata that hold cache tags, by custom.
const TAG_FIELDS: [&str; 5] = ["cache-tag", "cache-tags", "cacheTags", "tag", "tags"];
/// The variables of an expression.
const VARIABLES: [&str; 4] = ["name", "metadata", "expiration", "object"];

/// The reason for a key about which the expression says neither yes nor no.
pub const UNDECIDED: &str = "--where can't be answered";

/// The conditions as they were written. The names are those of the plan's header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectionOptions {
    /// What the name begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// A regular expression that is found somewhere in the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// A text that is found somewhere in the values of the metadata, whatever its case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// A field of the metadata, at its top, that is a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_field: Option<String>,
    /// What that string is, exactly; none, or an empty one, is any string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_value: Option<String>,
    /// A CEL expression over `name`, `metadata` and `expiration`.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// The conditions, ready to be asked.
#[derive(Debug)]
pub struct Selection {
    options: SelectionOptions,
    pattern: Option<Regex>,
    /// In small letters.
    search: Option<String>,
    tag: Option<Tag>,
    filter: Option<Expression>,
}

#[derive(Debug)]
struct Tag {
    field: String,
    value: Option<String>,
}

/// Why a key is left alone that could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left(pub &'static str);

impl Selection {
    /// Makes the conditions ready.
    ///
    /// # Errors
    /// When the pattern or the expression can't be understood, or a condition is empty.
    pub fn compile(options: SelectionOptions) -> Result<Self, OpenError> {
        refuse_empty("--pattern", options.pattern.as_deref())?;
        refuse_empty("--search", options.search.as_deref())?;
        refuse_empty("--tag-field", options.tag_field.as_deref())?;
        refuse_empty("--where", options.filter.as_deref())?;
        if options.tag_value.is_some() && options.tag_field.is_none() {
            let what = "--tag-value says nothing without --tag-field";
            return Err(OpenError::usage(what, "name the metadata's field: --tag-field FIELD"));
        }
        let tag = options.tag_field.clone().map(|field| Tag {
            field,
            value: options.tag_value.clone().filter(|value| !value.is_empty()),
        });
        Ok(Self {
            pattern: options.pattern.as_deref().map(pattern).transpose()?,
            search: options.search.as_deref().map(str::to_lowercase),
            tag,
            filter: options.filter.as_deref().map(expression).transpose()?,
            options,
        })
    }

    /// What every name begins with; empty where that is no condition.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.options.prefix.as_deref().unwrap_or_default()
    }

    /// Whether every key with the prefix is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.pattern.is_none()
            && self.search.is_none()
            && self.tag.is_none()
            && self.filter.is_none()
    }

    /// Whether a key is meant.
    ///
    /// # Errors
    /// When its expression can't be answered for this key: the caller leaves it alone and says so.
    pub fn matches(&self, key: &Key<'_>) -> Result<bool, Left> {
        let by_name = key.name.starts_with(self.prefix())
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&key.name));
        if !by_name || self.is_everything() {
            return Ok(by_name);
        }
        if let Some(search) = &self.search
            && !key.metadata.is_some_and(|metadata| holds_text(metadata, search))
        {
            return Ok(false);
        }
        if let Some(tag) = &self.tag
            && !key.metadata.is_some_and(|metadata| tag.is_in(metadata))
        {
            return Ok(false);
        }
        self.filter.as_ref().map_or(Ok(true), |filter| holds(filter, key))
    }
}

fn refuse_empty(flag: &str, value: Option<&str>) -> Result<(), OpenError> {
    if value == Some("") {
        let what = format!("{flag} is empty, which would mean every key");
        return Err(OpenError::usage(what, format!("leave {flag} out if that is meant")));
    }
    Ok(())
}

fn pattern(text: &str) -> Result<Regex, OpenError> {
    Regex::new(text).map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        OpenError::usage(
            format!("the pattern `{text}` is not a regular expression: {why}"),
            "it is found anywhere in the name; ^ and $ tie it to the ends",
        )
    })
}

/// Compiles an expression, and asks it about a key without metadata: one that names what no key
/// has, or answers with something else than yes or no, is refused before any key is listed.
fn expression(text: &str) -> Result<Expression, OpenError> {
    const HINT: &str = "an expression is CEL over name, metadata and expiration, such as \
                        `name.startsWith(\"a\") && metadata.size > 3`, and answers true or false";
    let refused = |what: String| OpenError::usage(what, HINT);
    let expression = Expression::compile(text).map_err(|error| refused(error.to_string()))?;
    let mut context = cel::Context::default();
    context.add_variable_from_value("name", "");
    for absent in ["metadata", "expiration"] {
        context.add_variable_from_value(absent, CelValue::Null);
    }
    let program = Program::compile(text).map_err(|error| refused(error.to_string()))?;
    let object = program.references().has_variable("object");
    match program.execute(&context) {
        Ok(CelValue::Bool(_)) => {}
        Ok(_) => {
            let what = format!("the expression `{text}` answers neither true nor false");
            return Err(refused(what));
        }
        Err(ExecutionError::UndeclaredReference(name))
            if !(object && VARIABLES.contains(&name.as_str())) =>
        {
            return Err(refused(format!(
                "the expression `{text}` names `{name}`, which no key has"
            )));
        }
        Err(_) => {}
    }
    Ok(expression)
}

fn holds(filter: &Expression, key: &Key<'_>) -> Result<bool, Left> {
    #[derive(Serialize)]
    struct Object<'a> {
        name: &'a str,
        metadata: Option<&'a RawValue>,
        expiration: Option<u64>,
    }
    let object = Object { name: &key.name, metadata: key.metadata, expiration: key.expiration };
    let object = serde_json::value::to_raw_value(&object).map_err(|_| Left(UNDECIDED))?;
    filter.holds(&object).map_err(|_| Left(UNDECIDED))
}

impl Tag {
    fn is_in(&self, metadata: &RawValue) -> bool {
        let Ok(fields) = serde_json::from_str::<Fields<'_>>(metadata.get()) else { return false };
        let Some(text) = fields.get(self.field.as_str()).and_then(|raw| text(raw)) else {
            return false;
        };
        self.value.as_ref().is_none_or(|value| *value == text)
    }
}

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

fn text(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether `search`, in small letters, is in a value of the metadata: in strings, and in numbers,
/// true and false as they are written. Names of fields are not values, and null has no text.
fn holds_text(metadata: &RawValue, search: &str) -> bool {
    let mut open = vec![metadata];
    while let Some(raw) = open.pop() {
        let written = raw.get();
        let found = match written.as_bytes().first() {
            Some(b'{') => {
                let fields = serde_json::from_str::<Fields<'_>>(written).unwrap_or_default();
                open.extend(fields.into_values());
                false
            }
            Some(b'[') => {
                let items = serde_json::from_str::<Vec<&RawValue>>(written).unwrap_or_default();
                open.extend(items);
                false
            }
            Some(b'"') => text(raw).is_some_and(|text| text.to_lowercase().contains(search)),
            Some(b'n') | None => false,
            Some(_) => written.to_lowercase().contains(search),
        };
        if found {
            return true;
        }
    }
    false
}

/// The cache tags in the metadata of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Those that can be purged, as they are written, each once whatever its case.
    pub tags: Vec<String>,
    /// Those that can't, with the reason.
    pub refused: Vec<(String, &'static str)>,
}

/// Finds cache tags under the names of fields that are customary: a string with commas between
/// the tags, or an array of strings.
#[must_use]
pub fn tags_of(metadata: &RawValue) -> Tags {
    let fields = serde_json::from_str::<Fields<'_>>(metadata.get()).unwrap_or_default();
    let mut found = Tags::default();
    let mut known = HashSet::new();
    for raw in TAG_FIELDS.iter().filter_map(|field| fields.get(*field)) {
        let texts = match text(raw) {
            Some(text) => text.split(',').map(str::to_owned).collect(),
            None => serde_json::from_str::<Vec<&RawValue>>(raw.get())
                .map(|items| items.into_iter().filter_map(text).collect())
                .unwrap_or_else(|_| Vec::new()),
        };
        for tag in texts.iter().map(|text| text.trim()).filter(|tag| !tag.is_empty()) {
            if !known.insert(tag.to_ascii_lowercase()) {
                continue;
            }
            match check_tag(tag) {
                Ok(()) => found.tags.push(tag.to_owned()),
                Err(why) => found.refused.push((tag.to_owned(), why)),
            }
        }
    }
    found
}

/// Whether a cache tag can be purged.
///
/// # Errors
/// Why not: tags are printable ASCII without spaces, and a call has room for 1,024 characters.
pub fn check_tag(tag: &str) -> Result<(), &'static str> {
    if tag.is_empty() {
        Err("an empty tag")
    } else if tag.contains(char::is_whitespace) {
        Err("a tag has no spaces")
    } else if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("a tag has only printable ASCII characters")
    } else if tag.len() > TAG_CHARS_MAX {
        Err("a tag has at most 1,024 characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SelectionOptions {
        SelectionOptions::default()
    }

    fn ask(options: SelectionOptions, name: &str, metadata: &str) -> Result<bool, Left> {
        let metadata = RawValue::from_string(metadata.to_owned()).unwrap();
        let metadata = Some(&*metadata).filter(|raw| raw.get() != "null");
        let key = Key { name: name.into(), expiration: None, metadata };
        Selection::compile(options).unwrap().matches(&key)
    }

    fn refused(options: SelectionOptions) -> String {
        Selection::compile(options).unwrap_err().message
    }

    #[test]
    fn a_name_is_judged_by_prefix_and_pattern() {
        let by = |prefix: &str, pattern: Option<&str>, name: &str| {
            let options = SelectionOptions {
                prefix: Some(prefix.to_owned()),
                pattern: pattern.map(str::to_owned),
                ..options()
            };
            ask(options, name, "null").unwrap()
        };
        assert!(by("", None, "anything") && by("a", None, "ab") && !by("a", None, "ba"));
        assert!(by("", Some("[0-9]+$"), "user-17") && !by("", Some("^[0-9]+$"), "user-17"));
        assert!(!by("user", Some("nothing like it"), "user-17"), "a pattern is never ignored");
    }

    #[test]
    fn a_search_goes_through_all_values_and_nothing_else() {
        let search = |text: &str, metadata: &str| {
            let options = SelectionOptions { search: Some(text.to_owned()), ..options() };
            ask(options, "the-name", metadata).unwrap()
        };
        let metadata = r#"{"Kind":"IMAGE/png","deep":[{"list":["Größe",17.50,true,null]}]}"#;
        for found in ["image", "E/P", "grÖSSe".strip_suffix("SSe").unwrap(), "17.50", "TRUE"] {
            assert!(search(found, metadata), "{found}");
        }
        for missing in ["kind", "deep", "the-name", "null", "17.500", "list"] {
            assert!(!search(missing, metadata), "{missing}");
        }
        assert!(!search("x", "null") && search("x", r#""text""#) && search("1", "[[[[1]]]]"));
        let deep = format!("{}\"x\"{}", "[".repeat(400), "]".repeat(400));
        assert!(search("x", &deep));
    }

    #[test]
    fn a_tag_field_is_a_string_at_the_top() {
        let tag = |field: &str, value: Option<&str>, metadata: &str| {
            let options = SelectionOptions {
                tag_field: Some(field.to_owned()),
                tag_value: value.map(str::to_owned),
                ..options()
            };
            ask(options, "k", metadata).unwrap()
        };
        assert!(tag("type", Some("image"), r#"{"type":"image"}"#));
        assert!(tag("type", Some("a\"é"), r#"{"ty\u0070e":"a\"\u00e9"}"#));
        for no in [
            r#"{"type":"Image"}"#,
            r#"{"type":"images"}"#,
            r#"{"type":["image"]}"#,
            r#"{"a":{"type":"image"}}"#,
            r#"["type","image"]"#,
            "null",
        ] {
            assert!(!tag("type", Some("image"), no), "{no}");
        }
        for any in [None, Some("")] {
            assert!(tag("type", any, r#"{"type":"x"}"#) && tag("type", any, r#"{"type":""}"#));
            assert!(!tag("type", any, r#"{"type":7}"#) && !tag("type", any, r#"{"types":"x"}"#));
        }
    }

    #[test]
    fn an_expression_sees_name_metadata_and_expiration() {
        let by = |text: &str, metadata: &str| {
            ask(SelectionOptions { filter: Some(text.to_owned()), ..options() }, "a/b", metadata)
        };
        for yes in [
            "name.startsWith('a/')",
            "metadata.size > 3",
            "metadata != null && expiration == null",
            "has(object.metadata.size) && !has(object.metadata.other)",
            "metadata.list.exists(x, x == 'y')",
        ] {
            assert_eq!(by(yes, r#"{"size":7,"list":["x","y"]}"#), Ok(true), "{yes}");
        }
        assert_eq!(by("metadata == null", "null"), Ok(true));
        assert_eq!(by("metadata.size > 3", "null"), Err(Left(UNDECIDED)));
        assert_eq!(by("metadata.size > 3", r#"{"size":"x"}"#), Err(Left(UNDECIDED)));
        assert_eq!(by("metadata.size > 3", r#"{"size":1}"#), Ok(false));
    }

    #[test]
    fn all_conditions_must_agree() {
        let all = |name: &str, metadata: &str| {
            let options = SelectionOptions {
                prefix: Some("u".into()),
                pattern: Some("1".into()),
                search: Some("png".into()),
                tag_field: Some("t".into()),
                tag_value: Some("v".into()),
                filter: Some("metadata.n == 1".into()),
            };
            ask(options, name, metadata).unwrap()
        };
        assert!(all("u1", r#"{"x":"png","t":"v","n":1}"#));
        assert!(!all("x1", r#"{"x":"png","t":"v","n":1}"#));
        assert!(!all("u2", r#"{"x":"png","t":"v","n":1}"#));
        assert!(!all("u1", r#"{"x":"gif","t":"v","n":1}"#));
        assert!(!all("u1", r#"{"x":"png","t":"w","n":1}"#));
        assert!(!all("u1", r#"{"x":"png","t":"v","n":2}"#));
    }

    #[test]
    fn what_would_mean_every_key_by_accident_is_refused() {
        let some = || Some(String::new());
        assert_eq!(
            refused(SelectionOptions { search: some(), ..options() }),
            "--search is empty, which would mean every key"
        );
        assert!(refused(SelectionOptions { pattern: some(), ..options() }).contains("--pattern"));
        assert!(refused(SelectionOptions { tag_field: some(), ..options() }).contains("--tag"));
        assert!(refused(SelectionOptions { filter: some(), ..options() }).contains("--where"));
        let alone = SelectionOptions { tag_value: Some("v".into()), ..options() };
        assert_eq!(refused(alone), "--tag-value says nothing without --tag-field");
        assert!(Selection::compile(options()).unwrap().is_everything());
    }

    #[test]
    fn what_can_never_be_answered_is_refused_before_anything_is_listed() {
        let filter =
            |text: &str| refused(SelectionOptions { filter: Some(text.into()), ..options() });
        assert!(filter("name ==").contains("is not valid"));
        for odd in ["name", "1 + 2", "'true'", "[true]"] {
            assert!(filter(odd).ends_with("answers neither true nor false"), "{odd}");
        }
        assert_eq!(
            filter("nmae == 'x'"),
            "the expression `nmae == 'x'` names `nmae`, which no key has"
        );
        let pattern = refused(SelectionOptions { pattern: Some("a(".into()), ..options() });
        assert_eq!(pattern, "the pattern `a(` is not a regular expression: unclosed group");
    }

    #[test]
    fn options_survive_the_header_of_a_plan() {
        let options = SelectionOptions {
            prefix: Some("a".into()),
            filter: Some("name == 'b'".into()),
            ..options()
        };
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(json, r#"{"prefix":"a","where":"name == 'b'"}"#);
        assert_eq!(serde_json::from_str::<SelectionOptions>(&json).unwrap(), options);
    }

    #[test]
    fn tags_are_found_in_every_customary_place() {
        let metadata = r#"{"cache-tag":"a, b,,A","tags":["c","B",7,"d e"],"cacheTags":"é",
            "other":"x","tag":{"no":"y"}}"#;
        let found = tags_of(&RawValue::from_string(metadata.into()).unwrap());
        assert_eq!(found.tags, ["a", "b", "c"]);
        assert_eq!(
            found.refused,
            [
                ("é".to_owned(), "a tag has only printable ASCII characters"),
                ("d e".to_owned(), "a tag has no spaces")
            ]
        );
        assert_eq!(check_tag(&"x".repeat(1_025)), Err("a tag has at most 1,024 characters"));
        assert_eq!(tags_of(&RawValue::from_string("7".into()).unwrap()), Tags::default());
    }
}
