//! Goal: a plan comes back from the disk exactly as it was written, or not at all.

use super::*;
use crate::job::Step;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn draft(phases: &[&'static str]) -> Draft {
    Draft {
        id: "20260101-000000-abcd".into(),
        system: "test".into(),
        operation: "delete".into(),
        account: "f00d".into(),
        base_url: "http://localhost".into(),
        created_unix_ms: 1_767_225_600_000,
        options: json!({ "before": "2026-01-01", "odd": "a\u{1f}b" }),
        phases: phases.iter().map(ToString::to_string).collect(),
    }
}

fn writer(path: &Path) -> PlanWriter {
    PlanWriter::create(path, draft(&["users", "organizations"])).unwrap()
}

fn raw(value: &serde_json::Value) -> Box<RawValue> {
    to_raw_value(value).unwrap()
}

fn push(plan: &mut PlanWriter, key: &str) -> Pushed {
    plan.push(key, &format!("label of {key}"), &raw(&json!({ "id": key }))).unwrap()
}

/// A plan with two phases, three steps and one object left out.
fn small(path: &Path) -> Header {
    let mut plan = writer(path);
    plan.saw(3);
    push(&mut plan, "u1");
    plan.leave("u2", "Bo", "is an owner").unwrap();
    push(&mut plan, "u3");
    plan.enter_phase(1);
    plan.saw(1);
    push(&mut plan, "o1");
    plan.finish().unwrap()
}

fn steps(plan: &Plan) -> Vec<Step> {
    let mut lines = plan.lines().unwrap();
    std::iter::from_fn(|| lines.next_step().unwrap()).collect()
}

#[test]
fn it_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let written = small(&path);
    let plan = Plan::open(&path).unwrap();
    assert_eq!(plan.header, written);
    assert_eq!(plan.path(), path);
    assert_eq!((written.steps, written.seen()), (3, 4));
    assert_eq!(written.left.get("is an owner"), Some(&1));
    let counts: Vec<_> = written.phases.iter().map(|phase| (phase.steps, phase.seen)).collect();
    assert_eq!(counts, [(2, 3), (1, 1)]);

    let mut lines = plan.lines().unwrap();
    let mut seen = Vec::new();
    while let Some(line) = lines.next_line().unwrap() {
        seen.push(match line {
            Line::Step(step) => {
                assert!(!step.in_doubt);
                assert_eq!(step.object.get(), format!("{{\"id\":\"{}\"}}", step.key));
                format!("{} {} {} {}", step.number, step.phase, step.key, step.label)
            }
            Line::Left(left) => {
                format!("left {} {} {} {}", left.phase, left.key, left.label, left.reason)
            }
        });
    }
    let expected = [
        "0 0 u1 label of u1",
        "left users u2 Bo is an owner",
        "1 0 u3 label of u3",
        "2 1 o1 label of o1",
    ];
    assert_eq!(seen, expected);
    assert_eq!(steps(&plan).len(), 3);
}

#[test]
fn a_key_is_there_once_in_each_phase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let mut plan = writer(&path);
    assert_eq!(push(&mut plan, "a"), Pushed::New);
    assert_eq!(push(&mut plan, "b"), Pushed::New);
    assert_eq!(push(&mut plan, "a"), Pushed::Repeated);
    plan.enter_phase(1);
    assert_eq!(push(&mut plan, "a"), Pushed::New);
    assert_eq!(push(&mut plan, "a"), Pushed::Repeated);
    assert_eq!(plan.finish().unwrap().steps, 3);
    let found: Vec<_> = steps(&Plan::open(&path).unwrap())
        .into_iter()
        .map(|step| (step.number, step.phase, String::from(step.key)))
        .collect();
    assert_eq!(found, [(0, 0, "a".into()), (1, 0, "b".into()), (2, 1, "a".into())]);
}

#[test]
#[should_panic(expected = "phases come in order")]
fn phases_do_not_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = writer(&folder.path().join("plan.jsonl"));
    plan.enter_phase(1);
    plan.enter_phase(0);
}

