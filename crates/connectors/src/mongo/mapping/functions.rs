//! The functions that expressions have besides CEL's own.

use std::cmp::Ordering;
use std::sync::LazyLock;

use bson::Bson;
use bson::oid::ObjectId;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelNull, CelString, CelTimestamp, CelUInt, LIST_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};
use sha2::{Digest, Sha256};

use super::identity;
use super::names;
use super::values::{Array, Entry, Exact, Object, equal, from_bson, string, timestamp, to_bson};

type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// The functions that a migration file may use besides CEL's own.
pub(super) const OURS: &[&str] =
    &["text", "fold", "slug", "cut", "date", "oid", "indexed", "coalesce", "hash", "least"];

/// CEL's own functions.
pub(super) const STANDARD: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "timestamp",
    "duration",
    "type",
    "dyn",
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// What a field access, a test for one, a comparison and a map literal are rewritten to.
pub(super) const FIELD: &str = "@field";
pub(super) const HAS: &str = "@has";
pub(super) const EQUAL: &str = "@equal";
pub(super) const OBJECT: &str = "@object";

/// All functions. One context serves all expressions of the program; what differs from one
/// evaluation to the next are its variables.
pub(super) fn context() -> &'static Context<'static, 'static> {
    static CONTEXT: LazyLock<Context<'static, 'static>> = LazyLock::new(|| {
        let mut context = Context::default();
        add(&mut context, "text", |ftx| Ok(new_string(text(arg(ftx, 0, 1)?))));
        add(&mut context, "fold", |ftx| Ok(new_string(names::fold(&text(arg(ftx, 0, 1)?)))));
        add(&mut context, "slug", slug);
        add(&mut context, "cut", cut);
        add(&mut context, "date", |ftx| Ok(or_null(date(arg(ftx, 0, 1)?))));
        add(&mut context, "oid", oid);
        add(&mut context, "indexed", indexed);
        add(&mut context, "coalesce", coalesce);
        add(&mut context, "hash", hash);
        add(&mut context, "least", least);
        add(&mut context, FIELD, field);
        add(&mut context, HAS, has);
        add(&mut context, EQUAL, |ftx| {
            Ok(CowVal::owned(CelBool::from(equal(arg(ftx, 0, 2)?, arg(ftx, 1, 2)?))))
        });
        add(&mut context, OBJECT, object);
        context
    });
    &CONTEXT
}

type Function = Box<
    dyn for<'context, 'call> Fn(
            &mut FunctionContext<'context, 'call>,
        ) -> Result<CowVal<'context, 'call>, ExecutionError>
        + Send
        + Sync,
>;

fn add<F>(context: &mut Context<'static, 'static>, name: &str, function: F)
where
    F: for<'b, 'v> Fn(&mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> + Send + Sync + 'static,
{
    let function: Function = Box::new(function);
    // A name that is CEL's own would be refused; a test calls every function.
    let _ = context.add_function(name, function);
}

/// An argument of a function that takes `count` of them.
fn arg<'a, 'v>(
    ftx: &'a FunctionContext<'_, 'v>,
    at: usize,
    count: usize,
) -> Result<&'a (dyn Val + 'v), ExecutionError> {
    if ftx.this.is_some() {
        return Err(ftx.error(format!("it is called as {}(x), not x.{}()", ftx.name, ftx.name)));
    }
    if ftx.args.len() != count {
        return Err(ExecutionError::invalid_argument_count(count, ftx.args.len()));
    }
    Ok(ftx.args[at].as_ref())
}

fn integer(ftx: &FunctionContext<'_, '_>, at: usize) -> Result<usize, ExecutionError> {
    let number = ftx.args[at].downcast_ref::<CelInt>().map(|number| *number.inner());
    number
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| ftx.error("a length is a whole number that is not negative"))
}

fn new_string<'b, 'v>(text: String) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(text))
}

fn or_null<'b, 'v, T: Val + 'static>(value: Option<T>) -> CowVal<'b, 'v> {
    match value {
        Some(value) => CowVal::owned(value),
        None => CowVal::owned(CelNull),
    }
}

