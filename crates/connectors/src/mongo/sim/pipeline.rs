//! The stages of aggregation pipelines.

use std::collections::HashMap;

use bson::{RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::collection::Stored;
use super::expression::{Expression, append};
use super::filter::{Filter, integer};
use super::order;
use super::projection::Projection;
use super::reply::CommandError;
use super::sort::Sort;

/// One stage.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Those that a filter selects.
    Match(Filter),
    /// In another order.
    Sort(Sort),
    /// The first ones only.
    Limit(usize),
    /// All but the first ones.
    Skip(usize),
    /// Some of their fields; `None` for all.
    Project(Option<Projection>),
    /// More fields.
    AddFields(Vec<(String, Expression)>),
    /// One for each value of an expression.
    Group(Expression, Vec<(String, Accumulator, Expression)>),
    /// How many there are, under this name.
    Count(String),
    /// So many of them by chance.
    Sample(usize),
}

/// What is made of the values of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulator {
    /// Their sum.
    Sum,
    /// Their mean.
    Average,
    /// The first.
    First,
    /// The last.
    Last,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// All of them.
    Push,
    /// All different ones.
    AddToSet,
}

const ACCUMULATORS: [(&str, Accumulator); 9] = [
    ("$sum", Accumulator::Sum),
    ("$count", Accumulator::Sum),
    ("$avg", Accumulator::Average),
    ("$first", Accumulator::First),
    ("$last", Accumulator::Last),
    ("$max", Accumulator::Max),
    ("$min", Accumulator::Min),
    ("$push", Accumulator::Push),
    ("$addToSet", Accumulator::AddToSet),
];

impl Stage {
    /// Reads a stage.
    ///
    /// # Errors
    ///
    /// Code 40324 for stages that are not known, and those of what is in them.
    pub fn read(stage: &RawDocument) -> Result<Self, CommandError> {
        let first = stage.iter().next().and_then(Result::ok);
        let Some((name, value)) = first else {
            let message = "A pipeline stage specification object must contain exactly one field.";
            return Err(CommandError::new(40_323, message));
        };
        let name = name.as_str();
        let document = || {
            let message = format!("the {name} specification must be an object");
            value.as_document().ok_or_else(|| CommandError::new(15_959, message))
        };
        let number = |value: RawBsonRef<'_>| {
            let number = integer(value).and_then(|number| usize::try_from(number).ok());
            let message = format!("invalid argument to {name} stage");
            number.ok_or_else(|| CommandError::new(15_957, message))
        };
        match name {
            "$match" => Ok(Self::Match(Filter::read(document()?)?)),
            "$sort" => Ok(Self::Sort(Sort::read(document()?))),
            "$limit" => Ok(Self::Limit(number(value)?)),
            "$skip" => Ok(Self::Skip(number(value)?)),
            "$project" => Ok(Self::Project(Projection::read(document()?)?)),
            "$addFields" | "$set" => {
                let fields = document()?.iter().map_while(Result::ok);
                let fields = fields
                    .map(|(name, value)| Ok((name.as_str().to_owned(), Expression::read(value)?)));
                Ok(Self::AddFields(fields.collect::<Result<_, CommandError>>()?))
            }
            "$group" => read_group(document()?),
            "$count" => Ok(Self::Count(value.as_str().unwrap_or("count").to_owned())),
            "$sample" => {
                let size = super::path::field(document()?, "size").unwrap_or(RawBsonRef::Null);
                Ok(Self::Sample(number(size)?))
            }
            _ => {
                let message = format!("Unrecognized pipeline stage name: '{name}'");
                Err(CommandError::new(40_324, message))
            }
        }
    }

    /// What comes out when these documents go in.
    ///
    /// # Errors
    ///
    /// Code 10334 for results that are too large.
    pub fn apply(&self, mut documents: Vec<Stored>) -> Result<Vec<Stored>, CommandError> {
        match self {
            Self::Match(filter) => documents.retain(|document| filter.matches(document)),
            Self::Sort(sort) => documents.sort_by_cached_key(|document| sort.key(document)),
            Self::Limit(most) => documents.truncate(*most),
            Self::Skip(count) => {
                documents.drain(..(*count).min(documents.len()));
            }
            Self::Project(None) => {}
            Self::Project(Some(projection)) => {
                documents = documents.iter().map(|it| projection.apply(it).into()).collect();
            }
            Self::AddFields(fields) => {
                documents = documents.iter().map(|it| with_fields(it, fields).into()).collect();
            }
            Self::Group(id, fields) => documents = group(&documents, id, fields),
            Self::Count(name) => {
                let count = documents.len();
                documents.clear();
                if count > 0 {
                    let mut result = RawDocumentBuf::new();
                    append(&mut result, name, RawBson::Int32(count as i32));
                    documents.push(result.into());
                }
            }
            Self::Sample(size) => {
                fastrand::Rng::with_seed(documents.len() as u64).shuffle(&mut documents);
                documents.truncate(*size);
            }
        }
        Ok(documents)
    }
}

