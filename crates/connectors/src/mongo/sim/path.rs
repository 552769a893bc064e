//! Dotted paths into documents: `a.b.0.c`.
//!
//! Owns the walk through arrays on the way, which stand for all of their elements.

use bson::{RawArray, RawBsonRef, RawDocument};

/// The value of a field of the document itself.
pub fn field<'a>(document: &'a RawDocument, name: &str) -> Option<RawBsonRef<'a>> {
    document.get(name).ok().flatten()
}

/// Shows every value at the path to `visit` until it says true, and says whether it did. `None`
/// is shown where the path ends in nothing.
pub fn any<'a>(
    document: &'a RawDocument,
    path: &str,
    visit: &mut dyn FnMut(Option<RawBsonRef<'a>>) -> bool,
) -> bool {
    let Some((first, rest)) = path.split_once('.') else {
        return visit(field(document, path));
    };
    match field(document, first) {
        Some(RawBsonRef::Document(inner)) => any(inner, rest, visit),
        Some(RawBsonRef::Array(array)) => any_of_array(array, rest, visit),
        _ => visit(None),
    }
}

fn any_of_array<'a>(
    array: &'a RawArray,
    path: &str,
    visit: &mut dyn FnMut(Option<RawBsonRef<'a>>) -> bool,
) -> bool {
    let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
    let place = first.parse::<usize>().ok();
    let found = match (place.and_then(|place| array.get(place).ok().flatten()), rest) {
        (Some(value), None) => visit(Some(value)),
        (Some(RawBsonRef::Document(inner)), Some(rest)) => any(inner, rest, visit),
        (Some(RawBsonRef::Array(inner)), Some(rest)) => any_of_array(inner, rest, visit),
        _ => false,
    };
    found
        || array.into_iter().map_while(Result::ok).any(|element| match element {
            RawBsonRef::Document(inner) => any(inner, path, visit),
            _ => false,
        })
}

/// Whether a value at the path, or an element of an array there, fulfils the test.
pub fn any_element<'a>(
    document: &'a RawDocument,
    path: &str,
    test: &mut dyn FnMut(Option<RawBsonRef<'a>>) -> bool,
) -> bool {
    any(document, path, &mut |value| {
        test(value)
            || match value {
                Some(RawBsonRef::Array(array)) => {
                    array.into_iter().map_while(Result::ok).any(|element| test(Some(element)))
                }
                _ => false,
            }
    })
}

/// The first value at the path.
pub fn first<'a>(document: &'a RawDocument, path: &str) -> Option<RawBsonRef<'a>> {
    let mut found = None;
    any(document, path, &mut |value| {
        found = value;
        value.is_some()
    });
    found
}
