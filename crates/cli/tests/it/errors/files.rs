//! Plans and journals that were changed, cut off, made by a newer program, or meant for another
//! account, place or time.

use super::{DAY, scene, transcript};
use crate::support::{Home, Remote, keys};
use expect_test::expect;

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
    let mut flipped = plan.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let digest = plan.split("\"digest\":\"").nth(1).unwrap().split('"').next().unwrap();
    let replaced = |from: &str, to: &str| {
        assert!(plan.contains(from), "{from}");
        plan.replacen(from, to, 1).into_bytes()
    };
    let mut said = String::new();
    for content in [
        flipped,
        replaced("\"steps\":36,\"digest", "\"steps\":35,\"digest"),
        replaced("\"windlass_plan\":2", "\"windlass_plan\":3"),
        replaced(digest, ""),
        b"Dear diary\n".to_vec(),
    ] {
        home.write("work/p.jsonl", content);
        let program = home.at(&remote, &["apply", "p.jsonl", "--yes"]);
        said.push_str(&transcript(&remote, [program]));
    }
    std::fs::remove_file(home.work().join("p.jsonl")).unwrap();
    said.push_str(&transcript(&remote, [home.at(&remote, &["apply", "p.jsonl", "--yes"])]));
    expect![[r#"
        $ windlass apply p.jsonl --yes
        error: plan p.jsonl is damaged: its digest does not match its content

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
        exit code 5

        $ windlass apply p.jsonl --yes
        error: plan p.jsonl is damaged: its digest does not match its content

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
        exit code 5

        $ windlass apply p.jsonl --yes
        error: plan p.jsonl has format 3; this program reads up to 2

        hint: use the version of windlass that made it, or a newer one
        exit code 5

        $ windlass apply p.jsonl --yes
        error: plan p.jsonl was never finished: its listing was interrupted

        hint: nothing was applied; make the plan again
        exit code 5

        $ windlass apply p.jsonl --yes
        error: plan p.jsonl is damaged: its first line is not a plan's

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
        exit code 5

        $ windlass apply p.jsonl --yes
        error: there is no plan p.jsonl

        hint: name a file that --plan-out wrote, or a run that --dry-run planned
        exit code 2

    "#]]
    .assert_eq(&said);
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn plans_of_another_account_place_or_time() {
    let (home, remote) = scene();
    plan_in_file(&home, &remote);
    let apply =
        |words: &[&str]| home.at(&remote, &[&["apply", "p.jsonl", "--yes"], words].concat());
    let programs = [
        apply(&[]).env("WORKOS_API_KEY", "sk_of_somebody_else"),
        apply(&["--base-url", "https://api.eu.workos.com"]),
        apply(&["--max-age", "1ms"]),
    ];
    expect![[r#"
        $ WORKOS_API_KEY=sk_of_somebody_else windlass apply p.jsonl --yes
        error: the plan was made with another key or account (FINGERPRINT) than the present \
        one (FINGERPRINT)

        hint: set WORKOS_API_KEY to the key of the plan's account, or make a new plan; \
        `windlass resume --new-key` goes on with a run whose key was replaced
        exit code 5

        $ windlass apply p.jsonl --yes --base-url https://api.eu.workos.com
        error: the plan was made for http://127.0.0.1:PORT, not for \
        https://api.eu.workos.com

        hint: apply it with the base URL it was made for, or make a new plan
        exit code 5

        $ windlass apply p.jsonl --yes --max-age 1ms
        error: the plan is from WHEN, older than 1ms (--max-age)

        hint: make a new plan: what it would change may be different by now
        exit code 5

    "#]]
    .assert_eq(&transcript(&remote, programs));
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn a_plan_is_applied_once() {
    let (home, remote) = scene();
    plan_in_file(&home, &remote);
    home.at(&remote, &["apply", "p.jsonl", "--yes"]).run().code(0);
    assert_eq!(remote.deletes(), 36);
    let said = transcript(&remote, [home.at(&remote, &["apply", "p.jsonl", "--yes"])]);
    expect![[r#"
        $ windlass apply p.jsonl --yes
        error: this plan was begun already, as run RUN

        hint: `windlass resume RUN` goes on with it, `windlass report RUN` shows it
        exit code 5

    "#]]
    .assert_eq(&said);
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
    let mut flipped = journal.clone();
    flipped[journal.len() / 2] ^= 1;
    let line = journal[..journal.len() / 2].split(|byte| *byte == b'\n').count();
    let mut said = String::new();
    for content in [
        flipped,
        heading(&journal, "\"windlass_journal\":2", "\"windlass_journal\":3"),
        heading(&journal, "\"plan\":\"", "\"plan\":\"0"),
        b"Dear diary\nof two lines\n".to_vec(),
    ] {
        std::fs::write(&path, &content).unwrap();
        said.push_str(&transcript(&remote, [home.at(&remote, &["resume", &home.run()])]));
        assert_eq!(std::fs::read(&path).unwrap(), content, "it stays as it was found");
    }
    let said = said.replacen(&format!("at line {line}:"), "at line N:", 1);
    expect![[r#"
        $ windlass resume RUN
        error: the journal is damaged at line N: its checksum does not match

        hint: nothing was sent; keep the run's folder, and make a new plan: what is gone \
        already will not be in it
        exit code 5

        $ windlass resume RUN
        error: the journal has format 3; this program reads up to 2

        hint: use the version of windlass that wrote it, or a newer one
        exit code 5

        $ windlass resume RUN
        error: the journal belongs to another plan than the one beside it

        hint: put the plan back that this run was started with
        exit code 5

        $ windlass resume RUN
        error: the journal is damaged at line 1: it has no checksum

        hint: nothing was sent; keep the run's folder, and make a new plan: what is gone \
        already will not be in it
        exit code 5

    "#]]
    .assert_eq(&said);
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
fn a_damaged_plan_of_a_run_is_refused_where_it_is_used() {
    let (home, remote) = scene();
    stopped(&home, &remote);
    let path = home.of_run("plan.jsonl");
    assert_eq!(keys(&path).len(), 36);
    let plan = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, plan.replacen("user_", "user-", 1)).unwrap();
    let said = transcript(&remote, [home.at(&remote, &["resume", &home.run()])]);
    expect![[r#"
        $ windlass resume RUN
        error: plan HOME/state/runs/RUN/plan.jsonl is damaged: its digest does not match \
        its content

        hint: a plan must not be edited; make a new one with `--dry-run` or `--plan-out`
        exit code 5

    "#]]
    .assert_eq(&said);
    // A list reads the headers of plans alone: a million steps are 140 MB.
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("resumable"));
}

#[test]
fn a_damaged_header_of_a_plan_is_refused_and_listed() {
    let (home, remote) = scene();
    stopped(&home, &remote);
    let path = home.of_run("plan.jsonl");
    let plan = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, plan.replacen("\"windlass_plan\"", "\"windlass_plum\"", 1)).unwrap();
    let before = remote.deletes();
    let ended = home.at(&remote, &["resume", &home.run()]).run().code(5);
    assert!(ended.err.contains("is damaged: its first line is not a plan's"), "{}", ended.err);
    assert_eq!(remote.deletes(), before);
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("is damaged"));
}
