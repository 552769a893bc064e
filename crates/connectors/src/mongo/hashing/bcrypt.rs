//! bcrypt for several passwords at once on one core.
//!
//! One bcrypt is a chain of table look-ups each of which waits for the one before, so it leaves
//! most of a core idle. Here `L` independent passwords, the lanes, go through the same rounds side
//! by side; the core overlaps their waits. Each lane has 4 KiB of tables of its own, and eight of
//! them still fit a first-level cache of 48 KiB. What comes out is equal to any other bcrypt, to
//! the bit.
//!
//! The algorithm: Provos and Mazieres, "A Future-Adaptable Password Scheme", USENIX 1999, in the
//! form `$2b$` of OpenBSD 5.5, which the `bcrypt` package of Node reads and writes.
//!
//! This file is fastest with the baseline instructions of x86-64: with those of x86-64-v3 the
//! compiler turns the look-ups into gathers, which halve the speed.

use super::pi;
use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// The most passwords that are interleaved. More would not fit the first-level cache.
pub const LANES_MAX: usize = 8;

/// The longest password, in bytes: bcrypt stirs in 18 words of 4 bytes and no more.
pub const PASSWORD_MAX: usize = 72;

/// The bytes of a salt.
pub const SALT: usize = 16;

/// The bytes of a hash. bcrypt computes 24 and, for historical reasons, keeps 23.
const DIGEST: usize = 23;

/// What is encrypted 64 times at the end: "OrpheanBeholderScryDoubt" as big-endian words.
const MAGIC: [u32; 6] =
    [0x4f72_7068, 0x6561_6e42, 0x6568_6f6c, 0x6465_7253, 0x6372_7944, 0x6f75_6274];

const BASE64: GeneralPurpose = GeneralPurpose::new(&BCRYPT, NO_PAD);

type Words<const L: usize> = [u32; L];
type Key<const L: usize> = [Words<L>; 18];

/// Hashes up to [`LANES_MAX`] passwords side by side into the modular crypt form
/// `$2b$12$<22 characters of salt><31 characters of hash>`. The cost is 4 to 31, every password
/// has up to [`PASSWORD_MAX`] bytes and none that is zero, and there is one salt for each.
pub fn hash(cost: u32, passwords: &[&[u8]], salts: &[[u8; SALT]]) -> Vec<String> {
    debug_assert!(passwords.len() == salts.len() && (4..=31).contains(&cost));
    let mut hashes = Vec::with_capacity(passwords.len());
    for (passwords, salts) in passwords.chunks(LANES_MAX).zip(salts.chunks(LANES_MAX)) {
        let digests = digests(cost, passwords, salts);
        hashes.extend(digests.iter().zip(salts).map(|(digest, salt)| text(cost, salt, digest)));
    }
    hashes
}

fn text(cost: u32, salt: &[u8; SALT], digest: &[u8; DIGEST]) -> String {
    format!("$2b${cost:02}${}{}", BASE64.encode(salt), BASE64.encode(digest))
}

fn digests(cost: u32, passwords: &[&[u8]], salts: &[[u8; SALT]]) -> Vec<[u8; DIGEST]> {
    match passwords.len() {
        0 => Vec::new(),
        1 => interleave::<1>(cost, passwords, salts),
        2 => interleave::<2>(cost, passwords, salts),
        3 => interleave::<3>(cost, passwords, salts),
        4 => interleave::<4>(cost, passwords, salts),
        5 => interleave::<5>(cost, passwords, salts),
        6 => interleave::<6>(cost, passwords, salts),
        7 => interleave::<7>(cost, passwords, salts),
        _ => interleave::<8>(cost, passwords, salts),
    }
}

fn interleave<const L: usize>(
    cost: u32,
    passwords: &[&[u8]],
    salts: &[[u8; SALT]],
) -> Vec<[u8; DIGEST]> {
    let key: Key<L> = std::array::from_fn(|at| {
        std::array::from_fn(|lane| cyclic_word(at, passwords[lane].iter().chain(&[0])))
    });
    let salt: Key<L> =
        std::array::from_fn(|at| std::array::from_fn(|lane| cyclic_word(at, salts[lane].iter())));
    let mut lanes = Lanes::<L>::new();
    lanes.expand_salted(&key, &salt);
    for _ in 0..1_u64 << cost {
        lanes.expand(&key);
        lanes.expand(&salt);
    }
    lanes.digests()
}

