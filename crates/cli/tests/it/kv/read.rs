//! Lists, values, exports and comparisons: what standard output holds and what it never holds.

use super::{Cloud, EMPTY, FULL};
use crate::support::Home;
use expect_test::expect;
use serde_json::{Value, json};
use std::process::Stdio;

fn namespace(words: &[&'static str]) -> Vec<&'static str> {
    [&words[..2], &["--namespace", FULL], &words[2..]].concat()
}

#[test]
fn a_page_is_text_an_array_or_lines() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "1300"]));
    let names = cloud.sim.keys(&cloud.ids().0);
    let page = cloud.at(&home, &namespace(&["kv", "list", "--limit", "12"])).run().code(0);
    assert_eq!(page.out.lines().collect::<Vec<_>>(), names[..12]);
    assert!(page.err.starts_with("note: there is more: --all lists everything, --cursor "));
    let cursor = page.err.split_whitespace().skip_while(|word| *word != "--cursor").nth(1).unwrap();
    let next = namespace(&["kv", "list", "--limit", "12"]);
    let next = cloud.at(&home, &[&next[..], &["--cursor", cursor]].concat()).run().code(0);
    assert_eq!(next.out.lines().collect::<Vec<_>>(), names[12..24]);

    let array = cloud.at(&home, &namespace(&["kv", "list", "--json", "--all"])).run().code(0);
    let array: Value = serde_json::from_str(&array.out).unwrap();
    assert_eq!(array.as_array().unwrap().len(), 1300);
    assert_eq!(array[1299]["name"], json!(names[1299]));
    let lines = namespace(&["kv", "list", "--output", "json", "--all"]);
    let lines = cloud.at(&home, &lines).run().code(0).json();
    assert_eq!(lines.len(), 1300);
    assert_eq!(lines[7], array[7]);

    let all = cloud.at(&home, &namespace(&["kv", "list", "--all"])).run().code(0);
    assert_eq!(all.out.lines().collect::<Vec<_>>(), names);
    assert!(!all.err.contains("--cursor"), "{}", all.err);
}

#[test]
fn a_list_ends_quietly_with_its_reader() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "30000"]));
    let words = namespace(&["kv", "list", "--all", "--metadata"]);
    let mut command = cloud.at(&home, &words).command();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(!said.contains("error"), "{said}");
    assert!(cloud.sim.counts().list < 30, "it goes on although nobody reads");
}

#[test]
fn keys_are_chosen_by_what_the_list_says() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "400"]));
    let names = cloud.sim.keys(&cloud.ids().0);
    let count = |words: &[&'static str]| {
        let ended = cloud.at(&home, &namespace(&[&["kv", "list"], words].concat())).run().code(0);
        ended.out.lines().count()
    };
    let begin = |letter: char| names.iter().filter(|name| name.starts_with(letter)).count();
    assert!(begin('a') > 10);
    assert_eq!(count(&["--prefix", "a"]), begin('a'));
    assert_eq!(count(&["--pattern", "^[ab]"]), begin('a') + begin('b'));
    assert_eq!(count(&["--tag-field", "type", "--tag-value", "image"]), 100);
    assert_eq!(count(&["--where", "name.startsWith('a')"]), begin('a'));
    assert_eq!(count(&["--pattern", "nothing"]), 0);
    assert_eq!(cloud.sim.counts().metadata, 0);
    // Shards are exactly what they declare, in parallel.
    let shards = namespace(&["kv", "list", "--shards", "hex"]);
    let mut sharded = cloud.at(&home, &shards).run().code(0).out;
    let mut lines: Vec<&str> = sharded.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, names);
    sharded = cloud.at(&home, &namespace(&["kv", "list", "--shards", "a,b"])).run().code(0).out;
    assert_eq!(sharded.lines().count(), begin('a') + begin('b'));
}

