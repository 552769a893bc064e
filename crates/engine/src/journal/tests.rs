//! Goal: whatever happens to the file, a journal that opens tells the truth. Method: a journal
//! with every kind of event is cut, flipped and written to a failing disk at each of its bytes.

use super::files::{Faulty, Files, Memory};
use super::record::{read_event, unseal, write_event};
use super::*;
use crate::event::{Ending, Event, Settled, Stamped};
use crate::failure::{Failure, Kind};
use crate::job::Outcome;
use crate::moment::Moment;
use crate::plan::{Header, Phase};
use crate::tally::Tally;
use std::collections::BTreeMap;
use std::io::Read;

const DIGEST: &str = "0123abcd";

fn header() -> Header {
    let phase = |name: &str, steps| Phase { name: name.into(), steps, seen: steps };
    Header {
        windlass_plan: 1,
        id: "run".into(),
        system: "test".into(),
        operation: "delete".into(),
        account: "f00d".into(),
        base_url: "http://localhost".into(),
        created_unix_ms: 1,
        options: serde_json::Value::Null,
        phases: vec![phase("users", 6), phase("organizations", 4)],
        left: BTreeMap::new(),
        steps: 10,
        digest: DIGEST.into(),
    }
}

fn failure(kind: Kind) -> Failure {
    let mut failure = Failure::new(kind, "said \"no\"\nfor 🧱").with_hint("ask");
    failure.status = Some(422);
    failure.code = Some("not_allowed".into());
    failure.request_id = Some("req 1".into());
    failure
}

fn settled(step: u64, outcome: Outcome) -> Settled {
    let label = (outcome != Outcome::Done).then(|| "Zoë\n\"O\"".into());
    Settled { step, key: format!("key\t{step}").into(), label, outcome }
}

fn answered(steps: Vec<Settled>) -> Event {
    let request_id = Some("req_1".into());
    Event::Settled { steps, latency_us: 1500, attempts: 2, status: Some(204), request_id }
}

fn started(session: u32) -> Event {
    Event::RunStarted {
        version: 1,
        run: "run".into(),
        unix_ms: 1_767_225_600_000,
        session,
        steps: 10,
        finished: 0,
        seed: u64::MAX,
        best_ms: Some(1),
    }
}

fn ended(ending: Ending) -> Event {
    Event::RunEnded { ending }
}

/// A first session in which everything happens, and is aborted with step 5 on the wire.
fn first_session() -> Vec<Event> {
    let text = |text: &str| String::from(text);
    vec![
        started(1),
        Event::Begun { steps: [0, 1, 2, 3, 4, 5, 6].into_iter().collect() },
        answered(vec![settled(0, Outcome::Done), settled(1, Outcome::DoneConfirmed)]),
        answered(vec![settled(2, Outcome::AlreadyGone)]),
        answered(vec![settled(3, Outcome::Failed(Box::new(failure(Kind::Rejected))))]),
        answered(vec![settled(4, Outcome::Skipped("changed since".into()))]),
        Event::Throttled { operation: text("x"), wait_ms: 9, told: true, request_id: None },
        Event::Retrying {
            operation: text("delete"),
            attempt: 1,
            kind: Kind::Unavailable,
            message: text("status 503"),
            wait_ms: 250,
        },
        Event::BreakerOpened { message: text("status 503") },
        Event::BreakerClosed,
        Event::Paused,
        Event::Resumed,
        Event::RateSet { per_second: Some(2.5) },
        Event::RateSet { per_second: None },
        Event::Warning { message: text("odd") },
        Event::Returned { steps: [6].into_iter().collect() },
        Event::Stopping { reason: text("interrupt") },
        answered(vec![settled(5, Outcome::InDoubt)]),
        ended(Ending::Aborted),
    ]
}

/// A second session that tries step 3 again, and dies.
fn second_session() -> Vec<Event> {
    vec![
        started(2),
        Event::Reopened { steps: [3].into_iter().collect() },
        Event::Begun { steps: [3, 5, 7, 8].into_iter().collect() },
        answered(vec![settled(5, Outcome::DoneConfirmed)]),
        answered(vec![settled(7, Outcome::Failed(Box::new(failure(Kind::Conflict))))]),
        ended(Ending::JournalLost("no space".into())),
        ended(Ending::Fatal(Box::new(failure(Kind::Denied)))),
        ended(Ending::Stopped),
        ended(Ending::Complete),
        answered(vec![settled(8, Outcome::Done)]),
    ]
}

