//! `sem_ver`: comparing versions as semver.org orders them. A leading `v` is allowed, and `1` and
//! `1.2` stand for `1.0.0` and `1.2.0`, as flagd has it.

use serde_json::Value;
use std::cmp::Ordering;

/// `[version, operator, version]`; `None` for what is no version or operator.
pub(super) fn sem_ver(left: &Value, operator: &Value, right: &Value) -> Option<bool> {
    let (left, right) = (text(left)?, text(right)?);
    let (left, right) = (Version::parse(&left)?, Version::parse(&right)?);
    let order = || left.compare(&right);
    Some(match operator.as_str()? {
        "=" => order().is_eq(),
        "!=" => order().is_ne(),
        "<" => order().is_lt(),
        "<=" => order().is_le(),
        ">" => order().is_gt(),
        ">=" => order().is_ge(),
        "^" => left.numbers[0] == right.numbers[0],
        "~" => left.numbers[..2] == right.numbers[..2],
        _ => return None,
    })
}

/// A version may be written as a number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Build metadata is no part of the order.
struct Version<'a> {
    numbers: [u64; 3],
    /// Empty for a release.
    pre: Vec<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = text.split_once('+').map_or((text, None), |(v, b)| (v, Some(b)));
        let (core, pre) = text.split_once('-').map_or((text, None), |(v, p)| (v, Some(p)));
        let mut numbers = [0; 3];
        let mut count = 0;
        for part in core.split('.') {
            *numbers.get_mut(count)? = numeric(part)?;
            count += 1;
        }
        if count < 3 && (pre.is_some() || build.is_some()) {
            return None;
        }
        let pre: Vec<&str> = pre.map(|pre| pre.split('.').collect()).unwrap_or_default();
        let is_padded = |part: &str| digits(part) && part.len() > 1 && part.starts_with('0');
        let is_sound = pre.iter().all(|part| is_identifier(part) && !is_padded(part))
            && build.is_none_or(|build| build.split('.').all(is_identifier));
        is_sound.then_some(Self { numbers, pre })
    }

    fn compare(&self, other: &Self) -> Ordering {
        let pre = match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            // A release comes after what leads to it.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        };
        self.numbers.cmp(&other.numbers).then(pre)
    }
}

fn compare_pre(left: &[&str], right: &[&str]) -> Ordering {
    for (left, right) in left.iter().zip(right) {
        let order = match (digits(left), digits(right)) {
            // Without padding, the longer number is the larger one.
            (true, true) => left.len().cmp(&right.len()).then_with(|| left.cmp(right)),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

fn numeric(text: &str) -> Option<u64> {
    let is_padded = text.len() > 1 && text.starts_with('0');
    if digits(text) && !is_padded { text.parse().ok() } else { None }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::sem_ver;
    use serde_json::{Value, json};

    fn is(left: impl Into<Value>, operator: &str, right: &str) -> Option<bool> {
        sem_ver(&left.into(), &json!(operator), &json!(right))
    }

    #[test]
    fn versions_are_compared_as_flagd_does() {
        for (left, operator, right) in [
            ("1.1.2", ">=", "1.0.0"),
            ("v1.2.3", "=", "1.2.3"),
            ("V1.2", "=", "1.2.0"),
            ("2", ">", "1.99.99"),
            ("1.10.0", ">", "1.9.0"),
            ("1.0.0-rc.1", "<", "1.0.0"),
            ("1.0.0-alpha", "<", "1.0.0-alpha.1"),
            ("1.0.0-alpha.9", "<", "1.0.0-alpha.10"),
            ("1.0.0-9", "<", "1.0.0-a"),
            ("1.0.0+one", "=", "1.0.0+two"),
            ("1.2.3", "!=", "1.2.4"),
            ("3.9.1", "^", "3.0.0"),
            ("3.9.1", "~", "3.9.7"),
        ] {
            assert_eq!(is(left, operator, right), Some(true), "{left} {operator} {right}");
        }
        assert_eq!(is("4.0.0", "^", "3.0.0"), Some(false));
        assert_eq!(is("3.8.0", "~", "3.9.0"), Some(false));
        assert_eq!(is("1.0.0", "<=", "0.9.9"), Some(false));
        assert_eq!(is(1.5, ">", "1.4.9"), Some(true));
    }

    #[test]
    fn what_is_no_version_has_no_answer() {
        for left in ["", "a", "1.2.3.4", "01.2.3", "1.2-rc", "1.2.3-", "1.2.3-01", "-1", "1..2"] {
            assert_eq!(is(left, "=", "1.0.0"), None, "{left}");
        }
        assert_eq!(is("1.0.0", "<>", "1.0.0"), None);
        assert_eq!(is(Value::Null, "=", "1.0.0"), None);
    }
}
