//! Workers KV at a server that is not our work and does not share our mistakes: the local explorer
//! of `wrangler dev`. And wrangler itself beside the program, at our simulator: each reads what the
//! other wrote.
//!
//! Needs node 22.12 or newer, and a folder named by `WINDLASS_WRANGLER_DIR` in which
//! `npm install wrangler@4.164.0 --ignore-scripts --omit=peer` was run.
//!
//! What the explorer lacks or does otherwise than Cloudflare is left alone here: single metadata
//! reads, changes of namespaces, metadata in bulk reads, expirations of single writes. It writes
//! some 200 keys a second, so there are few.

use crate::support::{Ended, Home, Program, Running, wait_until};
use serde_json::{Value, json};

mod door;
mod wrangler;

use wrangler::{Explorer, FIRST, SECOND, Wrangler, account};

/// Names that go wrong where a name is not encoded, is encoded twice, or is taken for something
/// else, in the order of their bytes.
const ODD: &[&str] = &[
    " blank before and behind ",
    "%2F",
    "-dash",
    "...",
    "../up",
    "100%25",
    "<tag>&amp;",
    "a//b",
    "a/b c:%",
    "it's",
    "line\nbreak",
    "per%cent",
    "plus+and&is=what?#there",
    "quote\"back\\slash",
    "semicolon;comma,",
    "tab\there",
    "{\"json\":[]}",
    "ümlaut/日本語/😀",
    "\u{fffd}",
];

/// How many plain keys there are beside the odd ones: two batches of 1,000 at most, two pages.
const PLAIN: usize = 1_020;

/// One record as an export has it.
fn record(key: &str, value: &str, more: &str) -> String {
    format!("{{\"key\":{},\"value\":{}{more}}}\n", json!(key), json!(value))
}

