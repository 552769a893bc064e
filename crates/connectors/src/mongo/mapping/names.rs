//! Names of people as text, as identities and as user names.

use deunicode::deunicode_with_tofu;
use sha2::{Digest, Sha256};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// The shortest and the longest slug, in characters, where an expression says nothing else.
pub(super) const SLUG_LENGTHS: (usize, usize) = (3, 30);

/// A text composed (NFC) and without white space around it.
pub(super) fn text(raw: &str) -> String {
    let trimmed = raw.trim();
    // Nearly all texts are composed already, and to see that is quicker than to compose.
    if trimmed.is_ascii() || is_nfc_quick(trimmed.chars()) == IsNormalized::Yes {
        return trimmed.to_owned();
    }
    trimmed.nfc().collect()
}

/// The identity of a person: composed in compatibility form (NFKC), in lower case, white space
/// within collapsed to single spaces.
pub(super) fn fold(raw: &str) -> String {
    let lower = if raw.is_ascii() {
        raw.to_ascii_lowercase()
    } else {
        // Lower case can leave what is not composed, such as an i with a dot above.
        let lower = raw.nfkc().collect::<String>().to_lowercase();
        lower.nfkc().collect()
    };
    let mut folded = String::with_capacity(lower.len());
    for word in lower.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

/// A user name of `a-z`, `0-9` and single underscores within, of `min` to `max` characters:
/// transliterated, so that a name in any script stays readable. What is too short gets digits of
/// the hash of the name, so that two such names rarely meet.
pub(super) fn slug(raw: &str, min: usize, max: usize) -> String {
    let composed = text(raw);
    let mut slug = String::with_capacity(composed.len());
    for letter in deunicode_with_tofu(&composed, " ").chars() {
        if slug.len() > max {
            break;
        }
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('_') {
            slug.push('_');
        }
    }
    slug.truncate(max);
    slug.truncate(slug.trim_end_matches('_').len());
    if slug.is_empty() || slug.len() < min {
        slug = padded(&slug, &composed, min.max(1), max);
    }
    slug
}

/// A slug that is too short, with digits of the hash of its name behind it.
fn padded(slug: &str, name: &str, min: usize, max: usize) -> String {
    let (base, digits) = if slug.is_empty() { ("n", 6) } else { (slug, 2) };
    let digits = digits.max(min.saturating_sub(base.len() + 1));
    let hash = hex(&Sha256::digest(fold(name).as_bytes()));
    if base.len() + 1 + digits <= max {
        return format!("{base}_{}", cycled(&hash, digits));
    }
    format!("{slug}{}", cycled(&hash, min - slug.len()))
}

fn cycled(hash: &str, digits: usize) -> String {
    hash.chars().cycle().take(digits).collect()
}

/// The longest beginning of at most `n` characters as JavaScript counts them, in UTF-16: its
/// `maxlength` and ours then agree, and in any other count there are fewer.
pub(super) fn cut(text: &str, n: usize) -> &str {
    if text.len() <= n {
        return text;
    }
    let mut units = 0;
    for (at, letter) in text.char_indices() {
        units += letter.len_utf16();
        if units > n {
            return &text[..at];
        }
    }
    text
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// `base` with `_n` behind it, the base cut so that all has at most `length` characters; `base`
/// itself, cut, for an `n` of 0. Underscores at the cut are dropped. Where `length` has no room
/// for a base, the number alone is cut from the left, so it is never longer than `length`.
#[must_use]
pub fn numbered(base: &str, n: u32, length: usize) -> String {
    if n == 0 {
        return cut(base, length).to_owned();
    }
    let suffix = format!("_{n}");
    if suffix.len() >= length {
        return suffix[suffix.len() - length..].to_owned();
    }
    let base = cut(base, length - suffix.len()).trim_end_matches('_');
    format!("{base}{suffix}")
}
