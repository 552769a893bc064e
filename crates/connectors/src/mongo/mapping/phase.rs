//! The table of one phase of a migration file.

use std::collections::BTreeSet;

use bson::{Bson, Document};
use toml::{Table, Value};

use super::error::{MappingError, nearest};
use super::evaluate::{FieldRules, Keys, Rules};
use super::expression::{Expression, Fields, Known};
use super::file::{
    FIELD_HINT, IDENTIFIER_HINT, MOST_ITEMS, Shared, collection, is_field, is_identifier, name_of,
};
use super::json;
use super::table::Reader;
use super::values::object;
use super::{Collision, Existing, Password, PasswordMode, Phase, Reference, Unique};
use crate::mongo::hashing::Algorithm;

/// What the tables of one phase are read into.
struct Building<'a> {
    table: Reader,
    /// The variables of expressions over the source document that hold for ever.
    lasting: Known,
    /// The same and the time of the plan.
    source: Known,
    /// Those of the fields and checks.
    whole: Known,
    earlier: &'a [Phase],
}

/// Reads the table of a phase.
pub(super) fn phase(
    table: Reader,
    file: &Shared<'_>,
    earlier: &[Phase],
) -> Result<Phase, MappingError> {
    let names = file.variables.keys().cloned().collect();
    let lasting = Known::default().any("doc").only("vars", names);
    let source = lasting.clone().any("now");
    let whole = source.clone().only("group", vec!["key".to_owned(), "count".to_owned()]);
    let mut it = Building { table, lasting, source, whole, earlier };
    let name = name_of(&mut it.table, "name")?;
    it.table.rename(&name);
    if earlier.iter().any(|other| other.name == name) {
        return Err(it.table.wrong("name", "is that of another phase too", "names differ"));
    }
    let from = collection(&mut it.table, "from")?;
    let to = collection(&mut it.table, "to")?;
    let filter = it.filter()?;
    let existing = it.existing()?;
    let condition = it.condition()?;
    let group = it.source("group")?;
    let first = it.source("first")?;
    if group.is_none() && first.is_some() {
        let hint = "`first` says which document of a group is `doc`; add `group`";
        return Err(it.table.wrong("first", "is there without a `group`", hint));
    }
    let id = match it.table.optional("id")? {
        Some(text) => Some(compile(&it.table, "id", &text, &it.lasting)?),
        None => None,
    };
    let (references, keys) = it.references()?;
    let (fields, known) = it.fields(file.stamp)?;
    let password = it.password(&fields)?;
    let (unique, keeps) = it.unique(&fields, password.as_ref().map(|(it, _)| it))?;
    let checks = it.checks(&known)?;
    it.table.finish()?;
    let (password, plain) = match password {
        Some((password, plain)) => (Some(password), plain),
        None => (None, None),
    };
    let variable = |(name, value): (&String, &String)| (name.clone(), Bson::from(value.as_str()));
    let variables = object(&file.variables.iter().map(variable).collect());
    let mut rules = Rules {
        variables,
        filter: condition,
        group,
        first,
        id,
        fields,
        keys,
        checks,
        keeps,
        plain,
        for_place: Fields::none(),
        for_target: Fields::none(),
        seen: Fields::none(),
    };
    rules.note_uses();
    Ok(Phase { name, from, to, filter, existing, unique, references, password, rules })
}

const EXPRESSION_HINT: &str = "an expression is CEL over doc, vars and now (fields also: group, \
     target and the references), such as \"slug(doc.name)\"";

fn compile(
    table: &Reader,
    key: &str,
    text: &str,
    known: &Known,
) -> Result<Expression, MappingError> {
    Expression::compile(text, known)
        .map_err(|what| table.wrong(key, &format!("`{text}` {what}"), EXPRESSION_HINT))
}

