//! From a source document to its place, its `_id` and its target document.

use bson::{Bson, DateTime, Document, RawBsonRef, RawDocument};
use cel::common::types::{CelInt, CelString};
use cel::common::value::Val;
use sha2::{Digest, Sha256};

use super::expression::{Expression, Fields, Variables, raw_at};
use super::identity::{bson_text, derived_id, id_text, key_text};
use super::order::Order;
use super::values::{Entry, Exact, Object, from_bson, from_raw, object, timestamp};
use super::{Existing, Given, Migration, Phase, Place, Unique, UniqueValue};

/// The greatest size of a target document: the server's 16 MiB, less room for the stamp, a
/// password and the command around it.
const MOST_BYTES: usize = 16 * 1024 * 1024 - 16 * 1024;

/// The paths of fields with what makes them.
pub(super) type FieldRules = Vec<(Vec<String>, Expression)>;

/// The keys of references, and whether they refer to a group.
pub(super) type Keys = Vec<(Expression, bool)>;

/// The expressions of a phase.
#[derive(Debug)]
pub(super) struct Rules {
    /// The variables of the file.
    pub(super) variables: Object,
    pub(super) filter: Option<(Expression, String)>,
    pub(super) group: Option<Expression>,
    pub(super) first: Option<Expression>,
    pub(super) id: Option<Expression>,
    /// The path of each field with what makes it, in order.
    pub(super) fields: FieldRules,
    /// The key of each reference, and whether it refers to a group.
    pub(super) keys: Keys,
    pub(super) checks: Vec<(Expression, String)>,
    /// What decides which document is kept, for each unique.
    pub(super) keeps: Vec<Option<Expression>>,
    pub(super) plain: Option<Expression>,
    /// The fields of `doc` that [`Phase::place`] uses.
    pub(super) for_place: Fields,
    /// The fields of `doc` that [`Phase::target`] uses in expressions that are more than a path.
    pub(super) for_target: Fields,
    /// The top-level fields of the target that later fields and checks see.
    pub(super) seen: Fields,
}

impl Rules {
    /// Fills in which fields are used.
    pub(super) fn note_uses(&mut self) {
        let before = self.filter.iter().map(|(expression, _)| expression);
        let place = before.chain(&self.group).chain(&self.first);
        self.for_place = fields_of("doc", place.chain(self.keys.iter().map(|(key, _)| key)));
        let computed = self.fields.iter().map(|(_, expression)| expression);
        let computed = computed.filter(|expression| expression.bare().is_none());
        let checks = self.checks.iter().map(|(expression, _)| expression);
        self.for_target = fields_of("doc", computed.clone().chain(checks.clone()));
        let all = self.fields.iter().map(|(_, expression)| expression);
        self.seen = fields_of("target", all.chain(checks));
    }
}

/// The fields of a variable that these expressions use.
fn fields_of<'a>(variable: &str, expressions: impl Iterator<Item = &'a Expression>) -> Fields {
    let mut fields = Fields::none();
    for used in expressions.filter_map(|expression| expression.uses(variable)) {
        fields.add(used);
    }
    fields
}

/// The document of these fields only.
fn picked(doc: &RawDocument, fields: &Fields) -> Result<Object, String> {
    let mut entries = Vec::new();
    if *fields == Fields::none() {
        return Ok(Object::default());
    }
    for field in doc {
        let (name, value) = field.map_err(|error| damaged(&error.to_string()))?;
        if fields.has(name.as_str()) {
            let name = CelString::from(name.as_str().to_owned());
            entries.push((name, from_raw(value).map_err(|what| damaged(&what))?));
        }
    }
    Ok(Object::new(entries))
}

fn damaged(what: &str) -> String {
    format!("the document can't be read: {what}")
}

impl Phase {
    /// Whether all documents with the same value make one target document.
    #[must_use]
    pub fn is_grouped(&self) -> bool {
        self.rules.group.is_some()
    }

    /// The top-level fields of the source that anything here reads, `_id` among them, in the
    /// order of their names. [`None`]: all.
    #[must_use]
    pub fn reads(&self) -> Option<Vec<String>> {
        let rules = &self.rules;
        let mut all = rules.for_place.clone();
        all.add(&rules.for_target);
        let fields = rules.fields.iter().map(|(_, expression)| expression);
        let keeps = rules.keeps.iter().flatten();
        all.add(&fields_of("doc", fields.chain(keeps).chain(&rules.id).chain(&rules.plain)));
        all.add(&Fields::Some(["_id".to_owned()].into()));
        match all {
            Fields::All => None,
            Fields::Some(names) => Some(names.into_iter().collect()),
        }
    }