/// A scalar as text, composed and trimmed; nothing for null and everything that is no scalar.
fn text(value: &dyn Val) -> String {
    if let Some(text) = string(value) {
        return names::text(text);
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return number.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelUInt>() {
        return number.inner().to_string();
    }
    if let Some(number) = value.downcast_ref::<CelDouble>() {
        return number.inner().to_string();
    }
    if let Some(yes) = value.downcast_ref::<CelBool>() {
        return yes.inner().to_string();
    }
    if let Some(date) = value.downcast_ref::<CelTimestamp>() {
        let date = bson::DateTime::from_millis(date.inner().timestamp_millis());
        return date.try_to_rfc3339_string().unwrap_or_default();
    }
    match value.downcast_ref::<Exact>() {
        Some(Exact(Bson::ObjectId(id))) => id.to_hex(),
        Some(Exact(Bson::Decimal128(number))) => number.to_string(),
        Some(Exact(Bson::Symbol(text))) => names::text(text),
        _ => String::new(),
    }
}

fn slug<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let count = if ftx.args.len() == 1 { 1 } else { 3 };
    let name = text(arg(ftx, 0, count)?);
    let (mut min, mut max) = names::SLUG_LENGTHS;
    if count == 3 {
        (min, max) = (integer(ftx, 1)?, integer(ftx, 2)?);
    }
    if min > max || max == 0 || max > MOST_SLUG {
        return Err(ftx.error("its lengths are 0 <= min <= max, 1 <= max <= 1000"));
    }
    Ok(new_string(names::slug(&name, min, max)))
}

/// The greatest length of a slug, in characters.
const MOST_SLUG: usize = 1_000;

fn cut<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(ftx, 0, 2)?;
    let length = integer(ftx, 1)?;
    match string(value) {
        Some(whole) => Ok(new_string(names::cut(whole, length).to_owned())),
        None => Ok(new_string(names::cut(&text(value), length).to_owned())),
    }
}

/// A date of a date, a text in one of two forms, or milliseconds since 1970.
fn date(value: &dyn Val) -> Option<CelTimestamp> {
    if let Some(date) = value.downcast_ref::<CelTimestamp>() {
        return Some(date.clone());
    }
    if let Some(text) = string(value) {
        return timestamp(millis(text.trim())?);
    }
    if let Some(number) = value.downcast_ref::<CelInt>() {
        return timestamp(*number.inner());
    }
    let number = *value.downcast_ref::<CelDouble>()?.inner();
    // Beyond 2^53 a double is no exact number of milliseconds, and no date that CEL knows.
    (number.abs() < 9e15 && number.fract() == 0.0).then(|| timestamp(number as i64))?
}

fn millis(text: &str) -> Option<i64> {
    if text.len() == "YYYY-MM-DD".len() {
        let date: jiff::civil::Date = text.parse().ok()?;
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        return Some(start.timestamp().as_millisecond());
    }
    Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

fn oid<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(ftx, 0, 1)?;
    let id = match value.downcast_ref::<Exact>() {
        Some(Exact(Bson::ObjectId(id))) => Some(*id),
        _ => string(value).and_then(|text| ObjectId::parse_str(text.trim()).ok()),
    };
    Ok(or_null(id.map(|id| Exact(Bson::ObjectId(id)))))
}

/// The items of a list as `{index, item}`; of what is no list, none.
fn indexed<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let list = arg(ftx, 0, 1)?;
    let mut items = Vec::new();
    let mut push = |entry: Entry| {
        let index = CelInt::from(i64::try_from(items.len()).unwrap_or(i64::MAX));
        items.push(Entry::new(Box::new(Object::new(vec![
            (CelString::from("index"), Entry::new(Box::new(index))),
            (CelString::from("item"), entry),
        ]))));
    };
    if let Some(array) = list.downcast_ref::<Array>() {
        array.items().iter().cloned().for_each(push);
    } else if let Some(list) = list.as_iterable().filter(|_| list.get_type() == &LIST_TYPE) {
        let mut values = list.iter();
        while let Some(value) = values.next() {
            push(owned(value).map_err(|what| ftx.error(what))?);
        }
    }
    Ok(CowVal::owned(Array::new(items)))
}

