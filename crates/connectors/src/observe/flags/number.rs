//! Numbers, and how values of different kinds compare: mostly as in JavaScript, where JSONLogic
//! comes from.

use super::rule::Operator;
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::fmt::Write;

/// A value as a number; `None` for what is none.
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if text.trim().is_empty() => Some(0.0),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number as a value, whole where it is whole.
pub(super) fn value(number: f64) -> Value {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Equal where numbers may be text.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    if std::mem::discriminant(left) == std::mem::discriminant(right) {
        return strictly_equal(left, right);
    }
    matches!((number(left), number(right)), (Some(left), Some(right)) if left == right)
}

/// Equal, and of the same kind; 1 and 1.0 are.
pub(super) fn strictly_equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    }
}

/// Texts by their letters, everything else by number. What is no number is in no order, a missing
/// value either: it is not less than 1.
pub(super) fn is_ordered(operator: Operator, left: &Value, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) => match (number(left), number(right)) {
            (Some(left), Some(right)) => left.partial_cmp(&right),
            _ => None,
        },
    };
    order.is_some_and(|order| match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// `None` where an argument is no number, or the result is not.
pub(super) fn calculate(operator: Operator, values: &[Cow<'_, Value>]) -> Option<f64> {
    let numbers = values.iter().map(|value| number(value)).collect::<Option<Vec<f64>>>()?;
    let result = match (operator, numbers.as_slice()) {
        (Operator::Add, all) => all.iter().sum(),
        (Operator::Multiply, [first, rest @ ..]) => rest.iter().fold(*first, |a, b| a * b),
        (Operator::Subtract, [only]) => -only,
        (Operator::Subtract, [left, right]) => left - right,
        (Operator::Divide, [left, right]) => left / right,
        (Operator::Remainder, [left, right]) => left % right,
        (Operator::Min, [first, rest @ ..]) => rest.iter().fold(*first, |a, b| a.min(*b)),
        (Operator::Max, [first, rest @ ..]) => rest.iter().fold(*first, |a, b| a.max(*b)),
        _ => return None,
    };
    result.is_finite().then_some(result)
}

/// Adds a value as text: nothing for null, whole numbers without a point.
pub(super) fn append_text(from: &Value, text: &mut String) {
    let written = match from {
        Value::Null => Ok(()),
        Value::String(part) => text.write_str(part),
        Value::Number(number) => match number.as_f64().map(value) {
            Some(whole) => write!(text, "{whole}"),
            None => write!(text, "{number}"),
        },
        other => write!(text, "{other}"),
    };
    // Writing into a text does not fail.
    debug_assert!(written.is_ok());
}
