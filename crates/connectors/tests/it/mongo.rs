//! The laws for MongoDB: the official driver against the small server of this project, over real
//! sockets and in real time. What the whole program does against a real server is tested with the
//! program.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bson::{Document, doc};
use tokio::task::JoinHandle;
use windlass_connectors::mongo::generate;
use windlass_connectors::mongo::sim::{MongoSim, Options, serve};
use windlass_connectors::transport::{NetworkOptions, Transport};
use windlass_engine::event::Ending;
use windlass_engine::plan::Plan;

use super::support::{Applying, Run, Stage};

const DATABASE: &str = "faf";
const DOCUMENTS: u64 = 400;
const PEOPLE: u64 = 100;

/// Two phases with a reference between them, numbers for names that are taken, and one document
/// kept of several.
const MIGRATION: &str = r#"
name = "laws"
[[phase]]
name = "users"
from = "responses"
to = "users"
where = "text(doc.name) != ''"
otherwise = "no usable name"
group = "fold(doc.name)"
first = "date(doc.createdAt)"
[phase.fields]
username = "slug(doc.name, 3, 30)"
email = "target.username + '@example.com'"
[[phase.unique]]
fields = ["username"]
collision = "number"
length = 30
[[phase]]
name = "submissions"
from = "responses"
to = "submissions"
where = "text(doc.name) != ''"
otherwise = "no usable name"
[phase.references.user]
phase = "users"
key = "fold(doc.name)"
fields = ["email"]
[phase.fields]
userId = "user._id"
toEmail = "user.email"
month = "doc.month"
answers = "doc.responses"
[[phase.unique]]
fields = ["userId", "month"]
collision = "keep"
keep = "date(doc.createdAt)"
otherwise = "a newer one is kept"
"#;

/// A server with documents, and an operator in front of it.
struct Place {
    sim: Arc<MongoSim>,
    stage: Stage,
    serving: JoinHandle<()>,
    file: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn recipe() -> generate::Options {
    generate::Options { documents: DOCUMENTS, people: PEOPLE, months: 6, seed: 5, big: false }
}

impl Place {
    async fn new(flags: &[&str]) -> Self {
        let sim = Arc::new(MongoSim::new(Options::read(flags).unwrap()).unwrap());
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, serving) = serve(Arc::clone(&sim), any).await.unwrap();
        let serving = tokio::spawn(serving);
        let documents: Vec<_> = (0..DOCUMENTS)
            .map(|n| bson::RawDocumentBuf::try_from(&recipe().document(n)).unwrap())
            .collect();
        sim.insert(DATABASE, "responses", documents.iter()).unwrap();
        sim.clear_ledger();
        let uri = format!("mongodb://{address}/{DATABASE}");
        let transport = Transport::network(NetworkOptions::from_env());
        let mut stage = Stage::new("mongo", transport, &uri);
        stage.base_url = Some("http://localhost".to_owned());
        let file = stage.file("migration.toml", MIGRATION);
        Self { sim, stage, serving, file }
    }

    async fn plan(&self) -> Plan {
        let plan = self.stage.plan(&["plan", &self.file]).await.unwrap();
        assert!(plan.header.steps > 300, "the law needs something to be about");
        plan
    }

    fn dump(&self, collection: &str) -> Vec<Document> {
        self.sim.dump(DATABASE, collection)
    }

    /// Everything that a migration wrote, without what differs from run to run.
    fn targets(&self) -> BTreeMap<String, Document> {
        let mut targets = BTreeMap::new();
        for collection in ["users", "submissions"] {
            for mut document in self.dump(collection) {
                document.remove("_windlass");
                let id = document.get("_id").unwrap().to_string();
                assert!(targets.insert(format!("{collection} {id}"), document).is_none());
            }
        }
        targets
    }

