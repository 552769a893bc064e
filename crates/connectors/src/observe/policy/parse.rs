//! Owns how policies are written: a TOML file, or JSON of the same shape, which is that of
//! Portkey's budgets and rate limits. A mistake is told with the policy's name and what to do.

use super::clause::{self, Clause, Wrong};
use super::condition::{ATTRIBUTES, Attribute, Condition};
use super::period::{Period, duration_ms};
use crate::observe::mask::nearest;
use crate::observe::price::money;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// How many policies there may be: what they think of an event is one bit each.
pub(super) const POLICIES_MAX: usize = 256;
/// Names are words of metrics.
const NAME_BYTES_MAX: usize = 128;
/// A client is sent away for a day at most.
const RETRY_AFTER_MAX_MS: u64 = 86_400_000;
/// What a policy may say. The second name is Portkey's.
const FIELDS: [&str; 18] = [
    "name",
    "conditions",
    "where",
    "group-by",
    "type",
    "limit",
    "credit-limit",
    "value",
    "alert-threshold",
    "period",
    "periodic-reset",
    "periodic-reset-days",
    "unit",
    "action",
    "mask",
    "message",
    "retry-after",
    "enabled",
];

/// Why policies can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    policy: Option<String>,
    what: String,
    hint: String,
}

impl PolicyError {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { policy: None, what: what.into(), hint: hint.into() }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.policy {
            Some(policy) => write!(out, "the policy `{policy}` {}", self.what),
            None => write!(out, "the policies {}", self.what),
        }
    }
}

impl std::error::Error for PolicyError {}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Money, in units of 10^-12 US dollars.
    Cost,
    /// Tokens read and written.
    Tokens,
    /// Events.
    Requests,
}

impl Measure {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("cost", Self::Cost), ("tokens", Self::Tokens), ("requests", Self::Requests)];

    pub(super) fn name(self) -> &'static str {
        let name = Self::ALL.iter().find(|(_, measure)| *measure == self);
        name.map_or("", |(name, _)| name)
    }

    /// An amount for people: `25 USD`, `1000 tokens`.
    pub(super) fn words(self, amount: u64) -> String {
        match self {
            Self::Cost => format!("{} USD", money::usd(amount)),
            Self::Tokens | Self::Requests => format!("{amount} {}", self.name()),
        }
    }
}

/// What a policy does when it applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Flag,
    Mask,
    Drop,
    Refuse,
    Alert,
}

const EFFECTS: [(&str, Effect); 5] = [
    ("flag", Effect::Flag),
    ("mask", Effect::Mask),
    ("drop", Effect::Drop),
    ("refuse", Effect::Refuse),
    ("alert", Effect::Alert),
];

/// A policy as it is written, understood.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) conditions: Vec<Condition>,
    pub(super) clause: Option<Clause>,
    pub(super) limit: Option<Limit>,
    pub(super) effect: Effect,
    pub(super) masks: Vec<String>,
    pub(super) message: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

/// A limit as it is written.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) measure: Measure,
    pub(super) amount: u64,
    pub(super) alert_at: Option<u64>,
    pub(super) period: Period,
    pub(super) group_by: Vec<Attribute>,
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Vec<Spec>, PolicyError> {
    let mut specs: Vec<Spec> = Vec::new();
    for (place, table) in tables(text)?.into_iter().enumerate() {
        let reader = Reader::new(&table, place)?;
        let Some(spec) = reader.spec().map_err(|error| reader.named(error))? else { continue };
        if specs.iter().any(|other| other.name == spec.name) {
            let what = "has the name of another one";
            return Err(reader.named(PolicyError::new(what, "give each policy its own `name`")));
        }
        specs.push(spec);
    }
    if specs.len() > POLICIES_MAX {
        let what = format!("are {}, and {POLICIES_MAX} is the most", specs.len());
        return Err(PolicyError::new(what, "put several values into one condition"));
    }
    Ok(specs)
}

