//! Names of people: text, fold, slug, cut, numbered.

use proptest::prelude::*;

use super::super::names::{cut, fold, numbered, slug, text};

#[test]
fn slugs_keep_names_of_all_scripts_readable() {
    for (name, expected) in [
        ("Anna", "anna"),
        ("  Jean-Pierre  O'Neill ", "jean_pierre_o_neill"),
        ("李小龙", "li_xiao_long"),
        ("さくら", "sakura"),
        ("Дмитрий", "dmitrii"),
        ("😀", "grinning"),
        ("Zoe\u{301}", "zoe"),
        ("Zoé", "zoe"),
        ("Søren Kierkegaard", "soren_kierkegaard"),
        ("Œdipe", "oedipe"),
        ("Straße", "strasse"),
        ("Łukasz", "lukasz"),
        ("__x__y__z__", "x_y_z"),
        ("12", "12_6b"),
        ("李", "li_c1"),
        ("A", "a_ca"),
        ("", "n_e3b0c4"),
        ("___", "n_bda251"),
        ("\u{10FFFF}", "n_708b8a"),
    ] {
        assert_eq!(slug(name, 3, 30), expected, "{name}");
    }
}

#[test]
fn a_slug_is_cut_without_an_underscore_at_its_end() {
    let name = "abcdefghijklmnopqrstuvwxyz abc def";
    assert_eq!(slug(name, 3, 30), "abcdefghijklmnopqrstuvwxyz_abc");
    assert_eq!(slug(name, 3, 27), "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(slug(&"x".repeat(200), 3, 30), "x".repeat(30));
    assert_eq!(slug("李", 3, 3), "lic");
    assert_eq!(slug("?", 1, 1), "8");
}

#[test]
fn fold_is_the_identity_of_a_person() {
    for same in ["Anna Bell", " anna   bell", "ANNA\u{a0}BELL", "Ａnna Bell", "anna\tbell\n"] {
        assert_eq!(fold(same), "anna bell", "{same:?}");
    }
    assert_eq!(fold("Zoe\u{301}"), fold("ZOÉ"));
    assert_eq!(fold("\u{212a}elvin"), "kelvin");
    assert_eq!(fold(" \u{3000} "), "");
    assert_ne!(fold("Zoe"), fold("Zoé"));
}

#[test]
fn text_is_composed_and_trimmed() {
    assert_eq!(text("  Zoe\u{301} \n"), "Zoé");
    assert_eq!(text("a  b"), "a  b");
    assert_eq!(text("ﬁ"), "ﬁ");
}

#[test]
fn cut_counts_as_javascript_does() {
    assert_eq!(cut("héllo", 3), "hél");
    assert_eq!(cut("a😀b", 2), "a");
    assert_eq!(cut("a😀b", 3), "a😀");
    assert_eq!(cut("abc", 0), "");
    assert_eq!(cut("abc", 9), "abc");
}

#[test]
fn numbers_cut_the_base_so_that_all_fits() {
    assert_eq!(numbered("anna", 0, 30), "anna");
    assert_eq!(numbered("anna", 1, 30), "anna_1");
    assert_eq!(numbered("anna", 12, 6), "ann_12");
    assert_eq!(numbered("ann_bell", 1, 6), "ann_1");
    assert_eq!(numbered("abcdef", 0, 4), "abcd");
    assert_eq!(numbered("anna", 4_294_967_295, 4), "7295");
}

proptest! {
    #[test]
    fn a_slug_keeps_its_rules(name in any::<String>(), min in 0_usize..20, more in 0_usize..40) {
        let max = (min + more).max(1);
        let slug = slug(&name, min, max);
        prop_assert!(!slug.is_empty() && (min..=max).contains(&slug.len()), "{slug}");
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        prop_assert!(slug.bytes().all(letters), "{slug}");
        prop_assert!(!slug.starts_with('_') && !slug.ends_with('_'), "{slug}");
        prop_assert!(!slug.contains("__"), "{slug}");
    }

    #[test]
    fn folding_twice_changes_nothing(name in any::<String>()) {
        let once = fold(&name);
        prop_assert_eq!(fold(&once), once);
    }

    #[test]
    fn capitals_and_composition_make_no_other_person(name in "[a-zA-Zà-öø-þ ]{0,20}") {
        use unicode_normalization::UnicodeNormalization;
        let decomposed: String = name.nfd().collect();
        prop_assert_eq!(fold(&decomposed), fold(&name));
        prop_assert_eq!(fold(&format!(" {}\t", name.to_uppercase())), fold(&name));
    }

    #[test]
    fn numbered_values_fit_and_differ(base in "[a-z_]{1,40}", length in 8_usize..40) {
        let all: Vec<String> = (1..200).map(|n| numbered(&base, n, length)).collect();
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        prop_assert_eq!(distinct.len(), all.len());
        prop_assert!(all.iter().all(|value| value.chars().count() <= length));
    }
}
