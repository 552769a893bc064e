//! BSON values as CEL sees them, and back.
//!
//! Strings, numbers, booleans, null, dates and generic binary data have a CEL twin. Documents and
//! arrays are types of ours, because CEL's own maps forget the order of their entries and copy all
//! they hold whenever they are bound to a name. Everything else (`ObjectId`, `Decimal128`, regular
//! expressions, ...) travels as [`Exact`] and comes out as it went in.
//!
//! CEL has one signed integer. One that fits in 32 bits becomes an Int32, as the drivers of Node
//! and Python write it, so that a field has one type whoever writes it; what was an Int64 in the
//! source document stays one when its document or array is copied.

use std::any::Any;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, RawBsonRef};
use cel::common::traits::{Adder, Container, Indexer, Iterable, Iterator, Sizer};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelNull, CelString, CelTimestamp,
    CelUInt, LIST_TYPE, MAP_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Context, ExecutionError, Program};

/// Levels of nesting that a value may have. A server accepts 100.
const MAX_DEPTH: usize = 180;

/// A value and whether it is an Int64 that stays one though it would fit in 32 bits.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Box<dyn Val>,
    pub(super) long: bool,
}

impl Entry {
    pub(super) fn new(value: Box<dyn Val>) -> Self {
        Self { value, long: false }
    }
}

/// A document. Its clones share its entries.
#[derive(Clone, Debug, Default)]
pub(super) struct Object(Arc<Vec<(CelString<'static>, Entry)>>);

/// An array. Its clones share its items.
#[derive(Clone, Debug, Default)]
pub(super) struct Array(Arc<Vec<Entry>>);

/// A BSON value without a CEL twin.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Exact(pub(super) Bson);

static EXACT_TYPE: Type = Type::new_unspecified_type("bson");

impl Object {
    pub(super) fn new(entries: Vec<(CelString<'static>, Entry)>) -> Self {
        Self(Arc::new(entries))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|(key, _)| key.inner() == name).map(|(_, entry)| entry)
    }

    /// Puts an entry in, instead of the one of that name if there is one.
    pub(super) fn set(&mut self, name: &str, entry: Entry) {
        let entries = Arc::make_mut(&mut self.0);
        match entries.iter_mut().find(|(key, _)| key.inner() == name) {
            Some((_, old)) => *old = entry,
            None => entries.push((CelString::from(name.to_owned()), entry)),
        }
    }

    pub(super) fn entries(&self) -> &[(CelString<'static>, Entry)] {
        &self.0
    }
}

impl Array {
    pub(super) fn new(items: Vec<Entry>) -> Self {
        Self(Arc::new(items))
    }

    pub(super) fn items(&self) -> &[Entry] {
        &self.0
    }
}

impl Val for Object {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let Some(other) = other.downcast_ref::<Self>() else { return false };
        let same = |(key, entry): &(CelString<'_>, Entry)| {
            let found = other.find(key.inner());
            found.is_some_and(|found| equal(entry.value.as_ref(), found.value.as_ref()))
        };
        self.0.len() == other.0.len() && self.0.iter().all(same)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Object {}

impl Container for Object {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(string(value).is_some_and(|name| self.find(name).is_some()))
    }
}

impl Indexer for Object {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(name) = string(index) else { return Err(unexpected(index, "string")) };
        match self.find(name) {
            Some(entry) => Ok(CowVal::Borrowed(entry.value.as_ref())),
            None => Err(ExecutionError::no_such_key(name)),
        }
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Iterable for Object {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Items(self.0.iter().map(|(key, _)| -> &dyn Val { key })))
    }
}

impl Sizer for Object {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

impl Val for Array {
    fn get_type(&self) -> &Type {
        &LIST_TYPE
    }

    fn cel_type() -> &'static Type {
        &LIST_TYPE
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        if other.get_type() != &LIST_TYPE {
            return false;
        }
        let Some(other) = other.as_iterable() else { return false };
        let mut others = other.iter();
        let same = self
            .0
            .iter()
            .all(|entry| others.next().is_some_and(|other| equal(entry.value.as_ref(), other)));
        same && others.next().is_none()
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Array {}

impl Adder for Array {
    fn add<'b, 'v>(&'b self, rhs: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(others) = rhs.as_iterable().filter(|_| rhs.get_type() == &LIST_TYPE) else {
            return Err(unexpected(rhs, "list"));
        };
        let mut items: Vec<Box<dyn Val + 'v>> = Vec::with_capacity(self.0.len());
        items.extend(self.0.iter().map(|entry| entry.value.clone_as_boxed()));
        let mut others = others.iter();
        while let Some(other) = others.next() {
            items.push(other.clone_as_boxed());
        }
        Ok(CowVal::owned(CelList::from(items)))
    }
}

impl Container for Array {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.0.iter().any(|entry| equal(entry.value.as_ref(), value)))
    }
}

impl Indexer for Array {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(at) = index.downcast_ref::<CelInt>() else {
            return Err(unexpected(index, "int"));
        };
        let entry = usize::try_from(*at.inner()).ok().and_then(|at| self.0.get(at));
        match entry {
            Some(entry) => Ok(CowVal::Borrowed(entry.value.as_ref())),
            None => Err(ExecutionError::IndexOutOfBounds((*at.inner()).into())),
        }
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

impl Iterable for Array {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Items(self.0.iter().map(|entry| -> &dyn Val { entry.value.as_ref() })))
    }
}

