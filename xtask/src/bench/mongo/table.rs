//! The figures of migrations as Markdown.

use super::{Client, Job};
use crate::bench::samples::Samples;
use crate::bench::table::{figure, thousands};

/// The table of one job, with a line of its goals.
pub fn of_job(job: &Job, all: &[(Client, Samples)], absent: Option<&str>) -> String {
    let of = |wanted| all.iter().find(|(client, _)| *client == wanted).map(|found| &found.1);
    let rate = |samples: &Samples| {
        samples.spread(|sample| sample.done as f64 / sample.cost.wall_s.max(1e-9)).median
    };
    let rounds = all.first().map_or(0, |(_, samples)| samples.len());
    let mut text = format!(
        "### {}\n\nMedians of {rounds}.\n\n\
         | client | wall s | CPU s | peak MiB | {} a second |\n| --- | --: | --: | --: | --: |\n",
        job.title,
        job.counted()
    );
    for (client, samples) in all {
        let mark = if *client == Client::Windlass { "**" } else { "" };
        text.push_str(&format!(
            "| {mark}{}{mark} | {} | {} | {} | {} |\n",
            client.name(),
            figure(samples.wall_s().median),
            figure(samples.cpu_s().median),
            figure(samples.peak_mib().median),
            thousands(rate(samples).round() as u64),
        ));
    }
    let ours = of(Client::Windlass).map(rate);
    let mut goals = Vec::new();
    let mut goal = |words: &str, least: f64, other: Option<f64>| {
        if let (Some(ours), Some(other)) = (ours, other) {
            let found = ours / other;
            let verdict = if found >= least { "reached" } else { "missed" };
            goals.push(format!("{words}: {} x, {verdict}", figure(found)));
        }
    };
    goal("at least 3 x the script's rate", 3.0, of(Client::Node).map(rate));
    goal("at least 0.97 x hashing alone", 0.97, of(Client::Hashing).map(rate));
    goal("at least 0.8 x the bare loop", 0.8, of(Client::Floor).map(rate));
    if let (Some(samples), None) = (of(Client::Windlass), job.cost) {
        let peak = samples.peak_mib().max;
        let verdict = if peak < 150.0 { "reached" } else { "missed" };
        goals.push(format!("under 150 MiB: {} MiB, {verdict}", figure(peak)));
    }
    if !goals.is_empty() {
        text.push_str(&format!("\nGoals: {}.\n", goals.join("; ")));
    }
    if let Some(why) = absent {
        text.push_str(&format!("\nNot measured: {}: {why}.\n", Client::Node.name()));
    }
    text
}
