//! Owns a rule of masking: how it is written in the gateway's file, where it holds, what it finds
//! and what is put there instead.

use super::MaskError;
use super::builtin::{self, Found, Pattern};
use super::glob::Keys;
use regex::RegexBuilder;
use ring::hmac;
use std::borrow::Cow;
use std::sync::atomic::AtomicU64;

/// Where the key of pseudonyms is when a rule doesn't say.
const HASH_KEY: &str = "WINDLASS_MASK_KEY";
/// A shorter key could be guessed.
const HASH_KEY_MIN: usize = 16;
/// A pattern of the user may not need more memory than this when it is compiled.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// What a rule may say.
const FIELDS: [&str; 9] = [
    "name",
    "builtin",
    "pattern",
    "keys",
    "except-keys",
    "drop-keys",
    "replacement",
    "hash-key-env",
    "on-demand",
];
/// Keys whose values the builtins leave alone, whatever their case and without `_` and `-`: ids,
/// times and names of models are numbers and words that can look like something personal.
const PROTECTED: [&str; 20] = [
    "traceid",
    "spanid",
    "parentspanid",
    "observationid",
    "parentobservationid",
    "messageid",
    "rudderid",
    "timestamp",
    "originaltimestamp",
    "receivedat",
    "sentat",
    "starttime",
    "endtime",
    "completionstarttime",
    "starttimeunixnano",
    "endtimeunixnano",
    "model",
    "modelname",
    "modelid",
    "responsemodel",
];
/// The same for whole paths.
const PROTECTED_PATHS: [&str; 5] =
    ["id", "body.id", "langfuse.observation.model.name", "ai.model.id", "gen_ai.response.id"];

/// A rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) patterns: Vec<Pattern>,
    /// Keys whose whole value is hidden.
    pub(super) drop: Keys,
    /// Whether only policies ask for it.
    pub(super) on_demand: bool,
    /// Whether the rule may find something in a part of a text that it doesn't find in the whole.
    pub(super) anchored: bool,
    pub(super) hits: AtomicU64,
    keys: Keys,
    except: Keys,
    is_builtin: bool,
    replacement: Replacement,
}

#[derive(Debug)]
enum Replacement {
    Text(String),
    Pseudonym(hmac::Key),
}

impl Rule {
    /// A kind that needs no pattern, as a policy names it.
    pub(super) fn builtin(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            patterns: builtin::patterns(name)?,
            drop: Keys::default(),
            on_demand: true,
            anchored: false,
            hits: AtomicU64::new(0),
            keys: Keys::default(),
            except: Keys::default(),
            is_builtin: true,
            replacement: Replacement::Text(format!("[{name}]")),
        })
    }

    /// A rule of the file; `secret` reads a variable of the environment.
    pub(super) fn read(
        table: &toml::Table,
        place: usize,
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, MaskError> {
        let reader = Reader { table, rule: name_of(table, place) };
        reader.known_fields()?;
        let kind = reader.text("builtin")?;
        let pattern = reader.text("pattern")?;
        let drop = reader.list("drop-keys")?;
        let patterns = match (kind, pattern) {
            (Some(_), Some(_)) => {
                return Err(reader.error("has both `builtin` and `pattern`", "make two rules"));
            }
            (Some(kind), None) => builtin::patterns(kind).ok_or_else(|| reader.unknown(kind))?,
            (None, Some(pattern)) => vec![reader.pattern(pattern)?],
            (None, None) if drop.is_empty() => {
                let hint = "give it `builtin = \"email\"`, a `pattern` or `drop-keys`";
                return Err(reader.error("says nothing to look for", hint));
            }
            (None, None) => Vec::new(),
        };
        Ok(Self {
            name: reader.rule.clone(),
            patterns,
            drop: Keys::new(&drop),
            on_demand: reader.flag("on-demand")?,
            anchored: pattern.is_some_and(is_anchored),
            hits: AtomicU64::new(0),
            keys: Keys::new(&reader.list("keys")?),
            except: Keys::new(&reader.list("except-keys")?),
            is_builtin: kind.is_some(),
            replacement: reader.replacement(secret)?,
        })
    }

    /// Whether the rule holds for the value of a key, given as a path.
    pub(super) fn holds_for(&self, path: &str) -> bool {
        !(self.is_builtin && is_protected(path))
            && (self.keys.is_empty() || self.keys.have(path, 0))
            && (self.except.is_empty() || !self.except.have(path, 0))
    }

    /// Whether the whole value of a key is to be hidden; see [`Keys::have`].
    pub(super) fn drops(&self, path: &str, new: usize) -> bool {
        !self.drop.is_empty() && self.drop.have(path, new) && !self.except.have(path, 0)
    }

    /// Whether there may be something in the text.
    pub(super) fn may_be_in(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.regex.is_match(text))
    }

    /// Everything that is to be hidden in a text: where it begins and ends.
    pub(super) fn find(&self, text: &str, mut hit: impl FnMut(usize, usize)) {
        for pattern in &self.patterns {
            let mut at = 0;
            while at <= text.len()
                && let Some(found) = pattern.regex.find_at(text, at)
            {
                at = match (pattern.check)(text, found.range()) {
                    Found::At(range) if !range.is_empty() => {
                        hit(range.start, range.end);
                        range.end
                    }
                    Found::At(range) => text.ceil_char_boundary(range.end + 1),
                    Found::Not(next) => text.ceil_char_boundary(next),
                };
                if at >= text.len() {
                    break;
                }
            }
        }
    }

    /// What stands in the place of a value.
    pub(super) fn replacement(&self, value: &str) -> Cow<'_, str> {
        match &self.replacement {
            Replacement::Text(text) => Cow::Borrowed(text),
            Replacement::Pseudonym(key) => {
                let tag = hmac::sign(key, value.as_bytes());
                let hex = |byte: &u8| format!("{byte:02x}");
                Cow::Owned(tag.as_ref().iter().take(6).map(hex).collect())
            }
        }
    }
}

