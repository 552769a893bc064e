//! The destinations' names and bits: a small text file, so that a changed configuration does not
//! mix up whose an entry is.

use super::storage::{self, Storage};
use super::{DESTINATIONS_MAX, QueueError};
use std::io;

/// The file.
pub const FILE: &str = "destinations";
const HEADING: &str = "windlass queue destinations ";
const VERSION: u8 = 1;

/// A destination that the log knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its place in an entry's routing bits, below 32.
    pub bit: u8,
    /// Entries with smaller numbers are not for it, whatever their bits say: the bit may have
    /// been another's then.
    pub since: u64,
    /// Its name.
    pub name: String,
}

/// Reads them; none where there is no file.
///
/// # Errors
/// When the file can't be read, is of a newer program, or is no such file.
pub fn read(storage: &dyn Storage) -> Result<Vec<Known>, QueueError> {
    let content = match storage::read_all(storage, FILE) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(QueueError::disk("read the destinations")(error)),
    };
    let damaged = |offset| QueueError::Damaged { file: FILE.to_owned(), offset };
    let text = String::from_utf8(content).map_err(|_| damaged(0))?;
    let mut lines = text.lines();
    let version = lines.next().and_then(|line| line.strip_prefix(HEADING));
    let found: u8 = version.and_then(|text| text.parse().ok()).ok_or_else(|| damaged(0))?;
    if found > VERSION {
        return Err(QueueError::Newer { file: FILE.to_owned(), found, known: VERSION });
    }
    lines.map(|line| parse(line).ok_or_else(|| damaged(HEADING.len() as u64))).collect()
}

fn parse(line: &str) -> Option<Known> {
    let (bit, rest) = line.split_once(' ')?;
    let (since, name) = rest.split_once(' ')?;
    let bit = bit.parse().ok().filter(|bit| usize::from(*bit) < DESTINATIONS_MAX)?;
    Some(Known { bit, since: since.parse().ok()?, name: name.to_owned() })
}

/// Writes them, all or nothing.
///
/// # Errors
/// What the system says.
pub fn write(storage: &dyn Storage, all: &[Known]) -> Result<(), QueueError> {
    let mut text = format!("{HEADING}{VERSION}\n");
    for known in all {
        text.push_str(&format!("{} {} {}\n", known.bit, known.since, known.name));
    }
    storage::replace(storage, FILE, text.as_bytes())
        .map_err(QueueError::disk("write the destinations"))
}

/// Adds those that are new, with free bits, as of this number; says whether there was any.
///
/// # Errors
/// When there is no bit left, or a name has more than one line or is given twice.
pub fn add(all: &mut Vec<Known>, names: &[&str], since: u64) -> Result<bool, QueueError> {
    let before = all.len();
    for (place, &name) in names.iter().enumerate() {
        let refused = || QueueError::Destination(name.to_owned());
        if name.is_empty() || name.contains(['\n', '\r']) || names[..place].contains(&name) {
            return Err(refused());
        }
        if all.iter().any(|known| known.name == name) {
            continue;
        }
        let is_free = |bit: &u8| all.iter().all(|known| known.bit != *bit);
        let bit = (0..DESTINATIONS_MAX as u8).find(is_free).ok_or_else(refused)?;
        all.push(Known { bit, since, name: name.to_owned() });
    }
    Ok(all.len() > before)
}