fn read_group(document: &RawDocument) -> Result<Stage, CommandError> {
    let (mut id, mut fields) = (None, Vec::new());
    for (name, value) in document.iter().map_while(Result::ok) {
        if name.as_str() == "_id" {
            id = Some(Expression::read(value)?);
            continue;
        }
        let inner = value.as_document().and_then(|it| it.iter().next()).and_then(Result::ok);
        let known = inner.and_then(|(operator, operand)| {
            let (own, accumulator) =
                ACCUMULATORS.iter().find(|(own, _)| *own == operator.as_str())?;
            Some((*own, *accumulator, operand))
        });
        let Some((own, accumulator, operand)) = known else {
            let message = format!("unknown group operator in field '{}'", name.as_str());
            return Err(CommandError::new(15_952, message));
        };
        let expression = match own {
            "$count" => Expression::Literal(RawBson::Int32(1)),
            _ => Expression::read(operand)?,
        };
        fields.push((name.as_str().to_owned(), accumulator, expression));
    }
    let id =
        id.ok_or_else(|| CommandError::new(15_955, "a group specification must include an _id"))?;
    Ok(Stage::Group(id, fields))
}

fn with_fields(document: &RawDocument, fields: &[(String, Expression)]) -> RawDocumentBuf {
    let mut result = RawDocumentBuf::new();
    let is_new = |name: &str| fields.iter().any(|(own, _)| own == name);
    for (name, value) in document.iter().map_while(Result::ok) {
        if !is_new(name.as_str()) {
            result.append(name, value);
        }
    }
    for (name, expression) in fields {
        if let Some(value) = expression.value(document) {
            append(&mut result, name, value);
        }
    }
    result
}

/// The values of one accumulator in one group.
#[derive(Clone, Debug, Default)]
struct Values {
    values: Vec<RawBson>,
    keys: Vec<Vec<u8>>,
    whole: i64,
    real: f64,
    is_real: bool,
    is_long: bool,
    count: u64,
}

impl Values {
    fn add(&mut self, accumulator: Accumulator, value: Option<RawBson>) {
        let key = || order::key_of(value.as_ref().map(|value| value.as_raw_bson_ref()));
        match accumulator {
            Accumulator::Sum | Accumulator::Average => self.sum(value.as_ref()),
            Accumulator::First => {
                if self.values.is_empty() {
                    self.values.push(value.unwrap_or(RawBson::Null));
                }
            }
            Accumulator::Last => self.values = vec![value.unwrap_or(RawBson::Null)],
            Accumulator::Max | Accumulator::Min => {
                let Some(value) = value.as_ref().filter(|value| **value != RawBson::Null) else {
                    return;
                };
                let key = key();
                let is_better = self.keys.first().is_none_or(|best| {
                    if accumulator == Accumulator::Max { key > *best } else { key < *best }
                });
                if is_better {
                    self.values = vec![value.clone()];
                    self.keys = vec![key];
                }
            }
            Accumulator::Push => self.values.extend(value),
            Accumulator::AddToSet => {
                let key = key();
                if let (Some(value), Err(place)) = (value, self.keys.binary_search(&key)) {
                    self.keys.insert(place, key);
                    self.values.push(value);
                }
            }
        }
    }

    fn sum(&mut self, value: Option<&RawBson>) {
        match value {
            Some(RawBson::Int32(number)) => self.whole += i64::from(*number),
            Some(RawBson::Int64(number)) => {
                self.whole = self.whole.saturating_add(*number);
                self.is_long = true;
            }
            Some(RawBson::Double(number)) => {
                self.real += number;
                self.is_real = true;
            }
            _ => return,
        }
        self.count += 1;
    }

    fn result(self, accumulator: Accumulator) -> RawBson {
        let total = self.real + self.whole as f64;
        match accumulator {
            Accumulator::Sum if self.is_real => RawBson::Double(total),
            Accumulator::Sum => match i32::try_from(self.whole) {
                Ok(short) if !self.is_long => RawBson::Int32(short),
                _ => RawBson::Int64(self.whole),
            },
            Accumulator::Average if self.count == 0 => RawBson::Null,
            Accumulator::Average => RawBson::Double(total / self.count as f64),
            Accumulator::Push | Accumulator::AddToSet => {
                let mut array = RawArrayBuf::new();
                self.values.into_iter().for_each(|value| array.push(value));
                RawBson::Array(array)
            }
            _ => self.values.into_iter().next().unwrap_or(RawBson::Null),
        }
    }
}

fn group(
    documents: &[Stored],
    id: &Expression,
    fields: &[(String, Accumulator, Expression)],
) -> Vec<Stored> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut groups: Vec<(RawBson, Vec<Values>)> = Vec::new();
    for document in documents {
        let value = id.value(document).unwrap_or(RawBson::Null);
        let key = order::key(value.as_raw_bson_ref());
        let place = *places.entry(key).or_insert_with(|| {
            groups.push((value, vec![Values::default(); fields.len()]));
            groups.len() - 1
        });
        for (values, (_, accumulator, expression)) in groups[place].1.iter_mut().zip(fields) {
            values.add(*accumulator, expression.value(document));
        }
    }
    let results = groups.into_iter().map(|(id, all)| {
        let mut result = RawDocumentBuf::new();
        append(&mut result, "_id", id);
        for (values, (name, accumulator, _)) in all.into_iter().zip(fields) {
            append(&mut result, name, values.result(*accumulator));
        }
        result.into()
    });
    results.collect()
}