    /// Exactly one account for each person, and one submission for each person and month.
    fn assert_migrated_once(&self) {
        let expected = recipe().expected();
        let users = self.dump("users");
        assert_eq!(users.len() as u64, expected.people);
        let names: BTreeSet<&str> =
            users.iter().map(|user| user.get_str("username").unwrap()).collect();
        assert_eq!(names.len(), users.len(), "user names are unique");
        let left = expected.documents_without_name + expected.duplicates_in_month;
        assert_eq!(self.dump("submissions").len() as u64, DOCUMENTS - left);
        for (collection, count) in [("users", users.len()), ("submissions", 0)] {
            let written = self.sim.ledger().written(DATABASE, collection);
            assert_eq!((written.updated, written.deleted), (0, 0), "{collection}");
            let there = self.sim.len(DATABASE, collection) as u64;
            assert_eq!(written.inserted, there, "{collection}, {count}");
        }
    }
}

fn lines(plan: &Plan) -> BTreeSet<String> {
    let text = std::fs::read_to_string(plan.path()).unwrap();
    let steps = text.lines().skip(1).filter(|line| line.starts_with("{\"step\""));
    steps.map(str::to_owned).collect()
}

fn assert_carried_out(run: &Run, plan: &Plan) {
    let counts = run.tally.counts;
    assert_eq!(run.tally.ending, Some(Ending::Complete), "{counts:?} {:?}", run.tally.ending);
    assert_eq!((counts.failed, counts.skipped), (0, 0), "{:?}", run.tally.first_failures);
    assert_eq!(counts.settled(), plan.header.steps);
}

const ROUGH: &[&str] = &[
    "--reset-before=0.04",
    "--reply-lost=0.04",
    "--reply-cut=0.02",
    "--throttle-rate=0.03",
    "--overload-rate=0.02",
    "--not-primary-rate=0.02",
    "--write-concern-rate=0.03",
    "--statement-throttle-rate=0.01",
    "--descending-write-errors",
];

#[tokio::test]
async fn discovery_changes_nothing() {
    let place = Place::new(&[]).await;
    place.plan().await;
    assert!(place.sim.ledger().total().is_nothing());
    assert!(place.dump("users").is_empty() && place.dump("windlass_runs").is_empty());
}

#[tokio::test]
async fn equal_state_gives_an_equal_plan_through_a_bad_network() {
    let (calm, rough) = (Place::new(&[]).await, Place::new(ROUGH).await);
    assert_eq!(lines(&calm.plan().await), lines(&rough.plan().await));
}

#[tokio::test]
async fn each_document_is_migrated_once_through_every_fault() {
    let mut calm = None;
    for seed in 0..6 {
        let seed_flag = format!("--seed={seed}");
        let flags: Vec<&str> = match seed {
            0 => Vec::new(),
            1 => [ROUGH, &[&seed_flag, "--no-key-pattern"]].concat(),
            _ => [ROUGH, &[&seed_flag]].concat(),
        };
        let mut place = Place::new(&flags).await;
        place.stage.limits.retries = 30;
        let plan = place.plan().await;
        let run = place.stage.apply(&plan).await;
        assert_carried_out(&run, &plan);
        place.assert_migrated_once();
        let targets = place.targets();
        assert_eq!(calm.get_or_insert_with(|| targets.clone()), &targets, "seed {seed}");
        let verified = place.stage.ask(&["verify", "run-0", "--sample", "all"]).await.unwrap();
        assert!(!verified.0.differs, "{}", String::from_utf8_lossy(&verified.1));
    }
}

#[tokio::test]
async fn a_second_plan_finds_nothing_and_the_same_plan_again_changes_nothing() {
    let place = Place::new(&[]).await;
    let plan = place.plan().await;
    assert_carried_out(&place.stage.apply(&plan).await, &plan);
    let targets = place.targets();
    place.sim.clear_ledger();
    let second = place.stage.plan(&["plan", &place.file]).await.unwrap();
    assert_eq!(second.header.steps, 0, "{:?}", second.header.left);
    let again = place.stage.apply(&plan).await;
    assert_eq!(again.tally.ending, Some(Ending::Complete));
    assert_eq!(again.tally.counts.done, 0, "all of it is done, as the database knows");
    assert_eq!(place.targets(), targets);
    for collection in ["users", "submissions", "responses"] {
        assert!(place.sim.ledger().written(DATABASE, collection).is_nothing(), "{collection}");
    }
}

