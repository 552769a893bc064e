//! Query filters: read once, then asked about many documents.
//!
//! Owns the query operators and what of a filter bounds a field, for the use of indexes.

use std::ops::Bound;

use bson::spec::ElementType;
use bson::{RawBson, RawBsonRef, RawDocument};
use regex::{Regex, RegexBuilder};

use super::expression::{Expression, is_true};
use super::order::{self, key};
use super::path;
use super::reply::CommandError;

/// What documents are asked.
#[derive(Clone, Debug)]
pub enum Filter {
    /// All of these hold; with none of them, every document will do.
    All(Vec<Filter>),
    /// One of these holds.
    Any(Vec<Filter>),
    /// This does not hold.
    Not(Box<Filter>),
    /// The values at a path pass a test.
    Field(String, Test),
    /// An aggregation expression is true.
    Expression(Box<Expression>),
}

/// What values are asked.
#[derive(Clone, Debug)]
pub enum Test {
    /// Equal to this encoded value.
    Equal(Vec<u8>),
    /// On one side of this encoded value.
    Compare(Side, Vec<u8>),
    /// One of these encoded values, which are in order, or a match of one of these patterns.
    In(Vec<Vec<u8>>, Vec<Regex>),
    /// There is a value, or none.
    Exists(bool),
    /// Of one of these types.
    Type(Vec<u8>),
    /// A string that matches.
    Matches(Regex),
    /// An array of this length.
    Size(usize),
    /// An array with an element that is a document like this.
    Element(Box<Filter>),
    /// An array with an element that passes all of these tests.
    ElementPasses(Vec<Test>),
}

/// Where a value may be, seen from the one in the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// After it.
    Above,
    /// At it or after it.
    From,
    /// Before it.
    Below,
    /// At it or before it.
    To,
}

/// What a filter says of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The only encoded values that are possible, in order.
    pub points: Option<Vec<Vec<u8>>>,
    /// The bound below.
    pub low: Bound<Vec<u8>>,
    /// The bound above.
    pub high: Bound<Vec<u8>>,
    /// How many conditions of the filter's top level are in here.
    pub conditions: usize,
}

/// What the number stands for in `$type: "number"`.
const NUMBER_TYPES: [ElementType; 4] =
    [ElementType::Double, ElementType::Int32, ElementType::Int64, ElementType::Decimal128];

fn bad(message: impl Into<String>) -> CommandError {
    CommandError::new(2, message)
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// Code 2 for operators that do not exist and values that they do not take.
    pub fn read(document: &RawDocument) -> Result<Self, CommandError> {
        let mut all = Vec::new();
        for (name, value) in document.iter().map_while(Result::ok) {
            let name = name.as_str();
            match name {
                "$and" => all.extend(read_list(name, value)?),
                "$or" => all.push(Self::Any(read_list(name, value)?)),
                "$nor" => all.push(Self::Not(Box::new(Self::Any(read_list(name, value)?)))),
                "$expr" => all.push(Self::Expression(Box::new(Expression::read(value)?))),
                "$comment" => {}
                _ if name.starts_with('$') => {
                    return Err(bad(format!("unknown top level operator: {name}")));
                }
                _ => read_field(&mut all, name, value)?,
            }
        }
        Ok(Self::All(all))
    }

    /// Whether the document fulfils the filter.
    pub fn matches(&self, document: &RawDocument) -> bool {
        match self {
            Self::All(all) => all.iter().all(|filter| filter.matches(document)),
            Self::Any(any) => any.iter().any(|filter| filter.matches(document)),
            Self::Not(filter) => !filter.matches(document),
            Self::Field(path, test) => test.holds_at(document, path),
            Self::Expression(expression) => is_true(expression.value(document).as_ref()),
        }
    }

    /// What the top level says of a field. With `is_multikey` the values may be elements of
    /// arrays, so that two conditions need not hold for the same one: only the first one counts.
    pub fn limits(&self, field: &str, is_multikey: bool) -> Limits {
        let mut limits =
            Limits { points: None, low: Bound::Unbounded, high: Bound::Unbounded, conditions: 0 };
        let Self::All(all) = self else { return limits };
        for filter in all {
            let Self::Field(path, test) = filter else { continue };
            if path == field && !(is_multikey && limits.conditions > 0) {
                limits.narrow(test);
            }
        }
        limits
    }

    /// How many conditions the top level has.
    pub fn len(&self) -> usize {
        match self {
            Self::All(all) => all.len(),
            _ => 1,
        }
    }
}

