//! What the operators of JSONLogic do. Nothing fails: an operator that cannot use its arguments
//! says null, which is falsy. Every value that is looked at or copied is paid for, so that no rule
//! runs or grows without end.

use super::context::Scope;
use super::fractional::fractional;
use super::number::{self, equal, number, strictly_equal};
use super::rule::{Operator, Rule};
use super::sem_ver::sem_ver;
use serde_json::{Value, json};
use std::borrow::Cow;

const NULL: Cow<'static, Value> = Cow::Borrowed(&Value::Null);
/// The longest text that `cat` makes, in bytes; what is longer is null.
const TEXT_MAX: usize = 64 * 1024;

impl Rule {
    /// The rule's value.
    pub(super) fn evaluate<'a>(&'a self, scope: Scope<'a>) -> Cow<'a, Value> {
        if !scope.spend(1) {
            return NULL;
        }
        match self {
            Self::Literal(value) => Cow::Borrowed(value),
            Self::List(items) => {
                let values = items.iter().map(|item| scope.keep(item.evaluate(scope)));
                Cow::Owned(Value::Array(values.collect()))
            }
            Self::Call(operator, arguments) => call(*operator, arguments, scope),
        }
    }

    fn is_true(&self, scope: Scope<'_>) -> bool {
        is_true(&self.evaluate(scope))
    }
}

/// What JSONLogic takes for true: everything but null, false, 0, and empty text and lists.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) => true,
    }
}

fn call<'a>(operator: Operator, arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    let at = |index: usize| arguments.get(index).map_or(NULL, |rule| rule.evaluate(scope));
    match operator {
        Operator::Var => var(&at(0), arguments.get(1), scope),
        Operator::If => condition(arguments, scope),
        Operator::Or => first(arguments, scope, true),
        Operator::And => first(arguments, scope, false),
        Operator::Fractional => fractional(arguments, scope),
        Operator::Map | Operator::Filter => over_list(operator, &at(0), arguments.get(1), scope),
        Operator::Reduce => reduce(&at(0), arguments, scope),
        Operator::Missing | Operator::MissingSome => missing(operator, arguments, scope),
        Operator::Merge => merge(arguments, scope),
        Operator::Cat => cat(arguments, scope),
        Operator::Substr => substr(&at(0), &at(1), arguments.get(2).map(|_| at(2)).as_deref()),
        Operator::SemVer => owned(sem_ver(&at(0), &at(1), &at(2))),
        Operator::StartsWith => owned(affix(&at(0), &at(1), |text, part| text.starts_with(part))),
        Operator::EndsWith => owned(affix(&at(0), &at(1), |text, part| text.ends_with(part))),
        Operator::Add
        | Operator::Subtract
        | Operator::Multiply
        | Operator::Divide
        | Operator::Remainder
        | Operator::Min
        | Operator::Max => {
            let values: Vec<Cow<'_, Value>> =
                arguments.iter().map(|rule| rule.evaluate(scope)).collect();
            owned(number::calculate(operator, &values).map(number::value))
        }
        _ => Cow::Owned(Value::Bool(test(operator, arguments, scope))),
    }
}

fn owned<'a>(value: Option<impl Into<Value>>) -> Cow<'a, Value> {
    value.map_or(NULL, |value| Cow::Owned(value.into()))
}

/// The operators that are true or false.
fn test(operator: Operator, arguments: &[Rule], scope: Scope<'_>) -> bool {
    let at = |index: usize| arguments.get(index).map_or(NULL, |rule| rule.evaluate(scope));
    match operator {
        Operator::Equal => equal(&at(0), &at(1)),
        Operator::Unequal => !equal(&at(0), &at(1)),
        Operator::StrictEqual => strictly_equal(&at(0), &at(1)),
        Operator::StrictUnequal => !strictly_equal(&at(0), &at(1)),
        Operator::Not => !is_true(&at(0)),
        Operator::Truth => is_true(&at(0)),
        Operator::In => is_in(&at(0), &at(1)),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            in_order(operator, arguments, scope)
        }
        Operator::All | Operator::NoneOf | Operator::Some => quantified(operator, arguments, scope),
        _ => false,
    }
}

fn var<'a>(path: &Value, default: Option<&'a Rule>, scope: Scope<'a>) -> Cow<'a, Value> {
    let found = match path {
        Value::Null => scope.get(""),
        Value::String(path) => scope.get(path),
        Value::Number(index) => scope.get(&index.to_string()),
        _ => None,
    };
    match found {
        Some(value) if !value.is_null() => value,
        _ => default.map_or(NULL, |rule| rule.evaluate(scope)),
    }
}

/// `[condition, value, condition, value, ..., otherwise]`.
fn condition<'a>(arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    let mut pairs = arguments.chunks_exact(2);
    for pair in &mut pairs {
        if pair[0].is_true(scope) {
            return pair[1].evaluate(scope);
        }
    }
    pairs.remainder().first().map_or(NULL, |rule| rule.evaluate(scope))
}

/// The first argument that is as true as wanted, else the last one.
fn first<'a>(arguments: &'a [Rule], scope: Scope<'a>, wanted: bool) -> Cow<'a, Value> {
    let mut last = NULL;
    for rule in arguments {
        last = rule.evaluate(scope);
        if is_true(&last) == wanted {
            break;
        }
    }
    last
}

