//! What a run takes of this machine, and what it does when that is too much.

use crate::support::{Home, Remote, wait_until};

const DAY: &[&str] =
    &["workos", "delete", "2005-12-17", "--users-only", "--yes", "--quota", "unlimited"];

/// A run that would take minutes at its own rate.
fn world() -> (Home, Remote) {
    let world = ["--orgs", "0", "--users", "300", "--all-on", "2005-12-17", "--no-limits"];
    (Home::new(), Remote::start(&world))
}

#[test]
fn a_run_without_memory_to_spare_does_nothing_and_says_why() {
    let (home, remote) = world();
    let words = [DAY, &["--max-requests-per-second", "2"]].concat();
    let running = home.at(&remote, &words).env("MEMORY_LIMIT_MB", "1").spawn();
    let held = "warning: held by memory: memory is at ";
    wait_until("the first look", || running.err().contains(held));
    // What was on the wire is answered; then nothing follows, which is more than its rate needs.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let before = remote.deletes();
    assert!(before < 30, "{before} of 300");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(remote.deletes(), before, "silence");
    home.windlass(&["ctl", &home.run(), "stop"]).run().code(0);
    let ended = running.wait().code(4);
    assert!(ended.err.contains("(memory-limit 1 MB), nothing new is sent\n"), "{}", ended.err);
    assert!(ended.err.contains("warning: alert memory: memory is at "), "{}", ended.err);
    assert_eq!(ended.err.matches(held).count(), 1, "told once: {}", ended.err);
    let journal = std::fs::read_to_string(home.of_run("journal")).unwrap();
    assert_eq!(journal.matches("\"event\":\"held\"").count(), 1, "{journal}");

    let ended = home.at(&remote, &["resume"]).run().code(0);
    assert!(!ended.err.contains(held), "{}", ended.err);
    assert_eq!((remote.deletes(), remote.deleted().len()), (300, 300), "nothing twice");
}

#[test]
fn the_load_is_told_to_programs_and_kept_in_a_metrics_file() {
    let (home, remote) = world();
    let file = home.path().join("windlass.prom");
    let words = [
        DAY,
        &["--max-requests-per-second", "100", "--metrics-file", file.to_str().unwrap()],
        &["--output", "json"],
    ];
    let out = home.at(&remote, &words.concat()).run().code(0).out;
    let load = out.lines().find(|line| line.contains("\"event\":\"load\"")).unwrap();
    let load: serde_json::Value = serde_json::from_str(load).unwrap();
    let cpu = load["cpu"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&cpu), "{load}");
    let (used, limit) = (&load["memory_bytes"], &load["memory_limit_bytes"]);
    assert!(used.as_u64().unwrap() > 1 << 20 && used.as_u64() < limit.as_u64(), "{load}");

    let text = std::fs::read_to_string(&file).unwrap();
    let labels = format!("{{run=\"{}\",system=\"workos\",operation=\"delete\"", home.run());
    for line in [
        format!("windlass_steps{labels}}} 300\n"),
        format!("windlass_steps_settled_total{labels},outcome=\"done\"}} 300\n"),
        format!("windlass_phase_settled_total{labels},phase=\"users\",outcome=\"done\"}} 300\n"),
        format!("windlass_memory_bytes{labels}}} {used}\n"),
        format!("windlass_alert{labels},name=\"memory\"}} 0\n"),
    ] {
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_metrics_file_that_can_t_be_written_is_told_once_and_hurts_nothing() {
    let (home, remote) = world();
    let words = [DAY, &["--metrics-file", "/no/such/folder/windlass.prom"]].concat();
    let ended = home.at(&remote, &words).run().code(0);
    let told = "warning: the metrics file /no/such/folder/windlass.prom can't be written: ";
    assert!(ended.err.contains(told), "{}", ended.err);
    assert_eq!(remote.deleted().len(), 300);
}
