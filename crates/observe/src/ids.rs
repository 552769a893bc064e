//! Random ids, made in the process without a system call: a generator a thread, which is seeded
//! again whenever a recorder starts.
//!
//! Seeding again is what a child of `fork` needs: it has its parent's generators and would repeat
//! the parent's ids. The generator is not the one that `fastrand` shares with the whole program,
//! since a program that seeds that one would repeat its ids with every run.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many recorders were started.
static STARTS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static GENERATOR: RefCell<(u64, fastrand::Rng)> =
        const { RefCell::new((0, fastrand::Rng::with_seed(0))) };
}

/// Makes every thread seed its generator again.
pub(crate) fn reseed() {
    STARTS.fetch_add(1, Ordering::Relaxed);
}

fn random() -> u64 {
    let starts = STARTS.load(Ordering::Relaxed);
    // A thread that is ending may have no generator any more.
    let made = GENERATOR.try_with(|generator| {
        let mut generator = generator.borrow_mut();
        if generator.0 != starts {
            *generator = (starts, fastrand::Rng::with_seed(seed()));
        }
        generator.1.u64(1..)
    });
    made.unwrap_or_else(|_| seed().max(1))
}

/// A new seed. The keys of a `RandomState` come from the system once a thread; the process and the
/// time tell a child of `fork` from its parent.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let thread = std::thread::current().id();
    RandomState::new().hash_one((std::process::id(), now.as_nanos(), thread))
}

/// The id of a trace or a message; never all zero, which receivers refuse.
pub(crate) fn long() -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&random().to_be_bytes());
    id[8..].copy_from_slice(&random().to_be_bytes());
    id
}

/// The id of a span; never all zero.
pub(crate) fn short() -> [u8; 8] {
    random().to_be_bytes()
}

/// Appends bytes in hexadecimal.
pub(crate) fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_of_many_threads_and_starts_differ() {
        let make = || (0..10_000).map(|_| long()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let mut seen: HashSet<[u8; 16]> = make().into_iter().collect();
        reseed();
        seen.extend(make());
        for thread in threads {
            seen.extend(thread.join().unwrap());
        }
        assert_eq!(seen.len(), 60_000);
    }

    #[test]
    fn a_seeded_program_still_has_ids_of_its_own() {
        fastrand::seed(1);
        let first = long();
        reseed();
        fastrand::seed(1);
        assert_ne!(first, long());
    }

    #[test]
    fn hexadecimal_is_lower_case() {
        let mut out = Vec::new();
        push_hex(&[0, 0x1f, 0xa0, 0xff], &mut out);
        assert_eq!(out, b"001fa0ff");
    }
}
