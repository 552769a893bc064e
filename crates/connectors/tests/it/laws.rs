//! What must hold for every connector. A new one adds a fixture and is judged by all of this.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use windlass_connectors::transport::Transport;
use windlass_connectors::workos::sim::RetryAfter;
use windlass_engine::event::Ending;
use windlass_engine::journal::{Files, Memory};
use windlass_engine::plan::Plan;
use windlass_engine::runner::{Command, DiscoverError};
use windlass_engine::{Kind, Outcome};
use windlass_sim::faults::Period;
use windlass_sim::{ChassisOptions, FaultOptions, LatencyOptions};

use super::fixtures::{CANARY, Fixture, OTHER_KEY, Place, Switches, all};
use super::support::{Act, Applying, Run, Stage, door, json, keys};

const ROUND_TRIP: Duration = Duration::from_millis(100);

fn calm() -> Switches {
    let latency = LatencyOptions::constant(ROUND_TRIP);
    Switches {
        chassis: ChassisOptions { latency, ..ChassisOptions::default() },
        ..Switches::default()
    }
}

/// Every tenth request goes wrong in one way or another.
fn rough(seed: u64) -> Switches {
    let mut rough = calm();
    rough.chassis.seed = seed;
    rough.chassis.faults = FaultOptions {
        reset_before: 0.03,
        reset_after: 0.03,
        error_rate: 0.03,
        truncate_rate: 0.03,
        slow_rate: 0.01,
        slow_by: Duration::from_secs(45),
        ..FaultOptions::default()
    };
    rough
}

async fn plan(fixture: &Fixture, stage: &Stage) -> Plan {
    let plan = stage.plan(fixture.words).await.unwrap();
    assert!(plan.header.steps > 50, "the law needs something to be about");
    plan
}

fn changes(place: &dyn Place) -> usize {
    place.ledger().count(|entry| entry.effect)
}

