//! Where generated objects come from: numbers, instants, ids and names.
//!
//! Everything is a function of the seed and an object's number, so that nothing but the number
//! has to be kept.

use std::ops::Range;

use fastrand::Rng;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::options::{Kind, Options};
use super::store::{Place, Record, Stamp};

/// The digits of a ULID: Crockford's base 32, without I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The length of a ULID.
const ULID: usize = 26;

const STEMS: [&str; 36] = [
    "Northwind",
    "Hartmann",
    "Sakura",
    "Blue Harbor",
    "Kowalski",
    "Meridian",
    "Ångström",
    "Red Maple",
    "Delgado",
    "Quantum Leaf",
    "Fjord",
    "O'Neill",
    "Santos",
    "Müller",
    "Pine Street",
    "Copperfield",
    "Nakamura",
    "Évry",
    "Stonebridge",
    "Lagos",
    "Orchid",
    "Vega",
    "Blackwood",
    "Søndergaard",
    "Granite",
    "Ivanov",
    "Summit",
    "Tidewater",
    "Banerjee",
    "Old Mill",
    "Zürich",
    "Falcon",
    "Riverbend",
    "Acme",
    "株式会社青空",
    "Atlas",
];
const TRADES: [&str; 16] = [
    "Logistics",
    "Software",
    "Foods",
    "Clinic",
    "Partners",
    "Robotics",
    "Textiles",
    "Energy",
    "Schools",
    "Insurance",
    "Media",
    "Optics",
    "Bank",
    "Farms",
    "\\\"Studio\\\"",
    "Travel",
];
const FORMS: [&str; 8] = ["Inc.", "GmbH", "Ltd", "S.A.", "& Sons", "Group", "AB", "LLC"];
const FIRST_NAMES: [&str; 32] = [
    "Anna",
    "Bruno",
    "Chloé",
    "Dmitri",
    "Emeka",
    "Fatima",
    "Georg",
    "Hiroshi",
    "Inès",
    "João",
    "Katarzyna",
    "Liam",
    "Mei",
    "Nora",
    "Oliver",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Thandiwe",
    "Uma",
    "Viktor",
    "Wanjiru",
    "Ximena",
    "Yusuf",
    "Zoë",
    "美咲",
    "Søren",
    "Grace",
    "Álvaro",
    "Minh",
    "Jean-Luc",
];
const LAST_NAMES: [&str; 32] = [
    "Almeida",
    "Becker",
    "Chen",
    "Dubois",
    "Eriksson",
    "Fischer",
    "García",
    "Haddad",
    "Ito",
    "Jensen",
    "Kowalczyk",
    "López",
    "Müller",
    "Nguyen",
    "O'Brien",
    "Patel",
    "Quispe",
    "Rossi",
    "Smith",
    "Tanaka",
    "Ueda",
    "van der Berg",
    "Wójcik",
    "Xu",
    "Yılmaz",
    "Zhang",
    "佐藤",
    "Okafor",
    "Smith",
    "Ivanova",
    "Kim",
    "Mbeki",
];

