//! Which fields of a document are shown.

use std::collections::BTreeMap;

use bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use super::expression::{Expression, append, is_true};
use super::reply::CommandError;

/// A projection that was read.
#[derive(Clone, Debug)]
pub struct Projection {
    is_inclusion: bool,
    has_id: bool,
    tree: Tree,
    computed: Vec<(String, Expression)>,
}

/// Names of fields, with what is named inside them, if anything.
#[derive(Clone, Debug, Default)]
struct Tree(BTreeMap<String, Tree>);

impl Tree {
    fn add(&mut self, path: &str) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let inner = self.0.entry(first.to_owned()).or_default();
        if let Some(rest) = rest {
            inner.add(rest);
        }
    }
}

impl Projection {
    /// Reads a projection; `None` when it shows everything.
    ///
    /// # Errors
    ///
    /// Code 31254 when it both includes and excludes, and errors of expressions.
    pub fn read(document: &RawDocument) -> Result<Option<Self>, CommandError> {
        let (mut included, mut excluded, mut has_id) = (Tree::default(), Tree::default(), None);
        let mut computed = Vec::new();
        for (name, value) in document.iter().map_while(Result::ok) {
            let name = name.as_str();
            match value {
                RawBsonRef::Boolean(_)
                | RawBsonRef::Int32(_)
                | RawBsonRef::Int64(_)
                | RawBsonRef::Double(_) => {
                    let shows = is_true(Some(&value.into()));
                    match (name, shows) {
                        ("_id", shows) => has_id = Some(shows),
                        (name, true) => included.add(name),
                        (name, false) => excluded.add(name),
                    }
                }
                value => computed.push((name.to_owned(), Expression::read(value)?)),
            }
        }
        let includes = !included.0.is_empty() || !computed.is_empty();
        if includes && !excluded.0.is_empty() {
            let message = "Cannot do exclusion in inclusion projection";
            return Err(CommandError::new(31_254, message));
        }
        let names_id = has_id == Some(true) && excluded.0.is_empty();
        let is_inclusion = includes || names_id;
        let tree = if is_inclusion { included } else { excluded };
        if !is_inclusion && tree.0.is_empty() && has_id.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { is_inclusion, has_id: has_id.unwrap_or(true), tree, computed }))
    }

    /// What is shown of a document.
    pub fn apply(&self, document: &RawDocument) -> RawDocumentBuf {
        let mut shown = RawDocumentBuf::new();
        let computes = |name: &str| self.computed.iter().any(|(own, _)| own == name);
        for (name, value) in document.iter().map_while(Result::ok) {
            let name = name.as_str();
            if computes(name) {
                continue;
            }
            if name == "_id" {
                if self.has_id {
                    append(&mut shown, name, value);
                }
                continue;
            }
            show(&self.tree, self.is_inclusion, name, value, &mut shown);
        }
        for (name, expression) in &self.computed {
            if let Some(value) = expression.value(document) {
                append(&mut shown, name, value);
            }
        }
        shown
    }
}

/// Appends what is shown of one field.
fn show(
    tree: &Tree,
    is_inclusion: bool,
    name: &str,
    value: RawBsonRef<'_>,
    shown: &mut RawDocumentBuf,
) {
    match (tree.0.get(name), value) {
        (None, _) if is_inclusion => {}
        (None, value) => append(shown, name, value),
        (Some(inner), value) if inner.0.is_empty() => {
            if is_inclusion {
                append(shown, name, value);
            }
        }
        (Some(inner), RawBsonRef::Document(document)) => {
            append(shown, name, inside(inner, is_inclusion, document));
        }
        (Some(inner), RawBsonRef::Array(array)) => {
            let mut kept = bson::RawArrayBuf::new();
            for element in array.into_iter().map_while(Result::ok) {
                match element {
                    RawBsonRef::Document(it) => kept.push(inside(inner, is_inclusion, it)),
                    _ if is_inclusion => {}
                    element => kept.push(element),
                }
            }
            append(shown, name, kept);
        }
        (Some(_), value) => {
            if !is_inclusion {
                append(shown, name, value);
            }
        }
    }
}

fn inside(tree: &Tree, is_inclusion: bool, document: &RawDocument) -> RawDocumentBuf {
    let mut shown = RawDocumentBuf::new();
    for (name, value) in document.iter().map_while(Result::ok) {
        show(tree, is_inclusion, name.as_str(), value, &mut shown);
    }
    shown
}
