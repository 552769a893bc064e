//! What a flag is evaluated for.

use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cell::Cell;

/// The property that holds the targeting key.
const TARGETING_KEY: &str = "targetingKey";
/// The property that holds what the evaluator itself adds.
const OWN: &str = "$flagd";

/// Who or what asks, as the properties that targeting rules may look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    values: Map<String, Value>,
    /// Seconds since 1970, for rollouts by time.
    at_s: u64,
}

impl Context {
    /// A context with nothing in it, at a moment in seconds since 1970.
    #[must_use]
    pub fn new(at_s: u64) -> Self {
        Self { values: Map::new(), at_s }
    }

    /// With the key that gradual rollouts go by, such as the user or the trace.
    #[must_use]
    pub fn with_targeting_key(self, key: impl Into<String>) -> Self {
        self.with(TARGETING_KEY, key.into())
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }

    pub(super) fn targeting_key(&self) -> Option<&Value> {
        self.values.get(TARGETING_KEY)
    }
}

/// What `var` looks at: the context of one flag, or an item of a list inside `map` and its like.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) context: &'a Context,
    pub(super) flag: &'a str,
    pub(super) item: Option<&'a Value>,
    /// How much work is left.
    pub(super) fuel: &'a Cell<u32>,
}

impl<'a> Scope<'a> {
    /// Pays for work, in values looked at or copied; `false` once there is no more.
    pub(super) fn spend(&self, work: u32) -> bool {
        let left = self.fuel.get().checked_sub(work);
        self.fuel.set(left.unwrap_or_default());
        left.is_some()
    }

    /// A value to keep, paid for by its size; null where that is too much.
    pub(super) fn keep(&self, value: Cow<'_, Value>) -> Value {
        if self.spend(weight(&value)) { value.into_owned() } else { Value::Null }
    }

    /// The value at a path such as `user.address.0`, if there is one.
    pub(super) fn get(&self, path: &str) -> Option<Cow<'a, Value>> {
        if path.is_empty() {
            return Some(self.whole());
        }
        let Some(item) = self.item else { return self.of_context(path) };
        inside(item, path.split('.')).map(Cow::Borrowed)
    }

    fn of_context(&self, path: &str) -> Option<Cow<'a, Value>> {
        let mut parts = path.split('.');
        let first = parts.next()?;
        if first == OWN {
            return match (parts.next(), parts.next()) {
                (Some("flagKey"), None) => Some(Cow::Owned(Value::from(self.flag))),
                (Some("timestamp"), None) => Some(Cow::Owned(Value::from(self.context.at_s))),
                (None, _) => Some(Cow::Owned(self.own())),
                _ => None,
            };
        }
        inside(self.context.values.get(first)?, parts).map(Cow::Borrowed)
    }

    fn whole(&self) -> Cow<'a, Value> {
        if let Some(item) = self.item {
            return Cow::Borrowed(item);
        }
        let mut all = self.context.values.clone();
        all.insert(OWN.to_owned(), self.own());
        Cow::Owned(Value::Object(all))
    }

    fn own(&self) -> Value {
        json!({"flagKey": self.flag, "timestamp": self.context.at_s})
    }
}

fn inside<'v, 'p>(value: &'v Value, mut path: impl Iterator<Item = &'p str>) -> Option<&'v Value> {
    path.try_fold(value, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// How many values there are in a value; a long text counts for several.
fn weight(value: &Value) -> u32 {
    const TEXT_PER_VALUE: usize = 64;
    let inner = match value {
        Value::String(text) => u32::try_from(text.len() / TEXT_PER_VALUE).unwrap_or(u32::MAX),
        Value::Array(items) => sum(items.iter()),
        Value::Object(map) => sum(map.values()),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    inner.saturating_add(1)
}

fn sum<'a>(values: impl Iterator<Item = &'a Value>) -> u32 {
    values.fold(0, |sum: u32, value| sum.saturating_add(weight(value)))
}
