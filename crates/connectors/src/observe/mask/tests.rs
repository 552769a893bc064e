//! The rules against what they must hide, what only looks alike, and what must stay as it is.

mod properties;

use super::*;
use serde_json::Value;

const ALL: &str = r#"
    [[masks]]
    builtin = "email"
    [[masks]]
    builtin = "phone"
    [[masks]]
    builtin = "credit-card"
    [[masks]]
    builtin = "iban"
    [[masks]]
    builtin = "ip"
    [[masks]]
    builtin = "ssn"
    [[masks]]
    builtin = "api-key"
"#;

fn tables(text: &str) -> Vec<toml::Table> {
    let whole: toml::Table = text.parse().unwrap();
    whole["masks"].as_array().unwrap().iter().map(|one| one.as_table().unwrap().clone()).collect()
}

fn masks(text: &str) -> Masks {
    Masks::compile_with(&tables(text), &secret).unwrap()
}

fn all() -> Masks {
    masks(ALL)
}

fn secret(variable: &str) -> Option<String> {
    match variable {
        "WINDLASS_MASK_KEY" => Some("0123456789abcdef".into()),
        "SHORT" => Some("0123".into()),
        _ => None,
    }
}

fn refused(text: &str) -> (String, String) {
    let error = Masks::compile_with(&tables(text), &secret).unwrap_err();
    (error.to_string(), error.hint().to_owned())
}

fn json(masks: &Masks, text: &str) -> Option<String> {
    masks.json(text.as_bytes()).unwrap().map(|body| String::from_utf8(body).unwrap())
}

/// What must be hidden, by the rule that hides it.
const PERSONAL: [(&str, &[&str]); 7] = [
    (
        "email",
        &[
            "jane@example.com",
            "jane.doe+tag@mail.example.co.uk",
            "jörg@exämple.de",
            "o'neil@example.org",
            "jane%40example.com",
            "a@xn--exmple-cua.de",
            "JANE@EXAMPLE.COM",
        ],
    ),
    (
        "phone",
        &[
            "+49 30 1234567",
            "+1 (415) 555-2671",
            "+14155552671",
            "+44-20-7946-0958",
            "(415) 555-2671",
            "415-555-2671",
            "415.555.2671",
            "1-415-555-2671",
        ],
    ),
    (
        "credit-card",
        &[
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "378282246310005",
            "3782 822463 10005",
            "5555555555554444",
            "2223003122003222",
            "6011111111111117",
            "30569309025904",
            "4222222222222",
        ],
    ),
    (
        "iban",
        &[
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "gb82west12345698765432",
            "NO9386011117947",
            "FR14 2004 1010 0505 0001 3M02 606",
            "MT84MALT011000012345MTLCAST001S",
        ],
    ),
    (
        "ip",
        &[
            "203.0.113.7",
            "10.1.2.3",
            "255.255.255.255",
            "2001:db8::1",
            "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
            "fe80::1",
            "::ffff:192.0.2.1",
        ],
    ),
    ("ssn", &["123-45-6789", "078 05 1120", "899-99-9999"]),
    (
        "api-key",
        &[
            "sk-proj-abcdefghij0123456789",
            "sk-lf-3f8b1c2d-1111-4222-8333-944445555666",
            "sk_live_51H8abcdefghijklmnop",
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "github_pat_11ABCDEFG0abcdefghijklmnop",
            "Bearer abc.def-0123456789xyz==",
            "bearer 0123456789abcdef",
            "AIzaSyA0123456789abcdefghijklmnopqrstuv",
            "xoxb-1234567890-abcdefghij",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
        ],
    ),
];

/// What looks alike and stays.
const HARMLESS: [&str; 50] = [
    "user@host",
    "@handle",
    "a @ b.com",
    "pkg@1.2.3",
    "name@",
    "3 + 12345678901",
    "5+49301234567",
    "2024-01-01T10:00:00+0200",
    "12345678901",
    "115-555-2671",
    "415-155-2671",
    "415-555-26711",
    "1-2-415-555-2671-3",
    "4111111111111112",
    "411111111111",
    "9111111111111111",
    "0.4111111111111111",
    "-0.4532015112830366",
    "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "1700000000000000000",
    "a4111111111111111",
    "4111111111111111f",
    "41111111111111111111111111",
    "DE89370400440532013001",
    "XX89370400440532013000",
    "DE8937040044053201300",
    "DE893704004405320130000",
    "AB12CDEF and GH34IJKL words",
    "1.2.3.4.5",
    "256.1.1.1",
    "Chrome/120.0.0.0",
    "v1.2.3.4",
    "1.2.3",
    "12:34:56",
    "aa:bb:cc:dd:ee:ff",
    "std::vec::Vec",
    "a::b",
    "::",
    "Iterator::next",
    "000-12-3456",
    "666-12-3456",
    "900-12-3456",
    "123-00-4567",
    "123-45-0000",
    "123-45 6789",
    "123-45-67890",
    "2024-10-1234",
    "risk-management-framework-overview",
    "Bearer understands",
];

