//! What users and machines do wrong: files that make no sense, places that can't be used, keys that
//! are refused, disks without room. Each is said in words, and none costs an acknowledged event.

use super::gateway::{Config, Gateway, Simulators};
use super::http::{self, Connection, basic};
use super::load::{Books, messages};
use super::postgres::Postgres;
use crate::resume::SmallDisk;
use crate::support::{Ended, Home, is_installed, redacted, skipped, wait_until};
use expect_test::expect;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A gateway that can't start, with what it says behind `error: `.
#[track_caller]
fn refused(home: &Home, listen: &str) -> String {
    let ended = Gateway::command(home, listen).run().code(2);
    assert_eq!(ended.out, "");
    said(&ended)
}

fn said(ended: &Ended) -> String {
    for secret in [super::gateway::SECRET_KEY, super::gateway::WRITE_KEY] {
        assert!(!ended.err.contains(secret), "{}", ended.err);
    }
    ended.error()
}

/// What is said about each of these files.
fn transcript(files: &[(&str, Config)]) -> String {
    let mut all = String::new();
    for (title, config) in files {
        let home = Home::new();
        home.write("gateway.toml", config.text());
        all.push_str(&format!("# {title}\n{}\n", refused(&home, "127.0.0.1:0")));
    }
    all
}

/// A file with one destination.
fn with(kind: &str, more: &str) -> Config {
    Config::new().destination("one", kind, more)
}

