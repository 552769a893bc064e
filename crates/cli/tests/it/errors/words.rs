//! Words on the command line and in settings that are not understood.

use super::{DAY, scene, transcript};
use crate::support::{Home, Program, Remote};
use expect_test::expect;

fn each(home: &Home, remote: &Remote, lines: &[&[&str]]) -> String {
    let program = |words: &&[&str]| home.at(remote, &[&["workos", "delete"], *words].concat());
    let programs: Vec<Program> = lines.iter().map(program).collect();
    transcript(remote, programs)
}

#[test]
fn dates_that_do_not_exist() {
    let (home, remote) = scene();
    let said = each(
        &home,
        &remote,
        &[
            &["2005-02-31"],
            &["17.12.2005"],
            &["2005-12-17T10:00"],
            &["2005-12-18", "2005-12-17"],
            &["2005-12-17", "--tz", "Mars/Olympus"],
        ],
    );
    expect![[r#"
        $ windlass workos delete 2005-02-31
        error: there is no day 2005-02-31 in the calendar

        hint: a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z
        exit code 2

        $ windlass workos delete 17.12.2005
        error: `17.12.2005` is not a date

        hint: a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z
        exit code 2

        $ windlass workos delete 2005-12-17T10:00
        error: `2005-12-17T10:00` is not an instant with its offset

        hint: a day is written YYYY-MM-DD, an instant 2005-12-17T10:00:00Z
        exit code 2

        $ windlass workos delete 2005-12-18 2005-12-17
        error: the range is empty: it begins at 2005-12-18T00:00:00Z and ends before \
        2005-12-18T00:00:00Z

        hint: put the earlier date first; a single date means that whole day
        exit code 2

        $ windlass workos delete 2005-12-17 --tz Mars/Olympus
        error: there is no time zone `Mars/Olympus`

        hint: write an IANA name such as Europe/Berlin, or an offset such as +02:00
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn ranges_that_mean_too_much_or_nothing() {
    let (home, remote) = scene();
    let said = each(
        &home,
        &remote,
        &[
            &["--yes"],
            &["--older-than", "30d"],
            &["--older-than", "1y", "--open-range"],
            &["2005-12-17", "--older-than", "30d"],
            &["2005-12-17", "--users-only", "--users"],
        ],
    );
    expect![[r#"
        $ windlass workos delete --yes
        error: no date is given

        hint: name a day (2005-12-17), two days, or --older-than and --newer-than
        exit code 2

        $ windlass workos delete --older-than 30d
        error: the range has no beginning, so it takes in nearly everything

        hint: name a first day or --newer-than as well; if everything older is meant, \
        --open-range says so
        exit code 5

        $ windlass workos delete --older-than 1y --open-range
        error: `1y` is not an age

        hint: an age is a number and a unit: 30d, 12h, 90m, 2w
        exit code 2

        $ windlass workos delete 2005-12-17 --older-than 30d
        error: the argument '[START]' cannot be used with '--older-than <AGE>'

        Usage: windlass workos delete <START> [END]

        For more information, try '--help'.
        exit code 2

        $ windlass workos delete 2005-12-17 --users-only --users
        error: the argument '--users-only' cannot be used with '--users'

        Usage: windlass workos delete --users-only <START> [END]

        For more information, try '--help'.
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn expressions_and_files_that_can_not_be_read() {
    let (home, remote) = scene();
    let said = each(
        &home,
        &remote,
        &[
            &["2005-12-17", "--where", "name.startsWith("],
            &["2005-12-17", "--protect", "name =="],
            &["2005-12-17", "--exclude-file", "no-such-file"],
            &["2005-12-17", "--exclude-file", "."],
        ],
    );
    expect![[r#"
        $ windlass workos delete 2005-12-17 --where name.startsWith(
        error: the expression `name.startsWith(` is not valid: ERROR: <input>:1:17: Syntax \
        error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', \
        'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER} | \
        name.startsWith( | ................^

        hint: an expression is CEL over the object's fields, such as \
        `name.startsWith("Test")` or `has(object.metadata.keep)`, and answers true or false
        exit code 2

        $ windlass workos delete 2005-12-17 --protect name ==
        error: the expression `name ==` is not valid: ERROR: <input>:1:8: Syntax error: \
        mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', \
        'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER} | name == | \
        .......^

        hint: an expression is CEL over the object's fields, such as \
        `name.startsWith("Test")` or `has(object.metadata.keep)`, and answers true or false
        exit code 2

        $ windlass workos delete 2005-12-17 --exclude-file no-such-file
        error: the exclude file no-such-file can't be read: No such file or directory (os \
        error 2)

        hint: name a text file with an id, external id, email or name a line
        exit code 2

        $ windlass workos delete 2005-12-17 --exclude-file .
        error: the exclude file . can't be read: Is a directory (os error 21)

        hint: name a text file with an id, external id, email or name a line
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn an_expression_that_answers_neither_yes_nor_no_deletes_nothing() {
    let (home, remote) = scene();
    let plans = ["--yes", "--dry-run", "--plan-out=p.jsonl"];
    let words = plans.map(|plan| ["2005-12-17", "--where", "name", plan]);
    let lines: Vec<&[&str]> = words.iter().map(|words| &words[..]).collect();
    expect![[r#"
        $ windlass workos delete 2005-12-17 --where name --yes
        error: nothing is selected: the expression could not be answered for 6 objects

        hint: it has to be true or false for every object; `has(object.FIELD)` asks whether \
        there is such a field
        exit code 2

        $ windlass workos delete 2005-12-17 --where name --dry-run
        error: nothing is selected: the expression could not be answered for 6 objects

        hint: it has to be true or false for every object; `has(object.FIELD)` asks whether \
        there is such a field
        exit code 2

        $ windlass workos delete 2005-12-17 --where name --plan-out=p.jsonl
        error: nothing is selected: the expression could not be answered for 6 objects

        hint: it has to be true or false for every object; `has(object.FIELD)` asks whether \
        there is such a field
        exit code 2

    "#]]
    .assert_eq(&each(&home, &remote, &lines));
    assert!(home.runs().is_empty() && !home.work().join("p.jsonl").exists());
    // What can't be answered about protection protects, and that is an answer.
    let ended = home.at(&remote, &[DAY, &["--protect", "no_such_field"]].concat()).run().code(0);
    assert!(ended.err.contains("There is nothing to do."), "{}", ended.err);
    assert!(ended.err.contains("Left out: 6, protected"), "{}", ended.err);
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn what_some_objects_can_not_answer_is_left_out() {
    let (home, remote) = scene();
    let names = remote.remaining();
    let one = names.iter().find(|name| name.starts_with("org_")).unwrap();
    let filter = format!("id == '{one}' || name");
    let ended = home.at(&remote, &[DAY, &["--where", &filter]].concat()).run().code(0);
    assert!(ended.err.contains("Left out: 5, --where can't be answered"), "{}", ended.err);
    assert_eq!(remote.asked(), [one.as_str()]);
}

#[test]
fn quotas_and_ceilings_that_make_no_sense() {
    let (home, remote) = scene();
    let said = each(
        &home,
        &remote,
        &[
            &["2005-12-17", "--quota", "fast"],
            &["2005-12-17", "--quota", "user-write=0/10s"],
            &["2005-12-17", "--quota", "user-writes=5/1s"],
            &["2005-12-17", "--profile", "brisk"],
            &["2005-12-17", "--max-delete", "110%"],
        ],
    );
    expect![[r#"
        $ windlass workos delete 2005-12-17 --quota fast
        error: `workos.quota` from flag --quota: `fast` is not a quota: there is no slash \
        in it; write a whole number of requests, a slash and a span, such as 50/60s, \
        10/250ms or 1200/5m; one request every two seconds is 1/2s
        exit code 2

        $ windlass workos delete 2005-12-17 --quota user-write=0/10s
        error: `workos.quota` from flag --quota: `0/10s` is not a quota: the limit must be \
        at least 1; write a whole number of requests, a slash and a span, such as 50/60s, \
        10/250ms or 1200/5m; one request every two seconds is 1/2s
        exit code 2

        $ windlass workos delete 2005-12-17 --quota user-writes=5/1s
        error: there is no quota window `user-writes`

        hint: the windows are organization-delete, user-write, user-read, everything; \
        `--quota unlimited` means all of them
        exit code 2

        $ windlass workos delete 2005-12-17 --profile brisk
        error: `workos.profile` from flag --profile: `brisk` is not a profile; there are \
        conservative, balanced, aggressive, maximum
        exit code 2

        $ windlass workos delete 2005-12-17 --max-delete 110%
        error: `workos.max-delete` from flag --max-delete: `110%` is neither a number nor a \
        share such as 10%
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn numbers_that_make_no_sense() {
    let (home, remote) = scene();
    let with = |flag: &str, value: &str| home.at(&remote, &[DAY, &[flag, value]].concat());
    let programs = [
        with("--concurrency", "0"),
        with("--timeout", "soon"),
        with("--retries", "few"),
        with("--output", "xml"),
        with("--reserve", "100%"),
        home.at(&remote, DAY).env("CONCURRENCY", "many"),
        home.at(&remote, DAY).env("MAX_REQUESTS_PER_SECOND", "0"),
    ];
    expect![[r#"
        $ windlass workos delete 2005-12-17 --yes --concurrency 0
        error: `workos.concurrency` from flag --concurrency: `0` is not a number from 1 to \
        10,000
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --timeout soon
        error: `workos.timeout` from flag --timeout: `soon` is not a time; write 250ms, \
        30s, 15m, 24h or 7d
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --retries few
        error: `workos.retries` from flag --retries: `few` is not a whole number
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --output xml
        error: `output` from flag --output: `xml` is neither text nor json
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --reserve 100%
        error: `workos.reserve` from flag --reserve: `100%` is not a share; write a \
        percentage from 0% to 99%, such as 5%
        exit code 2

        $ CONCURRENCY=many windlass workos delete 2005-12-17 --yes
        error: `mongo.concurrency` from environment CONCURRENCY: `many` is not a number \
        from 1 to 10,000
        exit code 2

        $ MAX_REQUESTS_PER_SECOND=0 windlass workos delete 2005-12-17 --yes
        error: `mongo.max-requests-per-second` from environment MAX_REQUESTS_PER_SECOND: \
        `0` is not a rate; write requests a second, such as 40 or 0.5
        exit code 2

    "#]]
    .assert_eq(&transcript(&remote, programs));
}

#[test]
fn settings_files_that_are_wrong() {
    let (home, remote) = scene();
    let mut said = String::new();
    let wrong = [
        "[workos]\nconcurency = 4\n",
        "[wrokos]\nretries = 4\n",
        "[workos]\nretries = [\n",
        "[workos]\nretries = \"few\"\n",
    ];
    for text in wrong {
        home.write("work/windlass.toml", text);
        said.push_str(&transcript(&remote, [home.at(&remote, DAY)]));
    }
    std::fs::remove_file(home.work().join("windlass.toml")).unwrap();
    std::fs::create_dir(home.work().join("windlass.toml")).unwrap();
    said.push_str(&transcript(&remote, [home.at(&remote, DAY)]));
    expect![[r#"
        $ windlass workos delete 2005-12-17 --yes
        error: there is no setting `workos.concurency` (from windlass.toml)

        hint: the nearest one is `workos.concurrency`
        exit code 2

        $ windlass workos delete 2005-12-17 --yes
        error: there is no setting `wrokos.retries` (from windlass.toml)

        hint: the nearest one is `workos.retries`
        exit code 2

        $ windlass workos delete 2005-12-17 --yes
        error: settings from windlass.toml are not TOML
          caused by: TOML parse error at line 2, column 12
          |
        2 | retries = [
          |            ^
        unclosed array, expected `]`

        hint: `windlass config show` shows the keys with their values once it is right
        exit code 2

        $ windlass workos delete 2005-12-17 --yes
        error: `workos.retries` from windlass.toml: `few` is not a whole number
        exit code 2

        $ windlass workos delete 2005-12-17 --yes
        error: the settings file windlass.toml can't be read
          caused by: Is a directory (os error 21)

        hint: it has to be a text file that you can read, or not be there at all
        exit code 2

    "#]]
    .assert_eq(&said);
}
