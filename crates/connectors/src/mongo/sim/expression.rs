//! Aggregation expressions, as far as the simulated server knows them.

use bson::{Bson, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::filter::Side;
use super::order::key_of;
use super::path;
use super::reply::CommandError;

/// What is computed from a document.
#[derive(Clone, Debug)]
pub enum Expression {
    /// The value at a path: `"$a.b"`.
    Path(String),
    /// The whole document: `"$$ROOT"`.
    Root,
    /// Always this.
    Literal(RawBson),
    /// A document of expressions.
    Document(Vec<(String, Expression)>),
    /// An array of expressions.
    Array(Vec<Expression>),
    /// `$eq`, and with `false` `$ne`.
    Equal(bool, Box<[Expression; 2]>),
    /// `$gt`, `$gte`, `$lt` and `$lte`; unlike in filters, values of all types compare.
    Compare(Side, Box<[Expression; 2]>),
    /// `$and`, and with `false` `$or`.
    Logical(bool, Vec<Expression>),
    /// `$not`.
    Not(Box<Expression>),
    /// The first that is neither null nor missing.
    IfNull(Vec<Expression>),
    /// A text in lower case.
    ToLower(Box<Expression>),
    /// The length of an array.
    Size(Box<Expression>),
    /// The size of a document in bytes.
    BsonSize(Box<Expression>),
    /// The name of the value's type.
    Type(Box<Expression>),
}

/// Whether a value counts as true: everything but null, false, zero and nothing.
pub fn is_true(value: Option<&RawBson>) -> bool {
    match value {
        None | Some(RawBson::Null | RawBson::Undefined) => false,
        Some(RawBson::Boolean(value)) => *value,
        Some(RawBson::Int32(value)) => *value != 0,
        Some(RawBson::Int64(value)) => *value != 0,
        Some(RawBson::Double(value)) => *value != 0.0,
        Some(_) => true,
    }
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// Code 168 for operators that are not known here, 16020 for too few or many operands.
    pub fn read(value: RawBsonRef<'_>) -> Result<Self, CommandError> {
        match value {
            RawBsonRef::String("$$ROOT" | "$$CURRENT") => Ok(Self::Root),
            RawBsonRef::String(text) => match text.strip_prefix("$$ROOT.") {
                Some(path) => Ok(Self::Path(path.to_owned())),
                None => Ok(match text.strip_prefix('$') {
                    Some(path) => Self::Path(path.to_owned()),
                    None => Self::Literal(value.into()),
                }),
            },
            RawBsonRef::Array(array) => {
                let elements = array.into_iter().map_while(Result::ok).map(Self::read);
                Ok(Self::Array(elements.collect::<Result<_, _>>()?))
            }
            RawBsonRef::Document(document) => Self::read_document(document),
            value => Ok(Self::Literal(value.into())),
        }
    }

    fn read_document(document: &RawDocument) -> Result<Self, CommandError> {
        let mut fields = Vec::new();
        for (name, value) in document.iter().map_while(Result::ok) {
            if name.as_str().starts_with('$') {
                return Self::read_operator(name.as_str(), value);
            }
            fields.push((name.as_str().to_owned(), Self::read(value)?));
        }
        Ok(Self::Document(fields))
    }

    fn read_operator(name: &str, value: RawBsonRef<'_>) -> Result<Self, CommandError> {
        let one = || Ok::<_, CommandError>(Box::new(Self::read_single(value)?));
        match name {
            "$literal" => Ok(Self::Literal(value.into())),
            "$eq" => Ok(Self::Equal(true, read_pair(name, value)?)),
            "$ne" => Ok(Self::Equal(false, read_pair(name, value)?)),
            "$gt" => Ok(Self::Compare(Side::Above, read_pair(name, value)?)),
            "$gte" => Ok(Self::Compare(Side::From, read_pair(name, value)?)),
            "$lt" => Ok(Self::Compare(Side::Below, read_pair(name, value)?)),
            "$lte" => Ok(Self::Compare(Side::To, read_pair(name, value)?)),
            "$and" => Ok(Self::Logical(true, read_operands(value)?)),
            "$or" => Ok(Self::Logical(false, read_operands(value)?)),
            "$ifNull" => Ok(Self::IfNull(read_operands(value)?)),
            "$not" => Ok(Self::Not(one()?)),
            "$toLower" => Ok(Self::ToLower(one()?)),
            "$size" => Ok(Self::Size(one()?)),
            "$bsonSize" => Ok(Self::BsonSize(one()?)),
            "$type" => Ok(Self::Type(one()?)),
            _ => Err(CommandError::new(168, format!("Unrecognized expression '{name}'"))),
        }
    }

    /// An operand that may stand in an array of its own.
    fn read_single(value: RawBsonRef<'_>) -> Result<Self, CommandError> {
        match read_operands(value)?.into_iter().next() {
            Some(first) => Ok(first),
            None => Err(CommandError::new(16_020, "Expression takes exactly 1 arguments")),
        }
    }

    /// What it is for a document; nothing where a path ends in nothing.
    pub fn value(&self, document: &RawDocument) -> Option<RawBson> {
        match self {
            Self::Path(path) => path::first(document, path).map(Into::into),
            Self::Root => Some(RawBson::Document(document.to_owned())),
            Self::Literal(value) => Some(value.clone()),
            Self::Document(fields) => {
                let mut result = RawDocumentBuf::new();
                for (name, expression) in fields {
                    if let Some(value) = expression.value(document) {
                        append(&mut result, name, value);
                    }
                }
                Some(RawBson::Document(result))
            }
            Self::Array(elements) => {
                let mut result = RawArrayBuf::new();
                for element in elements {
                    result.push(element.value(document).unwrap_or(RawBson::Null));
                }
                Some(RawBson::Array(result))
            }
            Self::IfNull(all) => {
                let mut values = all.iter().filter_map(|expression| expression.value(document));
                values.find(|value| *value != RawBson::Null)
            }
            Self::ToLower(inner) => {
                let value = inner.value(document);
                let text = value.as_ref().and_then(RawBson::as_str).unwrap_or_default();
                Some(RawBson::String(text.to_lowercase()))
            }
            Self::Size(inner) => {
                let value = inner.value(document)?;
                Some(RawBson::Int32(value.as_array()?.into_iter().count() as i32))
            }
            Self::BsonSize(inner) => {
                let value = inner.value(document)?;
                Some(RawBson::Int32(value.as_document()?.as_bytes().len() as i32))
            }
            Self::Type(inner) => Some(RawBson::String(type_name(inner.value(document)))),
            _ => Some(RawBson::Boolean(self.is_true_for(document))),
        }
    }

    fn is_true_for(&self, document: &RawDocument) -> bool {
        let key = |expression: &Self| {
            let value = expression.value(document);
            key_of(value.as_ref().map(|value| value.as_raw_bson_ref()))
        };
        match self {
            Self::Equal(wanted, pair) => (key(&pair[0]) == key(&pair[1])) == *wanted,
            Self::Compare(side, pair) => {
                let order = key(&pair[0]).cmp(&key(&pair[1]));
                match side {
                    Side::Above => order.is_gt(),
                    Side::From => order.is_ge(),
                    Side::Below => order.is_lt(),
                    Side::To => order.is_le(),
                }
            }
            Self::Logical(true, all) => {
                all.iter().all(|expression| is_true(expression.value(document).as_ref()))
            }
            Self::Logical(false, any) => {
                any.iter().any(|expression| is_true(expression.value(document).as_ref()))
            }
            Self::Not(inner) => !is_true(inner.value(document).as_ref()),
            _ => is_true(self.value(document).as_ref()),
        }
    }
}

/// Appends a field; a name with a zero in it, which BSON cannot hold, is left out.
pub fn append(document: &mut RawDocumentBuf, name: &str, value: impl Into<RawBson>) {
    if let Ok(name) = <&bson::raw::CStr>::try_from(name) {
        document.append(name, value.into());
    }
}

fn type_name(value: Option<RawBson>) -> String {
    let name = match value {
        None => "missing",
        Some(RawBson::Double(_)) => "double",
        Some(RawBson::String(_)) => "string",
        Some(RawBson::Document(_)) => "object",
        Some(RawBson::Array(_)) => "array",
        Some(RawBson::Binary(_)) => "binData",
        Some(RawBson::ObjectId(_)) => "objectId",
        Some(RawBson::Boolean(_)) => "bool",
        Some(RawBson::DateTime(_)) => "date",
        Some(RawBson::Null) => "null",
        Some(RawBson::RegularExpression(_)) => "regex",
        Some(RawBson::Int32(_)) => "int",
        Some(RawBson::Timestamp(_)) => "timestamp",
        Some(RawBson::Int64(_)) => "long",
        Some(RawBson::Decimal128(_)) => "decimal",
        Some(RawBson::MinKey) => "minKey",
        Some(RawBson::MaxKey) => "maxKey",
        Some(_) => "undefined",
    };
    name.to_owned()
}

fn read_operands(value: RawBsonRef<'_>) -> Result<Vec<Expression>, CommandError> {
    match value {
        RawBsonRef::Array(array) => {
            array.into_iter().map_while(Result::ok).map(Expression::read).collect()
        }
        value => Ok(vec![Expression::read(value)?]),
    }
}

fn read_pair(name: &str, value: RawBsonRef<'_>) -> Result<Box<[Expression; 2]>, CommandError> {
    let pair: Result<[Expression; 2], _> = read_operands(value)?.try_into();
    pair.map(Box::new).map_err(|all| {
        let message =
            format!("Expression {name} takes exactly 2 arguments. {} were passed in.", all.len());
        CommandError::new(16_020, message)
    })
}

/// A value that owns its bytes, as the document model of the library has it.
pub fn to_bson(value: RawBsonRef<'_>) -> Bson {
    Bson::try_from(value).unwrap_or(Bson::Null)
}
