//! JSON as clients write it: mended where they commonly get it wrong, and looked into no deeper
//! than needed.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The text of a body. Bytes that are not UTF-8 and halves of characters are replaced, for a batch
/// must not be lost for a letter in it.
#[must_use]
pub fn text_of_body(body: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(body);
    match Repaired::of(&text) {
        Some(repaired) => Cow::Owned(repaired.0),
        None => text,
    }
}

/// The fields of an object, their values as they are written.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// The names and values, in their order.
    pub fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads an object; `None` if it is none.
    #[must_use]
    pub fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The value of a field that is there and not `null`; of several the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.fields.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// A text, or a number or boolean as one; `None` for an object, a list or an empty text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        plain_text(self.get(name)?).filter(|text| !text.trim().is_empty())
    }

    /// The first of several names that has a text.
    #[must_use]
    pub fn text_of(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().find_map(|name| self.text(name))
    }

    /// An object's own fields.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Self> {
        Self::parse(self.get(name)?.get())
    }
}

/// A text, or a number or boolean as one.
#[must_use]
pub fn plain_text(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(value.get())),
    }
}

/// A text that is borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    fields.push((key.0, value));
                }
                Ok(fields)
            }
        }
        from.deserialize_map(Fields).map(|fields| Self { fields })
    }
}

/// A list of at most `MOST` values, as they are written.
#[derive(Clone, Debug, Default)]
pub struct Capped<'a, const MOST: usize>(pub Vec<&'a RawValue>);

impl<'de: 'a, 'a, const MOST: usize> Deserialize<'de> for Capped<'a, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Items<const MOST: usize>;
        impl<'de, const MOST: usize> Visitor<'de> for Items<MOST> {
            type Value = Vec<&'de RawValue>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    if items.len() == MOST {
                        return Err(A::Error::custom(format_args!("more than {MOST} items")));
                    }
                    items.push(item);
                }
                Ok(items)
            }
        }
        from.deserialize_seq(Items::<MOST>).map(Self)
    }
}

/// JSON text in which halves of characters are replaced.
///
/// JavaScript's strings are made of units of 16 bits. A client that cuts one in the middle of a
/// pair writes `\ud83d` without its second half, which is no character and which no strict reader
/// of JSON takes. The half becomes `\ufffd`, which has the same length.
pub struct Repaired(String);

impl Repaired {
    /// The text with its halves replaced, or `None` if it has none.
    #[must_use]
    pub fn of(json: &str) -> Option<Self> {
        let bytes = json.as_bytes();
        let mut halves = Vec::new();
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
            at += found;
            match (unit(&bytes[at..]), bytes.get(at + 6..).and_then(unit)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
                (Some(0xd800..=0xdfff), _) => {
                    halves.push(at);
                    at += 6;
                }
                // A backslash and the character that it stands before.
                _ => at += 2,
            }
            if at >= bytes.len() {
                break;
            }
        }
        if halves.is_empty() {
            return None;
        }
        let mut mended = json.to_owned();
        for half in halves {
            mended.replace_range(half..half + 6, "\\ufffd");
        }
        Some(Self(mended))
    }

    /// The mended text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// The unit that an escape like `\ud83d` at the beginning stands for.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(json: &str) -> Option<String> {
        Repaired::of(json).map(|repaired| repaired.text().to_owned())
    }

    #[test]
    fn halves_of_characters_are_replaced() {
        assert_eq!(repaired(r#""\ud83d""#).unwrap(), r#""\ufffd""#);
        assert_eq!(repaired(r#""a\uDE00b\ud83dc""#).unwrap(), r#""a\ufffdb\ufffdc""#);
        assert_eq!(repaired(r#""\ud83d\ud83d\ude00""#).unwrap(), r#""\ufffd\ud83d\ude00""#);
        assert_eq!(repaired(r#""\ud83d\n""#).unwrap(), r#""\ufffd\n""#);
    }

    #[test]
    fn objects_are_looked_into_no_deeper_than_needed() {
        let object =
            Object::parse(r#"{"a":"x\u00e9","b":7,"c":null,"d":{"e":1},"f":" "}"#).unwrap();
        assert_eq!(object.text("a").unwrap(), "x\u{e9}");
        assert_eq!(object.text("b").unwrap(), "7");
        assert_eq!(object.text("c"), None);
        assert_eq!(object.text("d"), None);
        assert_eq!(object.text("f"), None);
        assert_eq!(object.text_of(&["f", "b"]).unwrap(), "7");
        assert_eq!(object.object("d").unwrap().text("e").unwrap(), "1");
        assert!(Object::parse("[]").is_none());
        assert!(Object::parse(&"{\"a\":".repeat(100_000)).is_none());
    }

    #[test]
    fn lists_are_capped_while_they_are_read() {
        assert_eq!(serde_json::from_str::<Capped<'_, 2>>("[1,{}]").unwrap().0.len(), 2);
        let error = serde_json::from_str::<Capped<'_, 2>>("[1,2,3,").unwrap_err().to_string();
        assert!(error.starts_with("more than 2 items"), "{error}");
    }

    #[test]
    fn bodies_are_made_text() {
        assert_eq!(text_of_body(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(text_of_body(br#""\ud83d""#), r#""\ufffd""#);
    }

    #[test]
    fn whole_characters_and_written_backslashes_stay() {
        assert_eq!(repaired(r#""\ud83d\ude00""#), None);
        assert_eq!(repaired(r#""\\ud83d""#), None);
        assert_eq!(repaired(r#""\u00e9 \t""#), None);
        assert_eq!(repaired("\"\\"), None);
        assert_eq!(repaired(r"\ud8"), None);
        assert_eq!(repaired(""), None);
    }
}
