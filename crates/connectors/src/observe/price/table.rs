//! The price map in memory: a sorted table of names with the few prices of each, well under a
//! megabyte for the 4,500 models of LiteLLM's map. It is read from the same JSON in which LiteLLM
//! publishes it, reduced or whole; everything that is no price of a token is skipped.

use super::field::{Class, Field};
use super::money::femto;
use super::off_peak::OffPeak;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// Longer names are no models.
pub(super) const NAME_MAX: usize = 256;
/// More entries than this are refused; the map had 4,553 in November 2026.
const ENTRIES_MAX: usize = 100_000;
/// More prices of one model than this are left out; the most seen are 32.
const FIELDS_MAX: usize = 200;
/// Tops of the map that are no models.
const NO_MODELS: [&str; 2] = ["sample_spec", "fallback_generalizations"];
/// How much of the hash stamps a cost row, in bytes.
const HASH_BYTES: usize = 6;

/// All entries, by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Sorted by name.
    rows: Vec<Row>,
    /// Names and providers, one after the other.
    text: String,
    fields: Vec<Field>,
    /// Rows in the order of their names in lower case.
    folded: Vec<u32>,
    /// What few models have, by row.
    extras: BTreeMap<u32, Extras>,
}

#[derive(Debug)]
struct Row {
    text: u32,
    name: u16,
    provider: u16,
    fields: u32,
    field_count: u16,
}

#[derive(Debug, Default)]
struct Extras {
    ranges: Vec<Range>,
    off_peak: Option<OffPeak>,
}

/// One of the ranges of prompt lengths that some models are priced by.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// The tokens of the prompt above which it holds.
    pub(super) start: u32,
    pub(super) fields: Vec<Field>,
}

/// One model's prices.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    /// Who sells it, in LiteLLM's words; may be empty.
    pub(super) provider: &'a str,
    pub(super) fields: &'a [Field],
    /// By rising start; empty for most models.
    pub(super) ranges: &'a [Range],
    pub(super) off_peak: Option<&'a OffPeak>,
}

impl Table {
    /// Reads a map.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the JSON, or that there are too many entries. Entries and fields
    /// that are not understood are no errors.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let mut models = Models::default();
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        (&mut models).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(models.into_table())
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The entry of exactly this name.
    pub(super) fn exact(&self, name: &str) -> Option<Entry<'_>> {
        let found = self.rows.binary_search_by(|row| self.name(row).cmp(name));
        found.ok().map(|index| self.entry(index))
    }

    /// The entry of this name in whatever case; the first where there are several.
    pub(super) fn folded(&self, name: &str) -> Option<Entry<'_>> {
        let order = |row: &u32| compare_folded(self.name(&self.rows[*row as usize]), name);
        let first = self.folded.partition_point(|row| order(row) == Ordering::Less);
        let row = self.folded.get(first).filter(|row| order(row) == Ordering::Equal)?;
        Some(self.entry(*row as usize))
    }

    /// What the table takes of memory, without what few models have.
    #[cfg(test)]
    pub(super) const fn bytes(&self) -> usize {
        self.text.capacity()
            + self.rows.capacity() * size_of::<Row>()
            + self.fields.capacity() * size_of::<Field>()
            + self.folded.capacity() * size_of::<u32>()
    }

    /// What stamps the rows that are priced with this map: it depends on the prices alone, not on
    /// the map's layout or its other fields.
    pub(super) fn hash(&self, extra: &str) -> String {
        let mut hash = Sha256::new();
        for index in 0..self.rows.len() {
            hash_entry(&mut hash, &self.entry(index));
        }
        hash.update(extra.as_bytes());
        let digest = hash.finalize();
        digest.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    fn name(&self, row: &Row) -> &str {
        &self.text[row.text as usize..][..usize::from(row.name)]
    }

    fn entry(&self, index: usize) -> Entry<'_> {
        let row = &self.rows[index];
        let provider = row.text as usize + usize::from(row.name);
        let extras = self.extras.get(&(index as u32));
        Entry {
            key: self.name(row),
            provider: &self.text[provider..][..usize::from(row.provider)],
            fields: &self.fields[row.fields as usize..][..usize::from(row.field_count)],
            ranges: extras.map_or(&[], |extras| extras.ranges.as_slice()),
            off_peak: extras.and_then(|extras| extras.off_peak.as_ref()),
        }
    }
}

