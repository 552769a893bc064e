//! The documents of a made-up old form, with everything that makes a migration go wrong.
//!
//! Each document is a pure function of the options and its number, so a fixture of a million
//! documents is told by five numbers, parts of it can be written by several programs at once, and
//! what a migration must arrive at can be counted without a database. The shape is that of the
//! `responses` collection of a monthly form: `name`, `month`, `responses` (question and answer),
//! `isAdmin`, `token`, `createdAt`.
//!
//! The oddities and their shares are the constants below. Those of documents are drawn by chance
//! from the seed; those of people come at fixed places among every hundred people.

mod expected;
mod names;

#[cfg(test)]
mod tests;

pub use expected::Expected;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, doc};

/// Documents with a missing, null, empty or blank name, per thousand.
pub const NAMELESS: u64 = 10;
/// Documents of a person who has one in that month already, per thousand.
pub const TWICE: u64 = 10;
/// Documents whose token is null or absent, per thousand. Those of the administrator come on top.
pub const TOKENLESS: u64 = 10;
/// Documents with the token of another one, per thousand.
pub const TOKEN_SHARED: u64 = 5;
/// Documents with an answer of more than [`ANSWER_MAX`] characters, per thousand.
pub const LONG_ANSWER: u64 = 5;
/// Documents without an array `responses`, per thousand.
pub const ANSWERLESS: u64 = 10;
/// Documents whose `createdAt` is a string, per thousand.
pub const STRING_DATE: u64 = 10;
/// Documents with fields that nobody expects, per thousand.
pub const UNEXPECTED: u64 = 20;
/// Documents whose `_id` is a string, per thousand; as many have an integer, as many a UUID.
pub const OTHER_ID: u64 = 10;

/// The longest answer that the new form takes, in characters.
pub const ANSWER_MAX: usize = 10_000;
/// The extra bytes of the one big document; MongoDB takes documents of up to 16,777,216 bytes.
pub const BIG: usize = 15_000_000;
/// The name in the administrator's documents: the first of every month, with `isAdmin` true and
/// without a token.
pub const ADMIN: &str = "Admin";
/// With fewer documents a month than this there are none of the administrator.
pub const ADMIN_FROM: u64 = 10;

/// The most documents; their numbers have 40 bits of an `_id`.
pub const DOCUMENTS_MAX: u64 = 1_000_000_000;
/// The most months. The first one is January 2020.
pub const MONTHS_MAX: u32 = 600;

const FIRST_YEAR: i16 = 2020;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

const QUESTIONS: [&str; 10] = [
    "Comment vas-tu ce mois-ci ?",
    "Quelle est ta bonne nouvelle ?",
    "Qu'as-tu appris ?",
    "Quel livre ou film conseilles-tu ?",
    "Où étais-tu ?",
    "Qui as-tu revu ?",
    "Quelle chanson écoutes-tu ?",
    "Qu'as-tu cuisiné ?",
    "De quoi es-tu fier ?",
    "Que prévois-tu ?",
];

const WORDS: [&str; 16] = [
    "hier",
    "montagne",
    "été",
    "café",
    "enfin",
    "vélo",
    "famille",
    "œuvre",
    "train",
    "naïf",
    "« oui »",
    "travail",
    "😀",
    "repos",
    "Noël",
    "à bientôt",
];

/// What is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many documents, up to [`DOCUMENTS_MAX`].
    pub documents: u64,
    /// How many people, at least one. Each month the next people have their turn, one document
    /// each; with more documents in a month than people somebody has several.
    pub people: u64,
    /// Over how many months the documents spread evenly, 1 to [`MONTHS_MAX`].
    pub months: u32,
    /// Another seed gives other names, tokens, answers and places of the oddities.
    pub seed: u64,
    /// Whether the document in the middle is [`BIG`] bytes larger.
    pub big: bool,
}

impl Options {
    /// Whether these options can be generated.
    ///
    /// # Errors
    /// A sentence that names the option and its bounds.
    pub fn check(&self) -> Result<(), String> {
        if self.documents > DOCUMENTS_MAX {
            return Err(format!("at most {DOCUMENTS_MAX} documents can be generated"));
        }
        if self.people == 0 {
            return Err("at least one person is needed".into());
        }
        if self.months == 0 || self.months > MONTHS_MAX {
            return Err(format!("the number of months must lie between 1 and {MONTHS_MAX}"));
        }
        Ok(())
    }

