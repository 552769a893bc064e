//! The record of every request that reached a simulator: the evidence of the judge.
//!
//! Owns the rows. A row takes 24 bytes plus the last segment of its path, some 55 bytes for a
//! deletion by id, so a run of 1,000,000 requests fits in memory; a ledger can also be told to
//! keep only its counters. It must never judge: what the numbers mean is the affair of the test.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use http::Method;

use crate::Micros;
use crate::span::micros;

/// What is known of a request when it is recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    pub at: Micros,
    pub method: &'a Method,
    pub path: &'a str,
    pub key: &'a str,
    pub status: Option<u16>,
    pub effect: bool,
    pub items: u32,
    pub rules: u16,
    pub counted: bool,
}

/// One request as it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When it arrived, in microseconds since the simulator started.
    pub at: Micros,
    /// Its method; `OTHER` for those without a name of their own here.
    pub method: &'static str,
    /// Its path up to and including the last slash.
    pub folder: &'a str,
    /// The rest of its path, with the query.
    pub leaf: &'a str,
    /// The key it came with.
    pub key: &'a str,
    /// The status it was answered with; `None` when the connection was cut instead.
    pub status: Option<u16>,
    /// Whether it changed anything.
    pub effect: bool,
    /// How many items its body named, as the world counted them; 65,535 stands for more.
    pub items: u16,
    /// The rules that applied to it, one bit each by index.
    pub rules: u16,
    /// Whether the windows counted it, which they do not for a rejected request.
    pub counted: bool,
}

impl Entry<'_> {
    /// The whole path with the query.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}{}", self.folder, self.leaf)
    }
}

/// The record of every request. Shared: reading does not stop the simulator.
#[derive(Debug)]
pub struct Ledger {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    counters_only: bool,
    rows: Vec<Row>,
    leaves: String,
    folders: Names,
    keys: Names,
    statuses: BTreeMap<u16, u64>,
    folder_counts: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    at: Micros,
    /// It ends where that of the next row starts.
    leaf_start: u32,
    folder: u16,
    key: u16,
    /// 0 when the connection was cut.
    status: u16,
    items: u16,
    rules: u16,
    /// The method in the lower three bits, and what is true of the request above them.
    flags: u8,
}

const METHOD: u8 = 7;
const EFFECT: u8 = 8;
const COUNTED: u8 = 16;
const METHODS: [&str; 8] = ["OTHER", "GET", "DELETE", "POST", "PUT", "PATCH", "HEAD", "OPTIONS"];

/// Small numbers for texts that repeat. Beyond the bound all others share the empty text.
#[derive(Debug, Default)]
struct Names {
    texts: Vec<Box<str>>,
    numbers: HashMap<Box<str>, u16>,
    last: usize,
}

impl Names {
    const MOST: usize = 4_096;

    fn number(&mut self, text: &str) -> Option<u16> {
        if self.texts.get(self.last).is_some_and(|known| **known == *text) {
            return u16::try_from(self.last).ok();
        }
        let number = match self.numbers.get(text) {
            Some(&number) => number,
            None if self.texts.len() < Self::MOST => {
                let number = u16::try_from(self.texts.len()).ok()?;
                self.texts.push(text.into());
                self.numbers.insert(text.into(), number);
                number
            }
            None => return None,
        };
        self.last = usize::from(number);
        Some(number)
    }

    fn text(&self, number: u16) -> &str {
        self.texts.get(usize::from(number)).map_or("", |text| text)
    }
}

impl Ledger {
    /// An empty ledger. With `counters_only` it keeps no rows, and whatever needs them finds none.
    #[must_use]
    pub fn new(counters_only: bool) -> Self {
        Self { book: Mutex::new(Book { counters_only, ..Book::default() }) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no code panics while it holds the ledger")
    }

    pub(crate) fn record(&self, note: Note<'_>) {
        self.book().record(note);
    }

    /// How many requests arrived.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.book().statuses.values().sum()
    }

    /// True when no request arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many requests were answered with this status.
    #[must_use]
    pub fn count_of(&self, status: u16) -> u64 {
        self.book().statuses.get(&status).copied().unwrap_or(0)
    }

    /// How many requests were refused with 429.
    #[must_use]
    pub fn too_many(&self) -> u64 {
        self.count_of(429)
    }