fn lines(plan: &Plan) -> BTreeSet<String> {
    let text = std::fs::read_to_string(plan.path()).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

/// Whether all of the plan is carried out, and nothing failed.
fn assert_carried_out(run: &Run, plan: &Plan) {
    let counts = run.tally.counts;
    assert_eq!(run.tally.ending, Some(Ending::Complete), "{counts:?}");
    assert_eq!((counts.failed, counts.skipped), (0, 0), "{:?}", run.tally.first_failures);
    assert_eq!(counts.done + counts.already_gone, plan.header.steps);
}

#[tokio::test(start_paused = true)]
async fn discovery_changes_nothing() {
    for fixture in all() {
        let (place, stage) = fixture.stage(rough(1));
        let before = place.objects();
        plan(fixture, &stage).await;
        assert_eq!(changes(&*place), 0);
        assert!(place.targets().is_empty(), "nothing but reading is sent");
        assert_eq!(place.objects(), before);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_state_gives_an_equal_plan() {
    for fixture in all() {
        let (_, stage) = fixture.stage(calm());
        let first = lines(&plan(fixture, &stage).await);
        assert_eq!(lines(&plan(fixture, &stage).await), first);
        let (_, mut bad_network) = fixture.stage(Switches { ..rough(0) });
        bad_network.limits.concurrency = Some(1);
        assert_eq!(lines(&plan(fixture, &bad_network).await), first);
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_has_one_outcome_and_nothing_else_is_touched() {
    for fixture in all() {
        for seed in 0..5 {
            let (place, stage) = fixture.stage(rough(seed));
            let before = place.objects();
            let plan = plan(fixture, &stage).await;
            let run = stage.apply(&plan).await;
            assert_carried_out(&run, &plan);
            let mut settled: Vec<u64> = run.outcomes().iter().map(|(step, ..)| *step).collect();
            settled.sort_unstable();
            assert_eq!(settled, (0..plan.header.steps).collect::<Vec<_>>());
            let planned: BTreeSet<String> = keys(&plan).into_iter().collect();
            let touched: BTreeSet<String> = place.targets().into_keys().collect();
            assert_eq!(touched, planned);
            let vanished: BTreeSet<_> = before.difference(&place.objects()).cloned().collect();
            assert_eq!(vanished, planned);
            assert!(vanished.len() < before.len(), "something has to stay");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_run_finds_nothing() {
    for fixture in all() {
        let (place, stage) = fixture.stage(calm());
        let first = plan(fixture, &stage).await;
        assert_carried_out(&stage.apply(&first).await, &first);
        let second = stage.plan(fixture.words).await.unwrap();
        assert_eq!(second.header.steps, 0);
        let requests = place.ledger().len();
        assert_carried_out(&stage.apply(&second).await, &second);
        let walk = fixture.walk;
        assert_eq!(place.ledger().len(), requests + walk, "an empty plan changes nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_plan_again_changes_nothing() {
    for fixture in all() {
        let (place, stage) = fixture.stage(calm());
        let plan = plan(fixture, &stage).await;
        assert_carried_out(&stage.apply(&plan).await, &plan);
        let (objects, effects) = (place.objects(), changes(&*place));
        let again = stage.apply(&plan).await;
        assert_carried_out(&again, &plan);
        let gone = if fixture.tells_what_is_gone { plan.header.steps } else { 0 };
        assert_eq!(again.tally.counts.already_gone, gone);
        assert_eq!((place.objects(), changes(&*place)), (objects, effects));
    }
}

/// The remote takes everything here, so that only the client keeps the windows; every fault makes
/// attempts that have to be paid, too.
#[tokio::test(start_paused = true)]
async fn no_window_is_ever_exceeded_by_first_attempts_and_retries_together() {
    for fixture in all() {
        for seed in 0..3 {
            let (place, mut stage) = fixture.stage(Switches { unlimited: true, ..rough(seed) });
            let small = |(at, window): (usize, &windlass_connectors::limits::VendorWindow)| {
                format!("{}={}/{}s", window.name, 12 + at, window.seconds.min(10)).parse().unwrap()
            };
            let windows = stage.connector.windows;
            stage.limits.quotas = windows.iter().enumerate().map(small).collect();
            let plan = plan(fixture, &stage).await;
            // Plan and run are two processes, whose windows know nothing of each other.
            tokio::time::sleep(Duration::from_secs(10)).await;
            let run = stage.apply(&plan).await;
            assert_carried_out(&run, &plan);
            assert!(run.tally.retries > 5);
            for (at, window) in windows.iter().enumerate() {
                let span = Duration::from_secs(window.seconds.min(10));
                let most = place.ledger().most_in_window(span, |e| place.pays(window.name, e));
                assert!(most <= 12 + at, "{most} in {span:?} of {}", window.name);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_documented_windows_are_kept_without_being_told() {
    for fixture in all() {
        let (place, stage) = fixture.stage(Switches { unlimited: true, ..calm() });
        let plan = plan(fixture, &stage).await;
        assert_carried_out(&stage.apply(&plan).await, &plan);
        for window in stage.connector.windows {
            let span = Duration::from_secs(window.seconds);
            let most = place.ledger().most_in_window(span, |entry| place.pays(window.name, entry));
            assert!(most <= window.limit as usize, "{most} in {span:?} of {}", window.name);
        }
    }
}

/// A storm of 429 long after the start: the clocks of client and remote have drifted apart by
/// then, since only the remote's calendar follows the virtual time.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_retry_after_has_passed() {
    let start = Duration::from_secs(2_004);
    let length = Duration::from_millis(7_500);
    for fixture in all() {
        for form in [RetryAfter::Seconds, RetryAfter::HttpDate, RetryAfter::Absent] {
            let mut switches = Switches { unlimited: true, retry_after: form, ..calm() };
            switches.chassis.faults.storm = vec![Period { start, length }];
            let (place, mut stage) = fixture.stage(switches);
            let wide = |window: &windlass_connectors::limits::VendorWindow| {
                format!("{}=100000/20s", window.name).parse().unwrap()
            };
            stage.limits.quotas = stage.connector.windows.iter().map(wide).collect();
            stage.limits.concurrency = Some(4);
            tokio::time::sleep(Duration::from_secs(2_000)).await;
            let plan = plan(fixture, &stage).await;
            let run = stage.apply(&plan).await;
            assert_carried_out(&run, &plan);
            let (heard, later) = around_the_storm(&*place);
            let waited = later - heard;
            let (least, most) = match form {
                RetryAfter::Absent => (20.0, 20.3),
                _ => ((start + length).as_secs_f64() - heard, length.as_secs_f64() + 2.5),
            };
            assert!((least..=most).contains(&waited), "{form:?}: {waited} s, not {least}..{most}");
        }
    }
}

/// When the client had its first 429 in hand, and when the first request sent after that arrived.
fn around_the_storm(place: &dyn Place) -> (f64, f64) {
    let mut first = None;
    let mut later = None;
    place.ledger().each(|entry| {
        let at = Duration::from_micros(entry.at);
        if entry.status == Some(429) {
            first.get_or_insert(at);
        }
        // What was on its way up when the first 429 came down arrives within a round trip.
        if first.is_some_and(|first| at > first + ROUND_TRIP + Duration::from_millis(5)) {
            later.get_or_insert(at);
        }
    });
    let first = first.expect("the storm was met") + ROUND_TRIP / 2;
    (first.as_secs_f64(), later.expect("it went on").as_secs_f64())
}

/// A transport through which a key opens nothing any more after so many requests.
fn revoking(place: &dyn Place, key: &'static str, after: usize) -> Transport {
    let requests = AtomicUsize::new(0);
    door(place.simulator(), move |request| {
        let value = request.headers().get("authorization")?.to_str().ok()?;
        let late = requests.fetch_add(1, Ordering::Relaxed) >= after;
        let denied = late && value.ends_with(key);
        denied.then(|| json(401, r#"{"message":"Unauthorized"}"#))
    })
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_stops_the_run_and_a_good_one_completes_it() {
    for fixture in all() {
        let (place, mut stage) = fixture.stage(calm());
        let plan = plan(fixture, &stage).await;
        stage.transport = revoking(&*place, CANARY, 40);
        stage.key = CANARY.to_owned();
        let run = stage.apply(&plan).await;
        let Some(Ending::Fatal(failure)) = &run.tally.ending else {
            panic!("{:?}", run.tally.ending)
        };
        assert_eq!(failure.kind, Kind::Denied);
        assert!(failure.hint.is_some());
        let counts = run.tally.counts;
        assert_eq!((counts.failed, counts.done), (0, 40), "{counts:?}");
        assert!(!run.report.is_complete());
        stage.key = OTHER_KEY.to_owned();
        let resumed = stage.resume(&plan, &run.journal).await;
        assert_carried_out(&resumed, &plan);
        assert_eq!(resumed.tally.counts.done, plan.header.steps);
        assert_eq!(resumed.tally.sessions, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_run_is_resumed_without_repeating_what_was_answered() {
    for fixture in all() {
        for stop_at in [0, 1, 33, 60] {
            let (place, stage) = fixture.stage(Switches { unlimited: true, ..calm() });
            let plan = plan(fixture, &stage).await;
            let at = vec![(stop_at, Act::Order(Command::Stop))];
            let run = stage.session(&plan, Applying { at, ..Applying::default() }).await;
            assert_eq!(run.tally.ending, Some(Ending::Stopped));
            assert!(run.tally.counts.done < plan.header.steps);
            assert_eq!(run.tally.counts.done, changes(&*place) as u64, "all answers are known");
            assert_eq!(run.tally.in_doubt, 0);
            let resumed = stage.resume(&plan, &run.journal).await;
            assert_carried_out(&resumed, &plan);
            assert_eq!(resumed.tally.counts.done, plan.header.steps);
            assert!(place.targets().values().all(|&times| times == 1), "nothing is sent twice");
        }
    }
}

/// The windows of the remote still hold what earlier sessions sent, answered or not. The journal
/// knows, so that a run which is stopped or killed and resumed at once meets no 429.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_resumed_at_once_keeps_its_windows() {
    for fixture in all() {
        for (stop_at, twice) in [(5, false), (33, false), (33, true), (50, true)] {
            let (place, mut stage) = fixture.stage(Switches { unlimited: true, ..calm() });
            let small = |window: &windlass_connectors::limits::VendorWindow| {
                format!("{}=20/10s", window.name).parse().unwrap()
            };
            let windows = stage.connector.windows;
            stage.limits.quotas = windows.iter().map(small).collect();
            let plan = plan(fixture, &stage).await;
            tokio::time::sleep(Duration::from_secs(10)).await;
            let stop = (stop_at, Act::Order(Command::Stop));
            let at =
                if twice { vec![stop, (stop_at, Act::Order(Command::Stop))] } else { vec![stop] };
            let run = stage.session(&plan, Applying { at, ..Applying::default() }).await;
            let resumed = stage.resume(&plan, &run.journal).await;
            assert_carried_out(&resumed, &plan);
            for window in windows {
                let span = Duration::from_secs(10);
                let most = place.ledger().most_in_window(span, |e| place.pays(window.name, e));
                assert!(most <= 20, "{most} in {span:?} of {}", window.name);
            }
        }
    }
}

/// The second interrupt drops what is on the wire. The resumed run asks again for exactly that.
#[tokio::test(start_paused = true)]
async fn an_aborted_run_is_in_doubt_about_the_wire_only() {
    for fixture in all() {
        let (place, stage) = fixture.stage(calm());
        let plan = plan(fixture, &stage).await;
        let at = vec![(20, Act::Order(Command::Stop)), (20, Act::Order(Command::Stop))];
        let run = stage.session(&plan, Applying { at, ..Applying::default() }).await;
        assert_eq!(run.tally.ending, Some(Ending::Aborted));
        assert!(run.tally.in_doubt > 0);
        let resumed = stage.resume(&plan, &run.journal).await;
        assert_carried_out(&resumed, &plan);
        assert_eq!(resumed.tally.counts.already_gone, 0, "what we did ourselves is known as ours");
        let twice = place.targets().values().filter(|&&times| times > 1).count() as u64;
        assert!(twice <= run.tally.in_doubt, "{twice} of {}", run.tally.in_doubt);
        let before = run.tally.counts.done;
        assert_eq!(resumed.tally.counts.done, plan.header.steps);
        assert!(before < plan.header.steps);
    }
}

/// kill -9: the journal ends anywhere. What was answered before that is not sent again, and
/// whatever else had been sent is seen through.
#[tokio::test(start_paused = true)]
async fn a_journal_cut_anywhere_is_enough_to_go_on() {
    for fixture in all() {
        for part in [0, 1, 10, 35, 50, 75, 99] {
            let (place, stage) = fixture.stage(calm());
            let plan = plan(fixture, &stage).await;
            let at = vec![(50, Act::Order(Command::Stop)), (60, Act::Order(Command::Stop))];
            let run = stage.session(&plan, Applying { at, ..Applying::default() }).await;
            let whole = run.journal.content();
            let mut cut = Memory::default();
            cut.append(&whole[..whole.len() * part / 100]).unwrap();
            let resumed = stage.resume(&plan, &cut).await;
            assert_carried_out(&resumed, &plan);
            assert!(place.objects().is_disjoint(&keys(&plan).into_iter().collect()));
        }
    }
}

/// A server that repeats the key it was sent in everything it says.
fn echoing(place: &dyn Place, answers: Vec<Option<(u16, String)>>) -> Transport {
    let turn = AtomicUsize::new(0);
    door(place.simulator(), move |_request| {
        let (status, body) = answers.get(turn.fetch_add(1, Ordering::Relaxed))?.clone()?;
        let mut answer = json(status, &body);
        let name = format!("req_{CANARY}").parse().unwrap();
        answer.headers_mut().insert("x-request-id", name);
        Some(answer)
    })
}

fn echoes(statuses: &[u16]) -> Vec<Option<(u16, String)>> {
    let bodies = [
        format!(r#"{{"message":"Bearer {CANARY} is wrong","code":"key_{CANARY}"}}"#),
        format!(r#"{{"error":"{CANARY}","error_description":"{CANARY} {CANARY}"}}"#),
        format!(r#"{{"message":"no","errors":[{{"message":"{}{CANARY}"}}]}}"#, "x".repeat(280)),
        format!("\"{CANARY}\""),
        format!("you sent {CANARY}"),
    ];
    let bodies = &bodies;
    let each = |&status: &u16| bodies.iter().map(move |body| Some((status, body.clone())));
    statuses.iter().flat_map(each).collect()
}

fn assert_untold(text: &str) {
    assert!(!text.contains("CANARY"), "the key is told: {text}");
}

#[tokio::test(start_paused = true)]
async fn the_key_is_told_nowhere() {
    for fixture in all() {
        let (place, mut stage) = fixture.stage(calm());
        stage.key = CANARY.to_owned();
        stage.limits.retries = 30;
        let setup = stage.setup();
        assert_untold(&format!("{setup:?} {:?}", stage.open(&setup, fixture.words).await.unwrap()));
        // Listing fails for good, in every way.
        for status in [200, 302, 400, 401, 403, 404, 409, 422] {
            for (echo, patience) in echoes(&[status]).into_iter().zip(0..) {
                let endless = std::iter::repeat_n(echo, 40).collect();
                stage.transport = echoing(&*place, endless);
                stage.limits.retries = patience;
                let error = stage.plan(fixture.words).await.unwrap_err();
                assert_untold(&format!("{error} {error:?}"));
                let DiscoverError::Remote(failure) = error else { panic!("{error}") };
                assert_untold(&serde_json::to_string(&failure).unwrap());
            }
        }
        // Listing and deleting go on in spite of it.
        stage.limits.retries = 30;
        stage.transport = echoing(&*place, echoes(&[500, 429, 503]));
        let plan = plan(fixture, &stage).await;
        assert_untold(&std::fs::read_to_string(plan.path()).unwrap());
        let spared = (0..20).map(|_| None).collect::<Vec<_>>();
        let answers = [spared, echoes(&[500, 429, 404, 409, 422, 503, 401])].concat();
        stage.transport = echoing(&*place, answers);
        let run = stage.apply(&plan).await;
        assert!(matches!(&run.tally.ending, Some(Ending::Fatal(end)) if end.kind == Kind::Denied));
        assert!(run.tally.retries > 0 && run.tally.throttled > 0 && run.tally.counts.failed > 0);
        assert_untold(&run.said());
    }
}

/// Half of a key that was cut off at the end of a long message is no better than a whole one; so
/// the key goes before the message is cut. Failed steps keep the rest of what the remote said.
#[tokio::test(start_paused = true)]
async fn what_the_remote_says_is_kept_without_the_key() {
    for fixture in all() {
        let (place, mut stage) = fixture.stage(calm());
        stage.key = CANARY.to_owned();
        let plan = plan(fixture, &stage).await;
        let refusal = Some((422, (fixture.refusal)(&format!("Bearer {CANARY} may not"))));
        stage.transport = echoing(&*place, vec![None, None, refusal]);
        let run = stage.apply(&plan).await;
        let failed = run.outcomes().into_iter().find_map(|(.., outcome)| match outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        });
        assert_eq!(failed.unwrap().message, "Bearer (the key) may not");
    }
}
