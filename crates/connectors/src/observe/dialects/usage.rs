//! Counts of tokens as the conventions state them, brought into buckets that do not overlap.
//!
//! In the conventions of OpenTelemetry, OpenInference and OpenAI, the count of the input includes
//! cached tokens and audio, and that of the output includes reasoning. In the usage details of
//! Langfuse, every count stands for itself: its server multiplies each with a price and adds up.

use crate::observe::event::Usage;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// A count that a client states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The input.
    Input,
    /// Cached input that was read.
    CacheRead,
    /// Input written into the cache, for whatever time.
    CacheWrite,
    /// The part of it that was written for five minutes.
    CacheWrite5m,
    /// The part of it that was written for an hour.
    CacheWrite1h,
    /// Audio in the input.
    AudioInput,
    /// The output.
    Output,
    /// Reasoning in the output.
    Reasoning,
    /// Audio in the output.
    AudioOutput,
    /// Input and output.
    Total,
}

const COUNTS: usize = Count::Total as usize + 1;

/// What a client states, each with the rank of the name it was stated under: of several names for
/// one count, the one with the lowest rank counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    stated: [Option<(u8, u64)>; COUNTS],
}

/// What a count of the input or output includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Includes {
    /// Whether the input includes what was read from the cache, and audio.
    pub cache_read: bool,
    /// Whether the input includes what was written into the cache.
    pub cache_write: bool,
    /// Whether the output includes reasoning and audio.
    pub reasoning: bool,
    /// Whether the count of what was written into the cache includes its parts by time.
    pub write_parts: bool,
}

impl Includes {
    /// The conventions of OpenTelemetry, OpenInference and the AI SDK.
    pub const EVERYTHING: Self =
        Self { cache_read: true, cache_write: true, reasoning: true, write_parts: true };
    /// The convention of Langfuse.
    pub const NOTHING: Self =
        Self { cache_read: false, cache_write: false, reasoning: false, write_parts: false };
}

impl Counts {
    /// Notes a count.
    pub fn state(&mut self, count: Count, rank: u8, value: u64) {
        let stated = &mut self.stated[count as usize];
        if stated.is_none_or(|(before, _)| rank < before) {
            *stated = Some((rank, value));
        }
    }

    /// Whether nothing was stated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stated.iter().all(Option::is_none)
    }

    fn get(&self, count: Count) -> u64 {
        self.stated[count as usize].map_or(0, |(_, value)| value)
    }

    fn rank(&self, count: Count) -> Option<u8> {
        self.stated[count as usize].map(|(rank, _)| rank)
    }

    /// The disjoint buckets. A total that stands alone is taken as input, as with embeddings.
    #[must_use]
    pub fn disjoint(&self, includes: Includes) -> Usage {
        let less = |from: u64, parts: &[(bool, u64)]| {
            parts
                .iter()
                .filter(|(is_included, _)| *is_included)
                .fold(from, |left, (_, part)| left.saturating_sub(*part))
        };
        let (five, hour) = (self.get(Count::CacheWrite5m), self.get(Count::CacheWrite1h));
        let stated_write = self.get(Count::CacheWrite);
        let other_write =
            less(stated_write, &[(includes.write_parts, five), (includes.write_parts, hour)]);
        let cache_write = other_write.saturating_add(five);
        let all_write = cache_write.saturating_add(hour);
        let (read, audio) = (self.get(Count::CacheRead), self.get(Count::AudioInput));
        let (reasoning, spoken) = (self.get(Count::Reasoning), self.get(Count::AudioOutput));
        let is_only_total = self.rank(Count::Input).is_none() && self.rank(Count::Output).is_none();
        let stated_input = match is_only_total {
            true => self.get(Count::Total),
            false => self.get(Count::Input),
        };
        Usage {
            input: less(
                stated_input,
                &[
                    (includes.cache_read || is_only_total, read),
                    (includes.cache_write || is_only_total, all_write),
                    (includes.cache_read || is_only_total, audio),
                ],
            ),
            cache_read: read,
            cache_write,
            cache_write_1h: hour,
            audio_input: audio,
            output: less(
                self.get(Count::Output),
                &[(includes.reasoning, reasoning), (includes.reasoning, spoken)],
            ),
            reasoning,
            audio_output: spoken,
        }
    }
}

/// The rank of the names that Langfuse itself uses; those of OpenAI come behind them.
const OWN: u8 = 0;

