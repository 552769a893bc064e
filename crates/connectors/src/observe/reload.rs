//! Files that may change while the gateway runs: flags, policies, prices, letters to be replayed.
//! Each is looked at once a second and read again when it has changed. What can't be read changes
//! nothing: the values before stay in force, and the trouble is shown until it is mended.

use super::flags::Flags;
use super::gateway::{Running, masks_exist};
use super::policy::Policies;
use super::settings::Settings;
use crate::transport::{Transport, check_base_url};
use bytes::Bytes;
use http::Request;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use windlass_engine::{Context, Moment};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a price map is fetched when nothing else is said.
const PRICES_EVERY: Duration = Duration::from_secs(24 * 3600);
/// How long after a failure it is fetched again.
const PRICES_AGAIN: Duration = Duration::from_secs(300);
/// How long that may take.
const PRICES_LIMIT: Duration = Duration::from_secs(60);

/// The loop that looks.
pub(super) struct Reloader {
    running: Arc<Running>,
    flags: Option<Watched>,
    policies: Option<Watched>,
    overrides: Option<Watched>,
    source: Option<Source>,
    folder: PathBuf,
}

/// Where a newer price map is.
struct Source {
    place: String,
    every: Duration,
    due: Moment,
    transport: Transport,
}

impl Reloader {
    /// Watches the files that these settings name.
    pub(super) fn new(
        running: Arc<Running>,
        settings: &Settings,
        folder: &Path,
        transport: Transport,
    ) -> Self {
        let watched = |path: &Option<PathBuf>| path.as_deref().map(Watched::new);
        let source = settings.prices.source.clone().map(|place| Source {
            place,
            every: settings.prices.refresh.unwrap_or(PRICES_EVERY),
            due: Moment::ZERO,
            transport,
        });
        Self {
            running,
            flags: watched(&settings.flags),
            policies: watched(&settings.policies),
            overrides: watched(&settings.prices.overrides),
            source,
            folder: folder.to_owned(),
        }
    }

    /// Looks until a stop is asked for.
    pub(super) async fn run(mut self, context: Context) {
        while !context.stop.is_draining() {
            self.look();
            self.fetch_prices(&context).await;
            let replayed = super::replay::take_over(&self.running, &self.folder).await;
            self.running.troubles.note("replay", replayed);
            tokio::select! {
                () = context.clock.sleep(LOOK) => {}
                () = context.stop.draining() => {}
            }
        }
    }

    fn look(&mut self) {
        let running = &self.running;
        let pipeline = &running.pipeline;
        take(running, &mut self.flags, |text| {
            let flags = Flags::parse(text).map_err(|error| error.to_string())?;
            pipeline.switches.replace(flags);
            Ok(())
        });
        take(running, &mut self.policies, |text| {
            let counters = pipeline.policies.load().counters();
            let policies = Policies::parse(text, &counters).map_err(|error| error.to_string())?;
            masks_exist(&policies, &pipeline.masks)?;
            pipeline.policies.store(Arc::new(policies));
            Ok(())
        });
        take(running, &mut self.overrides, |text| {
            pipeline.prices.override_with(Some(text)).map_err(|error| error.to_string())
        });
    }

    async fn fetch_prices(&mut self, context: &Context) {
        let now = context.clock.now();
        let Some(source) = self.source.as_mut().filter(|source| source.due <= now) else { return };
        let fetched = tokio::select! {
            fetched = tokio::time::timeout(PRICES_LIMIT, source.fetch()) => fetched,
            () = context.stop.draining() => return,
        };
        let fetched = fetched.unwrap_or_else(|_| Err("no answer within a minute".to_owned()));
        let prices = &self.running.pipeline.prices;
        let taken = fetched
            .and_then(|body| prices.refresh(&body).map(|_| ()).map_err(|error| error.to_string()));
        source.due = now + if taken.is_ok() { source.every } else { PRICES_AGAIN };
        self.running.troubles.note(&source.place, taken);
    }
}

impl Source {
    async fn fetch(&self) -> Result<Bytes, String> {
        if !self.place.starts_with("http://") && !self.place.starts_with("https://") {
            return fs::read(&self.place).map(Bytes::from).map_err(|error| error.to_string());
        }
        // Plain http is for this machine only, as everywhere.
        let base = check_base_url(&self.place).map_err(|error| error.to_string())?;
        let uri = base.join("").map_err(|error| error.to_string())?;
        let request = Request::get(uri).body(Bytes::new()).map_err(|error| error.to_string())?;
        let answer = self.transport.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        if status.is_success() {
            Ok(answer.into_body())
        } else {
            Err(format!("it answers {status}"))
        }
    }
}

/// Reads a file again where it has changed, and notes how that went.
fn take(
    running: &Running,
    watched: &mut Option<Watched>,
    read: impl FnOnce(&str) -> Result<(), String>,
) {
    let Some(watched) = watched else { return };
    if let Some(text) = watched.changed() {
        running.troubles.note(&watched.name(), text.and_then(|text| read(&text)));
    }
}

/// A file that is watched. Two writes within one tick of the file system's clock differ in their
/// length, or are taken for one.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    seen: Option<Mark>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    modified: SystemTime,
    length: u64,
}

impl Watched {
    /// Watches a file that was read just now.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: mark(path) }
    }

    /// The text of the file, where it has changed since it was looked at before.
    pub(super) fn changed(&mut self) -> Option<Result<String, String>> {
        let now = mark(&self.path);
        if now == self.seen {
            return None;
        }
        self.seen = now;
        Some(fs::read_to_string(&self.path).map_err(|error| error.to_string()))
    }

    /// Its path, for messages.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn mark(path: &Path) -> Option<Mark> {
    let metadata = fs::metadata(path).ok()?;
    Some(Mark { modified: metadata.modified().ok()?, length: metadata.len() })
}

/// What is wrong with files that were read again, by their names.
#[derive(Debug, Default)]
pub(super) struct Troubles(Mutex<BTreeMap<String, String>>);

impl Troubles {
    /// Notes how reading a file went.
    pub(super) fn note(&self, name: &str, read: Result<(), String>) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(()) => drop(troubles.remove(name)),
            Err(trouble) => drop(troubles.insert(name.to_owned(), trouble)),
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new(&path);
        assert_eq!(watched.changed(), None);
        fs::write(&path, "three").unwrap();
        assert_eq!(watched.changed(), Some(Ok("three".to_owned())));
        assert_eq!(watched.changed(), None);
        fs::remove_file(&path).unwrap();
        assert!(watched.changed().unwrap().is_err());
        assert_eq!(watched.changed(), None, "its absence is told once");
    }

    #[test]
    fn trouble_is_shown_until_it_is_mended() {
        let troubles = Troubles::default();
        troubles.note("a", Err("bad".to_owned()));
        assert_eq!(troubles.all()["a"], "bad");
        troubles.note("a", Ok(()));
        assert!(troubles.all().is_empty());
    }
}
