//! The walk after a deletion: lists once more and compares with the plan, which is in the order of
//! the names, too, so that memory stays constant.
//!
//! The store is eventually consistent: for 60 s, or longer where a key was read with a longer
//! cache, a list may still show what is gone. So the walk is repeated until nothing is left, within
//! a bound, and what it says is what the list shows and not that a deletion failed.

use super::Source;
use crate::cloudflare::access::Access;
use std::path::Path;
use std::time::Duration;
use windlass_engine::Failure;
use windlass_engine::job::Context;
use windlass_engine::plan::{Lines, Plan, PlanError};
use windlass_engine::runner::DiscoverError;
use windlass_engine::tally::Verified;

/// How long to wait before the list is walked again; together more than the 60 s after which a
/// change is documented to be seen everywhere.
const WAITS: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(40),
];

/// Walks until no key of the plan's first phase is listed any more.
///
/// # Errors
/// When the list or the plan can't be read.
pub async fn until_gone(
    access: &Access,
    context: &Context,
    source: &Source,
    plan: &Plan,
) -> Result<Verified, DiscoverError> {
    // One plain list: a key that no shard would show is shown by it.
    let plain = Source { shards: Vec::new(), ..source.clone() };
    let mut waits = WAITS.into_iter();
    loop {
        let found = walk(access, context, &plain, plan).await?;
        let Some(wait) = waits.next().filter(|_| found.left > 0) else {
            return Ok(found);
        };
        tokio::select! {
            () = context.clock.sleep(wait) => {}
            () = context.stop.draining() => return Err(Failure::cancelled().into()),
        }
    }
}

async fn walk(
    access: &Access,
    context: &Context,
    source: &Source,
    plan: &Plan,
) -> Result<Verified, DiscoverError> {
    let folder = plan.path().parent().unwrap_or(Path::new("."));
    let mut list = source.list(access, context, None, folder)?;
    let mut planned = Planned::new(plan)?;
    let (mut listed, mut left) = (0, 0);
    loop {
        let page = list.next(|keys| {
            listed += keys.len() as u64;
            for key in keys {
                left += u64::from(planned.contains(&key.name)?);
            }
            Ok::<u64, DiscoverError>(left)
        });
        if page.await?.is_none() {
            break;
        }
    }
    let seen = plan.header.phases.first().map_or(0, |phase| phase.steps);
    Ok(Verified { seen, left, message: words(left, listed) })
}

fn words(left: u64, listed: u64) -> String {
    match (left, listed) {
        (0, 0) => "the final walk found nothing left".to_owned(),
        (0, others) => {
            format!("the final walk found none of the deleted keys; {others} other keys are there")
        }
        (left, _) => format!(
            "the final walk still found {left} of the deleted keys: they were written again, or \
             the list lags"
        ),
    }
}

/// The plan's keys in their order, asked in that order.
struct Planned {
    lines: Lines,
    held: Option<Box<str>>,
}

impl Planned {
    fn new(plan: &Plan) -> Result<Self, PlanError> {
        let mut planned = Self { lines: plan.lines()?, held: None };
        planned.advance()?;
        Ok(planned)
    }

    /// Whether the plan has this key; names are asked for in ascending order.
    fn contains(&mut self, name: &str) -> Result<bool, PlanError> {
        while self.held.as_deref().is_some_and(|held| held < name) {
            self.advance()?;
        }
        Ok(self.held.as_deref() == Some(name))
    }

    fn advance(&mut self) -> Result<(), PlanError> {
        let step = self.lines.next_step()?;
        self.held = step.filter(|step| step.phase == 0).map(|step| step.key);
        Ok(())
    }
}
