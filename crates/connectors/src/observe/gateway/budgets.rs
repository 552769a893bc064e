//! What policies have counted, kept over restarts: a month's budget must not begin anew because a
//! gateway did. A crash forgets the last seconds.

use super::Running;
use crate::observe::policy::CounterStore;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use windlass_engine::Context;

/// How often the counters are written.
const EVERY: Duration = Duration::from_secs(5);
const FILE: &str = "budgets";

/// The counters of the last run; new ones where there are none, or none that can be read.
pub(super) fn restored(folder: &Path) -> CounterStore {
    let counters = CounterStore::default();
    if let Ok(snapshot) = fs::read(folder.join(FILE)) {
        // A file of another version says nothing; counting begins anew.
        let _ = counters.restore(&snapshot);
    }
    counters
}

/// Writes the counters from time to time, and a last time at the end.
pub(super) async fn keep(running: Arc<Running>, folder: PathBuf, context: Context) {
    let mut written = Vec::new();
    loop {
        let is_over = context.stop.is_draining();
        let snapshot = running.pipeline.policies.load().counters().snapshot();
        if snapshot != written {
            let name = folder.join(FILE).display().to_string();
            let done = write(&folder, &snapshot).map_err(|error| error.to_string());
            running.troubles.note(&name, done);
            written = snapshot;
        }
        if is_over {
            return;
        }
        tokio::select! {
            () = context.clock.sleep(EVERY) => {}
            () = context.stop.draining() => {}
        }
    }
}

/// A file is there whole or not at all.
fn write(folder: &Path, snapshot: &[u8]) -> std::io::Result<()> {
    let new = folder.join(format!("{FILE}.new"));
    fs::write(&new, snapshot)?;
    fs::rename(new, folder.join(FILE))
}