    /// Document number `n`, counted from zero and below [`Options::documents`], of options that
    /// [`Options::check`] accepts. The `_id`s are unique, and those that are ObjectIds ascend with
    /// `n`.
    #[must_use]
    pub fn document(&self, n: u64) -> Document {
        let turn = Turn::of(self, n);
        let mut document = doc! { "_id": self.id(n, &turn) };
        if let Some(name) = self.name(n, &turn) {
            document.insert("name", name);
        }
        if let Some(responses) = self.responses(n) {
            document.insert("responses", responses);
        }
        document.insert("month", format!("{}-{:02}", turn.year, turn.month));
        document.insert("isAdmin", turn.admin);
        if let Some(token) = self.token(n, &turn) {
            document.insert("token", token);
        }
        document.insert("createdAt", self.created_at(n, &turn));
        self.add_unexpected(n, &mut document);
        document
    }

    fn dice(&self, n: u64, purpose: Purpose) -> Dice {
        Dice::new(&[self.seed, n, purpose as u64])
    }

    fn id(&self, n: u64, turn: &Turn) -> Bson {
        let mut dice = self.dice(n, Purpose::Id);
        match dice.below(1000) / OTHER_ID {
            0 => Bson::String(format!("response-{n}")),
            // 5 as 32 and 5 as 64 bits are the same `_id` to the server; each number comes once.
            1 => i32::try_from(n).map_or(Bson::Int64(n as i64), Bson::Int32),
            2 => {
                let mut bytes = dice.bytes::<16>();
                bytes[6] = bytes[6] & 0x0f | 0x40;
                bytes[8] = bytes[8] & 0x3f | 0x80;
                bytes[11..].copy_from_slice(&n.to_be_bytes()[3..]);
                Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: bytes.to_vec() })
            }
            _ => {
                let mut bytes = [0; 12];
                let seconds = (turn.month_begins + turn.millis) / 1000;
                bytes[..4].copy_from_slice(&seconds.to_be_bytes()[4..]);
                bytes[4..7].copy_from_slice(&Dice::new(&[self.seed]).bytes::<8>()[..3]);
                bytes[7..].copy_from_slice(&n.to_be_bytes()[3..]);
                Bson::ObjectId(ObjectId::from_bytes(bytes))
            }
        }
    }

    fn name(&self, n: u64, turn: &Turn) -> Option<Bson> {
        if turn.admin {
            return Some(ADMIN.into());
        }
        let mut dice = self.dice(n, Purpose::Name);
        if dice.below(1000) < NAMELESS {
            return match dice.below(4) {
                0 => None,
                1 => Some(Bson::Null),
                2 => Some("".into()),
                _ => Some(" \t\u{a0} ".into()),
            };
        }
        let name = names::of_person(self.seed, turn.person);
        Some(names::spelled(&name, dice.below(100)).into())
    }

    /// 64 hexadecimal digits, or what is wrong with them.
    fn token(&self, n: u64, turn: &Turn) -> Option<Bson> {
        if turn.admin {
            return None;
        }
        let mut dice = self.dice(n, Purpose::TokenOddity);
        let place = dice.below(1000);
        if place < TOKENLESS {
            return (dice.below(2) == 0).then_some(Bson::Null);
        }
        let of = if place < TOKENLESS + TOKEN_SHARED { n.saturating_sub(1) } else { n };
        let bytes = self.dice(of, Purpose::Token).bytes::<32>();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Some(digits.into())
    }

    fn responses(&self, n: u64) -> Option<Bson> {
        let mut dice = self.dice(n, Purpose::Responses);
        let place = dice.below(1000);
        if place < ANSWERLESS {
            return (dice.below(2) == 0).then_some(Bson::Null);
        }
        let long = (place < ANSWERLESS + LONG_ANSWER).then(|| dice.below(10));
        let one = |(at, question): (u64, &str)| {
            let mut answer = words(&mut dice, 2, 12);
            while long == Some(at) && answer.chars().count() <= ANSWER_MAX {
                answer = format!("{answer} {}", words(&mut dice, 500, 600));
            }
            Bson::Document(doc! { "question": question, "answer": answer })
        };
        Some(Bson::Array((0..).zip(QUESTIONS).map(one).collect()))
    }

    fn created_at(&self, n: u64, turn: &Turn) -> Bson {
        let mut dice = self.dice(n, Purpose::CreatedAt);
        if dice.below(1000) >= STRING_DATE {
            return Bson::DateTime(DateTime::from_millis((turn.month_begins + turn.millis) as i64));
        }
        let (seconds, millis) = (turn.millis / 1000, turn.millis % 1000);
        let date = format!("{}-{:02}-{:02}", turn.year, turn.month, turn.millis / DAY_MILLIS + 1);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let time = format!("{hour:02}:{minute:02}:{second:02}");
        Bson::String(format!("{date}T{time}.{millis:03}Z"))
    }

    fn add_unexpected(&self, n: u64, document: &mut Document) {
        let mut dice = self.dice(n, Purpose::Unexpected);
        if dice.below(1000) < UNEXPECTED {
            document.insert("__v", Bson::Int32(0));
            document.insert("score", Bson::Double(dice.below(1000) as f64 / 8.0));
            document.insert("meta", doc! { "source": ["web", null, 7_i64], "été": true });
        }
        if self.big && n == self.documents / 2 {
            let bytes = vec![b'.'; BIG];
            document.insert("attachment", Binary { subtype: BinarySubtype::Generic, bytes });
        }
    }
}

