//! How many requests a job takes: under a quota of 1,200 in five minutes that is the speed. And
//! what becomes of jobs that take more than one window.

use std::time::Duration;

use windlass_connectors::cloudflare::sim::{Limit, Options};
use windlass_sim::ChassisOptions;
use windlass_sim::LatencyOptions;

use super::{Scene, free, scene};
use crate::support::keys;

/// The documented limits, and 20 ms a round trip.
fn limited() -> Options {
    Options { no_limits: false, ..free() }
}

/// A smaller global limit, so that a job meets many windows of it.
fn global(limit: &str) -> Options {
    let limits = vec![limit.parse::<Limit>().unwrap()];
    Options { limits, ..limited() }
}

fn requests(scene: &Scene) -> u64 {
    assert_eq!(scene.sim.ledger().too_many(), 0);
    scene.sim.ledger().len()
}

/// The index of the global limit among the simulator's rules.
const GLOBAL: usize = 0;

async fn delete_everything(keys: u64) {
    let mut scene = scene(Options { keys, ..limited() });
    scene.stage.keep_events = false;
    let began = tokio::time::Instant::now();
    let run = scene.carry_out(&["delete", "--all-keys"]).await;
    assert_eq!(run.tally.counts.done, keys);
    assert!(scene.sim.is_empty(&scene.full));
    let counts = scene.sim.counts();
    assert_eq!((counts.list, counts.bulk_delete), (keys / 1_000 + 1, keys / 10_000));
    assert_eq!(requests(&scene), keys / 1_000 + keys / 10_000 + 1, "the last is the final walk");
    assert_eq!(run.tally.verified.unwrap().left, 0);
    assert!(began.elapsed() < Duration::from_secs(300), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn deleting_200_000_keys_takes_220_requests_and_a_walk() {
    delete_everything(200_000).await;
}

#[tokio::test(start_paused = true)]
async fn deleting_1_000_000_keys_takes_1_100_requests_and_a_walk_within_one_window() {
    delete_everything(1_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn exporting_10_000_values_takes_110_requests() {
    let scene = scene(Options { keys: 10_000, ..limited() });
    let file = scene.stage.path("all.jsonl");
    let run = scene.stream(&["export", "--file", &file]).await;
    assert_eq!(run.tally.counts.done, 10_000);
    let counts = scene.sim.counts();
    assert_eq!((counts.list, counts.bulk_get, requests(&scene)), (10, 100, 110));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 10_000);
}

#[tokio::test(start_paused = true)]
async fn importing_25_000_records_takes_3_requests() {
    let scene = scene(Options { keys: 0, ..limited() });
    let line = |number: u32| format!("{{\"key\":\"k-{number:05}\",\"value\":\"v {number}\"}}\n");
    let file = scene.stage.file("all.jsonl", (0..25_000).map(line).collect::<String>());
    let run = scene.carry_out(&["import", &file]).await;
    assert_eq!((run.tally.counts.done, requests(&scene)), (25_000, 3));
    assert_eq!(scene.sim.counts().bulk_put, 3);
    assert_eq!(scene.sim.len(&scene.full), 25_000);
    let last = scene.sim.value(&scene.full, "k-24999").unwrap();
    assert_eq!(last, (b"v 24999".to_vec(), None, None));
}

#[tokio::test(start_paused = true)]
async fn copying_10_000_keys_takes_111_requests() {
    let scene = scene(Options { keys: 10_000, odd_keys: true, ..limited() });
    let run = scene.stream(&["copy", "--to", &scene.empty]).await;
    assert_eq!(run.tally.counts.done, 10_000);
    assert_eq!(scene.sim.digest(&scene.empty), scene.sim.digest(&scene.full));
    let counts = scene.sim.counts();
    assert_eq!((counts.list, counts.bulk_get, counts.bulk_put), (10, 100, 1));
    assert_eq!(requests(&scene), 111);
}

#[tokio::test(start_paused = true)]
async fn sixteen_shards_take_3_percent_more_requests_at_most() {
    let scene = scene(Options { keys: 500_000, ..limited() });
    let text = scene.text(&["list", "--all", "--shards", "hex"]).await;
    assert_eq!(text.lines().count(), 500_000);
    let asked = requests(&scene);
    assert!((500..=515).contains(&asked), "{asked} instead of 500");
}

/// The job needs 330 requests, and 60 are allowed in any ten seconds: it waits for them, and never
/// once meets the block.
#[tokio::test(start_paused = true)]
async fn a_job_of_many_windows_waits_for_them_and_never_meets_the_block() {
    let mut scene = scene(Options { keys: 30_000, value_bytes: 8, ..global("global=60/10s") });
    scene.stage = scene.stage.quotas(&["global=60/10s"]);
    let file = scene.stage.path("all.jsonl");
    let run = scene.stream(&["export", "--file", &file]).await;
    assert_eq!((run.tally.counts.done, requests(&scene)), (30_000, 330));
    let span = Duration::from_secs(10);
    assert_eq!(scene.sim.ledger().most_of_rule(GLOBAL, span, false).0, 60);
    // Five windows and what is left of the sixth, each with its round trips.
    assert!((50.0..=60.0).contains(&run.took.as_secs_f64()), "{:?}", run.took);
}

/// Somebody else takes 30 % of the account's window and says nothing. The `Ratelimit` headers do:
/// without them the same job runs into the block.
#[tokio::test(start_paused = true)]
async fn a_rival_is_told_by_the_headers_and_never_leads_into_the_block() {
    for no_limit_headers in [false, true] {
        let options = Options { keys: 30_000, value_bytes: 8, ..global("global=120/20s") };
        let mut scene = scene(Options { second_client: 0.3, no_limit_headers, ..options });
        scene.stage = scene.stage.quotas(&["global=120/20s"]);
        let file = scene.stage.path("all.jsonl");
        let run = scene.stream(&["export", "--file", &file]).await;
        assert_eq!(run.tally.counts.done, 30_000);
        if no_limit_headers {
            assert!(scene.sim.ledger().too_many() > 0);
            assert!(run.took > Duration::from_secs(300), "{:?}", run.took);
        } else {
            assert_eq!(requests(&scene), 330);
            assert!(run.took < Duration::from_secs(110), "{:?}", run.took);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_the_window_is_left_to_others_where_that_is_asked_for() {
    let mut scene = scene(Options { keys: 8_000, value_bytes: 8, ..limited() });
    scene.stage.limits.reserve = 0.5;
    let file = scene.stage.path("all.jsonl");
    let run = scene.stream(&["export", "--file", &file, "--batch-size", "10"]).await;
    assert_eq!((run.tally.counts.done, requests(&scene)), (8_000, 808));
    let span = Duration::from_secs(300);
    assert_eq!(scene.sim.ledger().most_of_rule(GLOBAL, span, false).0, 600);
    assert!((300.0..=330.0).contains(&run.took.as_secs_f64()), "{:?}", run.took);
}

/// What a plan tells of the time before it starts holds: the requests of a deletion that does not
/// fit one window are spread over as many as they need.
#[tokio::test(start_paused = true)]
async fn a_deletion_of_many_windows_waits_for_them() {
    let latency = LatencyOptions::constant(Duration::from_millis(100));
    let chassis = ChassisOptions { latency, ..ChassisOptions::default() };
    let mut scene = scene(Options { keys: 20_000, chassis, ..global("global=40/10s") });
    scene.stage = scene.stage.quotas(&["global=40/10s"]);
    let plan = scene.plan(&["delete", "--all-keys", "--batch-size", "100"]).await;
    assert_eq!(keys(&plan).len(), 20_000);
    // Plan and run are two processes, whose windows know nothing of each other.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let run = scene.stage.apply(&plan).await;
    super::assert_complete(&run);
    assert_eq!(requests(&scene), 20 + 200 + 1);
    assert!((50.0..=60.0).contains(&run.took.as_secs_f64()), "{:?}", run.took);
}