    /// How many requests had each answer. The status 0 stands for a cut connection.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        self.book().statuses.clone()
    }

    /// How many requests went to each folder of the path, which is the path up to the last slash.
    #[must_use]
    pub fn paths(&self) -> BTreeMap<String, u64> {
        let book = self.book();
        let names = book.folders.texts.iter().map(|name| name.to_string());
        names.zip(book.folder_counts.iter().copied()).collect()
    }

    /// How many recorded requests fulfil a condition.
    pub fn count(&self, mut wanted: impl FnMut(&Entry<'_>) -> bool) -> usize {
        let book = self.book();
        book.entries().filter(|entry| wanted(entry)).count()
    }

    /// Calls `read` for every recorded request, in the order of arrival.
    pub fn each(&self, mut read: impl FnMut(&Entry<'_>)) {
        self.book().entries().for_each(|entry| read(&entry));
    }

    /// The most of the wanted requests that arrived in any half-open window of the span. Exact.
    pub fn most_in_window(
        &self,
        span: Duration,
        mut wanted: impl FnMut(&Entry<'_>) -> bool,
    ) -> usize {
        let book = self.book();
        let wanted = book.entries().filter(|entry| wanted(entry));
        let mut times: Vec<Micros> = wanted.map(|entry| entry.at).collect();
        drop(book);
        times.sort_unstable();
        most_in_window(&times, micros(span))
    }

    /// For one rule, the most requests that arrived, and the most that were counted, in any window
    /// of the span. A rule kept for each key is looked at for each key.
    #[must_use]
    pub fn most_of_rule(&self, rule: usize, span: Duration, each_key: bool) -> (usize, usize) {
        let mut arrived: HashMap<u16, Vec<Micros>> = HashMap::new();
        let mut counted: HashMap<u16, Vec<Micros>> = HashMap::new();
        let book = self.book();
        for row in book.rows.iter().filter(|row| row.rules & (1 << rule) != 0) {
            let scope = if each_key { row.key } else { 0 };
            arrived.entry(scope).or_default().push(row.at);
            if row.flags & COUNTED != 0 {
                counted.entry(scope).or_default().push(row.at);
            }
        }
        drop(book);
        let span = micros(span);
        let most = |scopes: HashMap<u16, Vec<Micros>>| {
            scopes.values().map(|times| most_in_window(times, span)).max().unwrap_or(0)
        };
        (most(arrived), most(counted))
    }

    /// Writes one JSON object a line for every recorded request.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_json_lines(&self, to: &mut impl Write) -> io::Result<()> {
        let book = self.book();
        for entry in book.entries() {
            write!(to, "{{\"at\":{},\"method\":\"{}\",\"path\":", entry.at, entry.method)?;
            serde_json::to_writer(&mut *to, &entry.path())?;
            to.write_all(b",\"key\":")?;
            serde_json::to_writer(&mut *to, entry.key)?;
            match entry.status {
                Some(status) => write!(to, ",\"status\":{status}")?,
                None => to.write_all(b",\"status\":null")?,
            }
            write!(to, ",\"effect\":{},\"items\":{}", entry.effect, entry.items)?;
            writeln!(to, ",\"counted\":{}}}", entry.counted)?;
        }
        Ok(())
    }
}

impl Book {
    fn record(&mut self, note: Note<'_>) {
        let status = note.status.unwrap_or(0);
        *self.statuses.entry(status).or_default() += 1;
        let before_query = note.path.find('?').unwrap_or(note.path.len());
        let cut = note.path[..before_query].rfind('/').map_or(0, |slash| slash + 1);
        let (folder, leaf) = note.path.split_at(cut);
        let known = self.folders.number(folder);
        if let Some(number) = known {
            self.folder_counts.resize(self.folders.texts.len(), 0);
            self.folder_counts[usize::from(number)] += 1;
        }
        if self.counters_only {
            return;
        }
        let leaf = if known.is_some() { leaf } else { note.path };
        let leaf_start = u32::try_from(self.leaves.len()).unwrap_or(u32::MAX);
        if u32::try_from(self.leaves.len() + leaf.len()).is_ok() {
            self.leaves.push_str(leaf);
        }
        let method = METHODS.iter().position(|name| *name == note.method.as_str()).unwrap_or(0);
        let method = u8::try_from(method).unwrap_or(0);
        self.rows.push(Row {
            at: note.at,
            leaf_start,
            folder: known.unwrap_or(u16::MAX),
            key: self.keys.number(note.key).unwrap_or(u16::MAX),
            status,
            items: u16::try_from(note.items).unwrap_or(u16::MAX),
            rules: note.rules,
            flags: method + u8::from(note.effect) * EFFECT + u8::from(note.counted) * COUNTED,
        });
    }

    fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.rows.iter().enumerate().map(|(index, row)| {
            let next = self.rows.get(index + 1);
            let end = next.map_or(self.leaves.len(), |next| next.leaf_start as usize);
            let leaf = self.leaves.get(row.leaf_start as usize..end);
            Entry {
                at: row.at,
                method: METHODS[usize::from(row.flags & METHOD)],
                folder: self.folders.text(row.folder),
                leaf: leaf.unwrap_or(""),
                key: self.keys.text(row.key),
                status: (row.status != 0).then_some(row.status),
                effect: row.flags & EFFECT != 0,
                items: row.items,
                rules: row.rules,
                counted: row.flags & COUNTED != 0,
            }
        })
    }
}

