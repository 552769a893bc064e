//! Compressed bodies unpacked piece by piece, so that one that grows beyond its bound is refused
//! before it has.

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::{self, Read};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zlib, which HTTP calls `deflate`; also without zlib's header, as some clients send it.
    Deflate,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// What a `Content-Encoding` means; `None` for one that we do not unpack.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }
}

/// Why a body could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUnpacked<E> {
    /// It would have more bytes than it may.
    TooLarge,
    /// It is not what its header says.
    Corrupt,
    /// The caller has no room for it.
    NoRoom(E),
}

/// How much memory Zstandard may take to look back: 8 MiB, which RFC 8878 asks every decoder for.
const ZSTD_WINDOW_LOG: u32 = 23;
/// How much is unpacked at once.
const PIECE: usize = 64 << 10;

/// Unpacks a body of at most `most` bytes. Before it keeps another piece it asks `make_room` for
/// that many bytes.
///
/// # Errors
///
/// [`NotUnpacked`].
pub fn unpack<E>(
    packed: &[u8],
    packing: Packing,
    most: usize,
    make_room: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<u8>, NotUnpacked<E>> {
    match packing {
        Packing::Identity => read_all(packed, most, make_room),
        Packing::Gzip => read_all(MultiGzDecoder::new(packed), most, make_room),
        Packing::Deflate if has_zlib_header(packed) => {
            read_all(ZlibDecoder::new(packed), most, make_room)
        }
        Packing::Deflate => read_all(DeflateDecoder::new(packed), most, make_room),
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)
                .map_err(|_| NotUnpacked::Corrupt)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| NotUnpacked::Corrupt)?;
            read_all(decoder, most, make_room)
        }
    }
}

/// A zlib header has method 8, and as a number it is a multiple of 31.
fn has_zlib_header(packed: &[u8]) -> bool {
    matches!(packed, [method, flags, ..]
        if method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0)
}

fn read_all<E>(
    mut from: impl Read,
    most: usize,
    mut make_room: impl FnMut(usize) -> Result<(), E>,
) -> Result<Vec<u8>, NotUnpacked<E>> {
    let mut out = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(out),
            Ok(count) if out.len() + count > most => return Err(NotUnpacked::TooLarge),
            Ok(count) => {
                make_room(count).map_err(NotUnpacked::NoRoom)?;
                out.extend_from_slice(&piece[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(NotUnpacked::Corrupt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn free(_: usize) -> Result<(), ()> {
        Ok(())
    }

    fn packed(content: &[u8]) -> [(Packing, Vec<u8>); 5] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(content).unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(content).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
        raw.write_all(content).unwrap();
        [
            (Packing::Identity, content.to_vec()),
            (Packing::Gzip, gzip.finish().unwrap()),
            (Packing::Deflate, zlib.finish().unwrap()),
            (Packing::Deflate, raw.finish().unwrap()),
            (Packing::Zstd, zstd::encode_all(content, 1).unwrap()),
        ]
    }

    #[test]
    fn every_packing_is_unpacked() {
        let content = b"what was packed ".repeat(10_000);
        for (packing, packed) in packed(&content) {
            assert_eq!(unpack(&packed, packing, content.len(), free), Ok(content.clone()));
        }
    }

    #[test]
    fn bombs_are_refused_while_they_are_unpacked() {
        let content = vec![0; 50 << 20];
        for (packing, packed) in packed(&content).into_iter().skip(1) {
            assert!(packed.len() < 600_000, "{packing:?} has {}", packed.len());
            let mut kept = 0;
            let refused = unpack(&packed, packing, 1 << 20, |more| {
                kept += more;
                Ok::<_, ()>(())
            });
            assert_eq!(refused, Err(NotUnpacked::TooLarge));
            assert!(kept <= 1 << 20);
            let mut room = 500_000_usize;
            let full = unpack(&packed, packing, 50 << 20, |more| {
                room = room.checked_sub(more).ok_or("full")?;
                Ok(())
            });
            assert_eq!(full, Err(NotUnpacked::NoRoom("full")));
        }
    }

    #[test]
    fn what_is_cut_or_no_packing_is_corrupt() {
        let content = b"content".repeat(100);
        for (packing, packed) in packed(&content).into_iter().skip(1) {
            let cut = &packed[..packed.len() / 2];
            assert_eq!(unpack(cut, packing, 10_000, free), Err(NotUnpacked::Corrupt));
            let plain = b"{\"batch\":[]}";
            assert_eq!(unpack(plain, packing, 10_000, free), Err(NotUnpacked::Corrupt));
        }
    }

    #[test]
    fn encodings_have_names() {
        assert_eq!(Packing::of(" GZIP "), Some(Packing::Gzip));
        assert_eq!(Packing::of("identity"), Some(Packing::Identity));
        assert_eq!(Packing::of("br"), None);
        assert_eq!(Packing::of("gzip, gzip"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_within_the_bound(
            bytes in proptest::collection::vec(any::<u8>(), 0..500),
        ) {
            for packing in [Packing::Gzip, Packing::Deflate, Packing::Zstd] {
                if let Ok(out) = unpack(&bytes, packing, 5_000, free) {
                    prop_assert!(out.len() <= 5_000);
                }
            }
        }
    }
}
