//! Tests of the generated documents: they repeat, they are odd in every way they promise to be,
//! and the counts agree with the options.

use super::names::{LONG, of_person, spelled};
use super::{ADMIN, BIG, Expected, Options};
use bson::{Bson, Document};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use unicode_normalization::UnicodeNormalization as _;

const SMALL: Options = Options { documents: 2000, people: 200, months: 12, seed: 1, big: false };

fn all(options: Options) -> Vec<Document> {
    (0..options.documents).map(|n| options.document(n)).collect()
}

/// A name as the reference sees it.
fn folded(name: &str) -> String {
    name.trim().nfkc().collect::<String>().to_lowercase()
}

#[test]
fn a_document_never_changes() {
    let document = SMALL.document(1234);
    assert_eq!(document, SMALL.document(1234));
    assert_eq!(document.get_str("month").unwrap(), "2020-08");
    assert_eq!(document.keys().collect::<Vec<_>>(), DOCUMENT_KEYS);
    assert_eq!(
        document.get("_id").map(Bson::to_string).as_deref(),
        Some("ObjectId(\"5f35160708b4fd00000004d2\")")
    );
    assert_eq!(document.get_str("name").unwrap(), "Jürgen Lecœur");
    assert_eq!(document.get_str("token").unwrap()[..16], *"da81406fc7c32ae2");
}

const DOCUMENT_KEYS: [&str; 7] =
    ["_id", "name", "responses", "month", "isAdmin", "token", "createdAt"];

#[test]
fn a_hundred_thousand_documents_have_the_shares_they_promise() {
    let options = Options { documents: 100_000, people: 5000, months: 24, ..SMALL };
    let expected = options.expected();
    // 5,000 people and the administrator.
    assert_eq!((expected.documents, expected.people), (100_000, 5001));
    assert_eq!(expected.admin_documents, 24);
    // 1 % and 0.5 %, give or take five standard deviations.
    let near = |count: u64, share: u64| {
        let width = 5.0 * (100.0 * share as f64).sqrt();
        assert!(
            (count as f64 - 100.0 * share as f64).abs() < width,
            "{count} {share} {expected:?}"
        );
    };
    near(expected.documents_without_name, 10);
    near(expected.duplicates_in_month, 10);
    near(expected.documents_without_token - 24, 10);
    near(expected.duplicate_tokens, 5);
    near(expected.documents_with_long_answer, 5);
    near(expected.documents_without_responses, 10);
    near(expected.documents_with_string_date, 10);
    near(expected.documents_with_other_id, 30);
}

#[test]
fn every_oddity_is_in_the_small_fixture() {
    let documents = all(SMALL);
    let any = |what: &str, is: &dyn Fn(&Document) -> bool| {
        assert!(documents.iter().any(is), "no document {what}");
    };
    let name = |one: &Document| one.get_str("name").unwrap_or_default().to_owned();
    any("without a name", &|one| !one.contains_key("name"));
    any("with a null name", &|one| one.get("name") == Some(&Bson::Null));
    any("with an empty name", &|one| one.get("name") == Some(&Bson::String(String::new())));
    any("with a blank name", &|one| name(one).trim().is_empty() && !name(one).is_empty());
    any("in capitals", &|one| name(one).contains(" MARTIN"));
    any("in small letters", &|one| name(one).contains(" martin"));
    any("with loose accents", &|one| name(one).nfc().collect::<String>() != name(one));
    any("with a space at the end", &|one| name(one).ends_with(' ') && name(one).len() > 9);
    any("in Chinese", &|one| name(one).contains('王'));
    any("in Cyrillic", &|one| name(one).contains("Анна"));
    any("in Arabic", &|one| name(one).contains("ليلى"));
    any("in pictures", &|one| name(one).contains('🦊'));
    any("with a long name", &|one| name(one).chars().count() == LONG);
    any("of the administrator", &|one| name(one) == ADMIN && !one.contains_key("token"));
    any("with a null token", &|one| one.get("token") == Some(&Bson::Null));
    any("without a token", &|one| !one.contains_key("token") && name(one) != ADMIN);
    any("without responses", &|one| !one.contains_key("responses"));
    any("with null responses", &|one| one.get("responses") == Some(&Bson::Null));
    any("with a string date", &|one| one.get_str("createdAt").is_ok());
    any("with unexpected fields", &|one| one.contains_key("meta"));
    any("with a string _id", &|one| matches!(one.get("_id"), Some(Bson::String(_))));
    any("with an integer _id", &|one| matches!(one.get("_id"), Some(Bson::Int32(_))));
    any("with a UUID", &|one| matches!(one.get("_id"), Some(Bson::Binary(_))));
    let expected = SMALL.expected();
    assert!(expected.duplicate_tokens > 0 && expected.documents_with_long_answer > 0);
}

