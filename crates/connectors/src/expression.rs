//! Expressions of users over the remote's own objects, in CEL: one language for selection,
//! protection and whatever else asks a question about an object.
//!
//! Every field of the object is a variable, and `object` is the whole of it, so that absent
//! fields can be asked about: `has(object.metadata.keep)`.

use cel::{Context, Program, Value};
use serde_json::value::RawValue;

/// A compiled expression that answers yes or no about an object.
pub struct Expression {
    text: String,
    program: Program,
}

/// Why an expression can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expression `{text}` {what}")]
pub struct ExpressionError {
    text: String,
    what: String,
}

impl ExpressionError {
    /// What the person at the terminal can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "an expression is CEL over the object's fields, such as `name.startsWith(\"Test\")` or \
         `has(object.metadata.keep)`, and answers true or false"
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Expression({:?})", self.text)
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is not CEL.
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        let program = Program::compile(text).map_err(|error| ExpressionError {
            text: text.to_owned(),
            what: format!("is not valid: {}", one_line(&error.to_string())),
        })?;
        Ok(Self { text: text.to_owned(), program })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it holds for this object.
    ///
    /// # Errors
    /// When it can't be answered for this object: a field is absent, types do not fit, or the
    /// answer is neither true nor false. The caller takes the side on which nothing is lost.
    pub fn holds(&self, object: &RawValue) -> Result<bool, ExpressionError> {
        let object: serde_json::Value = serde_json::from_str(object.get())
            .map_err(|error| self.error(format!("met an object that is not JSON: {error}")))?;
        let mut context = Context::default();
        if let serde_json::Value::Object(fields) = &object {
            for (name, value) in fields {
                context.add_variable_from_value(name.as_str(), self.value(value)?);
            }
        }
        context.add_variable_from_value("object", self.value(&object)?);
        match self.program.execute(&context) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(self.error(format!("answers {other:?}, not true or false"))),
            Err(error) => Err(self.error(format!("can't be answered: {error}"))),
        }
    }

    fn value(&self, json: &serde_json::Value) -> Result<Value, ExpressionError> {
        cel::to_value(json).map_err(|error| self.error(format!("met an odd value: {error}")))
    }

    fn error(&self, what: String) -> ExpressionError {
        ExpressionError { text: self.text.clone(), what }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str, object: &str) -> Result<bool, ExpressionError> {
        let object = RawValue::from_string(object.to_owned()).unwrap();
        Expression::compile(text)?.holds(&object)
    }

    const ACME: &str = r#"{"id":"org_1","name":"Acme","metadata":{"keep":"yes"},"domains":[],
        "created_at":"2005-12-17T10:00:00.000Z","external_id":null,"size":7}"#;

    #[test]
    fn fields_are_variables_and_the_object_is_whole() {
        for yes in [
            "name == 'Acme'",
            "name.startsWith('Ac') && size > 3",
            "object.metadata.keep == 'yes'",
            "!has(object.metadata.other)",
            "external_id == null",
            "domains.size() == 0",
            "name.matches('^A.*e$')",
            "timestamp(created_at) < timestamp('2006-01-01T00:00:00Z')",
        ] {
            assert_eq!(holds(yes, ACME), Ok(true), "{yes}");
        }
    }

    #[test]
    fn what_cannot_be_answered_is_an_error_not_a_no() {
        assert!(holds("missing == 'x'", ACME).is_err());
        assert!(holds("name", ACME).is_err());
        assert!(holds("size > 'x'", ACME).is_err());
    }

    #[test]
    fn what_is_not_cel_is_refused_when_it_is_compiled() {
        for text in ["name ==", "(", "", "name = 'x'"] {
            assert!(Expression::compile(text).is_err(), "{text}");
        }
    }
}
