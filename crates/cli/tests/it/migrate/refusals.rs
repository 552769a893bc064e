//! Every mistake that a user can make with `windlass migrate`: what is said, and with which code
//! the program ends. None of them writes anything. And the ways to keep passwords besides bcrypt,
//! end to end, judged by other implementations.

use super::{RECIPE, RUN, Scene, preset, response, run_of, text};
use crate::support::{Home, wait_until};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use mongodb::bson::{Document, doc};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const STATUS: &[&str] = &["migrate", "status", "--deadline", "2s", "--timeout", "1s"];

/// A scene with two people on a simulated server.
fn scene(flags: &[&str]) -> Scene {
    let scene = Scene::simulated(flags);
    let two = [response(1, "Ada Martin", "2024-01"), response(2, "Tom Ek", "2024-01")];
    scene.db.insert("responses", &two);
    scene.file(&preset())
}

/// The first line of the error of a command that ends with this code.
#[track_caller]
fn refused(scene: &Scene, words: &[&str], code: i32) -> (String, String) {
    let error = scene.windlass(words).run().code(code).error();
    let hint = error.split_once("hint: ").map_or("", |(_, hint)| hint);
    let first = error.lines().next().unwrap_or_default();
    (first.trim_end_matches(" \\").to_owned(), hint.trim_end().to_owned())
}

#[test]
fn an_address_is_needed() {
    let home = Home::new();
    let ended = home.windlass(STATUS).run().code(2);
    assert!(ended.err.contains("error: there is no key: MONGODB_URI is not set"), "{}", ended.err);
    let bad = [
        ("http://127.0.0.1/faf", "MONGODB_URI is not understood: "),
        ("mongodb://127.0.0.1:1", "MONGODB_URI is not understood: it names no database"),
    ];
    for (uri, what) in bad {
        let ended = home.windlass(STATUS).env("MONGODB_URI", uri).run().code(2);
        assert!(ended.err.contains(&format!("error: {what}")), "{}", ended.err);
        assert!(ended.err.contains("hint: write mongodb://HOST:PORT/DATABASE"), "{}", ended.err);
    }
    assert!(home.runs().is_empty());
}

#[test]
fn a_server_that_is_not_there() {
    let home = Home::new();
    let secret = "mongodb://ada:tiger42@127.0.0.1:9/faf";
    let ended = home.windlass(STATUS).env("MONGODB_URI", secret).run().code(7);
    assert!(ended.err.contains("error: the remote gave no answer"), "{}", ended.err);
    assert!(!ended.err.contains("tiger42"), "{}", ended.err);
}

#[test]
fn migration_files_that_are_wrong() {
    let scene = scene(&[]);
    let plan = ["migrate", "plan", "m.toml", "--allow-scan"];
    let cases = [
        (preset().replace("stamp =", "stemp ="), "error: stemp: there is no such key"),
        (preset().replace("otherwise = \"no usable", "otherwize = \"no usable"), "error: phase"),
        (
            preset().replace("text(doc.name) != ''", "text(doc.name !!"),
            "error: phase `users`.where",
        ),
        (preset().replace("slug(doc.name", "slugg(doc.name"), "error: phase `users`"),
        ("name = \"x\"".to_owned(), "error: the file has no [[phase]]"),
        ("name =".to_owned(), "error: the file is not TOML"),
        (format!("{}\n[throttle]\nlagg = \"1s\"\n", preset()), "error: "),
    ];
    for (file, what) in cases {
        assert_ne!(file, preset());
        scene.home.write("work/m.toml", &file);
        let (first, hint) = refused(&scene, &plan, 2);
        assert!(first.starts_with(what), "{what}\n{first}");
        assert!(!hint.is_empty(), "{first}");
    }
    let (first, hint) = refused(&scene, &["migrate", "plan", "none.toml"], 2);
    assert!(first.starts_with("error: the migration file none.toml can't be read"), "{first}");
    assert!(hint.contains("windlass migrate preset form-a-friend"), "{hint}");
    let (first, hint) = refused(&scene, &["migrate", "preset", "form-a-foe"], 2);
    assert_eq!(first, "error: there is no preset `form-a-foe`");
    assert_eq!(hint, "there are: form-a-friend");
    assert!(scene.home.runs().is_empty());
    assert_eq!(scene.db.count("users", doc! {}), 0);
}

#[test]
fn a_source_without_an_index_is_not_read() {
    for scene in [Some(scene(&[])), Scene::real().map(|scene| scene.with(&RECIPE))] {
        let Some(scene) = scene else { return };
        let (first, hint) = refused(&scene, &["migrate", "run", "m.toml", "--execute"], 2);
        assert_eq!(first, "error: no index serves the filter of phase invitations");
        assert!(hint.contains("--allow-scan"), "{hint}");
        assert!(scene.home.runs().is_empty());
        // The index that the application has on its private links serves it.
        scene.db.index("responses", doc! { "token": 1 }, "token_1", false);
        scene.windlass(&["migrate", "run", "m.toml", "--execute"]).run().code(0);
    }
}

