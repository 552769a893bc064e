//! Big jobs against strict limits. Every window of the simulator is an exact sliding log, so one
//! request too many anywhere is a 429 in the ledger.
//!
//! Each test prints its figures: `cargo test -p windlass-connectors --test it scenarios --
//! --nocapture`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use windlass_connectors::workos::sim::{Options, WorkosSim};
use windlass_engine::event::Ending;
use windlass_sim::faults::Period;
use windlass_sim::latency::parse_range;
use windlass_sim::{ChassisOptions, Entry, FaultOptions, LatencyOptions};

use super::support::{ALL_DAYS, Run, Stage, keys, workos};

/// 5 to 200 ms for the round trip, and up to 40 ms more on each of its ways.
fn rough_network() -> LatencyOptions {
    LatencyOptions {
        latency: parse_range("5ms..200ms").unwrap(),
        jitter: Duration::from_millis(40),
    }
}

/// The mean of these delays: half way from 5 to 200 ms, and twice half of 40 ms.
const MEAN_ROUND_TRIP: Duration = Duration::from_micros(142_500);

fn strict(limit: &str) -> Options {
    let chassis = ChassisOptions { latency: rough_network(), ..ChassisOptions::default() };
    let limits = vec![limit.parse().unwrap()];
    Options { organizations: 0, users: 0, strict: true, limits, chassis, ..Options::default() }
}

/// A quota with the number of requests that pay it.
struct Load {
    requests: u64,
    limit: u32,
    span: Duration,
}

impl Load {
    /// The time at the full quota: a window of `limit` every `span`.
    fn ideal(&self) -> Duration {
        self.span.mul_f64(self.requests as f64 / f64::from(self.limit))
    }

    /// The same where each permit comes back a span after the answer.
    fn bound(&self) -> Duration {
        let round = self.span + MEAN_ROUND_TRIP;
        round.mul_f64(self.requests as f64 / f64::from(self.limit))
    }
}

fn deletions(entry: &Entry<'_>) -> bool {
    entry.method == "DELETE"
}

/// Prints the figures of a run as a row and hands back its times relative to ideal and bound.
fn figures(name: &str, load: &Load, run: &Run, sim: &WorkosSim, real: Instant) -> (f64, f64) {
    let took = run.took.as_secs_f64();
    let ratios = (took / load.ideal().as_secs_f64(), took / load.bound().as_secs_f64());
    let most = sim.ledger().most_in_window(load.span, deletions);
    println!(
        "{name:<34} {:>7} steps {took:>9.1} s virtual  {:.4} x ideal  {:.4} x bound  \
         {:>5} x 429  most in a window {most:>3}/{:<3}  {:>5} retries  p50 {:.0} ms  real {:.2} s",
        load.requests,
        ratios.0,
        ratios.1,
        sim.ledger().too_many(),
        load.limit,
        run.tally.retries,
        run.report.latency_ms.p50,
        real.elapsed().as_secs_f64(),
    );
    ratios
}

/// Plans and applies, and expects that exactly the plan vanished and nothing was throttled.
async fn clean_sweep(sim: &WorkosSim, stage: &mut Stage, words: &[&str]) -> Run {
    stage.keep_events = false;
    let plan = stage.plan(&[&ALL_DAYS, words].concat()).await.unwrap();
    let run = stage.apply(&plan).await;
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!(run.tally.counts.done, plan.header.steps);
    assert_eq!(sim.ledger().too_many(), 0, "a strict limit was exceeded");
    assert_eq!(run.tally.attempts, plan.header.steps);
    let planned: BTreeSet<String> = keys(&plan).into_iter().collect();
    assert_eq!(sim.deleted().into_iter().collect::<BTreeSet<_>>(), planned);
    run
}

#[tokio::test(start_paused = true)]
async fn users_at_500_in_10_s() {
    let real = Instant::now();
    let options = Options { users: 100_000, ..strict("authkit-write=500/10s") };
    let (sim, stage) = workos(options);
    let mut stage = stage.quotas(&["user-write=500/10s"]);
    let run = clean_sweep(&sim, &mut stage, &["--users-only"]).await;
    let load = Load { requests: 100_000, limit: 500, span: Duration::from_secs(10) };
    let (_, bound) = figures("users, 500 in any 10 s", &load, &run, &sim, real);
    assert!(bound <= 1.06, "{bound}");
    assert!(sim.remaining_users().is_empty());
    assert!(sim.ledger().most_in_window(load.span, deletions) <= 500);
}