#[test]
fn files_that_can_not_be_read() {
    let files = [
        ("no TOML", Config::new().top("listen = ]")),
        ("an unknown key", Config::new().top("drian = \"5s\"")),
        ("no time", Config::new().replaced("\"10s\"", "\"soon\"")),
        ("no size", Config::new().table("[queue]\nbytes = \"much\"")),
        ("no such kind", with("kafka", "")),
    ];
    expect![[r##"
        # no TOML
        error: HOME/gateway.toml: TOML parse error at line 1, column 10
          |
        1 | listen = ]
          |          ^
        missing array opening, expected `[`

        hint: docs/guide/observe.md has a whole file

        # an unknown key
        error: HOME/gateway.toml: TOML parse error at line 1, column 1
          |
        1 | drian = "5s"
          | ^^^^^
        unknown field `drian`, expected one of `listen`, `folder`, `durability`, `drain`, \
        `strict`, `threads`, `queue`, `projects`, `destinations`, `masks`, `policies`, \
        `sampling`, `prices`, `flags`, `tracing-flag`

        hint: docs/guide/observe.md has a whole file

        # no time
        error: HOME/gateway.toml: TOML parse error at line 1, column 9
          |
        1 | drain = "soon"
          |         ^^^^^^
        `soon` is not a duration like 5s: failed to parse input in the "friendly" duration \
        format: expected duration to start with a unit value (a decimal integer) after an \
        optional sign, but no integer was found

        hint: docs/guide/observe.md has a whole file

        # no size
        error: HOME/gateway.toml: TOML parse error at line 11, column 9
           |
        11 | bytes = "much"
           |         ^^^^^^
        `much` is no size; try 512MiB, 4GiB or 100MB

        hint: docs/guide/observe.md has a whole file

        # no such kind
        error: HOME/gateway.toml: TOML parse error at line 12, column 8
           |
        12 | kind = "kafka"
           |        ^^^^^^^
        unknown variant `kafka`, expected one of `langfuse`, `rudderstack`, `otlp`, `sql`, \
        `jsonl`, `blackhole`

        hint: docs/guide/observe.md has a whole file

    "##]]
    .assert_eq(&transcript(&files));
}

#[test]
fn files_that_make_no_sense() {
    let files = [
        ("no url", with("otlp", "")),
        ("no key", with("rudderstack", "url = \"http://127.0.0.1:9\"")),
        ("half a pair", with("langfuse", "url = \"http://127.0.0.1:9\"\npublic-key = \"pk\"")),
        ("a bad name", Config::new().destination("a b", "blackhole", "")),
        ("two of a name", with("blackhole", "").destination("one", "blackhole", "")),
        ("no URL", with("otlp", "url = \"localhost\"")),
        ("no CEL", with("blackhole", "where = \"name ==\"")),
        ("no quota", with("blackhole", "quota = \"fast\"")),
        ("no share", Config::new().table("[sampling]\nrate = 2.0")),
        ("no amount", Config::new().table("[sampling]\nkeep-above-usd = \"lots\"")),
        ("no policies", Config::new().top("policies = \"missing.toml\"")),
        ("no flags", Config::new().top("flags = \"missing.json\"")),
        ("no path", with("jsonl", "")),
    ];
    expect![[r##"
        # no url
        error: HOME/gateway.toml: the destination one has no url

        hint: url = "https://..."

        # no key
        error: HOME/gateway.toml: the destination one lacks a key

        hint: secret-key = { env = "RUDDERSTACK_WRITE_KEY" }

        # half a pair
        error: HOME/gateway.toml: the destination one lacks a key

        hint: public-key = "pk-lf-..." and secret-key = { env = "LANGFUSE_SECRET_KEY" }

        # a bad name
        error: HOME/gateway.toml: `a b` can't be a destination's name

        hint: letters, digits, - and _

        # two of a name
        error: HOME/gateway.toml: there are two destinations of the name one

        hint: every one needs a name of its own

        # no URL
        error: the url of the destination one: the URL has no scheme

        hint: write it as https://host

        # no CEL
        error: the expression `name ==` is not valid: ERROR: <input>:1:8: Syntax error: \
        mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', \
        'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER} | name == | \
        .......^

        hint: an expression is CEL over the object's fields, such as \
        `name.startsWith("Test")` or `has(object.metadata.keep)`, and answers true or false

        # no quota
        error: the quota of one: `fast` is not a quota: there is no slash in it

        hint: write it as 1000/60s

        # no share
        error: HOME/gateway.toml: sampling.rate is 2

        hint: it is a share from 0 to 1

        # no amount
        error: sampling.keep-above-usd is `lots`

        hint: an amount of US dollars such as "0.25"

        # no policies
        error: can't read HOME/missing.toml: No such file or directory (os error 2)

        hint: paths in the gateway's file are relative to it

        # no flags
        error: can't read HOME/missing.json: No such file or directory (os error 2)

        hint: paths in the gateway's file are relative to it

        # no path
        error: HOME/gateway.toml: the destination one has no path

        hint: path = "events.jsonl"

    "##]]
    .assert_eq(&transcript(&files));
}

#[test]
fn a_file_that_is_not_there() {
    let home = Home::new();
    expect![[r#"
        error: can't read HOME/gateway.toml: No such file or directory (os error 2)

        hint: name the gateway's file: --config gateway.toml
    "#]]
    .assert_eq(&refused(&home, "127.0.0.1:0"));
}

#[test]
fn secrets_that_are_not_there() {
    let key = "secret-key = { env = \"TESTS_SECRET_KEY\" }";
    let home = Home::new();
    home.write("empty", "\n");
    let files = [
        ("no variable", Config::new().replaced("TESTS_SECRET_KEY", "NO_SUCH_KEY")),
        ("no file", Config::new().replaced(key, "secret-key = { file = \"/missing/key\" }")),
        ("a folder", Config::new().replaced(key, "secret-key = { file = \"/\" }")),
        (
            "a destination's",
            with("rudderstack", "url = \"http://127.0.0.1:9\"\nsecret-key = { env = \"NONE\" }"),
        ),
    ];
    expect![[r##"
        # no variable
        error: there is no secret in the variable NO_SUCH_KEY

        hint: set it, or name another place: { env = "NAME" } or { file = "PATH" }

        # no file
        error: can't read the secret in /missing/key: No such file or directory (os error 2)

        hint: the file holds the secret and nothing else

        # a folder
        error: can't read the secret in /: Is a directory (os error 21)

        hint: the file holds the secret and nothing else

        # a destination's
        error: there is no secret in the variable NONE

        hint: set it, or name another place: { env = "NAME" } or { file = "PATH" }

    "##]]
    .assert_eq(&transcript(&files));
}

#[test]
fn databases_that_can_not_be_used() {
    let nobody = "url = \"postgres://u:hidden-password@127.0.0.1:1/db\"";
    let files = [
        ("no scheme", with("sql", "url = \"mysql://localhost/db\"")),
        ("nobody there", with("sql", nobody)),
        ("no folder", with("sql", "url = \"sqlite:/missing/folder/rows.db\"")),
    ];
    let said = transcript(&files);
    assert!(!said.contains("hidden-password"), "{said}");
    expect![[r#"
        # no scheme
        error: the url of a database is neither postgres://... nor sqlite:PATH

        hint: without a url, rows go to a SQLite file in the gateway's folder

        # nobody there
        error: can't open the database: error communicating with database: Connection \
        refused (os error 111)

        hint: check DATABASE_URL, and that the database runs and lets you in

        # no folder
        error: can't open the database: error returned from database: (code: 14) unable to \
        open database file

        hint: check DATABASE_URL, and that the database runs and lets you in

    "#]]
    .assert_eq(&said);
}

#[test]
fn a_database_that_postgresql_does_not_have() {
    let Some(postgres) = Postgres::start() else { return };
    let config = with("sql", &format!("url = \"{}\"", postgres.url_of("nowhere")));
    let said = transcript(&[("no database", config)]);
    expect![[r##"
        # no database
        error: can't open the database: error returned from database: database "nowhere" \
        does not exist

        hint: check DATABASE_URL, and that the database runs and lets you in

    "##]]
    .assert_eq(&said);
}

#[test]
fn a_port_that_is_taken() {
    let home = Home::new();
    home.write("gateway.toml", with("blackhole", "").text());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    expect![[r#"
        error: can't listen on 127.0.0.1:PORT: Address already in use (os error 98)

        hint: another address may be free: --listen 127.0.0.1:PORT takes any
    "#]]
    .assert_eq(&refused(&home, &address));
}

#[test]
fn a_folder_that_another_gateway_has() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &with("blackhole", ""));
    expect![[r#"
        error: the queue: another process uses the queue's folder

        hint: stop the other process, or give this one a folder of its own
    "#]]
    .assert_eq(&refused(&home, "127.0.0.1:0"));
    assert_eq!(gateway.send_messages(&some_messages(0)).status, 200, "the first one goes on");
}

/// Fifty messages as JSON.
fn some_messages(first: u64) -> Vec<serde_json::Value> {
    let (_, body) = messages(0, first);
    let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["batch"].take().as_array().unwrap().clone()
}

fn ids_at_rudder(simulators: &Simulators) -> BTreeSet<String> {
    let events = simulators.events("rudder");
    assert!(events.iter().all(|event| event["times"] == 1), "{events:?}");
    events.iter().map(|event| event["messageId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_destination_that_refuses_its_key_loses_nothing() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    let config = Config::new().simulators(&simulators).databases(None);
    home.write("gateway.toml", config.text());
    let wrong = Gateway::command(&home, "127.0.0.1:0").env("RUDDER_KEY", "not-the-key").spawn();
    let mut gateway = Gateway::of(&home, wrong);
    assert_eq!(gateway.send_messages(&some_messages(0)).status, 200);
    wait_until("the refusal", || gateway.destination("rudderstack")["is_misconfigured"] == true);
    wait_until("the rows", || gateway.destination("sqlite")["delivered"] == 50);
    assert_eq!(gateway.send_messages(&some_messages(50)).status, 200, "doors stay open");
    wait_until("the rows", || gateway.destination("sqlite")["delivered"] == 100);
    let refusing = gateway.destination("rudderstack");
    assert_eq!((&refusing["pending"], &refusing["rejected"]), (&100.into(), &0.into()));
    let error = refusing["last_error"].as_str().unwrap();
    assert!(error.contains("401"), "{error}");
    assert!(!error.contains("not-the-key"), "{error}");
    assert_eq!(gateway.status()["dead_letters"], 0);
    // A stop does not wait for it, and the right key delivers everything.
    gateway.running.signal("TERM");
    wait_until("the end", || !gateway.running.is_running());
    gateway.again();
    gateway.wait_until_delivered(Duration::from_secs(30));
    let (first, _) = messages(0, 0);
    let (second, _) = messages(0, 50);
    assert_eq!(ids_at_rudder(&simulators), first.into_iter().chain(second).collect());
    assert_eq!(gateway.destination("rudderstack")["is_misconfigured"], false);
}

#[test]
fn a_second_sigterm_ends_it_at_once_and_loses_nothing() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    simulators.outage("rudder", "hang");
    let config = Config::new().simulators(&simulators);
    let config = config.replaced("drain = \"10s\"", "drain = \"60s\"");
    let mut gateway = Gateway::start(&home, &config);
    assert_eq!(gateway.send_messages(&some_messages(0)).status, 200);
    wait_until("the request", || simulators.counts()["rudder"]["in_flight"].as_u64().unwrap() > 0);
    gateway.running.signal("TERM");
    gateway.running.wait_for("stopping");
    std::thread::sleep(Duration::from_millis(300));
    assert!(gateway.running.is_running(), "it waits for what is on the wire");
    let start = Instant::now();
    gateway.running.signal("TERM");
    wait_until("the end", || !gateway.running.is_running());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let words = gateway.running.err();
    assert!(words.contains("50 events wait for rudderstack"), "{words}");
    simulators.all_well();
    gateway.again();
    gateway.wait_until_delivered(Duration::from_secs(30));
    assert_eq!(ids_at_rudder(&simulators).len(), 50);
}

/// Sends batches until one is not taken, and returns the ids of the others with its answer.
fn fill(gateway: &Gateway<'_>, first: u64, most: u64) -> (Books, Option<http::Answer>) {
    let mut books = Books::default();
    for number in 0..most {
        let (ids, body) = messages(0, first + number * 50);
        let key = basic(super::gateway::WRITE_KEY, "");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let mut connection = Connection::to(&gateway.url).unwrap();
        let answer = connection.send("POST", "/v1/batch", &headers, body.as_bytes()).unwrap();
        if answer.status != 200 {
            return (books, Some(answer));
        }
        books.messages.extend(ids);
    }
    (books, None)
}

/// A refusal with this status, and a wait of at most a few seconds.
#[track_caller]
fn comes_again_soon(answer: &http::Answer, status: u16) {
    assert_eq!(answer.status, status, "{} {}", answer.head, answer.text());
    let wait = answer.head.to_lowercase().lines().find_map(|line| {
        line.strip_prefix("retry-after:").and_then(|wait| wait.trim().parse::<u64>().ok())
    });
    assert!(wait.is_some_and(|wait| (1..=5).contains(&wait)), "{}", answer.head);
}

/// A disk that fails is told each client in a way that makes it come again: those of RudderStack
/// do so after its own 500, those of OTLP after 503 and never after 500.
fn tells_that_the_disk_fails(gateway: &Gateway<'_>, answer: &http::Answer) {
    comes_again_soon(answer, 500);
    let (_, body) = super::load::spans(0, 0);
    let key = format!("Bearer {}", super::gateway::SECRET_KEY);
    let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
    let mut connection = Connection::to(&gateway.url).unwrap();
    let answer = connection.send("POST", "/v1/traces", &headers, body.as_bytes()).unwrap();
    comes_again_soon(&answer, 503);
}

#[test]
fn a_queue_at_its_bound_refuses_and_takes_in_again() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    simulators.outage("rudder", "down");
    let config = Config::new().simulators(&simulators).table("[queue]\nbytes = \"1MiB\"");
    let gateway = Gateway::start(&home, &config);
    let (books, answer) = fill(&gateway, 0, 1_000);
    comes_again_soon(&answer.expect("a megabyte is full some time"), 503);
    assert!(books.messages.len() > 1_000, "{}", books.messages.len());
    let ready = http::get(&gateway.url, "/ready").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().contains("full"), "{}", ready.text());
    simulators.all_well();
    gateway.wait_until_delivered(Duration::from_secs(40));
    let (more, answer) = fill(&gateway, 1_000_000, 5);
    assert!(answer.is_none(), "{answer:?}");
    gateway.wait_until_delivered(Duration::from_secs(40));
    let all: BTreeSet<String> = books.messages.into_iter().chain(more.messages).collect();
    assert_eq!(ids_at_rudder(&simulators), all);
}

#[test]
fn a_queue_that_sheds_its_oldest_counts_them() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    simulators.outage("rudder", "down");
    let queue = "[queue]\nbytes = \"1MiB\"\nwhen-full = \"drop-oldest\"";
    let gateway = Gateway::start(&home, &Config::new().simulators(&simulators).table(queue));
    // More than a forwarder reads ahead (10,000) and the queue holds (some 4,000).
    let (books, answer) = fill(&gateway, 0, 400);
    assert!(answer.is_none(), "{answer:?}");
    simulators.all_well();
    gateway.wait_until_delivered(Duration::from_secs(40));
    let one = gateway.destination("rudderstack");
    let count = |name: &str| one[name].as_u64().unwrap();
    assert!(count("shed") > 0, "{one}");
    assert_eq!(count("routed"), books.messages.len() as u64);
    assert_eq!(count("delivered") + count("shed"), count("routed"), "{one}");
    let arrived = ids_at_rudder(&simulators);
    let newest = &books.messages[books.messages.len() - 50..];
    assert!(newest.iter().all(|id| arrived.contains(id)), "the newest are kept");
    assert_eq!(count("delivered"), arrived.len() as u64, "what arrived was not shed: {one}");
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let home = Home::new();
    let folder = Gateway::folder(&home);
    std::fs::create_dir_all(&folder).unwrap();
    let Some(disk) = SmallDisk::mount(&folder) else {
        return skipped("a full disk below the gateway: this process may not mount one");
    };
    let simulators = Simulators::start(&home, &[]);
    simulators.outage("rudder", "down");
    let gateway = Gateway::start(&home, &Config::new().simulators(&simulators));
    let (before, answer) = fill(&gateway, 0, 4);
    assert!(answer.is_none(), "{answer:?}");
    disk.fill_but(200_000);
    let (during, answer) = fill(&gateway, 10_000, 1_000);
    tells_that_the_disk_fails(&gateway, &answer.expect("the disk is full"));
    wait_until("the count", || gateway.status()["queue"]["disk_failures"] != 0);
    disk.free();
    let mut after = Books::default();
    wait_until("room", || {
        let (books, answer) = fill(&gateway, 20_000, 1);
        after = books;
        answer.is_none()
    });
    simulators.all_well();
    gateway.wait_until_delivered(Duration::from_secs(40));
    let wanted = [before, during, after].map(|books| books.messages).concat();
    let arrived = ids_at_rudder(&simulators);
    let missing: Vec<&String> = wanted.iter().filter(|id| !arrived.contains(*id)).collect();
    assert!(missing.is_empty(), "{} lost: {missing:?}", missing.len());
    drop(gateway);
}

#[test]
fn a_file_at_its_limit_refuses_and_loses_nothing() {
    if !is_installed("bash") {
        return skipped("a limited file below the gateway: bash is missing");
    }
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    simulators.outage("rudder", "down");
    home.write("gateway.toml", Config::new().simulators(&simulators).text());
    let limited = Gateway::below_shell(&home, "127.0.0.1:0", "trap '' XFSZ; ulimit -f 200");
    let mut gateway = Gateway::of(&home, limited.spawn());
    let (books, answer) = fill(&gateway, 0, 1_000);
    tells_that_the_disk_fails(&gateway, &answer.expect("the limit is reached some time"));
    assert!(books.messages.len() > 200, "{}", books.messages.len());
    simulators.all_well();
    gateway.kill9();
    gateway.again();
    gateway.wait_until_delivered(Duration::from_secs(40));
    let arrived = ids_at_rudder(&simulators);
    let missing: Vec<&String> = books.messages.iter().filter(|id| !arrived.contains(*id)).collect();
    assert!(missing.is_empty(), "{} lost: {missing:?}", missing.len());
}

#[test]
fn keys_at_the_doors() {
    let home = Home::new();
    let gateway = Gateway::start(&home, &with("blackhole", ""));
    let mut connection = Connection::to(&gateway.url).unwrap();
    let (_, body) = messages(0, 0);
    for key in [basic("wrong", ""), "Bearer wrong".to_owned(), "Basic %%%".to_owned()] {
        let headers = [("authorization", key.as_str())];
        for path in ["/v1/batch", "/v1/traces", "/api/public/ingestion"] {
            let answer = connection.send("POST", path, &headers, body.as_bytes()).unwrap();
            assert_eq!(answer.status, 401, "{path} {key}: {}", answer.text());
        }
    }
    assert_eq!(gateway.status()["events"]["received"], 0);
}

#[test]
fn what_it_says_of_itself_at_the_start_and_end() {
    let home = Home::new();
    let config = with("blackhole", "").destination("two", "jsonl", "path = \"lines.jsonl\"");
    let gateway = Gateway::start(&home, &config);
    let (ended, _) = gateway.terminate();
    let ended = ended.code(0);
    expect![[r#"
        http://127.0.0.1:PORT
    "#]]
    .assert_eq(&redacted(&ended.out));
    expect![[r#"
        listening     http://127.0.0.1:PORT
        projects      1 project with a key
        destinations  one, two
        folder        HOME/gateway
        Ctrl-C ends it in good order.
        stopping: what is on the wire is answered; again to drop it
        everything is delivered
    "#]]
    .assert_eq(&redacted(&ended.err));
}