/// Records of every kind in the order of their keys: odd names, odd values, bytes that are no text,
/// metadata and expirations.
fn records() -> String {
    let mut all: Vec<(String, String)> =
        ODD.iter().map(|key| (key.to_string(), record(key, &format!("of {key}"), ""))).collect();
    let metadata = r#","metadata":{"b":[1,null,"ü/"],"a":{"result_info":"x"}}"#;
    let expiring = r#","expiration":4102444800"#;
    for number in 0..PLAIN {
        let key = format!("key-{number:05}");
        let line = match number % 100 {
            0 => record(&key, "", ""),
            1 => record(&key, "/wD+", r#","base64":true"#),
            2 => record(&key, "\u{fffd} is text, too\r\n", metadata),
            3 => record(&key, "kept for long", &format!("{expiring}{metadata}")),
            4 => record(&key, "gIGC", &format!(r#","base64":true{expiring}{metadata}"#)),
            rest if rest % 2 == 0 => record(&key, &format!("value {number} \"ü\""), metadata),
            _ => record(&key, &format!("value {number}"), ""),
        };
        all.push((key, line));
    }
    all.sort();
    all.into_iter().map(|(_, line)| line).collect()
}

fn parsed(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a list says of these records.
fn listed(records: &[Value]) -> Vec<Value> {
    let fields = ["expiration", "metadata"];
    let key = |record: &Value| {
        let mut key = json!({ "name": record["key"] });
        for field in fields.into_iter().filter(|field| record.get(field).is_some()) {
            key[field] = record[field].clone();
        }
        key
    };
    records.iter().map(key).collect()
}

/// Whether a file of this home holds exactly these lines; if not, shows the first that differ.
#[track_caller]
fn assert_holds(home: &Home, file: &str, lines: &str) {
    let held = std::fs::read_to_string(home.work().join(file)).unwrap();
    let differs = |(held, line): &(&str, &str)| held != line;
    let first = held.lines().zip(lines.lines()).find(differs);
    assert_eq!(first.map(|(held, _)| held), first.map(|(_, line)| line));
    assert_eq!((held.len(), held.lines().count()), (lines.len(), lines.lines().count()));
}

/// The same records as one array, which is the form that wrangler takes.
fn array(lines: &str) -> String {
    format!("[{}]", lines.trim_end().replace('\n', ","))
}

#[test]
fn single_keys_come_back_whatever_their_names() {
    let Some(explorer) = Explorer::start() else { return };
    let home = Home::new();
    let run = |words: &[&str]| explorer.windlass(&home, words).run().code(0);
    for key in ODD {
        let (key, value) = (format!("--key={key}"), format!("--value=of {key} ü\n"));
        run(&["kv", "put", "--namespace-id", FIRST, &key, &value]);
    }
    for key in ODD {
        let word = format!("--key={key}");
        let ended = run(&["kv", "get", "--namespace-id", FIRST, &word]);
        assert_eq!(ended.out, format!("of {key} ü\n"));
    }
    let ended = run(&["kv", "list", "--namespace", "FIRST", "--all", "--output", "json"]);
    let names: Vec<Value> = ODD.iter().map(|key| json!({ "name": key })).collect();
    assert_eq!(ended.json(), names);
    let ended = run(&["kv", "list", "--namespace-id", FIRST, "--prefix=a/b c:%", "--json"]);
    let found: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(found, json!([{ "name": "a/b c:%" }]));
    let keys: Vec<String> = ODD.iter().map(|key| format!("--key={key}")).collect();
    let keys = keys.iter().map(String::as_str);
    let words: Vec<&str> =
        ["kv", "delete", "--namespace-id", FIRST, "--yes"].into_iter().chain(keys).collect();
    let ended = run(&words);
    assert!(ended.out.contains("Successfully deleted:  19"), "{}", ended.out);
    assert_eq!(explorer.door.take("POST", "/bulk/delete"), 1);
    let ended = run(&["kv", "list", "--namespace-id", FIRST, "--all"]);
    assert_eq!(ended.out, "");
    let gone = ["kv", "get", "--namespace-id", FIRST, "--key=%2F", "--check-exists"];
    assert_eq!(explorer.windlass(&home, &gone).run().code(3).out, "false\n");
}

#[test]
fn bytes_and_metadata_of_single_keys_come_back() {
    let Some(explorer) = Explorer::start() else { return };
    let home = Home::new();
    let run = |words: &[&str]| explorer.windlass(&home, words).run().code(0);
    let bytes: Vec<u8> = (0..=u8::MAX).chain(*b"\r\n\0").collect();
    home.write("work/bytes", &bytes);
    run(&["kv", "put", "--namespace-id", SECOND, "--key", "bytes", "--file", "bytes"]);
    run(&["kv", "get", "--namespace-id", SECOND, "--key", "bytes", "--file", "again"]);
    assert_eq!(std::fs::read(home.work().join("again")).unwrap(), bytes);
    let metadata = r#"{"a":["ü\"",{"b":null}],"c":1}"#;
    let put = ["kv", "put", "--namespace-id", SECOND, "--key", "a b", "--value", "ü"];
    run(&[&put[..], &["--metadata-json", metadata]].concat());
    let ended = run(&["kv", "list", "--namespace-id", SECOND, "--key", "a b", "--output", "json"]);
    let metadata: Value = serde_json::from_str(metadata).unwrap();
    assert_eq!(ended.json(), [json!({ "name": "a b", "metadata": metadata })]);
    assert_eq!(run(&["kv", "get", "--namespace-id", SECOND, "--key", "a b"]).out, "ü");
    let export = ["kv", "export", "--namespace-id", SECOND, "--prefix", "bytes"];
    let exported = run(&export).json();
    assert_eq!((&exported[0]["key"], &exported[0]["base64"]), (&json!("bytes"), &json!(true)));
}

#[test]
fn everything_goes_in_and_out_in_bulk() {
    let Some(explorer) = Explorer::start() else { return };
    let (home, door) = (Home::new(), &explorer.door);
    let run = |words: &[&str]| explorer.windlass(&home, words).run().code(0);
    let records = records();
    let count = records.lines().count();
    home.write("work/in.jsonl", &records);
    let first = ["--namespace-id", FIRST];
    let batch = ["--batch-size", "1000"];
    run(&[&["kv", "put", "--bulk", "--file", "in.jsonl"], &first[..], &batch].concat());
    assert_eq!(door.take("PUT", "/bulk"), 2);
    let list = ["kv", "list", "--all", "--metadata", "--output", "json"];
    assert_eq!(run(&[&list[..], &first].concat()).json(), listed(&parsed(&records)));
    assert_eq!(door.take("GET", "/keys"), 2);
    run(&[&["kv", "export", "-o", "out.jsonl"], &first[..]].concat());
    assert_holds(&home, "out.jsonl", &records);
    assert_eq!(
        (door.take("GET", "/keys"), door.take("POST", "/bulk/get")),
        (2, count.div_ceil(100))
    );
    get_in_bulk(&explorer, &home, &records);
    run(&[&["kv", "export", "-o", "out.csv"], &first[..]].concat());
    let second = ["--namespace-id", SECOND];
    run(&[&["kv", "import", "out.csv"], &second[..], &batch].concat());
    run(&[&["kv", "export", "-o", "second.jsonl"], &second[..]].concat());
    assert_holds(&home, "second.jsonl", &records);
    verify(&explorer, &home, count);
    door.take("POST", "/bulk/delete");
    run(&[&["kv", "delete", "--all-keys", "--yes"], &first[..], &batch].concat());
    assert_eq!(door.take("POST", "/bulk/delete"), 2);
    assert_eq!(run(&[&["kv", "list", "--all"], &first[..]].concat()).out, "");
    let copy = ["kv", "copy", "--namespace-id", SECOND, "--to", FIRST];
    run(&[&copy[..], &batch].concat());
    run(&[&["kv", "verify", "in.jsonl"], &first[..]].concat());
    run(&[&["kv", "export", "-o", "copied.jsonl"], &first[..]].concat());
    assert_holds(&home, "copied.jsonl", &records);
}

/// Values by name, without metadata since the names are all that is known, and by selection.
fn get_in_bulk(explorer: &Explorer, home: &Home, records: &str) {
    let run = |words: &[&str]| explorer.windlass(home, words).run().code(0);
    home.write("work/names.json", json!(ODD).to_string());
    let get = ["kv", "get", "--bulk", "--namespace-id", FIRST, "--output", "json"];
    let ended = run(&[&get[..], &["--keys", "@names.json"]].concat());
    let values: Vec<Value> =
        ODD.iter().map(|key| json!({ "key": key, "value": format!("of {key}") })).collect();
    assert_eq!(ended.json(), values);
    let ended = run(&[&get[..], &["--prefix", "key-003"]].concat());
    let of_prefix = |line: &&str| line.starts_with("{\"key\":\"key-003");
    let lines: Vec<&str> = records.lines().filter(of_prefix).collect();
    assert_eq!((lines.len(), ended.out.lines().collect::<Vec<_>>()), (100, lines));
}

/// The second namespace equals the export, until a key of it is deleted and one changed.
fn verify(explorer: &Explorer, home: &Home, count: usize) {
    let verify = ["kv", "verify", "in.jsonl", "--namespace-id", SECOND];
    let ended = explorer.windlass(home, &verify).run().code(0);
    let words = format!("{count} keys are the same, 0 are not");
    assert!(ended.err.contains(&words), "{}", ended.err);
    assert_eq!(ended.out, "");
    let change = |words: &[&str]| explorer.windlass(home, words).run().code(0);
    change(&["kv", "delete", "--namespace-id", SECOND, "--key=%2F", "--yes"]);
    change(&["kv", "put", "--namespace-id", SECOND, "--key=it's", "--value", "other"]);
    let ended = explorer.windlass(home, &verify).run().code(3);
    assert_eq!(ended.out, "%2F\tis missing\nit's\thas another value\n");
    change(&["kv", "put", "--namespace-id", SECOND, "--key=%2F", "--value", "of %2F"]);
    change(&["kv", "put", "--namespace-id", SECOND, "--key=it's", "--value", "of it's"]);
}

/// Our simulator as a process, with two namespaces.
struct Simulated {
    _running: Running,
    url: String,
    ids: [String; 2],
}

impl Simulated {
    fn start(home: &Home, flags: &[&str]) -> Self {
        let words = ["sim", "cloudflare", "--port", "0", "--no-limits", "--namespaces", "2"];
        let running = home.windlass(&[&words[..], flags].concat()).spawn();
        wait_until("the simulator", || running.out().contains('\n'));
        let url = running.out().lines().next().unwrap().to_owned();
        let list = ["kv", "namespaces", "list", "--output", "json"];
        let listed = account(home.windlass(&list), &url).run().code(0).json();
        let id = |index: usize| listed[index]["id"].as_str().unwrap().to_owned();
        Self { _running: running, ids: [id(0), id(1)], url }
    }

    fn at(&self, program: Program) -> Ended {
        account(program, &self.url).run().code(0)
    }
}

#[test]
fn wrangler_puts_what_was_exported() {
    let Some(wrangler) = Wrangler::find() else { return };
    let home = Home::new();
    let flags = ["--keys", "1200", "--odd-keys", "--binary-every", "7", "--expiring-every", "5"];
    let sim = Simulated::start(&home, &[&flags[..], &["--metadata-every", "3"]].concat());
    let [from, to] = [&sim.ids[0], &sim.ids[1]];
    let export = |id: &str, file: &str| {
        sim.at(home.windlass(&["kv", "export", "--namespace-id", id, "-o", file]));
    };
    export(from, "exported.jsonl");
    let exported = std::fs::read_to_string(home.work().join("exported.jsonl")).unwrap();
    assert_eq!(exported.lines().count(), 1_200);
    home.write("work/put.json", array(&exported));
    let put = ["kv", "bulk", "put", "put.json", "--namespace-id", to, "--remote"];
    sim.at(wrangler.program(&home, &put));
    export(to, "again.jsonl");
    assert_holds(&home, "again.jsonl", &exported);
}

#[test]
fn wrangler_reads_what_was_imported_and_its_list_is_deleted() {
    let Some(wrangler) = Wrangler::find() else { return };
    let home = Home::new();
    let sim = Simulated::start(&home, &["--keys", "0"]);
    let id = &sim.ids[0];
    let records = records();
    home.write("work/in.json", array(&records));
    sim.at(home.windlass(&["kv", "import", "in.json", "--namespace-id", id]));
    let remote = ["--namespace-id", id, "--remote"];
    let list = sim.at(wrangler.program(&home, &[&["kv", "key", "list"], &remote[..]].concat()));
    let found: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(found, Value::from(listed(&parsed(&records))));
    for key in ["a/b c:%", "ümlaut/日本語/😀"] {
        let get = ["kv", "key", "get", key, "--text"];
        let ended = sim.at(wrangler.program(&home, &[&get[..], &remote].concat()));
        assert_eq!(ended.out.trim_end(), format!("of {key}"));
    }
    home.write("work/names.json", json!(ODD).to_string());
    let get = ["kv", "bulk", "get", "names.json"];
    let ended = sim.at(wrangler.program(&home, &[&get[..], &remote].concat()));
    for key in ODD {
        let value = json!(format!("of {key}")).to_string();
        assert!(ended.out.contains(&value), "{value} is not in {}", ended.out);
    }
    home.write("work/list.json", &list.out);
    let delete = ["kv", "delete", "--namespace-id", id, "--keys-file", "list.json", "--yes"];
    let ended = sim.at(home.windlass(&delete));
    assert!(ended.out.contains("Successfully deleted:  1,039"), "{}", ended.out);
    assert_eq!(sim.at(home.windlass(&["kv", "list", "--all", "--namespace-id", id])).out, "");
}
