//! Owns the walk through a text of JSON: every string, number and name of a key is shown to the
//! rules with the path of keys that it stands at, and everything that no rule changes is copied
//! byte for byte. Strings that are JSON themselves are walked too.

use super::Masks;
use super::rule::is_protected;
use memchr::memchr2;
use std::borrow::Cow;
use std::sync::atomic::Ordering;

/// How deep arrays and objects may be nested.
const DEPTH_MAX: usize = 200;
/// How often JSON may stand in a string of JSON.
const NESTING_MAX: usize = 4;

/// Why a walk came to its end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// From here it is no JSON.
    At(usize),
    /// From here it is no JSON, and what is there was to be hidden whole.
    Secret(usize),
    /// It is nested too deep.
    TooDeep,
}

/// A text that is one value of JSON; `None` when nothing is to be hidden.
pub(super) fn strict(masks: &Masks, text: &str) -> Result<Option<String>, Broken> {
    let mut walk = Walk::new(masks, text, "", 0);
    walk.value()?;
    walk.space();
    if walk.at < text.len() { Err(Broken::At(walk.at)) } else { Ok(walk.finish()) }
}

/// Whether a text is JSON as far as its beginning tells.
pub(super) fn is_likely(text: &str) -> bool {
    let mut bytes = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    match bytes.next() {
        Some(b'{') => matches!(bytes.next(), Some(b'"' | b'}') | None),
        Some(b'[') => matches!(bytes.next(), Some(b'{' | b'[' | b'"') | None),
        // A string that was encoded once more than its neighbours.
        Some(b'"') => text.contains('\\') && text.trim_ascii_end().ends_with('"'),
        _ => false,
    }
}

/// A value of an event that looks like JSON: one value, several behind each other, or one that was
/// cut off, which SDKs do with long attributes.
pub(super) fn loose(masks: &Masks, path: &str, text: &str, nesting: usize) -> Option<String> {
    if nesting >= NESTING_MAX {
        return Some(masks.unreadable());
    }
    let mut walk = Walk::new(masks, text, path, nesting);
    let mut first = true;
    loop {
        walk.space();
        // Behind the first value only arrays and objects count, which one look tells.
        let goes_on = first || matches!(walk.byte(), Some(b'{' | b'['));
        first = false;
        if !goes_on || !is_likely(&text[walk.at..]) {
            let rest = walk.at;
            walk.rest(rest, path);
            return walk.finish();
        }
        match walk.value() {
            Ok(()) => {}
            Err(Broken::At(from)) => {
                let path = walk.path.clone();
                walk.rest(from, &path);
                return walk.finish();
            }
            Err(Broken::Secret(from)) => {
                let hidden = masks.unreadable();
                walk.replace(from, text.len(), &hidden);
                return walk.finish();
            }
            Err(Broken::TooDeep) => return Some(masks.unreadable()),
        }
    }
}

struct Walk<'a> {
    masks: &'a Masks,
    text: &'a str,
    at: usize,
    /// What was changed so far, and up to where of the text.
    out: String,
    copied: usize,
    path: String,
    depth: usize,
    nesting: usize,
    /// Names of keys that were hidden, so that they stay different from each other.
    names: usize,
}

impl<'a> Walk<'a> {
    fn new(masks: &'a Masks, text: &'a str, path: &str, nesting: usize) -> Self {
        let (at, copied, depth, names) = (0, 0, 0, 0);
        let (out, path) = (String::new(), path.to_owned());
        Self { masks, text, at, out, copied, path, depth, nesting, names }
    }

    fn finish(mut self) -> Option<String> {
        if self.copied == 0 {
            return None;
        }
        self.out.push_str(&self.text[self.copied..]);
        Some(self.out)
    }

    fn replace(&mut self, start: usize, end: usize, by: &str) {
        if self.out.is_empty() {
            self.out.reserve(self.text.len());
        }
        self.out.push_str(&self.text[self.copied..start]);
        self.out.push_str(by);
        self.copied = end;
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<(), Broken> {
        self.space();
        match self.byte() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.literal(),
        }
    }

