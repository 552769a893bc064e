//! What a right migration of the generated documents must find, by plain counting.

use super::{ANSWER_MAX, Options};
use bson::{Bson, Document};
use std::collections::{HashMap, HashSet};
use unicode_normalization::UnicodeNormalization as _;

/// Counts over all documents. A person is a name without the spaces around it, in Unicode's form
/// NFKC, in small letters; the administrator counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// All documents.
    pub documents: u64,
    /// Different people.
    pub people: u64,
    /// Documents whose name is missing, not a text, or blank.
    pub documents_without_name: u64,
    /// Documents of somebody who has one in that month already.
    pub duplicates_in_month: u64,
    /// Different pairs of person and month.
    pub person_months: u64,
    /// Documents of the administrator.
    pub admin_documents: u64,
    /// Documents whose token is null or absent, the administrator's among them.
    pub documents_without_token: u64,
    /// Documents whose token an earlier one has.
    pub duplicate_tokens: u64,
    /// Documents with an answer of more than [`ANSWER_MAX`] characters.
    pub documents_with_long_answer: u64,
    /// Documents without an array `responses`.
    pub documents_without_responses: u64,
    /// Documents whose `createdAt` is a text.
    pub documents_with_string_date: u64,
    /// Documents whose `_id` is not an ObjectId.
    pub documents_with_other_id: u64,
}

/// What the counting has to remember.
#[derive(Default)]
struct Seen {
    people: HashMap<String, u32>,
    person_months: HashSet<(u32, String)>,
    /// The first 128 of the 256 bits of each token.
    tokens: HashSet<u128>,
}

impl Options {
    /// Generates every document and counts: a few microseconds and some 100 bytes for each.
    #[must_use]
    pub fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        let mut seen = Seen::default();
        // The big one's extra bytes are not looked at.
        let options = Self { big: false, ..*self };
        for n in 0..self.documents {
            expected.count(&options.document(n), &mut seen);
        }
        expected.people = seen.people.len() as u64;
        expected.person_months = seen.person_months.len() as u64;
        expected
    }
}

impl Expected {
    fn count(&mut self, document: &Document, seen: &mut Seen) {
        self.documents += 1;
        self.admin_documents += u64::from(document.get_bool("isAdmin").unwrap_or_default());
        match document.get_str("name").ok().and_then(person) {
            None => self.documents_without_name += 1,
            Some(person) => {
                let next = seen.people.len() as u32;
                let person = *seen.people.entry(person).or_insert(next);
                let month = document.get_str("month").unwrap_or_default().to_owned();
                let first = seen.person_months.insert((person, month));
                self.duplicates_in_month += u64::from(!first);
            }
        }
        match document.get_str("token") {
            Err(_) => self.documents_without_token += 1,
            Ok(token) => {
                let bits = u128::from_str_radix(&token[..32], 16).unwrap_or_default();
                self.duplicate_tokens += u64::from(!seen.tokens.insert(bits));
            }
        }
        match document.get_array("responses") {
            Err(_) => self.documents_without_responses += 1,
            Ok(responses) => {
                let long = responses.iter().any(is_long);
                self.documents_with_long_answer += u64::from(long);
            }
        }
        self.documents_with_string_date += u64::from(document.get_str("createdAt").is_ok());
        self.documents_with_other_id += u64::from(document.get_object_id("_id").is_err());
    }
}

/// The reference: who a name stands for, if for anybody.
fn person(name: &str) -> Option<String> {
    let name = name.trim();
    (!name.is_empty()).then(|| name.nfkc().collect::<String>().to_lowercase())
}

fn is_long(response: &Bson) -> bool {
    let answer = response.as_document().and_then(|one| one.get_str("answer").ok());
    answer.is_some_and(|answer| answer.chars().count() > ANSWER_MAX)
}
