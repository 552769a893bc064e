//! Ids of traces and observations: OTLP has 16 and 8 bytes, the clients of Langfuse had any text.

use sha2::{Digest, Sha256};

/// The bytes of a trace's id: of 32 hexadecimal digits or a UUID their value, of any other text the
/// first 16 bytes of its SHA-256.
#[must_use]
pub fn trace_id(text: &str) -> [u8; 16] {
    let digits = match uuid_digits(text) {
        Some(digits) => unhex(&digits),
        None => unhex(text.as_bytes()),
    };
    digits.unwrap_or_else(|| hashed(&[text]))
}

/// The bytes of an observation's id: of 16 hexadecimal digits their value, of any other text the
/// first 8 bytes of its SHA-256.
#[must_use]
pub fn span_id(text: &str) -> [u8; 8] {
    unhex(text.as_bytes()).unwrap_or_else(|| hashed(&[text]))
}

/// The bytes of the span that stands for a trace itself, from the trace's id as the client has it.
#[must_use]
pub fn root_span_id(trace: &str) -> [u8; 8] {
    hashed(&["trace:", trace])
}

/// Whether the bytes of [`trace_id`] say everything that the text said.
#[must_use]
pub fn is_trace_id(text: &str) -> bool {
    text.len() == 32 && hex(&trace_id(text)).eq_ignore_ascii_case(text)
}

/// Whether the bytes of [`span_id`] say everything that the text said.
#[must_use]
pub fn is_span_id(text: &str) -> bool {
    text.len() == 16 && hex(&span_id(text)).eq_ignore_ascii_case(text)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

/// The identity of a span in its project: both ids in hexadecimal, joined by `-`.
#[must_use]
pub fn span_key(trace_id: &[u8; 16], span_id: &[u8; 8]) -> String {
    let mut key = String::with_capacity(49);
    push_hex(&mut key, trace_id);
    key.push('-');
    push_hex(&mut key, span_id);
    key
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// A random UUID of version 4.
#[must_use]
pub fn random_uuid() -> String {
    let bits = fastrand::u128(..);
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{bits:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

/// The 32 digits of a text like `123e4567-e89b-12d3-a456-426614174000`.
fn uuid_digits(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let is_uuid = bytes.len() == 36 && [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-');
    is_uuid.then(|| bytes.iter().copied().filter(|byte| *byte != b'-').collect())
}

/// The bytes of exactly as many digits; all zeros is no id.
fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let digit = |at: usize| char::from(digits[at]).to_digit(16);
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (digit(2 * index)? << 4 | digit(2 * index + 1)?) as u8;
    }
    (bytes != [0; N]).then_some(bytes)
}

fn hashed<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let hash = hash.finalize();
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash[..N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_ids_are_themselves() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(hex(&trace_id(id)), id);
        assert_eq!(hex(&trace_id(&id.to_uppercase())), id);
        assert!(is_trace_id(id));
        assert_eq!(hex(&span_id("b7ad6b7169203331")), "b7ad6b7169203331");
        assert!(is_span_id("b7ad6b7169203331"));
    }

    #[test]
    fn uuids_are_their_bytes_and_other_texts_are_hashed() {
        let uuid = "0af76519-16cd-43dd-8448-eb211c80319c";
        assert_eq!(hex(&trace_id(uuid)), "0af7651916cd43dd8448eb211c80319c");
        assert!(!is_trace_id(uuid));
        // The beginning of the SHA-256 of `abc`.
        assert_eq!(hex(&trace_id("abc")), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(hex(&span_id("abc")), "ba7816bf8f01cfea");
        assert_eq!(root_span_id("abc"), span_id("trace:abc"));
        let zeros = "0".repeat(32);
        assert_ne!(trace_id(&zeros), [0; 16]);
        assert!(!is_trace_id(&zeros));
        assert_ne!(trace_id("é-not-hex-but-32-bytes-long-abcd"), [0; 16]);
    }

    #[test]
    fn random_ids_are_of_version_4() {
        let id = random_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, random_uuid());
    }
}