#[test]
fn a_value_is_its_bytes_and_an_exit_code() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "20"]));
    let (full, _) = cloud.ids();
    let put = namespace(&["kv", "put", "--key", "a/b c:%", "--value", "world", "--metadata-json"]);
    let put = [&put[..], &["{\"x\":1}", "--expiration-ttl", "600"]].concat();
    let put = cloud.at(&home, &put).run().code(0);
    assert!(put.out.is_empty(), "{}", put.out);
    let (value, metadata, expiration) = cloud.sim.value(&full, "a/b c:%").unwrap();
    assert_eq!((&*value, metadata.as_deref()), (&b"world"[..], Some("{\"x\":1}")));
    assert!(expiration.is_some());
    let get = |words: &[&'static str], code| {
        let words = namespace(&[&["kv", "get"], words].concat());
        cloud.at(&home, &words).run().code(code).out
    };
    assert_eq!(get(&["--key", "a/b c:%"], 0), "world");
    assert_eq!(get(&["--key", "a/b c:%", "--metadata"], 0), "{\"x\":1}\n");
    assert_eq!(get(&["--key", "a/b c:%", "--check-exists"], 0), "true\n");
    assert_eq!(get(&["--key", "none", "--check-exists"], 3), "false\n");
    assert_eq!(get(&["--key", "a/b c:%", "--file", "value.bin"], 0), "");
    assert_eq!(std::fs::read(home.work().join("value.bin")).unwrap(), b"world");
    let empty = home.write("work/empty.bin", "");
    let file = ["--key", "bytes", "--file", empty.to_str().unwrap()];
    for content in [&b""[..], &[0, 255, 10, 13], "ünï".as_bytes()] {
        std::fs::write(&empty, content).unwrap();
        let words = [&["kv", "put", "--namespace", FULL], &file[..]].concat();
        cloud.at(&home, &words).run().code(0);
        assert_eq!(cloud.sim.value(&full, "bytes").unwrap().0, content);
        let got = namespace(&["kv", "get", "--key", "bytes"]);
        let got = cloud.at(&home, &got).command().output().unwrap();
        assert_eq!(got.stdout, content);
        // One write a second to a key is what the remote takes.
        cloud.sim.delete_by_someone_else(&full, "bytes");
    }
}

#[test]
fn many_values_come_with_their_names() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "250", "--binary-every", "40"]));
    let (full, _) = cloud.ids();
    cloud.sim.put(&full, "one", b"1", Some("{\"x\":1}"), None);
    cloud.sim.put(&full, "two", b"2", None, None);
    let named = namespace(&["kv", "get", "--bulk", "--keys", "one,two,three"]);
    let ended = cloud.at(&home, &named).run().code(3);
    assert_eq!(ended.out, "one\t1\ntwo\t2\n");
    assert!(ended.err.contains("note: 1 of the keys are not there"), "{}", ended.err);
    let array = namespace(&["kv", "get", "--bulk", "--keys", "one,two", "--json"]);
    let array: Value = serde_json::from_str(&cloud.at(&home, &array).run().code(0).out).unwrap();
    let expected = json!([{"key":"one","value":"1","metadata":{"x":1}},{"key":"two","value":"2"}]);
    assert_eq!(array, expected);
    let before = cloud.sim.counts();
    let all = namespace(&["kv", "get", "--bulk", "--prefix", "", "--output", "json"]);
    let lines = cloud.at(&home, &all).run().code(0).json();
    assert_eq!(lines.len(), 252);
    let binary = lines.iter().filter(|line| line["base64"] == json!(true)).count();
    assert_eq!(binary, 7);
    let counts = cloud.sim.counts();
    assert_eq!((counts.bulk_get - before.bulk_get, counts.get - before.get), (3, 7));
}

#[test]
fn an_export_is_the_same_in_a_file_and_on_standard_output() {
    let flags = ["--keys", "250", "--odd-keys", "--binary-every", "40", "--expiring-every", "50"];
    let (home, cloud) = (Home::new(), Cloud::start(&flags));
    let file = cloud.at(&home, &namespace(&["kv", "export", "-o", "a.jsonl"])).run().code(0);
    assert!(file.err.contains("a.jsonl is whole: "), "{}", file.err);
    let written = std::fs::read_to_string(home.work().join("a.jsonl")).unwrap();
    let stream = cloud.at(&home, &namespace(&["kv", "export"])).run().code(0);
    assert_eq!(stream.out, written);
    assert!(stream.err.contains("EXPORT SUMMARY"), "{}", stream.err);
    // For machines, too: the events of the run go elsewhere.
    let json = cloud.at(&home, &namespace(&["kv", "export", "--output", "json"])).run().code(0);
    assert_eq!(json.out, written);
    let names: Vec<Value> = stream.json().into_iter().map(|line| line["key"].clone()).collect();
    assert_eq!(names, cloud.sim.keys(&cloud.ids().0));
    cloud.at(&home, &namespace(&["kv", "export", "-o", "a.csv"])).run().code(0);
    let csv = std::fs::read_to_string(home.work().join("a.csv")).unwrap();
    assert_eq!(csv.lines().next().unwrap().split(',').next(), Some("key"));
    let mut files: Vec<_> = std::fs::read_dir(home.work()).unwrap().collect();
    assert_eq!(files.drain(..).count(), 2, "nothing but the two exports is left");
}

