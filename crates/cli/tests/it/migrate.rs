//! `windlass migrate` as a user meets it: the built binary against a real server (SecantusDB, whose
//! program `WINDLASS_SECANTUSD` names, or any server that `WINDLASS_TEST_MONGODB_URI` names) and
//! against a simulated one that can lie. What is in the databases afterwards is the judge, read by
//! the official driver.

mod change;
mod faults;
mod judge;
mod kill;
mod legacy;
mod refusals;
mod server;
mod workers;

use crate::support::{Ended, Home, Program};
use mongodb::bson::{Bson, Document, doc};
use serde_json::Value;
use server::{Database, Kind, Simulated};
use windlass_connectors::mongo::generate::Options as Recipe;

/// Documents with every oddity, few enough for a hundred runs.
const RECIPE: Recipe = Recipe { documents: 200, people: 40, months: 6, seed: 3, big: false };

/// Small batches, so that there are many moments; two at once.
const PACE: &[(&str, &str)] = &[
    ("BATCH_SIZE_MIN", "5"),
    ("BATCH_SIZE_INITIAL", "8"),
    ("BATCH_SIZE_MAX", "12"),
    ("MAX_CONCURRENT_OPERATIONS", "2"),
    ("WORKER_THREAD_COUNT", "1"),
];

/// The migration that comes with the program, with passwords that are hashed quickly.
fn preset() -> String {
    let text = windlass_connectors::mongo::mapping::Migration::preset("form-a-friend").unwrap();
    let quick = text.replace("cost = 12", "cost = 4");
    assert_ne!(text, quick);
    quick
}

/// A database, a home directory, and the program between them.
struct Scene {
    home: Home,
    db: Database,
    simulated: Option<Simulated>,
}

impl Scene {
    /// One on the real server; `None` where there is none.
    fn real() -> Option<Self> {
        Self::on(Kind::ReplicaSet)
    }

    fn on(kind: Kind) -> Option<Self> {
        Some(Self { home: Home::new(), db: Database::real(kind)?, simulated: None })
    }

    /// One on a simulated server with these flags of `windlass sim mongo`.
    fn simulated(flags: &[&str]) -> Self {
        let (db, simulated) = Database::simulated(flags);
        Self { home: Home::new(), db, simulated: Some(simulated) }
    }

    /// The simulated server.
    fn server(&self) -> &Simulated {
        self.simulated.as_ref().unwrap()
    }

    /// A command line of the program for this database.
    fn windlass(&self, words: &[&str]) -> Program {
        self.at(&self.home, words)
    }

    /// The same from another home directory: another machine.
    fn at(&self, home: &Home, words: &[&str]) -> Program {
        home.windlass(words).env("MONGODB_URI", &self.db.uri)
    }

    /// Writes the documents of a recipe and the preset.
    fn with(self, recipe: &Recipe) -> Self {
        let documents: Vec<Document> = (0..recipe.documents).map(|n| recipe.document(n)).collect();
        self.db.insert("responses", &documents);
        self.file(&preset())
    }

    /// Writes the migration file.
    fn file(self, text: &str) -> Self {
        self.home.write("work/m.toml", text);
        self
    }

    /// The words that carry the migration out.
    fn run(&self, more: &[&str]) -> Program {
        self.windlass(&[RUN, more].concat())
    }

    /// A command line that works in small batches, two at once.
    fn paced(&self, words: &[&str]) -> Program {
        let program = self.windlass(words);
        PACE.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// Carries it out to its good end, and says what its report says.
    fn migrated(&self, more: &[&str]) -> Value {
        self.run(&[&["--output", "json"], more].concat()).run().code(0).report()
    }

    /// Compares everything that a run wrote.
    fn verified(&self, run: &str, code: i32) -> Ended {
        self.windlass(&["migrate", "verify", run, "--sample", "all"]).run().code(code)
    }
}

/// The tests' sources have no index on the private links, which the preset's last phase reads by.
const RUN: &[&str] = &["migrate", "run", "m.toml", "--execute", "--allow-scan"];

/// The first and the last step of each span of an event's steps; one step alone is a number.
fn spans(event: &Value) -> Vec<(u64, u64)> {
    let number = |value: &Value| value.as_u64().unwrap();
    let span = |span: &Value| match span.as_array() {
        Some(both) => (number(&both[0]), number(&both[1])),
        None => (number(span), number(span)),
    };
    event["steps"].as_array().unwrap().iter().map(span).collect()
}

/// The run that a report is of.
fn run_of(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

/// The text in a field.
#[track_caller]
fn text<'a>(document: &'a Document, path: &str) -> &'a str {
    at(document, path).and_then(Bson::as_str).unwrap_or_else(|| panic!("{path}: {document}"))
}

/// What is at a dotted path.
fn at<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((first, rest)) => at(document.get_document(first).ok()?, rest),
    }
}

/// A document as the old form wrote it.
fn response(id: i32, name: &str, month: &str) -> Document {
    let answer = doc! { "question": "Comment vas-tu ?", "answer": "Bien" };
    doc! {
        "_id": id,
        "name": name,
        "month": month,
        "token": format!("{id:064x}"),
        "isAdmin": false,
        "responses": [answer],
        "createdAt": mongodb::bson::DateTime::from_millis(1_700_000_000_000 + i64::from(id)),
    }
}
