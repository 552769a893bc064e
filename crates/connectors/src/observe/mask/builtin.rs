//! Owns what personal data and secrets look like: for each kind a pattern that finds candidates in
//! one pass, and a check that tells them from numbers and words that only look alike.

use regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// What a candidate turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This is to be hidden.
    At(Range<usize>),
    /// It is something else; the search goes on from here.
    Not(usize),
}

type Check = fn(&str, Range<usize>) -> Found;

/// A pattern with the check of what it finds.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    pub(super) check: Check,
}

/// The kinds that need no pattern of the user.
pub(super) const NAMES: [&str; 7] =
    ["email", "phone", "credit-card", "iban", "ip", "ssn", "api-key"];

/// Local parts as RFC 5322 has them without quotes, `@` also as `%40` of URLs, names of hosts in
/// any alphabet, and a top level of at least two letters.
const EMAIL: &str =
    r"[\pL\pN.!#$&'*+/=?^_`{|}~-]+(?:@|%40)(?:[\pL\pN-]+\.)+(?:xn--[a-zA-Z0-9-]+|\pL\pL+)";
/// A number with its country as E.164 has it (at most 15 digits), or one of North America.
const PHONE: [&str; 2] = [
    r"\+\(?[1-9](?:[ .()/\u{a0}-]{0,3}[0-9]){6,14}",
    r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}",
];
/// As many digits as the shortest card has; the check looks how many more belong to it.
const CARD: &str = r"[0-9](?:[ -]?[0-9]){12}";
const IBAN: &str = r"[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}";
const IP: [&str; 2] = [
    r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}",
    // Two colons in a row or three in all, which times of the day don't have.
    r"[0-9A-Fa-f]{0,4}:(?::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:.]*",
];
const SSN: &str = r"[0-9]{3}[ -][0-9]{2}[ -][0-9]{4}";
/// Keys whose issuers gave them a prefix to be found by, tokens of HTTP, JSON web tokens and
/// private keys in PEM, also such that were cut off. They begin a word, or stand behind an escape
/// such as `\n` that is written out; that is in the pattern, because they have no greatest length
/// and a text of false beginnings would be walked for each of them.
const KEYS: [&str; 3] = [
    concat!(
        r"(?:(?-u:\b)|\\[ntr])",
        r"(?:(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}",
        r"|gh[pousr]_[A-Za-z0-9]{30,}",
        r"|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}|xox[abeprs]-[A-Za-z0-9-]{10,}",
        r"|AIza[0-9A-Za-z_-]{35}|hf_[A-Za-z0-9]{30,}",
        r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)?)",
    ),
    r"(?-u:\b)[Bb](?:earer|EARER)[ \t]+[A-Za-z0-9._~+/-]{16,}=*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
];

/// How long account numbers are in each country of the IBAN registry.
const IBAN_LENGTHS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22\
DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27\
JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28\
PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// The patterns of a kind; `None` for a name that isn't one.
pub(super) fn patterns(name: &str) -> Option<Vec<Pattern>> {
    let list: Vec<(&str, Check)> = match name {
        "email" => vec![(EMAIL, email)],
        "phone" => vec![(PHONE[0], international), (PHONE[1], national)],
        "credit-card" => vec![(CARD, card)],
        "iban" => vec![(IBAN, iban)],
        "ip" => vec![(IP[0], ip4), (IP[1], ip6)],
        "ssn" => vec![(SSN, ssn)],
        "api-key" => vec![(KEYS[0], key), (KEYS[1], key), (KEYS[2], any)],
        _ => return None,
    };
    let compiled =
        |(text, check): (&str, Check)| Regex::new(text).ok().map(|regex| Pattern { regex, check });
    list.into_iter().map(compiled).collect()
}

/// What is found is meant as it is.
pub(super) fn any(_: &str, at: Range<usize>) -> Found {
    Found::At(at)
}

fn byte(text: &str, at: usize) -> Option<u8> {
    text.as_bytes().get(at).copied()
}

fn before(text: &str, at: usize) -> Option<u8> {
    at.checked_sub(1).and_then(|at| byte(text, at))
}

