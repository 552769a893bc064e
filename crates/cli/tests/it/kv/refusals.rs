//! Every mistake that a user can make with these commands: what is said, and with which code the
//! program ends. None of them changes anything.

use super::{Cloud, FULL};
use crate::support::Home;
use expect_test::expect;

const LIST: &[&str] = &["kv", "list", "--namespace", FULL];

fn scene() -> (Home, Cloud) {
    (Home::new(), Cloud::start(&["--keys", "100"]))
}

#[test]
fn an_account_a_token_and_an_address_are_needed() {
    let (home, cloud) = scene();
    let program = |leave_out: &str| {
        let known = cloud.variables().into_iter().filter(|(name, _)| *name != leave_out);
        known.fold(home.windlass(LIST), |program, (name, value)| program.env(name, value))
    };
    let ended = program("CLOUDFLARE_ACCOUNT_ID").run().code(2);
    expect![[r#"
        error: no account is named

        hint: set CLOUDFLARE_ACCOUNT_ID, or name --account-id
    "#]]
    .assert_eq(&ended.error());
    let ended = program("CLOUDFLARE_API_TOKEN").run().code(2);
    assert!(ended.error().contains("CLOUDFLARE_API_TOKEN"), "{}", ended.err);
    let half = program("CLOUDFLARE_API_TOKEN").env("CLOUDFLARE_API_KEY", "cf-key-1");
    let ended = half.run().code(2);
    assert!(ended.error().contains("CLOUDFLARE_EMAIL is not"), "{}", ended.err);
    assert!(cloud.sim.ledger().is_empty());
    let pair = program("CLOUDFLARE_API_TOKEN").env("CLOUDFLARE_API_KEY", "cf-key-1");
    assert_eq!(
        pair.env("CLOUDFLARE_EMAIL", "ops@example.com").run().code(0).out.lines().count(),
        100
    );
}

#[test]
fn a_wrong_token_is_not_tried_twice() {
    let (home, cloud) = scene();
    let ended = cloud.at(&home, LIST).env("CLOUDFLARE_API_TOKEN", "cf-wrong").run().code(6);
    assert!(ended.error().contains("Authentication error (status 401, 10000)"), "{}", ended.err);
    assert!(ended.error().contains("hint: check CLOUDFLARE_API_TOKEN"), "{}", ended.err);
    assert!(!ended.err.contains("cf-wrong"), "{}", ended.err);
    assert_eq!(cloud.sim.ledger().len(), 1);
    let delete = ["kv", "delete", "--namespace", FULL, "--all-keys", "--yes"];
    cloud.at(&home, &delete).env("CLOUDFLARE_API_TOKEN", "cf-wrong").run().code(6);
    assert!(home.runs().is_empty());
}

#[test]
fn a_remote_that_is_not_there() {
    let (home, cloud) = scene();
    let nowhere = "http://127.0.0.1:9/client/v4";
    let words = [LIST, &["--deadline", "1s"]].concat();
    let ended = cloud.at(&home, &words).env("CLOUDFLARE_API_BASE_URL", nowhere).run().code(7);
    assert!(ended.error().starts_with("error: the remote gave no answer"), "{}", ended.err);
    assert!(ended.error().contains("onnection refused"), "{}", ended.err);
    let export = ["kv", "export", "--namespace", FULL, "-o", "a.jsonl", "--deadline", "1s"];
    let ended = cloud.at(&home, &export).env("CLOUDFLARE_API_BASE_URL", nowhere).run().code(7);
    assert!(ended.err.contains("onnection refused"), "{}", ended.err);
    assert_eq!(std::fs::read_dir(home.work()).unwrap().count(), 0, "no file is begun");
}

#[test]
fn what_is_named_is_not_there() {
    let (home, cloud) = scene();
    let title = cloud.at(&home, &["kv", "list", "--namespace", "namespase-1"]).run().code(2);
    expect![[r#"
        error: there is no namespace `namespase-1`

        hint: there is `namespace-1`, `namespace-2`; `windlass kv namespaces` shows all
    "#]]
    .assert_eq(&title.error());
    let id = ["kv", "list", "--namespace-id", "00000000000000000000000000000000"];
    let id = cloud.at(&home, &id).run().code(2);
    assert!(id.error().starts_with("error: namespace not found (status 404, 10013)"), "{}", id.err);
    let key = ["kv", "get", "--namespace", FULL, "--key", "none"];
    let key = cloud.at(&home, &key).run().code(2);
    expect![[r#"
        error: there is no key `none` in the namespace (status 404, 10009) [request REQUEST]

        hint: `windlass kv list --prefix` shows what is there
    "#]]
    .assert_eq(&key.error());
    let zone = cloud.at(&home, &["zones", "get", "zone-9.example"]).run().code(2);
    assert!(zone.error().contains("zone-1.example"), "{}", zone.err);
    let file = ["kv", "import", "none.jsonl", "--namespace", FULL];
    let file = cloud.at(&home, &file).run().code(2);
    assert!(file.error().starts_with("error: none.jsonl can't be read: "), "{}", file.err);
}

#[test]
fn what_makes_no_sense() {
    let (home, cloud) = scene();
    let list =
        |words: &[&'static str]| cloud.at(&home, &[LIST, words].concat()).run().code(2).error();
    expect![[r#"
        error: the prefix `ab` begins with the prefix `a`

        hint: leave one of `a`, `ab` out
    "#]]
    .assert_eq(&list(&["--shards", "a,ab"]));
    assert!(list(&["--pattern", "("]).contains("hint: "));
    assert!(list(&["--where", "name =="]).contains("hint: "));
    assert!(list(&["--tag-value", "x"]).contains("--tag-field"));
    let same = ["kv", "copy", "--namespace", FULL, "--to", FULL];
    let same = cloud.at(&home, &same).run().code(2);
    assert!(same.error().contains("both namespaces are the same"), "{}", same.err);
    let policy = ["kv", "import", "/dev/null", "--namespace", FULL, "--expired", "keep"];
    assert!(cloud.at(&home, &policy).run().code(2).error().contains("clamp"));
    let zone = ["cache", "purge", "everything", "--yes"];
    let zone = cloud.at(&home, &zone).run().code(2);
    assert!(zone.error().starts_with("error: no zone is named"), "{}", zone.err);
    let delete = ["kv", "delete", "--namespace", FULL, "--yes"];
    let delete = cloud.at(&home, &delete).run().code(5);
    assert!(delete.error().starts_with("error: nothing says which keys to delete"));
    assert_eq!(cloud.writes(), 0);
}

#[test]
fn a_file_is_not_overwritten_unasked() {
    let (home, cloud) = scene();
    home.write("work/a.jsonl", "mine");
    let export = ["kv", "export", "--namespace", FULL, "-o", "a.jsonl"];
    let ended = cloud.at(&home, &export).run().code(5);
    expect![[r#"
        error: HOME/work/a.jsonl is there already

        hint: name another file, or add --overwrite
    "#]]
    .assert_eq(&ended.error());
    assert_eq!(std::fs::read_to_string(home.work().join("a.jsonl")).unwrap(), "mine");
    assert!(home.runs().is_empty());
    cloud.at(&home, &[&export[..], &["--overwrite"]].concat()).run().code(0);
    let written = std::fs::read_to_string(home.work().join("a.jsonl")).unwrap();
    assert_eq!(written.lines().count(), 100);
}