impl Limits {
    fn narrow(&mut self, test: &Test) {
        match test {
            Test::Equal(key) if self.points.is_none() => self.points = Some(vec![key.clone()]),
            Test::In(keys, patterns) if patterns.is_empty() && self.points.is_none() => {
                self.points = Some(keys.clone());
            }
            Test::Compare(side, key) => {
                let is_end = matches!(key[0], order::MIN_KEY | order::MAX_KEY);
                let (first, after) = match is_end {
                    true => (Bound::Unbounded, Bound::Unbounded),
                    false => (Bound::Included(vec![key[0]]), Bound::Excluded(vec![key[0] + 1])),
                };
                let (low, high) = match side {
                    Side::Above => (Bound::Excluded(key.clone()), after),
                    Side::From => (Bound::Included(key.clone()), after),
                    Side::Below => (first, Bound::Excluded(key.clone())),
                    Side::To => (first, Bound::Included(key.clone())),
                };
                if is_tighter(&low, &self.low, false) {
                    self.low = low;
                }
                if is_tighter(&high, &self.high, true) {
                    self.high = high;
                }
            }
            _ => return,
        }
        self.conditions += 1;
    }
}

/// Whether the new bound leaves less than the old one.
fn is_tighter(new: &Bound<Vec<u8>>, old: &Bound<Vec<u8>>, is_above: bool) -> bool {
    let rank = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Included(key) => Some((key.clone(), false)),
        Bound::Excluded(key) => Some((key.clone(), true)),
        Bound::Unbounded => None,
    };
    match (rank(new), rank(old)) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some((new, shut)), Some((old, was_shut))) if new == old => shut && !was_shut,
        (Some((new, _)), Some((old, _))) => (new < old) == is_above,
    }
}

fn read_list(name: &str, value: RawBsonRef<'_>) -> Result<Vec<Filter>, CommandError> {
    let RawBsonRef::Array(array) = value else {
        return Err(bad(format!("{name} must be an array")));
    };
    if array.is_empty() {
        return Err(bad(format!("{name} argument must be a non-empty array")));
    }
    let documents = array.into_iter().map_while(Result::ok).map(|element| match element {
        RawBsonRef::Document(document) => Filter::read(document),
        _ => Err(bad(format!("{name} argument's entries must be objects"))),
    });
    documents.collect()
}

fn read_field(
    all: &mut Vec<Filter>,
    name: &str,
    value: RawBsonRef<'_>,
) -> Result<(), CommandError> {
    match value {
        RawBsonRef::Document(operators) if is_operators(operators) => {
            for (operator, operand) in operators.iter().map_while(Result::ok) {
                let operator = operator.as_str();
                all.extend(read_operator(name, operators, operator, operand)?);
            }
        }
        RawBsonRef::RegularExpression(regex) => {
            let regex = pattern(regex.pattern.as_str(), regex.options.as_str())?;
            all.push(Filter::Field(name.to_owned(), Test::Matches(regex)));
        }
        value => all.push(Filter::Field(name.to_owned(), Test::Equal(key(value)))),
    }
    Ok(())
}

/// Whether the first name of the document is that of an operator.
pub fn is_operators(document: &RawDocument) -> bool {
    let first = document.iter().next().and_then(Result::ok);
    first.is_some_and(|(name, _)| name.as_str().starts_with('$') && name.as_str() != "$ref")
}

