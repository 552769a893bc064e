//! Gradual rollouts: `fractional` gives each key one of several variants by weight, the same one
//! every time and in every program that follows flagd.
//!
//! The key is hashed with MurmurHash3 (32 bit, seed 0) and the hash is scaled to the sum of the
//! weights in whole numbers: `(hash * sum) >> 32`. flagd before April 2026 counted in percent and
//! in floats, which puts other keys into a share.

use super::context::Scope;
use super::rule::Rule;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Cursor;

const NULL: Cow<'static, Value> = Cow::Borrowed(&Value::Null);
/// The most that a weight, and their sum, may be.
const WEIGHT_MAX: i64 = i32::MAX as i64;

/// `[key, [variant, weight], ...]`. Without a key it is the flag's name and the targeting key, one
/// after the other; without that one there is no variant. Neither is there with a weight that is no
/// whole number.
pub(super) fn fractional<'a>(arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    decide(arguments, scope).unwrap_or(NULL)
}

fn decide<'a>(arguments: &'a [Rule], scope: Scope<'a>) -> Option<Cow<'a, Value>> {
    let (first, rest) = arguments.split_first()?;
    let pairs = if matches!(first, Rule::List(_)) { arguments } else { rest };
    let key = match first {
        Rule::List(_) => Cow::Owned(own_key(scope)?),
        first => match first.evaluate(scope) {
            Cow::Borrowed(Value::String(key)) => Cow::Borrowed(key.as_str()),
            Cow::Owned(Value::String(key)) => Cow::Owned(key),
            value if value.is_null() => Cow::Owned(own_key(scope)?),
            _ => return of_pairs(arguments, &own_key(scope)?, scope),
        },
    };
    of_pairs(pairs, &key, scope)
}

fn own_key(scope: Scope<'_>) -> Option<String> {
    let key = scope.context.targeting_key()?.as_str().filter(|key| !key.is_empty())?;
    Some(format!("{}{key}", scope.flag))
}

fn of_pairs<'a>(pairs: &'a [Rule], key: &str, scope: Scope<'a>) -> Option<Cow<'a, Value>> {
    let pairs = pairs.iter().map(|pair| pair_of(pair, scope)).collect::<Option<Vec<_>>>()?;
    let sum = pairs.iter().try_fold(0i64, |sum, (_, weight)| sum.checked_add(*weight))?;
    if sum == 0 || sum > WEIGHT_MAX {
        return None;
    }
    let hash = murmur3::murmur3_32(&mut Cursor::new(key.as_bytes()), 0).ok()?;
    let mut bucket = ((u64::from(hash) * sum.unsigned_abs()) >> 32) as i64;
    pairs.into_iter().find_map(|(variant, weight)| {
        bucket -= weight;
        (bucket < 0).then_some(variant)
    })
}

/// The variant and its weight, which is 1 where it is left out and 0 where it is negative, as the
/// weights of a rollout by time are before it begins.
fn pair_of<'a>(pair: &'a Rule, scope: Scope<'a>) -> Option<(Cow<'a, Value>, i64)> {
    let (variant, weight) = match pair {
        Rule::List(items) => {
            let mut values = items.iter().map(|item| item.evaluate(scope));
            (values.next()?, values.next())
        }
        pair => match pair.evaluate(scope) {
            Cow::Borrowed(value) => {
                let mut items = value.as_array()?.iter().map(Cow::Borrowed);
                (items.next()?, items.next())
            }
            Cow::Owned(Value::Array(items)) => {
                let mut items = items.into_iter().map(Cow::Owned);
                (items.next()?, items.next())
            }
            Cow::Owned(_) => return None,
        },
    };
    if variant.is_array() || variant.is_object() {
        return None;
    }
    let weight = match weight.as_deref() {
        None | Some(Value::Null) => 1,
        Some(Value::Number(weight)) => whole(weight.as_f64()?)?,
        Some(_) => return None,
    };
    Some((variant, weight))
}

fn whole(weight: f64) -> Option<i64> {
    let is_fit = weight.fract() == 0.0 && weight <= WEIGHT_MAX as f64;
    is_fit.then(|| weight.max(0.0) as i64)
}