/// The most of these sorted instants in any half-open window of the span.
fn most_in_window(times: &[Micros], span: Micros) -> usize {
    let mut start = 0;
    let mut most = 0;
    for (end, &time) in times.iter().enumerate() {
        while times[start] + span <= time {
            start += 1;
        }
        most = most.max(end + 1 - start);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(at: Micros, path: &str, status: Option<u16>) -> Note<'_> {
        let method = &Method::DELETE;
        let (effect, items, rules, counted) = (true, 7, 1, true);
        Note { at, method, path, key: "k", status, effect, items, rules, counted }
    }

    #[test]
    fn most_in_window_agrees_with_counting_every_window() {
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..200 {
            let ledger = Ledger::new(false);
            let mut times: Vec<Micros> = (0..60).map(|_| rng.u64(0..400)).collect();
            times.iter().for_each(|&at| ledger.record(note(at, "/a/b", Some(200))));
            times.sort_unstable();
            let span = rng.u64(1..80);
            let in_window =
                |from: u64| times.iter().filter(|&&at| (from..from + span).contains(&at)).count();
            let expected = (0..400).map(in_window).max().unwrap();
            assert_eq!(ledger.most_in_window(Duration::from_micros(span), |_| true), expected);
        }
    }

    #[test]
    fn entries_come_back_as_they_were_recorded() {
        let ledger = Ledger::new(false);
        ledger.record(note(7, "/organizations/org_1", Some(202)));
        ledger.record(note(9, "/users?after=a/b", None));
        let mut seen = Vec::new();
        ledger.each(|entry| seen.push((entry.at, entry.path(), entry.status)));
        assert_eq!(seen[0], (7, "/organizations/org_1".to_owned(), Some(202)));
        assert_eq!(seen[1], (9, "/users?after=a/b".to_owned(), None));
        assert_eq!(ledger.paths()["/organizations/"], 1);
        assert_eq!(ledger.statuses(), BTreeMap::from([(0, 1), (202, 1)]));
        let mut lines = Vec::new();
        ledger.write_json_lines(&mut lines).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let second: serde_json::Value =
            serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!(second["path"], "/users?after=a/b");
        assert_eq!((&second["method"], &second["items"]), (&"DELETE".into(), &7.into()));
        assert!(second["status"].is_null());
    }

    #[test]
    fn counters_remain_without_rows() {
        let ledger = Ledger::new(true);
        (0..10).for_each(|at| ledger.record(note(at, "/a/b", Some(429))));
        assert_eq!((ledger.len(), ledger.too_many(), ledger.count(|_| true)), (10, 10, 0));
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<Row>() <= 24);
    }

    #[test]
    fn more_folders_than_the_bound_are_kept_whole() {
        let ledger = Ledger::new(false);
        let paths: Vec<String> = (0..5_000).map(|n| format!("/{n}/leaf")).collect();
        paths.iter().for_each(|path| ledger.record(note(0, path, Some(200))));
        let mut seen = Vec::new();
        ledger.each(|entry| seen.push(entry.path()));
        assert_eq!(seen, paths);
    }
}
