//! Dead letters that are sent again. `observe replay` puts them into a folder beside the queue; the
//! gateway takes them from there into its queue, each for the one destination that refused it,
//! whether it runs already or starts later. A letter is handed over once.

use super::dead_letters::{self, DeadLetter, ReadError};
use super::gateway::Running;
use super::letters;
use super::queue::{Batch, Durability, Entry};
use crate::connector::OpenError;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use windlass_engine::clock::unix_millis;
use xxhash_rust::xxh3::Xxh3;

/// Where letters wait for the gateway.
const FOLDER: &str = "replay";
/// The marks of letters that were handed over, one a line.
const MARKS: &str = "replayed";

/// What was handed over, or would be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Letters by the destination that refused them.
    pub(super) by_destination: BTreeMap<String, u64>,
    /// Lines that are no letters.
    pub(super) unreadable: u64,
    /// Letters that never were events of a destination: what a door could not read.
    pub(super) no_events: u64,
}

/// The files of dead letters in a gateway's folder.
pub(super) fn letters_in(folder: &Path) -> Vec<PathBuf> {
    dead_letters::files(&letters::file_in(folder))
}

/// Hands letters over that were not before.
///
/// # Errors
/// When files can't be read or written.
pub(super) fn hand_over(
    folder: &Path,
    files: &[PathBuf],
    only: Option<&str>,
    dry_run: bool,
) -> Result<Found, OpenError> {
    let marks = folder.join(MARKS);
    let mut known: BTreeSet<String> =
        fs::read_to_string(&marks).unwrap_or_default().lines().map(str::to_owned).collect();
    let mut found = Found::default();
    let (mut lines, mut new) = (Vec::new(), String::new());
    for path in files {
        for letter in dead_letters::read(path).map_err(|error| unreadable(path, &error))? {
            let letter = match letter {
                Ok(letter) => letter,
                Err(ReadError::Disk(error)) => return Err(unreadable(path, &error)),
                Err(_) => {
                    found.unreadable += 1;
                    continue;
                }
            };
            if only.is_some_and(|only| only != letter.destination) {
                continue;
            }
            if letters::event_of(&letter).is_none() {
                found.no_events += 1;
                continue;
            }
            let mark = mark(&letter);
            if known.insert(mark.clone()) {
                *found.by_destination.entry(letter.destination.clone()).or_default() += 1;
                serde_json::to_writer(&mut lines, &letter)
                    .map_err(|error| unreadable(path, &error.into()))?;
                lines.push(b'\n');
                new = new + &mark + "\n";
            }
        }
    }
    if !dry_run && !lines.is_empty() {
        write(folder, &lines, &marks, &new).map_err(|error| {
            let what = format!("can't hand letters over in {}: {error}", folder.display());
            OpenError::usage(what, "check that the disk has room and the folder can be written")
        })?;
    }
    Ok(found)
}

/// The letters are there before they are marked: an interrupt between the two hands them over
/// twice, under the same ids, and never not at all.
fn write(folder: &Path, lines: &[u8], marks: &Path, new: &str) -> io::Result<()> {
    let place = folder.join(FOLDER);
    fs::create_dir_all(&place)?;
    let name = format!("{}.jsonl", unix_millis());
    let partial = place.join(format!("{name}.partial"));
    let mut file = fs::File::create(&partial)?;
    file.write_all(lines)?;
    file.sync_all()?;
    fs::rename(partial, place.join(name))?;
    let mut marks = fs::OpenOptions::new().create(true).append(true).open(marks)?;
    marks.write_all(new.as_bytes())
}

fn mark(letter: &DeadLetter) -> String {
    format!("{} {} {}", letter.when, letter.destination, letter.id)
}

fn unreadable(path: &Path, error: &io::Error) -> OpenError {
    let what = format!("can't read the dead letters in {}: {error}", path.display());
    OpenError::usage(what, "name files of dead letters, or the gateway's folder: --folder DIR")
}

/// Takes what was handed over into the queue. A file is removed when all of it is on disk there.
///
/// # Errors
/// When a file can't be read or the queue has no room; it is tried again.
pub(super) async fn take_over(running: &Running, folder: &Path) -> Result<(), String> {
    let Ok(files) = fs::read_dir(folder.join(FOLDER)) else { return Ok(()) };
    let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    for path in files {
        let letters = dead_letters::read(&path).map_err(|error| error.to_string())?;
        for letter in letters.filter_map(Result::ok) {
            append(running, &letter).await?;
        }
        fs::remove_file(&path).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A letter for a destination that the gateway does not have is left out; it stays where it was.
async fn append(running: &Running, letter: &DeadLetter) -> Result<(), String> {
    let routes = &running.pipeline.routes;
    let Some(number) = routes.iter().position(|route| route.name == letter.destination) else {
        return Ok(());
    };
    let Some((shared, event)) = letters::event_of(letter) else { return Ok(()) };
    let encode = |error: postcard::Error| error.to_string();
    let entry = Entry {
        id: new_id(letter),
        routes: 1 << number,
        priority: super::event::Priority::High as u8,
        payload: postcard::to_stdvec(&event).map_err(encode)?.into(),
    };
    let shared = postcard::to_stdvec(&shared).map_err(encode)?.into();
    let batch = Batch { shared, at_ms: unix_millis(), entries: vec![entry] };
    let ticket = running.pipeline.queue.append(batch, Durability::Synced);
    ticket.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string())?;
    Ok(())
}

/// Another id than the event had in the queue, where it is known; the same for the same letter.
fn new_id(letter: &DeadLetter) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(b"replay");
    hash.update(mark(letter).as_bytes());
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::destinations::Pending;

    #[test]
    fn a_letter_is_handed_over_once_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let mut event = Pending::sample(1).event;
        event.body = b"\x0a\x01\xff".to_vec();
        let shared =
            crate::observe::event::Shared { project: "shop".to_owned(), ..Default::default() };
        let letterbox = letters::Letterbox::open(folder.path()).unwrap();
        letterbox.put(letters::of_event("langfuse", &shared, &event, "400: no")).unwrap();
        letterbox.put(letters::of_event("rows", &shared, &event, "22P05")).unwrap();
        letterbox.put(letters::of_bytes("rudderstack", "m-1", b"{}", "no user")).unwrap();
        let files = letters_in(folder.path());
        let only = hand_over(folder.path(), &files, Some("langfuse"), true).unwrap();
        assert_eq!(only.by_destination, [("langfuse".to_owned(), 1)].into());
        let found = hand_over(folder.path(), &files, None, false).unwrap();
        let expected = [("langfuse".to_owned(), 1), ("rows".to_owned(), 1)];
        assert_eq!((found.by_destination, found.no_events), (expected.into(), 1));
        let again = hand_over(folder.path(), &files, None, false).unwrap();
        assert!(again.by_destination.is_empty());
        let handed = fs::read_dir(folder.path().join(FOLDER)).unwrap().next().unwrap().unwrap();
        let letter = dead_letters::read(&handed.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(letters::event_of(&letter), Some((shared, event)));
    }
}