fn stamped() -> Vec<Stamped> {
    let session = |events: Vec<Event>| {
        let at = |(index, event)| Stamped { at: Moment::from_micros(index as u64 * 700), event };
        events.into_iter().enumerate().map(at)
    };
    session(first_session()).chain(session(second_session())).collect()
}

fn journal_of(events: &[Stamped]) -> Vec<u8> {
    let memory = Memory::default();
    let mut journal = Journal::create(Box::new(memory.clone()), &header()).unwrap();
    for stamped in events {
        journal.append(stamped.at, &stamped.event);
    }
    journal.write().unwrap();
    memory.content()
}

fn memory_of(bytes: &[u8]) -> Memory {
    let mut memory = Memory::default();
    memory.append(bytes).unwrap();
    memory
}

fn read(bytes: &[u8]) -> Result<Vec<Stamped>, JournalError> {
    let mut events = Vec::new();
    replay(bytes, &header(), |stamped| events.push(stamped.clone()))?;
    Ok(events)
}

/// Where the lines begin, and where the last one ends.
fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

#[test]
fn every_event_comes_back_from_its_line() {
    let page = Event::Page {
        phase: "users".into(),
        page: 1,
        seen: 100,
        selected: 7,
        latency_us: 80_000,
        request_id: Some("r".into()),
    };
    let mut events = stamped();
    events.push(Stamped { at: Moment::from_micros(u64::MAX - 1), event: page.clone() });
    for stamped in &events {
        let mut line = Vec::new();
        write_event(&mut line, stamped.at, &stamped.event);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(!line.contains(&b'\n'), "an event is one line");
        assert_eq!(&read_event(unseal(&line).unwrap()).unwrap(), stamped);
    }
    let memory = Memory::default();
    let mut journal = Journal::create(Box::new(memory.clone()), &header()).unwrap();
    journal.append(Moment::ZERO, &page);
    journal.write().unwrap();
    assert_eq!(line_starts(&memory.content()).len(), 2, "pages are not kept");
}

#[test]
fn a_journal_is_read_as_it_was_written() {
    let bytes = journal_of(&stamped());
    assert_eq!(read(&bytes).unwrap(), stamped());
    let text = String::from_utf8(bytes).unwrap();
    let line = text.lines().nth(3).unwrap();
    assert!(line.contains("key\\t0") && line.contains("\"done\""), "grep finds it: {line}");
}

/// The bits and the totals of a journal that is opened are those of a run that watched.
#[test]
fn what_is_recovered_is_the_fold_over_the_live_events() {
    let events = stamped();
    for known in 0..=events.len() {
        let (known, _) = events.split_at(known);
        let memory = memory_of(&journal_of(known));
        let (_, recovered) = Journal::open(Box::new(memory), &header()).unwrap();
        let mut tally = Tally::new(&header());
        known.iter().for_each(|stamped| tally.take_in(stamped));
        assert_eq!(format!("{:?}", recovered.tally), format!("{tally:?}"));
        let failed = tally.counts.failed;
        assert_eq!(
            (recovered.finished.count(), recovered.failed.count()),
            (tally.counts.settled(), failed)
        );
    }
    let (_, first) = Journal::open(
        Box::new(memory_of(&journal_of(&events[..first_session().len()]))),
        &header(),
    )
    .unwrap();
    assert_eq!(first.finished.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert_eq!(first.failed.iter().collect::<Vec<_>>(), [3]);
    assert_eq!(first.in_doubt.iter().collect::<Vec<_>>(), [5], "6 was given back");
    let (_, second) = Journal::open(Box::new(memory_of(&journal_of(&events))), &header()).unwrap();
    assert_eq!(second.finished.iter().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 7, 8]);
    assert_eq!(second.failed.iter().collect::<Vec<_>>(), [7]);
    assert_eq!(second.in_doubt.iter().collect::<Vec<_>>(), [3], "begun again and not settled");
    let tally = &second.tally;
    assert_eq!((tally.counts.done, tally.confirmed, tally.counts.failed), (4, 2, 1));
    assert_eq!((tally.sessions, tally.retries, tally.throttled), (2, 1, 1));
    assert_eq!(tally.failures.iter().collect::<Vec<_>>(), [(&Kind::Conflict, &1)]);
}

