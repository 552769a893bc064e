//! Request bodies: how they are unpacked, and how large they may become.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};

/// The most bytes that a body may have unpacked where the vendor has no limit of its own. A bomb
/// of a few kilobytes would otherwise take the machine's memory.
pub(super) const MOST_UNPACKED: usize = 256 << 20;

/// Why a body can't be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpackable {
    /// The encoding is none that the receiver knows.
    Unknown,
    /// The body is not what its encoding says.
    Broken,
    /// It has more bytes than the receiver takes.
    TooLarge,
}

/// Unpacks gzip, zlib and zstd.
pub(super) fn unpack<'a>(
    body: &'a [u8],
    encoding: &str,
    most: usize,
) -> Result<Cow<'a, [u8]>, Unpackable> {
    match encoding {
        "" | "identity" if body.len() > most => Err(Unpackable::TooLarge),
        "" | "identity" => Ok(Cow::Borrowed(body)),
        "gzip" => read(MultiGzDecoder::new(body), most),
        "deflate" => read(ZlibDecoder::new(body), most),
        "zstd" => {
            let decoder = zstd::stream::read::Decoder::new(body).map_err(|_| Unpackable::Broken)?;
            read(decoder, most)
        }
        _ => Err(Unpackable::Unknown),
    }
}

fn read<'a>(from: impl Read, most: usize) -> Result<Cow<'a, [u8]>, Unpackable> {
    let mut unpacked = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    from.take(bound).read_to_end(&mut unpacked).map_err(|_| Unpackable::Broken)?;
    if unpacked.len() > most {
        return Err(Unpackable::TooLarge);
    }
    Ok(Cow::Owned(unpacked))
}
