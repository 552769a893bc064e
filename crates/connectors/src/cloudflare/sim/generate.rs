//! Where generated keys come from: names, metadata and values as functions of a key's number, so
//! that ten million of them take no memory and no time to start.

/// Spreads a number over all 64 bits.
pub(super) fn mix(seed: u64, number: u64) -> u64 {
    let mut mixed = seed ^ number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// An identifier of 32 hexadecimal digits.
pub(super) fn identifier(seed: u64, number: u64) -> String {
    let mixed = mix(seed, number);
    format!("{mixed:016x}{:016x}", mix(mixed, number))
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The hexadecimal digits that begin a name, and that alone tell its place in the order.
const PLACE: usize = 16;
/// The decimal digits of a key's number in its name.
const NUMBER: usize = 11;
const NUMBER_AT: usize = PLACE + 1;
/// The hexadecimal digits that end a plain name, which differ from seed to seed.
const MARK: usize = 11;

/// What stands in an odd name before and after the number, and the second part again as JSON.
const ODD: [(u8, &str, &str); 6] = [
    (b'/', "/images/a b.png", "/images/a b.png"),
    (b' ', " 100%25 %2F", " 100%25 %2F"),
    (b'/', "/ü/日本語/🦀", "/ü/日本語/🦀"),
    (b':', "\"quoted\" \\ 'single'", "\\\"quoted\\\" \\\\ 'single'"),
    (b'%', "?q=1&r=a+b#end", "?q=1&r=a+b#end"),
    (b'.', "/../..;=,~", "/../..;=,~"),
];

const TYPES: [&str; 4] = ["image", "page", "video", "feed"];

/// A generated name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    bytes: [u8; 64],
    length: usize,
}

impl Name {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(super) fn to_text(self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

/// The generated keys of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Generated {
    pub seed: u64,
    pub count: u64,
    pub value_bytes: usize,
    /// 0 is none, as in the two below.
    pub metadata_every: u64,
    pub expiring_every: u64,
    pub binary_every: u64,
    /// In seconds since 1970.
    pub expires_at: u64,
    pub has_odd_keys: bool,
}

impl Generated {
    /// No keys at all.
    pub(super) fn nothing() -> Self {
        Self {
            seed: 0,
            count: 0,
            value_bytes: 0,
            metadata_every: 0,
            expiring_every: 0,
            binary_every: 0,
            expires_at: 0,
            has_odd_keys: false,
        }
    }

    /// The number of the odd form, when a key has one.
    fn odd(&self, index: u64) -> Option<usize> {
        let is_odd = self.has_odd_keys && index % 4 == 3;
        is_odd.then(|| (index / 4) as usize % ODD.len())
    }

    /// The name of a key. The order of the names is that of the numbers, and their first digits
    /// are spread evenly.
    pub(super) fn name(&self, index: u64) -> Name {
        let mut name = Name { bytes: [0; 64], length: 0 };
        let odd = self.odd(index);
        self.put_head(&mut name, index, odd.map_or(b'-', |odd| ODD[odd].0));
        match odd {
            Some(odd) => name.push(ODD[odd].1.as_bytes()),
            None => self.put_mark(&mut name, index),
        }
        name
    }

    /// How far two names are apart: 2^64 over their count, rounded down.
    fn stride(&self) -> u64 {
        let count = self.count.max(1);
        ((u64::MAX - count + 1) / count).wrapping_add(1)
    }

    /// The part that tells the number.
    fn put_head(&self, name: &mut Name, index: u64, separator: u8) {
        let place = index * self.stride();
        for (at, digit) in name.bytes[..PLACE].iter_mut().enumerate() {
            *digit = HEX[(place >> (60 - 4 * at) & 15) as usize];
        }
        name.bytes[PLACE] = separator;
        let mut rest = index;
        for digit in name.bytes[NUMBER_AT..NUMBER_AT + NUMBER].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        name.length = NUMBER_AT + NUMBER;
    }

    fn put_mark(&self, name: &mut Name, index: u64) {
        let mut mark = [b'-'; 1 + MARK];
        let mixed = mix(self.seed, index);
        for (at, digit) in mark[1..].iter_mut().enumerate() {
            *digit = HEX[(mixed >> (4 * at) & 15) as usize];
        }
        name.push(&mark);
    }

    /// The number of the key with this name.
    pub(super) fn find(&self, name: &str) -> Option<u64> {
        let digits = name.as_bytes().get(NUMBER_AT..NUMBER_AT + NUMBER)?;
        let index = digits.iter().try_fold(0, |number: u64, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })?;
        let is_it = index < self.count && self.name(index).as_bytes() == name.as_bytes();
        is_it.then_some(index)
    }

    /// How many names, in their order, come before the first that is not `before`.
    pub(super) fn partition(&self, before: impl Fn(&[u8]) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self.name(middle).as_bytes()) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// When a key expires, in seconds since 1970, if ever.
    pub(super) fn expiration(&self, index: u64) -> Option<u64> {
        every(self.expiring_every, index).then_some(self.expires_at)
    }

    /// Writes the name as it stands between quotes in JSON.
    pub(super) fn push_json_name(&self, out: &mut Vec<u8>, index: u64) {
        let Some(odd) = self.odd(index) else {
            return out.extend_from_slice(self.name(index).as_bytes());
        };
        let mut head = Name { bytes: [0; 64], length: 0 };
        self.put_head(&mut head, index, ODD[odd].0);
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(ODD[odd].2.as_bytes());
    }

    /// Writes the metadata as JSON; false when the key has none.
    pub(super) fn push_metadata(&self, out: &mut Vec<u8>, index: u64) -> bool {
        if !every(self.metadata_every, index) {
            return false;
        }
        out.extend_from_slice(b"{\"tag\":\"t-");
        push_number(out, index % 1_000);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(TYPES[index as usize % TYPES.len()].as_bytes());
        out.extend_from_slice(b"\",\"size\":");
        push_number(out, mix(self.seed, index) % 1_000_000);
        out.extend_from_slice(b",\"cache-tags\":[\"c-");
        push_number(out, index % 100);
        out.extend_from_slice(b"\",\"s-");
        push_number(out, index % 10);
        out.extend_from_slice(b"\"]}");
        true
    }

    /// Writes the value.
    pub(super) fn push_value(&self, out: &mut Vec<u8>, index: u64) {
        let end = out.len() + self.value_bytes;
        if every(self.binary_every, index) {
            out.extend_from_slice(&[0xFF, 0xFE, 0x00, b'\n', b'"']);
            let mut mixed = mix(self.seed, index);
            while out.len() < end {
                out.extend_from_slice(&mixed.to_le_bytes());
                mixed = mix(mixed, index);
            }
        } else {
            out.extend_from_slice(b"value ");
            push_number(out, index);
            let mut mixed = mix(self.seed, index);
            while out.len() < end {
                out.push(b' ');
                (0..16).for_each(|at| out.push(HEX[(mixed >> (4 * at) & 15) as usize]));
                mixed = mix(mixed, index);
            }
        }
        out.truncate(end);
    }
}

fn every(each: u64, index: u64) -> bool {
    each > 0 && index.is_multiple_of(each)
}

/// Writes a number in decimal digits.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
