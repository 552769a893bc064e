//! The names of made-up people and the ways in which one person writes them.

use unicode_normalization::UnicodeNormalization as _;

/// The characters of the long names: far over the 30 that a username may have.
pub const LONG: usize = 200;

const FIRST: [&str; 24] = [
    "Ada",
    "Zoé",
    "Bjørn",
    "Chloë",
    "José",
    "Łukasz",
    "Françoise",
    "Noël",
    "Inès",
    "Paul",
    "Marie-Claude",
    "Jürgen",
    "Søren",
    "Anaïs",
    "Hélène",
    "Tom",
    "Núria",
    "Ömer",
    "Léa",
    "Đorđe",
    "Siân",
    "Ugo",
    "Åsa",
    "Éloïse",
];

const LAST: [&str; 24] = [
    "Martin",
    "Lecœur",
    "O'Brien",
    "Nguyễn",
    "García",
    "Dvořák",
    "Lefèvre",
    "d'Arc",
    "Müller",
    "Petit",
    "Sørensen",
    "Kowalski",
    "Benoît",
    "Çelik",
    "Ferrão",
    "Smith",
    "Gonçalves",
    "Du Pré",
    "Ólafsson",
    "Roux",
    "Żak",
    "Ek",
    "St. John",
    "Ibáñez",
];

const CJK: [&str; 16] = [
    "王", "李", "田", "中", "佐", "藤", "김", "陳", "山", "川", "花", "子", "민", "준", "美", "玲",
];

const CYRILLIC_FIRST: [&str; 8] =
    ["Анна", "Борис", "Фёдор", "Юлия", "Сергей", "Ольга", "Дмитрий", "Майя"];

const CYRILLIC_LAST: [&str; 8] =
    ["Иванова", "Толстой", "Щукин", "Ковальчук", "Чехов", "Ёлкина", "Цой", "Жданов"];

const ARABIC_FIRST: [&str; 6] = ["ليلى", "عمر", "سارة", "يوسف", "نور", "كريم"];

const ARABIC_LAST: [&str; 6] = ["حداد", "منصور", "العلي", "درويش", "سلامة", "شاهين"];

const EMOJI: [&str; 8] = ["🦊", "🌙", "🎸", "🐙", "🌻", "🚲", "👩‍🚀", "❤️"];

/// The name of a person, the same in every document. No two people have the same one. Of every
/// hundred people one has a Chinese, Japanese or Korean name, one a Cyrillic, one an Arabic, one
/// of pictures, three have the neighbour's name with other punctuation, which gives the same
/// username, and one has a name of [`LONG`] characters.
pub fn of_person(seed: u64, person: u64) -> String {
    let other = person / 100;
    match person % 100 {
        3 => combined(&CJK, &CJK, "", other),
        17 => combined(&CYRILLIC_FIRST, &CYRILLIC_LAST, " ", other),
        29 => combined(&EMOJI, &EMOJI, "", other),
        41 => combined(&ARABIC_FIRST, &ARABIC_LAST, " ", other),
        58 => latin(seed, person - 1).replace(' ', "-"),
        59 => latin(seed, person - 2).replace(' ', " . "),
        60 => format!("{}!", latin(seed, person - 3)),
        71 => long(&latin(seed, person)),
        _ => latin(seed, person),
    }
}

fn latin(seed: u64, person: u64) -> String {
    combined(&FIRST, &LAST, " ", person + seed % 1000)
}

fn long(name: &str) -> String {
    let endless = name.chars().chain(" de la Rivière".chars().cycle());
    endless.take(LONG - 1).chain(['x']).collect()
}

/// One of `first` and then as many of `more` as it takes to be different for every index.
fn combined(first: &[&str], more: &[&str], between: &str, index: u64) -> String {
    let count = first.len() as u64;
    let mut name = first[(index % count) as usize].to_owned();
    let mut rest = index / count;
    let count = more.len() as u64;
    loop {
        name.push_str(between);
        name.push_str(more[(rest % count) as usize]);
        rest /= count;
        if rest == 0 {
            return name;
        }
        rest -= 1;
    }
}

/// The name as it stands in one document: of a hundred documents three are in capitals, three in
/// small letters, three decompose accents as macOS does, three have spaces at an end. All of
/// these are one person.
pub fn spelled(name: &str, place: u64) -> String {
    match place {
        0..3 => name.to_uppercase(),
        3..6 => name.to_lowercase(),
        6..9 => name.nfd().collect(),
        9 => format!("{name} "),
        10 => format!("{name}\u{a0}\n"),
        11 => format!("  {name}"),
        _ => name.to_owned(),
    }
}
