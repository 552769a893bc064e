//! Feature flags from a file of flagd (OpenFeature): states, variants, targeting rules and gradual
//! rollouts. A file is read into an immutable set of compiled flags; evaluating one takes no lock
//! and asks nobody.

mod context;
mod evaluate;
mod fractional;
mod number;
mod rule;
mod sem_ver;
#[cfg(test)]
mod tests;

pub use context::Context;

use context::Scope;
use rule::{Compiler, Rule};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::collections::BTreeMap;

/// A larger file is refused, in bytes.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// More flags than this are refused.
const FLAGS_MAX: usize = 10_000;
/// How many values one evaluation may look at or copy. A rule for people has a few dozen.
const WORK_MAX: u32 = 200_000;

/// What is wrong with a file of flags.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// It is no JSON, or not of the shape of flagd's files.
    #[error("the flags cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It is larger than any file of flags.
    #[error("the file of flags is too large: {0}")]
    Size(String),
    /// One flag is wrong.
    #[error("flag `{flag}`: {problem}")]
    Flag {
        /// Its key.
        flag: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Why a flag has its value, in OpenFeature's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The flag has no rules.
    Static,
    /// The rules decided nothing, so it is the default: the flag's, or the caller's where the
    /// flag has none.
    Default,
    /// The rules chose it.
    TargetingMatch,
    /// The flag is switched off; the value is the caller's.
    Disabled,
    /// The flag could not be evaluated; the value is the caller's.
    Error(Fault),
}

/// Why a flag could not be evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such flag.
    FlagNotFound,
    /// The flag's values are of another type.
    TypeMismatch,
    /// The rules chose a variant that the flag does not have.
    NoSuchVariant,
    /// The rules go over lists in lists and would take too long.
    TooMuchWork,
}

/// A flag's value and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<'a, T> {
    /// The value.
    pub value: T,
    /// The variant's name; `None` where the value is the caller's.
    pub variant: Option<&'a str>,
    /// Why it is this one.
    pub reason: Reason,
}

/// All flags of a file. It does not change; a changed file is another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    by_key: BTreeMap<String, Flag>,
}

#[derive(Clone, Debug, PartialEq)]
struct Flag {
    is_enabled: bool,
    variants: BTreeMap<String, Value>,
    default: Option<String>,
    targeting: Option<Rule>,
}

#[derive(Deserialize)]
struct File {
    flags: Listed,
    #[serde(default, rename = "$evaluators")]
    evaluators: Map<String, Value>,
}

/// Flags by their keys, or in a list of flags with keys.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    ByKey(BTreeMap<String, FlagText>),
    List(Vec<Keyed>),
}

#[derive(Deserialize)]
struct Keyed {
    key: String,
    #[serde(flatten)]
    flag: FlagText,
}

#[derive(Deserialize)]
struct FlagText {
    state: String,
    variants: BTreeMap<String, Value>,
    #[serde(default, rename = "defaultVariant")]
    default_variant: Option<String>,
    #[serde(default)]
    targeting: Option<Value>,
}

impl Flags {
    /// Reads a file of flagd in JSON and compiles its rules.
    ///
    /// # Errors
    ///
    /// [`FlagError`] with the flag's key and what is wrong: an unknown state or operator, variants
    /// of different types, a default that is no variant, a reference to a rule that is not there.
    pub fn parse(json: &str) -> Result<Self, FlagError> {
        if json.len() > BYTES_MAX {
            return Err(FlagError::Size(format!("more than {BYTES_MAX} bytes")));
        }
        let File { flags, evaluators } = serde_json::from_str(json)?;
        let flags: Vec<(String, FlagText)> = match flags {
            Listed::ByKey(flags) => flags.into_iter().collect(),
            Listed::List(flags) => flags.into_iter().map(|keyed| (keyed.key, keyed.flag)).collect(),
        };
        if flags.len() > FLAGS_MAX {
            return Err(FlagError::Size(format!("more than {FLAGS_MAX} flags")));
        }
        let mut compiler = Compiler::new(&evaluators);
        let mut by_key = BTreeMap::new();
        for (key, text) in &flags {
            let flag = Flag::compile(text, &mut compiler)
                .map_err(|problem| FlagError::Flag { flag: key.clone(), problem })?;
            by_key.insert(key.clone(), flag);
        }
        Ok(Self { by_key })
    }

