//! What is acknowledged is never lost: kills at seeded moments under load with destinations in
//! trouble, stops in good order, lost answers.

use super::gateway::{Config, Gateway, Simulators};
use super::http::{Connection, basic};
use super::load::{Books, Door, Load, messages, spans};
use super::postgres::Postgres;
use super::rows::Database;
use crate::support::{Home, wait_until};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

/// Acknowledged events that the kills have to be survived with, at least.
const EVENTS: u64 = 100_000;
/// The kills of that, at least.
const KILLS: u32 = 12;
/// How long the whole backlog may take.
const DRAIN: Duration = Duration::from_secs(100);
/// The trouble that destinations are in, one after the other.
const TROUBLES: [&str; 6] = ["down", "503", "off", "429", "slow:100ms", "off"];

/// How often each id arrived at a simulator.
fn arrivals(simulators: &Simulators, remote: &str) -> BTreeMap<String, u64> {
    let id = |event: &Value| match event["messageId"].as_str() {
        Some(id) => id.to_owned(),
        None => {
            let part = |name: &str| event[name].as_str().unwrap().to_owned();
            [part("trace_id"), part("span_id")].join("-")
        }
    };
    let events = simulators.events(remote);
    events.iter().map(|event| (id(event), event["times"].as_u64().unwrap())).collect()
}

/// What is acknowledged and not there.
fn missing<'a>(acknowledged: &'a [String], there: &BTreeSet<&str>) -> Vec<&'a String> {
    acknowledged.iter().filter(|id| !there.contains(id.as_str())).collect()
}

/// Nothing acknowledged is missing anywhere, and no row is there twice. Returns how many events
/// arrived at the simulators again.
fn check_books(simulators: &Simulators, databases: &[Database<'_>], books: &Books) -> u64 {
    let mut again = 0;
    let wanted = [("rudder", &books.messages), ("langfuse", &books.spans), ("otlp", &books.spans)];
    for (remote, acknowledged) in wanted {
        let arrived = arrivals(simulators, remote);
        let there = arrived.keys().map(String::as_str).collect();
        let missing = missing(acknowledged, &there);
        assert!(missing.is_empty(), "{} lost at {remote}: {:?}", missing.len(), missing.first());
        again += arrived.values().map(|times| times - 1).sum::<u64>();
    }
    for database in databases {
        for (table, acknowledged) in
            [("event_logs", &books.messages), ("model_cost_logs", &books.spans)]
        {
            let ids = database.ids(table);
            let there: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
            assert_eq!(there.len(), ids.len(), "rows of {table} stand there twice");
            let missing = missing(acknowledged, &there);
            assert!(missing.is_empty(), "{} lost in {table}: {:?}", missing.len(), missing.first());
        }
    }
    again
}

/// A figure that people may want to know of a test that passed.
fn tell(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[test]
fn kills_under_load_lose_nothing_that_was_acknowledged() {
    let (home, postgres) = (Home::new(), Postgres::start());
    let simulators = Simulators::start(&home, &[]);
    let config = Config::new().simulators(&simulators).databases(postgres.as_ref());
    let mut gateway = Gateway::start(&home, &config);
    let doors = [Door::Rudder, Door::Otlp, Door::Rudder, Door::Otlp];
    let load = Load::start(&gateway.url, &doors);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut kills, mut troubles) = (0, TROUBLES.iter().cycle());
    while load.acknowledged() < EVENTS || kills < KILLS {
        for remote in ["langfuse", "rudder", "otlp"] {
            if random.bool() {
                simulators.outage(remote, troubles.next().unwrap());
            }
        }
        let target = load.acknowledged() + random.u64(1..2 * EVENTS / u64::from(KILLS));
        wait_until("acknowledgements", || load.acknowledged() >= target);
        gateway.kill9();
        kills += 1;
        gateway.again();
    }
    let books = load.end();
    simulators.all_well();
    gateway.wait_until_delivered(DRAIN);
    let mut databases = vec![gateway.sqlite()];
    databases.extend(postgres.as_ref().map(Database::Postgres));
    let again = check_books(&simulators, &databases, &books);
    let count = books.messages.len() + books.spans.len();
    let counts = simulators.counts();
    // Spans carry their times, so only messages are kept in order.
    assert_eq!(counts["rudder"]["out_of_order"], 0, "{counts}");
    tell(&format!(
        "{count} events acknowledged, {kills} kills, {} batches sent again by their clients: \
         0 lost, {again} of {} deliveries came again, each with its id",
        books.resent,
        counts["rudder"]["accepted"].as_u64().unwrap()
            + counts["langfuse"]["accepted"].as_u64().unwrap()
            + counts["otlp"]["accepted"].as_u64().unwrap(),
    ));
    for one in gateway.status()["destinations"].as_array().unwrap() {
        assert_eq!((&one["rejected"], &one["shed"]), (&0.into(), &0.into()), "{one}");
        assert_eq!(one["delivered"], one["routed"], "{one}");
    }
}

#[test]
fn sigterm_under_load_delivers_everything_and_loses_nothing() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    let config = Config::new().simulators(&simulators).databases(None);
    let gateway = Gateway::start(&home, &config);
    let load = Load::start(&gateway.url, &[Door::Rudder, Door::Otlp]);
    wait_until("acknowledgements", || load.acknowledged() >= 5_000);
    let sqlite = gateway.sqlite();
    let (ended, took) = gateway.terminate();
    let books = load.end();
    let ended = ended.code(0);
    assert!(took < Duration::from_secs(15), "{took:?}: the limit is 10 s, and 5 s for the wire");
    assert!(ended.err.contains("everything is delivered"), "{}", ended.err);
    assert_eq!(check_books(&simulators, &[sqlite], &books), 0, "nothing is sent again");
}

