//! The first 33,344 binary digits of the fraction of pi, which are Blowfish's initial tables.
//!
//! Blowfish takes its 18 subkeys and its 4 boxes of 256 words from these digits in order
//! (Schneier, "Description of a New Variable-Length Key, 64-Bit Block Cipher", 1993). Machin's
//! formula gives them in some 7 ms, once a process:
//! pi = 16 arctan(1/5) - 4 arctan(1/239), where arctan(1/x) = 1/x - 1/(3 x^3) + 1/(5 x^5) - ...
//!
//! A number here is a list of 32-bit words, the most significant first: one word before the point,
//! the rest after it.

use std::sync::OnceLock;

/// 18 subkeys and 4 boxes of 256 words.
pub const WORDS: usize = 18 + 4 * 256;

/// Words beyond the last one that is wanted. Each of the fewer than 10,000 terms is cut by at most
/// two units of the last place, which is far less than the 64 bits that are thrown away.
const GUARD: usize = 2;

const LENGTH: usize = 1 + WORDS + GUARD;

/// The words of pi's fraction, from 243F6A88 on.
pub fn words() -> &'static [u32; WORDS] {
    static PI: OnceLock<[u32; WORDS]> = OnceLock::new();
    PI.get_or_init(|| {
        let mut pi = [0; LENGTH];
        add_arctan(&mut pi, 16, 5);
        add_arctan(&mut pi, -4, 239);
        carry(&mut pi);
        std::array::from_fn(|at| (pi[1 + at] & i64::from(u32::MAX)) as u32)
    })
}

/// Adds `times` the arctangent of 1/`x`. Nothing is carried from word to word yet: 10,000 terms of
/// 32 bits fit into 46 bits.
fn add_arctan(sum: &mut [i64; LENGTH], times: i64, x: u32) {
    let mut power = [0; LENGTH];
    // Powers are kept twice as large and divided by twice the odd number, for the reason that
    // `Divisor` gives.
    power[0] = 2 * (times.unsigned_abs() as u32);
    let (by, mut rest) = (Divisor::new(x), 0);
    for word in &mut power {
        (*word, rest) = by.divide(rest, *word);
    }
    let mut odd = 1;
    let mut first = 0;
    // Every term divides by at least 25, so the power is used up after 7,200 terms.
    while first < LENGTH {
        add_terms(&mut sum[first..], &mut power[first..], times.signum(), odd, x * x);
        while first < LENGTH && power[first] == 0 {
            first += 1;
        }
        odd += 2 * AT_ONCE as u32;
    }
}

/// How many terms of the series go through the words in one pass. A division waits for the rest in
/// the word before it, so two divisions a term and four terms take little longer than one.
const AT_ONCE: usize = 4;

/// Adds the next terms with alternating signs: the power divided by twice `odd`, and so on with the
/// next odd numbers and the power divided by `square` each time.
fn add_terms(sum: &mut [i64], power: &mut [u32], sign: i64, odd: u32, square: u32) {
    let odds: [Divisor; AT_ONCE] = std::array::from_fn(|n| Divisor::new(2 * (odd + 2 * n as u32)));
    let square = Divisor::new(square);
    let (mut rests, mut rests_of_terms) = ([0; AT_ONCE], [0; AT_ONCE]);
    for (sum, word) in sum.iter_mut().zip(power) {
        let mut sign = sign;
        for n in 0..AT_ONCE {
            let term;
            (term, rests_of_terms[n]) = odds[n].divide(rests_of_terms[n], *word);
            (*word, rests[n]) = square.divide(rests[n], *word);
            *sum += sign * i64::from(term);
            sign = -sign;
        }
    }
}

/// Brings every word into 32 bits.
fn carry(sum: &mut [i64; LENGTH]) {
    let mut carried = 0;
    for word in sum.iter_mut().rev() {
        let whole = *word + carried;
        *word = whole & i64::from(u32::MAX);
        carried = whole >> 32;
    }
}

/// A divisor from 2 up to 2^16 with the inverse 2^64 / divisor, rounded up: multiplying is some
/// times faster than dividing. The inverse is too large by less than one, which adds less than
/// dividend / 2^64, hence less than 1 / divisor, to a quotient as long as the dividend is less than
/// the divisor times 2^32; so rounded down it is exact. The inverse of 1 would not fit 64 bits.
#[derive(Clone, Copy)]
struct Divisor {
    by: u64,
    inverse: u64,
}

impl Divisor {
    fn new(by: u32) -> Self {
        debug_assert!((2..=1 << 16).contains(&by));
        let by = u64::from(by);
        Self { by, inverse: u64::MAX / by + 1 }
    }

    /// Quotient and rest of a word that stands behind the rest of the words before it.
    #[inline(always)]
    fn divide(self, rest: u64, word: u32) -> (u32, u64) {
        let dividend = (rest << 32) | u64::from(word);
        let quotient = ((u128::from(dividend) * u128::from(self.inverse)) >> 64) as u64;
        ((quotient & u64::from(u32::MAX)) as u32, dividend - quotient * self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn the_words_are_those_of_blowfish() {
        let pi = words();
        let first = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344, 0xa409_3822];
        assert_eq!(pi[..5], first);
        // The last subkey, the first word of the first box and the last words of the last box.
        assert_eq!(pi[17..19], [0x8979_fb1b, 0xd131_0ba6]);
        assert_eq!(pi[1038..], [0xb74e_6132, 0xce77_e25b, 0x578f_dfe3, 0x3ac3_72e6]);
    }
}