#[test]
fn three_people_share_a_username_with_their_neighbour() {
    let slug = |person: u64| -> String {
        let letters = of_person(7, person).to_lowercase();
        letters.split(|one: char| !one.is_alphanumeric()).filter(|part| !part.is_empty()).collect()
    };
    let names: BTreeSet<String> = (57..61).map(|person| folded(&of_person(7, person))).collect();
    assert_eq!(names.len(), 4);
    assert_eq!([slug(58), slug(59), slug(60)], [slug(57), slug(57), slug(57)]);
}

#[test]
fn no_two_of_fifty_thousand_people_have_the_same_name() {
    for seed in [0, 1, u64::MAX] {
        let names: BTreeSet<String> =
            (0..50_000).map(|person| folded(&of_person(seed, person))).collect();
        assert_eq!(names.len(), 50_000);
    }
}

#[test]
fn dates_lie_in_their_month_and_strings_read_as_dates() {
    for document in all(Options { months: 30, ..SMALL }) {
        let created = match document.get("createdAt") {
            Some(Bson::DateTime(date)) => date.try_to_rfc3339_string().unwrap(),
            Some(Bson::String(text)) => text.clone(),
            other => panic!("{other:?}"),
        };
        assert!(created.starts_with(document.get_str("month").unwrap()), "{document}");
        assert!(created.parse::<jiff::Timestamp>().is_ok(), "{created}");
    }
}

#[test]
fn the_big_document_is_the_one_in_the_middle() {
    let big = Options { big: true, ..SMALL };
    let size = |document: &Document| document.to_vec().unwrap().len();
    assert!((BIG..16_000_000).contains(&size(&big.document(1000))));
    assert_eq!(big.document(999), SMALL.document(999));
    assert_eq!(big.expected(), SMALL.expected());
    let mut without = big.document(1000);
    without.remove("attachment");
    assert_eq!(without, SMALL.document(1000));
}

#[test]
fn the_administrator_has_one_document_a_month() {
    let mut months: BTreeMap<String, u32> = BTreeMap::new();
    for document in all(SMALL) {
        if document.get_bool("isAdmin").unwrap() {
            *months.entry(document.get_str("month").unwrap().into()).or_default() += 1;
        }
    }
    assert_eq!(months.len(), 12);
    assert!(months.values().all(|count| *count == 1));
}

#[test]
fn options_out_of_bounds_are_named() {
    assert_eq!(SMALL.check(), Ok(()));
    let error = Options { people: 0, ..SMALL }.check().unwrap_err();
    assert_eq!(error, "at least one person is needed");
    let error = Options { months: 601, ..SMALL }.check().unwrap_err();
    assert_eq!(error, "the number of months must lie between 1 and 600");
    assert!(Options { months: 0, ..SMALL }.check().is_err());
    let error = Options { documents: 1_000_000_001, ..SMALL }.check().unwrap_err();
    assert_eq!(error, "at most 1000000000 documents can be generated");
    let none = Options { documents: 0, ..SMALL };
    assert_eq!((none.check(), none.expected()), (Ok(()), Expected::default()));
    // The last document that there can be.
    let most = Options { documents: 1_000_000_000, months: 600, ..SMALL };
    assert_eq!(most.document(999_999_999).get_str("month").unwrap(), "2069-12");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_spelling_is_the_same_person(seed: u64, person in 0_u64..100_000) {
        let name = of_person(seed, person);
        for place in 0..100 {
            prop_assert_eq!(folded(&spelled(&name, place)), folded(&name));
        }
    }

    #[test]
    fn any_options_repeat_with_unique_ids_and_counts_that_add_up(
        documents in 0_u64..400,
        people in 1_u64..300,
        months in 1_u32..=600,
        seed: u64,
    ) {
        let options = Options { documents, people, months, seed, big: false };
        let made = all(options);
        prop_assert_eq!(&made, &all(options));
        let ids: BTreeSet<String> =
            made.iter().map(|one| format!("{:?}", one.get("_id"))).collect();
        prop_assert_eq!(ids.len() as u64, documents);
        let objects: Vec<_> = made.iter().filter_map(|one| one.get_object_id("_id").ok()).collect();
        prop_assert!(objects.is_sorted());

        let expected = options.expected();
        prop_assert_eq!(expected.documents, documents);
        let named = documents - expected.documents_without_name;
        prop_assert_eq!(expected.person_months + expected.duplicates_in_month, named);
        prop_assert!(expected.people <= people + 1 && expected.people <= named);
        let names: BTreeSet<String> = made
            .iter()
            .filter_map(|one| one.get_str("name").ok())
            .map(folded)
            .filter(|name| !name.is_empty())
            .collect();
        prop_assert_eq!(names.len() as u64, expected.people);
    }

    #[test]
    fn a_document_can_be_stored(n in 0_u64..2000) {
        let bytes = SMALL.document(n).to_vec().unwrap();
        prop_assert!(bytes.len() < 40_000);
        let back = Document::from_reader(&bytes[..]).unwrap();
        prop_assert_eq!(back, SMALL.document(n));
    }
}

#[test]
fn another_seed_gives_other_documents() {
    let other = Options { seed: 2, ..SMALL };
    let same = all(SMALL).iter().zip(all(other)).filter(|(one, two)| *one == two).count();
    assert_eq!(same, 0);
}
