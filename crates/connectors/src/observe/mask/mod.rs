//! Owns what is hidden of an event before it touches the disk: rules of personal data and secrets,
//! for texts, for JSON, and for JSON inside of texts. What can't be looked at is hidden whole.
//!
//! Clean text costs one pass: all patterns are one automaton, and only what it finds is looked at
//! again. Everything that the rules find is marked in the text as it came, then replaced at once,
//! so no rule works on what another one has written.

mod builtin;
pub mod glob;
mod json;
mod rule;
#[cfg(test)]
mod tests;

use json::Broken;
use regex::RegexSet;
use rule::Rule;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// What stands in the place of a value that can't be looked at.
pub const UNREADABLE: &str = "[masked: unreadable]";
/// Values beyond this are not looked at, but hidden whole.
const VALUE_BYTES_MAX: usize = 16 << 20;
/// How many rules there may be.
const RULES_MAX: usize = 64;
/// The compiled automaton of all rules may need this much memory.
const SET_BYTES_MAX: usize = 32 << 20;
/// So may its states that were met so far, for each thread.
const SET_STATES_MAX: usize = 4 << 20;

/// Why rules can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mask `{rule}` {what}")]
pub struct MaskError {
    rule: String,
    what: String,
    hint: String,
}

impl MaskError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

/// Why a body was not masked: it must not be passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskFailed {
    /// It is no text.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// It is no JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// It is nested more than 200 levels deep.
    #[error("the body is nested too deep to be masked")]
    TooDeep,
    /// It is larger than 16 MiB.
    #[error("the body is too large to be masked")]
    TooLarge,
}

/// The rules that are in force, and further ones that policies can ask for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Masks {
    base: Arc<Base>,
    chosen: Chosen,
}

/// Which rules are in force.
#[derive(Clone, Debug)]
enum Chosen {
    /// Those that are for all events, with the set of their patterns.
    Usual,
    /// These, one after the other.
    Only(Vec<Arc<Rule>>),
    /// What is asked for is not known, so everything is hidden.
    Blind,
}

#[derive(Debug)]
struct Base {
    rules: Vec<Arc<Rule>>,
    /// The patterns of all rules that are always in force.
    set: RegexSet,
    /// Which rule each pattern of the set belongs to.
    owners: Vec<usize>,
    builtins: [OnceLock<Option<Arc<Rule>>>; builtin::NAMES.len()],
    unreadable: AtomicU64,
}

impl Masks {
    /// Rules as they stand in the gateway's file; keys of pseudonyms come from the environment.
    ///
    /// # Errors
    /// When a rule is not understood, there are more than 64, or two have one name.
    pub fn compile(rules: &[toml::Table]) -> Result<Self, MaskError> {
        Self::compile_with(rules, &|variable| std::env::var(variable).ok())
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// See [`Masks::compile`].
    pub fn compile_with(
        tables: &[toml::Table],
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, MaskError> {
        let mut rules: Vec<Arc<Rule>> = Vec::with_capacity(tables.len());
        for (place, table) in tables.iter().enumerate() {
            let rule = Rule::read(table, place, secret)?;
            if place == RULES_MAX {
                return Err(problem(&rule.name, "is one too many", "there may be 64 rules"));
            }
            if rules.iter().any(|other| other.name == rule.name) {
                let hint = "give each rule a `name` of its own";
                return Err(problem(&rule.name, "has the name of another one", hint));
            }
            rules.push(Arc::new(rule));
        }
        let (set, owners) = set_of(&rules)?;
        let builtins = std::array::from_fn(|_| OnceLock::new());
        let base = Base { rules, set, owners, builtins, unreadable: AtomicU64::new(0) };
        Ok(Self { base: Arc::new(base), chosen: Chosen::Usual })
    }

    /// Whether nothing is ever hidden.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.chosen {
            Chosen::Usual => self.base.rules.iter().all(|rule| rule.on_demand),
            Chosen::Only(rules) => rules.is_empty(),
            Chosen::Blind => false,
        }
    }

