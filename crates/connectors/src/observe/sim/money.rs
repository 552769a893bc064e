//! Sums of decimal numbers as clients wrote them, without the dust of binary fractions.

/// Units of 10^-18, which hold every price that is known, times any number of tokens.
const PLACES: i32 = 18;

/// Reads a decimal number, with an exponent or without; digits beyond the 18th place are cut.
/// `None` for what is no number or too large.
pub(super) fn parse(text: &str) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + fraction.len() == 0 {
        return None;
    }
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = char::from(digit).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let places = i32::try_from(fraction.len()).ok()?;
    let shift = PLACES.checked_add(exponent)?.checked_sub(places)?;
    let ten = 10_i128.checked_pow(shift.unsigned_abs());
    let value = match (shift >= 0, ten) {
        (_, _) if value == 0 => 0,
        (true, ten) => value.checked_mul(ten?)?,
        (false, ten) => ten.map_or(0, |ten| value / ten),
    };
    Some(sign * value)
}

/// Writes a number of units as the shortest decimal without an exponent.
pub(super) fn format(units: i128) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let one = 10_u128.pow(PLACES.unsigned_abs());
    let (whole, fraction) = (units.unsigned_abs() / one, units.unsigned_abs() % one);
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let fraction = format!("{fraction:018}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_and_written_exactly() {
        for (text, expected) in [
            ("0.0025", "0.0025"),
            ("1.3e-10", "0.00000000013"),
            ("-12.50", "-12.5"),
            ("5E2", "500"),
            ("0", "0"),
            ("0e99", "0"),
            ("1e-30", "0"),
        ] {
            assert_eq!(format(parse(text).unwrap()), expected);
        }
        for wrong in ["", "-", ".", "1.2.3", "x", "1e", "1e40", "NaN"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