#[test]
fn too_many_that_are_left_out() {
    let scene = scene(&[]);
    scene.db.insert("responses", &[response(3, "  ", "2024-01")]);
    let (first, hint) = refused(&scene, RUN, 2);
    assert!(
        first.starts_with("error: 1 of 3 documents of phase users are left out, 33.3 %"),
        "{first}"
    );
    assert!(hint.contains("raise max_left"), "{hint}");
    assert_eq!(scene.db.count("users", doc! {}), 0);
    assert!(scene.home.runs().is_empty());
}

#[test]
fn values_that_are_not_unique() {
    let scene = scene(&[]);
    let fixed = preset().replace("target.username + '@migrated.example.com'", "'a@b.com'");
    scene.home.write("work/m.toml", fixed);
    let error = scene.run(&[]).run();
    assert_ne!(error.status.code(), Some(0));
    let error = error.err;
    assert!(error.contains("error: 1 documents have the same email as another"), "{error}");
    assert!(error.contains("a@b.com") && error.contains("hint: nothing was written"), "{error}");
    assert_eq!(scene.db.count("users", doc! {}), 0);
}

#[test]
fn another_key_gives_other_passwords() {
    let scene = scene(&[]);
    let running = scene.run(&["--secrets-key", "key", "--max-requests-per-second", "4"]).spawn();
    wait_until("a person", || scene.db.count("users", doc! {}) > 0);
    running.signal("INT");
    running.wait().code(4);
    let run = scene.home.run();
    // A plan that names a new file makes the key in it.
    scene.windlass(&["migrate", "plan", "m.toml", "--allow-scan", "--secrets-key", "other"]).run();
    let resume = ["resume", &run];
    let (first, hint) = refused(&scene, &resume, 2);
    assert!(first.contains("made from a key that is not named"), "{first}");
    assert!(hint.contains("WINDLASS_SECRETS_KEY"), "{hint}");
    let ended = scene.windlass(&resume).env("WINDLASS_SECRETS_KEY", "other").run().code(5);
    assert!(ended.err.contains("is not the key that this run began with"), "{}", ended.err);
    let secrets = ["migrate", "secrets", &run, "--secrets-key", "other"];
    let (first, _) = refused(&scene, &secrets, 5);
    assert!(first.contains("this is not the key"), "{first}");
    let (first, _) = refused(&scene, &["migrate", "secrets", &run], 2);
    assert!(first.contains("is not named"), "{first}");
    scene.windlass(&resume).env("WINDLASS_SECRETS_KEY", "key").run().code(0);
    scene.verified(&run, 0);
}

#[test]
fn a_run_at_work_is_not_taken_back() {
    let scene = scene(&[]);
    let running = scene.run(&["--max-requests-per-second", "3"]).spawn();
    let leased = doc! { "state": "leased" };
    wait_until("a lease", || scene.db.count("windlass_ranges", leased.clone()) > 0);
    let runs = scene.db.find("windlass_runs", doc! {});
    let run = text(&runs[0], "_id").to_owned();
    let back = ["migrate", "rollback", &run, "--yes"];
    let ended = scene.at(&Home::new(), &back).run();
    assert_ne!(ended.status.code(), Some(0), "{}", ended.err);
    assert!(ended.err.contains(&format!("error: run {run} is at work")), "{}", ended.err);
    assert!(ended.err.contains(&format!("hint: `windlass migrate stop {run}`")), "{}", ended.err);
    running.wait().code(0);
    scene.verified(&run, 0);
    // Over, it is taken back once.
    scene.windlass(&back).run().code(0);
    assert_eq!(scene.db.count("users", doc! {}), 0);
    let again = scene.windlass(&back).run();
    assert!(again.err.contains("is rolled back already"), "{}", again.err);
    let resumed = scene.windlass(&["resume", &run]).run();
    assert_ne!(resumed.status.code(), Some(1), "{}", resumed.err);
    assert_eq!(scene.db.count("users", doc! {}), 0, "it stays as it was");
}

#[test]
fn a_rollback_asks_first() {
    let scene = scene(&[]);
    let run = run_of(&scene.migrated(&[])).to_owned();
    let ended = scene.windlass(&["migrate", "rollback", &run]).run().code(5);
    assert!(ended.err.contains("error: nobody can be asked"), "{}", ended.err);
    assert_eq!(scene.db.count("users", doc! {}), 2);
}

#[test]
fn runs_that_are_not_known() {
    let scene = scene(&[]);
    let none = "mongo-20200101-000000-none";
    let commands: [&[&str]; 7] = [
        &["migrate", "status", none],
        &["migrate", "verify", none],
        &["migrate", "rollback", none, "--yes"],
        &["migrate", "pause", none],
        &["migrate", "stop", none],
        &["migrate", "throttle", none, "5"],
        &["migrate", "run", "--workers-of", none, "--execute"],
    ];
    for words in commands {
        let (first, hint) = refused(&scene, words, 2);
        assert_eq!(first, format!("error: there is no run {none} in this database"), "{words:?}");
        assert_eq!(hint, "`windlass migrate status` lists the runs of a database", "{words:?}");
    }
    let (first, _) = refused(&scene, &["migrate", "throttle", none, "-1"], 2);
    assert!(first.starts_with("error: "), "{first}");
}

