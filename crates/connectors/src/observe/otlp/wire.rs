//! The encoding of protobuf: varints, fixed numbers and delimited bytes, read without copying and
//! without trust, and written.

use thiserror::Error;

/// How many groups may be nested; they are only ever skipped. Protobuf's own libraries allow 100.
const MOST_GROUPS: usize = 100;

/// Bytes that are no protobuf message, or not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// A number or field goes beyond the end.
    #[error("it ends in the middle of a field")]
    Short,
    /// A varint has more than ten bytes, or more than 64 bits.
    #[error("it has a number of more than 64 bits")]
    LongVarint,
    /// A tag has the number 0, a number above 2^29 - 1, or a kind that does not exist.
    #[error("it has a field that cannot be")]
    BadTag,
    /// A known field is not of its type.
    #[error("one of its fields has the wrong type")]
    WrongType,
    /// A string is not UTF-8.
    #[error("one of its strings is not UTF-8")]
    NotText,
    /// Values are nested too deeply.
    #[error("its values are nested too deeply")]
    TooDeep,
}

/// A field's value as it lies in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: a string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 3, the content of a group, which no message of ours has.
    Group,
    /// Wire type 5.
    Fixed32(u32),
}

impl<'a> Value<'a> {
    /// The content of a delimited field.
    ///
    /// # Errors
    ///
    /// [`Malformed::WrongType`] for every other kind.
    pub const fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed::WrongType),
        }
    }

    /// The text of a string field.
    ///
    /// # Errors
    ///
    /// [`Malformed::WrongType`] for every other kind, [`Malformed::NotText`] for bytes that are
    /// not UTF-8.
    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::NotText)
    }

    /// The number of a varint field.
    ///
    /// # Errors
    ///
    /// [`Malformed::WrongType`] for every other kind.
    pub const fn varint(self) -> Result<u64, Malformed> {
        match self {
            Self::Varint(number) => Ok(number),
            _ => Err(Malformed::WrongType),
        }
    }

    /// The number of a `fixed32` field.
    ///
    /// # Errors
    ///
    /// [`Malformed::WrongType`] for every other kind.
    pub const fn fixed32(self) -> Result<u32, Malformed> {
        match self {
            Self::Fixed32(bits) => Ok(bits),
            _ => Err(Malformed::WrongType),
        }
    }

    /// The number of a `fixed64` or `double` field, as bits.
    ///
    /// # Errors
    ///
    /// [`Malformed::WrongType`] for every other kind.
    pub const fn fixed64(self) -> Result<u64, Malformed> {
        match self {
            Self::Fixed64(bits) => Ok(bits),
            _ => Err(Malformed::WrongType),
        }
    }
}

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's number, at least 1.
    pub number: u32,
    /// Its value.
    pub value: Value<'a>,
    /// All its bytes, the tag included.
    pub raw: &'a [u8],
}

/// Reads the fields of one message, in their order. After an error it has no more.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads a field, or `None` at the end.
    #[inline]
    fn field(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        let whole = self.rest;
        if whole.is_empty() {
            return Ok(None);
        }
        let (number, kind) = self.tag()?;
        let value = match kind {
            3 => {
                self.skip_group(number)?;
                Value::Group
            }
            _ => self.plain(kind)?,
        };
        let raw = &whole[..whole.len() - self.rest.len()];
        Ok(Some(Field { number, value, raw }))
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = self.varint()?;
        match u32::try_from(tag) {
            Ok(tag) if tag >> 3 != 0 => Ok((tag >> 3, (tag & 7) as u8)),
            _ => Err(Malformed::BadTag),
        }
    }

    #[inline]
    fn plain(&mut self, kind: u8) -> Result<Value<'a>, Malformed> {
        Ok(match kind {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Malformed::BadTag),
        })
    }

    /// Skips to the end of a group. Groups nest, so the open ones are counted, by number.
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            match self.tag()? {
                (number, 3) if open.len() < MOST_GROUPS => open.push(number),
                (_, 3) => return Err(Malformed::TooDeep),
                (number, 4) if number == *innermost => {
                    open.pop();
                }
                (_, 4) => return Err(Malformed::BadTag),
                (_, kind) => {
                    self.plain(kind)?;
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte has only the highest of the 64 bits.
            if index == 9 && *byte > 1 {
                return Err(Malformed::LongVarint);
            }
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < 10 { Malformed::Short } else { Malformed::LongVarint })
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*taken)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        field.transpose()
    }
}

/// How many bytes a varint takes.
#[must_use]
pub const fn varint_len(number: u64) -> usize {
    (70 - (number | 1).leading_zeros() as usize) / 7
}

/// How many bytes a delimited field with a content of this many bytes takes.
#[must_use]
pub const fn delimited_len(number: u32, content: usize) -> usize {
    varint_len((number as u64) << 3) + varint_len(content as u64) + content
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_tag(out: &mut Vec<u8>, number: u32, kind: u8) {
    put_varint(out, u64::from(number) << 3 | u64::from(kind));
}

/// Appends a varint field; negative numbers of `int64` are given as their 64 bits.
pub fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 0);
    put_varint(out, value);
}

/// Appends a `fixed64` or `double` field.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, bits: u64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a `fixed32` field.
pub fn put_fixed32(out: &mut Vec<u8>, number: u32, bits: u32) {
    put_tag(out, number, 5);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends the tag and length of a delimited field, whose content the caller appends.
pub fn put_header(out: &mut Vec<u8>, number: u32, content: usize) {
    put_tag(out, number, 2);
    put_varint(out, content as u64);
}

/// Appends a string, bytes or message field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    put_header(out, number, content.len());
    out.extend_from_slice(content);
}

/// Appends a message field whose content `write` appends, of a length not known before.
///
/// # Errors
///
/// Those of `write`; what it appended until then stays.
pub fn put_message<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_tag(out, number, 2);
    let start = out.len();
    write(out)?;
    let mut length = [0; 10];
    let mut width = 0;
    let mut left = out.len() - start;
    loop {
        length[width] = left as u8 & 0x7f;
        left >>= 7;
        width += 1;
        if left == 0 {
            break;
        }
        length[width - 1] |= 0x80;
    }
    // The length stands before the content, which makes room for it.
    out.splice(start..start, length[..width].iter().copied());
    Ok(())
}
