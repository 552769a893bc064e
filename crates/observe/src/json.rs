//! Texts and values as JSON, appended to a buffer.

use crate::value::Value;
use std::io::Write;

/// Appends a text with its quotes.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    out.push(b'"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        plain = at + 1;
        if escaped == 0 {
            out.extend_from_slice(b"\\u00");
            out.push(DIGITS[usize::from(byte >> 4)]);
            out.push(DIGITS[usize::from(byte & 15)]);
        } else {
            out.extend_from_slice(&[b'\\', escaped]);
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.push(b'"');
}

/// Appends a value. JSON knows no NaN and no infinity; they are null.
pub(crate) fn value(value: Value<'_>, out: &mut Vec<u8>) {
    // Writing to a vector does not fail.
    let _ = match value {
        Value::Text(of) => {
            text(of, out);
            Ok(())
        }
        Value::Integer(whole) => write!(out, "{whole}"),
        Value::Number(any) if any.is_finite() => write!(out, "{any:?}"),
        Value::Number(_) => out.write_all(b"null"),
        Value::Bool(is_so) => write!(out, "{is_so}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(of: Value<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        value(of, &mut out);
        serde_json::from_slice(&out).unwrap()
    }

    proptest! {
        #[test]
        fn texts_and_numbers_are_read_by_others(of: String, whole: i64, any: f64) {
            prop_assert_eq!(read(Value::Text(&of)), json!(of));
            prop_assert_eq!(read(Value::Integer(whole)), json!(whole));
            let written = read(Value::Number(any)).as_f64();
            // Subnormal numbers have fewer digits than others.
            let near = (any.abs() * 1e-15).max(f64::MIN_POSITIVE);
            prop_assert!(written.is_some_and(|written| (written - any).abs() <= near));
        }
    }

    #[test]
    fn what_json_does_not_know_is_null() {
        assert_eq!(read(Value::Number(f64::NAN)), json!(null));
        assert_eq!(read(Value::Number(f64::INFINITY)), json!(null));
        assert_eq!(read(Value::Bool(false)), json!(false));
        assert_eq!(read(Value::Text("\u{0}\u{1f}\"\\\n\r\tü")), json!("\u{0}\u{1f}\"\\\n\r\tü"));
    }
}