/// The names that Langfuse's usage details have, with those that its server brings into them.
const DETAILS: [(&str, Count, u8); 35] = [
    ("input", Count::Input, OWN),
    ("prompt_tokens", Count::Input, 1),
    ("input_tokens", Count::Input, 2),
    ("promptTokens", Count::Input, 3),
    ("inputTokens", Count::Input, 4),
    ("output", Count::Output, OWN),
    ("completion_tokens", Count::Output, 1),
    ("output_tokens", Count::Output, 2),
    ("completionTokens", Count::Output, 3),
    ("outputTokens", Count::Output, 4),
    ("total", Count::Total, OWN),
    ("total_tokens", Count::Total, 1),
    ("totalTokens", Count::Total, 2),
    ("input_cached_tokens", Count::CacheRead, OWN),
    ("cache_read_input_tokens", Count::CacheRead, 1),
    ("input_cache_read", Count::CacheRead, 2),
    ("input_cached", Count::CacheRead, 3),
    ("input_cache_read_tokens", Count::CacheRead, 4),
    ("cached_input_tokens", Count::CacheRead, 5),
    ("cache_read_tokens", Count::CacheRead, 6),
    ("input_cache_creation", Count::CacheWrite, OWN),
    ("cache_creation_input_tokens", Count::CacheWrite, 1),
    ("input_cache_write", Count::CacheWrite, 2),
    ("input_cache_creation_tokens", Count::CacheWrite, 3),
    ("cache_write_tokens", Count::CacheWrite, 4),
    ("input_cache_creation_5m", Count::CacheWrite5m, OWN),
    ("input_cache_creation_1h", Count::CacheWrite1h, OWN),
    ("input_audio_tokens", Count::AudioInput, OWN),
    ("input_audio", Count::AudioInput, 1),
    ("input_modality_1_audio", Count::AudioInput, 2),
    ("output_reasoning_tokens", Count::Reasoning, OWN),
    ("output_reasoning", Count::Reasoning, 1),
    ("reasoning_tokens", Count::Reasoning, 2),
    ("output_audio_tokens", Count::AudioOutput, OWN),
    ("output_audio", Count::AudioOutput, 1),
];

/// The names in the objects of OpenAI's and Anthropic's shapes, and what they count.
const PARTS: [(&str, &str, Count); 8] = [
    ("prompt", "cached_tokens", Count::CacheRead),
    ("prompt", "cache_creation_tokens", Count::CacheWrite),
    ("prompt", "audio_tokens", Count::AudioInput),
    ("completion", "reasoning_tokens", Count::Reasoning),
    ("completion", "audio_tokens", Count::AudioOutput),
    ("cache_creation", "ephemeral_5m_input_tokens", Count::CacheWrite5m),
    ("cache_creation", "ephemeral_1h_input_tokens", Count::CacheWrite1h),
    ("prompt", "cache_write_tokens", Count::CacheWrite),
];

/// Which objects have such parts.
const OBJECTS: [(&str, &str); 5] = [
    ("prompt_tokens_details", "prompt"),
    ("input_tokens_details", "prompt"),
    ("completion_tokens_details", "completion"),
    ("output_tokens_details", "completion"),
    ("cache_creation", "cache_creation"),
];

/// The usage details of an observation, as `langfuse.observation.usage_details` has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct UsageDetails {
    counts: Counts,
    has_input_parts: bool,
    has_output_parts: bool,
    has_write_parts: bool,
}

impl UsageDetails {
    /// Reads a JSON object; `None` if it is none.
    #[must_use]
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The disjoint buckets.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // What Langfuse calls `input` is free of its parts, even with OpenAI's shape beside it.
        let includes_input = self.has_input_parts && self.counts.rank(Count::Input) != Some(OWN);
        self.counts.disjoint(Includes {
            cache_read: includes_input,
            cache_write: includes_input,
            reasoning: self.has_output_parts && self.counts.rank(Count::Output) != Some(OWN),
            write_parts: self.has_write_parts,
        })
    }

    fn add(&mut self, key: &str, value: Number) {
        let Some(value) = value.0 else { return };
        if let Some((_, count, rank)) = DETAILS.iter().find(|(name, ..)| *name == key) {
            self.counts.state(*count, *rank, value);
        }
    }

    fn add_part(&mut self, of: &str, key: &str, value: Number) {
        let Some(value) = value.0 else { return };
        let part = PARTS.iter().find(|(object, name, _)| *object == of && *name == key);
        if let Some((_, _, count)) = part {
            // Behind the flat names, which say the same.
            self.counts.state(*count, u8::MAX, value);
            match of {
                "prompt" => self.has_input_parts = true,
                "completion" => self.has_output_parts = true,
                _ => self.has_write_parts = true,
            }
        }
    }
}

impl<'de> Deserialize<'de> for UsageDetails {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut details = Self::default();
        from.deserialize_map(Object { details: &mut details, of: None })?;
        Ok(details)
    }
}

/// An object of counts, or one of its objects.
struct Object<'d> {
    details: &'d mut UsageDetails,
    of: Option<&'static str>,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object of counts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let object = OBJECTS.iter().find(|(name, _)| *name == key);
            match (self.of, object) {
                (None, Some((_, of))) => {
                    map.next_value_seed(Part(Object { details: self.details, of: Some(of) }))?;
                }
                (None, None) => self.details.add(&key, map.next_value()?),
                (Some(of), _) => self.details.add_part(of, &key, map.next_value()?),
            }
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

struct Part<'d>(Object<'d>);

impl<'de> serde::de::DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        // `null` stands for no details.
        from.deserialize_any(self.0)
    }
}

/// A count in JSON: a whole number, also as a text; anything else counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Whole)
    }
}

/// The whole number that a double is, if it is one.
#[must_use]
pub fn whole(value: f64) -> Option<u64> {
    (value.fract() == 0.0 && (0.0..1.8e19).contains(&value)).then_some(value as u64)
}

struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Number;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a count")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(Some(value)))
    }

    fn visit_i64<E>(self, _negative: i64) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number(whole(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Number, E> {
        Ok(Number(value.trim().parse().ok()))
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}
