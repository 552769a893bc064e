//! The cursors of key lists: opaque, signed, and good for one namespace and one prefix only.
//!
//! | bytes | content |
//! | --- | --- |
//! | 12 | the signature: SHA-256 over the seed, the namespace, the prefix and the rest, cut |
//! | 8 | a number that no other cursor has, from which the rest is masked |
//! | 1 | how many empty pages came in a row |
//! | all others | the name after which the next page begins |

use sha2::{Digest, Sha256};

use super::base64;
use super::generate::mix;

const SIGNATURE: usize = 12;
const NONCE: usize = 8;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub after: String,
    pub empty_pages: u8,
}

/// What cursors of a list are bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    pub seed: u64,
    pub namespace: &'a str,
    pub prefix: &'a str,
}

impl List<'_> {
    /// The text of a cursor; `nonce` makes it differ from all others.
    pub(super) fn write(&self, cursor: &Cursor, nonce: u64) -> String {
        let mut bytes = vec![0; SIGNATURE];
        bytes.extend_from_slice(&nonce.to_le_bytes());
        bytes.push(cursor.empty_pages);
        bytes.extend_from_slice(cursor.after.as_bytes());
        self.mask(&mut bytes[SIGNATURE..]);
        let signature = self.sign(&bytes[SIGNATURE..]);
        bytes[..SIGNATURE].copy_from_slice(&signature);
        base64::encode(&bytes)
    }

    /// The cursor of a text, if it was written for this list.
    pub(super) fn read(&self, text: &str) -> Option<Cursor> {
        let mut bytes = base64::decode(text)?;
        let (signature, masked) = bytes.split_at_mut_checked(SIGNATURE)?;
        if masked.len() <= NONCE || *signature != self.sign(masked) {
            return None;
        }
        self.mask(masked);
        let (empty_pages, after) = masked[NONCE..].split_first()?;
        Some(Cursor { after: String::from_utf8(after.to_vec()).ok()?, empty_pages: *empty_pages })
    }

    fn sign(&self, masked: &[u8]) -> [u8; SIGNATURE] {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        for part in [self.namespace.as_bytes(), self.prefix.as_bytes(), masked] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut signature = [0; SIGNATURE];
        signature.copy_from_slice(&hash.finalize()[..SIGNATURE]);
        signature
    }

    /// Masks what follows the nonce; done twice, it is as before.
    fn mask(&self, bytes: &mut [u8]) {
        let (nonce, rest) = bytes.split_at_mut(NONCE);
        let mut mixed = nonce.iter().fold(self.seed, |seed, byte| mix(seed, u64::from(*byte)));
        for chunk in rest.chunks_mut(8) {
            mixed = mix(mixed, 1);
            chunk.iter_mut().zip(mixed.to_le_bytes()).for_each(|(byte, mask)| *byte ^= mask);
        }
    }
}