    /// Where a source document belongs, before anything is given out.
    ///
    /// # Errors
    /// The reason why it is left out.
    pub fn place(&self, doc: &RawDocument, now: DateTime) -> Result<Place, String> {
        let rules = &self.rules;
        let variables = self.variables(doc, &rules.for_place, Some(now))?;
        if let Some((expression, otherwise)) = &rules.filter {
            match expression.holds(&variables) {
                Ok(true) => {}
                Ok(false) => return Err(otherwise.clone()),
                Err(what) => return Err(format!("`where` can't be answered: {what}")),
            }
        }
        let key = match &rules.group {
            Some(group) => match value(group, "group", doc, &variables)? {
                Some(value) => key_text(&value),
                None => return Err(format!("its group, {}, is null", group.text())),
            },
            None => id_text(source_id(doc)?),
        };
        let order = match &rules.first {
            Some(first) => value(first, "first", doc, &variables)?.map(|it| Order::of(&it)),
            None => None,
        };
        let mut references = Vec::with_capacity(rules.keys.len());
        for (reference, (key, grouped)) in self.references.iter().zip(&rules.keys) {
            let name = &reference.name;
            match value(key, &format!("references.{name}.key"), doc, &variables)? {
                Some(value) if *grouped => references.push(key_text(&value)),
                Some(value) => references.push(bson_text(&value)),
                None => return Err(format!("its key of `{name}`, {}, is null", key.text())),
            }
        }
        Ok(Place { key, order, references })
    }

    /// The `_id` of the target document of a key: derived from the names of the migration and the
    /// phase and the key, or what the phase says.
    ///
    /// # Errors
    /// When what the phase says can't be evaluated for this document, or is no `_id`.
    pub fn id(&self, migration: &Migration, key: &str, doc: &RawDocument) -> Result<Bson, String> {
        let Some(expression) = &self.rules.id else {
            return Ok(Bson::ObjectId(derived_id(&migration.name, &self.name, key)));
        };
        match self.on_demand(expression, "id", doc)? {
            None => Err(format!("its id, {}, is null", expression.text())),
            Some(Bson::Array(_) | Bson::RegularExpression(_) | Bson::Undefined) => {
                Err(format!("its id, {}, has a type that no _id has", expression.text()))
            }
            Some(id) => Ok(id),
        }
    }

    /// What decides which of the documents with the same values of `self.unique[unique]` is kept:
    /// the one with the greatest. [`None`], which is less than all, where it is missing or null
    /// or can't be evaluated, and for a unique that says nothing.
    #[must_use]
    pub fn keep_order(&self, unique: usize, doc: &RawDocument) -> Option<Order> {
        let keep = self.rules.keeps.get(unique)?.as_ref()?;
        self.on_demand(keep, "keep", doc).ok()?.map(|value| Order::of(&value))
    }

    /// The existing password of a document, if [`super::Password::existing`] says that there is.
    ///
    /// # Errors
    /// When it can't be evaluated, is not a string or empty. The text does not hold the value.
    pub fn plain_password(&self, doc: &RawDocument) -> Result<String, String> {
        let Some(plain) = &self.rules.plain else {
            return Err("the phase makes passwords up".to_owned());
        };
        match self.on_demand(plain, "password.from", doc) {
            Ok(Some(Bson::String(password))) if !password.is_empty() => Ok(password),
            // The value is a secret, even where it is not one that can be used.
            _ => Err(format!("its password, {}, is not a text, or empty", plain.text())),
        }
    }

    /// Whether documents that are there already may be changed.
    #[must_use]
    pub fn changes_existing(&self) -> bool {
        self.existing != Existing::Keep
    }

