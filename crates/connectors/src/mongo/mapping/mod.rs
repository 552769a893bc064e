//! What a migration file says: which documents become which.
//!
//! A file is parsed and checked once ([`Migration::parse`]), with all its expressions compiled.
//! Then [`Phase::place`] says where a source document belongs, and [`Phase::target`] what becomes
//! of it. Nothing here reads a clock, a file or the network: the same document with the same
//! [`Given`] becomes the same target document on every machine, so a step may be repeated.

mod compare;
mod error;
mod evaluate;
mod expression;
mod file;
mod functions;
mod identity;
mod json;
mod names;
mod order;
mod phase;
mod table;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bson::{Bson, Document};

pub use compare::{differing, digest};
pub use error::MappingError;
pub use identity::{id_text, id_value};
pub use names::numbered;
pub use order::Order;

use crate::mongo::hashing::Algorithm;
use evaluate::Rules;

/// A checked migration file, its expressions compiled.
#[derive(Debug)]
pub struct Migration {
    /// Its name, a part of every derived `_id`: the same name never writes a document twice.
    pub name: String,
    /// The top-level field in which each written document says which run wrote it.
    pub stamp: String,
    /// What is done, in this order. A phase refers to earlier ones only.
    pub phases: Vec<Phase>,
    /// Indexes made before the run and removed after it, unless there are such already.
    pub indexes: Vec<IndexSpec>,
    /// The write concern of every write: `{w: "majority", j: true}` unless the file says
    /// otherwise.
    pub write_concern: Document,
    /// The greatest share of a phase's documents, 0 to 1, that may be left out.
    pub max_left: Option<f64>,
    /// The variables with their values, as resolved when the file was parsed.
    pub variables: BTreeMap<String, String>,
    /// The file as it was written.
    pub text: String,
}

/// A temporary index.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexSpec {
    /// The collection it is made on.
    pub collection: String,
    /// Its fields with their directions (1 or -1) or kinds (`"hashed"`, `"text"`), in order.
    pub keys: Document,
    /// Whether two documents with the same values are refused.
    pub unique: bool,
}

/// One part of a migration: documents of one collection become documents of another.
#[derive(Debug)]
pub struct Phase {
    /// Its name, unique in the file.
    pub name: String,
    /// The collection that is read.
    pub from: String,
    /// The collection that is written.
    pub to: String,
    /// A query that the server applies to what is read.
    pub filter: Option<Document>,
    /// What becomes of a target document that is there already and not this migration's.
    pub existing: Existing,
    /// What must not occur twice in the target.
    pub unique: Vec<Unique>,
    /// The target documents of earlier phases that the expressions use.
    pub references: Vec<Reference>,
    /// The password that each target document gets.
    pub password: Option<Password>,
    rules: Rules,
}

/// What becomes of a target document that is there already and not this migration's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays as it is.
    Keep,
    /// It is replaced as a whole.
    Replace,
    /// The mapped fields are set, its others stay.
    Merge,
}

/// Fields whose values together must not occur twice in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// The paths of the fields, nested ones with dots.
    pub fields: Vec<String>,
    /// What is done when they do.
    pub collision: Collision,
}

/// What is done with documents that have the same unique values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Collision {
    /// The plan refuses.
    Fail,
    /// All but the first get a number, see [`numbered`].
    Number {
        /// The greatest length of the numbered value, in characters.
        length: usize,
    },
    /// The one with the greatest [`Phase::keep_order`] is kept (the earlier `_id` of two equal
    /// ones), the others are left out.
    Keep {
        /// Why the others are left out.
        otherwise: String,
    },
    /// The one with the least `_id` is kept, the others are left out.
    Skip {
        /// Why the others are left out.
        otherwise: String,
    },
}

/// The target document of an earlier phase, as a variable of this phase's expressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The name of the variable.
    pub name: String,
    /// The index of the earlier phase in [`Migration::phases`].
    pub phase: usize,
    /// The top-level fields that the expressions use, besides `_id`.
    pub fields: Vec<String>,
}

/// The password that each target document of a phase gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// The path of the field that gets it.
    pub field: String,
    /// Whether [`Phase::plain_password`] has an existing one; otherwise a new one is made up.
    pub existing: bool,
    /// What is written.
    pub mode: PasswordMode,
}

/// What is written for a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMode {
    /// Its hash.
    Hash(Algorithm),
    /// The hash of a one-time token with which a person sets a password; there is none before.
    ResetToken,
}

/// Where a source document belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The group's value as text; for a phase without groups the [`id_text`] of `_id`.
    pub key: String,
    /// Which document of a group is `doc`: the one with the least order, those without one last
    /// (see [`Order::missing_last`]), ties by the order of `_id`. [`None`] where the field is
    /// missing or null, or the phase says nothing.
    pub order: Option<Order>,
    /// The key of each of [`Phase::references`], in their order.
    pub references: Vec<String>,
}

/// What a target document is made of besides its source document.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// Its `_id`, from [`Phase::id`].
    pub id: Bson,
    /// The key of its place.
    pub key: &'a str,
    /// How many source documents have that key.
    pub count: u64,
    /// Values that replace what the expressions say, by the path of the field. Later fields see
    /// them.
    pub set: &'a BTreeMap<String, String>,
    /// `_id` and fields of each of [`Phase::references`], in their order.
    pub references: &'a [Document],
    /// The time of the plan.
    pub now: bson::DateTime,
}

/// The values of a document under one [`Unique`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueValue {
    /// 128 bits of SHA-256 over the values. Numbers that the server takes for equal have equal
    /// hashes, whatever their type.
    pub hash: u128,
    /// For people; for a single string the string itself.
    pub text: String,
}