#[test]
fn a_comparison_names_every_difference() {
    let flags = ["--keys", "220", "--odd-keys", "--expiring-every", "50"];
    let (home, cloud) = (Home::new(), Cloud::start(&flags));
    let (full, empty) = cloud.ids();
    cloud.at(&home, &namespace(&["kv", "export", "-o", "a.jsonl"])).run().code(0);
    let same = cloud.at(&home, &namespace(&["kv", "verify", "a.jsonl"])).run().code(0);
    assert_eq!((&*same.out, &*same.err), ("", "note: 220 keys are the same, 0 are not\n"));
    cloud.at(&home, &["kv", "import", "a.jsonl", "--namespace", EMPTY]).run().code(0);
    assert_eq!(cloud.sim.digest(&full), cloud.sim.digest(&empty));
    let names = cloud.sim.keys(&full);
    assert!(cloud.sim.delete_by_someone_else(&empty, &names[4]));
    let (value, metadata, _) = cloud.sim.value(&empty, &names[9]).unwrap();
    cloud.sim.put(&empty, &names[9], b"changed", metadata.as_deref(), None);
    cloud.sim.put(&empty, &names[13], &value, Some("{\"other\":1}"), None);
    cloud.sim.put(&empty, "zz", b"new", None, None);
    let other = ["kv", "verify", "a.jsonl", "--namespace", EMPTY];
    let differs = cloud.at(&home, &other).run().code(3);
    let mut lines: Vec<&str> = differs.out.lines().collect();
    lines.sort_unstable();
    let mut expected = vec![
        format!("{}\tis missing", names[4]),
        format!("{}\thas another value", names[9]),
        format!("{}\thas other metadata", names[13]),
        "zz\tis only there".to_owned(),
    ];
    expected.sort_unstable();
    assert_eq!(lines, expected);
    assert_eq!(differs.err, "note: 217 keys are the same, 4 are not\n");
}

#[test]
fn names_of_the_account() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0", "--zones", "2"]));
    let (full, empty) = cloud.ids();
    let list = cloud.at(&home, &["kv", "namespaces", "list"]).run().code(0);
    assert_eq!(list.out, format!("{full}\t{FULL}\n{empty}\t{EMPTY}\n"));
    assert_eq!(cloud.at(&home, &["kv", "list"]).run().code(0).out, list.out);
    let created = ["kv", "namespaces", "create", "--title", "fresh"];
    let created = cloud.at(&home, &created).run().code(0).out;
    let id = cloud.sim.namespace_ids()[2].clone();
    assert_eq!(created, format!("{id}\tfresh\n"));
    let rename = ["kv", "namespaces", "rename", "--namespace", "fresh", "--title", "stale"];
    assert_eq!(cloud.at(&home, &rename).run().code(0).out, format!("{id}\tstale\n"));
    let lines = cloud.at(&home, &["kv", "namespaces", "list", "--output", "json"]).run().code(0);
    assert_eq!(lines.json()[2]["title"], json!("stale"));
    let again = ["kv", "namespaces", "create", "--title", "stale"];
    let again = cloud.at(&home, &again).run().code(2);
    expect![[r#"
        error: a namespace with this account ID and title already exists (status 400, \
        10014) [request REQUEST]

        hint: choose another title; `windlass kv namespaces` shows those there are
    "#]]
    .assert_eq(&again.error());
    let zones = cloud.at(&home, &["zones", "list"]).run().code(0).out;
    let expected: String =
        cloud.sim.zones().iter().map(|(id, name)| format!("{id}\t{name}\n")).collect();
    assert_eq!(zones, expected);
    let (id, name) = cloud.sim.zones()[1].clone();
    let zone = cloud.at(&home, &["zones", "get", &name]).run().code(0).out;
    assert_eq!(zone, format!("{id}\t{name}\tactive\n"));
}
