//! What an update makes of a document: operators, or another document in its place.

use bson::{Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc};

use super::expression::to_bson;
use super::filter::{Filter, equalities, is_operators};
use super::order;
use super::reply::CommandError;

/// An update that was read.
#[derive(Clone, Debug)]
pub enum Update {
    /// All fields but `_id` become these.
    Replace(RawDocumentBuf),
    /// Each operator is applied to its path.
    Operators(Vec<Change>),
}

/// One operator with one path and its operand.
#[derive(Clone, Debug)]
pub struct Change {
    operator: Operator,
    path: String,
    operand: Bson,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Set,
    SetOnInsert,
    Unset,
    Increase,
    Multiply,
    Push,
    AddToSet,
    Pull,
    Min,
    Max,
    CurrentDate,
    Rename,
}

const OPERATORS: [(&str, Operator); 12] = [
    ("$set", Operator::Set),
    ("$setOnInsert", Operator::SetOnInsert),
    ("$unset", Operator::Unset),
    ("$inc", Operator::Increase),
    ("$mul", Operator::Multiply),
    ("$push", Operator::Push),
    ("$addToSet", Operator::AddToSet),
    ("$pull", Operator::Pull),
    ("$min", Operator::Min),
    ("$max", Operator::Max),
    ("$currentDate", Operator::CurrentDate),
    ("$rename", Operator::Rename),
];

fn failed(message: impl Into<String>) -> CommandError {
    CommandError::new(9, message)
}

impl Update {
    /// Reads an update.
    ///
    /// # Errors
    ///
    /// Code 9 for operators that are not known and for pipelines, 40 for two changes of one path.
    pub fn read(value: RawBsonRef<'_>) -> Result<Self, CommandError> {
        let RawBsonRef::Document(document) = value else {
            return Err(failed("Update argument must be an object; pipelines are not known here"));
        };
        if !is_operators(document) {
            return Ok(Self::Replace(document.to_owned()));
        }
        let mut changes: Vec<Change> = Vec::new();
        for (name, operands) in document.iter().map_while(Result::ok) {
            let name = name.as_str();
            let known = OPERATORS.iter().find(|(known, _)| *known == name);
            let Some(&(_, operator)) = known else {
                return Err(failed(format!("Unknown modifier: {name}")));
            };
            let Some(operands) = operands.as_document() else {
                return Err(failed(format!("Modifiers operate on fields: {name}")));
            };
            for (path, operand) in operands.iter().map_while(Result::ok) {
                let path = path.as_str().to_owned();
                if changes.iter().any(|change| overlaps(&change.path, &path)) {
                    let message = format!("Updating the path '{path}' would create a conflict");
                    return Err(CommandError::new(40, message));
                }
                changes.push(Change { operator, path, operand: to_bson(operand) });
            }
        }
        Ok(Self::Operators(changes))
    }

    /// The document after the update; `None` when it leaves it as it is.
    ///
    /// # Errors
    ///
    /// Code 66 for a change of `_id`, 14 and 28 for operators that do not fit what is there.
    pub fn apply(&self, old: &RawDocument) -> Result<Option<RawDocumentBuf>, CommandError> {
        match self {
            Self::Replace(new) => {
                let kept = with_id_of(new, old)?;
                Ok((kept.as_bytes() != old.as_bytes()).then_some(kept))
            }
            Self::Operators(changes) => {
                let mut changes =
                    changes.iter().filter(|it| it.operator != Operator::SetOnInsert).peekable();
                if changes.peek().is_none() {
                    return Ok(None);
                }
                let mut document = read(old)?;
                for change in changes {
                    change.apply(&mut document)?;
                }
                let new = write(&document)?;
                if id(&new) != id(old) {
                    return Err(immutable());
                }
                Ok((new.as_bytes() != old.as_bytes()).then_some(new))
            }
        }
    }

    /// The document that an upsert inserts when the filter selects none.
    ///
    /// # Errors
    ///
    /// Those of [`Update::apply`].
    pub fn insertion(&self, filter: &RawDocument) -> Result<RawDocumentBuf, CommandError> {
        let mut fields = Vec::new();
        equalities(filter, &mut fields);
        let mut document = Document::new();
        match self {
            Self::Replace(new) => {
                let wanted = fields.into_iter().find(|(name, _)| name == "_id");
                let own = id(new);
                if let Some((name, value)) = wanted {
                    let is_other = own
                        .is_some_and(|own| order::key(own) != order::key(value.as_raw_bson_ref()));
                    if is_other {
                        return Err(immutable());
                    }
                    document.insert(name, to_bson(value.as_raw_bson_ref()));
                }
                document.extend(read(new)?);
                return write(&document);
            }
            Self::Operators(changes) => {
                for (path, value) in fields {
                    set(&mut document, &path, to_bson(value.as_raw_bson_ref()))?;
                }
                let wanted = document.get("_id").cloned();
                for change in changes {
                    change.apply(&mut document)?;
                }
                if wanted.is_some() && wanted.as_ref() != document.get("_id") {
                    return Err(immutable());
                }
            }
        }
        write(&document)
    }

