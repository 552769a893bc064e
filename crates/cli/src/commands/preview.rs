//! Fills the preview of a plan: the first objects by name, what was left out, how long it takes.

use crate::display::expected_for;
use crate::display::preview::{FIRST, Left, Object, Preview, Requests};
use crate::exit::Error;
use std::time::Duration;
use windlass_connectors::Opening;
use windlass_engine::job::{Job, Step};
use windlass_engine::plan::{Line, Plan};

/// The round trip that an estimate assumes.
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// The preview of a plan.
///
/// # Errors
/// When the plan can't be read.
pub fn preview(opening: &Opening, plan: &Plan) -> Result<Preview, Error> {
    let mut preview = Preview::of(&plan.header);
    let rows = opening.selection.iter();
    preview.options = rows.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    preview.warnings = opening.warnings.clone();
    preview.remarks = opening.job.remarks();
    times(&mut preview, &*opening.job);
    let mut lines = plan.lines()?;
    while !is_filled(&preview)
        && let Some(line) = lines.next_line()?
    {
        match line {
            Line::Step(step) => take_step(&mut preview, &step),
            Line::Left(left) => {
                let reason = |group: &&mut Left| group.reason == left.reason;
                if let Some(group) = preview.left.iter_mut().find(reason) {
                    let object = Object { label: left.label, key: left.key, created: None };
                    take(&mut group.first, object);
                }
            }
        }
    }
    Ok(preview)
}

fn times(preview: &mut Preview, job: &dyn Job) {
    quota_times(preview, job);
    for (phase, info) in preview.phases.iter_mut().zip(job.info().phases) {
        if let Some(each) = info.expected.filter(|each| !each.is_zero()) {
            phase.expected = Some(expected_for(each, phase.steps));
            phase.rate = Some(1.0 / each.as_secs_f64());
            phase.requests = None;
        }
    }
}

/// The times under the quotas alone.
fn quota_times(preview: &mut Preview, job: &dyn Job) {
    let Some(remote) = job.remotes().into_iter().next() else { return };
    for (phase, info) in preview.phases.iter_mut().zip(job.info().phases) {
        let requests = info.requests(phase.steps);
        phase.expected = Some(remote.time_for(info.operation, requests, ROUND_TRIP));
        // What fits into one window is not held up by its rate.
        let held_up = !remote.time_for(info.operation, requests, Duration::ZERO).is_zero();
        phase.rate = remote.spec().rate_of(info.operation).filter(|_| held_up);
        if info.steps_a_request > 1 {
            // Its rate is one of requests, not of steps.
            phase.rate = None;
            let fits = requests <= remote.room(info.operation);
            phase.requests = Some(Requests { count: requests, fits });
        }
    }
}

/// Whether all has been read that is shown, so that a plan of millions is not read to its end.
fn is_filled(preview: &Preview) -> bool {
    let filled = |shown: usize, of: u64| shown >= FIRST || shown as u64 >= of;
    preview.phases.iter().all(|phase| filled(phase.first.len(), phase.steps))
        && preview.left.iter().all(|left| filled(left.first.len(), left.count))
}

fn take_step(preview: &mut Preview, step: &Step) {
    #[derive(serde::Deserialize)]
    struct Created {
        created_at: Option<String>,
    }
    if let Some(phase) = preview.phases.get_mut(step.phase).filter(|p| p.first.len() < FIRST) {
        let created = serde_json::from_str::<Created>(step.object.get());
        let created = created.ok().and_then(|object| object.created_at);
        let (label, key) = (step.label.to_string(), step.key.to_string());
        take(&mut phase.first, Object { label, key, created });
    }
}

fn take(first: &mut Vec<Object>, object: Object) {
    if first.len() < FIRST {
        first.push(object);
    }
}
