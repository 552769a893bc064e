//! The prefixes that the operator declares to be those of all names.
//!
//! A listing by prefixes is exact by declaration: a name that begins with none of them is not
//! listed. So nothing is ever guessed here, and nothing is trimmed that might be meant.

use crate::connector::OpenError;
use std::fs::File;
use std::io::Read;

/// How many prefixes there may be: each costs at least one request of the 1,200 in five minutes.
pub const SHARDS_MAX: usize = 4_096;
/// A key has at most 512 bytes, and so has a prefix of it.
const PREFIX_BYTES_MAX: usize = 512;
/// The file of the longest list: each prefix on its line.
const FILE_BYTES_MAX: u64 = (SHARDS_MAX * (PREFIX_BYTES_MAX + 2)) as u64;

const HINT: &str = "--shards takes `hex`, `HEX`, `digits`, prefixes with commas between, or @FILE \
                    with a prefix a line";

/// The prefixes of `spec`, each behind `prefix`, in the order of their bytes. `hex` stands for the
/// 16 digits with small letters, `HEX` for those with capitals, `digits` for the ten.
///
/// # Errors
/// When there are none or over [`SHARDS_MAX`], when one is empty, too long or begins with another
/// one, or when the file can't be read.
pub fn shards(spec: &str, prefix: &str) -> Result<Vec<String>, OpenError> {
    let parts: Vec<String> = match spec.strip_prefix('@') {
        Some(path) => read(path)?.lines().map(str::to_owned).collect(),
        None => match spec {
            "hex" => digits("0123456789abcdef"),
            "HEX" => digits("0123456789ABCDEF"),
            "digits" => digits("0123456789"),
            list => list.split(',').map(str::to_owned).collect(),
        },
    };
    if parts.len() > SHARDS_MAX {
        let what = format!("{} prefixes are too many: there may be {SHARDS_MAX}", parts.len());
        return Err(OpenError::usage(what, HINT));
    }
    let mut shards = Vec::with_capacity(parts.len());
    for part in parts {
        check(&part, prefix, spec.starts_with('@'))?;
        shards.push(format!("{prefix}{part}"));
    }
    if shards.is_empty() {
        return Err(OpenError::usage("there is no prefix in the list", HINT));
    }
    shards.sort_unstable();
    shards.dedup();
    prefix_free(&shards)?;
    Ok(shards)
}

fn digits(digits: &str) -> Vec<String> {
    digits.chars().map(String::from).collect()
}

fn read(path: &str) -> Result<String, OpenError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| OpenError::usage(format!("{path} can't be read: {error}"), HINT))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(OpenError::usage(format!("{path} is too long for a list of prefixes"), HINT));
    }
    Ok(text)
}

fn check(part: &str, prefix: &str, from_file: bool) -> Result<(), OpenError> {
    if part.is_empty() {
        let what = "an empty prefix in the list would take in all others";
        return Err(OpenError::usage(what, HINT));
    }
    if !from_file && part.trim() != part {
        let what = format!("the prefix `{part}` begins or ends with a space");
        return Err(OpenError::usage(
            what,
            "if that is meant, put the prefixes into a file: @FILE",
        ));
    }
    if prefix.len() + part.len() > PREFIX_BYTES_MAX {
        let what = format!("the prefix `{prefix}{part}` has over {PREFIX_BYTES_MAX} bytes");
        return Err(OpenError::usage(what, "no key is that long"));
    }
    Ok(())
}

/// Refuses a prefix that another one begins with: its keys would be listed twice. In the order of
/// bytes, everything that begins with a prefix stands right behind it.
fn prefix_free(sorted: &[String]) -> Result<(), OpenError> {
    for pair in sorted.windows(2) {
        if let [shorter, longer] = pair
            && longer.starts_with(shorter.as_str())
        {
            let what = format!("the prefix `{longer}` begins with the prefix `{shorter}`");
            return Err(OpenError::usage(
                what,
                format!("leave one of `{shorter}`, `{longer}` out"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stand_for_digits_and_prefixes_come_before_them() {
        assert_eq!(shards("digits", "a:").unwrap().concat(), "a:0a:1a:2a:3a:4a:5a:6a:7a:8a:9");
        assert_eq!(shards("hex", "").unwrap().concat(), "0123456789abcdef");
        assert_eq!(shards("HEX", "").unwrap().concat(), "0123456789ABCDEF");
        assert_eq!(shards("b,a,é,b", "").unwrap(), ["a", "b", "é"], "sorted, each once");
    }

    #[test]
    fn a_file_has_a_prefix_a_line_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prefixes");
        std::fs::write(&path, "b\r\n a,\nc").unwrap();
        let spec = format!("@{}", path.display());
        assert_eq!(shards(&spec, "").unwrap(), [" a,", "b", "c"]);
        std::fs::write(&path, "").unwrap();
        assert_eq!(shards(&spec, "").unwrap_err().message, "there is no prefix in the list");
        let error = shards("@/nowhere", "").unwrap_err();
        assert!(error.message.starts_with("/nowhere can't be read"), "{error}");
    }

    #[test]
    fn what_could_list_a_key_twice_or_not_at_all_is_refused() {
        let message = |spec: &str| shards(spec, "").unwrap_err().message;
        assert_eq!(message("b,ab,a"), "the prefix `ab` begins with the prefix `a`");
        assert_eq!(message("a,,b"), "an empty prefix in the list would take in all others");
        assert_eq!(message(""), "an empty prefix in the list would take in all others");
        assert_eq!(message("a, b"), "the prefix ` b` begins or ends with a space");
        assert_eq!(
            message(&vec!["x"; 4_097].join(",")),
            "4097 prefixes are too many: there may be 4096"
        );
        assert!(message(&"y".repeat(513)).ends_with("has over 512 bytes"));
        assert_eq!(shards("a,ab", "").unwrap_err().hint.unwrap(), "leave one of `a`, `ab` out");
    }

    proptest! {
        /// Whatever is accepted takes in no name twice, and whatever is refused for that does.
        #[test]
        fn accepted_prefixes_are_prefix_free(parts in prop::collection::vec("[ab]{1,4}", 1..12)) {
            let mut unique = parts.clone();
            unique.sort();
            unique.dedup();
            let overlap = unique.iter().enumerate().any(|(at, one)| {
                unique.iter().enumerate().any(|(other, two)| at != other && two.starts_with(one))
            });
            match shards(&parts.join(","), "p/") {
                Ok(shards) => {
                    prop_assert!(!overlap);
                    let expected: Vec<String> = unique.iter().map(|s| format!("p/{s}")).collect();
                    prop_assert_eq!(shards, expected);
                }
                Err(error) => prop_assert!(overlap, "{}", error),
            }
        }
    }
}
