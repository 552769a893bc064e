//! The figures of deletions as Markdown.

use super::client::Client;
use super::jobs::{Job, LIMIT};
use crate::bench::samples::{Samples, Spread};
use crate::bench::table::{figure, others, range, wall};

/// The table of one job, with a line that compares windlass with the best peer and the floor.
pub fn of_job(job: &Job, all: &[(Client, Samples)]) -> String {
    let rounds = all.first().map_or(0, |(_, samples)| samples.len());
    let times = if rounds == 1 { "time" } else { "times" };
    let mut text = format!("### {}\n\nEach {rounds} {times}.\n\n", job.title);
    text.push_str(
        "| client | wall s | CPU ms / 1,000 requests | peak MiB | 429s | deleted | others % |\n\
         | --- | --: | --: | --: | --: | --: | --: |\n",
    );
    for (client, samples) in all {
        let mark = if *client == Client::Windlass { "**" } else { "" };
        text.push_str(&format!(
            "| {mark}{}{mark} | {} | {} | {} | {} | {} | {} |\n",
            client.name(),
            wall(samples, mark),
            figure(samples.cpu_ms().median),
            figure(samples.peak_mib().median),
            range(samples.spread(|sample| sample.too_many as f64)),
            range(samples.spread(|sample| sample.done as f64)),
            others(samples),
        ));
    }
    if let Some(line) = comparison(job, all) {
        text.push_str(&format!("\n{line}\n"));
    }
    text
}

/// Windlass by the best peer of each figure among those that deleted everything, and by the floor.
fn comparison(job: &Job, all: &[(Client, Samples)]) -> Option<String> {
    let find =
        |wanted| all.iter().find(|(client, _)| *client == wanted).map(|(_, samples)| samples);
    let ours = find(Client::Windlass)?;
    let peers: Vec<&Samples> = all
        .iter()
        .filter(|(client, samples)| !client.is_ours() && samples.are_whole(job.count.into()))
        .map(|(_, samples)| samples)
        .collect();
    let figures: [fn(&Samples) -> Spread; 3] =
        [Samples::wall_s, Samples::cpu_ms, Samples::peak_mib];
    let against = |others: &[&Samples]| {
        let ratios = figures.map(|of| {
            let best = others.iter().map(|samples| of(samples).median).fold(f64::MAX, f64::min);
            figure(of(ours).median / best)
        });
        let [wall, cpu, memory] = ratios;
        format!("{wall} x its time, {cpu} x its CPU, {memory} x its memory")
    };
    let mut parts = Vec::new();
    if !peers.is_empty() {
        parts.push(format!("the best peer: {}", against(&peers)));
    }
    if let Some(floor) = find(Client::Floor) {
        parts.push(format!("the floor: {}", against(&[floor])));
    }
    if parts.is_empty() {
        return None;
    }
    let mut line = format!("windlass beside {}.", parts.join("; beside "));
    if job.limited {
        let windows = job.count.div_ceil(LIMIT) - 1;
        line.push_str(&format!(
            " The limit alone asks for {windows} s after the listing and the first window."
        ));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::super::jobs;
    use super::*;
    use crate::bench::samples::Sample;
    use crate::measure::Cost;

    fn samples(wall_s: f64, cpu_s: f64, peak_mib: f64, done: u64) -> Samples {
        let mut samples = Samples::default();
        let cost = Cost { wall_s, cpu_s, peak_mib, success: true };
        samples.push(Sample { cost, requests: 2_020, done, ..Sample::default() });
        samples
    }

    #[test]
    fn windlass_is_compared_with_the_best_that_did_it_all() {
        let job = &jobs::all(true, 1)[0];
        let all = [
            (Client::Windlass, samples(0.1, 0.1, 10.0, 2_000)),
            (Client::NodeFetch, samples(0.5, 1.0, 100.0, 2_000)),
            (Client::NodePool, samples(0.4, 2.0, 200.0, 2_000)),
            (Client::Curl, samples(0.01, 0.01, 1.0, 400)),
            (Client::Floor, samples(0.05, 0.05, 5.0, 2_000)),
        ];
        let text = of_job(job, &all);
        let best = "the best peer: 0.250 x its time, 0.100 x its CPU, 0.100 x its memory";
        assert!(text.contains(best), "{text}");
        assert!(text.contains("the floor: 2.00 x its time"), "{text}");
        assert!(text.contains("| curl --parallel | 0.010 (0.010..0.010) |"), "{text}");
    }
}
