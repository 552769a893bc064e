//! What stands before a run: the plan in words, which is also the whole dry run.

use super::style::Style;
use super::words::{self, Verb};
use std::time::Duration;
use windlass_engine::plan::Header;

/// How many objects of a phase are shown by name.
pub const FIRST: usize = 20;

/// An object by its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// What a person calls it.
    pub label: String,
    /// The remote's name for it.
    pub key: String,
    /// When it was created, as the remote writes it.
    pub created: Option<String>,
}

/// One phase of the plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phase {
    /// What it counts, such as `organizations`.
    pub name: String,
    /// How many steps it has.
    pub steps: u64,
    /// How many objects the listing saw.
    pub seen: u64,
    /// The first of its objects; more than [`FIRST`] are not shown.
    pub first: Vec<Object>,
    /// How long it takes at best.
    pub expected: Option<Duration>,
    /// How many steps a second the quotas allow for long.
    pub rate: Option<f64>,
    /// Its requests, where one carries many steps.
    pub requests: Option<Requests>,
}

/// Requests that carry many steps each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requests {
    /// How many there are.
    pub count: u64,
    /// Whether the quota has room for all of them now.
    pub fits: bool,
}

/// Objects that were left out on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Why, such as `unknown date`.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// The first of them; more than [`FIRST`] are not shown.
    pub first: Vec<Object>,
}

/// A plan as it is shown before the question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// The plan's name.
    pub id: String,
    /// The system, such as `workos`.
    pub system: String,
    /// The operation, such as `delete`.
    pub operation: String,
    /// Where the remote is.
    pub base_url: String,
    /// The account's fingerprint.
    pub account: String,
    /// The resolved selection and options, as names and values.
    pub options: Vec<(String, String)>,
    /// The phases in their order.
    pub phases: Vec<Phase>,
    /// What was left out.
    pub left: Vec<Left>,
    /// What the listing found besides: names with what there is to say.
    pub remarks: Vec<(String, String)>,
    /// What a person should know before saying yes, such as webhooks that will fire.
    pub warnings: Vec<String>,
}

impl Preview {
    /// What the header of a plan says; objects, options, times and warnings are still missing.
    #[must_use]
    pub fn of(plan: &Header) -> Self {
        let phases = plan.phases.iter().map(|phase| Phase {
            name: phase.name.clone(),
            steps: phase.steps,
            seen: phase.seen,
            ..Phase::default()
        });
        let left = plan.left.iter().map(|(reason, &count)| Left {
            reason: reason.clone(),
            count,
            first: Vec::new(),
        });
        Self {
            id: plan.id.clone(),
            system: plan.system.clone(),
            operation: plan.operation.clone(),
            base_url: plan.base_url.clone(),
            account: plan.account.clone(),
            phases: phases.collect(),
            left: left.collect(),
            ..Self::default()
        }
    }
}

/// The plan in words.
#[must_use]
pub fn plan_text(preview: &Preview, style: Style) -> String {
    let verb = Verb::of(&preview.operation);
    let mut text = target(preview, style);
    for phase in &preview.phases {
        text.push_str(&phase_text(phase, &verb, style));
    }
    for left in &preview.left {
        let mark = style.warn("-");
        let reason = words::plain(&left.reason);
        text.push_str(&format!("\n{mark} Left out: {}, {reason}\n", words::count(left.count)));
        text.push_str(&objects(&left.first, left.count, style));
    }
    if !preview.remarks.is_empty() {
        let rows = preview.remarks.iter();
        let rows = aligned(rows.map(|(name, value)| (name.clone(), value.clone())), style);
        let rows: String = rows.lines().map(|row| format!("  {row}\n")).collect();
        text.push_str(&format!("\n{}\n{rows}", style.strong("Checked:")));
    }
    let timed: Vec<_> = preview.phases.iter().filter(|phase| phase.steps > 0).collect();
    let expected: Vec<String> = timed.iter().filter_map(|phase| expected(phase)).collect();
    if !expected.is_empty() {
        text.push_str(&format!("\n{}\n{}", style.strong("Expected time:"), expected.concat()));
    }
    if !preview.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &preview.warnings {
        text.push_str(&format!("{} {}\n", style.warn("! warning:"), words::plain(warning)));
    }
    text
}

fn target(preview: &Preview, style: Style) -> String {
    let fixed = [
        ("Target", &preview.system),
        ("Address", &preview.base_url),
        ("Account", &preview.account),
        ("Plan", &preview.id),
    ];
    let fixed = fixed.iter().map(|(name, value)| ((*name).to_owned(), (*value).clone()));
    let fixed = fixed.filter(|(_, value)| !value.is_empty());
    aligned(fixed.chain(preview.options.iter().cloned()), style)
}

/// Lines of a name and a value, the values below each other.
fn aligned(rows: impl Iterator<Item = (String, String)>, style: Style) -> String {
    let rows: Vec<_> =
        rows.map(|(name, value)| (words::plain(&name) + ":", words::plain(&value))).collect();
    let widest = rows.iter().map(|(name, _)| words::width(name)).max().unwrap_or(0);
    let row = |(name, value): &(String, String)| {
        let gap = " ".repeat(widest - words::width(name));
        format!("{name}{gap}  {}\n", style.name(value))
    };
    rows.iter().map(row).collect()
}

fn phase_text(phase: &Phase, verb: &Verb, style: Style) -> String {
    let name = words::plain(&phase.name);
    let seen = if phase.seen > 0 {
        format!(" (of {} seen)", words::count(phase.seen))
    } else {
        String::new()
    };
    let base = &verb.base;
    if phase.steps == 0 {
        return format!("\n= Found no {name} to {base}{seen}\n");
    }
    let found = words::counted(phase.steps, &name);
    let mut text = format!("\n{} Found {found} to {base}{seen}\n", style.good("✓"));
    if !phase.first.is_empty() {
        let heading = format!("{} to be {}:", words::capital(&name), verb.done);
        text.push_str(&format!("\n{}\n", style.strong(heading)));
        text.push_str(&objects(&phase.first, phase.steps, style));
    }
    text
}

fn objects(first: &[Object], count: u64, style: Style) -> String {
    let shown = &first[..first.len().min(FIRST)];
    let mut text = String::new();
    for (index, object) in shown.iter().enumerate() {
        let (label, key) = (words::plain(&object.label), words::plain(&object.key));
        let name = if label.is_empty() || label == key {
            style.name(key)
        } else {
            format!("{} ({key})", style.name(label))
        };
        let created = object.created.as_deref().map(words::plain);
        let created = created.map(|created| format!(" {created}")).unwrap_or_default();
        text.push_str(&format!("  {:>2}. {name}{created}\n", index + 1));
    }
    let more = count.saturating_sub(shown.len() as u64);
    if more > 0 && !shown.is_empty() {
        text.push_str(&format!("   ... and {} more\n", words::count(more)));
    }
    text
}

fn expected(phase: &Phase) -> Option<String> {
    let time = words::duration(phase.expected?);
    let rate = phase.rate.map(|rate| format!(" at {}", words::rate(rate))).unwrap_or_default();
    let what = words::counted(phase.steps, &words::plain(&phase.name));
    let requests = phase.requests.map(|requests| {
        let count = words::plural(requests.count, "request");
        let fits = if requests.fits { ", fits this window" } else { "" };
        format!(", {count}{fits}")
    });
    Some(format!("  {what}: about {time}{rate}{}\n", requests.unwrap_or_default()))
}