    fn nested(&mut self, inside: fn(&mut Self) -> Result<(), Broken>) -> Result<(), Broken> {
        if self.depth == DEPTH_MAX {
            return Err(Broken::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        inside(self)?;
        self.depth -= 1;
        Ok(())
    }

    /// Whether one more element comes; past its comma, or past the end of them all.
    fn another(&mut self, first: bool, close: u8) -> Result<bool, Broken> {
        self.space();
        match self.byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(Broken::At(self.at)),
        }
    }

    fn array(&mut self) -> Result<(), Broken> {
        let mut first = true;
        while self.another(first, b']')? {
            first = false;
            self.value()?;
        }
        Ok(())
    }

    fn object(&mut self) -> Result<(), Broken> {
        let mut first = true;
        while self.another(first, b'}')? {
            first = false;
            self.space();
            let start = self.at;
            let length = self.path.len();
            let name = self.token()?;
            self.name(start, &name);
            self.path.push_str(if length == 0 { "" } else { "." });
            let new = self.path.len();
            self.path.push_str(&name);
            self.space();
            if self.byte() != Some(b':') {
                return Err(Broken::At(self.at));
            }
            self.at += 1;
            self.member(new)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn member(&mut self, new: usize) -> Result<(), Broken> {
        self.space();
        let Some(rule) = self.masks.dropping(&self.path, new) else { return self.value() };
        let start = self.at;
        let mut skip = Skip { walk: self, ends: Vec::new() };
        skip.value().map_err(|_| Broken::Secret(start))?;
        let value = &self.text[start..self.at];
        let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let plain = plain.map_or(Cow::Borrowed(value), unescaped);
        rule.hits.fetch_add(1, Ordering::Relaxed);
        let hidden = quoted(&rule.replacement(&plain));
        self.replace(start, self.at, &hidden);
        Ok(())
    }

    /// A name of a key can be somebody's, such as an address as the key of a map.
    fn name(&mut self, start: usize, name: &str) {
        // What is left alone below `id` is its value, and not the names of a map in its place.
        let path = match is_protected(&self.path) {
            true => Cow::Owned(format!("{}.{name}", self.path)),
            false => Cow::Borrowed(self.path.as_str()),
        };
        let Some(mut masked) = self.masks.plain(&path, name) else { return };
        self.names += 1;
        if self.names > 1 {
            masked = format!("{masked} {}", self.names);
        }
        self.replace(start, self.at, &quoted(&masked));
    }

    fn string(&mut self) -> Result<(), Broken> {
        let start = self.at;
        let text = self.token()?;
        if let Some(masked) = self.masks.value(&self.path, &text, self.nesting + 1) {
            self.replace(start, self.at, &quoted(&masked));
        }
        Ok(())
    }

    /// A string, without its quotes and escapes; past its end.
    fn token(&mut self) -> Result<Cow<'a, str>, Broken> {
        let start = self.at;
        self.skip_string()?;
        Ok(unescaped(&self.text[start + 1..self.at - 1]))
    }

    fn skip_string(&mut self) -> Result<(), Broken> {
        let start = self.at;
        if self.byte() != Some(b'"') {
            return Err(Broken::At(start));
        }
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            match memchr2(b'"', b'\\', rest) {
                Some(length) if rest[length] == b'"' => {
                    self.at += length + 1;
                    return Ok(());
                }
                Some(length) => self.at += length + 2,
                None => {
                    self.at = start;
                    return Err(Broken::At(start));
                }
            }
        }
    }

    fn number(&mut self) -> Result<(), Broken> {
        let start = self.at;
        self.skip_number();
        let text = self.text;
        if let Some(masked) = self.masks.plain(&self.path, &text[start..self.at]) {
            self.replace(start, self.at, &quoted(&masked));
        }
        Ok(())
    }

    fn skip_number(&mut self) {
        while matches!(self.byte(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn literal(&mut self) -> Result<(), Broken> {
        let rest = &self.text[self.at..];
        let known = ["true", "false", "null"].into_iter().find(|word| rest.starts_with(word));
        self.at += known.ok_or(Broken::At(self.at))?.len();
        Ok(())
    }

    /// What is no JSON, up to the end: it is looked at with and without its escapes, and hidden
    /// where it can have a key in it whose value is to be hidden.
    fn rest(&mut self, from: usize, path: &str) {
        let raw = &self.text[from..];
        if raw.is_empty() {
            return;
        }
        let masks = self.masks;
        if masks.drop_may_be_in(raw) {
            let hidden = masks.unreadable();
            self.replace(from, self.text.len(), &hidden);
            return;
        }
        let plain = unescaped(raw);
        let masked = masks.plain(path, &plain).or_else(|| masks.plain(path, raw));
        if let Some(masked) = masked {
            self.replace(from, self.text.len(), &masked);
        }
    }
}

/// Passes over a value that is hidden whole, however deep it is.
struct Skip<'a, 'b> {
    walk: &'b mut Walk<'a>,
    ends: Vec<u8>,
}

impl Skip<'_, '_> {
    fn value(&mut self) -> Result<(), Broken> {
        loop {
            self.walk.space();
            match self.walk.byte() {
                Some(open @ (b'{' | b'[')) => {
                    if self.ends.len() >= DEPTH_MAX {
                        return Err(Broken::TooDeep);
                    }
                    self.ends.push(open + 2);
                    self.walk.at += 1;
                }
                Some(close @ (b'}' | b']')) if self.ends.last() == Some(&close) => {
                    self.ends.pop();
                    self.walk.at += 1;
                }
                Some(b',' | b':') if !self.ends.is_empty() => self.walk.at += 1,
                Some(b'"') => self.walk.skip_string()?,
                Some(b'-' | b'0'..=b'9') => self.walk.skip_number(),
                _ => self.walk.literal()?,
            }
            if self.ends.is_empty() {
                return Ok(());
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A string's text without its escapes. A half of a surrogate pair, which JavaScript can send,
/// becomes the replacement character; what is no escape stays as it is.
fn unescaped(raw: &str) -> Cow<'_, str> {
    let Some(first) = raw.find('\\') else { return Cow::Borrowed(raw) };
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    let mut next = Some(first);
    while let Some(at) = next {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match rest.as_bytes().get(1) {
            Some(b'u') => unicode(rest, &mut out),
            Some(byte) => {
                let plain = match byte {
                    b'n' => Some('\n'),
                    b't' => Some('\t'),
                    b'r' => Some('\r'),
                    b'b' => Some('\u{8}'),
                    b'f' => Some('\u{c}'),
                    b'"' | b'\\' | b'/' => Some(char::from(*byte)),
                    _ => None,
                };
                out.push(plain.unwrap_or('\\'));
                &rest[if plain.is_some() { 2 } else { 1 }..]
            }
            None => {
                out.push('\\');
                ""
            }
        };
        next = rest.find('\\');
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `\uXXXX`, or of a pair of them, and what is behind it.
fn unicode<'a>(text: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| {
        let hex = text.strip_prefix("\\u")?.get(..4)?;
        let all = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        all.then(|| u16::from_str_radix(hex, 16).ok()).flatten()
    };
    let Some(first) = unit(text) else {
        out.push('\\');
        return &text[1..];
    };
    let second = unit(&text[6..]);
    let pair = char::decode_utf16([first].into_iter().chain(second)).next();
    match pair {
        Some(Ok(character)) => {
            out.push(character);
            &text[if character.len_utf16() == 2 { 12 } else { 6 }..]
        }
        _ => {
            out.push(char::REPLACEMENT_CHARACTER);
            &text[6..]
        }
    }
}