/// The policies of TOML or JSON, which begins with `{` or with `[` and `{`.
fn tables(text: &str) -> Result<Vec<Map<String, Value>>, PolicyError> {
    let start = text.trim_start();
    let inside = start.strip_prefix('[').map(str::trim_start);
    let is_json = start.starts_with('{')
        || inside.is_some_and(|inside| inside.starts_with('{') || inside.starts_with(']'));
    let document: Value = if is_json {
        serde_json::from_str(text).map_err(|error| {
            PolicyError::new(format!("are no JSON: {error}"), "TOML is taken too")
        })?
    } else {
        let one_line = |error: &dyn fmt::Display| {
            error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let hint = "the file is TOML with [[policies]], or JSON";
        let table: toml::Table = text.parse().map_err(|error| {
            PolicyError::new(format!("are no TOML: {}", one_line(&error)), hint)
        })?;
        serde_json::to_value(table)
            .map_err(|error| PolicyError::new(format!("can't be read: {error}"), hint))?
    };
    let list = match document {
        Value::Array(list) => list,
        Value::Object(table) if table.contains_key("name") => vec![Value::Object(table)],
        Value::Object(mut table) => {
            let policies = table.remove("policies");
            if let Some(key) = table.keys().next() {
                let what = format!("have an unknown key `{key}` beside them");
                return Err(PolicyError::new(what, nearest(key, ["policies"])));
            }
            match policies {
                None => Vec::new(),
                Some(Value::Array(list)) => list,
                Some(_) => return Err(no_list()),
            }
        }
        _ => return Err(no_list()),
    };
    let table = |one| match one {
        Value::Object(table) => Ok(table),
        _ => Err(no_list()),
    };
    list.into_iter().map(table).collect()
}

fn no_list() -> PolicyError {
    PolicyError::new("are no list of tables", "begin each one with [[policies]]")
}

/// Reads the fields of one policy. Names may be written with `-` or `_`.
struct Reader {
    name: String,
    fields: Vec<(String, Value)>,
}

type Read<T> = Result<T, PolicyError>;

fn wrong<T>(what: impl Into<String>, hint: impl Into<String>) -> Read<T> {
    Err(PolicyError::new(what, hint))
}

impl Reader {
    fn new(table: &Map<String, Value>, place: usize) -> Read<Self> {
        let name = table.get("name").and_then(Value::as_str).unwrap_or_default();
        let fields = table.iter().map(|(key, value)| (key.replace('_', "-"), value.clone()));
        let reader = Self { name: name.to_owned(), fields: fields.collect() };
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let what = format!("have no proper `name` at place {}", place + 1);
            return wrong(what, format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        let unknown = reader.fields.iter().find(|(key, _)| !FIELDS.contains(&key.as_str()));
        if let Some((key, _)) = unknown {
            let what = format!("has an unknown key `{key}`");
            return Err(reader.named(PolicyError::new(what, nearest(key, FIELDS))));
        }
        Ok(reader)
    }

    fn named(&self, error: PolicyError) -> PolicyError {
        PolicyError { policy: Some(self.name.clone()), ..error }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    fn text(&self, key: &str) -> Read<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => wrong(format!("has a `{key}` that is no text"), "quote it"),
        }
    }

    fn spec(&self) -> Read<Option<Spec>> {
        match self.get("enabled") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return Ok(None),
            Some(_) => return wrong("has an `enabled` that is not true or false", "write true"),
        }
        let limit = self.limit()?;
        let effect = self.effect(limit.as_ref())?;
        let spec = Spec {
            name: self.name.clone(),
            conditions: self.conditions()?,
            clause: self.clause()?,
            effect,
            masks: self.masks()?,
            message: self.text("message")?.map(str::to_owned),
            retry_after: self.retry_after()?,
            limit,
        };
        if (effect == Effect::Mask) == spec.masks.is_empty() {
            let what = "needs both `action = \"mask\"` and `mask`, or neither";
            return wrong(what, "write mask = [\"email\"]");
        }
        if effect != Effect::Refuse && (spec.message.is_some() || spec.retry_after.is_some()) {
            let what = "has a `message` or `retry-after` but refuses nothing";
            return wrong(what, "write action = \"refuse\"");
        }
        Ok(Some(spec))
    }

    fn effect(&self, limit: Option<&Limit>) -> Read<Effect> {
        let Some(text) = self.text("action")? else { return Ok(Effect::Flag) };
        let Some((_, effect)) = EFFECTS.into_iter().find(|(name, _)| *name == text) else {
            let known = EFFECTS.map(|(name, _)| name);
            return wrong(format!("has an unknown action `{text}`"), nearest(text, known));
        };
        if effect == Effect::Alert && limit.is_some_and(|limit| limit.amount == 0) {
            return wrong("alerts at a limit of 0, which nothing reaches", "raise the limit");
        }
        Ok(effect)
    }

    fn conditions(&self) -> Read<Vec<Condition>> {
        let hint = "write conditions = [{ key = \"user\", value = \"ann\" }]";
        let no_list = || PolicyError::new("has `conditions` that are no list of tables", hint);
        match self.get("conditions") {
            None => Ok(Vec::new()),
            Some(list) => list
                .as_array()
                .ok_or_else(no_list)?
                .iter()
                .map(|one| condition(one.as_object().ok_or_else(no_list)?))
                .collect(),
        }
    }

    fn clause(&self) -> Read<Option<Clause>> {
        let Some(text) = self.text("where")? else { return Ok(None) };
        Clause::compile(text).map(Some).map_err(|error| match error {
            Wrong::Syntax(what) => PolicyError::new(
                format!("has a `where` that is no CEL: {what}"),
                "write where = \"cost_usd > 0.5 && metadata.team == 'x'\"",
            ),
            Wrong::Variable(name) => PolicyError::new(
                format!("has a `where` that names the unknown `{name}`"),
                nearest(&name, clause::VARIABLES),
            ),
        })
    }

    fn masks(&self) -> Read<Vec<String>> {
        let names = |list: &Value| -> Option<Vec<String>> {
            list.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        };
        match self.get("mask") {
            None => Ok(Vec::new()),
            Some(list) => names(list).filter(|names| !names.is_empty()).ok_or_else(|| {
                PolicyError::new(
                    "has a `mask` that is no list of names",
                    "write mask = [\"email\"]",
                )
            }),
        }
    }

    fn retry_after(&self) -> Read<Option<Duration>> {
        let Some(text) = self.text("retry-after")? else { return Ok(None) };
        match duration_ms(text).filter(|length| *length <= RETRY_AFTER_MAX_MS) {
            Some(length) => Ok(Some(Duration::from_millis(length))),
            None => wrong(format!("has a bad `retry-after` `{text}`"), "write 30s, 5m or 1h"),
        }
    }

    fn limit(&self) -> Read<Option<Limit>> {
        let Some(name) = self.text("type")? else {
            const OF_LIMITS: [&str; 9] = [
                "limit",
                "credit-limit",
                "value",
                "alert-threshold",
                "period",
                "periodic-reset",
                "periodic-reset-days",
                "unit",
                "group-by",
            ];
            let stray = OF_LIMITS.into_iter().find(|key| self.get(key).is_some());
            return match stray {
                None => Ok(None),
                Some(key) => {
                    let what = format!("has `{key}` but no `type` that it counts");
                    wrong(what, "write type = \"cost\", \"tokens\" or \"requests\"")
                }
            };
        };
        let Some((_, measure)) = Measure::ALL.into_iter().find(|(known, _)| *known == name) else {
            let known = Measure::ALL.map(|(known, _)| known);
            return wrong(format!("has an unknown type `{name}`"), nearest(name, known));
        };
        let amount = match self.amount(&["limit", "credit-limit", "value"], measure)? {
            Some(amount) => amount,
            None => return wrong("has a `type` but no `limit`", "write limit = \"25.00\""),
        };
        let alert_at = self.amount(&["alert-threshold"], measure)?;
        if alert_at.is_some_and(|alert| alert == 0 || alert >= amount) {
            let what = "has an `alert-threshold` that is not between 0 and its limit";
            return wrong(what, "set it below the limit");
        }
        let (period, group_by) = (self.period()?, self.group_by()?);
        Ok(Some(Limit { measure, amount, alert_at, period, group_by }))
    }

    fn amount(&self, keys: &[&str], measure: Measure) -> Read<Option<u64>> {
        let mut found = keys.iter().filter_map(|key| Some((*key, self.get(key)?)));
        let Some((key, value)) = found.next() else { return Ok(None) };
        if let Some((other, _)) = found.next() {
            return wrong(format!("has both `{key}` and `{other}`"), "keep one of them");
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let (amount, hint) = match measure {
            Measure::Cost => (money::pico(&text), "write US dollars as \"25.00\""),
            Measure::Tokens | Measure::Requests => (text.parse().ok(), "write a whole number"),
        };
        match amount {
            Some(amount) => Ok(Some(amount)),
            None => wrong(format!("has a bad `{key}` {value}"), hint),
        }
    }

    fn period(&self) -> Read<Period> {
        let hint = "write 30s, 1m, 1h, 7d, daily, weekly or monthly";
        let days = self.get("periodic-reset-days").map(|days| format!("{days}d"));
        let unit = match self.text("unit")? {
            None => None,
            Some("rpm") => Some("1m".to_owned()),
            Some("rph") => Some("1h".to_owned()),
            Some("rpd") => Some("1d".to_owned()),
            Some(unit) => {
                return wrong(format!("has an unknown unit `{unit}`"), "write rpm, rph or rpd");
            }
        };
        let text = |key| self.text(key).map(|text| text.map(str::to_owned));
        let given = [text("period")?, text("periodic-reset")?, days, unit];
        let mut given = given.into_iter().flatten();
        let Some(text) = given.next() else { return Ok(Period::Ever) };
        if given.next().is_some() {
            return wrong("has more than one period", "keep one of them");
        }
        match Period::parse(&text) {
            Some(period) => Ok(period),
            None => wrong(format!("has a bad period `{text}`"), hint),
        }
    }

    fn group_by(&self) -> Read<Vec<Attribute>> {
        let hint = "write group-by = [\"user\"]";
        let no_list = || PolicyError::new("has a `group-by` that is no list of keys", hint);
        let Some(list) = self.get("group-by") else { return Ok(Vec::new()) };
        let mut attributes = Vec::new();
        for one in list.as_array().ok_or_else(no_list)? {
            let one = one.as_object().map_or(one, |table| table.get("key").unwrap_or(one));
            let attribute = attribute(one.as_str().ok_or_else(no_list)?)?;
            if !attributes.contains(&attribute) {
                attributes.push(attribute);
            }
        }
        Ok(attributes)
    }
}

fn attribute(text: &str) -> Read<Attribute> {
    let Some(attribute) = Attribute::parse(text) else {
        let known = ATTRIBUTES.iter().map(|(name, _)| *name).chain(["metadata.NAME"]);
        return wrong(format!("names an unknown key `{text}`"), nearest(text, known));
    };
    Ok(attribute)
}

fn condition(table: &Map<String, Value>) -> Read<Condition> {
    const KNOWN: [&str; 3] = ["key", "value", "excludes"];
    if let Some(key) = table.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let what = format!("has a condition with an unknown key `{key}`");
        return wrong(what, nearest(key, KNOWN));
    }
    let Some(name) = table.get("key").and_then(Value::as_str) else {
        return wrong("has a condition without a `key`", "write key = \"user\"");
    };
    let excludes = match table.get("excludes") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(excludes)) => *excludes,
        Some(_) => return wrong("has an `excludes` that is not true or false", "write true"),
    };
    let values = table.get("value").and_then(values).filter(|values| !values.is_empty());
    let Some(values) = values else {
        let what = format!("has a condition on `{name}` without a proper `value`");
        return wrong(what, "write value = \"x\", a list of texts, or \"*\" for any");
    };
    Ok(Condition::new(attribute(name)?, &values, excludes))
}

fn values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Bool(_) | Value::Number(_) => Some(vec![value.to_string()]),
        Value::Array(list) => {
            let one = |value: &Value| match value {
                Value::Array(_) => None,
                value => values(value)?.pop(),
            };
            list.iter().map(one).collect()
        }
        Value::Null | Value::Object(_) => None,
    }
}