    /// Whether it puts another document in the place of the old one.
    pub fn is_replacement(&self) -> bool {
        matches!(self, Self::Replace(_))
    }
}

fn overlaps(one: &str, other: &str) -> bool {
    let inside = |path: &str, outer: &str| {
        path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    inside(one, other) || inside(other, one)
}

fn immutable() -> CommandError {
    let message = "Performing an update on the path '_id' would modify the immutable field '_id'";
    CommandError::new(66, message)
}

fn id(document: &RawDocument) -> Option<RawBsonRef<'_>> {
    super::path::field(document, "_id")
}

fn with_id_of(new: &RawDocument, old: &RawDocument) -> Result<RawDocumentBuf, CommandError> {
    let (own, kept) = (id(new), id(old).unwrap_or(RawBsonRef::Null));
    if own.is_some_and(|own| order::key(own) != order::key(kept)) {
        return Err(immutable());
    }
    let mut result = RawDocumentBuf::new();
    result.append(bson::raw::cstr!("_id"), kept);
    for (name, value) in new.iter().map_while(Result::ok) {
        if name.as_str() != "_id" {
            result.append(name, value);
        }
    }
    Ok(result)
}

fn read(document: &RawDocument) -> Result<Document, CommandError> {
    Document::try_from(document).map_err(|error| CommandError::new(22, error.to_string()))
}

fn write(document: &Document) -> Result<RawDocumentBuf, CommandError> {
    RawDocumentBuf::try_from(document).map_err(|error| CommandError::new(2, error.to_string()))
}

/// A document with this as its only value, to compare and to ask filters about.
fn wrapped(value: &Bson) -> Result<RawDocumentBuf, CommandError> {
    write(&doc! { "v": value })
}

fn encoded(value: &Bson) -> Result<Vec<u8>, CommandError> {
    Ok(order::key_of(super::path::field(&wrapped(value)?, "v")))
}

impl Change {
    fn apply(&self, document: &mut Document) -> Result<(), CommandError> {
        let (path, operand) = (&self.path[..], &self.operand);
        match self.operator {
            Operator::Set | Operator::SetOnInsert => set(document, path, operand.clone()),
            Operator::Unset => {
                unset(document, path);
                Ok(())
            }
            Operator::Increase => {
                calculate(document, path, operand, "$inc", i64::checked_add, |a, b| a + b)
            }
            Operator::Multiply => {
                calculate(document, path, operand, "$mul", i64::checked_mul, |a, b| a * b)
            }
            Operator::Push => push(document, path, operand, false),
            Operator::AddToSet => push(document, path, operand, true),
            Operator::Pull => pull(document, path, operand),
            Operator::Min | Operator::Max => {
                let is_better = match get(document, path) {
                    None => true,
                    Some(old) => {
                        let (old, new) = (encoded(old)?, encoded(operand)?);
                        if self.operator == Operator::Min { new < old } else { new > old }
                    }
                };
                if is_better { set(document, path, operand.clone()) } else { Ok(()) }
            }
            Operator::CurrentDate => set(document, path, DateTime::now().into()),
            Operator::Rename => {
                let Some(to) = operand.as_str() else {
                    return Err(CommandError::new(2, "The 'to' field for $rename is no string"));
                };
                match unset(document, path) {
                    Some(value) => set(document, to, value),
                    None => Ok(()),
                }
            }
        }
    }
}

fn get<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    let mut parts = path.split('.');
    let mut value = document.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Bson::Document(inner) => inner.get(part)?,
            Bson::Array(array) => array.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn unset(document: &mut Document, path: &str) -> Option<Bson> {
    let Some((outer, last)) = path.rsplit_once('.') else { return document.remove(path) };
    let mut parts = outer.split('.');
    let mut value = document.get_mut(parts.next()?)?;
    for part in parts {
        value = step(value, part)?;
    }
    match value {
        Bson::Document(inner) => inner.remove(last),
        // The places after it keep their numbers.
        Bson::Array(array) => {
            let place = array.get_mut(last.parse::<usize>().ok()?)?;
            Some(std::mem::replace(place, Bson::Null))
        }
        _ => None,
    }
}

fn step<'a>(value: &'a mut Bson, part: &str) -> Option<&'a mut Bson> {
    match value {
        Bson::Document(inner) => inner.get_mut(part),
        Bson::Array(array) => array.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    }
}

/// Most empty places that a change may make in an array, as documented for code 2.
const PADDING_MAX: usize = 1_500_000;

fn set(document: &mut Document, path: &str, value: Bson) -> Result<(), CommandError> {
    let Some((first, rest)) = path.split_once('.') else {
        document.insert(path, value);
        return Ok(());
    };
    let inner = document.entry(first.to_owned()).or_insert_with(|| Document::new().into());
    set_inside(inner, first, rest, value)
}

