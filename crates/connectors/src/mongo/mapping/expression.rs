//! One expression of a migration file: compiled once, checked against the names it may use, and
//! evaluated for every document.
//!
//! Before it is used, the syntax tree is rewritten in four places. `a.b` becomes null where `b` is
//! missing or `a` is no document; CEL would fail. `has(a.b)` is false there. A map literal becomes
//! a document that keeps the order of its entries; CEL's maps have none. `==` knows that a list of
//! CEL may equal an array of a document. `a['b']` and `a[0]` stay as strict as CEL has them.

use std::collections::{BTreeMap, BTreeSet};

use bson::{Bson, RawBsonRef, RawDocument};
use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators};
use cel::common::types::{CelBool, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{IdedExpr, Program, Value};

use super::error::nearest;
use super::functions::{self, EQUAL, FIELD, HAS, OBJECT};
use super::values::{Object, to_bson};

/// Characters that an expression may have.
const MOST_CHARACTERS: usize = 20_000;

/// Characters of an error of CEL that are passed on. It can hold whole values.
const ERROR_CHARACTERS: usize = 200;

/// The names of CEL's types, which `type(x)` is compared with.
const TYPES: &[&str] =
    &["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];

/// Which of a variable's top-level fields are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    All,
    Some(BTreeSet<String>),
}

impl Fields {
    pub(super) fn none() -> Self {
        Self::Some(BTreeSet::new())
    }

    pub(super) fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Some(names), Self::Some(others)) => names.extend(others.iter().cloned()),
            _ => *self = Self::All,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(name),
        }
    }
}

/// The variables that an expression may use: their names, and their fields where these are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(BTreeMap<String, Option<Vec<String>>>);

impl Known {
    /// Adds a variable with any fields.
    pub(super) fn any(mut self, name: &str) -> Self {
        self.0.insert(name.to_owned(), None);
        self
    }

    /// Adds a variable with these fields only.
    pub(super) fn only(mut self, name: &str, fields: Vec<String>) -> Self {
        self.0.insert(name.to_owned(), Some(fields));
        self
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    tree: IdedExpr,
    bare: Option<(String, Vec<String>)>,
    /// Its value, if it is a literal.
    constant: Option<Bson>,
    uses: BTreeMap<String, Fields>,
}

/// The values of the variables of one evaluation.
pub(super) struct Variables<'a> {
    pub(super) values: Vec<(&'a str, Box<dyn Val>)>,
    /// `target`, which grows from field to field.
    pub(super) target: Object,
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        if variable == "target" {
            return Some(CowVal::Borrowed(&self.target));
        }
        let (_, value) = self.values.iter().find(|(name, _)| *name == variable)?;
        Some(CowVal::Borrowed(value.as_ref()))
    }
}

