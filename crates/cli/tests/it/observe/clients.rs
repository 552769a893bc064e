//! Real clients in their published versions send to the gateway; every event has to come out once
//! at each destination, in the order of its user, under the right names and at the right cost.
//!
//! What they need is named by variables that `cargo xtask test` sets: `WINDLASS_OBSERVE_PYTHON`,
//! `WINDLASS_OBSERVE_PYTHON_OLD`, `WINDLASS_OBSERVE_LITELLM` and `WINDLASS_OBSERVE_NODE_DIR`.

use super::gateway::{Config, Gateway, PUBLIC_KEY, SECRET_KEY, Simulators, WRITE_KEY};
use super::postgres::Postgres;
use super::rows::{Cost, Database, Event};
use crate::support::{Home, is_installed, skipped, wait_until};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a backlog of some hundred events may take, on a machine that is busy with tests.
const DELIVERY: Duration = Duration::from_secs(40);

/// A client: what starts it.
struct Client {
    program: PathBuf,
    words: Vec<PathBuf>,
}

impl Client {
    /// A script for the Python that this variable names.
    fn python(variable: &str, script: &str) -> Option<Self> {
        let python = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_file());
        let Some(program) = python else {
            skipped(&format!("{script} against the gateway: {variable} names no Python"));
            return None;
        };
        Some(Self { program, words: vec![scripts().join(script)] })
    }

    /// A script for Node and the packages that tests have.
    fn node(script: &str) -> Option<Self> {
        let folder = std::env::var_os("WINDLASS_OBSERVE_NODE_DIR").map(PathBuf::from);
        let Some(folder) = folder.filter(|folder| folder.join("node_modules").is_dir()) else {
            skipped(&format!("{script}: WINDLASS_OBSERVE_NODE_DIR names no folder of packages"));
            return None;
        };
        if !is_installed("node") {
            skipped(&format!("{script} against the gateway: node is not installed"));
            return None;
        }
        Some(Self { program: "node".into(), words: vec![scripts().join(script), folder] })
    }

    /// Lets it send so many and returns what it says that it sent.
    fn send(&self, home: &Home, gateway: &Gateway<'_>, count: usize) -> Value {
        let mut command = Command::new(&self.program);
        command.args(&self.words).arg(count.to_string());
        let program = home.program(command).env("GATEWAY_URL", &gateway.url);
        let program = program.env("PUBLIC_KEY", PUBLIC_KEY).env("SECRET_KEY", SECRET_KEY);
        let ended = program.env("WRITE_KEY", WRITE_KEY).run().code(0);
        let line = ended.out.lines().last().unwrap_or_else(|| panic!("it is silent: {ended:?}"));
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/observe/clients")
}

/// A gateway with everything behind it.
struct Place<'a> {
    simulators: Simulators,
    gateway: Gateway<'a>,
    postgres: Option<&'a Postgres>,
}

impl<'a> Place<'a> {
    fn open(home: &'a Home, postgres: Option<&'a Postgres>) -> Self {
        let simulators = Simulators::start(home, &[]);
        let config = Config::new().simulators(&simulators).databases(postgres);
        let gateway = Gateway::start(home, &config);
        Self { simulators, gateway, postgres }
    }

    /// Waits for so many events at a simulator, and then for all that is left.
    fn wait_for(&self, remote: &str, count: usize) {
        wait_until(&format!("{count} events at {remote}"), || {
            self.simulators.counts()[remote]["distinct"].as_u64().unwrap() >= count as u64
        });
        self.gateway.wait_until_delivered(DELIVERY);
    }

    fn databases(&self) -> Vec<Database<'_>> {
        let sqlite = self.gateway.sqlite();
        std::iter::once(sqlite).chain(self.postgres.map(Database::Postgres)).collect()
    }

    /// No event was refused, set aside, left out or counted twice, and everything was delivered.
    fn check_account(&self) {
        let status = self.gateway.status();
        let events = &status["events"];
        for name in ["refused", "dropped", "sampled_out", "shed", "failed", "duplicates"] {
            assert_eq!(events[name], 0, "{name}: {events}");
        }
        assert_eq!(status["dead_letters"], 0);
        for one in status["destinations"].as_array().unwrap() {
            assert_eq!(one["delivered"], one["routed"], "{one}");
            assert_eq!(one["rejected"], 0, "{one}");
        }
    }
}

