//! Amounts of money as clients state them, read as decimal texts and never as binary fractions.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// How many digits after the point are kept: the unit is 10^-12 US dollars.
const PLACES: i32 = 12;

/// Reads an amount in dollars such as `0.00375`, `1.2e-5` or `7`, rounded half up to the unit.
/// `None` for what is no such number, is negative, or is above 18 million dollars.
#[must_use]
pub fn pico_of_text(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    // Where the digits end that count; the next one rounds.
    let end = point.checked_add(PLACES)?;
    let mut pico: u64 = 0;
    let mut index = 0;
    for digit in whole.bytes().chain(part.bytes()) {
        let digit = char::from(digit).to_digit(10)?;
        if index < end {
            pico = pico.checked_mul(10)?.checked_add(u64::from(digit))?;
        } else if index == end {
            pico = pico.checked_add(u64::from(digit >= 5))?;
        }
        index += 1;
    }
    while index < end && pico != 0 {
        pico = pico.checked_mul(10)?;
        index += 1;
    }
    Some(pico)
}

/// Reads an amount from a double, as the shortest decimal that means it.
#[must_use]
pub fn pico_of_double(value: f64) -> Option<u64> {
    // Beyond this it would be above 18 million dollars.
    (value.is_finite() && (0.0..2e7).contains(&value))
        .then(|| pico_of_text(&value.to_string()))
        .flatten()
}

/// The costs of an observation by kind, as `langfuse.observation.cost_details` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostDetails {
    total: Option<u64>,
    others: Option<u64>,
}

impl CostDetails {
    /// Reads a JSON object of numbers; `None` if it is no object.
    #[must_use]
    pub fn parse(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The total: as stated, else the sum of the others, in units of 10^-12 dollars.
    #[must_use]
    pub fn total(self) -> Option<u64> {
        self.total.or(self.others)
    }
}

impl<'de> Deserialize<'de> for CostDetails {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Details)
    }
}

struct Details;

impl<'de> Visitor<'de> for Details {
    type Value = CostDetails;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object of costs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CostDetails, A::Error> {
        let mut details = CostDetails::default();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            // The text of the number, for it is a decimal.
            let value = map.next_value::<&RawValue>()?.get();
            let Some(pico) = pico_of_text(value.trim_matches('"')) else { continue };
            if key == "total" {
                details.total = Some(pico);
            } else {
                details.others = Some(details.others.unwrap_or(0).saturating_add(pico));
            }
        }
        Ok(details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_texts_are_exact() {
        assert_eq!(pico_of_text("0.00375"), Some(3_750_000_000));
        assert_eq!(pico_of_text("1.3e-10"), Some(130));
        assert_eq!(pico_of_text("1E2"), Some(100_000_000_000_000));
        assert_eq!(pico_of_text(" 7 "), Some(7_000_000_000_000));
        assert_eq!(pico_of_text("0.0014550000000000001"), Some(1_455_000_000));
        assert_eq!(pico_of_text("0.0000000000005"), Some(1));
        assert_eq!(pico_of_text("0.00000000000049"), Some(0));
        assert_eq!(pico_of_text("1e-400"), Some(0));
        assert_eq!(pico_of_text("0"), Some(0));
        assert_eq!(pico_of_text(".5"), Some(500_000_000_000));
        assert_eq!(pico_of_text("0e999999"), Some(0));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in [
            "",
            ".",
            "-1",
            "abc",
            "1e",
            "NaN",
            "1e99",
            "99999999999",
            "1.2.3",
            "0x1",
            "1e999999999999",
        ] {
            assert_eq!(pico_of_text(text), None, "{text}");
        }
        assert_eq!(pico_of_double(f64::NAN), None);
        assert_eq!(pico_of_double(-0.5), None);
        assert_eq!(pico_of_double(f64::INFINITY), None);
        assert_eq!(pico_of_double(0.1 + 0.2), Some(300_000_000_000));
        assert_eq!(pico_of_double(0.000_012_5), Some(12_500_000));
    }

    #[test]
    fn a_stated_total_wins() {
        let total = |json: &str| CostDetails::parse(json).and_then(CostDetails::total);
        assert_eq!(total(r#"{"input":0.001,"output":0.002,"total":0.004}"#), Some(4_000_000_000));
        assert_eq!(total(r#"{"input":0.001,"output":"2e-3"}"#), Some(3_000_000_000));
        assert_eq!(total(r#"{"input":null,"x":{"y":[1]}}"#), None);
        assert_eq!(total("[]"), None);
        assert_eq!(total("{"), None);
    }

    proptest! {
        #[test]
        fn every_amount_is_read_as_it_is_written(pico in any::<u64>()) {
            let text = format!("{}.{:012}", pico / 1_000_000_000_000, pico % 1_000_000_000_000);
            prop_assert_eq!(pico_of_text(&text), Some(pico));
        }

        #[test]
        fn no_text_is_too_much(text in ".{0,30}", number in "[-+0-9.eE]{0,30}") {
            let _either = pico_of_text(&text);
            let _either = pico_of_text(&number);
        }
    }
}