    /// Whether a policy may ask for a rule of this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        builtin::NAMES.contains(&name) || self.base.rules.iter().any(|rule| rule.name == name)
    }

    /// The rules of these names alone, for what the others have been put on already: rules with
    /// `on-demand = true`, builtins, and also those that are always in force. A name that nobody
    /// knows hides everything, so that nothing is passed on by mistake; see [`Masks::knows`].
    #[must_use]
    pub fn only<S: AsRef<str>>(&self, names: &[S]) -> Self {
        let mut extra: Vec<Arc<Rule>> = Vec::with_capacity(names.len());
        for name in names {
            let name = name.as_ref();
            let own = self.base.rules.iter().find(|rule| rule.name == name).cloned();
            match own.or_else(|| self.builtin(name)) {
                Some(rule) if extra.iter().any(|other| other.name == rule.name) => {}
                Some(rule) => extra.push(rule),
                None => return Self { chosen: Chosen::Blind, ..self.clone() },
            }
        }
        Self { base: Arc::clone(&self.base), chosen: Chosen::Only(extra) }
    }

    fn builtin(&self, name: &str) -> Option<Arc<Rule>> {
        let place = builtin::NAMES.iter().position(|known| *known == name)?;
        self.base.builtins[place].get_or_init(|| Rule::builtin(name).map(Arc::new)).clone()
    }

    /// The value of an attribute with what is to be hidden replaced; `None` when nothing is. A
    /// value that is JSON is walked, and stays JSON.
    #[must_use]
    pub fn text(&self, key: &str, value: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        if matches!(self.chosen, Chosen::Blind) {
            return Some(self.unreadable());
        }
        if let Some(rule) = self.dropping(key, 0) {
            rule.hits.fetch_add(1, Ordering::Relaxed);
            return Some(rule.replacement(value).into_owned());
        }
        self.value(key, value, 0)
    }

    /// A body of JSON with what is to be hidden replaced; `None` when nothing is. It stays JSON.
    ///
    /// # Errors
    /// When it can't be looked at. It must not be passed on then.
    pub fn json(&self, body: &[u8]) -> Result<Option<Vec<u8>>, MaskFailed> {
        if self.is_empty() {
            return Ok(None);
        }
        if body.len() > VALUE_BYTES_MAX {
            return Err(MaskFailed::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| MaskFailed::NotUtf8)?;
        if self.is_surely_clean(text) {
            return Ok(None);
        }
        match json::strict(self, text) {
            Ok(masked) => Ok(masked.map(String::into_bytes)),
            Err(Broken::TooDeep) => Err(MaskFailed::TooDeep),
            Err(Broken::At(_) | Broken::Secret(_)) => Err(MaskFailed::NotJson),
        }
    }

    /// How often each rule has hidden something, and how many values could not be looked at, as
    /// `unreadable`. Counts begin at 0 with every new set of rules.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let on_demand = self.base.builtins.iter().filter_map(|cell| cell.get()?.as_ref());
        let rules = self.base.rules.iter().chain(on_demand);
        let count = |rule: &Arc<Rule>| (rule.name.clone(), rule.hits.load(Ordering::Relaxed));
        let unreadable = self.base.unreadable.load(Ordering::Relaxed);
        rules.map(count).chain([("unreadable".to_owned(), unreadable)]).collect()
    }

    fn in_force(&self) -> impl Iterator<Item = &Arc<Rule>> {
        let (usual, only): (&[_], &[_]) = match &self.chosen {
            Chosen::Usual => (&self.base.rules, &[]),
            Chosen::Only(rules) => (&[], rules),
            Chosen::Blind => (&[], &[]),
        };
        usual.iter().filter(|rule| !rule.on_demand).chain(only)
    }

    /// The rule that hides the whole value of a key.
    fn dropping(&self, path: &str, new: usize) -> Option<&Arc<Rule>> {
        self.in_force().find(|rule| rule.drops(path, new))
    }

    fn drop_may_be_in(&self, text: &str) -> bool {
        self.in_force().any(|rule| rule.drop.may_be_in(text))
    }

    fn unreadable(&self) -> String {
        self.base.unreadable.fetch_add(1, Ordering::Relaxed);
        UNREADABLE.to_owned()
    }

    /// Whether one pass over the whole is enough to know that there is nothing in any part of it:
    /// no part has to be freed of escapes first, and no rule depends on where a part begins.
    fn is_surely_clean(&self, text: &str) -> bool {
        self.in_force().all(|rule| rule.drop.is_empty() && !rule.anchored)
            && memchr::memchr(b'\\', text.as_bytes()).is_none()
            && match &self.chosen {
                Chosen::Usual => !self.base.set.is_match(text),
                Chosen::Only(rules) => rules.iter().all(|rule| !rule.may_be_in(text)),
                Chosen::Blind => false,
            }
    }

    /// A value inside of `nesting` others that are JSON.
    fn value(&self, path: &str, text: &str, nesting: usize) -> Option<String> {
        if text.len() > VALUE_BYTES_MAX {
            return Some(self.unreadable());
        }
        if !json::is_likely(text) {
            return self.plain(path, text);
        }
        if self.is_surely_clean(text) { None } else { json::loose(self, path, text, nesting) }
    }

    /// A text that is not JSON.
    fn plain(&self, path: &str, text: &str) -> Option<String> {
        let mut rules: Vec<&Rule> = Vec::new();
        match &self.chosen {
            Chosen::Usual => {
                let owners = self.base.set.matches(text).into_iter();
                rules.extend(owners.map(|found| &*self.base.rules[self.base.owners[found]]));
                // The patterns of a rule stand beside each other in the set.
                rules.dedup_by(|one, other| std::ptr::eq(*one, *other));
            }
            Chosen::Only(only) => rules.extend(only.iter().map(|rule| &**rule)),
            Chosen::Blind => return Some(self.unreadable()),
        }
        let mut hits: Vec<(usize, usize, &Rule)> = Vec::new();
        for rule in rules.into_iter().filter(|rule| rule.holds_for(path)) {
            rule.find(text, |start, end| hits.push((start, end, rule)));
        }
        if hits.is_empty() { None } else { Some(replaced(text, hits)) }
    }
}