fn read_operator(
    name: &str,
    operators: &RawDocument,
    operator: &str,
    operand: RawBsonRef<'_>,
) -> Result<Option<Filter>, CommandError> {
    let negated = |test| Filter::Not(Box::new(Filter::Field(name.to_owned(), test)));
    let test = match operator {
        "$ne" => return Ok(Some(negated(Test::Equal(key(operand))))),
        "$nin" => return Ok(Some(negated(read_in(operator, operand)?))),
        "$not" => {
            let mut inner = Vec::new();
            read_field(&mut inner, name, operand)?;
            return Ok(Some(Filter::Not(Box::new(Filter::All(inner)))));
        }
        "$options" => return Ok(None),
        "$regex" => {
            let options = operators.get_str("$options").unwrap_or_default();
            match operand {
                RawBsonRef::String(text) => Test::Matches(pattern(text, options)?),
                RawBsonRef::RegularExpression(regex) => {
                    let own = regex.options.as_str();
                    let options = if options.is_empty() { own } else { options };
                    Test::Matches(pattern(regex.pattern.as_str(), options)?)
                }
                _ => return Err(bad("$regex has to be a string")),
            }
        }
        "$elemMatch" => read_element(operand)?,
        _ => read_test(operator, operand)?,
    };
    Ok(Some(Filter::Field(name.to_owned(), test)))
}

fn read_test(operator: &str, operand: RawBsonRef<'_>) -> Result<Test, CommandError> {
    let compare = |side| Ok(Test::Compare(side, key(operand)));
    match operator {
        "$eq" => Ok(Test::Equal(key(operand))),
        "$gt" => compare(Side::Above),
        "$gte" => compare(Side::From),
        "$lt" => compare(Side::Below),
        "$lte" => compare(Side::To),
        "$in" => read_in(operator, operand),
        "$exists" => Ok(Test::Exists(is_true(Some(&operand.into())))),
        "$type" => read_types(operand),
        "$size" => {
            let size = integer(operand).and_then(|size| usize::try_from(size).ok());
            size.map(Test::Size).ok_or_else(|| bad("$size needs a number that is not negative"))
        }
        _ => Err(bad(format!("unknown operator: {operator}"))),
    }
}

fn read_element(operand: RawBsonRef<'_>) -> Result<Test, CommandError> {
    let RawBsonRef::Document(document) = operand else {
        return Err(bad("$elemMatch needs an Object"));
    };
    if !is_operators(document) {
        return Ok(Test::Element(Box::new(Filter::read(document)?)));
    }
    let tests = document.iter().map_while(Result::ok);
    let tests = tests.map(|(operator, operand)| read_test(operator.as_str(), operand));
    Ok(Test::ElementPasses(tests.collect::<Result<_, _>>()?))
}

fn read_in(operator: &str, operand: RawBsonRef<'_>) -> Result<Test, CommandError> {
    let RawBsonRef::Array(array) = operand else {
        return Err(bad(format!("{operator} needs an array")));
    };
    let (mut keys, mut patterns) = (Vec::new(), Vec::new());
    for element in array.into_iter().map_while(Result::ok) {
        match element {
            RawBsonRef::RegularExpression(regex) => {
                patterns.push(pattern(regex.pattern.as_str(), regex.options.as_str())?);
            }
            value => keys.push(key(value)),
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Ok(Test::In(keys, patterns))
}

/// An integer of any numeric type.
pub fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        RawBsonRef::Double(number) if number.fract() == 0.0 => Some(number as i64),
        _ => None,
    }
}

fn read_types(operand: RawBsonRef<'_>) -> Result<Test, CommandError> {
    let mut types = Vec::new();
    match operand {
        RawBsonRef::Array(array) => {
            for element in array.into_iter().map_while(Result::ok) {
                types.extend(type_numbers(element)?);
            }
        }
        value => types = type_numbers(value)?,
    }
    Ok(Test::Type(types))
}

fn type_numbers(value: RawBsonRef<'_>) -> Result<Vec<u8>, CommandError> {
    if let Some(number) = integer(value) {
        return Ok(vec![number as u8]);
    }
    let name = value.as_str().ok_or_else(|| bad("type must be represented as a string"))?;
    let number = match name {
        "number" => return Ok(NUMBER_TYPES.iter().map(|&kind| kind as u8).collect()),
        "double" => ElementType::Double,
        "string" => ElementType::String,
        "object" => ElementType::EmbeddedDocument,
        "array" => ElementType::Array,
        "binData" => ElementType::Binary,
        "undefined" => ElementType::Undefined,
        "objectId" => ElementType::ObjectId,
        "bool" => ElementType::Boolean,
        "date" => ElementType::DateTime,
        "null" => ElementType::Null,
        "regex" => ElementType::RegularExpression,
        "int" => ElementType::Int32,
        "timestamp" => ElementType::Timestamp,
        "long" => ElementType::Int64,
        "decimal" => ElementType::Decimal128,
        "minKey" => ElementType::MinKey,
        "maxKey" => ElementType::MaxKey,
        _ => return Err(bad(format!("Unknown type name alias: {name}"))),
    };
    Ok(vec![number as u8])
}