#[tokio::test(start_paused = true)]
async fn users_at_50_in_1_s() {
    let real = Instant::now();
    let options = Options { users: 100_000, ..strict("authkit-write=50/1s") };
    let (sim, stage) = workos(options);
    let mut stage = stage.quotas(&["user-write=50/1s"]);
    let run = clean_sweep(&sim, &mut stage, &["--users-only"]).await;
    let load = Load { requests: 100_000, limit: 50, span: Duration::from_secs(1) };
    let (_, bound) = figures("users, 50 in any 1 s", &load, &run, &sim, real);
    assert!(bound <= 1.06, "{bound}");
    assert!(sim.ledger().most_in_window(load.span, deletions) <= 50);
}

#[tokio::test(start_paused = true)]
async fn organizations_at_50_in_60_s() {
    let real = Instant::now();
    let options = Options { organizations: 10_000, ..strict("organization-delete=50/60s") };
    let (sim, mut stage) = workos(options);
    let run = clean_sweep(&sim, &mut stage, &[]).await;
    let load = Load { requests: 10_000, limit: 50, span: Duration::from_secs(60) };
    let (ideal, _) = figures("organizations, 50 in any 60 s", &load, &run, &sim, real);
    assert!(ideal <= 1.01, "{ideal}");
    assert!(sim.remaining_organizations().is_empty());
    assert!(sim.ledger().most_in_window(load.span, deletions) <= 50);
}

/// What the windows cost on quiet networks: the permits come back a span after the answer, so the
/// time is that of the bound whatever limit, span and round trip are.
#[tokio::test(start_paused = true)]
async fn the_price_of_certainty_is_one_round_trip_a_window() {
    for (limit, seconds, millis) in
        [(50_u32, 1_u64, 20_u64), (50, 1, 100), (50, 1, 400), (500, 10, 100), (50, 60, 100)]
    {
        let real = Instant::now();
        let round_trip = Duration::from_millis(millis);
        let quota = format!("{limit}/{seconds}s");
        let mut options = Options { users: 3_000, ..strict(&format!("authkit-write={quota}")) };
        options.chassis.latency = LatencyOptions::constant(round_trip);
        let (sim, stage) = workos(options);
        let mut stage = stage.quotas(&[&format!("user-write={quota}")]);
        let run = clean_sweep(&sim, &mut stage, &["--users-only"]).await;
        let span = Duration::from_secs(seconds);
        figures(&quota, &Load { requests: 3_000, limit, span }, &run, &sim, real);
        // The last window is not waited for.
        let full = (span + round_trip).mul_f64(3_000.0 / f64::from(limit) - 1.0);
        let ratio = run.took.as_secs_f64() / (full + round_trip).as_secs_f64();
        println!("    {ratio:.4} x the exact bound, {quota} at {round_trip:?}");
        assert!((0.98..=1.02).contains(&ratio), "{ratio} at {quota} and {round_trip:?}");
    }
}

/// Cut connections before and after the deletion, pages of a proxy, a storm of 429 in the middle
/// and a second client that takes a fifth of every limit.
fn foul_weather(options: Options) -> Options {
    let secs = Duration::from_secs;
    let faults = FaultOptions {
        reset_before: 0.01,
        reset_after: 0.01,
        error_rate: 0.01,
        storm: vec![Period { start: secs(600), length: secs(45) }],
        ..FaultOptions::default()
    };
    let chassis = ChassisOptions { faults, ..options.chassis };
    Options { second_client: 0.2, chassis, ..options }
}

