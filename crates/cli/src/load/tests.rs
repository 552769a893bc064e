//! What a measurement means, with machines that are made up.

use super::*;

const MB: u64 = 1024 * 1024;
const MACHINE: Machine = Machine { cores: 4, memory_bytes: 1000 * MB };

fn at(seconds: u64) -> Moment {
    Moment::from_micros(seconds * 1_000_000)
}

fn watch_of(cpu: Option<f32>, memory: MemoryLimit) -> Watch {
    Watch::new(Bounds { cpu, memory }, MACHINE, at(0), Duration::ZERO)
}

fn measured(cpu: f32, megabytes: u64) -> Measured {
    Measured { cpu, memory_bytes: megabytes * MB }
}

fn slow(reason: &str) -> Option<Hold> {
    Some(Hold { reason: reason.to_owned(), stops: false })
}

fn stopped(reason: &str) -> Option<Hold> {
    Some(Hold { reason: reason.to_owned(), stops: true })
}

#[test]
fn memory_slows_then_stops_and_is_told_once_each() {
    let mut watch = watch_of(Some(0.85), MemoryLimit::Share(0.8));
    let mut look = |second, megabytes| watch.look(at(second), measured(0.1, megabytes), TIME).1;
    const TIME: Duration = Duration::ZERO;
    assert_eq!(look(1, 700), []);
    let reason = "memory is at 720 MB (memory-limit 800 MB), one request at a time";
    assert_eq!(look(6, 720), [("memory", slow(reason))]);
    assert_eq!(look(11, 730), [], "the same again is not told again");
    let reason = "memory is at 784 MB (memory-limit 800 MB), nothing new is sent";
    assert_eq!(look(16, 784), [("memory", stopped(reason))]);
    assert_eq!(look(21, 750), [], "a little less is not enough");
    let reason = "memory is at 740 MB (memory-limit 800 MB), one request at a time";
    assert_eq!(look(26, 740), [("memory", slow(reason))]);
    assert_eq!(look(31, 600), [("memory", None)]);
}

#[test]
fn the_processor_only_slows_unless_memory_is_short_as_well() {
    let mut watch = watch_of(Some(0.5), MemoryLimit::Bytes(100 * MB));
    let mut look =
        |second, cpu, megabytes| watch.look(at(second), measured(cpu, megabytes), Duration::ZERO).1;
    let reason = "the processor is at 100% (cpu-limit 50%), one request at a time";
    assert_eq!(look(1, 1.0, 1), [("cpu", slow(reason))]);
    let cpu = "the processor is at 90% (cpu-limit 50%), nothing new is sent";
    let memory = "memory is at 92 MB (memory-limit 100 MB), nothing new is sent";
    assert_eq!(look(6, 0.9, 92), [("cpu", stopped(cpu)), ("memory", stopped(memory))]);
    let memory = "memory is at 92 MB (memory-limit 100 MB), one request at a time";
    assert_eq!(look(11, 0.1, 92), [("cpu", None), ("memory", slow(memory))]);
    assert_eq!(look(16, 0.1, 1), [("memory", None)]);
}

#[test]
fn what_is_spent_on_purpose_is_no_load() {
    let mut watch = watch_of(Some(0.5), MemoryLimit::Share(1.0));
    let seconds = Duration::from_secs;
    // 4 cores in 5 s have 20 s; 16 s of them were spent on purpose.
    watch.look(at(5), measured(0.1, 1), seconds(0));
    let (event, changes) = watch.look(at(10), measured(0.95, 1), seconds(16));
    let Event::Load { cpu, cpu_all, .. } = event else { panic!("{event:?} is no load") };
    assert!((cpu - 0.15).abs() < 1e-6 && (cpu_all - 0.95).abs() < 1e-6, "{cpu} of {cpu_all}");
    assert_eq!(changes, []);
    // Nothing was spent since: all of it is load.
    let (_, changes) = watch.look(at(15), measured(0.95, 1), seconds(16));
    assert_eq!(changes.len(), 1);
    // More than there is, by a clock that is a little off, is no load either.
    let (event, _) = watch.look(at(20), measured(0.95, 1), seconds(40));
    let Event::Load { cpu, .. } = event else { panic!("{event:?} is no load") };
    assert_eq!(cpu, 0.0);
}

#[test]
fn a_processor_that_is_not_watched_is_told_and_holds_nothing() {
    let mut watch = watch_of(None, MemoryLimit::Bytes(50 * MB));
    let (event, changes) = watch.look(at(1), measured(1.0, 10), Duration::ZERO);
    let expected =
        Event::Load { cpu: 1.0, cpu_all: 1.0, memory_bytes: 10 * MB, memory_limit_bytes: 50 * MB };
    assert_eq!((event, changes), (expected, vec![]));
}

#[test]
fn this_machine_can_be_measured() {
    let (mut meter, machine) = Meter::new().unwrap();
    assert!(machine.cores > 0 && machine.memory_bytes > 64 * MB, "{machine:?}");
    let measured = meter.measure();
    assert!((0.0..=1.0).contains(&measured.cpu), "{measured:?}");
    assert!((MB..machine.memory_bytes).contains(&measured.memory_bytes), "{measured:?}");
}