/// A failure that may have happened is final, but if it is tried again the job must know.
#[test]
fn a_reopened_failure_that_may_have_happened_is_in_doubt() {
    let mut lost = failure(Kind::TimedOut);
    lost.may_have_happened = true;
    let refused = failure(Kind::Rejected);
    let mut events = vec![
        started(1),
        Event::Begun { steps: [0, 1].into_iter().collect() },
        answered(vec![settled(0, Outcome::Failed(Box::new(lost)))]),
        answered(vec![settled(1, Outcome::Failed(Box::new(refused)))]),
    ];
    let open = |events: &[Event]| {
        let stamp = |event: &Event| Stamped { at: Moment::ZERO, event: event.clone() };
        let bytes = journal_of(&events.iter().map(stamp).collect::<Vec<_>>());
        Journal::open(Box::new(memory_of(&bytes)), &header()).unwrap().1
    };
    let recovered = open(&events);
    assert_eq!(recovered.finished.count(), 2);
    assert_eq!(recovered.in_doubt.iter().collect::<Vec<_>>(), [0]);
    events.push(Event::Reopened { steps: [0, 1].into_iter().collect() });
    let recovered = open(&events);
    assert_eq!((recovered.finished.count(), recovered.failed.count()), (0, 0));
    assert_eq!(recovered.in_doubt.iter().collect::<Vec<_>>(), [0]);
    events.push(answered(vec![settled(0, Outcome::Done)]));
    assert_eq!(open(&events).in_doubt.count(), 0);
}

#[test]
fn a_torn_end_is_dropped_at_every_byte_and_the_journal_goes_on() {
    let events = stamped();
    let bytes = journal_of(&events);
    let starts = line_starts(&bytes);
    for cut in 0..=bytes.len() {
        let (rest, _) = bytes.split_at(cut);
        let whole_lines = starts.iter().filter(|start| **start <= cut && **start > 0).count();
        let kept = whole_lines.saturating_sub(1);
        let found = read(rest).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(found, events[..kept], "cut at {cut}");

        let memory = memory_of(rest);
        let (mut journal, _) = Journal::open(Box::new(memory.clone()), &header()).unwrap();
        let more = Stamped { at: Moment::from_micros(5), event: Event::Paused };
        journal.append(more.at, &more.event);
        journal.write().unwrap();
        let again = read(&memory.content()).unwrap();
        assert_eq!(again.split_last(), Some((&more, &events[..kept])), "cut at {cut}");
    }
}

/// A flipped byte in the last line can't be told from a torn one; anywhere else it is refused by
/// its line. A flipped end of a line glues it to the next: the line is still the one named.
#[test]
fn damage_is_refused_by_its_line_except_at_the_end() {
    let events = stamped();
    let mut bytes = journal_of(&events);
    let starts = line_starts(&bytes);
    let last = starts.len() - 1;
    for at in 0..bytes.len() {
        let line = starts.partition_point(|start| *start <= at);
        let byte = bytes[at];
        for other in (0..8).map(|bit| byte ^ (1 << bit)).chain(*b"\n +0\0") {
            if other == byte {
                continue;
            }
            bytes[at] = other;
            match read(&bytes) {
                Ok(found) => {
                    assert_eq!(line, last, "byte {at}: {byte:#x} became {other:#x} unnoticed");
                    assert_eq!(found, events[..events.len() - 1]);
                }
                Err(JournalError::Damaged { line: named, .. }) => {
                    assert_eq!(named as usize, line, "byte {at}: {byte:#x} to {other:#x}");
                }
                Err(error) => panic!("byte {at}: {error}"),
            }
        }
        bytes[at] = byte;
    }
}

#[test]
fn a_newer_format_and_another_plan_are_refused() {
    let bytes = journal_of(&stamped());
    let open = |bytes: &[u8], digest: &str| {
        let plan = Header { digest: digest.into(), ..header() };
        Journal::open(Box::new(memory_of(bytes)), &plan).map(|_| ())
    };
    assert!(matches!(open(&bytes, "another"), Err(JournalError::OtherPlan)));
    let content = b"{\"windlass_journal\":3,\"plan\":[\"another shape\"]}";
    let mut newer = format!("{:08x} ", crc32fast::hash(content)).into_bytes();
    newer.extend(content);
    newer.push(b'\n');
    assert!(matches!(open(&newer, DIGEST), Err(JournalError::Newer { found: 3 })));
    for (content, says) in
        [("{}", "not a journal"), ("[", "EOF"), ("{\"windlass_journal\":1}", "plan")]
    {
        let line = format!("{:08x} {content}\n", crc32fast::hash(content.as_bytes()));
        match open(line.as_bytes(), DIGEST) {
            Err(JournalError::Damaged { line: 1, what }) => assert!(what.contains(says), "{what}"),
            other => panic!("{content}: {other:?}"),
        }
    }
    open(&bytes, DIGEST).unwrap();
}

