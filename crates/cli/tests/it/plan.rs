//! What happens before anything is changed: dry runs, plans in files, the preview, the ceiling,
//! the guards, and applying exactly what a plan says.

use crate::support::{Home, Remote, keys, redacted};
use expect_test::expect;
use std::collections::BTreeSet;

/// Ten days.
const DAYS: &[&str] = &["--from", "2005-12-10", "--to", "2005-12-19", "--no-limits"];
/// The same with 40 organizations and 200 users.
const WORLD: &[&str] = &[
    "--orgs",
    "40",
    "--users",
    "200",
    "--from",
    "2005-12-10",
    "--to",
    "2005-12-19",
    "--no-limits",
];

#[test]
fn a_dry_run_changes_nothing_and_shows_the_plan_on_stdout() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    let words = ["workos", "delete", "2005-12-12", "--users", "--dry-run"];
    let ended = home.at(&remote, &words).run().code(0);
    assert_eq!(remote.deletes(), 0);
    let plan = home.of_run("plan.jsonl");
    let found = keys(&plan);
    assert!(found.len() > 10);
    for key in &found[..5] {
        assert!(ended.out.contains(key.as_str()), "{key} is not shown");
    }
    assert!(ended.err.contains("hint: `windlass apply workos-"), "{}", ended.err);
    let named = home.run();
    assert!(ended.err.contains(&plan.display().to_string()) && ended.err.contains(&named));
}

#[test]
fn the_preview_of_a_small_plan_is_this() {
    let (home, remote) = (Home::new(), Remote::start(&[DAYS, &["--orgs", "40"]].concat()));
    let words = ["workos", "delete", "2005-12-12T00:00:00Z", "2005-12-12T12:00:00Z", "-n"];
    let ended = home.at(&remote, &words).run().code(0);
    expect![[r#"
        Target:          workos
        Address:         http://127.0.0.1:PORT
        Account:         FINGERPRINT
        Plan:            RUN
        delete:          organizations
        created from:    2005-12-12T00:00:00Z
        created before:  2005-12-12T12:00:00Z
        days in:         UTC

        ✓ Found 2 organizations to delete (of 40 seen)

        Organizations to be deleted:
           1. Atlas Media GmbH (org_ID) 2005-12-12T01:46:31.256Z
           2. Sakura Logistics & Sons (org_ID) 2005-12-12T08:55:12.851Z

        Expected time:
          2 organizations: about 100ms

        ! warning: WorkOS deletes for good, and sends a webhook to your systems for every deletion
    "#]]
    .assert_eq(&redacted(&ended.out));
}

#[test]
fn the_first_20_are_named_and_the_rest_is_counted() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    let words = ["workos", "delete", "2005-12-10", "2005-12-19", "--users-only", "-n"];
    let ended = home.at(&remote, &words).run().code(0);
    let rows = ended.out.lines().filter(|line| line.contains("(user_")).count();
    assert_eq!(rows, 20, "{}", ended.out);
    assert!(
        ended.out.contains("  20. ") && ended.out.contains("... and 180 more"),
        "{}",
        ended.out
    );
}

#[test]
fn a_plan_in_a_file_is_applied_exactly_even_when_the_remote_has_grown() {
    let flags = ["--orgs", "40", "--users", "450", "--insert-in-range", "2"];
    let (home, remote) = (Home::new(), Remote::start(&[DAYS, &flags].concat()));
    let words =
        ["workos", "delete", "2005-12-10", "2005-12-14", "--users", "--plan-out", "p.jsonl"];
    let ended = home.at(&remote, &words).run().code(0);
    assert!(ended.err.contains("hint: `windlass apply p.jsonl`"), "{}", ended.err);
    assert_eq!((remote.deletes(), home.runs().len()), (0, 0));
    let before = remote.remaining();
    let planned: BTreeSet<String> = keys(&home.work().join("p.jsonl")).into_iter().collect();
    home.at(&remote, &["apply", "p.jsonl", "--yes"]).run().code(0);
    assert_eq!(remote.deleted(), planned);
    assert_eq!(remote.deletes(), planned.len(), "nothing is asked twice");
    assert_eq!(remote.remaining(), &before - &planned);
}

#[test]
fn a_planned_run_is_applied_by_its_name() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    home.at(&remote, &["workos", "delete", "2005-12-12", "-n"]).run().code(0);
    let run = home.run();
    let planned = keys(&home.of_run("plan.jsonl")).len();
    assert!(home.windlass(&["runs"]).run().code(0).out.contains("planned"));
    let part = run.split('-').next_back().unwrap();
    home.at(&remote, &["apply", part, "--yes"]).run().code(0);
    assert_eq!(remote.deletes(), planned);
    let runs = home.windlass(&["runs"]).run().code(0);
    assert!(runs.out.contains(&format!("{planned}/{planned}  done")), "{}", runs.out);
}