/// Two or three values in order. A missing one is in no order.
fn in_order(operator: Operator, arguments: &[Rule], scope: Scope<'_>) -> bool {
    let values: Vec<Cow<'_, Value>> = arguments.iter().map(|rule| rule.evaluate(scope)).collect();
    values.len() >= 2
        && values.windows(2).all(|pair| number::is_ordered(operator, &pair[0], &pair[1]))
}

fn is_in(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::String(part), Value::String(whole)) => whole.contains(part.as_str()),
        (part, Value::Array(items)) => items.iter().any(|item| strictly_equal(item, part)),
        _ => false,
    }
}

fn affix(text: &Value, part: &Value, is: impl Fn(&str, &str) -> bool) -> Option<bool> {
    Some(is(text.as_str()?, part.as_str()?))
}

fn cat<'a>(arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    let mut text = String::new();
    for rule in arguments {
        number::append_text(&rule.evaluate(scope), &mut text);
        if text.len() > TEXT_MAX {
            return NULL;
        }
    }
    Cow::Owned(Value::String(text))
}

/// From a position, which counts from the end where it is negative; of a length, which leaves out
/// as many at the end where it is negative. Positions count characters.
fn substr<'a>(text: &Value, from: &Value, length: Option<&Value>) -> Cow<'a, Value> {
    let (Some(text), Some(from)) = (text.as_str(), from.as_i64()) else { return NULL };
    let characters: Vec<char> = text.chars().collect();
    let count = i64::try_from(characters.len()).unwrap_or(i64::MAX);
    let position = |at: i64| if at < 0 { count.saturating_add(at).max(0) } else { at.min(count) };
    let start = position(from);
    let end = match length.map(Value::as_i64) {
        None => count,
        Some(None) => return NULL,
        Some(Some(length)) if length < 0 => position(length),
        Some(Some(length)) => start.saturating_add(length).min(count),
    };
    let range = start as usize..end.max(start) as usize;
    let part: String = characters.get(range).unwrap_or_default().iter().collect();
    Cow::Owned(Value::String(part))
}

fn over_list<'a>(
    operator: Operator,
    list: &Value,
    rule: Option<&'a Rule>,
    scope: Scope<'a>,
) -> Cow<'a, Value> {
    let (Some(items), Some(rule)) = (list.as_array(), rule) else {
        return Cow::Owned(Value::Array(Vec::new()));
    };
    let inside = |item| Scope { item: Some(item), ..scope };
    let values = match operator {
        Operator::Map => items.iter().map(|item| scope.keep(rule.evaluate(inside(item)))).collect(),
        _ => {
            let kept = items.iter().filter(|item| rule.is_true(inside(item)));
            kept.map(|item| scope.keep(Cow::Borrowed(item))).collect()
        }
    };
    Cow::Owned(Value::Array(values))
}

/// `[list, rule, start]`; the rule sees `current` and `accumulator`.
fn reduce<'a>(list: &Value, arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    let start = arguments.get(2).map_or(NULL, |rule| rule.evaluate(scope));
    let (Some(items), Some(rule)) = (list.as_array(), arguments.get(1)) else { return start };
    let mut accumulator = scope.keep(start);
    for item in items {
        let current = scope.keep(Cow::Borrowed(item));
        let both = json!({"current": current, "accumulator": accumulator});
        accumulator = scope.keep(rule.evaluate(Scope { item: Some(&both), ..scope }));
    }
    Cow::Owned(accumulator)
}

fn quantified(operator: Operator, arguments: &[Rule], scope: Scope<'_>) -> bool {
    let list = arguments.first().map_or(NULL, |rule| rule.evaluate(scope));
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    let Some(rule) = arguments.get(1) else { return false };
    let mut each = items.iter().map(|item| rule.is_true(Scope { item: Some(item), ..scope }));
    match operator {
        Operator::All => !items.is_empty() && each.all(|is_true| is_true),
        Operator::NoneOf => !each.any(|is_true| is_true),
        _ => each.any(|is_true| is_true),
    }
}

/// The names that are not in the context; for `missing_some` only where fewer than wanted are.
fn missing<'a>(operator: Operator, arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    let at = |index: usize| arguments.get(index).map_or(NULL, |rule| rule.evaluate(scope));
    let mut names: Vec<Value> = match operator {
        Operator::MissingSome => list_of(scope.keep(at(1))),
        _ => match scope.keep(at(0)) {
            Value::Array(names) => names,
            _ => arguments.iter().map(|rule| scope.keep(rule.evaluate(scope))).collect(),
        },
    };
    let count = names.len();
    let is_missing = |name: &Value| {
        let found = name.as_str().and_then(|name| scope.get(name));
        found.is_none_or(|value| value.is_null() || value.as_str() == Some(""))
    };
    names.retain(is_missing);
    if operator == Operator::MissingSome {
        let wanted = number(&at(0)).unwrap_or(0.0);
        if (count - names.len()) as f64 >= wanted {
            names.clear();
        }
    }
    Cow::Owned(Value::Array(names))
}

fn list_of(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn merge<'a>(arguments: &'a [Rule], scope: Scope<'a>) -> Cow<'a, Value> {
    let mut all = Vec::new();
    for rule in arguments {
        match scope.keep(rule.evaluate(scope)) {
            Value::Array(items) => all.extend(items),
            single => all.push(single),
        }
    }
    Cow::Owned(Value::Array(all))
}