#[test]
fn servers_of_another_age() {
    for (flags, age) in [
        (["--min-wire-version", "0", "--max-wire-version", "6"], "too old"),
        (["--min-wire-version", "40", "--max-wire-version", "45"], "too new"),
    ] {
        let scene = Scene::simulated(&[]);
        let options = windlass_connectors::mongo::sim::Options::read(&flags).unwrap();
        let set = |of: &mut windlass_connectors::mongo::sim::Options| {
            of.min_wire_version = options.min_wire_version;
            of.max_wire_version = options.max_wire_version;
        };
        scene.server().sim.set_options(set).unwrap();
        let ended = scene.windlass(STATUS).run();
        assert!(ended.status.code().is_some_and(|code| code == 2 || code == 7), "{age}");
        let words = ended.error();
        assert!(words.contains("wire version"), "{age}: {words}");
    }
}

/// The preset with other words about passwords.
fn with_password(words: &str) -> String {
    let usual = "field = \"password\"\nalgorithm = \"bcrypt\"\ncost = 4\n";
    let text: String =
        preset().lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    assert!(text.contains(usual), "{text}");
    text.replace(usual, words)
}

/// What the database has as the password of each person, and what they were told.
fn passwords(words: &str, secret: &str) -> Option<BTreeMap<String, (String, String)>> {
    let scene = Scene::real()?;
    let two = [response(1, "Ada Martin", "2024-01"), response(2, "Tom Ek", "2024-01")];
    scene.db.insert("responses", &two);
    let scene = scene.file(&with_password(words));
    let report = scene.migrated(&["--secrets-key", "key"]);
    let words = ["migrate", "secrets", run_of(&report), "--secrets-key", "key"];
    let told = scene.windlass(&words).run().code(0).json();
    scene.verified(run_of(&report), 0);
    let users = scene.db.all("users");
    assert_eq!((told.len(), users.len()), (2, 2));
    let of = |user: &Document| {
        let name = text(user, "username").to_owned();
        let own = told.iter().find(|one| one["name"] == *name).unwrap();
        let own = own[secret].as_str().unwrap().to_owned();
        (name, (text(user, "password").to_owned(), own))
    };
    Some(users.iter().map(of).collect())
}

#[test]
fn argon2id_as_others_read_it() {
    let words = "field = \"password\"\nalgorithm = \"argon2id\"\nmemory_kib = 8192\npasses = 1\n";
    let Some(all) = passwords(words, "password") else { return };
    for (phc, password) in all.values() {
        let parts: Vec<&str> = phc.split('$').collect();
        assert_eq!(parts[..4], ["", "argon2id", "v=19", "m=8192,t=1,p=1"], "{phc}");
        let (salt, hash) = (STANDARD_NO_PAD.decode(parts[4]), STANDARD_NO_PAD.decode(parts[5]));
        let (salt, hash) = (salt.unwrap(), hash.unwrap());
        let params = Params::new(8192, 1, 1, Some(hash.len())).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut own = vec![0; hash.len()];
        argon2.hash_password_into(password.as_bytes(), &salt, &mut own).unwrap();
        assert_eq!(own, hash);
    }
}

#[test]
fn scrypt_as_others_read_it() {
    let words = "field = \"password\"\nalgorithm = \"scrypt\"\nlog_n = 10\n";
    let Some(all) = passwords(words, "password") else { return };
    for (phc, password) in all.values() {
        let parts: Vec<&str> = phc.split('$').collect();
        assert_eq!(parts[..3], ["", "scrypt", "ln=10,r=8,p=1"], "{phc}");
        let (salt, hash) = (STANDARD_NO_PAD.decode(parts[3]), STANDARD_NO_PAD.decode(parts[4]));
        let (salt, hash) = (salt.unwrap(), hash.unwrap());
        let params = scrypt::Params::new(10, 8, 1).unwrap();
        let mut own = vec![0; hash.len()];
        scrypt::scrypt(password.as_bytes(), &salt, &params, &mut own).unwrap();
        assert_eq!(own, hash);
    }
}

#[test]
fn tokens_are_kept_as_their_digest() {
    let Some(all) = passwords("field = \"password\"\nmode = \"reset-token\"\n", "token") else {
        return;
    };
    for (kept, token) in all.values() {
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        assert!(bytes.len() >= 16, "{token}: at least 128 bits");
        let digest: String =
            Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(kept.ends_with(&digest), "{kept}");
        assert_ne!(kept, token);
    }
    assert_eq!(all.len(), 2);
}
