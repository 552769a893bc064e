//! Every mistake a person can make, with the exact words they get: what, why, and what to do next.

use crate::support::{Home, KEY, Program, Remote, answer, keys};
use expect_test::{Expect, expect};
use std::net::TcpListener;
use std::path::Path;

const DAY: &[&str] = &["workos", "delete", "2005-12-17", "--yes"];

/// A remote with a few objects, and a home at it.
fn scene() -> (Home, Remote) {
    let world = ["--orgs", "6", "--users", "30", "--all-on", "2005-12-17", "--no-limits"];
    (Home::new(), Remote::start(&world))
}

/// The program ends with this code and these words, and nothing was deleted.
#[track_caller]
fn fails(remote: &Remote, program: Program, code: i32, words: Expect) {
    let ended = program.run().code(code);
    words.assert_eq(&ended.error());
    assert_eq!(remote.deletes(), 0);
    assert!(!ended.err.contains(KEY));
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let (home, remote) = scene();
    fails(&remote, home.at(&remote, DAY).env("WORKOS_API_KEY", ""), 2, expect![[r#"
        error: there is no key: WORKOS_API_KEY is not set

        hint: set WORKOS_API_KEY in the environment, or `key-file` in the settings; `windlass demo` needs none
    "#]]);
    fails(&remote, home.at(&remote, DAY).env("WORKOS_API_KEY", "sk_no"), 6, expect![[r#"
        error: the remote could not be listed
          caused by: Unauthorized (status 401) [request REQUEST]

        hint: check WORKOS_API_KEY: it was revoked, mistyped, or is of another environment
    "#]]);
    fails(&remote, home.at(&remote, DAY).env("WORKOS_API_KEY", "sk\u{1}x"), 2, expect![[r#"
        error: the key holds characters that can't be sent

        hint: copy WORKOS_API_KEY again from the WorkOS dashboard
    "#]]);
    home.write("work/windlass.toml", "[workos]\nkey-file = \"no-such-file\"\n");
    fails(&remote, home.at(&remote, DAY).env("WORKOS_API_KEY", ""), 2, expect![[r#"
        error: the key file no-such-file can't be read
          caused by: No such file or directory (os error 2)

        hint: `key-file` in the settings names a file that holds the key and nothing else
    "#]]);
    home.write("work/no-such-file", "\n");
    fails(&remote, home.at(&remote, DAY).env("WORKOS_API_KEY", ""), 2, expect![[r#"
        error: there is no key: WORKOS_API_KEY is not set

        hint: set WORKOS_API_KEY in the environment, or `key-file` in the settings; `windlass demo` needs none
    "#]]);
}

#[test]
fn a_key_that_may_not_even_read() {
    let world = ["--forbidden-key", "sk_test_blind", "--orgs", "3", "--users", "0"];
    let (home, remote) = (Home::new(), Remote::start(&world));
    let program = home.at(&remote, DAY).env("WORKOS_API_KEY", "sk_test_blind");
    fails(&remote, program, 6, expect![[r#"
        error: the remote could not be listed
          caused by: You do not have permission to perform this action. (status 403, forbidden) [request REQUEST]

        hint: check the permissions of this WORKOS_API_KEY in the WorkOS dashboard
    "#]]);
}

#[test]
fn base_urls_that_lead_nowhere() {
    let (home, remote) = scene();
    let with = |url: &str| home.at(&remote, &[DAY, &["--base-url", url]].concat());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = home.at(&remote, &[DAY, &["--deadline", "300ms"]].concat());
    let refused = refused.env("WORKOS_BASE_URL", format!("http://{closed}"));
    fails(&remote, refused, 7, expect![[r#"
        error: the remote could not be listed
          caused by: no good answer from workos for 300ms; the last: cannot connect to http://127.0.0.1:PORT: connection refused: tcp connect error: Connection refused (os error 111)

        hint: nothing was changed; check the base URL and the network, and try again: --debug shows every request
    "#]]);
    fails(&remote, with("http://example.com"), 2, expect![[r#"
        error: plain http to example.com would send the credentials unencrypted

        hint: use https://; http:// is only for 127.0.0.0/8, ::1 and localhost
    "#]]);
    fails(&remote, with("api.workos.com"), 2, expect![[r#"
        error: the URL has no scheme

        hint: write it as https://host
    "#]]);
    fails(&remote, with("ftp://127.0.0.1"), 2, expect![[r#"
        error: the URL's scheme is neither https nor http

        hint: use https://, or http:// for this machine
    "#]]);
    fails(&remote, with("https://me:secret@127.0.0.1"), 2, expect![[r#"
        error: the URL holds a user name or password

        hint: remove what stands before the @; keys have settings of their own
    "#]]);
    fails(&remote, with("http://127.0.0.1:99999"), 2, expect![[r#"
        error: the URL's port is not a number from 1 to 65535

        hint: write the port after the host, as in https://host:8443
    "#]]);
    fails(&remote, with("http://127.0.0.1/?page=1"), 2, expect![[r#"
        error: the URL has a query or fragment

        hint: remove everything from the ? or # on
    "#]]);
}

#[test]
fn a_server_that_is_not_workos() {
    let (home, remote) = scene();
    remote.door(|_| Some(answer(404, "text/html", "<html><h1>Not Found</h1></html>")));
    fails(&remote, home.at(&remote, DAY), 7, expect![[r#"
        error: the remote could not be listed
          caused by: Not Found (status 404)

        hint: check the base URL: this does not answer as WorkOS does
    "#]]);
    remote.door(|_| Some(answer(200, "text/html", "<html><h1>Welcome</h1></html>")));
    let impatient = [DAY, &["--retries", "0"]].concat();
    fails(&remote, home.at(&remote, &impatient), 7, expect![[r#"
        error: the remote could not be listed
          caused by: not a page of a list: expected value at line 1 column 1

        hint: check the base URL: this does not answer as WorkOS does
    "#]]);
    remote.door(|_| Some(answer(302, "text/html", "")));
    fails(&remote, home.at(&remote, &impatient), 7, expect![[r#"
        error: the remote could not be listed
          caused by: Found (status 302)

        hint: check the base URL: it answers with a redirect
    "#]]);
}

#[test]
fn dates_that_do_not_exist_or_mean_too_much() {
    let (home, remote) = scene();
    let with = |words: &[&str]| home.at(&remote, &[&["workos", "delete", "--yes"], words].concat());
    fails(&remote, with(&["2005-02-31"]), 2, expect![[r#"
        error: there is no day 2005-02-31 in the calendar

        hint: a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z
    "#]]);
    fails(&remote, with(&["17.12.2005"]), 2, expect![[r#"
        error: `17.12.2005` is not a date

        hint: a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z
    "#]]);
    fails(&remote, with(&["2005-12-17T10:00"]), 2, expect![[r#"
        error: `2005-12-17T10:00` is not an instant with its offset

        hint: a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z
    "#]]);
    fails(&remote, with(&["2005-12-18", "2005-12-17"]), 2, expect![[r#"
        error: the range is empty: it begins at 2005-12-18T00:00:00Z and ends before 2005-12-18T00:00:00Z

        hint: put the earlier date first; a single date means that whole day
    "#]]);
    fails(&remote, with(&["2005-12-17", "--tz", "Mars/Olympus"]), 2, expect![[r#"
        error: there is no time zone `Mars/Olympus`

        hint: write an IANA name such as Europe/Berlin, or an offset such as +02:00
    "#]]);
    fails(&remote, with(&[]), 2, expect![[r#"
        error: no date is given

        hint: name a day (2005-12-17), two days, or --older-than and --newer-than
    "#]]);
    fails(&remote, with(&["--older-than", "30d"]), 5, expect![[r#"
        error: the range has no beginning, so it takes in nearly everything

        hint: name a first day or --newer-than as well; if everything older is meant, --open-range says so
    "#]]);
    fails(&remote, with(&["--older-than", "1y", "--open-range"]), 2, expect![[r#"
        error: `1y` is not an age

        hint: an age is a number and a unit: 30d, 12h, 90m, 2w
    "#]]);
    fails(&remote, with(&["2005-12-17", "--older-than", "30d"]), 2, expect![[r#"
        error: the argument '[START]' cannot be used with '--older-than <AGE>'

        Usage: windlass workos delete --yes <START> [END]

        For more information, try '--help'.
    "#]]);
    fails(&remote, with(&["2005-12-17", "--users-only", "--users"]), 2, expect![[r#"
        error: the argument '--users-only' cannot be used with '--users'

        Usage: windlass workos delete --yes --users-only <START> [END]

        For more information, try '--help'.
    "#]]);
}

#[test]
fn expressions_and_files_that_can_not_be_read() {
    let (home, remote) = scene();
    let with = |words: &[&str]| home.at(&remote, &[DAY, words].concat());
    fails(&remote, with(&["--where", "name.startsWith("]), 2, expect![[r#"
        error: the expression `name.startsWith(` is not valid: ERROR: <input>:1:17: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER} | name.startsWith( | ................^

        hint: an expression is CEL over the object's fields, such as `name.startsWith("Test")` or `has(object.metadata.keep)`, and answers true or false
    "#]]);
    fails(&remote, with(&["--protect", "name =="]), 2, expect![[r#"
        error: the expression `name ==` is not valid: ERROR: <input>:1:8: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER} | name == | .......^

        hint: an expression is CEL over the object's fields, such as `name.startsWith("Test")` or `has(object.metadata.keep)`, and answers true or false
    "#]]);
    fails(&remote, with(&["--exclude-file", "no-such-file"]), 2, expect![[r#"
        error: the exclude file no-such-file can't be read: No such file or directory (os error 2)

        hint: name a text file with an id, external id, email or name a line
    "#]]);
    fails(&remote, with(&["--exclude-file", "."]), 2, expect![[r#"
        error: the exclude file . can't be read: Is a directory (os error 21)

        hint: name a text file with an id, external id, email or name a line
    "#]]);
}

#[test]
fn an_expression_that_answers_neither_yes_nor_no_deletes_nothing() {
    let (home, remote) = scene();
    for words in [["--where", "name"], ["--protect", "no_such_field"]] {
        let ended = home.at(&remote, &[DAY, &words].concat()).run().code(0);
        assert!(ended.err.contains("There is nothing to do."), "{}", ended.err);
        let reason = ["--where can't be answered", "protected"][usize::from(words[0] != "--where")];
        assert!(ended.err.contains(&format!("Left out: 6, {reason}")), "{}", ended.err);
    }
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn limits_that_make_no_sense() {
    let (home, remote) = scene();
    let with = |words: &[&str]| home.at(&remote, &[DAY, words].concat());
    fails(&remote, with(&["--quota", "fast"]), 2, expect![[r#"
        error: `workos.quota` from flag --quota: `fast` is not a quota: there is no slash in it; write a whole number of requests, a slash and a span, such as 50/60s, 10/250ms or 1200/5m; one request every two seconds is 1/2s
    "#]]);
    fails(&remote, with(&["--quota", "user-write=0/10s"]), 2, expect![[r#"
        error: `workos.quota` from flag --quota: `0/10s` is not a quota: the limit must be at least 1; write a whole number of requests, a slash and a span, such as 50/60s, 10/250ms or 1200/5m; one request every two seconds is 1/2s
    "#]]);
    fails(&remote, with(&["--quota", "user-writes=5/1s"]), 2, expect![[r#"
        error: there is no quota window `user-writes`

        hint: the windows are organization-delete, user-write, user-read, everything; `--quota unlimited` means all of them
    "#]]);
    fails(&remote, with(&["--profile", "brisk"]), 2, expect![[r#"
        error: `workos.profile` from flag --profile: `brisk` is not a profile; there are conservative, balanced, aggressive, maximum
    "#]]);
    fails(&remote, with(&["--max-delete", "110%"]), 2, expect![[r#"
        error: `workos.max-delete` from flag --max-delete: `110%` is neither a number nor a share such as 10%
    "#]]);
    fails(&remote, with(&["--concurrency", "0"]), 2, expect![[r#"
        error: `workos.concurrency` from flag --concurrency: `0` is not a number from 1 to 10,000
    "#]]);
    fails(&remote, with(&["--timeout", "soon"]), 2, expect![[r#"
        error: `workos.timeout` from flag --timeout: `soon` is not a time; write 250ms, 30s, 15m, 24h or 7d
    "#]]);
    fails(&remote, with(&["--retries", "-1"]), 2, expect![[r#"
        error: unexpected argument '-1' found

          tip: to pass '-1' as a value, use '-- -1'

        Usage: windlass workos delete [OPTIONS] [START] [END]

        For more information, try '--help'.
    "#]]);
    fails(&remote, with(&["--output", "xml"]), 2, expect![[r#"
        error: `output` from flag --output: `xml` is neither text nor json
    "#]]);
    fails(&remote, home.at(&remote, DAY).env("CONCURRENCY", "many"), 2, expect![[r#"
        error: `workos.concurrency` from environment CONCURRENCY: `many` is not a number from 1 to 10,000
    "#]]);
    let rate = home.at(&remote, DAY).env("MAX_REQUESTS_PER_SECOND", "0");
    fails(&remote, rate, 2, expect![[r#"
        error: `workos.max-requests-per-second` from environment MAX_REQUESTS_PER_SECOND: `0` is not a rate; write requests a second, such as 40 or 0.5
    "#]]);
}

#[test]
fn settings_files_that_are_wrong() {
    let (home, remote) = scene();
    home.write("work/windlass.toml", "[workos]\nconcurency = 4\n");
    fails(&remote, home.at(&remote, DAY), 2, expect![[r#"
        error: there is no setting `workos.concurency` (from windlass.toml)

        hint: the nearest one is `workos.concurrency`
    "#]]);
    home.write("work/windlass.toml", "[wrokos]\nretries = 4\n");
    fails(&remote, home.at(&remote, DAY), 2, expect![[r#"
        error: there is no setting `wrokos.retries` (from windlass.toml)

        hint: the nearest one is `workos.retries`
    "#]]);
    home.write("work/windlass.toml", "[workos]\nretries = [\n");
    fails(&remote, home.at(&remote, DAY), 2, expect![[r#"
        error: settings from windlass.toml are not TOML
          caused by: TOML parse error at line 2, column 12
          |
        2 | retries = [
          |            ^
        unclosed array, expected `]`

        hint: `windlass config show` shows the keys with their values once it is right
    "#]]);
    home.write("work/windlass.toml", "[workos]\nretries = \"few\"\n");
    fails(&remote, home.at(&remote, DAY), 2, expect![[r#"
        error: `workos.retries` from windlass.toml: `few` is not a whole number
    "#]]);
    std::fs::remove_file(home.work().join("windlass.toml")).unwrap();
    std::fs::create_dir(home.work().join("windlass.toml")).unwrap();
    fails(&remote, home.at(&remote, DAY), 2, expect![[r#"
        error: the settings file windlass.toml can't be read
          caused by: Is a directory (os error 21)

        hint: it has to be a text file that you can read, or not be there at all
    "#]]);
}

#[test]
fn a_place_that_takes_no_runs() {
    let (home, remote) = scene();
    home.write("a-file", "");
    let below = home.path().join("a-file/state");
    let program = home.at(&remote, DAY).env("WINDLASS_STATE_DIR", &below);
    fails(&remote, program, 2, expect![[r#"
        error: the state directory HOME/a-file/state can't be used
          caused by: Not a directory (os error 20)

        hint: set WINDLASS_STATE_DIR to a folder that you can write to
    "#]]);
    let words = [&DAY[..3], &["--plan-out", "no-such-folder/p.jsonl"]].concat();
    fails(&remote, home.at(&remote, &words), 2, expect![[r#"
        error: plan no-such-folder/p.jsonl.partial: No such file or directory (os error 2)

        hint: check the path, its permissions and the free space of the disk
    "#]]);
    let words = ["report", "--html", "no-such-folder/r.html"];
    home.at(&remote, &[&DAY[..3], &["-n"]].concat()).run().code(0);
    fails(&remote, home.windlass(&words), 2, expect![[r#"
        error: no-such-folder/r.html can't be read or written
          caused by: No such file or directory (os error 2)

        hint: check permissions and the free space of the disk
    "#]]);
}

/// A plan of the scene in a file.
fn plan_in_file(home: &Home, remote: &Remote) -> String {
    let words = [&DAY[..3], &["--users", "--plan-out", "p.jsonl"]].concat();
    home.at(remote, &words).run().code(0);
    std::fs::read_to_string(home.work().join("p.jsonl")).unwrap()
}

#[test]
fn plans_that_were_changed_or_never_finished() {
    let (home, remote) = scene();
    let plan = plan_in_file(&home, &remote);
    let apply = || home.at(&remote, &["apply", "p.jsonl", "--yes"]);
    let mut flipped = plan.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    home.write("work/p.jsonl", flipped);
    fails(&remote, apply(), 5, expect![[r#"
        error: plan p.jsonl is damaged: its digest does not match its content

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
    "#]]);
    home.write("work/p.jsonl", plan.replacen("\"steps\":36,\"digest", "\"steps\":35,\"digest", 1));
    fails(&remote, apply(), 5, expect![[r#"
        error: plan p.jsonl is damaged: its digest does not match its content

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
    "#]]);
    home.write("work/p.jsonl", plan.replacen("\"windlass_plan\":1", "\"windlass_plan\":2", 1));
    fails(&remote, apply(), 5, expect![[r#"
        error: plan p.jsonl has format 2; this program reads up to 1

        hint: use the version of windlass that made it, or a newer one
    "#]]);
    let digest = plan.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap();
    home.write("work/p.jsonl", plan.replacen(digest, "", 1));
    fails(&remote, apply(), 5, expect![[r#"
        error: plan p.jsonl was never finished: its listing was interrupted

        hint: nothing was applied; make the plan again
    "#]]);
    home.write("work/p.jsonl", "Dear diary\n");
    fails(&remote, apply(), 5, expect![[r#"
        error: plan p.jsonl is damaged: its first line is not a plan's

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
    "#]]);
    home.write("work/p.jsonl", "");
    fails(&remote, apply(), 5, expect![[r#"
        error: plan p.jsonl is damaged: its first line is not a plan's

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
    "#]]);
    std::fs::remove_file(home.work().join("p.jsonl")).unwrap();
    fails(&remote, apply(), 2, expect![[r#"
        error: there is no plan p.jsonl

        hint: name a file that --plan-out wrote, or a run that --dry-run planned
    "#]]);
}

#[test]
fn plans_of_another_account_place_or_time() {
    let (home, remote) = scene();
    plan_in_file(&home, &remote);
    let apply = |words: &[&str]| home.at(&remote, &[&["apply", "p.jsonl", "--yes"], words].concat());
    let other = apply(&[]).env("WORKOS_API_KEY", "sk_live_of_somebody_else");
    fails(&remote, other, 5, expect![[r#"
        error: the plan was made with another key (FINGERPRINT) than the present one (FINGERPRINT)

        hint: set WORKOS_API_KEY to the key of the plan's account, or make a new plan; `windlass resume --new-key` goes on with a run whose key was replaced
    "#]]);
    let elsewhere = apply(&["--base-url", "https://api.eu.workos.com"]);
    fails(&remote, elsewhere, 5, expect![[r#"
        error: the plan was made for http://127.0.0.1:PORT, not for https://api.eu.workos.com

        hint: apply it with the base URL it was made for, or make a new plan
    "#]]);
    fails(&remote, apply(&["--max-age", "1ms"]), 5, expect![[r#"
        error: the plan is from WHEN, older than 1ms (--max-age)

        hint: make a new plan: what it would delete may have changed since
    "#]]);
}

#[test]
fn a_plan_is_applied_once() {
    let (home, remote) = scene();
    plan_in_file(&home, &remote);
    home.at(&remote, &["apply", "p.jsonl", "--yes"]).run().code(0);
    assert_eq!(remote.deletes(), 36);
    let ended = home.at(&remote, &["apply", "p.jsonl", "--yes"]).run().code(5);
    expect![[r#"
        error: this plan was begun already, as run RUN

        hint: `windlass resume RUN` goes on with it, `windlass report RUN` shows it
    "#]].assert_eq(&ended.error());
    assert_eq!(remote.deletes(), 36);
}

/// A run that was stopped in its middle, with its journal.
fn stopped(home: &Home, remote: &Remote) -> Vec<u8> {
    let words = [DAY, &["--users", "--max-requests-per-second", "20"]].concat();
    let running = home.at(remote, &words).spawn();
    remote.wait_for_deletes(5);
    running.signal("INT");
    running.wait().code(4);
    std::fs::read(home.of_run("journal")).unwrap()
}

#[test]
fn journals_that_were_changed() {
    let (home, remote) = scene();
    let journal = stopped(&home, &remote);
    let path = home.of_run("journal");
    let before = remote.deletes();
    let resume = |content: &[u8], words: Expect| {
        std::fs::write(&path, content).unwrap();
        let ended = home.at(&remote, &["resume", &home.run()]).run().code(5);
        words.assert_eq(&ended.error());
        assert_eq!(remote.deletes(), before);
        assert_eq!(std::fs::read(&path).unwrap(), content, "it stays as it was found");
    };
    let mut flipped = journal.clone();
    flipped[journal.len() / 2] ^= 1;
    let line = journal[..journal.len() / 2].split(|byte| *byte == b'\n').count();
    let ended = {
        std::fs::write(&path, &flipped).unwrap();
        home.at(&remote, &["resume", &home.run()]).run().code(5)
    };
    let words = ended.error().replace(&format!("at line {line}:"), "at line N:");
    expect![[r#"
        error: the journal is damaged at line N: its checksum does not match

        hint: nothing was sent; keep the run's folder, and make a new plan: what is gone already will not be in it
    "#]].assert_eq(&words);
    resume(&heading(&journal, "\"windlass_journal\":1", "\"windlass_journal\":2"), expect![[r#"
        error: the journal has format 2; this program reads up to 1

        hint: use the version of windlass that wrote it, or a newer one
    "#]]);
    resume(&heading(&journal, "\"plan\":\"", "\"plan\":\"0"), expect![[r#"
        error: the journal belongs to another plan than the one beside it

        hint: put the plan back that this run was started with
    "#]]);
    resume(b"Dear diary\nof two lines\n", expect![[r#"
        error: the journal is damaged at line 1: it has no checksum

        hint: nothing was sent; keep the run's folder, and make a new plan: what is gone already will not be in it
    "#]]);
    let runs = home.windlass(&["runs"]).run().code(0);
    assert!(runs.out.contains("the journal is damaged at line 1"), "{}", runs.out);
    std::fs::write(&path, &journal).unwrap();
    home.at(&remote, &["resume"]).run().code(0);
    assert_eq!((remote.deletes(), remote.deleted().len()), (36, 36));
}

/// The journal with its first line changed, and its checksum made anew.
fn heading(journal: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(journal.to_vec()).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let content = first[9..].replacen(from, to, 1);
    assert_ne!(content, first[9..]);
    format!("{:08x} {content}\n{rest}", crc32fast::hash(content.as_bytes())).into_bytes()
}

#[test]
fn a_torn_last_line_is_no_mistake() {
    let (home, remote) = scene();
    let journal = stopped(&home, &remote);
    let torn = [&journal[..], b"4a1f 12 {\"event\":\"sett"].concat();
    std::fs::write(home.of_run("journal"), torn).unwrap();
    home.at(&remote, &["resume"]).run().code(0);
    assert_eq!((remote.deletes(), remote.deleted().len()), (36, 36));
}

#[test]
fn a_damaged_plan_of_a_run_is_refused_and_listed() {
    let (home, remote) = scene();
    stopped(&home, &remote);
    let before = remote.deletes();
    let path = home.of_run("plan.jsonl");
    let plan = std::fs::read_to_string(&path).unwrap();
    assert_eq!(keys(&path).len(), 36);
    std::fs::write(&path, plan.replacen("user_", "user-", 1)).unwrap();
    let ended = home.at(&remote, &["resume", &home.run()]).run().code(5);
    expect![[r#"
        error: plan HOME/state/runs/RUN/plan.jsonl is damaged: its digest does not match its content

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
    "#]].assert_eq(&ended.error());
    assert_eq!(remote.deletes(), before);
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("is damaged"));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let (home, remote) = scene();
    fails(&remote, home.at(&remote, &DAY[..3]), 5, expect![[r#"
        error: nobody can be asked: this is not a terminal

        hint: --yes goes ahead without asking; --dry-run shows the plan only
    "#]]);
    plan_in_file(&home, &remote);
    fails(&remote, home.at(&remote, &["apply", "p.jsonl"]), 5, expect![[r#"
        error: nobody can be asked: this is not a terminal

        hint: --yes goes ahead without asking; --dry-run shows the plan only
    "#]]);
}

#[test]
fn a_port_that_is_taken() {
    let (home, remote) = scene();
    let port = remote.url.rsplit(':').next().unwrap();
    fails(&remote, home.windlass(&["sim", "workos", "--port", port]), 2, expect![[r#"
        error: can't listen on 127.0.0.1:PORT: Address already in use (os error 98)

        hint: another --port may be free; 0 takes any
    "#]]);
    let words = ["sim", "workos", "--port", "0", "--from", "2005-12-18", "--to", "2005-12-17"];
    fails(&remote, home.windlass(&words), 2, expect![[r#"
        error: --from 2005-12-18 is after --to 2005-12-17

        hint: another --port may be free; 0 takes any
    "#]]);
}

#[test]
fn there_is_no_report_yet() {
    let (home, remote) = scene();
    fails(&remote, home.windlass(&["report"]), 2, expect![[r#"
        error: there is no run yet

        hint: `windlass demo` makes one
    "#]]);
    let ended = home.windlass(&["runs"]).run().code(0);
    assert_eq!(ended.err, "There are no runs yet. `windlass demo` makes one.\n");
    home.at(&remote, &[&DAY[..3], &["-n"]].concat()).run().code(0);
    home.at(&remote, &[&DAY[..3], &["-n"]].concat()).run().code(0);
    fails(&remote, home.windlass(&["report", "workos"]), 2, expect![[r#"
        error: 2 runs have `workos` in their names

        hint: write more of the name
    "#]]);
    assert!(!Path::new("report.html").exists());
}