impl Sizer for Array {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

impl Val for Exact {
    fn get_type(&self) -> &Type {
        &EXACT_TYPE
    }

    fn cel_type() -> &'static Type {
        &EXACT_TYPE
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Exact {}

/// Turns an iterator of Rust into one of CEL.
struct Items<I>(I);

impl<'b, 'v, I: std::iter::Iterator<Item = &'b (dyn Val + 'static)>> Iterator<'b, 'v> for Items<I> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|value| -> &'b (dyn Val + 'v) { value })
    }
}

/// Whether two values are equal, whichever of them is of a type of ours.
pub(super) fn equal(left: &dyn Val, right: &dyn Val) -> bool {
    let ours = |value: &dyn Val| value.as_any().is_some_and(|any| any.is::<Array>());
    if ours(right) && !ours(left) { right.equals(left) } else { left.equals(right) }
}

/// The text of a string value.
pub(super) fn string<'a>(value: &'a (dyn Val + '_)) -> Option<&'a str> {
    value.downcast_ref::<CelString>().map(CelString::inner)
}

fn unexpected(value: &dyn Val, want: &str) -> ExecutionError {
    let got = value.get_type().name().to_owned();
    ExecutionError::UnexpectedType { got, want: want.to_owned() }
}

/// The milliseconds since 1970 of the first and the last instant that CEL knows, those of the
/// years 1 and 9999.
const FIRST_MILLIS: i64 = -62_135_596_800_000;
const LAST_MILLIS: i64 = 253_402_300_799_999;

/// The start of 1970, made by CEL itself: the type of its inside is not ours to name.
static EPOCH: LazyLock<Option<CelTimestamp>> = LazyLock::new(|| {
    let program = Program::compile("timestamp('1970-01-01T00:00:00Z')").ok()?;
    match program.execute(&Context::default()).ok()? {
        cel::Value::Timestamp(epoch) => Some(CelTimestamp::from(epoch)),
        _ => None,
    }
});

/// A date, unless it lies outside of the years 1 to 9999, which CEL does not know.
pub(super) fn timestamp(millis: i64) -> Option<CelTimestamp> {
    if !(FIRST_MILLIS..=LAST_MILLIS).contains(&millis) {
        return None;
    }
    let epoch = *EPOCH.as_ref()?.inner();
    let distance = Duration::from_millis(millis.unsigned_abs());
    Some(CelTimestamp::from(if millis < 0 { epoch - distance } else { epoch + distance }))
}

/// A value of a document for CEL.
///
/// # Errors
/// When it is damaged, or nested more deeply than a server accepts.
pub(super) fn from_raw(value: RawBsonRef<'_>) -> Result<Entry, String> {
    raw_entry(value, 0)
}

fn raw_entry(value: RawBsonRef<'_>, depth: usize) -> Result<Entry, String> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP.to_owned());
    }
    let value: Box<dyn Val> = match value {
        RawBsonRef::Int64(value) => {
            return Ok(Entry { value: Box::new(CelInt::from(value)), long: true });
        }
        RawBsonRef::Document(document) => {
            let mut entries = Vec::new();
            for field in document {
                let (name, value) = field.map_err(|error| error.to_string())?;
                let name = CelString::from(name.as_str().to_owned());
                entries.push((name, raw_entry(value, depth + 1)?));
            }
            Box::new(Object::new(entries))
        }
        RawBsonRef::Array(array) => {
            let mut items = Vec::new();
            for item in array {
                let item = item.map_err(|error| error.to_string())?;
                items.push(raw_entry(item, depth + 1)?);
            }
            Box::new(Array::new(items))
        }
        RawBsonRef::String(text) => Box::new(CelString::from(text.to_owned())),
        other => {
            let owned = Bson::try_from(other).map_err(|error| error.to_string())?;
            scalar(owned)
        }
    };
    Ok(Entry::new(value))
}

const TOO_DEEP: &str = "it is nested more than 180 levels deep";