fn compare_folded(left: &str, right: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    left.bytes().map(lower).cmp(right.bytes().map(lower))
}

fn hash_entry(hash: &mut Sha256, entry: &Entry<'_>) {
    hash.update(entry.key.as_bytes());
    hash.update([0]);
    hash.update(entry.provider.as_bytes());
    hash.update([0]);
    hash_fields(hash, entry.fields);
    for range in entry.ranges {
        hash.update(range.start.to_le_bytes());
        hash_fields(hash, &range.fields);
    }
    if let Some(off_peak) = entry.off_peak {
        hash.update(format!("{off_peak:?}").as_bytes());
    }
}

fn hash_fields(hash: &mut Sha256, fields: &[Field]) {
    for field in fields {
        hash.update([field.class as u8, field.tier as u8]);
        hash.update(field.above.to_le_bytes());
        hash.update(field.rate.to_le_bytes());
    }
    hash.update([0xff]);
}

/// The entries while they are read; the last of a name wins.
#[derive(Default)]
struct Models {
    by_name: BTreeMap<String, Model>,
}

#[derive(Default)]
struct Model {
    provider: String,
    fields: Vec<Field>,
    extras: Extras,
}

impl Models {
    fn into_table(self) -> Table {
        let mut table = Table::default();
        for (name, model) in self.by_name {
            if !model.extras.ranges.is_empty() || model.extras.off_peak.is_some() {
                table.extras.insert(table.rows.len() as u32, model.extras);
            }
            table.rows.push(Row {
                text: table.text.len() as u32,
                name: name.len() as u16,
                provider: model.provider.len() as u16,
                fields: table.fields.len() as u32,
                field_count: model.fields.len() as u16,
            });
            table.text.push_str(&name);
            table.text.push_str(&model.provider);
            table.fields.extend(model.fields);
        }
        table.text.shrink_to_fit();
        table.fields.shrink_to_fit();
        table.rows.shrink_to_fit();
        let mut folded: Vec<u32> = (0..table.rows.len() as u32).collect();
        folded
            .sort_by_cached_key(|row| table.name(&table.rows[*row as usize]).to_ascii_lowercase());
        table.folded = folded;
        table
    }
}

impl<'de> DeserializeSeed<'de> for &mut Models {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Models {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of models")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if NO_MODELS.contains(&&*name) || name.is_empty() || name.len() > NAME_MAX {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let raw: &RawValue = map.next_value()?;
            if let Some(model) = Model::parse(raw.get()) {
                self.by_name.insert(name.into_owned(), model);
            }
            if self.by_name.len() > ENTRIES_MAX {
                let error = format!("there are more than {ENTRIES_MAX} models");
                return Err(serde::de::Error::custom(error));
            }
        }
        Ok(())
    }
}

impl Model {
    /// `None` for what is no object.
    fn parse(json: &str) -> Option<Self> {
        let all: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(json).ok()?;
        let mut model = Self::default();
        for (name, raw) in all {
            match &*name {
                "litellm_provider" => model.provider = short_text(raw).unwrap_or_default(),
                "tiered_pricing" => model.extras.ranges = ranges(raw.get()).unwrap_or_default(),
                "off_peak_pricing" => model.extras.off_peak = OffPeak::parse(raw.get()),
                name => model.fields.extend(price(name, raw)),
            }
        }
        model.fields.sort_by_key(|f| (f.class, f.tier, f.above));
        model.fields.truncate(FIELDS_MAX);
        Some(model)
    }
}

