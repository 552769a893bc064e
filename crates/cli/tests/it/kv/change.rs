//! Imports, copies and deletions: what is asked first, what is refused, and what is left.

use super::{Cloud, EMPTY, FULL};
use crate::support::{Home, keys};
use crate::terminal::Terminal;
use serde_json::json;

const DELETE_ALL: &[&str] = &["kv", "delete", "--namespace", FULL, "--all-keys"];

#[test]
fn an_import_and_a_copy_bring_back_everything() {
    let flags = ["--keys", "330", "--odd-keys", "--binary-every", "30", "--expiring-every", "40"];
    let (home, cloud) = (Home::new(), Cloud::start(&flags));
    let (full, empty) = cloud.ids();
    for name in ["a.jsonl", "a.csv"] {
        let export = ["kv", "export", "--namespace", FULL, "-o", name];
        cloud.at(&home, &export).run().code(0);
        let import = ["kv", "import", name, "--namespace", EMPTY, "--output", "json"];
        let report = cloud.at(&home, &import).run().code(0).report();
        assert_eq!((&report["outcomes"]["done"], &report["left"]), (&json!(330), &json!(0)));
        assert_eq!(cloud.sim.digest(&empty), cloud.sim.digest(&full), "{name}");
        let clear = ["kv", "delete", "--namespace", EMPTY, "--all-keys", "--yes"];
        cloud.at(&home, &clear).run().code(0);
        assert!(cloud.sim.is_empty(&empty));
    }
    let copy = ["kv", "copy", "--namespace", FULL, "--to", EMPTY];
    cloud.at(&home, &copy).run().code(0);
    assert_eq!(cloud.sim.digest(&empty), cloud.sim.digest(&full));
    let part = ["kv", "copy", "--namespace", FULL, "--to", EMPTY, "--prefix", "a"];
    cloud.at(&home, &part).run().code(0);
    assert_eq!(cloud.sim.digest(&empty), cloud.sim.digest(&full), "the same once more");
}

#[test]
fn records_are_written_from_a_file_of_put_too() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
    let (full, _) = cloud.ids();
    let records = r#"[{"key":"a","value":"1"},{"key":"b","value":"AP8=","base64":true},
        {"key":"c","value":"3","metadata":{"x":1},"expiration_ttl":600}]"#;
    home.write("work/records.json", records);
    let put = ["kv", "put", "--namespace", FULL, "--bulk", "--bulk-file", "records.json"];
    cloud.at(&home, &put).run().code(0);
    assert_eq!(cloud.sim.keys(&full), ["a", "b", "c"]);
    assert_eq!(cloud.sim.value(&full, "b").unwrap().0, [0, 255]);
    let (value, metadata, expiration) = cloud.sim.value(&full, "c").unwrap();
    assert_eq!((&*value, metadata.as_deref()), (&b"3"[..], Some("{\"x\":1}")));
    assert!(expiration.is_some());
    assert_eq!(cloud.sim.counts().bulk_put, 1);
}

#[test]
fn a_malformed_line_is_named_and_nothing_is_sent() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
    let good = "{\"key\":\"a\",\"value\":\"1\"}\n";
    for (line, content) in [
        (2, format!("{good}{{\"key\":\"b\"\n")),
        (3, format!("{good}{good}{{\"key\":\"c\",\"value\":3}}\n").replacen("\"a\"", "\"z\"", 1)),
        (1, format!("{{\"key\":\"..\",\"value\":\"1\"}}\n{good}")),
        (2, format!("{good}{{\"key\":\"{}\",\"value\":\"1\"}}\n", "k".repeat(513))),
    ] {
        home.write("work/bad.jsonl", &content);
        let import = ["kv", "import", "bad.jsonl", "--namespace", FULL];
        let ended = cloud.at(&home, &import).run().code(2);
        assert!(ended.error().contains(&format!("line {line}")), "{}", ended.err);
        assert!(ended.error().contains("hint: "), "{}", ended.err);
    }
    assert_eq!(cloud.writes(), 0);
    assert!(home.runs().is_empty(), "nothing is kept of what never began");
}

