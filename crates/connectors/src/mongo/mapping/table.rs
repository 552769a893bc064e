//! Reads one table of a file key by key, and knows what was not read.

use toml::{Table, Value};

use super::error::{MappingError, nearest};

/// A table with its path. Every key that is asked for is a known one; [`Reader::finish`] refuses
/// the others.
pub(super) struct Reader {
    path: String,
    table: Table,
    asked: Vec<String>,
}

impl Reader {
    pub(super) fn root(table: Table) -> Self {
        Self { path: String::new(), table, asked: Vec::new() }
    }

    /// The path that errors tell.
    pub(super) fn rename(&mut self, name: &str) {
        self.path = format!("phase `{name}`");
    }

    /// The keys that were not read, in the order of the file.
    pub(super) fn names(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, what: &str, hint: &str) -> MappingError {
        MappingError::new(format!("{}: {what}", self.at(key)), hint)
    }

    pub(super) fn missing(&self, key: &str) -> MappingError {
        self.wrong(key, "is missing", "windlass migrate preset form-a-friend shows a whole file")
    }

    fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.table.remove(key)
    }

    fn not_a(&self, key: &str, kind: &str, found: &Value) -> MappingError {
        let what = format!("is {}, not {kind}", article(found.type_str()));
        self.wrong(key, &what, &format!("write {kind}"))
    }

    /// Whether there is a string.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(Value::is_str)
    }

    pub(super) fn optional(&mut self, key: &str) -> Result<Option<String>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.not_a(key, "a string", &other)),
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Result<String, MappingError> {
        self.optional(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn integer(&mut self, key: &str) -> Result<Option<i64>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(other) => Err(self.not_a(key, "a whole number", &other)),
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<Option<bool>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Boolean(yes)) => Ok(Some(yes)),
            Some(other) => Err(self.not_a(key, "true or false", &other)),
        }
    }

    /// A list of strings; an empty one where there is none.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<String>, MappingError> {
        let items = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.not_a(key, "a list of strings", &other)),
        };
        let text = |item: Value| match item {
            Value::String(text) => Ok(text),
            other => Err(self.not_a(key, "a list of strings", &other)),
        };
        items.into_iter().map(text).collect()
    }

    /// One of these words.
    pub(super) fn choice(
        &mut self,
        key: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, MappingError> {
        let Some(text) = self.optional(key)? else { return Ok(None) };
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Ok(Some(word));
        }
        let hint = match nearest(&text, words.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("it is one of {}", words.join(", ")),
        };
        Err(self.wrong(key, &format!("is \"{text}\", which it can't be"), &hint))
    }

    pub(super) fn raw_table(&mut self, key: &str) -> Result<Option<Table>, MappingError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => Ok(Some(table)),
            Some(other) => Err(self.not_a(key, "a table", &other)),
        }
    }

    pub(super) fn table(&mut self, key: &str) -> Result<Option<Self>, MappingError> {
        let path = self.at(key);
        let table = self.raw_table(key)?;
        Ok(table.map(|table| Self { path, table, asked: Vec::new() }))
    }

    /// A list of tables, `most` of them at most; an empty one where there is none.
    pub(super) fn tables(&mut self, key: &str, most: usize) -> Result<Vec<Self>, MappingError> {
        let items = match self.take(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => {
                let kind = format!("a list of tables; begin each with [[{key}]]");
                return Err(self.not_a(key, &kind, &other));
            }
        };
        if items.len() > most {
            let what = format!("there are {}, and {most} are the most", items.len());
            return Err(self.wrong(key, &what, "split the migration into several files"));
        }
        let table = |(at, item): (usize, Value)| match item {
            Value::Table(table) => {
                let path = self.at(&format!("{key}[{at}]"));
                Ok(Self { path, table, asked: Vec::new() })
            }
            other => Err(self.not_a(key, "a list of tables", &other)),
        };
        items.into_iter().enumerate().map(table).collect()
    }

    /// Refuses keys that nobody asked for.
    ///
    /// # Errors
    /// When there is one; it names the nearest known key.
    pub(super) fn finish(self) -> Result<(), MappingError> {
        let Some(key) = self.table.keys().next() else { return Ok(()) };
        let hint = match nearest(key, self.asked.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", self.asked.join(", ")),
        };
        Err(self.wrong(key, "there is no such key", &hint))
    }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}