/// Prices are numbers; some maps have them as text.
fn price(name: &str, raw: &RawValue) -> Option<Field> {
    let field = Field::named(name, 0)?;
    Some(Field { rate: femto(raw.get().trim_matches('"'))?, ..field })
}

fn short_text(raw: &RawValue) -> Option<String> {
    let text: String = serde_json::from_str(raw.get()).ok()?;
    (text.len() <= NAME_MAX).then_some(text)
}

/// `[{"range": [0, 256000.0], "input_cost_per_token": 5e-08, ...}, ...]`.
fn ranges(json: &str) -> Option<Vec<Range>> {
    let list = Vec::<BTreeMap<Cow<'_, str>, &RawValue>>::deserialize(
        &mut serde_json::Deserializer::from_str(json),
    );
    let mut ranges = Vec::new();
    for range in list.ok()?.into_iter().take(FIELDS_MAX) {
        let bounds: Vec<f64> = serde_json::from_str(range.get("range")?.get()).ok()?;
        let start = bounds.first().copied().filter(|start| (0.0..4e9).contains(start))?;
        let fields = range.iter().filter_map(|(name, raw)| price(name, raw));
        let fields = fields.filter(|f| f.above == 0 && f.class != Class::ImageOutput);
        ranges.push(Range { start: start as u32, fields: fields.collect() });
    }
    ranges.sort_by_key(|range| range.start);
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::Table;

    const MAP: &[u8] = br#"{
        "sample_spec": {"input_cost_per_token": 1},
        "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06,
            "output_cost_per_token": "1e-05", "max_tokens": 5, "unknown": {"a": [1]}},
        "Qwen/QwQ": {"input_cost_per_token": 1e-07},
        "odd": 7,
        "priceless": {"mode": "image_generation", "input_cost_per_token": null}
    }"#;

    #[test]
    fn prices_are_kept_and_the_rest_is_skipped() {
        let table = Table::parse(MAP).unwrap();
        assert_eq!(table.len(), 3);
        let entry = table.exact("gpt-4o").unwrap();
        assert_eq!((entry.key, entry.provider), ("gpt-4o", "openai"));
        let rates: Vec<u64> = entry.fields.iter().map(|field| field.rate).collect();
        assert_eq!(rates, [2_500_000_000, 10_000_000_000]);
        assert!(table.exact("sample_spec").is_none());
        assert!(table.exact("odd").is_none());
        assert!(table.exact("priceless").unwrap().fields.is_empty());
    }

    #[test]
    fn names_are_found_in_any_case() {
        let table = Table::parse(MAP).unwrap();
        assert!(table.exact("GPT-4O").is_none());
        assert_eq!(table.folded("GPT-4O").unwrap().key, "gpt-4o");
        assert_eq!(table.folded("qwen/qwq").unwrap().key, "Qwen/QwQ");
        assert!(table.folded("gpt-4").is_none());
        assert!(table.folded("").is_none());
    }

    #[test]
    fn the_hash_is_of_the_prices_alone() {
        let hash = |json: &str| Table::parse(json.as_bytes()).unwrap().hash("");
        let one = hash(r#"{"a": {"input_cost_per_token": 1e-06}, "b": {}}"#);
        assert_eq!(one.len(), 12);
        assert_eq!(one, hash(r#"{"b": {"x": 1}, "a": {"input_cost_per_token": 0.000001}}"#));
        assert_ne!(one, hash(r#"{"a": {"input_cost_per_token": 2e-06}, "b": {}}"#));
        assert_ne!(one, hash(r#"{"a": {"output_cost_per_token": 1e-06}, "b": {}}"#));
    }

    #[test]
    fn what_is_no_map_is_an_error() {
        for json in ["", "[]", "{", "{} {}", "null"] {
            assert!(Table::parse(json.as_bytes()).is_err(), "{json}");
        }
    }
}
