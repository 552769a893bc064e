//! Targeting rules, compiled once when a file is read: JSONLogic with flagd's own operators.

use serde_json::{Map, Value};

/// How deep rules may nest, references to shared rules included.
const DEPTH_MAX: usize = 64;
/// How many nodes the rules of one file may have after shared rules are put in. Without a bound a
/// small file of rules that each use another one twice would fill the memory.
const NODES_MAX: usize = 200_000;
/// The operator that puts in a shared rule.
const REFERENCE: &str = "$ref";

/// A compiled rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rule {
    /// A value as it is.
    Literal(Value),
    /// A list with at least one item that is worked out.
    List(Vec<Self>),
    /// An operator with its arguments.
    Call(Operator, Vec<Self>),
}

macro_rules! operators {
    ($($name:literal => $operator:ident,)*) => {
        /// What a rule can do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Operator { $($operator,)* }

        impl Operator {
            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$operator),)*
                    "?:" => Some(Self::If),
                    _ => None,
                }
            }
        }
    };
}

operators! {
    "var" => Var,
    "missing" => Missing,
    "missing_some" => MissingSome,
    "if" => If,
    "==" => Equal,
    "===" => StrictEqual,
    "!=" => Unequal,
    "!==" => StrictUnequal,
    "<" => Less,
    "<=" => LessOrEqual,
    ">" => Greater,
    ">=" => GreaterOrEqual,
    "!" => Not,
    "!!" => Truth,
    "or" => Or,
    "and" => And,
    "in" => In,
    "cat" => Cat,
    "substr" => Substr,
    "+" => Add,
    "-" => Subtract,
    "*" => Multiply,
    "/" => Divide,
    "%" => Remainder,
    "min" => Min,
    "max" => Max,
    "map" => Map,
    "filter" => Filter,
    "reduce" => Reduce,
    "all" => All,
    "none" => NoneOf,
    "some" => Some,
    "merge" => Merge,
    "fractional" => Fractional,
    "starts_with" => StartsWith,
    "ends_with" => EndsWith,
    "sem_ver" => SemVer,
}

/// Compiles the rules of one file.
pub(super) struct Compiler<'a> {
    /// The file's shared rules.
    shared: &'a Map<String, Value>,
    nodes: usize,
}

impl<'a> Compiler<'a> {
    pub(super) const fn new(shared: &'a Map<String, Value>) -> Self {
        Self { shared, nodes: 0 }
    }

    /// Says what is wrong with a rule.
    pub(super) fn compile(&mut self, rule: &'a Value) -> Result<Rule, String> {
        self.at_depth(rule, 0)
    }

    fn at_depth(&mut self, rule: &'a Value, depth: usize) -> Result<Rule, String> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            return Err(format!("rules nest deeper than {DEPTH_MAX}, or refer to themselves"));
        }
        if self.nodes > NODES_MAX {
            return Err(format!("the rules of the file have more than {NODES_MAX} parts"));
        }
        match rule {
            Value::Array(items) => Ok(list(self.all(items, depth)?)),
            Value::Object(object) if object.len() == 1 => {
                let Some((name, arguments)) = object.iter().next() else {
                    return Ok(Rule::Literal(rule.clone()));
                };
                self.call(name, arguments, depth)
            }
            other => Ok(Rule::Literal(other.clone())),
        }
    }

    fn call(&mut self, name: &str, arguments: &'a Value, depth: usize) -> Result<Rule, String> {
        if name == REFERENCE {
            let target = arguments.as_str().and_then(|name| self.shared.get(name));
            let target = target.ok_or_else(|| format!("there is no shared rule {arguments}"))?;
            return self.at_depth(target, depth + 1);
        }
        let operator =
            Operator::named(name).ok_or_else(|| format!("there is no operator `{name}`"))?;
        // An operator with one argument may have it without a list.
        let arguments = match arguments {
            Value::Array(items) => self.all(items, depth)?,
            single => vec![self.at_depth(single, depth + 1)?],
        };
        Ok(Rule::Call(operator, arguments))
    }

    fn all(&mut self, items: &'a [Value], depth: usize) -> Result<Vec<Rule>, String> {
        items.iter().map(|item| self.at_depth(item, depth + 1)).collect()
    }
}

/// A list of nothing but values is a value, which is not copied whenever it is looked at.
fn list(items: Vec<Rule>) -> Rule {
    if items.iter().any(|item| !matches!(item, Rule::Literal(_))) {
        return Rule::List(items);
    }
    let values = items.into_iter().filter_map(|item| match item {
        Rule::Literal(value) => Some(value),
        Rule::List(_) | Rule::Call(..) => None,
    });
    Rule::Literal(Value::Array(values.collect()))
}
