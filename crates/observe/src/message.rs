//! Product events: what a caller says is copied into one buffer as it is, and becomes JSON only in
//! the background, so that the caller pays for one allocation and a few copies.

use crate::clock::push_iso;
use crate::ids::push_hex;
use crate::json;
use crate::value::Value;

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A user did something.
    Track = 0,
    /// A user is somebody.
    Identify = 1,
}

const TEXT: u8 = 0;
const INTEGER: u8 = 1;
const NUMBER: u8 = 2;
const BOOL: u8 = 3;

/// The bytes before the texts: the kind, the time, the id.
const HEAD: usize = 1 + 8 + 16;
/// The bytes before a text: its length.
const LENGTH: usize = 4;
/// The longest value other than a text, with its tag.
const SCALAR: usize = 9;

/// A message in one buffer.
pub(crate) fn record(
    kind: Kind,
    at_ns: u64,
    id: [u8; 16],
    user: &str,
    name: &str,
    properties: &[(&str, Value<'_>)],
) -> Vec<u8> {
    let texts = properties.iter().map(|(key, value)| {
        let value = if let Value::Text(text) = value { 1 + LENGTH + text.len() } else { SCALAR };
        LENGTH + key.len() + value
    });
    let size = HEAD + 2 * LENGTH + user.len() + name.len() + texts.sum::<usize>();
    let mut out = Vec::with_capacity(size);
    out.push(kind as u8);
    out.extend_from_slice(&at_ns.to_le_bytes());
    out.extend_from_slice(&id);
    push_text(user, &mut out);
    push_text(name, &mut out);
    for (key, value) in properties {
        push_text(key, &mut out);
        push_value(*value, &mut out);
    }
    out
}

fn push_text(text: &str, out: &mut Vec<u8>) {
    // A text of 4 GiB is above the limit of an event and never gets here whole.
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_value(value: Value<'_>, out: &mut Vec<u8>) {
    let (tag, bits) = match value {
        Value::Text(text) => {
            out.push(TEXT);
            return push_text(text, out);
        }
        Value::Integer(whole) => (INTEGER, whole as u64),
        Value::Number(any) => (NUMBER, any.to_bits()),
        Value::Bool(is_so) => (BOOL, u64::from(is_so)),
    };
    out.push(tag);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Reads what [`record`] wrote.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn value(&mut self) -> Option<Value<'a>> {
        let [tag] = self.take()?;
        if tag == TEXT {
            return self.text().map(Value::Text);
        }
        let bits = u64::from_le_bytes(self.take()?);
        Some(match tag {
            INTEGER => Value::Integer(bits as i64),
            NUMBER => Value::Number(f64::from_bits(bits)),
            _ => Value::Bool(bits != 0),
        })
    }

    fn properties(&mut self, out: &mut Vec<u8>) -> Option<()> {
        out.push(b'{');
        let mut is_first = true;
        while !self.0.is_empty() {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            json::text(self.text()?, out);
            out.push(b':');
            json::value(self.value()?, out);
        }
        out.push(b'}');
        Some(())
    }
}

/// Appends the JSON of a message as RudderStack takes it. `context` is what all of them share,
/// without its last brace: where they come from. `None` where the buffer is not one of [`record`].
pub(crate) fn push_json(recorded: &[u8], context: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader(recorded);
    let [kind] = reader.take()?;
    let at_ns = u64::from_le_bytes(reader.take()?);
    let id: [u8; 16] = reader.take()?;
    let (user, name) = (reader.text()?, reader.text()?);
    let is_track = kind == Kind::Track as u8;
    out.extend_from_slice(b"{\"type\":");
    out.extend_from_slice(if is_track { b"\"track\"" } else { b"\"identify\"" });
    out.extend_from_slice(b",\"messageId\":\"");
    push_hex(&id, out);
    out.extend_from_slice(b"\",\"originalTimestamp\":\"");
    push_iso(at_ns, out);
    out.extend_from_slice(b"\",\"channel\":\"server\",\"integrations\":{\"All\":true},\"userId\":");
    json::text(user, out);
    if is_track {
        out.extend_from_slice(b",\"event\":");
        json::text(name, out);
        out.extend_from_slice(b",\"properties\":");
        reader.properties(out)?;
        out.extend_from_slice(b",\"context\":");
        out.extend_from_slice(context);
    } else {
        out.extend_from_slice(b",\"context\":");
        out.extend_from_slice(context);
        out.extend_from_slice(b",\"traits\":");
        reader.properties(out)?;
    }
    out.extend_from_slice(b"}}");
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    const CONTEXT: &[u8] = b"{\"library\":{\"name\":\"x\"}";

    fn read(recorded: &[u8]) -> Json {
        let mut out = Vec::new();
        push_json(recorded, CONTEXT, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn messages_are_those_of_rudderstack() {
        let at = 1_795_288_421_123_000_000;
        let properties = [("length", 12.into()), ("plan", "pro".into()), ("paid", true.into())];
        let track = record(Kind::Track, at, [0xab; 16], "user-1", "message_sent", &properties);
        let expected = json!({
            "type": "track",
            "messageId": "ab".repeat(16),
            "originalTimestamp": "2026-11-21T19:13:41.123Z",
            "channel": "server",
            "integrations": {"All": true},
            "userId": "user-1",
            "event": "message_sent",
            "properties": {"length": 12, "plan": "pro", "paid": true},
            "context": {"library": {"name": "x"}},
        });
        assert_eq!(read(&track), expected);
        let identify = record(Kind::Identify, at, [1; 16], "user-1", "", &properties[1..2]);
        let identify = read(&identify);
        assert_eq!(identify["type"], "identify");
        let context = json!({"library": {"name": "x"}, "traits": {"plan": "pro"}});
        assert_eq!(identify["context"], context);
        assert_eq!(identify.get("properties"), None);
    }

    proptest! {
        #[test]
        fn what_was_said_arrives_in_one_allocation(
            user: String,
            name: String,
            keys in prop::collection::btree_map(".*", any::<(String, i64, bool)>(), 0..6),
        ) {
            let keys: Vec<_> = keys.into_iter().collect();
            let mut properties = Vec::new();
            for (key, (text, whole, is_so)) in &keys {
                let value = if *is_so { text.into() } else { (*whole).into() };
                properties.push((key.as_str(), value));
            }
            let recorded = record(Kind::Track, 1, [7; 16], &user, &name, &properties);
            let exact = recorded.capacity();
            prop_assert!(recorded.len() <= exact && exact <= recorded.len() + 9 * keys.len());
            let read = read(&recorded);
            prop_assert_eq!(&read["userId"], &json!(user));
            prop_assert_eq!(&read["event"], &json!(name));
            prop_assert_eq!(read["properties"].as_object().map(|all| all.len()), Some(keys.len()));
            for (key, (text, whole, is_so)) in &keys {
                let expected = if *is_so { json!(text) } else { json!(whole) };
                prop_assert_eq!(&read["properties"][key], &expected);
            }
        }
    }
}