/// Plans and applies in foul weather, and expects that all of the plan is gone and nothing else.
/// Hands back the time relative to the ideal of somebody who is alone.
async fn survive(name: &str, load: &Load, options: Options, quota: &str, users: bool) -> f64 {
    let real = Instant::now();
    let (sim, stage) = workos(foul_weather(options));
    let mut stage = stage.quotas(&[quota]);
    stage.keep_events = false;
    let words = if users { &["--users-only"][..] } else { &[] };
    let before = everything(&sim);
    let plan = stage.plan(&[&["delete", "2005-12-11", "2005-12-30"], words].concat()).await;
    let plan = plan.unwrap();
    let run = stage.apply(&plan).await;
    let (ideal, _) = figures(name, load, &run, &sim, real);
    let counts = run.tally.counts;
    println!("    {counts:?}, {} confirmed, {} x 429", run.tally.confirmed, run.tally.throttled);
    assert_eq!(run.tally.ending, Some(Ending::Complete));
    assert_eq!((counts.failed, counts.skipped), (0, 0));
    assert_eq!(counts.done + counts.already_gone, plan.header.steps);
    assert!(run.tally.confirmed > 0, "a cut connection after the deletion is seen through");
    assert!(run.tally.throttled > 0, "the storm was met");
    assert!(plan.header.steps < before.len() as u64, "some must stay");
    let planned: BTreeSet<String> = keys(&plan).into_iter().collect();
    let vanished: BTreeSet<String> = before.difference(&everything(&sim)).cloned().collect();
    assert_eq!(vanished, planned);
    ideal
}

fn everything(sim: &WorkosSim) -> BTreeSet<String> {
    [sim.remaining_organizations(), sim.remaining_users()].concat().into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn users_at_500_in_10_s_in_foul_weather() {
    let options = Options { users: 110_000, ..strict("authkit-write=500/10s") };
    let load = Load { requests: 100_000, limit: 500, span: Duration::from_secs(10) };
    let name = "users, 500 in 10 s, foul weather";
    let ideal = survive(name, &load, options, "user-write=500/10s", true).await;
    assert!(ideal <= 1.6, "{ideal}");
}

#[tokio::test(start_paused = true)]
async fn users_at_50_in_1_s_in_foul_weather() {
    let options = Options { users: 110_000, ..strict("authkit-write=50/1s") };
    let load = Load { requests: 100_000, limit: 50, span: Duration::from_secs(1) };
    let name = "users, 50 in 1 s, foul weather";
    let ideal = survive(name, &load, options, "user-write=50/1s", true).await;
    assert!(ideal <= 1.9, "{ideal}");
}

#[tokio::test(start_paused = true)]
async fn organizations_at_50_in_60_s_in_foul_weather() {
    let options = Options { organizations: 11_000, ..strict("organization-delete=50/60s") };
    let load = Load { requests: 10_000, limit: 50, span: Duration::from_secs(60) };
    let name = "organizations, 50 in 60 s, foul";
    let ideal = survive(name, &load, options, "organization-delete=50/60s", false).await;
    assert!(ideal <= 1.6, "{ideal}");
}

/// With a second client on the same key the limits are met without a word of warning. The windows
/// come down to what is left and find it again when it grows: a fifth taken by somebody else costs
/// little more than a quarter of the time.
#[tokio::test(start_paused = true)]
async fn a_second_client_costs_little_more_than_its_share() {
    for (quota, limit, seconds, most) in [("500/10s", 500, 10, 1.45), ("50/1s", 50, 1, 1.75)] {
        let real = Instant::now();
        let options = strict(&format!("authkit-write={quota}"));
        let (sim, stage) = workos(Options { users: 50_000, second_client: 0.2, ..options });
        let mut stage = stage.quotas(&[&format!("user-write={quota}")]);
        stage.keep_events = false;
        let plan = stage.plan(&[&ALL_DAYS[..], &["--users-only"]].concat()).await.unwrap();
        let run = stage.apply(&plan).await;
        let load = Load { requests: 50_000, limit, span: Duration::from_secs(seconds) };
        let (ideal, _) = figures(&format!("a rival, {quota}"), &load, &run, &sim, real);
        assert!((1.2..=most).contains(&ideal), "{ideal}");
        assert_eq!(run.tally.counts.done, 50_000);
        // 429s that were on the wire together are one wait, not many.
        assert!(run.tally.throttled_for < run.took / 2, "{:?}", run.tally.throttled_for);
    }
}