/// A span as a client says that it sent it, with ids as OTLP has them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
    class: String,
    model: Option<String>,
    user: Option<String>,
    session: Option<String>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl Span {
    fn sent(value: &Value) -> Self {
        Self {
            trace: text(&value["trace"]).unwrap(),
            id: text(&value["span"]).unwrap(),
            parent: text(&value["parent"]),
            name: text(&value["name"]).unwrap(),
            class: text(&value["type"]).unwrap(),
            model: text(&value["model"]),
            user: text(&value["user"]),
            session: text(&value["session"]),
        }
    }

    /// As a reader of Langfuse sees it.
    fn seen(value: &Value) -> Self {
        Self {
            trace: text(&value["traceId"]).unwrap(),
            id: text(&value["id"]).unwrap(),
            parent: text(&value["parentObservationId"]),
            name: text(&value["name"]).unwrap(),
            class: text(&value["type"]).unwrap().to_lowercase(),
            model: text(&value["providedModelName"]),
            user: text(&value["userId"]),
            session: text(&value["sessionId"]),
        }
    }

    /// The id of its event in the databases.
    fn event_id(&self) -> String {
        format!("{}-{}", self.trace, self.id)
    }

    /// The row that its generation has to have.
    fn cost_row(&self, user: Option<&str>) -> Option<(String, Cost)> {
        let model = self.model.clone()?;
        let (cost, tokens) = expected(&model);
        let user = user.map(str::to_owned);
        Some((self.event_id(), Cost { user, model, cost: cost.map(str::to_owned), tokens }))
    }
}

/// What the scripts let each model read and write, priced by hand: a million tokens of gpt-4o cost
/// 2.50 read, 1.25 from the cache and 10 written; of claude-sonnet-4-5 3, 0.30 from and 3.75 into
/// the cache, and 15. Input, from the cache, into the cache, output.
fn expected(model: &str) -> (Option<&'static str>, [u64; 4]) {
    match model {
        "gpt-4o" => (Some("0.007000000000"), [1000, 400, 0, 500]),
        "claude-sonnet-4-5" => (Some("0.008955000000"), [1000, 600, 100, 500]),
        _ => (None, [10, 0, 0, 5]),
    }
}

/// A decimal text with twelve decimals.
fn twelve(text: &str) -> String {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    assert!(decimals.len() <= 12, "{text}");
    format!("{whole}.{decimals:0<12}")
}

/// The same keys with the same values; else the first difference is shown.
#[track_caller]
fn same<K: Ord + Debug, V: PartialEq + Debug>(
    found: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    place: &str,
) {
    for (key, value) in wanted {
        assert_eq!(found.get(key), Some(value), "{key:?} in {place}");
    }
    let extra = found.iter().find(|(key, _)| !wanted.contains_key(key));
    assert!(extra.is_none(), "{extra:?} in {place} was never sent");
}

/// The events of a simulator of traces: each came once, with these costs.
fn check_spans(place: &Place<'_>, remote: &str, spans: &[Span]) {
    let events = place.simulators.events(remote);
    let mut found: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    for event in &events {
        assert_eq!(event["times"], 1, "{remote}: {event}");
        let ids = (text(&event["trace_id"]).unwrap(), text(&event["span_id"]).unwrap());
        found.insert(ids, text(&event["cost"]).map(|cost| twelve(&cost)));
    }
    let cost = |span: &Span| expected(span.model.as_deref()?).0.map(str::to_owned);
    let wanted = spans.iter().map(|span| ((span.trace.clone(), span.id.clone()), cost(span)));
    same(&found, &wanted.collect(), remote);
}

/// What readers of Langfuse see is what was sent.
fn check_observations(place: &Place<'_>, spans: &[Span]) {
    let seen: BTreeSet<Span> = place.simulators.observations().iter().map(Span::seen).collect();
    let wanted: BTreeSet<Span> = spans.iter().cloned().collect();
    let (extra, missing) = (seen.difference(&wanted).next(), wanted.difference(&seen).next());
    assert!(seen == wanted, "seen and not sent: {extra:#?}\nsent and not seen: {missing:#?}");
}

