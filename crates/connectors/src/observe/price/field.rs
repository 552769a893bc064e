//! The grammar of LiteLLM's price fields: a class of tokens, then a threshold of the prompt's
//! length, then a service tier, as in `input_cost_per_token_above_200k_tokens_priority`.

/// What kind of tokens a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Class {
    Input,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    AudioInput,
    Output,
    Reasoning,
    AudioOutput,
    /// The price of output of models that write images only.
    ImageOutput,
}

impl Class {
    /// How many there are.
    pub(super) const COUNT: usize = 9;

    /// The classes that move together to the rates above a threshold. What has a price of its own
    /// besides these keeps it.
    pub(super) const WITH_THRESHOLDS: [Self; 4] =
        [Self::Input, Self::CacheRead, Self::CacheWrite, Self::Output];

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "input_cost_per_token" => Self::Input,
            "cache_read_input_token_cost" => Self::CacheRead,
            "cache_creation_input_token_cost" => Self::CacheWrite,
            "cache_creation_input_token_cost_above_1hr" => Self::CacheWrite1h,
            "input_cost_per_audio_token" => Self::AudioInput,
            "output_cost_per_token" => Self::Output,
            "output_cost_per_reasoning_token" => Self::Reasoning,
            "output_cost_per_audio_token" => Self::AudioOutput,
            "output_cost_per_image_token" => Self::ImageOutput,
            _ => return None,
        })
    }
}

/// The vendor's service tier, as far as prices differ by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Tier {
    #[default]
    Standard,
    Batch,
    Flex,
    Priority,
    Balanced,
    Ultrafast,
}

impl Tier {
    const SUFFIXES: [(&'static str, Self); 5] = [
        ("_batches", Self::Batch),
        ("_flex", Self::Flex),
        ("_priority", Self::Priority),
        ("_balanced", Self::Balanced),
        ("_ultrafast", Self::Ultrafast),
    ];

    /// The tier that a client names. Names without prices of their own, such as `default` and
    /// `auto`, are the standard tier. OpenAI's priority tier is also called `fast`, and Vertex AI
    /// reports its own as the traffic type `ON_DEMAND_PRIORITY`.
    pub(super) fn named(name: &str) -> Self {
        Self::known(name).unwrap_or_default()
    }

    /// Like [`named`](Self::named), but `None` for a name that is not known.
    pub(super) fn known(name: &str) -> Option<Self> {
        const NAMES: [(&str, Tier); 12] = [
            ("standard", Tier::Standard),
            ("default", Tier::Standard),
            ("auto", Tier::Standard),
            ("on_demand", Tier::Standard),
            ("batch", Tier::Batch),
            ("batches", Tier::Batch),
            ("flex", Tier::Flex),
            ("priority", Tier::Priority),
            ("fast", Tier::Priority),
            ("on_demand_priority", Tier::Priority),
            ("balanced", Tier::Balanced),
            ("ultrafast", Tier::Ultrafast),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, tier)| *tier)
    }

    /// How it is written in a cost row.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Standard => "",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Balanced => "balanced",
            Self::Ultrafast => "ultrafast",
        }
    }
}

/// One price of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Femto-dollars per token.
    pub(super) rate: u64,
    /// The prompt's tokens above which it holds; 0 where there is no threshold.
    pub(super) above: u32,
    pub(super) class: Class,
    pub(super) tier: Tier,
}

impl Field {
    /// Reads a field's name; `None` for the many that are no price of a token.
    pub(super) fn named(name: &str, rate: u64) -> Option<Self> {
        let tier = Tier::SUFFIXES.iter().find_map(|(suffix, tier)| {
            name.strip_suffix(suffix).map(|without_tier| (without_tier, *tier))
        });
        let (name, tier) = tier.unwrap_or((name, Tier::Standard));
        let (name, above) =
            match name.strip_suffix("_tokens").and_then(|n| n.rsplit_once("_above_")) {
                Some((name, threshold)) => (name, tokens(threshold)?),
                None => (name, 0),
            };
        Some(Self { rate, above, class: Class::of(name)?, tier })
    }
}

/// `200k` or `512` as a number of tokens.
fn tokens(text: &str) -> Option<u32> {
    match text.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1_000),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Field, Tier};

    fn parts(name: &str) -> Option<(Class, u32, Tier)> {
        Field::named(name, 1).map(|field| (field.class, field.above, field.tier))
    }

    #[test]
    fn names_of_fields_are_taken_apart() {
        assert_eq!(parts("input_cost_per_token"), Some((Class::Input, 0, Tier::Standard)));
        assert_eq!(
            parts("output_cost_per_token_above_272k_tokens_priority"),
            Some((Class::Output, 272_000, Tier::Priority))
        );
        assert_eq!(
            parts("cache_creation_input_token_cost_above_1hr"),
            Some((Class::CacheWrite1h, 0, Tier::Standard))
        );
        assert_eq!(
            parts("cache_creation_input_token_cost_above_1hr_above_200k_tokens"),
            Some((Class::CacheWrite1h, 200_000, Tier::Standard))
        );
        assert_eq!(
            parts("cache_read_input_token_cost_above_512_tokens_batches"),
            Some((Class::CacheRead, 512, Tier::Batch))
        );
    }

    #[test]
    fn other_fields_are_no_prices_of_tokens() {
        for name in [
            "input_cost_per_image",
            "input_cost_per_token_cache_hit",
            "input_cost_per_token_above_xk_tokens",
            "input_cost_per_token_above_9999999k_tokens",
            "input_cost_per_token_decisions",
            "cache_creation_input_token_cost_above_12hr",
            "max_input_tokens",
        ] {
            assert_eq!(parts(name), None, "{name}");
        }
    }

    #[test]
    fn tiers_are_known_by_the_names_that_clients_use() {
        assert_eq!(Tier::named("PRIORITY"), Tier::Priority);
        assert_eq!(Tier::named("fast"), Tier::Priority);
        assert_eq!(Tier::named("batch"), Tier::Batch);
        assert_eq!(Tier::named("default"), Tier::Standard);
        assert_eq!(Tier::named("something new"), Tier::Standard);
        assert_eq!(Tier::known("something new"), None);
    }
}