#[tokio::test]
async fn two_processes_share_a_run() {
    let mut place = Place::new(&["--latency=5ms"]).await;
    place.stage.settings.insert("batch-max".into(), "20".into());
    let plan = place.plan().await;
    let first = place.stage.apply(&plan);
    let second = async {
        while !place
            .dump("windlass_runs")
            .iter()
            .any(|run| run.get_str("stage").unwrap() == "working")
        {
            tokio::task::yield_now().await;
        }
        let own = place.stage.plan(&["run", "--workers-of", "run-0", "--execute"]).await.unwrap();
        assert_eq!(lines(&own), lines(&plan), "a worker has the same steps with the same numbers");
        place.stage.apply(&own).await
    };
    let (first, second) = tokio::join!(first, second);
    place.assert_migrated_once();
    for (run, other) in [(&first, &second), (&second, &first)] {
        assert_eq!(run.tally.ending, Some(Ending::Complete));
        let counts = run.tally.counts;
        assert_eq!(counts.done + counts.elsewhere, plan.header.steps);
        assert_eq!(counts.elsewhere, other.tally.counts.done);
    }
}

#[tokio::test]
async fn a_rollback_takes_back_what_the_run_wrote_and_nothing_else() {
    let place = Place::new(ROUGH).await;
    let foreign = doc! { "_id": "mine", "username": "somebody", "at": bson::DateTime::now() };
    place
        .sim
        .insert(DATABASE, "users", [bson::RawDocumentBuf::try_from(&foreign).unwrap()])
        .unwrap();
    let sources = place.dump("responses");
    let plan = place.plan().await;
    place.stage.apply(&plan).await;
    let taken = place.stage.plan(&["rollback", "run-0"]).await.unwrap();
    assert_eq!(taken.header.steps, plan.header.steps);
    let run = place.stage.apply(&taken).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete), "{:?}", run.tally.first_failures);
    assert_eq!(place.dump("users"), [foreign]);
    assert!(place.dump("submissions").is_empty() && place.dump("windlass_ranges").is_empty());
    assert_eq!(place.dump("responses"), sources);
    let error = place.stage.ask(&["status", "run-0"]).await.unwrap();
    assert!(String::from_utf8(error.1).unwrap().contains("rolledback"));
}

#[tokio::test]
async fn no_password_of_the_server_is_written_anywhere() {
    let mut place = Place::new(&[]).await;
    place.stage.key = place.stage.key.replace("mongodb://", "mongodb://ann:CANARY0123@");
    // This server has no users, so the driver is refused; nothing of that may name the password.
    let refused = place.stage.ask(&["status"]).await.unwrap_err();
    assert!(refused.to_string().contains("SCRAM"), "{refused}");
    assert!(!format!("{refused:?}").contains("CANARY0123"), "{refused:?}");
    let opening = place.stage.open(&place.stage.setup(), &["generate"]).await.unwrap();
    let told = format!("{} {:?} {}", opening.account, opening.selection, opening.options);
    assert!(told.contains("/faf") && !told.contains("CANARY0123"), "{told}");
}

#[tokio::test]
async fn a_run_is_gone_on_with_from_its_journal_after_a_stop() {
    use windlass_engine::runner::Command;
    let mut place = Place::new(&["--latency=5ms"]).await;
    place.stage.settings.insert("batch-max".into(), "20".into());
    let plan = place.plan().await;
    let applying = Applying {
        at: vec![(60, super::support::Act::Order(Command::Stop))],
        ..Applying::default()
    };
    let stopped = place.stage.session(&plan, applying).await;
    assert_eq!(stopped.tally.ending, Some(Ending::Stopped));
    assert!(stopped.tally.counts.done >= 60 && stopped.tally.counts.done < plan.header.steps);
    let run = place.stage.resume(&plan, &stopped.journal).await;
    assert_carried_out(&run, &plan);
    place.assert_migrated_once();
}