    /// The whole target document, `_id` first, without password and stamp.
    ///
    /// # Errors
    /// Why it can't be made: a field that can't be evaluated, a check that fails, more bytes than
    /// a server accepts.
    pub fn target(&self, doc: &RawDocument, given: &Given<'_>) -> Result<Document, String> {
        let rules = &self.rules;
        let mut variables = self.variables(doc, &rules.for_target, Some(given.now))?;
        let count = i64::try_from(given.count).unwrap_or(i64::MAX);
        variables.values.push(("group", Box::new(group(given.key, count))));
        for (reference, document) in self.references.iter().zip(given.references) {
            variables.values.push((&reference.name, Box::new(object(document))));
        }
        let mut target = Document::new();
        target.insert("_id", given.id.clone());
        self.show("_id", &target, &mut variables);
        for (path, expression) in &rules.fields {
            let name = path.join(".");
            let value = match given.set.get(&name) {
                Some(set) => Some(Bson::String(set.clone())),
                None => self
                    .field(expression, doc, given, &variables)
                    .map_err(|what| format!("its `{name}` can't be made: {what}"))?,
            };
            // What is copied from a field that is missing stays missing: null would count as a
            // value in a sparse unique index.
            let Some(value) = value else { continue };
            insert(&mut target, path, value);
            self.show(&path[0], &target, &mut variables);
        }
        self.check(&variables)?;
        let size = size_of(&target);
        if size > MOST_BYTES {
            return Err(format!("it would have {size} bytes, and a server takes {MOST_BYTES}"));
        }
        Ok(target)
    }

    /// The value of a field. [`None`] where it is a copy of a field that is missing.
    fn field(
        &self,
        expression: &Expression,
        doc: &RawDocument,
        given: &Given<'_>,
        variables: &Variables<'_>,
    ) -> Result<Option<Bson>, String> {
        if let Some((root, path)) = expression.bare() {
            if root == "doc" {
                return copied(doc, path);
            }
            let reference = self.references.iter().position(|it| it.name == root);
            if let Some(document) = reference.and_then(|at| given.references.get(at)) {
                return Ok(at_path(document, path).cloned());
            }
        }
        expression.value(variables).map(Some)
    }

    /// Lets later expressions see a top-level field of the target, if one of them uses it.
    fn show(&self, name: &str, target: &Document, variables: &mut Variables<'_>) {
        if self.rules.seen.has(name)
            && let Some(value) = target.get(name)
        {
            variables.target.set(name, from_bson(value));
        }
    }

    fn check(&self, variables: &Variables<'_>) -> Result<(), String> {
        for (that, otherwise) in &self.rules.checks {
            match that.holds(variables) {
                Ok(true) => {}
                Ok(false) => return Err(otherwise.clone()),
                Err(what) => {
                    return Err(format!("the check {} can't be answered: {what}", that.text()));
                }
            }
        }
        Ok(())
    }

    /// The values of a target document under each of `self.unique`. [`None`] where all of the
    /// fields are missing, as in a sparse index; where only some are, these count as null.
    #[must_use]
    pub fn unique_values(&self, target: &Document) -> Vec<Option<UniqueValue>> {
        self.unique.iter().map(|unique| unique_value(unique, target)).collect()
    }

    /// The variables that every expression of the phase has.
    fn variables(
        &self,
        doc: &RawDocument,
        fields: &Fields,
        now: Option<DateTime>,
    ) -> Result<Variables<'_>, String> {
        let mut values: Vec<(&str, Box<dyn Val>)> = vec![
            ("doc", Box::new(picked(doc, fields)?)),
            ("vars", Box::new(self.rules.variables.clone())),
        ];
        match now.map(|now| (now, timestamp(now.timestamp_millis()))) {
            Some((_, Some(now))) => values.push(("now", Box::new(now))),
            Some((now, None)) => values.push(("now", Box::new(Exact(Bson::DateTime(now))))),
            None => {}
        }
        Ok(Variables { values, target: Object::default() })
    }

    /// The value of an expression that is asked for by itself. [`None`] for null.
    fn on_demand(
        &self,
        expression: &Expression,
        what: &str,
        doc: &RawDocument,
    ) -> Result<Option<Bson>, String> {
        let nothing = Fields::none();
        let uses = match expression.bare() {
            Some(_) => &nothing,
            None => expression.uses("doc").unwrap_or(&nothing),
        };
        value(expression, what, doc, &self.variables(doc, uses, None)?)
    }
}

/// The value of an expression. [`None`] for null, and for a field that is missing.
fn value(
    expression: &Expression,
    what: &str,
    doc: &RawDocument,
    variables: &Variables<'_>,
) -> Result<Option<Bson>, String> {
    let value = match expression.bare() {
        Some(("doc", path)) => copied(doc, path)?,
        _ => {
            let value = expression.value(variables);
            Some(value.map_err(|error| format!("`{what}` can't be evaluated: {error}"))?)
        }
    };
    Ok(value.filter(|value| *value != Bson::Null))
}