#[test]
fn sigterm_keeps_what_a_dead_destination_does_not_take() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    simulators.outage("langfuse", "hang");
    simulators.outage("rudder", "down");
    let config = Config::new().simulators(&simulators).databases(None);
    let config = config.replaced("drain = \"10s\"", "drain = \"1s\"");
    let mut gateway = Gateway::start(&home, &config);
    let load = Load::start(&gateway.url, &[Door::Rudder, Door::Otlp]);
    wait_until("acknowledgements", || load.acknowledged() >= 2_000);
    let books = load.end();
    wait_until("the healthy destinations", || {
        ["otlp", "sqlite"].iter().all(|name| gateway.destination(name)["pending"] == 0)
    });
    let start = std::time::Instant::now();
    gateway.running.signal("TERM");
    wait_until("the end", || !gateway.running.is_running());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let words = gateway.running.err();
    let waiting = |name: &str, count: usize| {
        let line = format!("{count} events wait for {name}; the next start sends them");
        assert!(words.contains(&line), "{line}: {words}");
    };
    waiting("langfuse", books.spans.len());
    waiting("rudderstack", books.messages.len());
    simulators.all_well();
    gateway.again();
    gateway.wait_until_delivered(DRAIN);
    let again = check_books(&simulators, &[gateway.sqlite()], &books);
    assert_eq!(again, 0, "nothing was answered, so nothing came twice");
}

#[test]
fn what_is_sent_again_after_a_lost_answer_arrives_once() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    let config = Config::new().simulators(&simulators).databases(None);
    let mut gateway = Gateway::start(&home, &config);
    let (message_ids, message_body) = messages(0, 0);
    let (span_ids, span_body) = spans(0, 0);
    let send = |url: &str| {
        for (path, key, body) in [
            ("/v1/batch", basic(super::gateway::WRITE_KEY, ""), &message_body),
            ("/v1/traces", format!("Bearer {}", super::gateway::SECRET_KEY), &span_body),
        ] {
            let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
            let mut connection = Connection::to(url).unwrap();
            let answer = connection.send("POST", path, &headers, body.as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    };
    // Delivered, and sent again.
    send(&gateway.url);
    gateway.wait_until_delivered(DRAIN);
    send(&gateway.url);
    // Known also after a kill, whether delivered or not.
    gateway.kill9();
    gateway.again();
    send(&gateway.url);
    gateway.wait_until_delivered(DRAIN);
    let books = Books { messages: message_ids, spans: span_ids, resent: 0 };
    assert_eq!(check_books(&simulators, &[gateway.sqlite()], &books), 0);
    let duplicates = gateway.status()["events"]["duplicates"].as_u64().unwrap();
    assert_eq!(duplicates, 100, "both batches were known");
}

#[test]
fn what_waits_for_a_dead_destination_survives_a_kill_and_arrives_once() {
    let home = Home::new();
    let simulators = Simulators::start(&home, &[]);
    for remote in ["langfuse", "rudder", "otlp"] {
        simulators.outage(remote, "503");
    }
    let config = Config::new().simulators(&simulators).databases(None);
    let mut gateway = Gateway::start(&home, &config);
    let load = Load::start(&gateway.url, &[Door::Rudder, Door::Otlp]);
    wait_until("acknowledgements", || load.acknowledged() >= 2_000);
    gateway.kill9();
    gateway.again();
    wait_until("more of them", || load.acknowledged() >= 4_000);
    gateway.kill9();
    let books = load.end();
    gateway.again();
    assert_eq!(simulators.counts()["rudder"]["accepted"], 0);
    simulators.all_well();
    gateway.wait_until_delivered(DRAIN);
    let again = check_books(&simulators, &[gateway.sqlite()], &books);
    assert_eq!(again, 0, "nothing was delivered before the kills");
}
