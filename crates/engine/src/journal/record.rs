//! One line of a journal, written and read.

use super::FORMAT;
use crate::event::{Event, Stamped};
use crate::moment::Moment;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// Eight hex digits and a space.
const CHECKSUM_BYTES: usize = 9;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heading {
    pub(super) windlass_journal: u32,
    /// The digest of the plan that the run applies.
    pub(super) plan: String,
}

impl Heading {
    pub(super) fn new(plan: &str) -> Self {
        Self { windlass_journal: FORMAT, plan: plan.to_owned() }
    }
}

/// Appends the first line to `out`.
pub(super) fn write_heading(out: &mut Vec<u8>, heading: &Heading) {
    sealed(out, |line| {
        serde_json::to_writer(line, heading).expect("a heading is plain JSON");
    });
}

/// Appends the line of an event to `out`.
pub(super) fn write_event(out: &mut Vec<u8>, at: Moment, event: &Event) {
    sealed(out, |line| {
        write!(line, "{} ", at.as_micros()).expect("memory takes bytes");
        serde_json::to_writer(line, event).expect("an event is plain JSON");
    });
}

fn sealed(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(b"00000000 ");
    content(out);
    let (_, line) = out.split_at_mut(start);
    let (seal, rest) = line.split_at_mut(CHECKSUM_BYTES);
    let checksum = crc32fast::hash(rest);
    write!(&mut seal[..], "{checksum:08x} ").expect("the room is there");
    out.push(b'\n');
}

/// The content of a line without its end, if its checksum holds.
pub(super) fn unseal(line: &[u8]) -> Result<&[u8], String> {
    let (seal, rest) = line.split_at_checked(CHECKSUM_BYTES).ok_or("it is too short")?;
    let stated = stated(seal).ok_or("it has no checksum")?;
    if stated != crc32fast::hash(rest) {
        return Err("its checksum does not match".into());
    }
    Ok(rest)
}

/// Whether a whole line stands at the beginning of this broken one: then it is two lines, and it
/// is the end of the first that is damaged.
pub(super) fn begins_whole(line: &[u8]) -> bool {
    let Some((seal, rest)) = line.split_at_checked(CHECKSUM_BYTES) else { return false };
    let Some(stated) = stated(seal) else { return false };
    let mut sum = crc32fast::Hasher::new();
    rest.split_inclusive(|&byte| byte == b'}').any(|part| {
        sum.update(part);
        part.ends_with(b"}") && sum.clone().finalize() == stated
    })
}

/// The checksum as it was written: eight small digits and a space, nothing else.
fn stated(seal: &[u8]) -> Option<u32> {
    let digits = seal.strip_suffix(b" ")?;
    let is_ours = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(digits).ok().filter(|_| is_ours)?;
    u32::from_str_radix(text, 16).ok()
}

/// The event in the content of a line.
pub(super) fn read_event(content: &[u8]) -> Result<Stamped, String> {
    let space = content.iter().position(|&byte| byte == b' ').ok_or("it has no moment")?;
    let (moment, json) = content.split_at(space);
    let micros = std::str::from_utf8(moment)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or("its moment is not a number")?;
    let event = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    Ok(Stamped { at: Moment::from_micros(micros), event })
}
