//! Whether two documents are the same: a digest for all of them, a list of differences for some.

use std::collections::BTreeSet;

use bson::{Bson, Document, RawDocument};
use sha2::{Digest, Sha256};

use super::json;

/// Differences that [`differing`] lists at most; one more says how many there are besides.
const MOST_DIFFERENCES: usize = 20;

/// Characters of a value that a difference shows.
const SHOWN: usize = 60;

/// The first 16 bytes of SHA-256 over the document's top-level fields, sorted by name because
/// servers put them in another order, each as its name, its type and the bytes of its value. The
/// fields named in `without` are left out.
///
/// Bytes that are no document are digested as they are, so they equal nothing but themselves.
#[must_use]
pub fn digest(doc: &RawDocument, without: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    match fields(doc) {
        Some(mut fields) => {
            fields.retain(|(name, _, _)| !without.contains(name));
            fields.sort_unstable();
            for (name, kind, value) in fields {
                hash.update((name.len() as u64).to_be_bytes());
                hash.update(name);
                hash.update([kind]);
                hash.update((value.len() as u64).to_be_bytes());
                hash.update(value);
            }
        }
        None => hash.update(doc.as_bytes()),
    }
    let mut cut = [0; 16];
    cut.copy_from_slice(&hash.finalize()[..16]);
    cut
}

/// Name, type and bytes of each top-level field.
fn fields(doc: &RawDocument) -> Option<Vec<(&str, u8, &[u8])>> {
    let bytes = doc.as_bytes();
    let mut fields = Vec::new();
    // Four bytes of length, then for each field its type, its name, a zero and its value.
    let mut at = 4;
    for element in doc.iter_elements() {
        let element = element.ok()?;
        let name = element.key().as_str();
        let start = at + 1 + name.len() + 1;
        let end = start.checked_add(element.size())?;
        fields.push((name, element.element_type() as u8, bytes.get(start..end)?));
        at = end;
    }
    Some(fields)
}

/// Where a document differs from the expected one, as `path: what`, in the order of the paths.
/// The order of top-level fields does not count, that within nested documents does, nor do the
/// top-level fields named in `without`. At most 20 are listed.
#[must_use]
pub fn differing(expected: &Document, found: &RawDocument, without: &[&str]) -> Vec<String> {
    let found = match Document::try_from(found) {
        Ok(found) => found,
        Err(error) => return vec![format!("the document is damaged: {error}")],
    };
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let mut differences = Vec::new();
    for name in names {
        if !without.contains(&name.as_str()) {
            compare(name, expected.get(name), found.get(name), &mut differences);
        }
    }
    if differences.len() > MOST_DIFFERENCES {
        let more = differences.len() - MOST_DIFFERENCES;
        differences.truncate(MOST_DIFFERENCES);
        differences.push(format!("and {more} more"));
    }
    differences
}

fn compare(path: &str, expected: Option<&Bson>, found: Option<&Bson>, out: &mut Vec<String>) {
    match (expected, found) {
        (Some(Bson::Document(expected)), Some(Bson::Document(found))) => {
            compare_documents(path, expected, found, out);
        }
        (Some(Bson::Array(expected)), Some(Bson::Array(found))) => {
            for at in 0..expected.len().max(found.len()) {
                compare(&format!("{path}.{at}"), expected.get(at), found.get(at), out);
            }
        }
        (Some(expected), Some(found)) if same(expected, found) => {}
        (Some(expected), Some(found)) => {
            out.push(format!("{path}: {} instead of {}", shown(found), shown(expected)));
        }
        (Some(expected), None) => {
            out.push(format!("{path}: missing instead of {}", shown(expected)));
        }
        (None, Some(found)) => out.push(format!("{path}: {} instead of nothing", shown(found))),
        (None, None) => {}
    }
}

fn compare_documents(path: &str, expected: &Document, found: &Document, out: &mut Vec<String>) {
    let before = out.len();
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    for name in names {
        compare(&format!("{path}.{name}"), expected.get(name), found.get(name), out);
    }
    if out.len() == before && !expected.keys().eq(found.keys()) {
        out.push(format!("{path}: its fields are in another order"));
    }
}

/// As equal as bytes: a NaN equals itself, minus zero is not zero.
fn same(expected: &Bson, found: &Bson) -> bool {
    match (expected, found) {
        (Bson::Double(expected), Bson::Double(found)) => expected.to_bits() == found.to_bits(),
        _ => expected == found,
    }
}

fn shown(value: &Bson) -> String {
    let text = json::write(value);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