/// The word at this place of the bytes repeated without end.
fn cyclic_word<'a>(at: usize, bytes: impl Iterator<Item = &'a u8> + Clone) -> u32 {
    bytes.cycle().skip(4 * at).take(4).fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

/// The state of `L` Blowfish ciphers: 18 subkeys and 4 boxes each.
struct Lanes<const L: usize> {
    keys: Key<L>,
    boxes: [[[u32; 256]; 4]; L],
}

impl<const L: usize> Lanes<L> {
    fn new() -> Self {
        let pi = pi::words();
        let boxes: [[u32; 256]; 4] =
            std::array::from_fn(|which| std::array::from_fn(|at| pi[18 + 256 * which + at]));
        Self { keys: std::array::from_fn(|at| [pi[at]; L]), boxes: [boxes; L] }
    }

    /// Encrypts one block of each lane: 16 rounds, two at a time so that the halves need no swap.
    #[inline(always)]
    fn encrypt(&self, mut left: Words<L>, mut right: Words<L>) -> (Words<L>, Words<L>) {
        for round in (0..16).step_by(2) {
            for lane in 0..L {
                left[lane] ^= self.keys[round][lane];
                right[lane] ^= self.stir(lane, left[lane]);
            }
            for lane in 0..L {
                right[lane] ^= self.keys[round + 1][lane];
                left[lane] ^= self.stir(lane, right[lane]);
            }
        }
        for lane in 0..L {
            left[lane] ^= self.keys[16][lane];
            right[lane] ^= self.keys[17][lane];
        }
        (right, left)
    }

    /// Blowfish's round function.
    #[inline(always)]
    fn stir(&self, lane: usize, word: u32) -> u32 {
        let [a, b, c, d] = word.to_be_bytes().map(usize::from);
        let boxes = &self.boxes[lane];
        (boxes[0][a].wrapping_add(boxes[1][b]) ^ boxes[2][c]).wrapping_add(boxes[3][d])
    }

    fn mix(&mut self, key: &Key<L>) {
        for (subkey, word) in self.keys.iter_mut().zip(key) {
            for lane in 0..L {
                subkey[lane] ^= word[lane];
            }
        }
    }

    /// The inner step of the expensive loop: stirs in the key and renews all subkeys and boxes.
    fn expand(&mut self, key: &Key<L>) {
        self.mix(key);
        let (mut left, mut right) = ([0; L], [0; L]);
        for at in (0..18).step_by(2) {
            (left, right) = self.encrypt(left, right);
            self.keys[at] = left;
            self.keys[at + 1] = right;
        }
        for which in 0..4 {
            for at in (0..256).step_by(2) {
                (left, right) = self.encrypt(left, right);
                self.put(which, at, left, right);
            }
        }
    }

    /// The first step: as [`Lanes::expand`], and the salt goes into every block on the way.
    fn expand_salted(&mut self, key: &Key<L>, salt: &Key<L>) {
        self.mix(key);
        let (mut left, mut right) = ([0; L], [0; L]);
        for at in (0..18 + 1024).step_by(2) {
            for lane in 0..L {
                left[lane] ^= salt[at % 4][lane];
                right[lane] ^= salt[at % 4 + 1][lane];
            }
            (left, right) = self.encrypt(left, right);
            if at < 18 {
                self.keys[at] = left;
                self.keys[at + 1] = right;
            } else {
                self.put((at - 18) / 256, (at - 18) % 256, left, right);
            }
        }
    }

    #[inline(always)]
    fn put(&mut self, which: usize, at: usize, left: Words<L>, right: Words<L>) {
        for lane in 0..L {
            self.boxes[lane][which][at] = left[lane];
            self.boxes[lane][which][at + 1] = right[lane];
        }
    }

    fn digests(&self) -> Vec<[u8; DIGEST]> {
        let mut text = MAGIC.map(|word| [word; L]);
        for at in [0, 2, 4] {
            for _ in 0..64 {
                (text[at], text[at + 1]) = self.encrypt(text[at], text[at + 1]);
            }
        }
        let byte = |lane: usize, at: usize| text[at / 4][lane].to_be_bytes()[at % 4];
        (0..L).map(|lane| std::array::from_fn(|at| byte(lane, at))).collect()
    }
}