/// A value that may borrow, as one that does not.
fn owned(value: &dyn Val) -> Result<Entry, String> {
    if let Some(text) = string(value) {
        return Ok(Entry::new(Box::new(CelString::from(text.to_owned()))));
    }
    if let Some(object) = value.downcast_ref::<Object>() {
        return Ok(Entry::new(Box::new(object.clone())));
    }
    if let Some(array) = value.downcast_ref::<Array>() {
        return Ok(Entry::new(Box::new(array.clone())));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let items: Result<_, _> = list.inner().iter().map(|item| owned(item.as_ref())).collect();
        return Ok(Entry::new(Box::new(Array::new(items?))));
    }
    let mut entry = from_bson(&to_bson(value)?);
    entry.long = false;
    Ok(entry)
}

/// The first of its arguments that is not null.
fn coalesce<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    arg(ftx, 0, ftx.args.len().max(1))?;
    let found = ftx.args.iter().find(|value| !is_null(value.as_ref()));
    Ok(found.cloned().unwrap_or_else(|| CowVal::owned(CelNull)))
}

/// The first 16 hexadecimal digits of SHA-256 over a string's bytes, or over the extended JSON
/// of another value.
fn hash<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(ftx, 0, 1)?;
    let digest = match string(value) {
        Some(text) => Sha256::digest(text.as_bytes()),
        None => {
            let bson = to_bson(value).map_err(|what| ftx.error(what))?;
            Sha256::digest(identity::bson_text(&bson).as_bytes())
        }
    };
    Ok(new_string(names::hex(&digest[..8])))
}

/// The lesser of two values that compare.
fn least<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let (one, other) = (arg(ftx, 0, 2)?, arg(ftx, 1, 2)?);
    let order = one.as_comparer().and_then(|comparer| comparer.compare(other).ok());
    match order {
        Some(Ordering::Greater) => Ok(ftx.args[1].clone()),
        Some(_) => Ok(ftx.args[0].clone()),
        None => Err(ftx.error("its values are two that can be compared")),
    }
}

fn is_null(value: &dyn Val) -> bool {
    value.downcast_ref::<CelNull>().is_some()
}

/// A field of a document: null where it is missing, or where there is no document to have it.
fn field<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let name = ftx.args.pop();
    let value = ftx.args.pop();
    let (Some(value), Some(name)) = (value, name) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    match value {
        CowVal::Borrowed(value) => match value.as_indexer().map(|it| it.get(name.as_ref())) {
            Some(Ok(found)) => Ok(found),
            _ => Ok(CowVal::owned(CelNull)),
        },
        CowVal::Owned(value) => {
            let found = value.as_indexer().map(|it| it.get(name.as_ref()));
            match found {
                Some(Ok(found)) => Ok(CowVal::Owned(found.into_owned())),
                _ => Ok(CowVal::owned(CelNull)),
            }
        }
    }
}

fn has<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(ftx, 0, 2)?;
    let name = arg(ftx, 1, 2)?;
    let has = value.as_indexer().is_some_and(|indexer| indexer.get(name).is_ok());
    Ok(CowVal::owned(CelBool::from(has)))
}

/// A document of the names and values of a map literal, in their order.
fn object<'b, 'v>(ftx: &mut FunctionContext<'b, 'v>) -> Answer<'b, 'v> {
    let mut entries: Vec<(CelString<'static>, Entry)> = Vec::with_capacity(ftx.args.len() / 2);
    for pair in ftx.args.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let Some(name) = string(name.as_ref()) else {
            return Err(ftx.error("the key of a map is a string"));
        };
        if name.contains('\0') {
            return Err(ftx.error("the name of a field has no zero character"));
        }
        if entries.iter().any(|(other, _)| other.inner() == name) {
            return Err(ftx.error(format!("the key `{name}` is there twice")));
        }
        let name = CelString::from(name.to_owned());
        entries.push((name, owned(value.as_ref()).map_err(|what| ftx.error(what))?));
    }
    Ok(CowVal::owned(Object::new(entries)))
}
