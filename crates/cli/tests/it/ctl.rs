//! A run in progress, spoken to from another terminal.

use crate::support::{Home, Remote, Running, redacted, settled, wait_until};
use expect_test::expect;
use std::time::Duration;

const DAY: &[&str] =
    &["workos", "delete", "2005-12-17", "--users-only", "--yes", "--quota", "unlimited"];

/// A run at 10 on the wire that takes about three seconds, with 20 deletions behind it.
fn begun() -> (Home, Remote, Running) {
    let world = ["--orgs", "0", "--users", "300", "--all-on", "2005-12-17", "--no-limits"];
    let remote = Remote::start(&[&world[..], &["--latency", "20ms"]].concat());
    let home = Home::new();
    let words = [DAY, &["--concurrency", "10", "--max-requests-per-second", "100"]].concat();
    let running = home.at(&remote, &words).spawn();
    remote.wait_for_deletes(20);
    (home, remote, running)
}

fn ctl(home: &Home, words: &[&str]) -> String {
    let run = home.run();
    home.windlass(&[&["ctl", &run], words].concat()).run().code(0).out
}

fn status(home: &Home) -> serde_json::Value {
    serde_json::from_str(&ctl(home, &["status", "--output", "json"])).unwrap()
}

#[test]
fn status_tells_how_it_is() {
    let (home, remote, running) = begun();
    let line = ctl(&home, &["status"]);
    assert!(line.contains(": at work, ") && line.contains(" of 300 settled (0 failed)"), "{line}");
    assert!(line.ends_with("at most 100.0/s\n"), "{line}");
    let json = status(&home);
    assert_eq!((&json["steps"], &json["paused"]), (&300.into(), &false.into()));
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("running"));
    running.wait().code(0);
    assert_eq!(remote.deletes(), 300);
}

#[test]
fn a_paused_run_is_silent_until_it_goes_on() {
    let (home, remote, running) = begun();
    assert!(ctl(&home, &["pause"]).contains(": paused, "));
    wait_until("an empty wire", || status(&home)["in_flight"] == 0);
    let before = remote.deletes();
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("running, paused"));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(remote.deletes(), before, "silence");
    assert!(before < 300);
    assert!(ctl(&home, &["resume"]).contains(": at work, "));
    let ended = running.wait().code(0);
    let told = ["\nwarning: paused\n", "\nresumed\n"].map(|words| ended.err.contains(words));
    assert_eq!(told, [true, true], "{}", ended.err);
    assert_eq!((remote.deletes(), remote.deleted().len()), (300, 300));
}

#[test]
fn a_rate_holds_from_now_on() {
    let (home, remote, running) = begun();
    let line = ctl(&home, &["rate", "40"]);
    assert!(line.ends_with("at most 40.0/s\n"), "{line}");
    let before = remote.sim.ledger().len();
    running.wait().code(0);
    let mut number = 0;
    let most = remote.sim.ledger().most_in_window(Duration::from_secs(1), |_| {
        number += 1;
        number > before
    });
    assert!((30..=40).contains(&most), "{most}");
}

#[test]
fn a_ceiling_can_be_taken_away() {
    let (home, _remote, running) = begun();
    assert!(ctl(&home, &["rate", "0"]).ends_with("no ceiling\n"));
    let ended = running.wait().code(0);
    assert!(ended.err.contains("no ceiling from now on"), "{}", ended.err);
    let ended = home.windlass(&["ctl", "workos", "rate", "nan"]).run().code(2);
    expect![[r#"
        error: a rate is a number of requests a second, from 0 on

        hint: `rate 30` allows 30 a second, `rate 0` takes the ceiling away
    "#]]
    .assert_eq(&ended.error());
}

#[test]
fn a_stop_ends_the_run_resumable() {
    let (home, remote, running) = begun();
    assert!(ctl(&home, &["stop"]).contains(": stopping, "));
    let ended = running.wait().code(4);
    assert!(ended.err.contains("stopping (ctl)"), "{}", ended.err);
    assert_eq!(settled(&home.of_run("journal")), remote.deleted());
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("stopped, resumable"));
    home.at(&remote, &["resume"]).run().code(0);
    assert_eq!((remote.deletes(), remote.deleted().len()), (300, 300));
}

#[test]
fn an_abort_ends_it_now() {
    let (home, remote, running) = begun();
    ctl(&home, &["abort"]);
    let ended = running.wait().code(4);
    assert!(ended.out.contains("aborted; what was on the wire is in doubt"), "{}", ended.out);
    home.at(&remote, &["resume"]).run().code(0);
    assert_eq!(remote.deleted().len(), 300);
    assert!(remote.deletes() <= 300 + 10, "{}", remote.deletes());
}

#[test]
fn a_run_that_nobody_works_on_takes_no_orders() {
    let (home, _remote, running) = begun();
    running.signal("INT");
    running.wait().code(4);
    let told = ["status", "pause", "stop"].map(|word| {
        let ended = home.windlass(&["ctl", &home.run(), word]).run().code(5);
        ended.error()
    });
    assert!(told[0] == told[1] && told[0] == told[2]);
    expect![[r#"
        error: no process is at work on run RUN

        hint: `windlass resume RUN` goes on with it
    "#]]
    .assert_eq(&told[0]);
    let ended = home.windlass(&["ctl", "nothing", "status"]).run().code(2);
    expect![[r#"
        error: there is no run `nothing`

        hint: `windlass runs` lists them
    "#]]
    .assert_eq(&ended.error());
}

#[test]
fn control_works_in_a_folder_with_a_long_name() {
    let (home, remote) = (
        Home::new(),
        Remote::start(&[
            "--orgs",
            "0",
            "--users",
            "300",
            "--all-on",
            "2005-12-17",
            "--no-limits",
            "--latency",
            "20ms",
        ]),
    );
    let state = home.path().join("a-folder-with-a-long-name".repeat(8));
    let state = state.to_str().unwrap();
    let words = [DAY, &["--concurrency", "5", "--state-dir", state]].concat();
    let running = home.at(&remote, &words).spawn();
    remote.wait_for_deletes(5);
    let ended = home.windlass(&["ctl", "workos", "stop", "--state-dir", state]).run().code(0);
    assert!(redacted(&ended.out).starts_with("RUN: stopping, "), "{}", ended.out);
    running.wait().code(4);
}
