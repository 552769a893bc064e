//! What the words of a command line come to: names, formats, tags in place of tags, and the windows
//! of purging.

use super::access::windows;
use super::open::{format_of, instead, split_names};
use super::records::Format;
use super::targets::Plan;
use std::path::{Path, PathBuf};

#[test]
fn names_are_listed_or_in_a_file() {
    assert_eq!(split_names(None), (vec![], None));
    let (names, file) = split_names(Some("a,b c,d/e"));
    assert_eq!((names, file), (vec!["a".to_owned(), "b c".into(), "d/e".into()], None));
    assert_eq!(split_names(Some("@keys.txt")), (vec![], Some(PathBuf::from("keys.txt"))));
}

#[test]
fn the_format_is_what_is_said_or_what_the_file_is_called() {
    let of = |named, file: &str| format_of(named, Some(Path::new(file))).ok();
    assert_eq!(of(None, "a.csv"), Some(Format::Csv));
    assert_eq!(of(Some("jsonl"), "a.csv"), Some(Format::JsonLines));
    assert_eq!(of(Some("csv"), "a.jsonl"), Some(Format::Csv));
    assert_eq!(
        (of(None, "a"), format_of(None, None).ok()),
        (Some(Format::JsonLines), of(None, "b"))
    );
    assert!(of(Some("tsv"), "a").is_none());
}

#[test]
fn a_value_stands_in_for_tags_that_no_key_carries() {
    assert_eq!(instead(Some("blue".into()), false), ["blue"]);
    let derived = ["blue", "blue-type-image", "blue-type-file", "blue-file", "blue-path"];
    assert_eq!(instead(Some("blue".into()), true), derived);
    assert!(instead(None, true).is_empty() && instead(Some(String::new()), true).is_empty());
}

/// A bucket of B that fills at R a second is at most B in any B/R seconds.
#[test]
fn a_bucket_is_a_window() {
    let purge = |plan: Plan| {
        let windows = windows(plan);
        let of = |name: &str| {
            let window = windows.iter().find(|window| window.name == name);
            window.map(|window| (window.limit, window.seconds))
        };
        assert_eq!((of("global"), of("address")), (Some((1_200, 300)), Some((200, 1))));
        (of("purge"), of("purge-urls"))
    };
    assert_eq!(purge(Plan::Free), (Some((25, 300)), Some((800, 1))));
    assert_eq!(purge(Plan::Pro), (Some((25, 5)), Some((1_500, 1))));
    assert_eq!(purge(Plan::Business), (Some((50, 5)), Some((1_500, 1))));
    assert_eq!(purge(Plan::Enterprise), (Some((500, 10)), Some((3_000, 1))));
}
