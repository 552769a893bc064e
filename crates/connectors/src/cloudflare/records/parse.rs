//! One record, or one name, out of its text.

use super::Record;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Takes base64 with and without the padding at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An object as it may be written. Everything is raw, so that what is wrong can be named.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow, default)]
    key: Option<&'a RawValue>,
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default)]
    base64: Option<&'a RawValue>,
    #[serde(borrow, default)]
    expiration: Option<&'a RawValue>,
    #[serde(borrow, default)]
    expiration_ttl: Option<&'a RawValue>,
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
}

impl Written<'_> {
    fn key(&self) -> Result<String, String> {
        let raw = self.key.or(self.name).ok_or("it has no `key`")?;
        string("key", raw)
    }
}

/// A record out of a JSON object.
pub(super) fn json_record(text: &[u8]) -> Result<Record, String> {
    let written: Written<'_> = object(text)?;
    let value = string("value", written.value.ok_or("it has no `value`")?)?;
    let base64 = match written.base64.map(RawValue::get) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err("its `base64` is neither true nor false".to_owned()),
    };
    Ok(Record {
        key: written.key()?,
        value: if base64 { decoded(value.as_bytes())? } else { value.into_bytes() },
        expiration: seconds("expiration", written.expiration.map(RawValue::get))?,
        expiration_ttl: seconds("expiration_ttl", written.expiration_ttl.map(RawValue::get))?,
        metadata: written.metadata.map(ToOwned::to_owned),
    })
}

/// A key out of a JSON string, or an object with a `key` or `name`.
pub(super) fn json_key(text: &[u8]) -> Result<String, String> {
    match text.first() {
        Some(b'"') => serde_json::from_slice(text).map_err(|error| not_json(&error)),
        Some(b'{') => object(text)?.key(),
        _ => Err("it is neither a string nor an object with a `key`".to_owned()),
    }
}

fn object(text: &[u8]) -> Result<Written<'_>, String> {
    if text.first() != Some(&b'{') {
        return Err("it is not a JSON object".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> String {
    format!("it is not understood: {error}")
}

fn string(field: &str, raw: &RawValue) -> Result<String, String> {
    let kind = match raw.get().as_bytes().first() {
        Some(b'"') => return serde_json::from_str(raw.get()).map_err(|error| not_json(&error)),
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "true or false",
        _ => "a number",
    };
    Err(format!("its `{field}` is {kind}, not a string"))
}

fn seconds(field: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    let number = text.map(str::parse).transpose();
    number.map_err(|_| format!("its `{field}` is not a whole number of seconds"))
}

fn decoded(value: &[u8]) -> Result<Vec<u8>, String> {
    BASE64.decode(value).map_err(|error| format!("its value is not base64: {error}"))
}

/// Reads lines of CSV by the columns that its first line names.
#[derive(Debug, Default)]
pub(super) struct Csv {
    columns: Columns,
}

/// At which place each column stands.
#[derive(Debug, Default)]
struct Columns {
    key: Option<usize>,
    value: Option<usize>,
    base64: Option<usize>,
    expiration: Option<usize>,
    expiration_ttl: Option<usize>,
    metadata: Option<usize>,
    count: usize,
}

/// The fields of a line.
struct Row<'l>(Vec<Cow<'l, [u8]>>);

impl Csv {
    /// Reads the first line.
    pub(super) fn of_header(line: &[u8], with_values: bool) -> Result<Self, String> {
        let fields = csv_fields(line)?;
        let mut columns = Columns { count: fields.len(), ..Columns::default() };
        for (place, name) in fields.iter().enumerate() {
            let column = match &**name {
                b"key" | b"name" => &mut columns.key,
                b"value" => &mut columns.value,
                b"base64" => &mut columns.base64,
                b"expiration" => &mut columns.expiration,
                b"expiration_ttl" => &mut columns.expiration_ttl,
                b"metadata" => &mut columns.metadata,
                _ => continue,
            };
            if column.replace(place).is_some() {
                return Err("a column is named twice in the first line".to_owned());
            }
        }
        if columns.key.is_none() || (with_values && columns.value.is_none()) {
            let needed = if with_values { "`key` and `value`" } else { "`key`" };
            return Err(format!("the first line must name the columns, with {needed}"));
        }
        Ok(Self { columns })
    }

    pub(super) fn key(&self, line: &[u8]) -> Result<String, String> {
        self.row(line)?.key(&self.columns)
    }

    pub(super) fn record(&self, line: &[u8]) -> Result<Record, String> {
        let (row, columns) = (self.row(line)?, &self.columns);
        let value = row.field(columns.value);
        let base64 = match row.field(columns.base64) {
            b"" | b"false" => false,
            b"true" => true,
            _ => return Err("its `base64` is neither true nor false".to_owned()),
        };
        let metadata = row.text(columns.metadata)?;
        let metadata = metadata.filter(|text| *text != "null");
        let metadata = metadata.map(|text| RawValue::from_string(text.to_owned())).transpose();
        Ok(Record {
            key: row.key(columns)?,
            value: if base64 { decoded(value)? } else { value.to_owned() },
            expiration: seconds("expiration", row.text(columns.expiration)?)?,
            expiration_ttl: seconds("expiration_ttl", row.text(columns.expiration_ttl)?)?,
            metadata: metadata.map_err(|error| format!("its metadata are no JSON: {error}"))?,
        })
    }

    fn row<'l>(&self, line: &'l [u8]) -> Result<Row<'l>, String> {
        let fields = csv_fields(line)?;
        let (count, expected) = (fields.len(), self.columns.count);
        if count == expected {
            return Ok(Row(fields));
        }
        Err(format!("it has {count} columns, and the first line has {expected}"))
    }
}