    /// How many flags there are.
    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    #[cfg(test)]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The keys of all flags, in order.
    #[cfg(test)]
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.by_key.keys().map(String::as_str)
    }

    /// A flag that is on or off.
    #[must_use]
    pub fn bool(&self, key: &str, context: &Context, default: bool) -> Evaluation<'_, bool> {
        self.typed(key, context, default, Value::as_bool)
    }

    /// A flag that is a number.
    #[must_use]
    pub fn number(&self, key: &str, context: &Context, default: f64) -> Evaluation<'_, f64> {
        self.typed(key, context, default, Value::as_f64)
    }

    /// A flag that is text.
    #[cfg(test)]
    #[must_use]
    pub fn text<'a>(
        &'a self,
        key: &str,
        context: &Context,
        default: &'a str,
    ) -> Evaluation<'a, &'a str> {
        self.typed(key, context, default, Value::as_str)
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        context: &Context,
        default: T,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Evaluation<'a, T> {
        let resolved = match self.by_key.get(key) {
            Some(flag) => flag.resolve(key, context),
            None => Err(Reason::Error(Fault::FlagNotFound)),
        };
        let (variant, value, reason) = match resolved {
            Ok(resolved) => resolved,
            Err(reason) => return Evaluation { value: default, variant: None, reason },
        };
        match read(value) {
            Some(value) => Evaluation { value, variant: Some(variant), reason },
            None => {
                let reason = Reason::Error(Fault::TypeMismatch);
                Evaluation { value: default, variant: None, reason }
            }
        }
    }
}

impl Flag {
    fn compile<'a>(text: &'a FlagText, compiler: &mut Compiler<'a>) -> Result<Self, String> {
        let is_enabled = match text.state.as_str() {
            "ENABLED" => true,
            "DISABLED" => false,
            other => return Err(format!("its state is `{other}`, not ENABLED or DISABLED")),
        };
        let mut types = text.variants.values().map(std::mem::discriminant);
        let first = types.next().ok_or("it has no variants")?;
        if types.any(|other| other != first) {
            return Err("its variants are of different types".to_owned());
        }
        let default = text.default_variant.clone().filter(|name| !name.is_empty());
        if let Some(name) = default.as_deref().filter(|name| !text.variants.contains_key(*name)) {
            return Err(format!("its default variant `{name}` is none of its variants"));
        }
        let is_rule = |rule: &&Value| rule.as_object().is_none_or(|rule| !rule.is_empty());
        let targeting = text.targeting.as_ref().filter(is_rule).filter(|rule| !rule.is_null());
        let targeting = targeting.map(|rule| compiler.compile(rule)).transpose()?;
        Ok(Self { is_enabled, variants: text.variants.clone(), default, targeting })
    }

    /// The variant, its value and the reason, or the reason why there is none.
    fn resolve(&self, key: &str, context: &Context) -> Result<(&str, &Value, Reason), Reason> {
        if !self.is_enabled {
            return Err(Reason::Disabled);
        }
        let Some(rule) = &self.targeting else { return self.of_default(Reason::Static) };
        let fuel = Cell::new(WORK_MAX);
        let chosen = rule.evaluate(Scope { context, flag: key, item: None, fuel: &fuel });
        if fuel.get() == 0 {
            return Err(Reason::Error(Fault::TooMuchWork));
        }
        let name = match chosen.as_ref() {
            Value::Null => return self.of_default(Reason::Default),
            Value::String(name) => name.as_str(),
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            _ => return Err(Reason::Error(Fault::NoSuchVariant)),
        };
        let variant = self.variants.get_key_value(name);
        let (name, value) = variant.ok_or(Reason::Error(Fault::NoSuchVariant))?;
        Ok((name, value, Reason::TargetingMatch))
    }

    fn of_default(&self, reason: Reason) -> Result<(&str, &Value, Reason), Reason> {
        let variant = self.default.as_ref().and_then(|name| self.variants.get_key_value(name));
        variant.map(|(name, value)| (name.as_str(), value, reason)).ok_or(Reason::Default)
    }
}
