//! Money as whole numbers: prices per token in femto-dollars (10^-15 US dollars), costs in
//! pico-dollars (10^-12). Both are read from decimal text and never pass through a float.

/// How many femto-dollars are in one pico-dollar.
const FEMTO_PER_PICO: u128 = 1_000;
/// More digits than any price has; what is longer is refused.
const DIGITS_MAX: usize = 30;
/// Exponents beyond this are no prices.
const EXPONENT_MAX: i32 = 60;

/// A price in femto-dollars from decimal text such as `1.25e-06`, rounded half up. `None` for what
/// is no number, is negative or is more than 18,446 dollars.
#[must_use]
pub fn femto(text: &str) -> Option<u64> {
    scaled(text, 15)
}

/// Like [`femto`], from a price per million tokens such as `2.50`.
#[must_use]
pub fn femto_of_million(text: &str) -> Option<u64> {
    scaled(text, 9)
}

/// An amount in pico-dollars from decimal text, rounded half up. `None` for what is no number, is
/// negative or is more than 18 million dollars.
#[must_use]
pub fn pico(text: &str) -> Option<u64> {
    scaled(text, 12)
}

/// An exact sum of femto-dollars as pico-dollars, rounded half up; `None` beyond 18 million
/// dollars.
#[must_use]
pub(super) fn to_pico(femto: u128) -> Option<u64> {
    let rounded = femto.checked_add(FEMTO_PER_PICO / 2)? / FEMTO_PER_PICO;
    u64::try_from(rounded).ok()
}

/// Pico-dollars as decimal text in US dollars without trailing zeros: `0.001455`.
#[must_use]
pub fn usd(pico: u64) -> String {
    const ONE: u64 = 1_000_000_000_000;
    let text = format!("{}.{:012}", pico / ONE, pico % ONE);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The number times ten to the power of `places`.
fn scaled(text: &str, places: i32) -> Option<u64> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    if exponent.abs() > EXPONENT_MAX {
        return None;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let mut digits: u128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        digits = digits * 10 + u128::from(digit);
    }
    let shift = exponent + places - i32::try_from(fraction.len()).ok()?;
    let value = if shift >= 0 {
        digits.checked_mul(10u128.checked_pow(shift.unsigned_abs())?)?
    } else {
        match 10u128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => digits / divisor + u128::from(digits % divisor >= divisor.div_ceil(2)),
            None => 0,
        }
    };
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{femto, pico, to_pico, usd};
    use proptest::prelude::*;

    #[test]
    fn prices_are_read_from_their_text() {
        assert_eq!(femto("2.5e-06"), Some(2_500_000_000));
        assert_eq!(femto("0.0000025"), Some(2_500_000_000));
        assert_eq!(femto("1.3e-10"), Some(130_000));
        assert_eq!(femto("0.0"), Some(0));
        assert_eq!(femto("0"), Some(0));
        assert_eq!(femto("3E-7"), Some(300_000_000));
        assert_eq!(femto(".5"), Some(500_000_000_000_000));
        assert_eq!(femto("12"), Some(12_000_000_000_000_000));
    }

    #[test]
    fn dust_of_floats_is_rounded_away() {
        assert_eq!(femto("1.4999999999999998e-07"), Some(150_000_000));
        assert_eq!(femto("5.000100000000001e-06"), Some(5_000_100_000));
    }

    #[test]
    fn halves_go_up() {
        assert_eq!(femto("0.5e-15"), Some(1));
        assert_eq!(femto("0.49e-15"), Some(0));
        assert_eq!(to_pico(499), Some(0));
        assert_eq!(to_pico(500), Some(1));
        assert_eq!(to_pico(u128::MAX), None);
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in ["", "-1", "nan", "inf", "1e", "1e999", "0x10", ".", "1.2.3", "1 2", "20000"] {
            assert_eq!(femto(text), None, "{text}");
        }
        assert_eq!(pico("18446745"), None);
    }

    #[test]
    fn amounts_are_written_as_decimals() {
        assert_eq!(usd(0), "0");
        assert_eq!(usd(1_455_000_000), "0.001455");
        assert_eq!(usd(1), "0.000000000001");
        assert_eq!(usd(2_000_000_000_000), "2");
        assert_eq!(usd(u64::MAX), "18446744.073709551615");
    }

    proptest! {
        #[test]
        fn written_amounts_are_read_back(amount: u64) {
            prop_assert_eq!(pico(&usd(amount)), Some(amount));
        }

        #[test]
        fn nothing_panics(text in "[-+0-9.eE]{0,40}") {
            let _ = femto(&text);
        }
    }
}
