//! What arrives at destinations, whatever they do.

use super::rig::{Rig, SpanSpec, messages, spans};
use crate::observe::dead_letters;
use crate::observe::replay;
use crate::observe::sim::{Mode, Remote};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_down_for_an_hour_gets_everything_afterwards() {
    let mut rig = Rig::new(&["--outage", "rudder=503@0s..1h"], "").await;
    for start in (0..20_000).step_by(1_000) {
        rig.take(messages(start..start + 1_000, 50)).await;
    }
    rig.start();
    let took = rig.delivered(2 * HOUR).await;
    assert!(took >= HOUR && took < HOUR + Duration::from_secs(180), "{took:?}");
    let totals = rig.sim.totals(Remote::Rudder);
    assert_eq!((totals.distinct, totals.duplicates, totals.out_of_order), (20_000, 0, 0));
    let meter = rig.meter("rudder");
    assert_eq!((meter.routed, meter.delivered, meter.rejected), (20_000, 20_000, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_down_slows_nobody() {
    let mut rig = Rig::new(&["--outage", "langfuse=down@0s..24h"], "").await;
    let all: Vec<SpanSpec> = (0..2_000).map(|number| SpanSpec::new(number, number)).collect();
    rig.take(spans(&all)).await;
    rig.take(messages(0..2_000, 20)).await;
    rig.start();
    let start = tokio::time::Instant::now();
    while rig.meter("rudder").pending + rig.meter("otlp").pending > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(rig.meter("langfuse").pending, 2_000);
    assert_eq!(rig.sim.totals(Remote::Otlp).distinct, 2_000);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_repeats_events_under_the_same_ids() {
    let mut rig = Rig::new(&["--reset-after", "0.3", "--seed", "3"], "").await;
    for start in (0..2_000).step_by(50) {
        rig.take(messages(start..start + 50, 10)).await;
    }
    rig.start();
    rig.delivered(HOUR).await;
    let totals = rig.sim.totals(Remote::Rudder);
    assert_eq!((totals.distinct, totals.out_of_order), (2_000, 0));
    assert!(totals.duplicates > 0, "the protocol can't tell a lost answer from a lost request");
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_event_is_found_and_costs_nobody_else() {
    let mut rig = Rig::new(&["--poison", "event-777"], "").await;
    rig.take(messages(0..2_000, 10)).await;
    rig.start();
    rig.delivered(HOUR).await;
    let meter = rig.meter("rudder");
    assert_eq!((meter.delivered, meter.rejected), (1_999, 1));
    assert_eq!(rig.sim.totals(Remote::Rudder).distinct, 1_999);
    assert_eq!(rig.sim.totals(Remote::Rudder).out_of_order, 0);
    let files = replay::letters_in(rig.folder.path());
    let letters: Vec<_> = dead_letters::read(&files[0]).unwrap().map(Result::unwrap).collect();
    assert_eq!((letters.len(), letters[0].id.as_str()), (1, "m-777"));
    assert_eq!(letters[0].destination, "rudder");
}

#[tokio::test(start_paused = true)]
async fn what_a_receiver_refuses_in_part_is_kept_for_a_person() {
    let mut rig = Rig::new(&["--reject-name", "odd"], "").await;
    let odd = SpanSpec { name: "odd", ..SpanSpec::new(1, 1) };
    rig.take(spans(&[SpanSpec::new(1, 0), odd])).await;
    rig.start();
    rig.delivered(HOUR).await;
    assert_eq!(rig.meter("otlp").rejected, 2, "which of them was refused is not told");
    assert_eq!(rig.meter("langfuse").delivered, 2);
}

#[tokio::test(start_paused = true)]
async fn batches_fit_what_the_remote_takes() {
    let mut rig = Rig::new(&["--otlp-body-max", "20000"], "").await;
    let all: Vec<SpanSpec> = (0..3_000).map(|number| SpanSpec::new(number, number)).collect();
    rig.take(spans(&all)).await;
    rig.start();
    rig.delivered(HOUR).await;
    let meter = rig.meter("otlp");
    assert_eq!((meter.delivered, meter.rejected), (3_000, 0));
    assert_eq!(rig.sim.totals(Remote::Otlp).distinct, 3_000);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_loses_nothing() {
    let mut rig = Rig::new(&[], "").await;
    rig.sim.set_outage(Remote::Langfuse, Some(Mode::Status(401)));
    rig.take(spans(&[SpanSpec::new(1, 1)])).await;
    rig.start();
    tokio::time::sleep(Duration::from_secs(120)).await;
    let status = rig.running.status();
    assert!(status.destinations[0].is_misconfigured, "{:?}", status.destinations[0]);
    assert_eq!(rig.meter("langfuse").pending, 1);
    rig.sim.set_outage(Remote::Langfuse, None);
    rig.delivered(HOUR).await;
    assert_eq!(rig.sim.totals(Remote::Langfuse).distinct, 1);
    assert!(!rig.running.status().destinations[0].is_misconfigured);
}

#[tokio::test(start_paused = true)]
async fn patience_is_honoured_and_a_quota_is_kept() {
    let settings = "";
    let destinations = super::rig::REMOTES.replace(
        "secret-key = { env = \"SECRET\" }",
        "secret-key = { env = \"SECRET\" }\nquota = \"29/60s\"\nbatch-events = 1",
    );
    let flags = ["--langfuse-rate", "30"];
    let mut rig = Rig::with(&flags, &format!("{settings}{destinations}")).await;
    let all: Vec<SpanSpec> = (0..100).map(|number| SpanSpec::new(number, number)).collect();
    rig.take(spans(&all)).await;
    rig.start();
    let took = rig.delivered(HOUR).await;
    assert!(took >= Duration::from_secs(180), "{took:?}");
    assert_eq!(rig.sim.totals(Remote::Langfuse).distinct, 100);
    assert_eq!(rig.running.status().destinations[0].throttled, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_delivered_before_a_stop_is_not_sent_again() {
    let mut rig = Rig::new(&[], "").await;
    rig.take(messages(0..500, 5)).await;
    rig.start();
    rig.delivered(HOUR).await;
    rig.take(messages(500..1_000, 5)).await;
    let mut rig = rig.again("").await;
    // A client that heard nothing sends again what is there already.
    let taken = rig.take(messages(900..1_100, 5)).await;
    assert_eq!(taken.refused, []);
    rig.start();
    rig.delivered(HOUR).await;
    let totals = rig.sim.totals(Remote::Rudder);
    assert_eq!((totals.distinct, totals.duplicates, totals.out_of_order), (1_100, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_sent_again_when_somebody_says_so() {
    let mut rig = Rig::new(&[], "").await;
    rig.sim.set_outage(Remote::Rudder, Some(Mode::Status(400)));
    rig.take(messages(0..3, 1)).await;
    rig.start();
    rig.delivered(HOUR).await;
    assert_eq!(rig.meter("rudder").rejected, 3);
    rig.sim.set_outage(Remote::Rudder, None);
    let folder = rig.folder.path();
    let found = replay::hand_over(folder, &replay::letters_in(folder), None, false).unwrap();
    assert_eq!(found.by_destination["rudder"], 3);
    replay::take_over(&rig.running, folder).await.unwrap();
    rig.delivered(HOUR).await;
    assert_eq!(rig.sim.totals(Remote::Rudder).distinct, 3);
    assert_eq!(rig.meter("rudder").delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn adaptive_concurrency_finds_what_a_slow_remote_bears() {
    let flags = ["--delay-base", "20ms", "--delay-slope", "5ms", "--hard-limit", "6"];
    let mut rig = Rig::new(&flags, "").await;
    for start in (0..30_000).step_by(1_000) {
        rig.take(messages(start..start + 1_000, 500)).await;
    }
    rig.start();
    rig.delivered(HOUR).await;
    let totals = rig.sim.totals(Remote::Rudder);
    assert_eq!((totals.distinct, totals.out_of_order), (30_000, 0));
}
