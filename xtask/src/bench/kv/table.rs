//! The figures of Workers KV as Markdown.

use super::client::Client;
use super::goals;
use super::jobs::Job;
use crate::bench::samples::Samples;
use crate::bench::table::{figure, others, range, wall};

/// The table of one job, with a line of its goals, and one of those who could not take part.
pub fn of_job(job: &Job, all: &[(Client, Samples)], absent: &[(Client, String)]) -> String {
    let rounds = all.first().map_or(0, |(_, samples)| samples.len());
    let times = if rounds == 1 { "time" } else { "times" };
    let peers: Vec<&Samples> = all
        .iter()
        .filter(|(client, samples)| !client.is_ours() && samples.are_whole(job.keys))
        .map(|(_, samples)| samples)
        .collect();
    let best = peers.iter().map(|peer| peer.wall_s().median).min_by(f64::total_cmp);
    let of = |wanted| all.iter().find(|(client, _)| *client == wanted).map(|found| &found.1);
    let floor = of(Client::Floor).map(|floor| floor.wall_s().median);
    let mut text = format!(
        "### {}\n\nEach {rounds} {times}.\n\n\
         | client | wall s | CPU s | peak MiB | requests | 429s | keys | others % | x best peer | \
         x floor |\n\
         | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
        job.title
    );
    for (client, samples) in all {
        let mark = if *client == Client::Windlass { "**" } else { "" };
        let times = |of: Option<f64>| {
            of.map_or_else(|| "-".to_owned(), |of| figure(samples.wall_s().median / of))
        };
        text.push_str(&format!(
            "| {mark}{}{mark} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            client.name(),
            wall(samples, mark),
            figure(samples.cpu_s().median),
            figure(samples.peak_mib().median),
            range(samples.requests()),
            range(samples.spread(|sample| sample.too_many as f64)),
            range(samples.spread(|sample| sample.done as f64)),
            others(samples),
            times(best),
            times(floor),
        ));
    }
    if let Some(ours) = of(Client::Windlass) {
        text.push_str(&format!("\n{}\n", goals::line(&job.goals, ours, &peers)));
    }
    for (client, why) in absent {
        text.push_str(&format!("\nNot measured: {}: {why}.\n", client.name()));
    }
    text
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
        samples.push(Sample { cost, requests: 1_000, done, ..Sample::default() });
        samples
    }

    #[test]
    fn everybody_is_compared_with_the_best_that_did_it_all() {
        let job = &jobs::all(false, 1)[0];
        let all = [
            (Client::Windlass, samples(1.0, 0.5, 10.0, 1_000_000)),
            (Client::Wrangler, samples(0.1, 0.1, 1.0, 999_999)),
            (Client::Node, samples(4.0, 5.0, 100.0, 1_000_000)),
            (Client::Floor, samples(0.8, 0.4, 5.0, 1_000_000)),
        ];
        let absent = [(Client::Aiohttp, "python3 was not found".to_owned())];
        let text = of_job(job, &all, &absent);
        let ours = "| **windlass** | **1.00** (1.00..1.00) | 0.500 | 10.0 | 1,000 | 0 | 1,000,000 \
                    | 0 | 0.250 | 1.25 |";
        assert!(text.contains(ours), "{text}");
        assert!(text.contains("| bare hyper loop (floor) | 0.800 (0.800..0.800) |"), "{text}");
        let goals = "\nGoals: at most 0.4 x the time of the best peer: 0.250 x, reached; at most \
                     0.3 x the CPU of the best peer: 0.100 x, reached;";
        assert!(text.contains(goals), "{text}");
        let end = "\nNot measured: Python script, aiohttp: python3 was not found.\n";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn without_a_peer_nothing_is_compared() {
        let job = &jobs::all(false, 1)[0];
        let text = of_job(job, &[(Client::Windlass, samples(1.0, 0.5, 10.0, 1_000_000))], &[]);
        assert!(text.contains("| 1,000,000 | 0 | - | - |"), "{text}");
        assert!(text.contains("x the time of the best peer: there was no peer;"), "{text}");
    }
}
