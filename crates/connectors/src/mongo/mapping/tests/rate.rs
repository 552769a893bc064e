//! How many documents a second the preset maps on one core. Run it in a release build with
//! `cargo test --release -p windlass-connectors --lib mapping::tests::rate -- --ignored
//! --nocapture`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bson::oid::ObjectId;
use bson::{DateTime, RawDocumentBuf, doc};

use super::super::{Given, Migration, digest};
use super::{NOW, raw};

fn sources(count: u32) -> Vec<RawDocumentBuf> {
    let answers: Vec<_> = (0..10)
        .map(|at| doc! { "question": format!("Question {at} ?"), "answer": "réponse ".repeat(8) })
        .collect();
    let source = |at: u32| {
        let mut id = [0; 12];
        id[8..].copy_from_slice(&at.to_be_bytes());
        raw(&doc! {
            "_id": ObjectId::from_bytes(id), "name": format!("Zoé Müller {}", at % 5_000),
            "responses": answers.clone(), "month": "2024-03", "isAdmin": false,
            "token": format!("{at:064x}"), "createdAt": DateTime::from_millis(i64::from(at)),
        })
    };
    (0..count).map(source).collect()
}

#[test]
#[ignore = "a measurement, which says nothing in a debug build or on a busy machine"]
fn documents_a_second() {
    const COUNT: u32 = 20_000;
    let text = Migration::preset("form-a-friend").unwrap();
    let migration = Migration::parse(text, &|_| None).unwrap();
    let sources = sources(COUNT);
    let references = [doc! { "_id": ObjectId::from_bytes([1; 12]), "email": "x@y.example.com" }];
    let set = BTreeMap::new();
    let mut lines = String::new();
    for phase in &migration.phases {
        let start = Instant::now();
        let places: Vec<_> = sources.iter().map(|doc| phase.place(doc, NOW).unwrap()).collect();
        let placed = start.elapsed();
        let start = Instant::now();
        let mut sum = 0;
        let mut digesting = Duration::ZERO;
        for (source, place) in sources.iter().zip(&places) {
            let id = phase.id(&migration, &place.key, source).unwrap();
            let references = &references[..phase.references.len()];
            let given = Given { id, key: &place.key, count: 20, set: &set, references, now: NOW };
            let target = raw(&phase.target(source, &given).unwrap());
            let start = Instant::now();
            sum ^= digest(&target, &[])[0];
            digesting += start.elapsed();
        }
        let made = start.elapsed() - digesting;
        let rate = |time: Duration| f64::from(COUNT) / time.as_secs_f64();
        lines += &format!(
            "{}: place {:.0}/s, id, target and its bytes {:.0}/s, digest {:.0}/s ({sum})\n",
            phase.name,
            rate(placed),
            rate(made),
            rate(digesting)
        );
    }
    std::io::stderr().write_all(lines.as_bytes()).unwrap();
}