impl Expression {
    /// Compiles and checks an expression.
    ///
    /// # Errors
    /// When it is not CEL, or uses a name that there is not; the text says what, after "it".
    pub(super) fn compile(text: &str, known: &Known) -> Result<Self, String> {
        if text.chars().count() > MOST_CHARACTERS {
            return Err(format!("is longer than {MOST_CHARACTERS} characters"));
        }
        let program = Program::compile(text)
            .map_err(|error| format!("is not valid: {}", one_line(&error.to_string())))?;
        let tree = program.expression().clone();
        let mut check = Check { known, bound: Vec::new(), uses: BTreeMap::new() };
        check.expression(&tree)?;
        let uses = check.uses;
        let bare = bare_path(&tree.expr);
        let constant = match &tree.expr {
            Expr::Literal(literal) => to_bson(literal.to_val().as_ref()).ok(),
            _ => None,
        };
        let text = text.trim().to_owned();
        Ok(Self { text, bare, constant, uses, tree: rewritten(tree) })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The path below a variable, if that is all there is.
    pub(super) fn bare(&self) -> Option<(&str, &[String])> {
        self.bare.as_ref().map(|(root, path)| (root.as_str(), path.as_slice()))
    }

    /// Which fields of this variable it uses. [`None`]: the variable does not occur.
    pub(super) fn uses(&self, variable: &str) -> Option<&Fields> {
        self.uses.get(variable)
    }

    /// The function of ours that the whole expression is a call of.
    pub(super) fn outermost(&self) -> Option<&str> {
        match &self.tree.expr {
            Expr::Call(call) => {
                functions::OURS.iter().copied().find(|name| *name == call.func_name)
            }
            _ => None,
        }
    }

    /// Its value.
    ///
    /// # Errors
    /// When it can't be evaluated, or has a value that BSON has not.
    pub(super) fn value(&self, variables: &Variables<'_>) -> Result<Bson, String> {
        if let Some(constant) = &self.constant {
            return Ok(constant.clone());
        }
        let mut scope = functions::context().new_inner_scope();
        scope.set_variable_resolver(variables);
        match Value::resolve_val(&self.tree, &scope) {
            Ok(value) => to_bson(value.as_ref()),
            Err(error) => Err(one_line(&error.to_string())),
        }
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When it can't be evaluated, or is neither true nor false.
    pub(super) fn holds(&self, variables: &Variables<'_>) -> Result<bool, String> {
        let mut scope = functions::context().new_inner_scope();
        scope.set_variable_resolver(variables);
        let value = Value::resolve_val(&self.tree, &scope);
        let value = value.map_err(|error| one_line(&error.to_string()))?;
        match value.downcast_ref::<CelBool>() {
            Some(yes) => Ok(*yes.inner()),
            None => Err(format!("its value is a {}, not a bool", value.get_type().name())),
        }
    }
}

/// The raw value at a path of a document. [`None`] where there is none.
///
/// # Errors
/// When the document is damaged.
pub(super) fn raw_at<'a>(
    document: &'a RawDocument,
    path: &[String],
) -> Result<Option<RawBsonRef<'a>>, String> {
    let Some((last, parents)) = path.split_last() else { return Ok(None) };
    let mut at = document;
    for name in parents {
        match at.get(name).map_err(|error| error.to_string())? {
            Some(RawBsonRef::Document(inner)) => at = inner,
            _ => return Ok(None),
        }
    }
    at.get(last).map_err(|error| error.to_string())
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(ERROR_CHARACTERS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn bare_path(expr: &Expr) -> Option<(String, Vec<String>)> {
    let mut path = Vec::new();
    let mut at = expr;
    loop {
        match at {
            Expr::Select(select) if !select.test => {
                path.push(select.field.clone());
                at = &select.operand.expr;
            }
            Expr::Ident(root) if !path.is_empty() => {
                path.reverse();
                return Some((root.clone(), path));
            }
            _ => return None,
        }
    }
}

/// The walk that finds unknown names, and which fields are used.
struct Check<'a> {
    known: &'a Known,
    /// Variables of comprehensions, innermost last.
    bound: Vec<String>,
    uses: BTreeMap<String, Fields>,
}

impl Check<'_> {
    fn expression(&mut self, expr: &IdedExpr) -> Result<(), String> {
        match &expr.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.variable(name, None),
            Expr::Select(select) => match &select.operand.expr {
                Expr::Ident(name) => self.variable(name, Some(&select.field)),
                _ => self.expression(&select.operand),
            },
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.elements.iter().try_for_each(|item| self.expression(item)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key)?;
                    self.expression(&entry.value)
                }
                EntryExpr::StructField(field) => self.expression(&field.value),
            }),
            Expr::Struct(made) => {
                Err(format!("makes a `{}`, and there is no such type", made.type_name))
            }
            Expr::Comprehension(fold) => {
                self.expression(&fold.iter_range)?;
                self.expression(&fold.accu_init)?;
                let before = self.bound.len();
                self.bound.push(fold.iter_var.clone());
                self.bound.extend(fold.iter_var2.clone());
                self.bound.push(fold.accu_var.clone());
                let inner = [&fold.loop_cond, &fold.loop_step, &fold.result];
                let checked = inner.into_iter().try_for_each(|inner| self.expression(inner));
                self.bound.truncate(before);
                checked
            }
        }
    }

    fn call(&mut self, call: &CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        let is_operator = !name.starts_with(|first: char| first.is_ascii_alphabetic());
        let ours = functions::OURS.contains(&name);
        if !is_operator && !ours && !functions::STANDARD.contains(&name) {
            let all = functions::OURS.iter().chain(functions::STANDARD).copied();
            let hint = nearest(name, all).map(|near| format!(", did you mean `{near}`?"));
            return Err(format!("calls `{name}`, and there is no such function{}", or(hint)));
        }
        if let Some(target) = &call.target {
            if ours {
                return Err(format!("calls x.{name}(...), write {name}(x, ...)"));
            }
            self.expression(target)?;
        }
        call.args.iter().try_for_each(|arg| self.expression(arg))
    }

    fn variable(&mut self, name: &str, field: Option<&str>) -> Result<(), String> {
        let is_type = field.is_none() && TYPES.contains(&name);
        if self.bound.iter().any(|bound| bound == name) || is_type {
            return Ok(());
        }
        let Some(fields) = self.known.0.get(name) else {
            let hint = nearest(name, self.known.0.keys().map(String::as_str));
            let hint = hint.map(|near| format!(", did you mean `{near}`?"));
            return Err(format!("uses `{name}`, and there is no such variable here{}", or(hint)));
        };
        if let (Some(fields), Some(field)) = (fields, field)
            && !fields.iter().any(|known| known == field)
        {
            let hint = nearest(field, fields.iter().map(String::as_str));
            let hint = hint.map(|near| format!(", did you mean `{name}.{near}`?"));
            return Err(format!("uses `{name}.{field}`, which there is not here{}", or(hint)));
        }
        let used = match field {
            Some(field) => Fields::Some(BTreeSet::from([field.to_owned()])),
            None => Fields::All,
        };
        self.uses.entry(name.to_owned()).or_insert_with(Fields::none).add(&used);
        Ok(())
    }
}