#[test]
fn each_kind_is_hidden_by_its_own_rule() {
    for (name, values) in PERSONAL {
        let one = masks(&format!("[[masks]]\nbuiltin = \"{name}\""));
        let all = all();
        for value in values {
            assert_eq!(one.text("x", value), Some(format!("[{name}]")), "{value}");
            let around = format!("see {value}, or ({value})\n{value}.");
            let expected = format!("see [{name}], or ([{name}])\n[{name}].");
            assert_eq!(one.text("x", &around), Some(expected), "{value}");
            let masked = all.text("x", value).unwrap();
            assert!(!masked.contains(value), "{value} {masked}");
        }
        let counted: u64 = one.counts().values().sum();
        assert_eq!(counted, values.len() as u64 * 4);
    }
}

#[test]
fn what_only_looks_alike_stays() {
    let all = all();
    for text in HARMLESS {
        assert_eq!(all.text("x", text), None, "{text}");
        assert_eq!(all.text("x", &format!("it is {text} here")), None, "{text}");
        let body = serde_json::json!({ "text": text, "list": [text], "nested": text }).to_string();
        assert_eq!(json(&all, &body), None, "{text}");
    }
}

#[test]
fn neighbours_do_not_hide_a_value() {
    let all = all();
    for (text, masked) in [
        ("card 4111 1111 1111 1111 12/25", "card [credit-card] 12/25"),
        ("12 4111 1111 1111 1111 123", "12 [credit-card] 123"),
        ("4111111111111111 4111111111111111", "[credit-card] [credit-card]"),
        ("iban DE89 3704 0044 0532 0130 00 and more words", "iban [iban] and more words"),
        ("AB12 DE89370400440532013000", "AB12 [iban]"),
        (r"line\n4111111111111111\n123-45-6789", r"line\n[credit-card]\n[ssn]"),
        (r"key\nsk-0123456789abcdefghij", r"key\n[api-key]"),
        ("卡号4111111111111111元", "卡号[credit-card]元"),
        ("https://jane:pw@example.com/x", "https://jane:[email]/x"),
        ("host 10.0.0.1:8080, 10.0.0.2.", "host [ip]:8080, [ip]."),
        ("[2001:db8::1]:443", "[[ip]]:443"),
        ("Authorization: Bearer sk-0123456789abcdefghij", "Authorization: [api-key]"),
        ("-----BEGIN PRIVATE KEY-----\nMIIcut", "[api-key]"),
    ] {
        assert_eq!(all.text("x", text).as_deref(), Some(masked), "{text}");
    }
}

#[test]
fn what_is_cut_off_and_what_overlaps_is_hidden_once() {
    let both = masks(
        "[[masks]]\nname = \"id\"\npattern = 'cust-[0-9]+'\n\
         [[masks]]\nname = \"tail\"\npattern = '[0-9]+-end'\n",
    );
    assert_eq!(both.text("x", "a cust-123-end b").as_deref(), Some("a [id] b"));
    assert_eq!(both.text("x", "123-end cust-5").as_deref(), Some("[tail] [id]"));
    let counts: Vec<(String, u64)> = both.counts().into_iter().collect();
    assert_eq!(counts, [("id".into(), 2), ("tail".into(), 1), ("unreadable".into(), 0)]);
}

#[test]
fn ids_times_and_models_are_left_alone_by_builtins_only() {
    let all = all();
    for key in [
        "trace_id",
        "traceId",
        "body.traceId",
        "messageId",
        "timestamp",
        "gen_ai.request.model",
        "id",
    ] {
        assert_eq!(all.text(key, "4111111111111111"), None, "{key}");
    }
    assert!(all.text("user.id", "jane@example.com").is_some());
    assert!(all.text("metadata.id", "4111111111111111").is_some());
    let own = masks("[[masks]]\nname = \"own\"\npattern = '4111'");
    assert_eq!(own.text("traceId", "4111").as_deref(), Some("[own]"));
    let body = r#"{"id":"4111111111111111","messageId":"4111111111111111","x":4111111111111111}"#;
    let expected =
        r#"{"id":"4111111111111111","messageId":"4111111111111111","x":"[credit-card]"}"#;
    assert_eq!(json(&all, body).as_deref(), Some(expected));
}

