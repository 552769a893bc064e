//! kill -9 at seeded moments of migrations, which then are gone on with until they end by
//! themselves: each person has one account, each document is migrated once.
//!
//! A moment is a size of the run's journal or plan, or a number of documents in the database, and
//! a few milliseconds more, so that kills meet the middle of the work on a slow machine, too:
//! the listing, the preparations, each phase, and the end.

use super::{RECIPE, RUN, Scene, run_of};
use crate::support::{Running, wait_until};
use mongodb::bson::doc;
use std::path::PathBuf;
use std::time::Duration;
use windlass_connectors::mongo::generate::Options as Recipe;

/// The most kills of one run.
const IN_A_ROW: u32 = 5;
/// What a kill waits for.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Nothing but time: the listing.
    Start,
    /// The run is written down in the database.
    Prepared,
    /// So many documents in a collection.
    Documents(&'static str, u64),
    /// The journal has so many lines.
    Lines(usize),
}

impl Moment {
    fn choose(rng: &mut fastrand::Rng, recipe: &Recipe) -> Self {
        let expected = recipe.expected();
        match rng.u32(0..10) {
            0 => Self::Start,
            1 => Self::Prepared,
            2 | 3 => Self::Documents("users", rng.u64(1..=expected.people)),
            4 | 5 => Self::Documents("submissions", rng.u64(1..=expected.person_months)),
            6 | 7 => Self::Documents("invitations", rng.u64(1..=expected.person_months)),
            _ => Self::Lines(rng.usize(3..60)),
        }
    }

    fn has_come(self, scene: &Scene) -> bool {
        match self {
            Self::Start => true,
            Self::Prepared => scene.db.count("windlass_runs", doc! {}) > 0,
            Self::Documents(collection, count) => scene.db.count(collection, doc! {}) >= count,
            Self::Lines(count) => journal(scene).is_some_and(|path| {
                let text = std::fs::read(path).unwrap_or_default();
                text.iter().filter(|byte| **byte == b'\n').count() >= count
            }),
        }
    }
}

/// The journal of the run that was begun.
fn journal(scene: &Scene) -> Option<PathBuf> {
    let path = |run: String| scene.home.state().join("runs").join(run).join("journal");
    scene.home.runs().into_iter().map(path).find(|path| path.exists())
}

/// The words that a person would type now.
fn next_words(scene: &Scene) -> Vec<String> {
    let begun = journal(scene).map(|path| {
        let run = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        vec!["resume".to_owned(), run]
    });
    let mut words = begun.unwrap_or_else(|| RUN.iter().map(|word| (*word).to_owned()).collect());
    words.extend(["--output", "json"].map(str::to_owned));
    words
}

fn started(scene: &Scene) -> (Running, bool) {
    let words = next_words(scene);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    (scene.paced(&words).spawn(), words[0] == "resume")
}

/// Kills a process at a moment that the generator chooses; false when it ended before.
fn killed(scene: &Scene, running: &mut Running, recipe: &Recipe, rng: &mut fastrand::Rng) -> bool {
    let moment = Moment::choose(rng, recipe);
    let longest = if matches!(moment, Moment::Start) { 1_500_000 } else { 30_000 };
    let more = Duration::from_micros(rng.u64(0..longest));
    let mut ended = false;
    wait_until(&format!("{moment:?}"), || {
        ended = !running.is_running();
        ended || moment.has_come(scene)
    });
    std::thread::sleep(more);
    !ended && running.kill().code().is_none()
}

/// Runs with kills until there were enough of them; says how many kills met work under way.
fn story(scene: impl Fn(u64) -> Option<Scene>, kills: u32, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut done, mut resumed) = (0, 0);
    while done < kills {
        let recipe = Recipe { seed: rng.u64(..1000), ..RECIPE };
        let Some(scene) = scene(rng.u64(..)) else { return };
        let scene = scene.with(&recipe);
        let most = IN_A_ROW.min(kills - done);
        let mut of_this = 0;
        let report = loop {
            let (mut running, is_resumed) = started(&scene);
            resumed += u32::from(is_resumed);
            if of_this < most && killed(&scene, &mut running, &recipe, &mut rng) {
                of_this += 1;
                continue;
            }
            break running.wait().code(0).report();
        };
        done += of_this;
        assert_eq!((&report["left"], &report["outcomes"]["failed"]), (&0.into(), &0.into()));
        assert_eq!(report["verified"]["left"], 0, "{report}");
        scene.is_whole(&recipe, run_of(&report));
        assert_eq!(scene.db.count("windlass_runs", doc! { "stage": "complete" }), 1);
    }
    assert!(resumed >= kills / 3, "{resumed} resumed of {kills} kills: badly chosen moments");
}

fn simulated(seed: u64) -> Option<Scene> {
    let seed = (seed % 1_000_000).to_string();
    Some(Scene::simulated(&["--latency", "1ms..6ms", "--seed", &seed]))
}

#[test]
fn fifty_kills_on_the_simulated_server() {
    story(simulated, 50, 1);
}

#[test]
fn fifty_other_kills_on_the_simulated_server() {
    story(simulated, 50, 2);
}

#[test]
fn kills_on_the_real_server() {
    story(|_| Scene::real(), 8, 3);
}