/// Counts at their widest and reasons by the hundred: an hour of listing must not be lost because
/// the header is full at its end.
#[test]
fn the_header_has_room_for_whatever_is_known_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let phases = ["organizations", "users", "connections", "directories", "invitations"];
    let mut plan = PlanWriter::create(&path, draft(&phases)).unwrap();
    for phase in 0..phases.len() {
        plan.enter_phase(phase);
        plan.saw(1 << 61);
    }
    for number in 0..500 {
        plan.leave("key", "label", &format!("it has \"{number}\" members 🧱 too many")).unwrap();
    }
    plan.finish().unwrap();
    let header = Plan::open(&path).unwrap().header;
    assert_eq!(header.seen(), 5 << 61);
    assert_eq!(header.left.values().sum::<u64>(), 500);
}

#[test]
fn every_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    small(&path);
    let whole = fs::read(&path).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for (at, &byte) in whole.iter().enumerate() {
        let mut others: Vec<u8> = (0..8).map(|bit| byte ^ (1 << bit)).collect();
        others.extend(b"\n\t 09\"".iter().copied().filter(|other| *other != byte));
        for other in others {
            file.write_all_at(&[other], at as u64).unwrap();
            let opened = Plan::open(&path);
            assert!(opened.is_err(), "byte {at}: {byte:#x} became {other:#x} unnoticed");
        }
        file.write_all_at(&[byte], at as u64).unwrap();
    }
    Plan::open(&path).unwrap();
}

#[test]
fn every_truncation_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    small(&path);
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for shorter in (0..length).rev() {
        file.set_len(shorter).unwrap();
        let error = Plan::open(&path).unwrap_err();
        assert!(matches!(error, PlanError::Damaged { .. }), "at {shorter} bytes: {error}");
    }
}

#[test]
fn more_at_the_end_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    small(&path);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"step\":3,\"key\":\"x\",\"label\":\"x\",\"object\":{}}\n").unwrap();
    assert!(matches!(Plan::open(&path), Err(PlanError::Damaged { .. })));
}

#[test]
fn an_interrupted_listing_leaves_no_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let mut plan = writer(&path);
    push(&mut plan, "a");
    drop(plan);
    assert!(!path.exists());
    let partial = folder.path().join("plan.jsonl.partial");
    assert!(matches!(Plan::open(&partial), Err(PlanError::Unfinished { .. })));
    small(&path);
    assert!(!partial.exists(), "the next listing takes the place of the interrupted one");
}

#[test]
fn a_newer_format_is_refused_before_its_fields_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    fs::write(&path, "{\"shape\":[1],\"windlass_plan\":3,\"digest\":7}\nanything\n").unwrap();
    assert!(matches!(Plan::open(&path), Err(PlanError::Newer { found: 3, .. })));
    for odd in ["", "\n", "hello\n", "{}\n", "[]\n", "{\"windlass_plan\":1}\n"] {
        fs::write(&path, odd).unwrap();
        let error = Plan::open(&path).unwrap_err();
        assert!(matches!(error, PlanError::Damaged { .. }), "{odd:?}: {error}");
        assert!(!error.hint().is_empty());
    }
    assert!(matches!(Plan::open(&folder.path().join("none")), Err(PlanError::Io { .. })));
}

#[test]
fn a_step_belongs_to_the_phase_that_its_number_falls_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut header = small(&folder.path().join("plan.jsonl"));
    let phase = |name: &str, steps| Phase { name: name.into(), steps, seen: 0 };
    header.phases = vec![phase("none", 0), phase("two", 2), phase("empty", 0), phase("three", 3)];
    let found: Vec<_> = (0..6).map(|number| header.phase_of(number)).collect();
    assert_eq!(found, [1, 1, 3, 3, 3, 3]);
    header.phases.clear();
    assert_eq!(header.phase_of(0), 0);
}

