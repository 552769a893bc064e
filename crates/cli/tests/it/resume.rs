//! Runs that stop early, for every reason there is, and go on to their end.

use crate::support::{
    Home, KEY, Remote, Running, answer, is_installed, keys, settled, skipped, wait_until,
};
use expect_test::expect;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const DAY: &[&str] =
    &["workos", "delete", "2005-12-17", "--users-only", "--yes", "--quota", "unlimited"];

fn users(count: u32, flags: &[&str]) -> Remote {
    let count = count.to_string();
    let world = ["--orgs", "3", "--users", &count, "--all-on", "2005-12-17", "--no-limits"];
    Remote::start(&[&world, flags].concat())
}

/// A run that takes about two seconds, with so many deletions behind it.
fn begun(home: &Home, remote: &Remote, deletes: usize) -> Running {
    let running = home.at(remote, &[DAY, &["--max-requests-per-second", "100"]].concat()).spawn();
    remote.wait_for_deletes(deletes);
    running
}

/// Goes on and looks at the end: everything is done, and nothing twice that was recorded.
fn resumed(home: &Home, remote: &Remote, users: usize, repeated_max: usize) {
    let recorded = settled(&home.of_run("journal"));
    let before = remote.deletes();
    let ended = home.at(remote, &["resume", &home.run()]).run().code(0);
    assert!(ended.err.starts_with("Resuming run workos-"), "{}", ended.err);
    assert_eq!((remote.deleted().len(), remote.sim.remaining_organizations().len()), (users, 3));
    let after: BTreeSet<String> = remote.asked().split_off(before).into_iter().collect();
    assert!(after.is_disjoint(&recorded), "what was recorded is not done again");
    assert!(remote.deletes() <= users + repeated_max, "{}", remote.deletes());
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("  done"));
}

#[test]
fn a_run_under_nohup_outlives_its_terminal() {
    let (home, remote) = (Home::new(), users(150, &["--latency", "100ms"]));
    let mut command = Command::new("nohup");
    command.arg(env!("CARGO_BIN_EXE_windlass")).args(DAY);
    let program = home.program(command).env("WORKOS_BASE_URL", &remote.url);
    let running = program.env("WORKOS_API_KEY", KEY).spawn();
    remote.wait_for_deletes(20);
    running.signal("HUP");
    running.wait().code(0);
    assert_eq!(remote.deleted().len(), 150);
}

#[test]
fn one_interrupt_lets_the_wire_drain() {
    for name in ["INT", "TERM", "HUP"] {
        let (home, remote) = (Home::new(), users(150, &["--latency", "100ms"]));
        let running = begun(&home, &remote, 20);
        running.signal(name);
        let ended = running.wait().code(4);
        assert!(ended.err.contains("stopping (interrupt)"), "{}", ended.err);
        let hint = format!("hint: `windlass resume {}` goes on", home.run());
        assert!(ended.err.contains(&hint), "{}", ended.err);
        let recorded = settled(&home.of_run("journal"));
        assert_eq!(recorded, remote.deleted(), "all that was sent was answered and recorded");
        assert!(recorded.len() < 150);
        resumed(&home, &remote, 150, 0);
    }
}

#[test]
fn two_interrupts_abort_at_once() {
    // The list is answered at once, deletions take 20 s.
    let slow = ["--fault-method", "DELETE", "--slow-rate", "1", "--slow-by", "20s"];
    let (home, remote) = (Home::new(), users(60, &slow));
    let running = home.at(&remote, &[DAY, &["--concurrency", "10"]].concat()).spawn();
    remote.wait_for_deletes(10);
    running.signal("INT");
    running.wait_for("stopping (interrupt)");
    let start = Instant::now();
    running.signal("INT");
    let ended = running.wait().code(4);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(ended.out.contains("10 steps in doubt"), "{}", ended.out);
    let remote = continued(&home, &remote, 50);
    assert_eq!(remote.deletes(), 60, "those in doubt are asked for again");
}

/// The same account at the same address after its troubles, with so many users left.
fn continued(home: &Home, old: &Remote, left: usize) -> Remote {
    let new = Remote::start(&["--orgs", "3", "--users", "60", "--all-on", "2005-12-17"]);
    let kind = windlass_connectors::workos::sim::Kind::User;
    for id in old.deleted() {
        assert!(new.sim.delete_by_someone_else(kind, &id));
    }
    assert_eq!(new.sim.remaining_users().len(), left);
    old.hand_over(&new);
    home.at(old, &["resume"]).run().code(0);
    assert!(new.sim.remaining_users().is_empty());
    new
}