#[test]
fn keys_limit_a_rule_and_except_keys_take_out() {
    let limited = masks("[[masks]]\nbuiltin = \"email\"\nkeys = [\"input\", \"meta.*\"]");
    let body = r#"{"input":{"a":["j@x.org"]},"meta":{"b":"j@x.org"},"other":"j@x.org"}"#;
    let expected = r#"{"input":{"a":["[email]"]},"meta":{"b":"[email]"},"other":"j@x.org"}"#;
    assert_eq!(json(&limited, body).as_deref(), Some(expected));
    let except = masks("[[masks]]\nbuiltin = \"email\"\nexcept-keys = [\"input\"]");
    let expected = r#"{"input":{"a":["j@x.org"]},"meta":{"b":"[email]"},"other":"[email]"}"#;
    assert_eq!(json(&except, body).as_deref(), Some(expected));
    assert_eq!(except.text("gen_ai.input", "j@x.org"), None);
}

const DROP: &str = r#"
    [[masks]]
    name = "secret"
    drop-keys = ["password", "*.authorization", "card*"]
"#;

#[test]
fn whole_values_are_dropped_by_their_keys() {
    let drop = masks(DROP);
    for (body, expected) in [
        (r#"{"password":"a\"b"}"#, r#"{"password":"[secret]"}"#),
        (
            r#"{"a":{"Password": {"x":[1,{"y":"]"}]} , "b":2}}"#,
            r#"{"a":{"Password": "[secret]" , "b":2}}"#,
        ),
        (r#"[{"h":{"authorization":7}}]"#, r#"[{"h":{"authorization":"[secret]"}}]"#),
        (r#"{"authorization":null}"#, r#"{"authorization":"[secret]"}"#),
        (r#"{"card_no":[]}"#, r#"{"card_no":"[secret]"}"#),
        (r#"{"a":"{\"password\":\"x\"}"}"#, r#"{"a":"{\"password\":\"[secret]\"}"}"#),
    ] {
        assert_eq!(json(&drop, body).as_deref(), Some(expected), "{body}");
    }
    assert_eq!(json(&drop, r#"{"passwords":"x","discard":"y"}"#), None);
    assert_eq!(drop.text("db.password", "x").as_deref(), Some("[secret]"));
    let input = r#"{"messages":[{"password":"x"}]}"#;
    let expected = r#"{"messages":[{"password":"[secret]"}]}"#;
    assert_eq!(drop.text("langfuse.observation.input", input).as_deref(), Some(expected));
}

#[test]
fn json_that_was_cut_off_hides_no_secret_and_keeps_the_rest() {
    let drop = masks(DROP);
    let cut = |text: &str| drop.text("input", text);
    assert_eq!(
        cut(r#"{"a":"x","password":"hun"#).as_deref(),
        Some(r#"{"a":"x","password":[masked: unreadable]"#)
    );
    assert_eq!(cut(r#"{"a":"x","pas"#), None);
    assert_eq!(
        cut(r#"{"a":"the password is hun"#).as_deref(),
        Some(r#"{"a":[masked: unreadable]"#)
    );
    assert_eq!(
        cut("{\"password\":1}\n{\"password\":2}").as_deref(),
        Some("{\"password\":\"[secret]\"}\n{\"password\":\"[secret]\"}")
    );
    let all = all();
    assert_eq!(all.text("x", r#"{"a":"plain\ntext that was c"#), None);
    assert_eq!(
        all.text("x", r#"{"b":"j@x.org","a":"of j\u0040y.org, c"#).as_deref(),
        Some(r#"{"b":"[email]","a":"of [email], c"#)
    );
}

#[test]
fn escapes_and_json_in_strings_hide_nothing() {
    let all = all();
    for (body, expected) in [
        (r#"{"a":"j\u0040x.org"}"#, r#"{"a":"[email]"}"#),
        (r#"{"a":"1\n4111111111111111\n"}"#, r#"{"a":"1\n[credit-card]\n"}"#),
        (r#"{"a":"\ud800 j@x.org"}"#, "{\"a\":\"\u{fffd} [email]\"}"),
        (r#"{"a":"\ud83d\ude00 j@x.org"}"#, "{\"a\":\"😀 [email]\"}"),
        (
            r#"{"a":"{\"b\":\"{\\\"c\\\":\\\"j@x.org\\\"}\"}"}"#,
            r#"{"a":"{\"b\":\"{\\\"c\\\":\\\"[email]\\\"}\"}"}"#,
        ),
        (r#"{"j@x.org":1,"k@x.org":2}"#, r#"{"[email]":1,"[email] 2":2}"#),
        (r#" [ 4111111111111111 , 1.5e3 , true ] "#, r#" [ "[credit-card]" , 1.5e3 , true ] "#),
        (r#""j@x.org""#, r#""[email]""#),
    ] {
        let masked = json(&all, body).unwrap();
        assert_eq!(masked, expected, "{body}");
        assert!(serde_json::from_str::<Value>(&masked).is_ok());
    }
    let twice = serde_json::to_string("j@x.org\n").unwrap();
    assert_eq!(all.text("x", &twice).as_deref(), Some(r#""[email]\n""#));
}

#[test]
fn what_cannot_be_looked_at_is_refused_or_hidden_whole() {
    let all = all();
    assert_eq!(all.json(b"\xff"), Err(MaskFailed::NotUtf8));
    assert_eq!(all.json(br#"{"a":"j@x.org""#), Err(MaskFailed::NotJson));
    assert_eq!(all.json(b"j@x.org"), Err(MaskFailed::NotJson));
    assert_eq!(all.json(br#"{"a":"j@x.org"} x"#), Err(MaskFailed::NotJson));
    let deep = format!("{}\"j@x.org\"{}", "[".repeat(201), "]".repeat(201));
    assert_eq!(all.json(deep.as_bytes()), Err(MaskFailed::TooDeep));
    assert_eq!(all.text("x", &deep).as_deref(), Some(UNREADABLE));
    let fits = format!("{}\"j@x.org\"{}", "[".repeat(200), "]".repeat(200));
    assert!(all.json(fits.as_bytes()).unwrap().is_some());
    let large = vec![b' '; VALUE_BYTES_MAX + 1];
    assert_eq!(all.json(&large), Err(MaskFailed::TooLarge));
    let large = String::from_utf8(large).unwrap();
    assert_eq!(all.text("x", &large).as_deref(), Some(UNREADABLE));
    let mut nested = r#"["j@x.org"]"#.to_owned();
    for _ in 0..NESTED {
        nested = serde_json::json!([nested]).to_string();
    }
    assert_eq!(all.text("x", &nested).map(|text| text.contains("j@x.org")), Some(false));
    assert_eq!(all.counts()["unreadable"], 3);
}

/// More than the walk goes into.
const NESTED: usize = 6;

#[test]
fn pseudonyms_keep_equal_values_equal() {
    let hash = masks("[[masks]]\nbuiltin = \"email\"\nreplacement = \"hash\"");
    let of = |text: &str| hash.text("x", text).unwrap();
    // `printf %s jane@example.com | openssl dgst -sha256 -hmac 0123456789abcdef`
    assert_eq!(of("jane@example.com"), JANE);
    assert_eq!(of("a jane@example.com b"), format!("a {JANE} b"));
    assert_ne!(of("john@example.com"), JANE);
    let body = r#"{"user":"jane@example.com"}"#;
    assert_eq!(json(&hash, body), Some(format!(r#"{{"user":"{JANE}"}}"#)));
    let (what, hint) =
        refused("[[masks]]\nbuiltin = \"ip\"\nreplacement = \"hash\"\nhash-key-env = \"SHORT\"");
    assert_eq!(what, "the mask `ip` needs a key for its pseudonyms in SHORT");
    assert_eq!(hint, "set it to at least 16 characters");
}

const JANE: &str = "a7a54661c75b";

#[test]
fn rules_that_look_at_where_a_text_begins_see_every_string() {
    let own = masks("[[masks]]\nname = \"zip\"\npattern = '^[0-9]{5}$'");
    assert_eq!(
        json(&own, r#"{"a":"12345","b":"123456"}"#).as_deref(),
        Some(r#"{"a":"[zip]","b":"123456"}"#)
    );
    let word = masks("[[masks]]\nname = \"w\"\npattern = '\\bAcme\\b'");
    assert_eq!(
        json(&word, r#"{"a":"Acme","b":"xAcme"}"#).as_deref(),
        Some(r#"{"a":"[w]","b":"xAcme"}"#)
    );
}

#[test]
fn policies_ask_for_rules_by_name() {
    let base = masks(
        "[[masks]]\nname = \"id\"\npattern = 'cust-[0-9]+'\non-demand = true\n\
         [[masks]]\nbuiltin = \"ip\"",
    );
    let text = "cust-1 j@x.org 10.1.2.3";
    assert_eq!(base.text("x", text).as_deref(), Some("cust-1 j@x.org [ip]"));
    let some = base.only(&["id", "email", "email"]);
    assert_eq!(some.text("x", text).as_deref(), Some("[id] [email] 10.1.2.3"));
    assert_eq!(base.only(&["ip"]).text("x", text).as_deref(), Some("cust-1 j@x.org [ip]"));
    assert_eq!(some.json(br#"{"a":"clean"}"#), Ok(None));
    assert_eq!(some.json(br#"["j@x.org"]"#), Ok(Some(br#"["[email]"]"#.to_vec())));
    assert!(base.knows("id") && base.knows("email") && !base.knows("emial"));
    let counts = base.counts();
    assert_eq!((counts["id"], counts["email"], counts["ip"]), (1, 2, 2));
}

#[test]
fn a_name_that_nobody_knows_hides_everything() {
    let none = Masks::compile(&[]).unwrap();
    assert!(none.is_empty() && none.only::<&str>(&[]).is_empty());
    assert_eq!(none.json(b"j@x.org"), Ok(None));
    let blind = none.only(&["email", "emial"]);
    assert!(!blind.is_empty());
    assert_eq!(blind.text("x", "anything").as_deref(), Some(UNREADABLE));
    assert_eq!(
        json(&blind, r#"{"a":["b",1]}"#).as_deref(),
        Some(r#"{"[masked: unreadable]":["[masked: unreadable]","[masked: unreadable]"]}"#)
    );
    let email = none.only(&["email"]);
    assert_eq!(email.text("x", "j@x.org").as_deref(), Some("[email]"));
}

#[test]
fn mistakes_are_told_with_the_rule_and_what_to_do() {
    for (text, what, hint) in [
        (
            "builtin = \"emial\"",
            "the mask `emial` names an unknown builtin `emial`",
            "did you mean `email`?",
        ),
        (
            "name = \"a\"\npatern = \"x\"",
            "the mask `a` has an unknown key `patern`",
            "did you mean `pattern`?",
        ),
        (
            "name = \"a\"",
            "the mask `a` says nothing to look for",
            "give it `builtin = \"email\"`, a `pattern` or `drop-keys`",
        ),
        (
            "name = \"a\"\npattern = \"x*\"",
            "the mask `a` has a pattern that finds nothing at all everywhere",
            "use `+` in the place of `*`",
        ),
        (
            "pattern = \"(\"",
            "the mask `mask-1` has a bad pattern: unclosed group",
            "it is a regular expression",
        ),
        ("pattern = 7", "the mask `mask-1` has a `pattern` that is no text", "quote it"),
        (
            "builtin = \"ip\"\npattern = \"x\"",
            "the mask `ip` has both `builtin` and `pattern`",
            "make two rules",
        ),
        (
            "builtin = \"ip\"\nkeys = \"x\"",
            "the mask `ip` has a `keys` that is no list of names",
            "write keys = [\"password\", \"*.authorization\"]",
        ),
        (
            "builtin = \"ip\"\n[[masks]]\nname = \"ip\"\npattern = \"x\"",
            "the mask `ip` has the name of another one",
            "give each rule a `name` of its own",
        ),
        (
            "builtin = \"ip\"\nreplacement = \"hash\"\nhash-key-env = \"NONE\"",
            "the mask `ip` needs a key for its pseudonyms in NONE",
            "set it to at least 16 characters",
        ),
    ] {
        let (said, hinted) = refused(&format!("[[masks]]\n{text}"));
        assert_eq!((said.as_str(), hinted.as_str()), (what, hint), "{text}");
    }
}

#[test]
fn texts_of_false_beginnings_cost_no_more_than_their_length() {
    let all = all();
    for unit in [
        "xsk-",
        "sk-",
        "4111 ",
        "4111111111111112 ",
        "DE89",
        "1:",
        "a@b.cc-",
        "+1",
        "\\\"",
        "[",
        "{\"a\":",
        "\"\\\\\"",
    ] {
        let began = std::time::Instant::now();
        let text = unit.repeat(200_000 / unit.len());
        let _ = all.text("x", &text);
        assert!(began.elapsed().as_secs() < 5, "{unit}");
    }
}