/// An owned value for CEL.
pub(super) fn from_bson(value: &Bson) -> Entry {
    match value {
        Bson::Int64(value) => Entry { value: Box::new(CelInt::from(*value)), long: true },
        Bson::Document(document) => Entry::new(Box::new(object(document))),
        Bson::Array(items) => {
            Entry::new(Box::new(Array::new(items.iter().map(from_bson).collect())))
        }
        other => Entry::new(scalar(other.clone())),
    }
}

/// An owned document for CEL.
pub(super) fn object(document: &Document) -> Object {
    let entry = |(name, value): (&String, &Bson)| (CelString::from(name.clone()), from_bson(value));
    Object::new(document.iter().map(entry).collect())
}

fn scalar(value: Bson) -> Box<dyn Val> {
    match value {
        Bson::String(text) => Box::new(CelString::from(text)),
        Bson::Int32(number) => Box::new(CelInt::from(i64::from(number))),
        Bson::Int64(number) => Box::new(CelInt::from(number)),
        Bson::Double(number) => Box::new(CelDouble::from(number)),
        Bson::Boolean(yes) => Box::new(CelBool::from(yes)),
        Bson::Null => Box::new(CelNull),
        Bson::DateTime(date) => match timestamp(date.timestamp_millis()) {
            Some(timestamp) => Box::new(timestamp),
            None => Box::new(Exact(Bson::DateTime(date))),
        },
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }) => {
            Box::new(CelBytes::from(bytes))
        }
        other => Box::new(Exact(other)),
    }
}

/// What a value of an expression is in BSON.
///
/// # Errors
/// When BSON has nothing like it: a type, a duration, an unsigned number over 2^63, a map with
/// keys that are not strings.
pub(super) fn to_bson(value: &dyn Val) -> Result<Bson, String> {
    bson_of(value, false, 0)
}

fn bson_of(value: &dyn Val, long: bool, depth: usize) -> Result<Bson, String> {
    if depth > MAX_DEPTH {
        return Err(TOO_DEEP.to_owned());
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Ok(Bson::String(text.inner().to_owned()));
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return Ok(integer(*number.inner(), long));
    }
    if let Some(date) = value.downcast_ref::<CelTimestamp>() {
        let millis = date.inner().timestamp_millis();
        return Ok(Bson::DateTime(bson::DateTime::from_millis(millis)));
    }
    if let Some(yes) = value.downcast_ref::<CelBool>() {
        return Ok(Bson::Boolean(*yes.inner()));
    }
    if value.downcast_ref::<CelNull>().is_some() {
        return Ok(Bson::Null);
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return Ok(Bson::Double(*number.inner()));
    }
    if let Some(Exact(exact)) = value.downcast_ref::<Exact>() {
        return Ok(exact.clone());
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        let bytes = bytes.inner().to_vec();
        return Ok(Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }));
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        let number = i64::try_from(*number.inner());
        return number.map(|number| integer(number, false)).map_err(|_| {
            "its value is an unsigned number over 9223372036854775807, which BSON has not"
                .to_owned()
        });
    }
    container_to_bson(value, depth)
}

fn container_to_bson(value: &dyn Val, depth: usize) -> Result<Bson, String> {
    if let Some(object) = value.downcast_ref::<Object>() {
        let mut document = Document::new();
        for (name, entry) in object.entries() {
            let value = bson_of(entry.value.as_ref(), entry.long, depth + 1)?;
            document.insert(name.inner(), value);
        }
        return Ok(Bson::Document(document));
    }
    if let Some(array) = value.downcast_ref::<Array>() {
        let item = |entry: &Entry| bson_of(entry.value.as_ref(), entry.long, depth + 1);
        return Ok(Bson::Array(array.items().iter().map(item).collect::<Result<_, _>>()?));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let items = list.inner().iter();
        let items = items.map(|item| bson_of(item.as_ref(), false, depth + 1));
        return Ok(Bson::Array(items.collect::<Result<_, _>>()?));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        return map_to_bson(map, depth);
    }
    Err(format!("its value is a {}, which BSON has not", value.get_type().name()))
}

/// A map of CEL's own, which only an expression with computed keys makes. It has no order, so its
/// entries are sorted by key.
fn map_to_bson(map: &CelMap<'_>, depth: usize) -> Result<Bson, String> {
    let mut entries = Vec::with_capacity(map.inner().len());
    for (key, value) in map.inner() {
        let cel::common::types::CelMapKey::String(key) = key else {
            return Err("its value is a map with a key that is not a string".to_owned());
        };
        entries.push((key.inner(), bson_of(value.as_ref(), false, depth + 1)?));
    }
    entries.sort_unstable_by_key(|(key, _)| *key);
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
    Ok(Bson::Document(entries.collect()))
}

fn integer(number: i64, long: bool) -> Bson {
    match i32::try_from(number) {
        Ok(number) if !long => Bson::Int32(number),
        _ => Bson::Int64(number),
    }
}