#[test]
fn a_revoked_key_ends_the_run_and_a_good_one_goes_on() {
    let (home, remote) = (Home::new(), users(120, &["--latency", "5ms..20ms"]));
    let seen = Arc::new(AtomicUsize::new(0));
    remote.door(move |request| {
        let delete = request.method() == "DELETE";
        let after = delete && seen.fetch_add(1, Ordering::SeqCst) >= 40;
        after.then(|| answer(401, "application/json", r#"{"message":"Unauthorized"}"#))
    });
    let ended = home.at(&remote, &[DAY, &["--concurrency", "8"]].concat()).run().code(6);
    assert!(ended.out.contains("Failed to delete:      0"), "{}", ended.out);
    assert!(ended.out.contains("ended by: Unauthorized (status 401)"), "{}", ended.out);
    let hint = format!("`windlass resume {}` goes on", home.run());
    assert!(ended.err.contains(&hint), "{}", ended.err);
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("ended by an error, resumable"));
    assert_eq!(remote.deleted().len(), 40);
    // Still revoked: nothing fails, nothing is lost.
    home.at(&remote, &["resume"]).run().code(6);
    remote.no_door();
    resumed(&home, &remote, 120, 0);
}

#[test]
fn a_replaced_key_has_to_be_meant() {
    let remote = users(60, &["--key", KEY, "--key", "sk_test_replaced"]);
    let home = Home::new();
    let seen = Arc::new(AtomicUsize::new(0));
    remote.door(move |request| {
        let old = request.headers()["authorization"].to_str().unwrap().ends_with(KEY);
        let delete = request.method() == "DELETE";
        let revoked = old && delete && seen.fetch_add(1, Ordering::SeqCst) >= 20;
        revoked.then(|| answer(401, "application/json", r#"{"message":"Unauthorized"}"#))
    });
    home.at(&remote, DAY).run().code(6);
    let other = |words: &[&str]| home.at(&remote, words).env("WORKOS_API_KEY", "sk_test_replaced");
    let ended = other(&["resume"]).run().code(5);
    expect![[r#"
        error: the plan was made with another key or account (FINGERPRINT) than the present \
        one (FINGERPRINT)

        hint: set WORKOS_API_KEY to the key of the plan's account, or make a new plan; \
        `windlass resume --new-key` goes on with a run whose key was replaced
    "#]]
    .assert_eq(&ended.error());
    other(&["resume", "--new-key"]).run().code(0);
    assert_eq!((remote.deleted().len(), remote.deletes()), (60, 60));
}

#[test]
fn forbidden_again_and_again_is_about_the_key() {
    let remote = users(60, &["--read-only-key", "sk_test_reader"]);
    let home = Home::new();
    let program = home.at(&remote, DAY).env("WORKOS_API_KEY", "sk_test_reader");
    let ended = program.run().code(6);
    assert!(ended.out.contains("Failed to delete:      0"), "{}", ended.out);
    assert!(ended.out.contains("ended by: You do not have permission"), "{}", ended.out);
}

#[test]
fn a_remote_that_stays_away_ends_the_run_resumable() {
    let (home, remote) = (Home::new(), users(60, &[]));
    let seen = Arc::new(AtomicUsize::new(0));
    remote.door(move |request| {
        let delete = request.method() == "DELETE";
        let after = delete && seen.fetch_add(1, Ordering::SeqCst) >= 20;
        after.then(|| answer(503, "text/html", "<html>down</html>"))
    });
    let words = [DAY, &["--deadline", "2s", "--concurrency", "4"]].concat();
    let ended = home.at(&remote, &words).run().code(7);
    assert!(ended.out.contains("no good answer from workos for 2s"), "{}", ended.out);
    assert!(ended.out.contains("Failed to delete:      0"), "{}", ended.out);
    remote.no_door();
    resumed(&home, &remote, 60, 0);
}

#[test]
fn there_is_nothing_to_resume() {
    let (home, remote) = (Home::new(), users(5, &[]));
    let ended = home.at(&remote, &["resume"]).run().code(2);
    expect![[r#"
        error: there is no run to resume

        hint: `windlass runs` lists all of them
    "#]]
    .assert_eq(&ended.error());
    home.at(&remote, DAY).run().code(0);
    home.at(&remote, &["resume"]).run().code(2);
    let ended = home.at(&remote, &["resume", &home.run()]).run().code(0);
    assert!(ended.err.contains("has nothing left to do"), "{}", ended.err);
    let ended = home.at(&remote, &["resume", "workos-1999"]).run().code(2);
    expect![[r#"
        error: there is no run `workos-1999`

        hint: `windlass runs` lists them
    "#]]
    .assert_eq(&ended.error());
}

#[test]
fn a_run_that_was_only_planned_is_not_resumed() {
    let (home, remote) = (Home::new(), users(5, &[]));
    home.at(&remote, &["workos", "delete", "2005-12-17", "-n"]).run().code(0);
    let ended = home.at(&remote, &["resume", &home.run()]).run().code(5);
    expect![[r#"
        error: run RUN was only planned, never begun

        hint: `windlass apply RUN` carries the plan out
    "#]]
    .assert_eq(&ended.error());
    let ended = home.at(&remote, &["resume"]).run().code(2);
    assert!(ended.err.contains("there is no run to resume"), "{}", ended.err);
}

#[test]
fn two_processes_never_work_on_one_run() {
    let (home, remote) = (Home::new(), users(150, &["--latency", "20ms"]));
    let running = begun(&home, &remote, 10);
    let ended = home.at(&remote, &["resume", &home.run()]).run().code(5);
    expect![[r#"
        error: another process is at work on run RUN

        hint: `windlass ctl RUN status` asks it; wait for it to end, or stop it
    "#]]
    .assert_eq(&ended.error());
    let ended = home.at(&remote, &["resume"]).run().code(2);
    expect![[r#"
        error: there is no run to resume

        hint: a process is at work on run RUN: `windlass ctl RUN status` asks it
    "#]]
    .assert_eq(&ended.error());
    home.at(&remote, &["apply", &home.run(), "--yes"]).run().code(5);
    running.wait().code(0);
    assert_eq!((remote.deleted().len(), remote.deletes()), (150, 150));
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        return a_journal_at_its_file_limit_stops_the_run();
    };
    let (home, remote) = (Home::new(), users(300, &["--latency", "10ms"]));
    let state = folder.path().to_str().unwrap();
    let words = [DAY, &["--max-requests-per-second", "100", "--state-dir", state]].concat();
    let running = home.at(&remote, &words).spawn();
    remote.wait_for_deletes(50);
    disk.fill();
    let ended = running.wait().code(4);
    assert!(ended.err.contains("the journal can't be written: No space left"), "{}", ended.err);
    assert!(ended.out.contains("the journal could not be written: No space"), "{}", ended.out);
    assert!(ended.err.contains("hint: `windlass resume workos-"), "{}", ended.err);
    // Still full: a clear error, and nothing is sent.
    let before = remote.deletes();
    assert!(before < 300);
    let ended = home.at(&remote, &["resume", "--state-dir", state]).run();
    assert_eq!((remote.deletes(), ended.status.code()), (before, Some(4)), "{ended:?}");
    disk.free();
    let run = folder.path().join("runs");
    let run = std::fs::read_dir(run).unwrap().next().unwrap().unwrap().path();
    let recorded = settled(&run.join("journal"));
    home.at(&remote, &["resume", "--state-dir", state]).run().code(0);
    let after: BTreeSet<String> = remote.asked().split_off(before).into_iter().collect();
    assert!(after.is_disjoint(&recorded));
    assert_eq!((remote.deleted().len(), keys(&run.join("plan.jsonl")).len()), (300, 300));
}

/// Without a disk of our own: the system allows no file beyond this size.
fn a_journal_at_its_file_limit_stops_the_run() {
    if !is_installed("bash") {
        return skipped("a full disk: this process may not mount one, and bash is missing");
    }
    let (home, remote) = (Home::new(), users(300, &["--latency", "10ms"]));
    let running = begun(&home, &remote, 50);
    running.signal("INT");
    running.wait().code(4);
    let kilobytes = std::fs::metadata(home.of_run("journal")).unwrap().len() / 1024;
    let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" resume", kilobytes + 16);
    let mut command = Command::new("bash");
    command.arg("-c").arg(limit).arg(env!("CARGO_BIN_EXE_windlass"));
    let program = home.program(command).env("WORKOS_BASE_URL", &remote.url);
    let ended = program.env("WORKOS_API_KEY", KEY).run().code(4);
    assert!(ended.err.contains("the journal can't be written: File too large"), "{}", ended.err);
    resumed(&home, &remote, 300, 80);
}

const SMALL_DISK_BYTES: usize = 2 << 20;

/// A disk of two megabytes that can be filled to its last byte.
pub struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    pub fn mount(path: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(path);
        let done = mount.output().is_ok_and(|output| output.status.success());
        done.then_some(Self(path))
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    /// Leaves room for so many bytes.
    pub fn fill_but(&self, bytes: usize) {
        std::fs::write(self.0.join("filler"), vec![0; SMALL_DISK_BYTES - bytes]).unwrap();
    }

    pub fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_listing_that_finds_no_room_leaves_no_plan() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        return skipped("a full disk while listing: this process may not mount one");
    };
    let (home, remote) = (Home::new(), users(50, &[]));
    disk.fill();
    let state = folder.path().to_str().unwrap();
    let ended = home.at(&remote, &[DAY, &["--state-dir", state]].concat()).run();
    assert!(matches!(ended.status.code(), Some(2)), "{ended:?}");
    assert!(ended.error().contains("No space left on device"), "{}", ended.err);
    assert!(ended.error().contains("hint: "), "{}", ended.err);
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn an_interrupt_while_listing_leaves_nothing() {
    let (home, remote) = (Home::new(), users(500, &["--latency", "150ms"]));
    let running = home.at(&remote, DAY).spawn();
    wait_until("the second page", || remote.sim.ledger().len() >= 2);
    running.signal("INT");
    let ended = running.wait().code(4);
    expect![[r#"
        error: stopped while listing; nothing was changed

        hint: run the same command again
    "#]]
    .assert_eq(&ended.error());
    assert!(home.runs().is_empty());
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn the_same_command_goes_on_with_its_own_run() {
    let (home, remote) = (Home::new(), users(150, &["--latency", "20ms"]));
    let again = [DAY, &["--resume"]].concat();
    let none = home.at(&remote, &again).run().code(2);
    expect![[r#"
        error: there is no unfinished run of this command

        hint: leave --resume out to begin one; `windlass runs` lists the others, and \
        `windlass resume RUN` goes on with one of them
    "#]]
    .assert_eq(&none.error());
    let running = begun(&home, &remote, 20);
    let busy = home.at(&remote, &again).run().code(2);
    expect![[r#"
        error: there is no unfinished run of this command

        hint: a process is at work on run RUN: `windlass ctl RUN status` asks it
    "#]]
    .assert_eq(&busy.error().replace(&home.run(), "RUN"));
    running.signal("INT");
    running.wait().code(4);
    // Another selection is another command, and so is the same at another place.
    let day = ["workos", "delete", "2005-12-18", "--users-only", "--resume"];
    let other = home.at(&remote, &day).run().code(2);
    assert!(other.err.contains("there is no unfinished run of this command"), "{}", other.err);
    let elsewhere = home.at(&remote, &[&again[..], &["--base-url", "http://localhost:9"]].concat());
    elsewhere.run().code(2);
    let before = remote.deletes();
    assert!(before < 150 && home.runs().len() == 1);
    let ended = home.at(&remote, &again).run().code(0);
    assert!(ended.err.starts_with("Resuming run workos-"), "{}", ended.err);
    assert_eq!((remote.deletes(), remote.deleted().len(), home.runs().len()), (150, 150, 1));
    let done = home.at(&remote, &again).run().code(2);
    assert!(done.err.contains("there is no unfinished run of this command"), "{}", done.err);
}

#[test]
fn the_folder_of_a_killed_listing_is_removed_when_it_is_old() {
    let slow = ["--fault-method", "GET", "--slow-rate", "1", "--slow-by", "20s"];
    let (home, remote) = (Home::new(), users(60, &slow));
    let listing = || {
        let mut running = home.at(&remote, DAY).spawn();
        wait_until("the beginning of a plan", || {
            let runs = home.runs();
            let folder = |name: &String| home.state().join("runs").join(name).join("lock").exists();
            runs.iter().any(folder) && !remote.sim.ledger().is_empty()
        });
        running.is_running().then_some(running).unwrap()
    };
    let mut killed = listing();
    let folder = home.state().join("runs").join(home.run());
    let partial = folder.join("plan.jsonl.partial");
    let age = |seconds: u64| {
        let then = std::time::SystemTime::now() - Duration::from_secs(seconds);
        for path in [&partial, &folder.join("lock"), &folder] {
            std::fs::File::open(path).unwrap().set_modified(then).unwrap();
        }
    };
    age(7200);
    home.windlass(&["runs"]).run().code(0);
    assert!(partial.exists(), "a listing that is at work is left alone, however long it takes");
    killed.kill();
    age(3000);
    home.windlass(&["runs"]).run().code(0);
    assert!(partial.exists(), "a young one is left alone");
    age(3700);
    std::fs::write(folder.join("journal"), "").unwrap();
    std::fs::File::open(&folder).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    home.windlass(&["runs"]).run().code(0);
    assert!(partial.exists(), "one with a journal is left alone");
    std::fs::remove_file(folder.join("journal")).unwrap();
    age(3700);
    let ended = home.windlass(&["runs"]).run().code(0);
    assert!(!folder.exists());
    assert_eq!(ended.err, "There are no runs yet. `windlass demo` makes one.\n");
}