impl Row<'_> {
    fn field(&self, place: Option<usize>) -> &[u8] {
        place.and_then(|place| self.0.get(place)).map_or(b"", |field| &**field)
    }

    /// The text of a field; none where it is empty.
    fn text(&self, place: Option<usize>) -> Result<Option<&str>, String> {
        let text = std::str::from_utf8(self.field(place)).map_err(|_| "it is not UTF-8")?;
        Ok((!text.is_empty()).then_some(text))
    }

    fn key(&self, columns: &Columns) -> Result<String, String> {
        let key = std::str::from_utf8(self.field(columns.key));
        key.map(str::to_owned).map_err(|_| "its key is not UTF-8".to_owned())
    }
}

/// The fields of a line of CSV, strictly as RFC 4180 has it: a quote stands around a field, or
/// doubled inside one that has quotes around it. Readers that take other quotes as text read a
/// file that is cut off inside a field as if it were whole.
pub(in crate::cloudflare) fn csv_fields(line: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, String> {
    let mut fields = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (field, behind) = match text.strip_prefix(b"\"") {
            Some(text) => quoted_field(text)?,
            None => {
                let end = memchr::memchr2(b',', b'"', text).unwrap_or(text.len());
                let (field, behind) = text.split_at(end);
                (Cow::Borrowed(field), behind)
            }
        };
        fields.push(field);
        rest = match behind.split_first() {
            None => None,
            Some((b',', rest)) => Some(rest),
            Some(_) => return Err("a quote stands where none can be".to_owned()),
        };
    }
    Ok(fields)
}

/// The field behind an opening quote, and what stands behind its closing one.
fn quoted_field(text: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), String> {
    let mut field: Cow<'_, [u8]> = Cow::Borrowed(b"");
    let mut rest = text;
    loop {
        let end = memchr::memchr(b'"', rest).ok_or("a quote is not closed")?;
        let (part, behind) = rest.split_at(end);
        let doubled = behind.starts_with(b"\"\"");
        if !doubled && field.is_empty() {
            field = Cow::Borrowed(part);
        } else {
            field.to_mut().extend_from_slice(part);
        }
        if !doubled {
            return Ok((field, behind.get(1..).unwrap_or_default()));
        }
        field.to_mut().push(b'"');
        rest = behind.get(2..).unwrap_or_default();
    }
}
