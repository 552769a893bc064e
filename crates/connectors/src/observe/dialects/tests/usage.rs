use crate::observe::dialects::usage::{Count, Counts, Includes, UsageDetails};
use crate::observe::event::Usage;
use proptest::prelude::*;

fn usage(json: &str) -> Usage {
    UsageDetails::parse(json).unwrap().usage()
}

#[test]
fn langfuses_counts_stand_for_themselves() {
    assert_eq!(
        usage(
            r#"{"input":300,"output":400,"total":1500,"input_cached_tokens":600,
            "input_cache_creation":100,"output_reasoning_tokens":100}"#
        ),
        Usage {
            input: 300,
            cache_read: 600,
            cache_write: 100,
            output: 400,
            reasoning: 100,
            ..Usage::default()
        }
    );
}

#[test]
fn two_names_for_one_count_are_not_added_up() {
    let expected = Usage { input: 10, output: 5, ..Usage::default() };
    assert_eq!(usage(r#"{"input":10,"input_tokens":10,"output":5,"output_tokens":5}"#), expected);
    assert_eq!(usage(r#"{"input_tokens":99,"output":5,"input":10}"#), expected);
    assert_eq!(usage(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#), expected);
    assert_eq!(usage(r#"{"promptTokens":"10","completionTokens":5.0}"#), expected);
}

#[test]
fn openais_shapes_include_their_details() {
    let expected = Usage {
        input: 40,
        cache_read: 50,
        audio_input: 10,
        output: 30,
        reasoning: 20,
        ..Usage::default()
    };
    assert_eq!(
        usage(
            r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,
            "prompt_tokens_details":{"cached_tokens":50,"audio_tokens":10},
            "completion_tokens_details":{"reasoning_tokens":20,"accepted_prediction_tokens":0}}"#
        ),
        expected
    );
    assert_eq!(
        usage(
            r#"{"input_tokens":100,"output_tokens":50,"total_tokens":150,
            "input_tokens_details":{"cached_tokens":50,"audio_tokens":10},
            "output_tokens_details":{"reasoning_tokens":20}}"#
        ),
        expected
    );
    // Where Langfuse's own name is there as well, it is free of the details.
    assert_eq!(
        usage(r#"{"input":40,"input_tokens_details":{"cached_tokens":50},"output":1}"#).input,
        40
    );
}

#[test]
fn anthropics_shape_has_disjoint_counts_with_a_breakdown() {
    assert_eq!(
        usage(
            r#"{"input_tokens":7,"cache_creation_input_tokens":2089,
            "cache_read_input_tokens":16399,"output_tokens":445,"service_tier":"standard",
            "cache_creation":{"ephemeral_5m_input_tokens":2000,"ephemeral_1h_input_tokens":89}}"#
        ),
        Usage {
            input: 7,
            cache_read: 16_399,
            cache_write: 2_000,
            cache_write_1h: 89,
            output: 445,
            ..Usage::default()
        }
    );
    assert_eq!(
        usage(r#"{"input":1,"input_cache_creation":5,"input_cache_creation_1h":3}"#),
        Usage { input: 1, cache_write: 5, cache_write_1h: 3, ..Usage::default() }
    );
}

#[test]
fn a_total_alone_is_input() {
    assert_eq!(usage(r#"{"total":12}"#), Usage { input: 12, ..Usage::default() });
    assert_eq!(usage(r#"{"total":12,"output":2}"#), Usage { output: 2, ..Usage::default() });
}

#[test]
fn what_is_no_count_counts_for_nothing() {
    assert!(usage(r#"{"input":-1,"output":1.5,"total":null,"x":[{}],"y":{"z":true}}"#).is_empty());
    assert!(usage(r#"{"input":true,"prompt_tokens_details":null,"output":"many"}"#).is_empty());
    assert!(UsageDetails::parse("[1]").is_none());
    assert!(UsageDetails::parse(r#"{"prompt_tokens_details":[1]}"#).is_none());
}

proptest! {
    #[test]
    fn no_token_is_in_two_buckets(values in proptest::array::uniform9(0u64..1_000)) {
        let [input, read, write, five, hour, audio, output, reasoning, spoken] = values;
        let mut counts = Counts::default();
        for (count, value) in [
            (Count::Input, input + read + write + five + hour + audio),
            (Count::CacheRead, read),
            (Count::CacheWrite, write + five + hour),
            (Count::CacheWrite5m, five),
            (Count::CacheWrite1h, hour),
            (Count::AudioInput, audio),
            (Count::Output, output + reasoning + spoken),
            (Count::Reasoning, reasoning),
            (Count::AudioOutput, spoken),
        ] {
            counts.state(count, 1, value);
        }
        prop_assert_eq!(counts.disjoint(Includes::EVERYTHING), Usage {
            input,
            cache_read: read,
            cache_write: write + five,
            cache_write_1h: hour,
            audio_input: audio,
            output,
            reasoning,
            audio_output: spoken,
        });
    }

    #[test]
    fn any_counts_come_to_something(
        values in proptest::collection::vec((any::<u64>(), any::<u8>()), 10),
    ) {
        let all = [
            Count::Input, Count::CacheRead, Count::CacheWrite, Count::CacheWrite5m,
            Count::CacheWrite1h, Count::AudioInput, Count::Output, Count::Reasoning,
            Count::AudioOutput, Count::Total,
        ];
        let mut counts = Counts::default();
        for (count, (value, rank)) in all.into_iter().zip(values) {
            counts.state(count, rank, value);
        }
        let _any = counts.disjoint(Includes::EVERYTHING);
        let _any = counts.disjoint(Includes::NOTHING);
    }
}
