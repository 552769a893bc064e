//! What expressions make of documents.

use std::collections::BTreeMap;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Decimal128, Document, Regex, Timestamp, doc};

use super::super::evaluate::size_of;
use super::super::identity::derived_id;
use super::super::{Given, Order, Place, UniqueValue};
use super::{NOW, evaluate, migration, raw, target};

fn source() -> Document {
    doc! {
        "_id": ObjectId::from_bytes([1; 12]), "name": "  Zoe\u{301}  B ", "n": 5, "long": 5_i64,
        "big": 5_000_000_000_i64, "half": 0.5, "whole": 3.0, "yes": true, "nothing": Bson::Null,
        "when": DateTime::from_millis(1_000), "list": [1, 2_i64, "x", { "a": 1 }],
        "sub": { "z": 1, "a": 2_i64, "m": { "deep": "x" } },
        "id": ObjectId::parse_str("0123456789abcdef01234567").unwrap(),
        "price": "1.50".parse::<Decimal128>().unwrap(),
    }
}

fn value(expression: &str) -> Bson {
    evaluate(expression, &source()).unwrap().unwrap()
}

#[test]
fn functions_answer() {
    for (expression, expected) in [
        ("text(doc.name)", Bson::from("Zoé  B")),
        ("text(doc.n)", "5".into()),
        ("text(doc.big)", "5000000000".into()),
        ("text(doc.half)", "0.5".into()),
        ("text(doc.whole)", "3".into()),
        ("text(doc.yes)", "true".into()),
        ("text(doc.when)", "1970-01-01T00:00:01Z".into()),
        ("text(doc.id)", "0123456789abcdef01234567".into()),
        ("text(doc.price)", "1.50".into()),
        ("text(7u)", "7".into()),
        ("text(doc.nothing) + text(doc.missing) + text(doc.list) + text(doc.sub)", "".into()),
        ("fold(doc.name)", "zoé b".into()),
        ("fold(doc.n)", "5".into()),
        ("slug(doc.name)", "zoe_b".into()),
        ("slug(doc.name, 1, 3)", "zoe".into()),
        ("slug(doc.missing)", "n_e3b0c4".into()),
        ("cut('héllo', 3)", "hél".into()),
        ("cut(doc.missing, 3)", "".into()),
        ("cut(12345, 3)", "123".into()),
        ("coalesce(doc.missing, doc.nothing, doc.n, 7)", 5.into()),
        ("coalesce(doc.missing, doc.nothing)", Bson::Null),
        ("coalesce('', 'x')", "".into()),
        ("hash('anna')", "55579b557896d0ce".into()),
        ("hash(doc.id)", "8865fea8edb69716".into()),
        ("oid('0123456789abcdef01234567') == doc.id", true.into()),
        ("oid(doc.id) == doc.id", true.into()),
        ("oid('x')", Bson::Null),
        ("oid(doc.missing)", Bson::Null),
        ("indexed(doc.missing).size()", 0.into()),
        ("indexed(['a', 'b'])[1].item + string(indexed(['a', 'b'])[1].index)", "b1".into()),
        ("least(doc.n, 3)", 3.into()),
        ("least(doc.n, 7.5)", 5.into()),
        ("least('b', 'a')", "a".into()),
        ("now", Bson::DateTime(NOW)),
        ("now.getFullYear()", 2026.into()),
        ("vars.admin", "Zoé".into()),
        ("group.key + ' ' + string(group.count)", "the key 3".into()),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn dates_are_read_from_what_is_one() {
    let millis = |millis| Bson::DateTime(DateTime::from_millis(millis));
    for (expression, expected) in [
        ("date(doc.when)", millis(1_000)),
        ("date('2024-02-29')", millis(1_709_164_800_000)),
        ("date('2024-02-29T12:00:00.25Z')", millis(1_709_208_000_250)),
        ("date('2024-02-29T12:00:00+02:00')", millis(1_709_200_800_000)),
        ("date(' 1969-12-31T23:59:59.999Z ')", millis(-1)),
        ("date(1709164800000)", millis(1_709_164_800_000)),
        ("date(1709164800000.0)", millis(1_709_164_800_000)),
        ("date(0.5)", Bson::Null),
        ("date('2023-02-29')", Bson::Null),
        ("date('2024-02')", Bson::Null),
        ("date('2024-02-29T12:00:00')", Bson::Null),
        ("date('yesterday')", Bson::Null),
        ("date(true)", Bson::Null),
        ("date(doc.missing)", Bson::Null),
        ("date(9223372036854775807)", Bson::Null),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn a_missing_field_is_null_and_a_copy_of_one_is_left_out() {
    assert_eq!(evaluate("doc.missing", &source()), Ok(None));
    assert_eq!(evaluate("doc.missing.deeper", &source()), Ok(None));
    assert_eq!(evaluate("doc.name.first", &source()), Ok(None));
    assert_eq!(evaluate("doc.nothing", &source()), Ok(Some(Bson::Null)));
    for yes in [
        "doc.missing == null",
        "null == doc.missing.deeper.still",
        "doc.name.first == null",
        "has(doc.name) && has(doc.sub.m.deep) && has(doc.nothing)",
        "!has(doc.missing) && !has(doc.missing.deeper) && !has(doc.name.first)",
        "[1, 2].all(it, it > 0) && [{'a': 1}].exists(it, it.a == 1 && it.b == null)",
        "doc.sub == {'m': {'deep': 'x'}, 'a': 2, 'z': 1} && {'deep': 'x'} == doc.sub.m",
        "doc.sub != {'a': 2} && doc.list != [1]",
        "doc.list == [1, 2, 'x', {'a': 1}] && [1, 2, 'x', {'a': 1}] == doc.list",
        "'x' in doc.list && 2 in doc.list && !(3 in doc.list) && 'z' in doc.sub",
        "doc.list[2] == 'x' && doc.sub['z'] == 1 && size(doc.list) == 4 && doc.sub.size() == 3",
        "doc.sub.map(key, key) == ['z', 'a', 'm']",
        "doc.list + [7] == [1, 2, 'x', {'a': 1}, 7] && [7] + doc.list != doc.list",
        "type(doc.n) == int && type(doc.list) == list && doc.n == 5.0",
        "doc.when < now && doc.when == timestamp('1970-01-01T00:00:01Z')",
        "doc.id == doc.id && doc.id != doc._id && doc.price != doc.n",
    ] {
        assert_eq!(value(yes), Bson::Boolean(true), "{yes}");
    }
}

#[test]
fn documents_keep_the_order_of_their_fields() {
    let made = value("{'z': 1, 'a': {'y': doc.n, 'b': [doc.sub]}, 'm': doc.missing}");
    let sub = source().get("sub").unwrap().clone();
    let expected = doc! { "z": 1, "a": { "y": 5, "b": [sub] }, "m": Bson::Null };
    assert_eq!(made, Bson::Document(expected.clone()));
    let keys: Vec<&String> = made.as_document().unwrap().keys().collect();
    assert_eq!(keys, ["z", "a", "m"]);
    assert_eq!(made.to_string(), Bson::Document(expected).to_string());
    // Keys that are computed are those of a document all the same.
    assert_eq!(value("{'b' + 'c': 1, 'a': 2}"), Bson::Document(doc! { "bc": 1, "a": 2 }));
}

#[test]
fn integers_are_as_small_as_the_drivers_make_them_and_copies_as_they_were() {
    assert_eq!(value("5"), Bson::Int32(5));
    assert_eq!(value("doc.n + 1"), Bson::Int32(6));
    assert_eq!(value("5000000000"), Bson::Int64(5_000_000_000));
    assert_eq!(value("5u"), Bson::Int32(5));
    assert_eq!(value("doc.long"), Bson::Int64(5));
    assert_eq!(value("doc.half * 2.0"), Bson::Double(1.0));
    let sub = source().get("sub").unwrap().clone();
    assert_eq!(value("coalesce(doc.sub, 1)"), sub);
    assert_eq!(value("[doc.list][0]"), source().get("list").unwrap().clone());
    let items = doc! { "index": 1, "item": 2_i64 };
    assert_eq!(value("indexed(doc.list)[1]"), Bson::Document(items));
}

/// A value of every type that CEL has not.
fn odd() -> Document {
    let binary = |subtype| Bson::Binary(Binary { subtype, bytes: vec![1, 2, 3] });
    let code = bson::JavaScriptCodeWithScope { code: "f()".to_owned(), scope: doc! { "a": 1 } };
    doc! {
        "decimal": "1.50".parse::<Decimal128>().unwrap(), "min": Bson::MinKey,
        "max": Bson::MaxKey, "stamp": Bson::Timestamp(Timestamp { time: 1, increment: 2 }),
        "regex": Regex { pattern: "a.b".try_into().unwrap(), options: "i".try_into().unwrap() },
        "id": ObjectId::from_bytes([1; 12]), "code": Bson::JavaScriptCode("f()".to_owned()),
        "scope": Bson::JavaScriptCodeWithScope(code), "symbol": Bson::Symbol("s".to_owned()),
        "undefined": Bson::Undefined, "generic": binary(BinarySubtype::Generic),
        "uuid": binary(BinarySubtype::Uuid), "own": binary(BinarySubtype::UserDefined(200)),
        "int": 1, "long": 1_i64, "double": 1.0, "nil": Bson::Null, "bool": true, "text": "x\0y",
        "nan": f64::INFINITY, "date": DateTime::from_millis(-5),
        "far": DateTime::from_millis(i64::MAX), "past": DateTime::from_millis(i64::MIN),
        "document": { "b": [1_i64, { "c": Bson::MinKey }], "a": 1 },
    }
}

#[test]
fn values_of_every_type_come_out_as_they_went_in() {
    for (name, expected) in odd() {
        let copied = evaluate(&format!("doc.{name}"), &odd()).unwrap().unwrap();
        assert_eq!(copied, expected, "{name}");
        // Through CEL: a long alone is as small as it can be, see the module's head.
        if name != "long" {
            let through = evaluate(&format!("true ? doc.{name} : null"), &odd());
            assert_eq!(through.unwrap().unwrap(), expected, "{name}");
        }
    }
    let all = evaluate("true ? doc : doc", &odd()).unwrap().unwrap();
    assert_eq!(raw(all.as_document().unwrap()), raw(&odd()));
    let mapped = evaluate("[doc].map(it, it)[0]", &odd()).unwrap().unwrap();
    assert_eq!(raw(mapped.as_document().unwrap()), raw(&odd()));
}

#[test]
fn what_cannot_be_made_is_told() {
    let made = |expression: &str| evaluate(expression, &source()).unwrap_err();
    for (expression, expected) in [
        (
            "doc.n + 'x'",
            "its `x` can't be made: Unsupported binary operator 'add': Int(5), \
          String(\"x\")",
        ),
        ("doc.list[9]", "its `x` can't be made: Index out of bounds: Int(9)"),
        ("doc.sub['no']", "its `x` can't be made: No such key: no"),
        ("type(doc.n)", "its `x` can't be made: its value is a type, which BSON has not"),
        (
            "18446744073709551615u",
            "its `x` can't be made: its value is an unsigned number over \
          9223372036854775807, which BSON has not",
        ),
        (
            "{'a': 1, 'a': 2}",
            "its `x` can't be made: Error executing function '@object': the key \
          `a` is there twice",
        ),
        (
            "{1: 2}",
            "its `x` can't be made: Error executing function '@object': the key of a map \
          is a string",
        ),
        (
            "slug('x', 5, 3)",
            "its `x` can't be made: Error executing function 'slug': its lengths \
          are 0 <= min <= max, 1 <= max <= 1000",
        ),
        (
            "cut('x', -1)",
            "its `x` can't be made: Error executing function 'cut': a length is a \
          whole number that is not negative",
        ),
        (
            "least(1, 'x')",
            "its `x` can't be made: Error executing function 'least': its values \
          are two that can be compared",
        ),
        ("text()", "its `x` can't be made: Invalid argument count: expected 1, got 0"),
        ("1 / 0", "its `x` can't be made: Division by zero of Int(1)"),
    ] {
        assert_eq!(made(expression), expected, "{expression}");
    }
}

#[test]
fn fields_are_nested_in_order_and_see_those_above() {
    let migration = migration(
        "[phase.fields]\nfirst = \"text(doc.name)\"\nn = \"doc.n\"\n\
         [phase.fields.deep]\nz = \"target.first + '!'\"\n[phase.fields.deep.er]\na = \"1\"\n\
         [phase.fields.last]\nz = \"target.deep.z + string(target.n)\"",
    );
    let made = target(&migration.phases[0], &source()).unwrap();
    let expected = doc! {
        "_id": 1, "first": "Zoé  B", "n": 5, "deep": { "z": "Zoé  B!", "er": { "a": 1 } },
        "last": { "z": "Zoé  B!5" },
    };
    assert_eq!(raw(&made), raw(&expected));
}

#[test]
fn what_is_set_replaces_the_expression_for_later_fields_too() {
    let migration = migration(
        "[phase.fields]\nuser = \"slug(doc.name)\"\nmail = \"target.user + '@x'\"\n\
         [phase.fields.deep]\nx = \"'y'\"",
    );
    let set = BTreeMap::from([
        ("user".to_owned(), "zoe_b_1".to_owned()),
        ("deep.x".to_owned(), "set".to_owned()),
    ]);
    let given = Given { id: "x".into(), key: "k", count: 1, set: &set, references: &[], now: NOW };
    let made = migration.phases[0].target(&raw(&source()), &given).unwrap();
    let expected =
        doc! { "_id": "x", "user": "zoe_b_1", "mail": "zoe_b_1@x", "deep": { "x": "set" } };
    assert_eq!(raw(&made), raw(&expected));
}

#[test]
fn a_target_over_16_mib_is_refused_before_the_server_does() {
    let migration = migration("[phase.fields]\nx = \"doc.x\"");
    let source = doc! { "_id": 1, "x": "y".repeat(16_760_832 - 4 - 9 - 8 - 1) };
    let made = target(&migration.phases[0], &source).unwrap();
    assert_eq!(raw(&made).as_bytes().len(), 16_760_832);
    let source = doc! { "_id": 1, "x": "y".repeat(16_760_832) };
    assert_eq!(
        target(&migration.phases[0], &source).unwrap_err(),
        "it would have 16760854 bytes, and a server takes 16760832"
    );
    let all = super::migration("[phase.fields]\nx = \"doc\"");
    let made = target(&all.phases[0], &odd()).unwrap();
    assert_eq!(size_of(&made), raw(&made).as_bytes().len());
}

#[test]
fn places_have_keys_orders_and_references() {
    let migration = super::parse(
        "name = \"t\"\n[[phase]]\nname = \"users\"\nfrom = \"a\"\nto = \"b\"\n\
         where = \"text(doc.name) != ''\"\notherwise = \"no name\"\n\
         group = \"fold(doc.name)\"\nfirst = \"doc.when\"\n[phase.fields]\nn = \"group.count\"\n\
         [[phase]]\nname = \"plain\"\nfrom = \"a\"\nto = \"c\"\n[phase.fields]\nn = \"1\"\n\
         [[phase]]\nname = \"posts\"\nfrom = \"a\"\nto = \"d\"\n\
         [phase.references.user]\nphase = \"users\"\nkey = \"fold(doc.name)\"\nfields = [\"n\"]\n\
         [phase.references.other]\nphase = \"plain\"\nkey = \"doc.owner\"\n\
         [phase.fields]\nuser = \"user._id\"\nn = \"user.n + 1\"\nother = \"other._id\"\n",
    )
    .unwrap();
    let [users, plain, posts] = &migration.phases[..] else { panic!("three phases") };
    assert!(users.is_grouped() && !plain.is_grouped());
    let document = doc! { "_id": "x", "name": " ZOÉ  b", "when": 5, "owner": "true" };
    let place = |key: &str, order, references: &[&str]| Place {
        key: key.to_owned(),
        order,
        references: references.iter().map(|key| (*key).to_owned()).collect(),
    };
    let five = Some(Order::of(&Bson::Int32(5)));
    assert_eq!(users.place(&raw(&document), NOW), Ok(place("zoé b", five, &[])));
    assert_eq!(plain.place(&raw(&document), NOW), Ok(place("\"x\"", None, &[])));
    let expected = place("\"x\"", None, &["zoé b", "\"true\""]);
    assert_eq!(posts.place(&raw(&document), NOW), Ok(expected));

    let nameless = raw(&doc! { "_id": 1, "name": " " });
    assert_eq!(users.place(&nameless, NOW), Err("no name".to_owned()));
    let ownerless = raw(&doc! { "_id": 1, "name": "x" });
    assert_eq!(
        posts.place(&ownerless, NOW),
        Err("its key of `other`, doc.owner, is null".to_owned())
    );
    assert_eq!(users.place(&ownerless, NOW), Ok(place("x", None, &[])));
    assert_eq!(plain.place(&raw(&doc! { "a": 1 }), NOW), Err("the document has no _id".to_owned()));

    let references = [doc! { "_id": 7, "n": 2 }, doc! { "_id": "o" }];
    let given = Given {
        id: Bson::Int32(1),
        key: "x",
        count: 1,
        set: &BTreeMap::new(),
        references: &references,
        now: NOW,
    };
    let made = posts.target(&raw(&document), &given).unwrap();
    assert_eq!(raw(&made), raw(&doc! { "_id": 1, "user": 7, "n": 3, "other": "o" }));
}

#[test]
fn ids_are_derived_or_what_the_phase_says() {
    let derived = migration("[phase.fields]\nx = \"1\"");
    let document = raw(&doc! { "_id": 5, "key": "k", "list": [1] });
    let id = derived.phases[0].id(&derived, "anna", &document).unwrap();
    let expected = derived_id("test", "all", "anna");
    assert_eq!(id, Bson::ObjectId(expected));
    let said = |id: &str| {
        let migration = migration(&format!("id = \"{id}\"\n[phase.fields]\nx = \"1\""));
        migration.phases[0].id(&migration, "anna", &document)
    };
    assert_eq!(said("doc._id"), Ok(Bson::Int32(5)));
    assert_eq!(said("'p_' + doc.key"), Ok(Bson::from("p_k")));
    assert_eq!(said("doc.no"), Err("its id, doc.no, is null".to_owned()));
    assert_eq!(said("doc.list"), Err("its id, doc.list, has a type that no _id has".to_owned()));
    assert_eq!(
        said("doc.key + 1"),
        Err("`id` can't be evaluated: Unsupported binary operator 'add': String(\"k\"), Int(1)"
            .to_owned())
    );
}

#[test]
fn uniques_have_values_and_orders() {
    let migration = migration(
        "[phase.fields]\na = \"doc.a\"\n[phase.fields.b]\nc = \"doc.c\"\n\
         [[phase.unique]]\nfields = [\"a\"]\ncollision = \"skip\"\n\
         [[phase.unique]]\nfields = [\"a\", \"b.c\"]\ncollision = \"keep\"\nkeep = \"doc.when\"",
    );
    let phase = &migration.phases[0];
    let values = |document: Document| phase.unique_values(&document);
    let both = values(doc! { "_id": 1, "a": "x", "b": { "c": 5 } });
    assert_eq!(both[0].as_ref().unwrap().text, "x");
    assert_eq!(both[1].as_ref().unwrap().text, "x, {\"$numberInt\":\"5\"}");
    assert_eq!(both, values(doc! { "b": { "c": 5.0 }, "a": "x", "d": 1 }).map_text(&both));
    let one = values(doc! { "a": "x" });
    assert_eq!(one[1].as_ref().unwrap().text, "x, null");
    assert_eq!(one[1], values(doc! { "a": "x", "b": { "c": Bson::Null } })[1]);
    assert_ne!(one[1].as_ref().unwrap().hash, both[1].as_ref().unwrap().hash);
    assert_eq!(values(doc! { "_id": 1 }), [None, None]);
    assert!(values(doc! { "a": Bson::Null })[0].is_some());

    let early = phase.keep_order(1, &raw(&doc! { "when": 1 }));
    let late = phase.keep_order(1, &raw(&doc! { "when": 2 }));
    let never = phase.keep_order(1, &raw(&doc! {}));
    assert!(never < early && early < late && never.is_none());
    assert_eq!(phase.keep_order(0, &raw(&doc! { "when": 1 })), None);
}

/// The same values with the texts of others: numbers of other types have other texts.
trait MapText {
    fn map_text(self, others: &Self) -> Self;
}

impl MapText for Vec<Option<UniqueValue>> {
    fn map_text(self, others: &Self) -> Self {
        let with = |(value, other): (Option<_>, &Option<UniqueValue>)| {
            let value: UniqueValue = value?;
            Some(UniqueValue { text: other.as_ref()?.text.clone(), ..value })
        };
        self.into_iter().zip(others).map(with).collect()
    }
}

#[test]
fn checks_and_conditions_leave_documents_out() {
    let migration = migration(
        "where = \"doc.n > 1\"\n[phase.fields]\nx = \"doc.x\"\n\
         [[phase.check]]\nthat = \"size(target.x) >= 3\"\notherwise = \"x too short\"\n\
         [[phase.check]]\nthat = \"target.x != 'bad'\"",
    );
    let phase = &migration.phases[0];
    let place = |document: Document| phase.place(&raw(&document), NOW).map(|place| place.key);
    assert_eq!(place(doc! { "_id": true, "n": 2 }), Ok("true".to_owned()));
    assert_eq!(place(doc! { "_id": 1, "n": 1 }), Err("doc.n > 1 does not hold".to_owned()));
    assert_eq!(
        place(doc! { "_id": 1 }),
        Err("`where` can't be answered: found no matching overload for '_>_' applied to \
             '(null_type, int)'"
            .to_owned())
    );
    assert!(target(phase, &doc! { "_id": 1, "x": "long" }).is_ok());
    let refused = |x: Bson| target(phase, &doc! { "_id": 1, "x": x }).unwrap_err();
    assert_eq!(refused("ab".into()), "x too short");
    assert_eq!(refused("bad".into()), "target.x != 'bad' does not hold");
    assert_eq!(
        refused(1.into()),
        "the check size(target.x) >= 3 can't be answered: found no matching overload for 'size' \
         applied to '(int)'"
    );
}

#[test]
fn existing_passwords_are_texts() {
    let migration = migration(
        "[phase.fields]\nx = \"1\"\n[phase.password]\nfield = \"secret\"\nfrom = \"doc.plain\"",
    );
    let phase = &migration.phases[0];
    let password = |document: Document| phase.plain_password(&raw(&document));
    assert_eq!(password(doc! { "plain": "hunter2" }), Ok("hunter2".to_owned()));
    for bad in [doc! { "plain": "" }, doc! { "plain": 5 }, doc! {}] {
        assert_eq!(
            password(bad),
            Err("its password, doc.plain, is not a text, or empty".to_owned())
        );
    }
}

#[test]
fn only_what_is_read_is_asked_for() {
    let some = migration(
        "where = \"doc.a.b == 1\"\nid = \"doc.k\"\n[phase.fields]\nx = \"doc.c.d\"\n\
         y = \"text(doc.e) + doc['f']\"",
    );
    assert_eq!(some.phases[0].reads(), None);
    let some = migration(
        "where = \"doc.a.b == 1\"\nid = \"doc.k\"\n[phase.fields]\nx = \"doc.c.d\"\n\
         y = \"text(doc.e)\"",
    );
    let fields = ["_id", "a", "c", "e", "k"].map(str::to_owned).to_vec();
    assert_eq!(some.phases[0].reads(), Some(fields));
}

#[test]
fn damaged_documents_are_left_out_with_the_reason() {
    let migration = migration("[phase.fields]\nx = \"text(doc.x)\"");
    let mut bytes = raw(&doc! { "_id": 1, "x": "aé" }).as_bytes().to_vec();
    let at = bytes.len() - 3;
    bytes[at] = b'x';
    let damaged = bson::RawDocument::from_bytes(&bytes).unwrap();
    let given = Given {
        id: Bson::Int32(1),
        key: "x",
        count: 1,
        set: &BTreeMap::new(),
        references: &[],
        now: NOW,
    };
    let reason = migration.phases[0].target(damaged, &given).unwrap_err();
    assert!(reason.starts_with("the document can't be read: "), "{reason}");
}
