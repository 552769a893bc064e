//! What errors of a migration file say.

use std::collections::BTreeMap;

use bson::doc;

use super::super::{Collision, Existing, IndexSpec, Migration, Password, PasswordMode, Unique};
use super::{file, migration, parse, raw};
use crate::mongo::hashing::Algorithm;

/// The message and the hint of a file with these lines in its phase.
fn phase_error(phase: &str) -> (String, String) {
    error(&file(phase))
}

fn error(text: &str) -> (String, String) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.to_string(), error.message);
    (error.message, error.hint)
}

const FIELDS: &str = "[phase.fields]\nx = \"doc.x\"\n";
const CEL: &str = "an expression is CEL over doc, vars and now (fields also: group, target and \
                   the references), such as \"slug(doc.name)\"";
const WHOLE: &str = "windlass migrate preset form-a-friend shows a whole file";
const NAME: &str = "a name is 1 to 60 letters, digits, -, _ or dots";

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    for (lines, message, hint) in [
        ("ungroup = \"x\"\n", "phase `all`.ungroup: there is no such key", "did you mean `group`?"),
        ("feilds = 1\n", "phase `all`.feilds: there is no such key", "did you mean `fields`?"),
        (
            "[phase.password]\nfield = \"p\"\ncots = 12\n",
            "phase `all`.password.cots: there is no such key",
            "did you mean `cost`?",
        ),
        (
            "[[phase.unique]]\nfields = [\"x\"]\nlenght = 3\ncollision = \"number\"\n",
            "phase `all`.unique[0].lenght: there is no such key",
            "did you mean `length`?",
        ),
        (
            "[[phase.check]]\nthat = \"true\"\nelse = \"x\"\n",
            "phase `all`.check[0].else: there is no such key",
            "there are that, otherwise",
        ),
    ] {
        let lines = match lines.starts_with('[') {
            true => format!("{FIELDS}{lines}"),
            false => format!("{lines}{FIELDS}"),
        };
        assert_eq!(phase_error(&lines), (message.to_owned(), hint.to_owned()), "{lines}");
    }
    assert_eq!(
        error(&file(FIELDS).replace("[variables]", "satmp = \"x\"\n[variables]")),
        ("satmp: there is no such key".to_owned(), "did you mean `stamp`?".to_owned())
    );
}