fn is_word(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_digit(byte: Option<u8>) -> bool {
    byte.is_some_and(|byte| byte.is_ascii_digit())
}

/// Whether no word goes on from before. The letter of an escape such as `\n`, written out in the
/// text, is no word.
fn opens(text: &str, at: usize) -> bool {
    !is_word(before(text, at))
        || matches!(before(text, at), Some(b'n' | b't' | b'r'))
            && at.checked_sub(2).and_then(|at| byte(text, at)) == Some(b'\\')
}

/// Whether no word goes on behind.
fn closes(text: &str, at: usize) -> bool {
    !is_word(byte(text, at))
}

/// Whether it is the fraction of a number: a digit and a point stand before it.
fn is_fraction(text: &str, at: usize) -> bool {
    before(text, at) == Some(b'.') && is_digit(at.checked_sub(2).and_then(|at| byte(text, at)))
}

fn email(text: &str, at: Range<usize>) -> Found {
    // `{` and the like before an address are the text's, not the address's.
    let local = &text[at.clone()];
    let skipped = local.len() - local.trim_start_matches(['{', '\'', '`', '/', '=', '.']).len();
    Found::At(at.start + skipped..at.end)
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

fn international(text: &str, at: Range<usize>) -> Found {
    let count = digits(&text[at.clone()]);
    let is_sum = is_digit(before(text, at.start)) || is_digit(byte(text, at.end));
    if (8..=15).contains(&count) && !is_sum { Found::At(at) } else { Found::Not(at.end) }
}

fn national(text: &str, at: Range<usize>) -> Found {
    let longer = matches!(before(text, at.start), Some(b'-' | b'.'))
        && is_digit(at.start.checked_sub(2).and_then(|at| byte(text, at)))
        || matches!(byte(text, at.end), Some(b'-' | b'.')) && is_digit(byte(text, at.end + 1));
    if opens(text, at.start) && closes(text, at.end) && !longer {
        Found::At(at)
    } else {
        Found::Not(at.start + 1)
    }
}

/// Only what begins here is looked at, so that a long run of numbers is walked once.
fn card(text: &str, at: Range<usize>) -> Found {
    let start = at.start;
    let is_open = opens(text, start) && !is_fraction(text, start);
    if is_open && let Some(end) = card_end(text, start) {
        return Found::At(start..end);
    }
    let group = text.as_bytes()[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    Found::Not(start + group)
}

/// The end of the longest card that begins here, whatever other numbers stand behind it. Cards are
/// printed in groups of three to seven digits, or as one number; lists of numbers are not.
fn card_end(text: &str, start: usize) -> Option<usize> {
    let (mut number, mut group, mut groups, mut best) = (Vec::with_capacity(19), 0, 1, None);
    for at in start..text.len() {
        let Some(digit) = byte(text, at).filter(u8::is_ascii_digit) else {
            let parts = matches!(byte(text, at), Some(b' ' | b'-')) && is_digit(byte(text, at + 1));
            if !parts || !(3..=7).contains(&group) {
                return best;
            }
            (group, groups) = (0, groups + 1);
            continue;
        };
        number.push(digit - b'0');
        group += 1;
        if number.len() > 19 || groups > 1 && group > 7 {
            return best;
        }
        let ends = closes(text, at + 1) && (groups == 1 || group >= 3);
        if ends && number.len() >= 13 && is_card(&number) {
            best = Some(at + 1);
        }
    }
    best
}

/// Whether an issuer has such numbers, and the check digit of Luhn is right.
fn is_card(number: &[u8]) -> bool {
    let first = number.iter().take(4).fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit));
    let issued = match number.len() {
        13 | 16 | 18 | 19 if first / 1000 == 4 => true,
        14 => matches!(first / 10, 300..=305 | 309) || matches!(first / 100, 36 | 38 | 39),
        15 => matches!(first / 100, 34 | 37) || matches!(first, 1800 | 2131),
        16..=19 => {
            matches!(first, 2221..=2720 | 3528..=3589 | 5000..=5099 | 5100..=5599 | 5600..=6999)
        }
        13 => first / 1000 == 5 || first / 1000 == 6,
        _ => false,
    };
    let sum: u32 = number.iter().rev().enumerate().fold(0, |sum, (place, &digit)| {
        let digit = u32::from(digit) << (place % 2);
        sum + if digit > 9 { digit - 9 } else { digit }
    });
    issued && sum.is_multiple_of(10)
}

fn iban(text: &str, at: Range<usize>) -> Found {
    let next = Found::Not(at.start + 1);
    if !opens(text, at.start) {
        return next;
    }
    let bytes = &text.as_bytes()[at.start..];
    let country = [bytes[0].to_ascii_uppercase(), bytes[1].to_ascii_uppercase()];
    let known = IBAN_LENGTHS.as_bytes().chunks_exact(4).find(|row| row[..2] == country);
    let Some(row) = known else { return next };
    let length = usize::from(row[2] - b'0') * 10 + usize::from(row[3] - b'0');
    let mut number = Vec::with_capacity(length);
    for (place, &byte) in bytes.iter().enumerate() {
        if byte.is_ascii_alphanumeric() {
            number.push(byte.to_ascii_uppercase());
        } else if !matches!(byte, b' ' | b'-') {
            return next;
        }
        if number.len() == length {
            let end = at.start + place + 1;
            let good = closes(text, end) && is_iban(&number);
            return if good { Found::At(at.start..end) } else { next };
        }
    }
    next
}

/// The check of ISO 13616: the number with its first four characters at its end, letters as 10 to
/// 35, leaves 1 when it is divided by 97.
fn is_iban(number: &[u8]) -> bool {
    let rest = number[4..].iter().chain(&number[..4]).fold(0_u32, |rest, &byte| {
        if byte.is_ascii_digit() {
            (rest * 10 + u32::from(byte - b'0')) % 97
        } else {
            (rest * 100 + u32::from(byte - b'A') + 10) % 97
        }
    });
    rest == 1
}

fn ip4(text: &str, at: Range<usize>) -> Found {
    let is_part = is_fraction(text, at.start)
        || byte(text, at.end) == Some(b'.') && is_digit(byte(text, at.end + 1))
        || is_digit(before(text, at.start));
    let address = text[at.clone()].parse::<Ipv4Addr>();
    // Versions such as `Chrome/120.0.0.0` and whole networks are nobody's address.
    let is_somebody = address.is_ok_and(|address| address.octets()[1..] != [0, 0, 0]);
    if is_somebody && !is_part && opens(text, at.start) && closes(text, at.end) {
        Found::At(at)
    } else {
        Found::Not(at.end)
    }
}

fn ip6(text: &str, at: Range<usize>) -> Found {
    let trimmed = text[at.clone()].trim_end_matches('.');
    // A colon behind an address is the sentence's.
    let trimmed = match trimmed.strip_suffix(':') {
        Some(rest) if !rest.ends_with(':') => rest,
        _ => trimmed,
    };
    let end = at.start + trimmed.len();
    let groups = trimmed.split([':', '.']).filter(|group| !group.is_empty()).count();
    let is_address = groups >= 2 && digits(trimmed) > 0 && trimmed.parse::<Ipv6Addr>().is_ok();
    if is_address && opens(text, at.start) && closes(text, end) {
        Found::At(at.start..end)
    } else {
        Found::Not(at.end)
    }
}

/// Areas 000, 666 and from 900, groups 00 and serials 0000 were never given to anybody.
fn ssn(text: &str, at: Range<usize>) -> Found {
    let number = &text[at.clone()];
    let (area, group, serial) = (&number[..3], &number[4..6], &number[7..]);
    let given = !matches!(area, "000" | "666") && area < "900" && group != "00" && serial != "0000";
    let same = number.as_bytes()[3] == number.as_bytes()[6];
    let is_part = matches!(before(text, at.start), Some(b'-' | b'.'))
        && is_digit(at.start.checked_sub(2).and_then(|at| byte(text, at)))
        || byte(text, at.end) == Some(b'-') && is_digit(byte(text, at.end + 1));
    if given && same && !is_part && opens(text, at.start) && closes(text, at.end) {
        Found::At(at)
    } else {
        Found::Not(at.start + 1)
    }
}

/// Words of a language that begin alike have no digits.
fn key(text: &str, at: Range<usize>) -> Found {
    // A point behind a token is the sentence's.
    let found = text[at.clone()].trim_end_matches('.');
    let skipped = if found.starts_with('\\') { 2 } else { 0 };
    let end = at.start + found.len();
    if digits(found) > 0 { Found::At(at.start + skipped..end) } else { Found::Not(at.end) }
}