#[test]
fn a_deletion_shows_what_it_would_do_and_does_exactly_that() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "1500"]));
    let (full, _) = cloud.ids();
    let all = cloud.sim.keys(&full);
    let (chosen, others): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|name| name.starts_with(['a', '7']));
    let words = ["kv", "delete", "--namespace", FULL, "--bulk", "--pattern", "^[a7]"];
    let shown = cloud.at(&home, &[&words[..], &["--dry-run"]].concat()).run().code(0);
    let found = format!("Found {} keys to delete (of 1,500 seen)", chosen.len());
    assert!(shown.out.contains(&found), "{}", shown.out);
    assert_eq!(keys(&home.of_run("plan.jsonl")), chosen);
    assert_eq!(cloud.writes(), 0);
    // Without a terminal nobody can be asked.
    let asked = cloud.at(&home, &words).run().code(5);
    assert!(asked.err.contains("error: nobody can be asked: this is not a terminal"));
    let most = [&words[..], &["--yes", "--max-delete", "100"]].concat();
    let refused = cloud.at(&home, &most).run().code(5);
    assert!(refused.err.contains("more than --max-delete 100 allows"), "{}", refused.err);
    assert_eq!(cloud.writes(), 0);
    let plan = &home.runs()[0];
    let json = ["apply", plan, "--yes", "--output", "json"];
    let report = cloud.at(&home, &json).run().code(0).report();
    assert_eq!(report["outcomes"]["done"], json!(chosen.len()));
    assert_eq!(cloud.sim.keys(&full), others);
    assert_eq!((cloud.sim.counts().bulk_delete, cloud.sim.counts().delete), (1, 0));
}

#[test]
fn only_the_count_confirms_a_deletion() {
    for typed in ["", "yes", "39", "400"] {
        let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "40"]));
        let words = DELETE_ALL.join(" ");
        let Some(mut terminal) = Terminal::with(&home, &cloud.variables(), &words) else { return };
        terminal.wait_for("Type 40 to delete them: ");
        terminal.press(&format!("{typed}\r"));
        assert!(terminal.end(5).contains("error: not confirmed; nothing was changed"));
        assert_eq!((cloud.writes(), cloud.sim.len(&cloud.ids().0)), (0, 40));
    }
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "40"]));
    let words = DELETE_ALL.join(" ");
    let Some(mut terminal) = Terminal::with(&home, &cloud.variables(), &words) else { return };
    terminal.wait_for("Type 40 to delete them: ");
    terminal.press("40\r");
    assert!(terminal.end(0).contains("DELETION SUMMARY"));
    assert!(cloud.sim.is_empty(&cloud.ids().0));
}

#[test]
fn named_keys_go_and_absent_ones_are_no_mistake() {
    let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "50"]));
    let (full, _) = cloud.ids();
    let names = cloud.sim.keys(&full);
    home.write("work/names.txt", format!("{}\nnone\n{}\n", names[7], names[8]));
    let words = ["kv", "delete", "--namespace", FULL, "--keys-file", "names.txt", "--yes"];
    cloud.at(&home, &words).run().code(0);
    assert_eq!(cloud.sim.len(&full), 48);
    assert!(cloud.sim.value(&full, &names[7]).is_none());
    assert!(cloud.sim.value(&full, &names[8]).is_none());
    assert_eq!((cloud.sim.counts().list, cloud.sim.counts().bulk_delete), (0, 1));
}

#[test]
fn a_namespace_goes_when_its_title_is_typed() {
    for (typed, code) in [("", 5), ("1", 5), ("my space 2", 5), ("My space 2", 0)] {
        let (home, cloud) = (Home::new(), Cloud::start(&["--keys", "0"]));
        let create = ["kv", "namespaces", "create", "--title", "My space 2"];
        cloud.at(&home, &create).run().code(0);
        let drop = ["kv", "namespaces", "drop", "--namespace", "My space 2"];
        cloud.at(&home, &drop).run().code(5);
        let words = "kv namespaces drop --namespace \"My space 2\"";
        let Some(mut terminal) = Terminal::with(&home, &cloud.variables(), words) else { return };
        terminal.wait_for("Type My space 2 to ");
        terminal.press(&format!("{typed}\r"));
        let text = terminal.end(code);
        assert_eq!(cloud.sim.namespace_ids().len(), if code == 0 { 2 } else { 3 }, "{text}");
    }
}