/// The rows of `model_cost_logs` are those of the generations. `user` is who they belong to.
fn check_costs(place: &Place<'_>, spans: &[Span], user: impl Fn(&Span) -> Option<&str>) {
    let wanted = spans.iter().filter_map(|span| span.cost_row(user(span)));
    let wanted: BTreeMap<String, Cost> = wanted.collect();
    for database in place.databases() {
        same(&database.costs(), &wanted, "model_cost_logs");
    }
}

/// Scores came once each, at Langfuse and in the databases.
fn check_scores(place: &Place<'_>, sent: &Value) {
    let ids = sent["scores"].as_array().unwrap().iter().map(|id| text(id).unwrap());
    let ids: BTreeSet<String> = ids.collect();
    let scores = place.simulators.events("scores");
    assert!(scores.iter().all(|score| score["times"] == 1), "{scores:?}");
    let seen = scores.iter().map(|score| text(&score["span_id"]).unwrap());
    assert_eq!(seen.collect::<BTreeSet<_>>(), ids);
    for database in place.databases() {
        assert_eq!(database.scores(), ids);
        let events = database.events();
        let classes: BTreeSet<&str> = events.values().map(|event| event.class.as_str()).collect();
        assert!(ids.is_empty() || classes == BTreeSet::from(["score"]), "{classes:?}");
    }
}

/// A client of today sends traces; `count` of them, of which each has three spans.
fn traces_of_today(client: &Client, count: usize) {
    let (home, postgres) = (Home::new(), Postgres::start());
    let place = Place::open(&home, postgres.as_ref());
    let sent = client.send(&home, &place.gateway, count);
    let spans: Vec<Span> = sent["spans"].as_array().unwrap().iter().map(Span::sent).collect();
    assert_eq!(spans.len(), 3 * count);
    place.wait_for("langfuse", spans.len());
    check_spans(&place, "langfuse", &spans);
    check_spans(&place, "otlp", &spans);
    check_observations(&place, &spans);
    check_costs(&place, &spans, |span| span.user.as_deref());
    check_scores(&place, &sent);
    place.check_account();
}

#[test]
fn opentelemetry_for_python() {
    let client = Client::python("WINDLASS_OBSERVE_PYTHON", "otel.py");
    client.inspect(|client| traces_of_today(client, 60));
}

#[test]
fn langfuse_5_for_python() {
    let client = Client::python("WINDLASS_OBSERVE_PYTHON", "langfuse5.py");
    client.inspect(|client| traces_of_today(client, 60));
}

#[test]
fn langfuse_5_for_node() {
    let client = Client::node("langfuse.mjs");
    client.inspect(|client| traces_of_today(client, 60));
}

