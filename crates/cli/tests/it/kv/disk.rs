//! A disk that is full, or a file that may not grow, in the middle of an export.

use super::{Cloud, FULL};
use crate::resume::SmallDisk;
use crate::support::{Ended, Home, is_installed, skipped};
use std::path::Path;
use std::process::Command;

/// 300 values of 4,000 bytes: an export of 1.3 MB.
fn large() -> (Home, Cloud, Vec<u8>) {
    let flags = ["--keys", "300", "--value-bytes", "4000", "--no-limits"];
    let (home, cloud) = (Home::new(), Cloud::start(&flags));
    let whole = ["kv", "export", "--namespace", FULL, "-o", "whole.jsonl", "--quiet"];
    cloud.at(&home, &whole).run().code(0);
    let whole = std::fs::read(home.work().join("whole.jsonl")).unwrap();
    assert!(whole.len() > 1_200_000, "{}", whole.len());
    (home, cloud, whole)
}

/// It says what is full and how to go on, and what was written is no export yet.
fn stopped(ended: Ended, path: &Path, why: &str) {
    let ended = ended.code(4);
    assert!(ended.err.contains(why), "{}", ended.err);
    assert!(ended.out.contains(why), "{}", ended.out);
    assert!(ended.err.contains("hint: `windlass resume cloudflare-"), "{}", ended.err);
    assert!(!path.exists());
}

#[test]
fn a_full_disk_stops_an_export_that_then_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else {
        return skipped("a full disk while exporting: this process may not mount one");
    };
    let (home, cloud, whole) = large();
    disk.fill_but(600_000);
    let path = folder.path().join("a.jsonl");
    let text = path.to_str().unwrap();
    let words = ["kv", "export", "--namespace", FULL, "-o", text, "--batch-size", "10"];
    stopped(cloud.at(&home, &words).run(), &path, "No space left on device");
    // Still full: the same again, and nothing is lost.
    let resume = [&words[..], &["--resume"]].concat();
    stopped(cloud.at(&home, &resume).run(), &path, "No space left on device");
    disk.free();
    let before = cloud.sim.counts().bulk_get;
    cloud.at(&home, &resume).run().code(0);
    assert!(std::fs::read(&path).unwrap() == whole);
    let asked_again = cloud.sim.counts().bulk_get - before;
    assert!(asked_again < 25, "{asked_again} of 30 requests: what was written is read again");
}

#[test]
fn a_file_at_its_limit_stops_an_export_that_then_goes_on() {
    if !is_installed("bash") {
        return skipped("a limited file: bash is missing");
    }
    let (home, cloud, whole) = large();
    let path = home.work().join("a.jsonl");
    let limited = "trap '' XFSZ; ulimit -f 500; exec \"$0\" \"$@\"";
    let words = ["kv", "export", "--namespace", FULL, "-o", "a.jsonl", "--batch-size", "10"];
    let mut command = Command::new("bash");
    command.arg("-c").arg(limited).arg(env!("CARGO_BIN_EXE_windlass")).args(words);
    let variables = cloud.variables().into_iter();
    let program =
        variables.fold(home.program(command), |program, (name, value)| program.env(name, value));
    stopped(program.run(), &path, "File too large");
    cloud.at(&home, &[&words[..], &["--resume"]].concat()).run().code(0);
    assert!(std::fs::read(&path).unwrap() == whole);
}

#[test]
fn standard_output_that_takes_nothing_is_told() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "300", "--value-bytes", "4000"]));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let words = ["kv", "export", "--namespace", FULL];
    let mut command = cloud.at(&home, &words).command();
    let ended = command.stdout(full).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(4), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}
