//! The operators, by the tables of flagd's and JSONLogic's manuals.

use super::context;
use crate::observe::flags::Context;
use crate::observe::flags::context::Scope;
use crate::observe::flags::rule::Compiler;
use serde_json::{Map, Value, json};
use std::cell::Cell;

fn evaluate(rule: &Value, context: &Context) -> Value {
    let shared = Map::new();
    let compiled = Compiler::new(&shared).compile(rule).unwrap();
    let fuel = Cell::new(10_000);
    compiled.evaluate(Scope { context, flag: "f", item: None, fuel: &fuel }).into_owned()
}

/// Rules and their values.
fn are(cases: Value) {
    let asks = context()
        .with("name", "Mike")
        .with("age", 42)
        .with("empty", "")
        .with("user", json!({"email": "a@b.c", "tags": ["x", "y"]}))
        .with("scores", json!([3, 1, 2]))
        .with("people", json!([{"age": 5}, {"age": 50}]));
    for case in cases.as_array().unwrap() {
        let [rule, expected] = case.as_array().unwrap().as_slice() else { panic!("{case}") };
        assert_eq!(&evaluate(rule, &asks), expected, "{rule}");
    }
}

#[test]
fn properties_are_read() {
    are(json!([
        [{"var": "name"}, "Mike"],
        [{"var": ["name"]}, "Mike"],
        [{"var": "user.email"}, "a@b.c"],
        [{"var": "user.tags.1"}, "y"],
        [{"var": "no"}, null],
        [{"var": ["no", "other"]}, "other"],
        [{"var": "$flagd.flagKey"}, "f"],
        [{"var": "$flagd.timestamp"}, 1_743_500_000],
        [{"var": "$flagd.no"}, null],
        [{"missing": ["name", "no", "empty"]}, ["no", "empty"]],
        [{"missing_some": [1, ["name", "no"]]}, []],
        [{"missing_some": [2, ["name", "no"]]}, ["no"]],
    ]));
}

#[test]
fn conditions_are_decided() {
    are(json!([
        [{"if": [true, "yes", "no"]}, "yes"],
        [{"if": [false, "yes", "no"]}, "no"],
        [{"if": [false, "yes", false, "no", "maybe"]}, "maybe"],
        [{"if": [false, "yes", false, "no", false, "maybe", "who knows"]}, "who knows"],
        [{"if": [false, "yes"]}, null],
        [{"?:": [[], 1, 2]}, 2],
        [{"or": [true, false]}, true],
        [{"or": [false, false]}, false],
        [{"or": [false, "a", "b"]}, "a"],
        [{"and": [true, false]}, false],
        [{"and": [true, true]}, true],
        [{"and": [1, "b"]}, "b"],
        [{"!!": ["mike"]}, true],
        [{"!!": [""]}, false],
        [{"!!": ["0"]}, true],
        [{"!": ["mike"]}, false],
        [{"!": {"var": "no"}}, true],
        [{"!": [0]}, true],
    ]));
}

#[test]
fn values_are_compared() {
    are(json!([
        [{"==": [1, 1]}, true],
        [{"==": [1, "1"]}, true],
        [{"==": [0, false]}, true],
        [{"==": [null, 0]}, false],
        [{"==": [{"var": "no"}, null]}, true],
        [{"===": [1, 1.0]}, true],
        [{"===": [1, "1"]}, false],
        [{"!=": [1, 2]}, true],
        [{"!=": [1, "1"]}, false],
        [{"!==": [1, "1"]}, true],
        [{">": [2, 1]}, true],
        [{">=": [1, 1]}, true],
        [{"<": [1, 2]}, true],
        [{"<=": [2, 1]}, false],
        [{"<": [1, 5, 10]}, true],
        [{"<": [1, 11, 10]}, false],
        [{"<=": [1, 1, 10]}, true],
        [{"<": ["9", 10]}, true],
        [{"<": ["a", "b"]}, true],
        [{"<": ["x", 1]}, false],
        [{"<": [{"var": "no"}, 1]}, false],
        [{">=": [{"var": "age"}, 42]}, true],
    ]));
}

#[test]
fn texts_and_lists_are_looked_into() {
    are(json!([
        [{"in": ["Spring", "Springfield"]}, true],
        [{"in": ["Illinois", "Springfield"]}, false],
        [{"in": ["Mike", ["Bob", "Mike"]]}, true],
        [{"in": [{"var": "name"}, ["Bob", "Todd"]]}, false],
        [{"in": [{"var": "no"}, "text"]}, false],
        [{"starts_with": ["192.168.0.1", "192.168"]}, true],
        [{"starts_with": ["10.0.0.1", "192.168"]}, false],
        [{"ends_with": ["noreply@example.com", "@example.com"]}, true],
        [{"ends_with": ["noreply@example.com", "@test.com"]}, false],
        [{"starts_with": [{"var": "age"}, "4"]}, null],
        [{"sem_ver": ["1.1.2", ">=", "1.0.0"]}, true],
        [{"sem_ver": ["no version", ">=", "1.0.0"]}, null],
        [{"cat": ["a", 1, 2.0, 0.5, true, null, "z"]}, "a120.5truez"],
        [{"substr": ["jsonlogic", 4]}, "logic"],
        [{"substr": ["jsonlogic", -5]}, "logic"],
        [{"substr": ["jsonlogic", 1, 3]}, "son"],
        [{"substr": ["jsonlogic", 4, -2]}, "log"],
        [{"substr": ["äöü", 1, 9]}, "öü"],
        [{"substr": ["abc", 9]}, ""],
        [{"substr": [{"var": "age"}, 1]}, null],
        [{"merge": [[1, 2], 3, [4]]}, [1, 2, 3, 4]],
    ]));
}

#[test]
fn numbers_are_worked_out() {
    are(json!([
        [{"+": [1, 2, "3"]}, 6],
        [{"+": []}, 0],
        [{"-": [4, 2]}, 2],
        [{"-": 4}, -4],
        [{"*": [4, 2.5]}, 10],
        [{"/": [1, 4]}, 0.25],
        [{"/": [1, 0]}, null],
        [{"%": [101, 2]}, 1],
        [{"min": {"var": "scores"}}, null],
        [{"min": [3, 1, 2]}, 1],
        [{"max": [3, 1, 2]}, 3],
        [{"+": [{"var": "no"}, 1]}, null],
    ]));
}

#[test]
fn lists_are_gone_over() {
    are(json!([
        [{"map": [{"var": "scores"}, {"*": [{"var": ""}, 2]}]}, [6, 2, 4]],
        [{"filter": [{"var": "scores"}, {">": [{"var": ""}, 1]}]}, [3, 2]],
        [{"reduce": [
            {"var": "scores"}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 10
        ]}, 16],
        [{"all": [{"var": "people"}, {">": [{"var": "age"}, 1]}]}, true],
        [{"all": [[], true]}, false],
        [{"none": [{"var": "people"}, {">": [{"var": "age"}, 99]}]}, true],
        [{"some": [{"var": "people"}, {">": [{"var": "age"}, 9]}]}, true],
        [{"some": [{"var": "no"}, true]}, false],
        [{"map": [{"var": "no"}, true]}, []],
    ]));
}

#[test]
fn other_objects_are_values() {
    are(json!([
        [{"a": 1, "b": 2}, {"a": 1, "b": 2}],
        [[1, {"+": [1, 1]}], [1, 2]],
    ]));
}