/// The first eight bytes of a hash, in hexadecimal: the id of a span whose client had any text.
fn hashed(text: &str) -> String {
    Sha256::digest(text)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A trace of the old client is a span of its own, and all ids are as OTLP wants them.
fn as_spans(sent: &Value) -> Vec<Span> {
    let mut spans = BTreeSet::new();
    for value in sent["spans"].as_array().unwrap() {
        let span = Span::sent(value);
        let root = hashed(&format!("trace:{}", span.trace));
        let trace = span.trace.replace('-', "");
        spans.insert(Span {
            trace: trace.clone(),
            id: root.clone(),
            parent: None,
            name: "conversation".to_owned(),
            class: "span".to_owned(),
            model: None,
            ..span.clone()
        });
        let parent = span.parent.as_deref().map_or(root, hashed);
        spans.insert(Span { trace, id: hashed(&span.id), parent: Some(parent), ..span });
    }
    spans.into_iter().collect()
}

#[test]
fn langfuse_2_for_python() {
    let Some(client) = Client::python("WINDLASS_OBSERVE_PYTHON_OLD", "langfuse2.py") else {
        return;
    };
    let (home, postgres) = (Home::new(), Postgres::start());
    let place = Place::open(&home, postgres.as_ref());
    let sent = client.send(&home, &place.gateway, 30);
    let spans = as_spans(&sent);
    assert_eq!(spans.len(), 3 * 30);
    place.wait_for("langfuse", spans.len());
    check_spans(&place, "langfuse", &spans);
    check_spans(&place, "otlp", &spans);
    check_observations(&place, &spans);
    check_costs(&place, &spans, |span| span.user.as_deref());
    check_scores(&place, &sent);
    place.check_account();
}

#[test]
fn litellm_with_its_callback_for_langfuse() {
    let Some(client) = Client::python("WINDLASS_OBSERVE_LITELLM", "litellm_otel.py") else {
        return;
    };
    let (home, postgres) = (Home::new(), Postgres::start());
    let place = Place::open(&home, postgres.as_ref());
    let sent = client.send(&home, &place.gateway, 12);
    let completions = sent["completions"].as_array().unwrap();
    assert!(completions.iter().all(|one| one["stated"] == 0.007), "{completions:?}");
    // Each has a child with what was asked of the vendor.
    place.wait_for("langfuse", 24);
    let seen: Vec<Span> = place.simulators.observations().iter().map(Span::seen).collect();
    assert_eq!(seen.len(), 24);
    let requests: Vec<Span> =
        seen.iter().filter(|span| span.name == "litellm_request").cloned().collect();
    let who = |value: &Value| (text(&value["user"]), text(&value["session"]));
    let mut wanted: Vec<_> = completions.iter().map(who).collect();
    let mut found: Vec<_> =
        requests.iter().map(|span| (span.user.clone(), span.session.clone())).collect();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
    for request in &requests {
        assert_eq!(
            (request.class.as_str(), request.model.as_deref()),
            ("generation", Some("gpt-4o"))
        );
        let children = seen.iter().filter(|span| span.parent.as_ref() == Some(&request.id));
        let names: Vec<&str> = children.map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["raw_gen_ai_request"]);
    }
    check_spans(&place, "langfuse", &seen);
    check_spans(&place, "otlp", &seen);
    check_costs(&place, &seen, |span| span.user.as_deref());
    place.check_account();
}

/// A client of RudderStack sends messages of seven users.
fn messages(client: &Client, count: usize) {
    let (home, postgres) = (Home::new(), Postgres::start());
    let place = Place::open(&home, postgres.as_ref());
    let sent = client.send(&home, &place.gateway, count);
    let sent = sent["messages"].as_array().unwrap();
    assert_eq!(sent.len(), 7 + count);
    place.wait_for("rudder", sent.len());
    let arrived = place.simulators.events("rudder");
    assert!(arrived.iter().all(|event| event["times"] == 1), "{arrived:?}");
    let by_user = |user: &str, id: &str, class: &str, event: &str, rows: &[Value]| {
        let mut users: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for row in rows {
            let name = row[event].as_str().unwrap_or_default();
            let row_of_user = users.entry(text(&row[user]).unwrap()).or_default();
            row_of_user.push(json!([row[id], row[class], name]));
        }
        users
    };
    let wanted = by_user("user", "id", "type", "event", sent);
    assert_eq!(by_user("userId", "messageId", "type", "event", &arrived), wanted);
    let counts = &place.simulators.counts()["rudder"];
    assert_eq!((&counts["out_of_order"], &counts["duplicates"]), (&json!(0), &json!(0)));
    let rows = sent.iter().map(|message| {
        let class = text(&message["type"]).unwrap();
        // A message without a name of its own has that of its type.
        let name = text(&message["event"]).unwrap_or_else(|| class.clone());
        (text(&message["id"]).unwrap(), Event { user: text(&message["user"]), class, name })
    });
    let rows: BTreeMap<String, Event> = rows.collect();
    for database in place.databases() {
        same(&database.events(), &rows, "event_logs");
        assert_eq!(database.costs(), BTreeMap::new());
    }
    place.check_account();
}

#[test]
fn rudderstack_for_python() {
    let client = Client::python("WINDLASS_OBSERVE_PYTHON", "rudder.py");
    client.inspect(|client| messages(client, 700));
}

#[test]
fn rudderstack_for_node() {
    let client = Client::node("rudder.mjs");
    client.inspect(|client| messages(client, 700));
}