impl Building<'_> {
    /// An optional expression over the source document.
    fn source(&mut self, key: &str) -> Result<Option<Expression>, MappingError> {
        match self.table.optional(key)? {
            Some(text) => Ok(Some(compile(&self.table, key, &text, &self.source)?)),
            None => Ok(None),
        }
    }

    fn filter(&mut self) -> Result<Option<Document>, MappingError> {
        let Some(text) = self.table.optional("filter")? else { return Ok(None) };
        match json::read(&text) {
            Ok(Bson::Document(filter)) => Ok(Some(filter)),
            Ok(_) => Err(self.bad_filter("it is not a document")),
            Err(what) => Err(self.bad_filter(&what)),
        }
    }

    fn bad_filter(&self, what: &str) -> MappingError {
        self.table.wrong(
            "filter",
            &format!("is no query: {what}"),
            "a query is extended JSON, such as '{\"month\": {\"$gte\": \"2020-01\"}}'",
        )
    }

    fn existing(&mut self) -> Result<Existing, MappingError> {
        let choice = self.table.choice("existing", &["keep", "replace", "merge"])?;
        Ok(match choice {
            Some("replace") => Existing::Replace,
            Some("merge") => Existing::Merge,
            _ => Existing::Keep,
        })
    }

    fn condition(&mut self) -> Result<Option<(Expression, String)>, MappingError> {
        let otherwise = self.table.optional("otherwise")?;
        match (self.source("where")?, otherwise) {
            (Some(condition), Some(otherwise)) => Ok(Some((condition, otherwise))),
            (Some(condition), None) => {
                let otherwise = format!("{} does not hold", condition.text());
                Ok(Some((condition, otherwise)))
            }
            (None, Some(_)) => {
                let hint = "it is the reason for what `where` leaves out";
                Err(self.table.wrong("otherwise", "is there without a `where`", hint))
            }
            (None, None) => Ok(None),
        }
    }

    fn references(&mut self) -> Result<(Vec<Reference>, Keys), MappingError> {
        let (mut references, mut keys) = (Vec::new(), Vec::new());
        let Some(mut tables) = self.table.table("references")? else {
            return Ok((references, keys));
        };
        let taken = ["doc", "vars", "now", "group", "target"];
        for name in tables.names() {
            if !is_identifier(&name) || taken.contains(&name.as_str()) {
                return Err(tables.wrong(&name, "is no name of a variable", IDENTIFIER_HINT));
            }
            let Some(mut table) = tables.table(&name)? else { continue };
            let phase = self.earlier(&mut table)?;
            let text = table.text("key")?;
            let key = compile(&table, "key", &text, &self.source)?;
            self.agree(&table, &key, &self.earlier[phase])?;
            let fields = table.texts("fields")?;
            let mut known = fields.clone();
            known.push("_id".to_owned());
            self.whole = self.whole.clone().only(&name, known);
            table.finish()?;
            keys.push((key, self.earlier[phase].is_grouped()));
            references.push(Reference { name, phase, fields });
        }
        Ok((references, keys))
    }

    fn earlier(&self, table: &mut Reader) -> Result<usize, MappingError> {
        let name = table.text("phase")?;
        if let Some(at) = self.earlier.iter().position(|phase| phase.name == name) {
            return Ok(at);
        }
        let known = self.earlier.iter().map(|phase| phase.name.as_str());
        let hint = match nearest(&name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "a phase refers to one that is above it in the file".to_owned(),
        };
        Err(table.wrong("phase", &format!("is `{name}`, and no earlier phase is called so"), &hint))
    }

    /// A key that is made in another way than the group finds nobody, or the wrong person.
    fn agree(&self, table: &Reader, key: &Expression, phase: &Phase) -> Result<(), MappingError> {
        let Some(group) = &phase.rules.group else { return Ok(()) };
        if key.outermost() == group.outermost() {
            return Ok(());
        }
        let (name, group, key) = (&phase.name, group.text(), key.text());
        let what = format!("is `{key}`, but the phase `{name}` groups by `{group}`");
        Err(table.wrong("key", &what, "make the key with the same function as the group"))
    }

    fn fields(&mut self, stamp: &str) -> Result<(FieldRules, Known), MappingError> {
        let Some(table) = self.table.raw_table("fields")? else {
            return Err(self.table.missing("fields"));
        };
        let mut texts = Vec::new();
        self.flatten(table, &mut Vec::new(), &mut texts)?;
        if texts.is_empty() {
            return Err(self.table.wrong("fields", "is empty", EXPRESSION_HINT));
        }
        if texts.len() > MOST_ITEMS {
            let what = format!("has {} fields, and {MOST_ITEMS} are the most", texts.len());
            return Err(self.table.wrong("fields", &what, "map whole documents instead"));
        }
        let mut above = vec!["_id".to_owned()];
        let mut fields = Vec::new();
        for (path, text) in texts {
            let key = format!("fields.{}", path.join("."));
            if path[0] == "_id" || path[0] == stamp {
                let hint = "`_id` comes from `id`, the stamp from the program";
                return Err(self.table.wrong(&key, "is no field of the mapping", hint));
            }
            let known = self.whole.clone().only("target", above.clone());
            fields.push((path.clone(), compile(&self.table, &key, &text, &known)?));
            above.push(path[0].clone());
        }
        let known = self.whole.clone().only("target", above);
        Ok((fields, known))
    }

    fn flatten(
        &self,
        table: Table,
        path: &mut Vec<String>,
        out: &mut Vec<(Vec<String>, String)>,
    ) -> Result<(), MappingError> {
        for (name, value) in table {
            path.push(name);
            let key = format!("fields.{}", path.join("."));
            if path.last().is_none_or(|name| !is_field(name)) || path.len() > 50 {
                return Err(self.table.wrong(&key, "is no name of a field", FIELD_HINT));
            }
            match value {
                Value::String(text) => out.push((path.clone(), text)),
                Value::Table(inner) => self.flatten(inner, path, out)?,
                _ => {
                    let hint = "write the expression as a string: \"true\", \"5\", \"'text'\"";
                    return Err(self.table.wrong(&key, "is no expression", hint));
                }
            }
            path.pop();
        }
        Ok(())
    }

    fn password(
        &mut self,
        fields: &FieldRules,
    ) -> Result<Option<(Password, Option<Expression>)>, MappingError> {
        let Some(mut table) = self.table.table("password")? else { return Ok(None) };
        let field = table.text("field")?;
        if !field.split('.').all(is_field) || field == "_id" {
            return Err(table.wrong("field", "is no path of a field", FIELD_HINT));
        }
        if fields.iter().any(|(path, _)| overlap(&path.join("."), &field)) {
            return Err(table.wrong("field", "is mapped too", "leave it out of `fields`"));
        }
        let plain = match table.optional("from")? {
            Some(text) => Some(compile(&table, "from", &text, &self.lasting)?),
            None => None,
        };
        let mode = match table.choice("mode", &["hash", "reset-token"])? {
            Some("reset-token") => PasswordMode::ResetToken,
            _ => PasswordMode::Hash(algorithm(&mut table)?),
        };
        if plain.is_some() && mode == PasswordMode::ResetToken {
            let hint = "a reset token is made up; leave `from` out";
            return Err(table.wrong("from", "goes not with mode = \"reset-token\"", hint));
        }
        table.finish()?;
        Ok(Some((Password { field, existing: plain.is_some(), mode }, plain)))
    }

    fn unique(
        &mut self,
        fields: &FieldRules,
        password: Option<&Password>,
    ) -> Result<(Vec<Unique>, Vec<Option<Expression>>), MappingError> {
        let paths: BTreeSet<String> = fields.iter().map(|(path, _)| path.join(".")).collect();
        let (mut uniques, mut keeps) = (Vec::new(), Vec::new());
        for mut table in self.table.tables("unique", MOST_ITEMS)? {
            let fields = table.texts("fields")?;
            if fields.is_empty() {
                return Err(table.missing("fields"));
            }
            for field in &fields {
                let below = |path: &String| field == path || field.starts_with(&format!("{path}."));
                let secret = password.is_some_and(|password| overlap(&password.field, field));
                if secret || !paths.iter().any(below) {
                    let what = format!("has `{field}`, which the phase does not map");
                    let near = nearest(field, paths.iter().map(String::as_str));
                    let hint = near.map(|near| format!("did you mean `{near}`?"));
                    let hint = hint.unwrap_or_else(|| "add it to `fields`".to_owned());
                    return Err(table.wrong("fields", &what, &hint));
                }
            }
            let choices = ["fail", "number", "keep", "skip"];
            let (collision, keep) = match table.choice("collision", &choices)? {
                Some("number") => (number(&mut table, &fields, &paths)?, None),
                Some("keep") => {
                    let text = table.text("keep")?;
                    let keep = compile(&table, "keep", &text, &self.lasting)?;
                    let otherwise = duplicate(&mut table, &fields)?;
                    (Collision::Keep { otherwise }, Some(keep))
                }
                Some("skip") => {
                    let otherwise = duplicate(&mut table, &fields)?;
                    (Collision::Skip { otherwise }, None)
                }
                _ => (Collision::Fail, None),
            };
            table.finish()?;
            uniques.push(Unique { fields, collision });
            keeps.push(keep);
        }
        Ok((uniques, keeps))
    }

    fn checks(&mut self, known: &Known) -> Result<Vec<(Expression, String)>, MappingError> {
        let mut checks = Vec::new();
        for mut table in self.table.tables("check", MOST_ITEMS)? {
            let text = table.text("that")?;
            let that = compile(&table, "that", &text, known)?;
            let otherwise = table.optional("otherwise")?;
            let otherwise = otherwise.unwrap_or_else(|| format!("{text} does not hold"));
            table.finish()?;
            checks.push((that, otherwise));
        }
        Ok(checks)
    }
}