/// Whose document this is, of which month, and when in it.
struct Turn {
    person: u64,
    admin: bool,
    year: i16,
    month: i8,
    /// The first millisecond of the month since 1970.
    month_begins: u64,
    /// The time of the document since then. It grows with the number of the document.
    millis: u64,
}

impl Turn {
    fn of(options: &Options, n: u64) -> Self {
        let months = u64::from(options.months);
        let documents = options.documents.max(1);
        let index = n * months / documents;
        // The first document of a month is the least n with n * months / documents = index.
        let first = |index: u64| (index * documents).div_ceil(months);
        let in_month = first(index + 1) - first(index);
        let (year, month) = month_at(index);
        let (next_year, next_month) = month_at(index + 1);
        let month_begins = begins(year, month);
        let length = begins(next_year, next_month) - month_begins;
        let twice = options.dice(n, Purpose::Person).below(1000) < TWICE;
        Self {
            person: if twice { n.saturating_sub(1) } else { n } % options.people,
            admin: n == first(index) && in_month >= ADMIN_FROM,
            year,
            month,
            month_begins,
            millis: (n - first(index)) * length / in_month,
        }
    }
}

/// The calendar month at this place, counted from the first.
fn month_at(index: u64) -> (i16, i8) {
    (FIRST_YEAR + (index / 12) as i16, (index % 12) as i8 + 1)
}

/// The first millisecond of a month since 1970.
fn begins(year: i16, month: i8) -> u64 {
    let days = jiff::civil::date(year, month, 1) - jiff::civil::date(1970, 1, 1);
    u64::from(days.get_days().unsigned_abs()) * DAY_MILLIS
}

/// Between `least` and `most` words.
fn words(dice: &mut Dice, least: u64, most: u64) -> String {
    let count = least + dice.below(most - least + 1);
    let words: Vec<&str> = (0..count).map(|_| WORDS[dice.below(16) as usize]).collect();
    words.join(" ")
}

/// What chance is used for. Each use has dice of its own, so that a change of one does not move
/// the others.
#[derive(Clone, Copy)]
enum Purpose {
    Id = 1,
    Person,
    Name,
    Token,
    TokenOddity,
    Responses,
    CreatedAt,
    Unexpected,
}

/// Chance that is the same for ever: SplitMix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn new(keys: &[u64]) -> Self {
        keys.iter().fold(Self(0), |mut dice, key| Self(dice.next() ^ key))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `most`; that low numbers are likelier by 1 in 2^50 does not matter here.
    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut bytes = [0; COUNT];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
        bytes
    }
}