/// The text with everything that was found replaced; what overlaps is replaced as one.
fn replaced(text: &str, mut hits: Vec<(usize, usize, &Rule)>) -> String {
    hits.sort_by_key(|&(start, end, _)| (start, usize::MAX - end));
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut hits = hits.into_iter().peekable();
    while let Some((start, mut end, rule)) = hits.next() {
        while let Some((_, other, _)) = hits.next_if(|&(next, _, _)| next < end) {
            end = end.max(other);
        }
        rule.hits.fetch_add(1, Ordering::Relaxed);
        out.push_str(&text[copied..start]);
        out.push_str(&rule.replacement(&text[start..end]));
        copied = end;
    }
    out.push_str(&text[copied..]);
    out
}

fn set_of(rules: &[Arc<Rule>]) -> Result<(RegexSet, Vec<usize>), MaskError> {
    let (mut patterns, mut owners) = (Vec::new(), Vec::new());
    for (owner, rule) in rules.iter().enumerate().filter(|(_, rule)| !rule.on_demand) {
        for pattern in &rule.patterns {
            patterns.push(pattern.regex.as_str().to_owned());
            owners.push(owner);
        }
    }
    let set = regex::RegexSetBuilder::new(&patterns)
        .size_limit(SET_BYTES_MAX)
        .dfa_size_limit(SET_STATES_MAX)
        .build();
    let hint = "make the patterns shorter: large repetitions of classes take much memory";
    let set = set.map_err(|_| problem("all", "together are too large", hint))?;
    Ok((set, owners))
}

fn problem(rule: &str, what: &str, hint: impl Into<String>) -> MaskError {
    MaskError { rule: rule.to_owned(), what: what.to_owned(), hint: hint.into() }
}

/// A hint that names the known word that is nearest to one that isn't known.
pub(in crate::observe) fn nearest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(longer) = known.iter().find(|other| word.len() > 2 && other.starts_with(word)) {
        return format!("did you mean `{longer}`?");
    }
    let distance = |other: &&&str| strsim::damerau_levenshtein(word, other);
    match known.iter().min_by_key(distance) {
        Some(near) if distance(&near) <= word.len().max(near.len()) / 2 => {
            format!("did you mean `{near}`?")
        }
        _ => format!("known are {}", known.join(", ")),
    }
}