fn or(hint: Option<String>) -> String {
    hint.unwrap_or_default()
}

fn rewritten(expr: IdedExpr) -> IdedExpr {
    let IdedExpr { id, expr } = expr;
    let expr = match expr {
        Expr::Select(select) => {
            let name = if select.test { HAS } else { FIELD };
            let SelectExpr { operand, field, .. } = select;
            let field = Expr::Literal(LiteralValue::String(CelString::from(field)));
            call(name, vec![rewritten(*operand), IdedExpr { id, expr: field }])
        }
        Expr::Call(inner) => rewritten_call(inner, id),
        Expr::List(mut list) => {
            list.elements = list.elements.into_iter().map(rewritten).collect();
            Expr::List(list)
        }
        Expr::Map(map) => rewritten_map(map),
        Expr::Comprehension(mut fold) => {
            for part in [
                &mut fold.iter_range,
                &mut fold.accu_init,
                &mut fold.loop_cond,
                &mut fold.loop_step,
                &mut fold.result,
            ] {
                *part = rewritten(std::mem::take(part));
            }
            Expr::Comprehension(fold)
        }
        other => other,
    };
    IdedExpr { id, expr }
}

fn rewritten_call(mut inner: CallExpr, id: u64) -> Expr {
    inner.target = inner.target.map(|target| Box::new(rewritten(*target)));
    inner.args = inner.args.into_iter().map(rewritten).collect();
    match inner.func_name.as_str() {
        operators::EQUALS => call(EQUAL, inner.args),
        operators::NOT_EQUALS => {
            let equal = IdedExpr { id, expr: call(EQUAL, inner.args) };
            call(operators::LOGICAL_NOT, vec![equal])
        }
        _ => Expr::Call(inner),
    }
}

fn rewritten_map(map: cel::common::ast::MapExpr) -> Expr {
    let optional = |entry: &EntryExpr| !matches!(entry, EntryExpr::MapEntry(it) if !it.optional);
    if map.entries.iter().any(|entry| optional(&entry.expr)) {
        return Expr::Map(map);
    }
    let mut args = Vec::with_capacity(2 * map.entries.len());
    for entry in map.entries {
        if let EntryExpr::MapEntry(entry) = entry.expr {
            args.push(rewritten(entry.key));
            args.push(rewritten(entry.value));
        }
    }
    call(OBJECT, args)
}

fn call(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args })
}
