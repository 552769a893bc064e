use crate::display::words::*;
use std::time::Duration;

#[test]
fn numbers_have_thousands_separators() {
    assert_eq!(count(0), "0");
    assert_eq!(count(999), "999");
    assert_eq!(count(5432), "5,432");
    assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
}

#[test]
fn things_are_counted_in_the_right_number() {
    assert_eq!(plural(1, "organization"), "1 organization");
    assert_eq!(plural(5432, "organization"), "5,432 organizations");
    assert_eq!(plural(0, "entry"), "0 entries");
    assert_eq!(plural(2, "key"), "2 keys");
    assert_eq!(counted(1, "organizations"), "1 organization");
    assert_eq!(counted(1, "entries"), "1 entry");
    assert_eq!(counted(1, "addresses"), "1 address");
    assert_eq!(counted(2, "users"), "2 users");
}

#[test]
fn times_have_two_units_and_never_sixty_of_one() {
    let millis = |millis| duration(Duration::from_millis(millis));
    assert_eq!(millis(850), "850ms");
    assert_eq!(millis(25_100), "25.1s");
    assert_eq!(millis(59_940), "59.9s");
    assert_eq!(millis(59_960), "1m 00s");
    assert_eq!(millis(252_000), "4m 12s");
    assert_eq!(millis(13_320_000), "3h 42m");
    assert_eq!(millis(90_000_000), "1d 01h");
    assert_eq!(eta(Duration::from_millis(7001)), "8s");
    assert_eq!(eta(Duration::ZERO), "0s");
}

#[test]
fn rates_have_the_decimals_that_matter() {
    assert_eq!(rate(1234.0), "1,234/s");
    assert_eq!(rate(999.7), "1,000/s");
    assert_eq!(rate(42.31), "42.3/s");
    assert_eq!(rate(0.83), "0.83/s");
    assert_eq!(rate(0.05), "3.0/min");
    assert_eq!(rate(0.0), "0/s");
    assert_eq!(latency(0.42), "0.42 ms");
    assert_eq!(latency(41.4), "41 ms");
    assert_eq!(latency(1250.0), "1.25 s");
}

#[test]
fn a_hundred_percent_and_a_full_bar_are_said_of_the_whole_only() {
    assert_eq!(percent(99_999, 100_000), "99.9%");
    assert_eq!(percent(5, 5), "100.0%");
    assert_eq!(percent(0, 0), "100.0%");
    assert_eq!(progress_bar(654, 1000, 28), "██████████████████░░░░░░░░░░");
    assert_eq!(progress_bar(999, 1000, 4), "███░");
    assert_eq!(progress_bar(u64::MAX, u64::MAX, 4), "████");
}

#[test]
fn instants_are_told_in_utc() {
    assert_eq!(when(1_795_224_605_000), "2026-11-21 01:30:05 UTC");
    assert_eq!(when(u64::MAX), "18446744073709551615 ms after 1970");
}

#[test]
fn text_is_cut_by_columns_and_not_by_bytes() {
    assert_eq!(width("株式会社"), 8);
    assert_eq!(cut("株式会社", 8), "株式会社");
    assert_eq!(cut("株式会社", 6), "株式…");
    assert_eq!(cut("organization", 5), "orga…");
    assert_eq!(cut("organization", 0), "");
}

#[test]
fn text_of_a_remote_can_not_steer_a_terminal() {
    assert_eq!(plain("a\x1b[31mb\r\nc\u{202e}d"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c\u{fffd}d");
}

#[test]
fn operations_are_conjugated() {
    let verb = Verb::of("delete");
    assert_eq!((&*verb.doing, &*verb.done, &*verb.noun), ("deleting", "deleted", "deletion"));
    let verb = Verb::of("migrate");
    assert_eq!((&*verb.doing, &*verb.done, &*verb.noun), ("migrating", "migrated", "migration"));
    let verb = Verb::of("copy");
    assert_eq!((&*verb.doing, &*verb.done, &*verb.noun), ("copying", "copied", "copy"));
    let verb = Verb::of("purge");
    assert_eq!((&*verb.doing, &*verb.done, &*verb.noun), ("purging", "purged", "purge"));
    assert_eq!(Verb::of("2").doing, "2");
}

#[test]
fn verbs_that_follow_no_rule_are_known() {
    for (base, doing, done) in [
        ("put", "putting", "put"),
        ("drop", "dropping", "dropped"),
        ("write", "writing", "written"),
        ("purge", "purging", "purged"),
        ("copy", "copying", "copied"),
        ("import", "importing", "imported"),
        ("purge tags", "purging", "purged"),
        ("invalidate everything", "invalidating", "invalidated"),
        ("purge-sync", "purging", "purged"),
        ("namespaces drop", "dropping", "dropped"),
    ] {
        let verb = Verb::of(base);
        assert_eq!((&*verb.doing, &*verb.done), (doing, done));
    }
}

#[test]
fn the_question_names_what_has_to_be_typed() {
    let plan = super::header(1200, 0);
    let text = |word| crate::display::messages::question_text(&plan, word);
    assert_eq!(text(None), "This can't be undone. Type 1200 to delete them: ");
    assert_eq!(text(Some("My\u{1b} Store")), {
        "This can't be undone. Type My\u{fffd} Store to delete: "
    });
}