#[test]
fn expressions_are_checked_when_the_file_is_parsed() {
    let message = |expression: &str| {
        let (message, hint) = phase_error(&format!(
            "[phase.fields]\nfirst = \"1\"\n[phase.fields.deep]\nx = \"{expression}\"\n"
        ));
        assert_eq!(hint, CEL);
        let start = format!("phase `all`.fields.deep.x: `{expression}` ");
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    for (expression, expected) in [
        ("dok.name", "uses `dok`, and there is no such variable here, did you mean `doc`?"),
        ("wholly", "uses `wholly`, and there is no such variable here"),
        ("vars.amdin", "uses `vars.amdin`, which there is not here, did you mean `vars.admin`?"),
        ("group.cuont", "uses `group.cuont`, which there is not here, did you mean `group.count`?"),
        ("target.later", "uses `target.later`, which there is not here"),
        (
            "has(target.frist)",
            "uses `target.frist`, which there is not here, did you mean `target.first`?",
        ),
        ("slgu(doc.x)", "calls `slgu`, and there is no such function, did you mean `slug`?"),
        (
            "doc.x.startWith('a')",
            "calls `startWith`, and there is no such function, did you mean \
          `startsWith`?",
        ),
        ("doc.x.slug()", "calls x.slug(...), write slug(x, ...)"),
        ("[1].map(it, its)", "uses `its`, and there is no such variable here, did you mean `int`?"),
        ("acme.User{name: 1}", "makes a `acme.User`, and there is no such type"),
    ] {
        let expected = expected.replace(", did you mean `int`?", "");
        assert_eq!(message(expression), expected, "{expression}");
    }
    assert!(message("doc.x +").starts_with("is not valid: "));
    assert!(message("doc.x = 1").starts_with("is not valid: "));
    assert_eq!(message(&"1".repeat(20_001)), "is longer than 20000 characters");
    for lines in ["group = \"target.x\"\n", "id = \"group.key\"\n", "where = \"target.x\"\n"] {
        let (message, _) = phase_error(&format!("{lines}{FIELDS}"));
        assert!(message.contains("and there is no such variable here"), "{message}");
    }
}

#[test]
fn phases_are_checked() {
    for (lines, message, hint) in [
        ("", "phase `all`.fields: is missing", WHOLE),
        ("[phase.fields]\n", "phase `all`.fields: is empty", CEL),
        (
            "[phase.fields]\nx = true\n",
            "phase `all`.fields.x: is no expression",
            "write the expression as a string: \"true\", \"5\", \"'text'\"",
        ),
        (
            "[phase.fields]\n_id = \"doc._id\"\n",
            "phase `all`.fields._id: is no field of the mapping",
            "`_id` comes from `id`, the stamp from the program",
        ),
        (
            "[phase.fields]\n\"a.b\" = \"1\"\n",
            "phase `all`.fields.a.b: is no name of a field",
            "a field's name has no dot, no $ at its start, and is not empty",
        ),
        (
            "first = \"doc.a\"\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.first: is there without a `group`",
            "`first` says which document of a group is `doc`; add `group`",
        ),
        (
            "otherwise = \"x\"\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.otherwise: is there without a `where`",
            "it is the reason for what `where` leaves out",
        ),
        (
            "existing = \"mrege\"\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.existing: is \"mrege\", which it can't be",
            "did you mean \"merge\"?",
        ),
        (
            "existing = \"overwrite\"\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.existing: is \"overwrite\", which it can't be",
            "it is one of keep, replace, merge",
        ),
        (
            "filter = '[1]'\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.filter: is no query: it is not a document",
            "a query is extended JSON, such as '{\"month\": {\"$gte\": \"2020-01\"}}'",
        ),
        (
            "filter = '{\"a\": 1, \"a\": 2}'\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.filter: is no query: `a` is there twice at line 1 column 16",
            "a query is extended JSON, such as '{\"month\": {\"$gte\": \"2020-01\"}}'",
        ),
        (
            "filter = 5\n[phase.fields]\nx = \"1\"\n",
            "phase `all`.filter: is an integer, not a string",
            "write a string",
        ),
    ] {
        assert_eq!(phase_error(lines), (message.to_owned(), hint.to_owned()), "{lines}");
    }
}

#[test]
fn uniques_and_passwords_are_checked() {
    for (lines, message, hint) in [
        (
            "[[phase.unique]]\nfields = [\"xx\"]\n",
            "phase `all`.unique[0].fields: has `xx`, which the phase does not map",
            "did you mean `x`?",
        ),
        (
            "[[phase.unique]]\ncollision = \"skip\"\n",
            "phase `all`.unique[0].fields: is missing",
            WHOLE,
        ),
        (
            "[[phase.unique]]\nfields = [\"x\", \"y.z\"]\ncollision = \"number\"\n",
            "phase `all`.unique[0].collision: \"number\" is for one mapped field",
            "with several, say \"keep\", \"skip\" or \"fail\"",
        ),
        (
            "[[phase.unique]]\nfields = [\"x\"]\ncollision = \"number\"\nlength = 7\n",
            "phase `all`.unique[0].length: is not 8 to 10000",
            "such as 30",
        ),
        (
            "[[phase.unique]]\nfields = [\"x\"]\ncollision = \"keep\"\n",
            "phase `all`.unique[0].keep: is missing",
            WHOLE,
        ),
        (
            "[phase.password]\nfield = \"x\"\n",
            "phase `all`.password.field: is mapped too",
            "leave it out of `fields`",
        ),
        (
            "[phase.password]\nfield = \"y\"\n",
            "phase `all`.password.field: is mapped too",
            "leave it out of `fields`",
        ),
        (
            "[phase.password]\nfield = \"p\"\nalgorithm = \"bcrpyt\"\n",
            "phase `all`.password.algorithm: is \"bcrpyt\", which it can't be",
            "did you mean \"bcrypt\"?",
        ),
        (
            "[phase.password]\nfield = \"p\"\nmode = \"reset-token\"\nfrom = \"doc.p\"\n",
            "phase `all`.password.from: goes not with mode = \"reset-token\"",
            "a reset token is made up; leave `from` out",
        ),
    ] {
        let lines = format!("{FIELDS}[phase.fields.y]\nz = \"1\"\n{lines}");
        assert_eq!(phase_error(&lines), (message.to_owned(), hint.to_owned()), "{lines}");
    }
    let lines = format!("{FIELDS}[phase.password]\nfield = \"p\"\ncost = 3\n");
    let (message, _) = phase_error(&lines);
    assert!(message.starts_with("phase `all`.password.algorithm: can't be used: "), "{message}");
}

#[test]
fn references_are_checked() {
    let reference = |lines: &str| {
        error(&format!(
            "name = \"t\"\n[[phase]]\nname = \"users\"\nfrom = \"a\"\nto = \"b\"\n\
             group = \"fold(doc.name)\"\n[phase.fields]\nx = \"1\"\n\
             [[phase]]\nname = \"posts\"\nfrom = \"a\"\nto = \"c\"\n\
             [phase.references.{lines}\n[phase.fields]\nx = \"user.mail\"\n"
        ))
    };
    for (lines, message, hint) in [
        (
            "user]\nphase = \"user\"\nkey = \"fold(doc.name)\"",
            "phase `posts`.references.user.phase: is `user`, and no earlier phase is called so",
            "did you mean `users`?",
        ),
        (
            "user]\nphase = \"posts\"\nkey = \"fold(doc.name)\"",
            "phase `posts`.references.user.phase: is `posts`, and no earlier phase is called so",
            "a phase refers to one that is above it in the file",
        ),
        (
            "user]\nphase = \"users\"\nkey = \"doc.name\"",
            "phase `posts`.references.user.key: is `doc.name`, but the phase `users` groups by \
             `fold(doc.name)`",
            "make the key with the same function as the group",
        ),
        (
            "target]\nphase = \"users\"\nkey = \"fold(doc.name)\"",
            "phase `posts`.references.target: is no name of a variable",
            "it begins with a letter, then letters, digits and _",
        ),
        (
            "user]\nphase = \"users\"\nkey = \"fold(doc.name)\"\nfields = [\"email\"]",
            "phase `posts`.fields.x: `user.mail` uses `user.mail`, which there is not here, did \
             you mean `user.email`?",
            CEL,
        ),
        (
            "user]\nphase = \"users\"\nkey = \"fold(doc.name)\"\nfields = \"mail\"",
            "phase `posts`.references.user.fields: is a string, not a list of strings",
            "write a list of strings",
        ),
    ] {
        assert_eq!(reference(lines), (message.to_owned(), hint.to_owned()), "{lines}");
    }
}

#[test]
fn the_top_of_the_file_is_checked() {
    let top =
        |lines: &str| error(&file(FIELDS).replace("[variables]", &format!("{lines}\n[variables]")));
    for (lines, message, hint) in [
        (
            "stamp = \"_id\"",
            "stamp: is no name of a top-level field",
            "a field's name has no dot, \
          no $ at its start, and is not empty",
        ),
        ("max_left = \"ten\"", "max_left: is no share", "such as \"10%\""),
        ("max_left = \"101%\"", "max_left: is no share", "such as \"10%\""),
        (
            "write_concern = { w = 0 }",
            "write_concern.w: is not 1 to 50",
            "unacknowledged writes \
          (w = 0) can be lost without anybody knowing",
        ),
        (
            "write_concern = { j = 1 }",
            "write_concern.j: is an integer, not true or false",
            "write true or false",
        ),
        (
            "write_concern = { wtimeout = 0 }",
            "write_concern.wtimeout: is no number of \
          milliseconds",
            "such as 30000",
        ),
        (
            "index = [{ collection = \"a\", keys = { x = 2 } }]",
            "index[0].keys: has no direction for `x`",
            "it is 1, -1, \"hashed\", \"text\" or \"2dsphere\"",
        ),
        ("index = [{ collection = \"a\" }]", "index[0].keys: is missing", WHOLE),
        (
            "index = [{ collection = \"a$b\", keys = { x = 1 } }]",
            "index[0].collection: is `a$b`, which no collection is called",
            "a collection's name is 1 to 200 characters without $, and not system.*",
        ),
        (
            "index = { collection = \"a\" }",
            "index: is a table, not a list of tables; begin each \
          with [[index]]",
            "write a list of tables; begin each with [[index]]",
        ),
    ] {
        assert_eq!(top(lines), (message.to_owned(), hint.to_owned()), "{lines}");
    }
    assert_eq!(
        error("name = \"x\""),
        (
            "the file has no [[phase]]".to_owned(),
            "a phase says which collection is read, which is written, and the fields".to_owned()
        )
    );
    assert_eq!(error(""), ("name: is missing".to_owned(), WHOLE.to_owned()));
    assert_eq!(
        error("name = \"a b\""),
        ("name: is `a b`, which is no name".to_owned(), NAME.to_owned())
    );
    assert!(error("name = ").0.starts_with("the file is not TOML: TOML parse error at line 1"));
    assert_eq!(
        error(&"#".repeat(1_048_577)).0,
        "the file has 1048577 bytes, and 1048576 are the most"
    );
    let twice = format!("{}[[phase]]\nname = \"all\"\nfrom = \"a\"\nto = \"b\"\n", file(FIELDS));
    assert_eq!(error(&twice).0, "phase `all`.name: is that of another phase too");
}

#[test]
fn variables_come_from_the_environment_or_from_a_run() {
    let text = file("[phase.fields]\nx = \"vars.who\"").replace(
        "admin = \"Zoé\"",
        "admin = \"Zoé\"\nwho = { env = \"WHO\" }\nor = { env = \"OR\", default = \"d\" }",
    );
    let error = parse(&text).unwrap_err();
    assert_eq!(error.message, "variables.who: the environment variable WHO is not set");
    assert_eq!(error.hint, "set WHO, or give the variable a `default`");
    let set = |name: &str| (name == "WHO").then(|| "me".to_owned());
    let parsed = Migration::parse(&text, &set).unwrap();
    let variables: BTreeMap<String, String> =
        [("admin", "Zoé"), ("who", "me"), ("or", "d")].map(|(k, v)| (k.into(), v.into())).into();
    assert_eq!(parsed.variables, variables);
    let restored = Migration::restore(&text, variables.clone()).unwrap();
    assert_eq!(restored.variables, variables);
    let error = Migration::restore(&text, BTreeMap::new()).unwrap_err();
    assert_eq!(error.message, "the variable `admin` has no value in what was kept of the run");
    assert_eq!(error.hint, "the file is not the one that the run was planned with");
    let odd = file(FIELDS).replace("admin", "\"a-b\"");
    let error = parse(&odd).unwrap_err();
    assert_eq!(error.message, "variables.a-b: is no name that an expression can use");
}

#[test]
fn what_the_file_leaves_out_has_defaults() {
    let migration = migration(&format!(
        "{FIELDS}[phase.fields.y]\nz = \"1\"\n[phase.password]\nfield = \"p\"\n\
         [[phase.unique]]\nfields = [\"x\"]\n\
         [[phase.unique]]\nfields = [\"x\"]\ncollision = \"number\"\n\
         [[phase.unique]]\nfields = [\"x\", \"y.z\"]\ncollision = \"skip\"\n"
    ));
    assert_eq!(migration.stamp, "_windlass");
    assert_eq!(migration.write_concern, doc! { "w": "majority", "j": true });
    assert_eq!(migration.max_left, None);
    assert_eq!(migration.indexes, []);
    let phase = &migration.phases[0];
    assert_eq!((phase.existing, &phase.filter), (Existing::Keep, &None));
    let mode = PasswordMode::Hash(Algorithm::Bcrypt { cost: 12 });
    let password = Password { field: "p".to_owned(), existing: false, mode };
    assert_eq!(phase.password, Some(password));
    let unique = |fields: &[&str], collision| Unique {
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        collision,
    };
    let otherwise = "another document has the same x, y.z".to_owned();
    assert_eq!(
        phase.unique,
        [
            unique(&["x"], Collision::Fail),
            unique(&["x"], Collision::Number { length: 100 }),
            unique(&["x", "y.z"], Collision::Skip { otherwise }),
        ]
    );
}

#[test]
fn what_the_file_says_is_taken() {
    let text = file(
        "filter = '{\"when\": {\"$gte\": {\"$date\": \"1970-01-01T00:00:01Z\"}}}'\n\
         existing = \"merge\"\n[phase.fields]\nx = \"doc.x\"\n\
         [phase.password]\nfield = \"a.b\"\nalgorithm = \"scrypt\"\nlog_n = 15\n",
    )
    .replace(
        "[variables]",
        "stamp = \"by\"\nmax_left = \"2.5 %\"\nwrite_concern = { w = 2, wtimeout = 500 }\n\
         [[index]]\ncollection = \"a\"\nunique = true\n\
         keys = { b = -1, \"a.c\" = 1, d = \"hashed\" }\n[variables]",
    );
    let migration = parse(&text).unwrap();
    assert_eq!(migration.stamp, "by");
    assert_eq!(migration.max_left, Some(0.025));
    assert_eq!(migration.write_concern, doc! { "w": 2, "wtimeout": 500 });
    let keys = doc! { "b": -1, "a.c": 1, "d": "hashed" };
    let index = IndexSpec { collection: "a".to_owned(), keys, unique: true };
    assert_eq!(migration.indexes, [index]);
    let names: Vec<&String> = migration.indexes[0].keys.keys().collect();
    assert_eq!(names, ["b", "a.c", "d"]);
    let phase = &migration.phases[0];
    let date = bson::DateTime::from_millis(1_000);
    assert_eq!(phase.filter, Some(doc! { "when": { "$gte": date } }));
    let ordered = parse(&file(
        "filter = '{\"z\": {\"$in\": [1, 2.5]}, \"a\": {\"y\": 1, \"b\": 2}}'\n\
         [phase.fields]\nx = \"doc.x\"\n",
    ))
    .unwrap();
    let filter = ordered.phases[0].filter.as_ref().unwrap();
    assert_eq!(raw(filter), raw(&doc! { "z": { "$in": [1, 2.5] }, "a": { "y": 1, "b": 2 } }));
    assert_eq!(phase.existing, Existing::Merge);
    let mode = PasswordMode::Hash(Algorithm::Scrypt { log_n: 15, r: 8, p: 1 });
    assert_eq!(phase.password.as_ref().map(|password| password.mode), Some(mode));
    assert_eq!(migration.text, text);
}
