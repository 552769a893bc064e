//! Single faults, outages, and what the remote says of its own limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use windlass_connectors::workos::sim::{LimitHeaders, Options, RetryAfter, TooManyBody, WorkosSim};
use windlass_engine::event::Ending;
use windlass_engine::plan::Plan;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Event, Kind, Outcome};
use windlass_sim::{Fault, LatencyOptions};

use super::support::{ALL_DAYS, Act, Applying, Run, Stage, door, json, maximum, workos};

const USERS: [&str; 4] = [ALL_DAYS[0], ALL_DAYS[1], ALL_DAYS[2], "--users-only"];

async fn five_users() -> (Arc<WorkosSim>, Stage, Plan) {
    let (sim, mut stage) = workos(Options { users: 5, ..Options::empty() });
    stage.limits.concurrency = Some(1);
    let plan = stage.plan(&USERS).await.unwrap();
    assert_eq!(plan.header.steps, 5);
    (sim, stage, plan)
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_deletion_is_seen_through() {
    for (fault, outcome) in [
        (Fault::ResetBefore, Outcome::Done),
        (Fault::ResetAfter, Outcome::DoneConfirmed),
        (Fault::Error(500), Outcome::Done),
        (Fault::Error(503), Outcome::Done),
        (Fault::Slow(Duration::from_secs(31)), Outcome::DoneConfirmed),
        (Fault::Truncate, Outcome::Done),
    ] {
        let (sim, stage, plan) = five_users().await;
        sim.force([None, Some(fault)]);
        let run = stage.apply(&plan).await;
        assert_eq!(run.tally.ending, Some(Ending::Complete));
        let confirmed = u64::from(outcome == Outcome::DoneConfirmed);
        assert_eq!(run.tally.confirmed, confirmed, "{fault:?}");
        assert!(run.outcomes().iter().any(|(.., one)| *one == outcome), "{fault:?}");
        assert_eq!((run.tally.counts.done, run.tally.counts.already_gone), (5, 0), "{fault:?}");
        let harmless = fault == Fault::Truncate;
        assert_eq!(run.tally.retries, u64::from(!harmless), "a 204 has no body to be cut");
        assert_eq!(sim.deleted().len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_a_page_is_seen_through() {
    for fault in [
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Error(502),
        Fault::Slow(Duration::from_secs(31)),
        Fault::Truncate,
    ] {
        let (sim, stage) = workos(Options { users: 350, ..Options::empty() });
        sim.force([None, Some(fault), Some(fault), None, Some(fault)]);
        let plan = stage.plan(&USERS).await.unwrap();
        assert_eq!((plan.header.steps, plan.header.seen()), (350, 350), "{fault:?}");
        assert_eq!(sim.ledger().len(), 4 + 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_stays_broken_makes_no_plan() {
    for (fault, kind) in [
        (Fault::Truncate, Kind::Malformed),
        (Fault::Error(500), Kind::Unavailable),
        (Fault::ResetBefore, Kind::Unavailable),
    ] {
        let (sim, stage) = workos(Options { users: 350, ..Options::empty() });
        sim.force([vec![None], vec![Some(fault); 50]].concat());
        let Err(DiscoverError::Remote(failure)) = stage.plan(&USERS).await else {
            panic!("there is no plan")
        };
        assert_eq!(failure.kind, kind, "{failure}");
        assert_eq!(stage.plans_on_disk(), 0);
        assert_eq!(sim.ledger().len(), 1 + 1 + u64::from(maximum().retries));
    }
}

#[tokio::test(start_paused = true)]
async fn every_form_of_a_429_costs_time_only() {
    for retry_after in [RetryAfter::Seconds, RetryAfter::HttpDate, RetryAfter::Absent] {
        for too_many_body in [TooManyBody::Json, TooManyBody::String, TooManyBody::Html] {
            let options = Options { users: 60, retry_after, too_many_body, ..Options::empty() };
            let limits = vec!["authkit-write=20/10s".parse().unwrap()];
            let (sim, stage) = workos(Options { strict: true, limits, ..options });
            let plan = stage.plan(&USERS).await.unwrap();
            let run = stage.apply(&plan).await;
            assert_eq!(run.tally.ending, Some(Ending::Complete));
            assert_eq!((run.tally.counts.done, run.tally.counts.failed), (60, 0));
            assert_eq!(run.tally.throttled, sim.ledger().too_many());
            assert!(run.tally.throttled > 0 && run.tally.retries == 0);
            assert!(run.took < Duration::from_secs(60), "{:?}", run.took);
        }
    }
}

/// A remote that can be switched off: then it answers nothing but 503.
fn with_a_switch(sim: &Arc<WorkosSim>, stage: &mut Stage) -> Arc<AtomicBool> {
    let off = Arc::new(AtomicBool::new(false));
    let is_off = Arc::clone(&off);
    stage.transport = door(Arc::clone(sim) as Arc<_>, move |_| {
        is_off.load(Ordering::Relaxed).then(|| json(503, "<html>Bad gateway</html>"))
    });
    off
}

fn set(switch: &Arc<AtomicBool>, off: bool) -> Act {
    let switch = Arc::clone(switch);
    Act::Do(Box::new(move || switch.store(off, Ordering::Relaxed)))
}

fn slow_enough() -> Options {
    let mut options = Options { users: 300, no_limits: true, ..Options::empty() };
    options.chassis.latency = LatencyOptions::constant(Duration::from_millis(100));
    options
}

#[tokio::test(start_paused = true)]
async fn an_outage_wears_no_step_out() {
    let (sim, mut stage) = workos(slow_enough());
    let plan = stage.plan(&USERS).await.unwrap();
    let switch = with_a_switch(&sim, &mut stage);
    let off = Arc::clone(&switch);
    let at = vec![(100, set(&switch, true))];
    let repair = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(300)).await;
        off.store(false, Ordering::Relaxed);
    });
    let run = stage.session(&plan, Applying { at, ..Applying::default() }).await;
    repair.await.unwrap();
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (300, 0));
    assert!(run.tally.breaker_opened >= 1);
    assert!(run.events.iter().any(|stamped| stamped.event == Event::BreakerClosed));
    assert!(run.tally.retries < 100, "{} retries in 300 s of outage", run.tally.retries);
    assert!(run.took < Duration::from_secs(300 + 75), "it is seen within a minute: {:?}", run.took);
}

#[tokio::test(start_paused = true)]
async fn an_outage_past_the_deadline_ends_the_run_resumably() {
    let (sim, mut stage) = workos(slow_enough());
    let plan = stage.plan(&USERS).await.unwrap();
    let switch = with_a_switch(&sim, &mut stage);
    let at = vec![(100, set(&switch, true))];
    let run = stage.session(&plan, Applying { at, ..Applying::default() }).await;
    let Some(Ending::Fatal(failure)) = &run.tally.ending else { panic!("{:?}", run.tally.ending) };
    assert_eq!(failure.kind, Kind::Away);
    assert_eq!(run.tally.counts.failed, 0, "an outage is no step's fault");
    let deadline = maximum().deadline;
    assert!(run.took > deadline && run.took < deadline + Duration::from_secs(90), "{:?}", run.took);
    switch.store(false, Ordering::Relaxed);
    let run = stage.resume(&plan, &run.journal).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (300, 0));
}

/// A run against a limit that the client does not know, with a rival that takes a share of it.
async fn against(limit: &str, rival: f64, headers: LimitHeaders, on_the_wire: u32) -> (Run, u64) {
    let mut options = Options {
        users: 3_000,
        strict: true,
        second_client: rival,
        limit_headers: headers,
        limits: vec![format!("authkit-write={limit}").parse().unwrap()],
        ..Options::empty()
    };
    options.chassis.latency = LatencyOptions::constant(Duration::from_millis(100));
    let (sim, mut stage) = workos(options);
    stage.limits.concurrency = Some(on_the_wire);
    let plan = stage.plan(&USERS).await.unwrap();
    let run = stage.apply(&plan).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((run.tally.counts.done, run.tally.counts.failed), (3_000, 0));
    (run, sim.ledger().too_many())
}

#[tokio::test(start_paused = true)]
async fn headers_that_tell_what_is_left_are_honoured() {
    for rival in [0.0, 0.2, 0.5] {
        let mut unwarned = 0;
        for headers in [LimitHeaders::None, LimitHeaders::XRatelimit, LimitHeaders::Ratelimit] {
            let (run, too_many) = against("500/10s", rival, headers, 20).await;
            println!(
                "rival {rival}, {headers:?}: {too_many} x 429, {:.1} s, ideal {:.1} s",
                run.took.as_secs_f64(),
                60.0 / (1.0 - rival)
            );
            match (headers, rival) {
                (LimitHeaders::None, _) => unwarned = too_many,
                (_, 0.0) => assert_eq!(too_many, 0),
                // What the rival takes between an answer and our next request can't be told.
                _ => assert!(too_many * 5 <= unwarned, "{too_many}, unwarned {unwarned}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stated_policy_brings_the_window_down() {
    for (limit, on_the_wire) in [("100/10s", 50), ("20/10s", 10)] {
        let (run, too_many) = against(limit, 0.0, LimitHeaders::Ratelimit, on_the_wire).await;
        println!("policy {limit}: {too_many} x 429, {:.1} s", run.took.as_secs_f64());
        assert_eq!(too_many, 0, "{limit} was not known but told in time");
    }
}