#[test]
fn an_empty_plan_is_done_and_leaves_nothing_behind() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    let ended = home.at(&remote, &["workos", "delete", "2004-01-01", "--yes"]).run().code(0);
    assert!(ended.err.contains("There is nothing to do."), "{}", ended.err);
    assert!(home.runs().is_empty());
    let words = ["workos", "delete", "2004-01-01", "--yes", "--output", "json"];
    let json = home.at(&remote, &words).run().code(0);
    assert_eq!(json.report()["steps"], 0);
}

#[test]
fn a_ceiling_refuses_before_the_first_deletion() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    let words = ["workos", "delete", "2005-12-10", "2005-12-19", "--users-only", "--yes"];
    let ended = home.at(&remote, &[&words[..], &["--max-delete", "199"]].concat()).run().code(5);
    expect![[r#"
        error: the plan has 200 steps of 200 objects seen, more than --max-delete 199 allows

        hint: nothing was changed; narrow the selection, or raise --max-delete
    "#]]
    .assert_eq(&ended.error());
    let ended = home.at(&remote, &[&words[..], &["--max-delete", "99.4%"]].concat()).run().code(5);
    expect![[r#"
        error: the plan has 200 steps of 200 objects seen, more than --max-delete 99.4% \
        allows

        hint: nothing was changed; narrow the selection, or raise --max-delete
    "#]]
    .assert_eq(&ended.error());
    let plan = [&words[..5], &["--plan-out", "p.jsonl"]].concat();
    home.at(&remote, &plan).run().code(0);
    let apply = ["apply", "p.jsonl", "--yes", "--max-delete", "10"];
    home.at(&remote, &apply).run().code(5);
    home.write("work/windlass.toml", "[workos]\nmax-delete = \"50%\"\n");
    home.at(&remote, &["apply", "p.jsonl", "--yes"]).run().code(5);
    assert_eq!(remote.deletes(), 0);
    home.at(&remote, &["apply", "p.jsonl", "--yes", "--max-delete", "200"]).run().code(0);
    assert_eq!(remote.deletes(), 200);
}

#[test]
fn guards_hold_when_a_plan_is_applied_too() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    let words = ["workos", "delete", "2005-12-10", "2005-12-19", "--plan-out", "p.jsonl"];
    home.at(&remote, &words).run().code(0);
    let planned = keys(&home.work().join("p.jsonl"));
    let kept = [planned[3].clone(), planned[30].clone()];
    home.write("work/keep.txt", format!("# these stay\n{}\n\n {} \n", kept[0], kept[1]));
    let apply = ["apply", "p.jsonl", "--yes", "--exclude-file", "keep.txt"];
    let ended = home.at(&remote, &apply).run().code(0);
    assert!(ended.out.contains("excluded by file:  2"), "{}", ended.out);
    assert_eq!(remote.remaining().len(), 200 + 2);
    assert!(kept.iter().all(|id| remote.remaining().contains(id)));
}

#[test]
fn a_protected_object_is_listed_and_left() {
    let (home, remote) = (Home::new(), Remote::start(WORLD));
    home.write("work/windlass.toml", "[workos]\nprotect = ['name.contains(\"a\")']\n");
    let words =
        ["workos", "delete", "2005-12-10", "2005-12-19", "--yes", "--where", "name != \"\""];
    let ended = home.at(&remote, &words).run().code(0);
    assert!(ended.err.contains("protected"), "{}", ended.err);
    let left = remote.sim.remaining_organizations();
    assert!(!left.is_empty() && left.len() < 40);
    let kind = windlass_connectors::workos::sim::Kind::Organization;
    for id in left {
        let object: serde_json::Value =
            serde_json::from_str(&remote.sim.object(kind, &id).unwrap()).unwrap();
        assert!(object["name"].as_str().unwrap().contains('a'), "{object}");
    }
}