/// Whether one path is the other, or leads to it.
fn overlap(left: &str, right: &str) -> bool {
    let below = |upper: &str, lower: &str| {
        lower.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    below(left, right) || below(right, left)
}

fn duplicate(table: &mut Reader, fields: &[String]) -> Result<String, MappingError> {
    let otherwise = table.optional("otherwise")?;
    Ok(otherwise.unwrap_or_else(|| format!("another document has the same {}", fields.join(", "))))
}

fn number(
    table: &mut Reader,
    fields: &[String],
    paths: &BTreeSet<String>,
) -> Result<Collision, MappingError> {
    if fields.len() != 1 || !paths.contains(&fields[0]) {
        let hint = "with several, say \"keep\", \"skip\" or \"fail\"";
        return Err(table.wrong("collision", "\"number\" is for one mapped field", hint));
    }
    let length = table.integer("length")?.unwrap_or(DEFAULT_LENGTH);
    match usize::try_from(length).ok().filter(|length| (8..=10_000).contains(length)) {
        Some(length) => Ok(Collision::Number { length }),
        None => Err(table.wrong("length", "is not 8 to 10000", "such as 30")),
    }
}

/// The greatest length of a numbered value where the file says nothing.
const DEFAULT_LENGTH: i64 = 100;

fn algorithm(table: &mut Reader) -> Result<Algorithm, MappingError> {
    let name = table.choice("algorithm", &["bcrypt", "argon2id", "scrypt"])?.unwrap_or("bcrypt");
    let settings: &[&str] = match name {
        "argon2id" => &["memory_kib", "passes", "lanes"],
        "scrypt" => &["log_n", "r", "p"],
        _ => &["cost"],
    };
    let mut chosen = Table::new();
    chosen.insert("algorithm".to_owned(), Value::String(name.to_owned()));
    for setting in settings {
        if let Some(number) = table.integer(setting)? {
            chosen.insert((*setting).to_owned(), Value::Integer(number));
        }
    }
    let hint = "leave it out for what OWASP recommends";
    let algorithm: Algorithm =
        Value::Table(chosen).try_into().map_err(|error: toml::de::Error| {
            let what = error.message().to_owned();
            table.wrong("algorithm", &format!("can't be used: {what}"), hint)
        })?;
    algorithm
        .check()
        .map_err(|what| table.wrong("algorithm", &format!("can't be used: {what}"), hint))?;
    Ok(algorithm)
}