/// Spreads a number over all 64 bits.
pub(super) fn mix(seed: u64, number: u64) -> u64 {
    let mut mixed = seed ^ number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn pick<const N: usize>(names: &[&'static str; N], mixed: u64) -> &'static str {
    names[usize::try_from(mixed % N as u64).unwrap_or(0)]
}

/// The name of a generated organization, ready for JSON. Some names occur several times.
pub(super) fn organization_name(mixed: u64) -> String {
    let trade = pick(&TRADES, mixed >> 8);
    format!("{} {trade} {}", pick(&STEMS, mixed), pick(&FORMS, mixed >> 16))
}

/// The first and the last name of a generated user, ready for JSON.
pub(super) fn user_names(mixed: u64) -> (&'static str, &'static str) {
    (pick(&FIRST_NAMES, mixed), pick(&LAST_NAMES, mixed >> 8))
}

/// The milliseconds in which generated objects are created.
pub(super) fn instants(options: &Options) -> Result<Range<u64>, String> {
    let (from, to) = options.all_on.map_or((options.from, options.to), |day| (day, day));
    let start = |day: Date| {
        let instant = day.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
        u64::try_from(instant.timestamp().as_millisecond())
            .map_err(|_| format!("{day} is before 1970, which an id cannot tell"))
    };
    let after = to.tomorrow().map_err(|error| error.to_string())?;
    Ok(start(from)?..start(after)?)
}

/// All generated objects of one kind. One in 25 is created in the first or the last millisecond of
/// a day, where selections by date go wrong.
pub(super) fn records(options: &Options, kind: Kind) -> Result<Vec<(Place, Record)>, String> {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let instants = instants(options)?;
    let (count, refused) = match kind {
        Kind::Organization => (options.organizations, options.undeletable_organizations),
        Kind::User => (options.users, options.undeletable_users),
    };
    let mut rng = Rng::with_seed(options.chassis.seed ^ u64::from(kind == Kind::User));
    let length = (instants.end - instants.start) as f64;
    let mut records: Vec<(Place, Record)> = (0..count)
        .map(|number| {
            let share = (f64::from(number) + rng.f64()) / f64::from(count);
            let mut created = instants.start + (length * share) as u64;
            created = created.min(instants.end - 1);
            match number % 50 {
                7 => created -= created % DAY,
                32 => created += DAY - 1 - created % DAY,
                _ => {}
            }
            (place(created, &mut rng), record(options, number, refused, &mut rng))
        })
        .collect();
    records.sort_unstable_by_key(|(place, _)| *place);
    Ok(records)
}

/// One generated object.
pub(super) fn record(options: &Options, number: u32, refused: f64, rng: &mut Rng) -> Record {
    let shape = &options.shape;
    let most_skew = u16::try_from(shape.id_skew.as_millis()).unwrap_or(u16::MAX);
    let mut dice = rng.f64();
    let mut stamp = Stamp::Plain;
    for (rate, unusual) in [
        (shape.missing_created_at, Stamp::Missing),
        (shape.malformed_created_at, Stamp::Malformed),
        (shape.offset_created_at, Stamp::Offset),
        (shape.odd_created_at, Stamp::Odd),
    ] {
        if (0.0..rate).contains(&dice) {
            stamp = unusual;
        }
        dice -= rate;
    }
    let skew = rng.u16(0..=most_skew);
    Record { number, skew, stamp, kept: rng.f64() < refused, fading: false, given: None }
}

/// A place in the list for what is created in this millisecond.
pub(super) fn place(created: u64, rng: &mut Rng) -> Place {
    (u128::from(created) << 80) | (rng.u128(..) >> 48)
}

/// The millisecond in which the object at this place was created.
pub(super) fn created(place: Place) -> u64 {
    u64::try_from(place >> 80).unwrap_or(u64::MAX)
}

/// Writes a place as a ULID.
pub(super) fn push_ulid(out: &mut String, place: Place) {
    for digit in (0..ULID).rev() {
        out.push(char::from(DIGITS[(place >> (5 * digit) & 31) as usize]));
    }
}

/// The place that a ULID tells, if the text is one.
pub(super) fn ulid_place(text: &str) -> Option<Place> {
    if text.len() != ULID || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0, |place: Place, byte| {
        let digit = DIGITS.iter().position(|known| *known == byte)?;
        Some((place << 5) | digit as Place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ulid_tells_its_place_and_its_time() {
        let mut rng = Rng::with_seed(4);
        for _ in 0..1_000 {
            let created_at = rng.u64(0..1 << 48);
            let place = place(created_at, &mut rng);
            let mut text = String::new();
            push_ulid(&mut text, place);
            assert_eq!(ulid_place(&text), Some(place));
            assert_eq!(created(place), created_at);
        }
        assert_eq!(ulid_place("01ARZ3NDEKTSV4RRFFQ69G5FAU"), None, "U is no digit");
        assert_eq!(ulid_place("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"), None, "more than 128 bits");
    }
}