#[test]
fn odd_texts_survive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let texts = [
        "",
        " ",
        "\"",
        "\\",
        "\\\"\n\\",
        "a\nb\r\nc\td",
        "\u{0}\u{1f}\u{7f}",
        "🧱",
        "e\u{301}",
        "\u{202e}",
        "Zoë O'Brien",
        "{\"left\":1}",
        "left",
        "\u{2028}\u{2029}",
        "\u{10ffff}",
        "日本語",
        "\u{feff}",
    ];
    let mut plan = writer(&path);
    for text in texts {
        let object = raw(&json!({ "name": text, "n": 1.0 }));
        let label = format!("{text}!");
        assert_eq!(plan.push(text, &label, &object).unwrap(), Pushed::New);
        plan.leave(text, text, "odd").unwrap();
    }
    plan.finish().unwrap();
    let plan = Plan::open(&path).unwrap();
    let found = steps(&plan);
    assert_eq!(found.len(), texts.len());
    for (step, text) in found.iter().zip(texts) {
        assert_eq!((&*step.key, &*step.label), (text, &*format!("{text}!")));
        let object: serde_json::Value = serde_json::from_str(step.object.get()).unwrap();
        assert_eq!(object, json!({ "name": text, "n": 1.0 }));
    }
    assert_eq!(plan.header.left["odd"], texts.len() as u64);
}

/// The object is kept as the remote wrote it: digits of a number, doubled fields, half of a
/// surrogate pair. A remote that writes its JSON over several lines must not break ours.
#[test]
fn an_object_keeps_its_own_writing_but_stays_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let kept = r#"{"n":1.00,"big":123456789012345678901234567890,"a":1,"a":2,"half":"\ud83d"}"#;
    let tall = "{\n  \"id\": \"a\\nb\",\r\n  \"list\": [\n    1,\n    2\n  ]\n}";
    let mut plan = writer(&path);
    for (key, text) in [("kept", kept), ("tall", tall)] {
        let object = RawValue::from_string(text.to_owned()).unwrap();
        plan.push(key, key, &object).unwrap();
    }
    plan.finish().unwrap();
    let found = steps(&Plan::open(&path).unwrap());
    assert_eq!(found[0].object.get(), kept);
    let back: serde_json::Value = serde_json::from_str(found[1].object.get()).unwrap();
    assert_eq!(back, serde_json::from_str::<serde_json::Value>(tall).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
}

/// 100,000 steps of 200 bytes: the reader holds one line, so that reading them is a stream, and
/// two readers do not disturb each other.
#[test]
fn a_long_plan_is_a_stream() {
    const STEPS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    let object = raw(&json!({ "text": "x".repeat(150) }));
    let mut plan = writer(&path);
    for number in 0..STEPS {
        if number == STEPS / 2 {
            plan.enter_phase(1);
        }
        plan.push(&format!("key{number}"), "label", &object).unwrap();
    }
    assert_eq!(plan.finish().unwrap().steps, STEPS);
    let plan = Plan::open(&path).unwrap();
    let (mut ahead, mut behind) = (plan.lines().unwrap(), plan.lines().unwrap());
    for number in 0..STEPS {
        let step = ahead.next_step().unwrap().unwrap();
        assert_eq!((step.number, step.phase), (number, usize::from(number >= STEPS / 2)));
        if number % 2 == 0 {
            assert_eq!(behind.next_step().unwrap().unwrap().number, number / 2);
        }
    }
    assert!(ahead.next_step().unwrap().is_none());
    assert!(ahead.next_step().unwrap().is_none(), "the end stays the end");
    assert_eq!(behind.next_step().unwrap().unwrap().number, STEPS / 2);
}

#[test]
fn a_line_that_breaks_under_the_reader_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.jsonl");
    small(&path);
    let plan = Plan::open(&path).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::End(-10)).unwrap();
    file.write_all(b"##").unwrap();
    let mut lines = plan.lines().unwrap();
    assert_eq!(lines.next_step().unwrap().unwrap().number, 0);
    assert_eq!(lines.next_step().unwrap().unwrap().number, 1);
    assert!(matches!(lines.next_step(), Err(PlanError::Damaged { .. })));
}
