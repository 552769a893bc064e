//! The memory that a backlog takes: a million events for a destination that is dead, and the same
//! after a crash, with the time until the gateway is ready again.

use super::figures::{Goal, head, row};
use super::gateway::{Gateway, Memory};
use super::load::{EVENT_BYTES, Load};
use super::{Config, Field};
use crate::bench::remote::Remote;
use crate::bench::table::{figure, thousands};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The largest resident set of the gateway's whole life, in MB.
const PEAK: Goal = Goal::Under(200.0);
/// Events of a request.
const EVENTS: u32 = 100;
/// How long the gateway tries to deliver before its memory is read: its forwarders read ahead.
const SETTLE: Duration = Duration::from_secs(5);
/// The part of its fastest rate at which the backlog is sent.
const EASE: f64 = 0.7;

/// One backlog.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Backlog {
    door: &'static str,
    pending: u64,
    bytes: u64,
    before: Memory,
    after: Memory,
    again: Memory,
    open_s: f64,
}

/// The table of backlogs.
///
/// # Errors
/// When a gateway does not start, or does not have all events in its queue.
pub fn measure(field: &Field<'_>) -> Result<String> {
    let count: u64 = field.or_quick(1_000_000, 100_000);
    let mut text = format!(
        "### The memory of {} queued events\n\nEvents of {EVENT_BYTES} bytes for a destination \
         that is dead, {EVENTS} a request, every answer synced. Resident set in MB; \"open\" is \
         from the start to ready, after a kill -9.\n\n",
        thousands(count)
    );
    text.push_str(&head(&[
        "door",
        ">queued",
        ">MB on disk",
        ">before",
        ">after",
        ">peak",
        ">after restart",
        ">peak",
        ">open s",
        "goal",
    ]));
    for (door, destination) in [("otlp", "langfuse"), ("rudder", "rudderstack")] {
        let backlog = take(field, door, destination, count).with_context(|| door.to_owned())?;
        println!("{backlog:?}");
        text.push_str(&line(&backlog));
    }
    Ok(text)
}

fn take(field: &Field<'_>, door: &'static str, destination: &str, count: u64) -> Result<Backlog> {
    let folder = field.round()?;
    let down = ["--counters-only", "--outage", "langfuse=down@..", "--outage", "rudder=down@.."];
    let remote = Remote::start(field.windlass, "observe", &down)?;
    let config = Config::new("acknowledged").simulators(&remote.url);
    let mut gateway = Gateway::start(field.windlass, &folder, &config.text)?;
    let before = gateway.process()?.memory();
    fill(field, &gateway, &folder, door, count)?;
    let pending = gateway.destination(destination, "pending")?;
    // A few requests may be under way when a load ends, and their answers not counted.
    if pending < count / 100 * 99 {
        bail!("{pending} of {count} events are queued");
    }
    std::thread::sleep(SETTLE);
    let after = gateway.process()?.memory();
    gateway.kill();
    let open_s = gateway.again()?.as_secs_f64();
    if gateway.destination(destination, "pending")? != pending {
        bail!("of {pending} queued events others are there after a restart");
    }
    std::thread::sleep(SETTLE);
    let again = gateway.process()?.memory();
    let bytes = bytes_in(&folder.join("gateway"))?;
    Ok(Backlog { door, pending, bytes, before, after, again, open_s })
}

/// Sends so many events: some as fast as answers come, the rest at a part of that rate, for so
/// long that they are as many as they should be.
fn fill(
    field: &Field<'_>,
    gateway: &Gateway,
    folder: &Path,
    door: &'static str,
    count: u64,
) -> Result<()> {
    let fast = Load {
        door,
        rate: None,
        connections: 16,
        events: EVENTS,
        duration: Duration::from_secs(field.or_quick(3, 1)),
        warmup: Duration::ZERO,
    };
    let seen = fast.send(field.windlass, &gateway.url, folder)?;
    let requests = (count / u64::from(EVENTS)).saturating_sub(seen.requests);
    if requests > 0 {
        let rate = (seen.rate * EASE).max(1.0).round();
        let duration = Duration::from_secs_f64(requests as f64 / rate);
        let rest = Load { rate: Some(rate), duration, ..fast };
        rest.send(field.windlass, &gateway.url, folder)?;
    }
    Ok(())
}

/// The size of all files of a folder and those in it.
fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn line(backlog: &Backlog) -> String {
    let Backlog { door, pending, bytes, before, after, again, open_s } = *backlog;
    row(&[
        door.to_owned(),
        thousands(pending),
        figure(bytes as f64 / 1e6),
        figure(before.now_mb),
        figure(after.now_mb),
        figure(after.peak_mb),
        figure(again.now_mb),
        figure(again.peak_mb),
        figure(open_s),
        PEAK.judged(after.peak_mb.max(again.peak_mb)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_peak_counts() {
        let memory = |now_mb, peak_mb| Memory { now_mb, peak_mb };
        let backlog = Backlog {
            door: "otlp",
            pending: 1_000_000,
            bytes: 1_234_000_000,
            before: memory(12.0, 13.0),
            after: memory(90.0, 120.0),
            again: memory(80.0, 201.0),
            open_s: 1.5,
        };
        let expected = "| otlp | 1,000,000 | 1,234 | 12.0 | 90.0 | 120 | 80.0 | 201 | 1.50 | \
                        < 200: missed |\n";
        assert_eq!(line(&backlog), expected);
    }

    #[test]
    fn files_of_all_folders_are_added_up() {
        let folder = std::env::temp_dir().join(format!("windlass-bytes-{}", std::process::id()));
        fs::create_dir_all(folder.join("segments")).unwrap();
        fs::write(folder.join("a"), [0; 10]).unwrap();
        fs::write(folder.join("segments/b"), [0; 32]).unwrap();
        assert_eq!(bytes_in(&folder).unwrap(), 42);
        fs::remove_dir_all(&folder).unwrap();
    }
}
