//! What becomes of a plan when it meets a remote that has moved on, refuses, or answers oddly.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use windlass_connectors::transport::Transport;
use windlass_connectors::workos::sim::{Kind as Object, Options, WorkosSim};
use windlass_engine::event::Ending;
use windlass_engine::{Kind, Outcome};

use super::support::{ALL_DAYS, Applying, Run, Stage, door, json as answer, keys, workos};

const EVERYTHING: [&str; 4] = [ALL_DAYS[0], ALL_DAYS[1], ALL_DAYS[2], "--users"];

fn few() -> Options {
    Options { organizations: 40, users: 160, ..Options::default() }
}

fn outcome(run: &Run, key: &str) -> Option<Outcome> {
    run.outcomes().into_iter().find(|(_, name, _)| name == key).map(|(.., outcome)| outcome)
}

#[tokio::test(start_paused = true)]
async fn every_documented_success_is_one() {
    for (organization, user) in [(200, 200), (202, 204), (204, 204)] {
        let (sim, stage) = workos(Options {
            organization_delete_status: organization,
            user_delete_status: user,
            ..few()
        });
        assert!(sim.memberships() > 0);
        let plan = stage.plan(&EVERYTHING).await.unwrap();
        let run = stage.apply(&plan).await;
        assert_eq!(run.tally.counts.done, 200, "{organization} and {user}");
        assert!(sim.remaining_organizations().is_empty() && sim.remaining_users().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn memberships_go_with_their_organization_and_users_stay() {
    let (sim, stage) = workos(few());
    assert!(sim.memberships() > 0);
    let plan = stage.plan(&ALL_DAYS).await.unwrap();
    assert_eq!(stage.apply(&plan).await.tally.counts.done, 40);
    assert_eq!((sim.memberships(), sim.remaining_users().len()), (0, 160));
}

/// A 202 may come minutes before the object is gone. Deleting it once more does no harm.
#[tokio::test(start_paused = true)]
async fn what_is_still_listed_after_a_202_is_deleted_again_without_harm() {
    let (sim, stage) = workos(Options { deletion_delay: Duration::from_secs(300), ..few() });
    let plan = stage.plan(&ALL_DAYS).await.unwrap();
    assert_eq!(stage.apply(&plan).await.tally.counts.done, 40);
    let again = stage.plan(&ALL_DAYS).await.unwrap();
    assert_eq!(keys(&again), keys(&plan), "all of them are listed still");
    let run = stage.apply(&again).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (40, 0));
    assert_eq!(sim.deleted().len(), 40, "the second time had no effect");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(stage.plan(&ALL_DAYS).await.unwrap().header.steps, 0);
}

#[tokio::test(start_paused = true)]
async fn a_user_that_may_not_be_deleted_is_one_failed_step() {
    let (sim, stage) = workos(Options { undeletable_users: 0.1, ..few() });
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    let run = stage.apply(&plan).await;
    let stayed = sim.remaining_users();
    assert!((5..30).contains(&stayed.len()), "{}", stayed.len());
    let counts = run.tally.counts;
    assert_eq!(run.tally.ending, Some(Ending::Complete), "the run went on to its end");
    assert_eq!(counts.failed, stayed.len() as u64);
    assert_eq!(counts.done, plan.header.steps - counts.failed);
    let sent = sim.ledger().count(|entry| entry.method == "DELETE");
    assert_eq!(sent as u64, plan.header.steps, "a refusal is not tried again");
    assert_eq!(run.report.failures[&Kind::Rejected], counts.failed);
    for id in &stayed {
        let Some(Outcome::Failed(failure)) = outcome(&run, id) else { panic!("{id} failed") };
        assert_eq!(failure.status, Some(409));
        assert_eq!(failure.code.as_deref(), Some("user_deletion_not_allowed"));
        assert_eq!(failure.message, "This user cannot be deleted.");
        assert!(failure.request_id.is_some(), "its support can be asked about it");
    }
    let first = &run.report.first_failures[0];
    assert!(first.label.as_ref().unwrap().contains('@'), "a person can tell who it is");
}

/// A transport on which the deletion of these objects is forbidden.
fn forbidding(sim: &Arc<WorkosSim>, ids: &[String]) -> Transport {
    let ids = ids.to_vec();
    door(Arc::clone(sim) as Arc<_>, move |request| {
        let id = request.uri().path().rsplit('/').next()?;
        let body = r#"{"code":"forbidden","message":"You do not have permission."}"#;
        ids.iter().any(|one| one == id).then(|| answer(403, body))
    })
}

/// One after the other, so that it is known what comes in a row.
fn in_order(options: Options) -> (Arc<WorkosSim>, Stage) {
    let (sim, mut stage) = workos(options);
    stage.limits.concurrency = Some(1);
    (sim, stage)
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_forbidden_is_one_failed_step() {
    let (sim, mut stage) = in_order(few());
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    let all = keys(&plan);
    let forbidden = [&all[3..5], &all[6..8], &all[100..101]].concat();
    stage.transport = forbidding(&sim, &forbidden);
    let run = stage.apply(&plan).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.failed, run.tally.counts.done), (5, 195));
    assert_eq!(run.report.failures[&Kind::Forbidden], 5);
    let left = [sim.remaining_organizations(), sim.remaining_users()].concat();
    assert_eq!(left, forbidden);
}

#[tokio::test(start_paused = true)]
async fn three_forbidden_in_a_row_are_about_the_key() {
    let (sim, mut stage) = in_order(few());
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    let good = std::mem::replace(&mut stage.transport, forbidding(&sim, &keys(&plan)[10..]));
    let run = stage.apply(&plan).await;
    let Some(Ending::Fatal(failure)) = &run.tally.ending else { panic!("{:?}", run.tally.ending) };
    assert_eq!(failure.kind, Kind::Forbidden);
    assert!(failure.hint.as_ref().unwrap().contains("permissions"));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (10, 2));
    stage.transport = good;
    let journal = run.journal.clone();
    let resumed = Applying { journal, retry_failed: true, ..Applying::default() };
    let run = stage.session(&plan, resumed).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (200, 0));
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_of_403_ends_the_run_before_anything_is_lost() {
    let (sim, mut stage) = workos(Options { read_only_keys: vec!["sk_reads".into()], ..few() });
    stage.key = "sk_reads".to_owned();
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    let run = stage.apply(&plan).await;
    assert!(matches!(&run.tally.ending, Some(Ending::Fatal(end)) if end.kind == Kind::Forbidden));
    assert_eq!(run.tally.counts.settled(), 0, "no step is taken for failed");
    assert!(sim.deleted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_remote_revokes_ends_the_run_resumably() {
    let (sim, stage) = workos(few());
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    let revoked = Arc::clone(&sim);
    let act = super::support::Act::Do(Box::new(move || revoked.revoke_key()));
    let run = stage.session(&plan, Applying { at: vec![(90, act)], ..Applying::default() }).await;
    assert!(matches!(&run.tally.ending, Some(Ending::Fatal(end)) if end.kind == Kind::Denied));
    let counts = run.tally.counts;
    assert_eq!(counts.failed, 0);
    assert_eq!(counts.done, sim.deleted().len() as u64);
    assert!(counts.done >= 90 && !run.report.is_complete());
}

const BEFORE: &str = "2005-12-18T00:00:00.000Z";
const AFTER: &str = "2026-01-14T00:00:00.000Z";

fn object(changes: Value) -> Map<String, Value> {
    changes.as_object().unwrap().clone()
}

/// Organizations and users that all were created on one day; `changes` come on top of one of them.
fn customers(changed: &str, changes: Value) -> Options {
    let at = Some("2005-12-17T10:00:00.000Z");
    let extra = |id: &str| {
        let mut fields = object(json!({ "updated_at": BEFORE }));
        if id == changed {
            fields.extend(object(changes.clone()));
        }
        fields
    };
    let mut options = Options::empty();
    for id in ["org_1", "org_2", "org_3"] {
        options = options.with_organization(id, "Some name", at, extra(id));
    }
    for id in ["user_1", "user_2", "user_3"] {
        options = options.with_user(id, "Some Body", at, extra(id));
    }
    options
}

async fn plan_of_six(stage: &Stage) -> windlass_engine::plan::Plan {
    let plan = stage.plan(&["delete", "2005-12-17", "--users"]).await.unwrap();
    assert_eq!(plan.header.steps, 6);
    plan
}

fn skipped(run: &Run) -> Vec<(String, u64)> {
    run.tally.skipped.iter().map(|(reason, count)| (reason.clone(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_drift_check_leaves_alone_what_was_touched_since() {
    for (id, changes) in [
        ("org_2", json!({"name": "New name", "updated_at": AFTER})),
        ("user_1", json!({ "updated_at": AFTER })),
        ("user_3", json!({ "last_sign_in_at": AFTER })),
    ] {
        let (_, mut stage) = workos(customers("", json!({})));
        let plan = plan_of_six(&stage).await;
        let (later, stage_later) = workos(customers(id, changes));
        stage.transport = stage_later.transport;
        let run = stage.apply_guarded(&plan, &["--drift-check"]).await;
        assert_eq!(run.tally.ending, Some(Ending::Complete));
        assert_eq!(skipped(&run), [("changed since the plan".to_owned(), 1)], "{id}");
        assert_eq!((run.tally.counts.done, run.tally.counts.failed), (5, 0));
        let left = [later.remaining_organizations(), later.remaining_users()].concat();
        assert_eq!(left, [id]);
        let blind = stage.resume(&plan, &run.journal).await;
        assert_eq!(blind.tally.counts.skipped, 1, "a skipped step stays skipped in a resumed run");
        assert_eq!(later.deleted().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_remote_passes_the_drift_check() {
    let (sim, stage) = workos(few());
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    let run = stage.apply_guarded(&plan, &["--drift-check"]).await;
    assert_eq!((run.tally.counts.done, run.tally.counts.skipped), (200, 0));
    assert_eq!(sim.deleted().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn guards_named_when_the_plan_is_applied_hold() {
    let excluded = |stage: &Stage| stage.file("keep.txt", "user_2@example.com\n");
    for (drift, reason) in [(false, "protected"), (true, "protected")] {
        let (sim, mut stage) = workos(customers("org_1", json!({"metadata": {"keep": "1"}})));
        let plan = plan_of_six(&stage).await;
        let file = excluded(&stage);
        stage.protect = vec!["id == 'user_3'".to_owned()];
        let keep = "has(object.metadata.keep)";
        let guards = ["--protect", keep, "--exclude-file", &file, "--drift-check"];
        let run = stage.apply_guarded(&plan, &guards[..if drift { 5 } else { 4 }]).await;
        let expected = [("excluded by file".to_owned(), 1), (reason.to_owned(), 2)];
        assert_eq!(skipped(&run), expected, "drift check: {drift}");
        let left = [sim.remaining_organizations(), sim.remaining_users()].concat();
        assert_eq!(left, ["org_1", "user_2", "user_3"]);
    }
}

/// A guard that was met by nothing when the plan was made is met by what the object has become.
#[tokio::test(start_paused = true)]
async fn the_plans_own_guards_are_asked_again_by_the_drift_check() {
    let (_, mut stage) = workos(customers("", json!({})));
    let words = ["delete", "2005-12-17", "--users", "--protect", "has(object.metadata.keep)"];
    let plan = stage.plan(&words).await.unwrap();
    assert_eq!(plan.header.steps, 6);
    // The metadata changed without a trace in `updated_at`.
    let (later, stage_later) = workos(customers("org_3", json!({"metadata": {"keep": "1"}})));
    stage.transport = stage_later.transport;
    let run = stage.apply_guarded(&plan, &["--drift-check"]).await;
    assert_eq!(skipped(&run), [("protected".to_owned(), 1)]);
    assert_eq!(later.remaining_organizations(), ["org_3"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_or_created_since_the_plan_is_no_matter() {
    for guards in [&[][..], &["--drift-check"]] {
        let (sim, stage) = workos(few());
        let plan = stage.plan(&EVERYTHING).await.unwrap();
        let all = keys(&plan);
        assert!(sim.delete_by_someone_else(Object::Organization, &all[0]));
        assert!(sim.delete_by_someone_else(Object::User, &all[199]));
        let run = stage.apply_guarded(&plan, guards).await;
        assert_eq!(run.tally.counts.already_gone, 2);
        assert_eq!((run.tally.counts.done, run.tally.counts.failed), (198, 0));
        let gone = |key: &str| outcome(&run, key) == Some(Outcome::AlreadyGone);
        assert!(gone(&all[0]) && gone(&all[199]));
        assert!(!sim.deleted().contains(&all[0]));
    }
}

/// Whoever asked for the check does not get an unchecked run.
#[tokio::test(start_paused = true)]
async fn a_drift_check_that_fails_stops_before_the_first_deletion() {
    let (sim, stage) = workos(few());
    let plan = stage.plan(&EVERYTHING).await.unwrap();
    sim.revoke_key();
    let run = stage.apply_guarded(&plan, &["--drift-check"]).await;
    assert!(matches!(&run.tally.ending, Some(Ending::Fatal(end)) if end.kind == Kind::Denied));
    assert_eq!(run.tally.counts.settled(), 0);
    assert_eq!(sim.ledger().count(|entry| entry.method == "DELETE"), 0);
}

/// New objects that match the plan's selection are not in the plan, so nothing happens to them.
#[tokio::test(start_paused = true)]
async fn only_the_plan_is_applied() {
    let (_, mut stage) = workos(customers("", json!({})));
    let plan = plan_of_six(&stage).await;
    let at = Some("2005-12-17T10:00:00.000Z");
    let more = customers("", json!({})).with_organization("org_new", "New", at, Map::new());
    let (later, stage_later) = workos(more.with_user("user_new", "New Body", at, Map::new()));
    stage.transport = stage_later.transport;
    let run = stage.apply_guarded(&plan, &["--drift-check"]).await;
    assert_eq!(run.tally.counts.done, 6);
    let left = [later.remaining_organizations(), later.remaining_users()].concat();
    assert_eq!(
        left.into_iter().collect::<BTreeSet<_>>(),
        ["org_new", "user_new"].map(str::to_owned).into()
    );
}