fn set_inside(outer: &mut Bson, name: &str, path: &str, value: Bson) -> Result<(), CommandError> {
    match outer {
        Bson::Document(inner) => set(inner, path, value),
        Bson::Array(array) => {
            let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
            let place = first.parse::<usize>().ok().filter(|place| *place < PADDING_MAX);
            let Some(place) = place else {
                let message = format!("Cannot create field '{first}' in element {{{name}: []}}");
                return Err(CommandError::new(28, message));
            };
            if array.len() <= place {
                array.resize(place + 1, Bson::Null);
            }
            match rest {
                None => array[place] = value,
                Some(rest) => {
                    if array[place] == Bson::Null {
                        array[place] = Document::new().into();
                    }
                    set_inside(&mut array[place], first, rest, value)?;
                }
            }
            Ok(())
        }
        _ => {
            let message = format!("Cannot create field '{path}' in element {{{name}: ...}}");
            Err(CommandError::new(28, message))
        }
    }
}

fn calculate(
    document: &mut Document,
    path: &str,
    operand: &Bson,
    name: &str,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<(), CommandError> {
    let mismatch = |value: &Bson| {
        let message = format!("Cannot apply {name} to a value of non-numeric type. {value}");
        CommandError::new(14, message)
    };
    let zero = Bson::Int32(0);
    let old = get(document, path).unwrap_or(&zero).clone();
    let long = |value: &Bson| match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    };
    let double = |value: &Bson| {
        long(value).map(|number| number as f64).or(value.as_f64()).ok_or_else(|| mismatch(value))
    };
    let new = match (long(&old), long(operand)) {
        (Some(a), Some(b)) => {
            let Some(sum) = whole(a, b) else {
                return Err(CommandError::new(2, "Failed to apply: integer overflow"));
            };
            let both_are_short = matches!((&old, operand), (Bson::Int32(_), Bson::Int32(_)));
            let is_default = get(document, path).is_none() && matches!(operand, Bson::Int64(_));
            match i32::try_from(sum) {
                Ok(short) if both_are_short && !is_default => Bson::Int32(short),
                _ => Bson::Int64(sum),
            }
        }
        _ => Bson::Double(real(double(&old)?, double(operand)?)),
    };
    set(document, path, new)
}

fn push(
    document: &mut Document,
    path: &str,
    operand: &Bson,
    is_set: bool,
) -> Result<(), CommandError> {
    let each = operand.as_document().and_then(|modifiers| modifiers.get_array("$each").ok());
    let values = each.cloned().unwrap_or_else(|| vec![operand.clone()]);
    let mut array = match get(document, path) {
        None => Vec::new(),
        Some(Bson::Array(array)) => array.clone(),
        Some(_) => {
            let message = format!("The field '{path}' must be an array but is of another type");
            return Err(CommandError::new(2, message));
        }
    };
    let mut keys = match is_set {
        true => array.iter().map(encoded).collect::<Result<Vec<_>, _>>()?,
        false => Vec::new(),
    };
    for value in values {
        if is_set {
            let key = encoded(&value)?;
            if keys.contains(&key) {
                continue;
            }
            keys.push(key);
        }
        array.push(value);
    }
    let slice = operand.as_document().and_then(|modifiers| modifiers.get("$slice"));
    if let Some(most) = slice.and_then(|most| most.as_i64().or(most.as_i32().map(i64::from))) {
        let keep = usize::try_from(most.unsigned_abs()).unwrap_or(usize::MAX).min(array.len());
        match most < 0 {
            true => array = array.split_off(array.len() - keep),
            false => array.truncate(keep),
        }
    }
    set(document, path, array.into())
}

fn pull(document: &mut Document, path: &str, operand: &Bson) -> Result<(), CommandError> {
    let array = match get(document, path) {
        None => return Ok(()),
        Some(Bson::Array(array)) => array.clone(),
        Some(_) => return Err(CommandError::new(2, "Cannot apply $pull to a non-array value")),
    };
    let condition = write(&match operand {
        Bson::Document(inner) if !inner.keys().any(|name| name.starts_with('$')) => inner.clone(),
        other => doc! { "v": other },
    })?;
    let is_for_documents =
        matches!(operand, Bson::Document(_)) && super::path::field(&condition, "v").is_none();
    let filter = Filter::read(&condition)?;
    let mut kept = Vec::with_capacity(array.len());
    for value in array {
        let asked = match (&value, is_for_documents) {
            (Bson::Document(inner), true) => Some(write(inner)?),
            (_, true) => None,
            (value, false) => Some(wrapped(value)?),
        };
        if !asked.is_some_and(|asked| filter.matches(&asked)) {
            kept.push(value);
        }
    }
    set(document, path, kept.into())
}