/// A disk that is full for one write and free again for the next.
#[derive(Clone)]
struct Hiccup {
    inner: Memory,
    bytes_left: Option<usize>,
}

impl Files for Hiccup {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.bytes_left {
            Some(left) if left < bytes.len() => {
                self.bytes_left = None;
                self.inner.append(&bytes[..left])?;
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            left => {
                self.bytes_left = left.map(|left| left - bytes.len());
                self.inner.append(bytes)
            }
        }
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn sync_task(&self) -> io::Result<Option<SyncTask>> {
        Ok(None)
    }
    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        self.inner.reader()
    }
}

/// Writes one event at a time, trying each failed write once more at once.
fn write_all(journal: &mut Journal, events: &[Stamped]) -> u32 {
    let mut failed = 0;
    for stamped in events {
        journal.append(stamped.at, &stamped.event);
        if journal.write().is_err() {
            failed += 1;
            if journal.write().is_err() {
                return failed;
            }
        }
    }
    failed
}

#[test]
fn a_failed_write_and_its_retry_leave_a_whole_journal_at_every_byte() {
    let events = stamped();
    let whole = journal_of(&events);
    let heading = line_starts(&whole)[1];
    for bytes in heading..whole.len() {
        let inner = Memory::default();
        let files = Hiccup { inner: inner.clone(), bytes_left: Some(bytes) };
        let mut journal = Journal::create(Box::new(files), &header()).unwrap();
        assert_eq!(write_all(&mut journal, &events), 1, "after {bytes} bytes");
        assert_eq!(inner.content(), whole, "after {bytes} bytes");
    }
}

#[test]
fn a_disk_that_stays_full_leaves_whole_lines_and_space_lets_it_go_on() {
    let events = stamped();
    let whole = journal_of(&events);
    for bytes in 0..whole.len() {
        let inner = Memory::default();
        let files = Faulty::new(inner.clone(), bytes as u64, u64::MAX);
        if let Ok(mut journal) = Journal::create(Box::new(files), &header()) {
            assert_eq!(write_all(&mut journal, &events), 1);
        }
        let (mut journal, _) = Journal::open(Box::new(inner.clone()), &header()).unwrap();
        let known = read(&inner.content()).unwrap().len();
        assert_eq!(write_all(&mut journal, &events[known..]), 0);
        assert_eq!(inner.content(), whole, "after {bytes} bytes");
    }
}

#[test]
fn syncs_come_in_groups_and_a_lost_one_is_told() {
    let due = Moment::from_micros(300_000);
    let files = Faulty::new(Memory::default(), u64::MAX, 1);
    let mut journal = Journal::create(Box::new(files), &header()).unwrap();
    assert!(journal.sync_if_due(Moment::ZERO).unwrap().is_none(), "too early for a sync");
    assert!(journal.sync_if_due(due).unwrap().is_none());
    assert!(journal.sync_if_due(due + std::time::Duration::from_secs(1)).unwrap().is_none());
    journal.append(due, &Event::Paused);
    journal.write().unwrap();
    assert!(journal.sync_if_due(due).unwrap().is_none(), "again too early");
    assert!(journal.sync_if_due(due + std::time::Duration::from_secs(1)).is_err());
    assert!(journal.sync().is_err());
}

#[test]
fn a_journal_on_disk_is_not_overwritten_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let events = stamped();
    let mut journal = Journal::create(Box::new(Disk::create(&path).unwrap()), &header()).unwrap();
    assert_eq!(write_all(&mut journal, &events[..5]), 0);
    journal.sync().unwrap();
    assert!(Disk::create(&path).is_err());
    let mut torn = Disk::open(&path).unwrap();
    torn.append(b"0123abcd 7 {\"event\":").unwrap();
    torn.sync_task().unwrap().unwrap()().unwrap();
    let (mut journal, recovered) =
        Journal::open(Box::new(Disk::open(&path).unwrap()), &header()).unwrap();
    assert_eq!(recovered.finished.count(), 4);
    assert_eq!(write_all(&mut journal, &events[5..]), 0);
    assert_eq!(std::fs::read(&path).unwrap(), journal_of(&events));
}