fn pattern(pattern: &str, options: &str) -> Result<Regex, CommandError> {
    RegexBuilder::new(pattern)
        .case_insensitive(options.contains('i'))
        .multi_line(options.contains('m'))
        .dot_matches_new_line(options.contains('s'))
        .ignore_whitespace(options.contains('x'))
        .build()
        .map_err(|error| CommandError::new(51_091, format!("Regular expression: {error}")))
}

impl Test {
    fn holds_at(&self, document: &RawDocument, path: &str) -> bool {
        match self {
            Self::Exists(wanted) => {
                path::any(document, path, &mut |value| value.is_some()) == *wanted
            }
            Self::Size(_) | Self::Element(_) | Self::ElementPasses(_) => {
                path::any(document, path, &mut |value| self.holds_for_array(value))
            }
            _ => {
                let mut encoded = Vec::new();
                path::any_element(document, path, &mut |value| self.holds(value, &mut encoded))
            }
        }
    }

    fn holds_for_array(&self, value: Option<RawBsonRef<'_>>) -> bool {
        let Some(RawBsonRef::Array(array)) = value else { return false };
        let mut elements = array.into_iter().map_while(Result::ok);
        match self {
            Self::Size(size) => elements.count() == *size,
            Self::Element(filter) => {
                elements.any(|element| element.as_document().is_some_and(|it| filter.matches(it)))
            }
            Self::ElementPasses(tests) => {
                let mut encoded = Vec::new();
                elements
                    .any(|element| tests.iter().all(|test| test.holds(Some(element), &mut encoded)))
            }
            _ => false,
        }
    }

    /// Whether one value passes. `encoded` is room to write in.
    fn holds(&self, value: Option<RawBsonRef<'_>>, encoded: &mut Vec<u8>) -> bool {
        if let Self::Type(types) = self {
            return value.is_some_and(|value| types.contains(&(value.element_type() as u8)));
        }
        if let (Self::Matches(regex), Some(text)) = (self, value.and_then(RawBsonRef::as_str)) {
            return regex.is_match(text);
        }
        encoded.clear();
        order::encode(encoded, value.unwrap_or(RawBsonRef::Null));
        match self {
            Self::Equal(key) => key == encoded,
            Self::In(keys, patterns) => {
                keys.binary_search(encoded).is_ok()
                    || value
                        .and_then(RawBsonRef::as_str)
                        .is_some_and(|text| patterns.iter().any(|pattern| pattern.is_match(text)))
            }
            Self::Compare(side, key) => {
                let across = matches!(key[0], order::MIN_KEY | order::MAX_KEY);
                let comparable = key[0] == encoded[0] || (across && value.is_some());
                let order = (*encoded).cmp(key);
                comparable
                    && match side {
                        Side::Above => order.is_gt(),
                        Side::From => order.is_ge(),
                        Side::Below => order.is_lt(),
                        Side::To => order.is_le(),
                    }
            }
            _ => false,
        }
    }
}

/// The values that a document must have to fulfil the filter: the beginning of an upsert.
pub fn equalities(document: &RawDocument, found: &mut Vec<(String, RawBson)>) {
    for (name, value) in document.iter().map_while(Result::ok) {
        match (name.as_str(), value) {
            ("$and", RawBsonRef::Array(array)) => {
                let inner = array.into_iter().map_while(Result::ok);
                inner.filter_map(RawBsonRef::as_document).for_each(|it| equalities(it, found));
            }
            (name, _) if name.starts_with('$') => {}
            (_, RawBsonRef::RegularExpression(_)) => {}
            (name, RawBsonRef::Document(operators)) if is_operators(operators) => {
                if let Some(value) = path::field(operators, "$eq") {
                    found.push((name.to_owned(), value.into()));
                }
            }
            (name, value) => found.push((name.to_owned(), value.into())),
        }
    }
}