/// Assertions that look beyond what they match, apart from `\b`, can hold in a part and not in the
/// whole. A negated class has the sign too; that costs time, not correctness.
fn is_anchored(pattern: &str) -> bool {
    ["^", "$", "\\A", "\\z", "\\b{", "\\<", "\\>", "\\B"].iter().any(|sign| pattern.contains(sign))
}

/// Whether the builtins leave the value of this path alone.
pub(super) fn is_protected(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or_default();
    let letters = || last.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
    PROTECTED_PATHS.contains(&path)
        || PROTECTED.iter().any(|known| {
            known.len() <= last.len()
                && letters().map(|byte| byte.to_ascii_lowercase()).eq(known.bytes())
        })
}

fn name_of(table: &toml::Table, place: usize) -> String {
    let given = ["name", "builtin"].into_iter().find_map(|key| table.get(key)?.as_str());
    given.map_or_else(|| format!("mask-{}", place + 1), str::to_owned)
}

/// Reads a rule's fields, and says which rule a mistake is in.
struct Reader<'a> {
    table: &'a toml::Table,
    rule: String,
}

impl<'a> Reader<'a> {
    fn error(&self, what: impl Into<String>, hint: impl Into<String>) -> MaskError {
        MaskError { rule: self.rule.clone(), what: what.into(), hint: hint.into() }
    }

    fn known_fields(&self) -> Result<(), MaskError> {
        match self.table.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            Some(key) => {
                let what = format!("has an unknown key `{key}`");
                Err(self.error(what, super::nearest(key, FIELDS)))
            }
            None => Ok(()),
        }
    }

    fn unknown(&self, kind: &str) -> MaskError {
        let what = format!("names an unknown builtin `{kind}`");
        self.error(what, super::nearest(kind, builtin::NAMES))
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, MaskError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(format!("has a `{key}` that is no text"), "quote it")),
        }
    }

    fn flag(&self, key: &str) -> Result<bool, MaskError> {
        match self.table.get(key) {
            None => Ok(false),
            Some(toml::Value::Boolean(flag)) => Ok(*flag),
            Some(_) => {
                Err(self.error(format!("has a `{key}` that is not true or false"), "write true"))
            }
        }
    }

    fn list(&self, key: &str) -> Result<Vec<String>, MaskError> {
        let wrong = || {
            let what = format!("has a `{key}` that is no list of names");
            self.error(what, format!("write {key} = [\"password\", \"*.authorization\"]"))
        };
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let names = value.as_array().ok_or_else(wrong)?;
        names
            .iter()
            .map(|name| name.as_str().filter(|name| !name.is_empty()).map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)
    }

    fn pattern(&self, pattern: &str) -> Result<Pattern, MaskError> {
        let regex = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
        let regex = regex.map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.error(format!("has a bad pattern: {last}"), "it is a regular expression")
        })?;
        if regex.is_match("") {
            let hint = "use `+` in the place of `*`";
            return Err(self.error("has a pattern that finds nothing at all everywhere", hint));
        }
        Ok(Pattern { regex, check: builtin::any })
    }

    fn replacement(
        &self,
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Replacement, MaskError> {
        match self.text("replacement")? {
            None => Ok(Replacement::Text(format!("[{}]", self.rule))),
            Some("hash") => {
                let variable = self.text("hash-key-env")?.unwrap_or(HASH_KEY);
                let key = secret(variable).unwrap_or_default();
                if key.len() < HASH_KEY_MIN {
                    let what = format!("needs a key for its pseudonyms in {variable}");
                    let hint = format!("set it to at least {HASH_KEY_MIN} characters");
                    return Err(self.error(what, hint));
                }
                let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
                Ok(Replacement::Pseudonym(key))
            }
            Some(text) => Ok(Replacement::Text(text.to_owned())),
        }
    }
}