fn copied(doc: &RawDocument, path: &[String]) -> Result<Option<Bson>, String> {
    let Some(raw) = raw_at(doc, path).map_err(|what| damaged(&what))? else { return Ok(None) };
    Bson::try_from(raw).map(Some).map_err(|error| damaged(&error.to_string()))
}

fn source_id(doc: &RawDocument) -> Result<RawBsonRef<'_>, String> {
    let id = doc.get("_id").map_err(|error| damaged(&error.to_string()))?;
    id.ok_or_else(|| "the document has no _id".to_owned())
}

fn group(key: &str, count: i64) -> Object {
    Object::new(vec![
        (CelString::from("key"), Entry::new(Box::new(CelString::from(key.to_owned())))),
        (CelString::from("count"), Entry::new(Box::new(CelInt::from(count)))),
    ])
}

/// Puts a value at a path, making the documents on the way.
fn insert(target: &mut Document, path: &[String], value: Bson) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut at = target;
    for name in parents {
        let entry = at.entry(name.clone()).or_insert_with(|| Bson::Document(Document::new()));
        // The file's tables can't have a value where they have a table.
        let Bson::Document(inner) = entry else { return };
        at = inner;
    }
    at.insert(last.clone(), value);
}

fn at_path<'a, S: AsRef<str>>(document: &'a Document, path: &[S]) -> Option<&'a Bson> {
    let (last, parents) = path.split_last()?;
    let mut at = document;
    for name in parents {
        at = at.get_document(name.as_ref()).ok()?;
    }
    at.get(last.as_ref())
}

fn unique_value(unique: &Unique, target: &Document) -> Option<UniqueValue> {
    let value = |path: &String| at_path(target, &path.split('.').collect::<Vec<_>>());
    let values: Vec<Option<&Bson>> = unique.fields.iter().map(value).collect();
    if values.iter().all(Option::is_none) {
        return None;
    }
    let mut hash = Sha256::new();
    let mut text = String::new();
    for value in values {
        let value = value.unwrap_or(&Bson::Null);
        let order = Order::of(value);
        hash.update((order.as_bytes().len() as u64).to_be_bytes());
        hash.update(order.as_bytes());
        if !text.is_empty() {
            text.push_str(", ");
        }
        match value {
            Bson::String(string) => text.push_str(string),
            other => text.push_str(&bson_text(other)),
        }
    }
    let mut cut = [0; 16];
    cut.copy_from_slice(&hash.finalize()[..16]);
    Some(UniqueValue { hash: u128::from_be_bytes(cut), text })
}

/// The bytes of a document, without making them.
pub(super) fn size_of(document: &Document) -> usize {
    let field = |(name, value): (&String, &Bson)| 2 + name.len() + size_of_value(value);
    5 + document.iter().map(field).sum::<usize>()
}

fn size_of_value(value: &Bson) -> usize {
    match value {
        Bson::Null | Bson::Undefined | Bson::MinKey | Bson::MaxKey => 0,
        Bson::Boolean(_) => 1,
        Bson::Int32(_) => 4,
        Bson::Int64(_) | Bson::Double(_) | Bson::DateTime(_) | Bson::Timestamp(_) => 8,
        Bson::ObjectId(_) => 12,
        Bson::Decimal128(_) => 16,
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => 5 + text.len(),
        Bson::Document(document) => size_of(document),
        Bson::Array(items) => {
            let digits = |at: usize| at.checked_ilog10().map_or(1, |log| log as usize + 1);
            let item = |(at, item): (usize, &Bson)| 2 + digits(at) + size_of_value(item);
            5 + items.iter().enumerate().map(item).sum::<usize>()
        }
        Bson::Binary(binary) => 5 + binary.bytes.len(),
        Bson::RegularExpression(regex) => {
            2 + regex.pattern.as_str().len() + regex.options.as_str().len()
        }
        Bson::JavaScriptCodeWithScope(code) => 9 + code.code.len() + size_of(&code.scope),
        // A name space of at most 255 bytes and an ObjectId.
        Bson::DbPointer(_) => 272,
    }
}
