//! What the laws need to know of each connector: how to start its simulator with switches that
//! every simulator has, and what its requests mean.

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_connectors::CONNECTORS;
use windlass_connectors::transport::Transport;
use windlass_connectors::workos::sim::{Options, RetryAfter, WorkosSim};
use windlass_sim::{ChassisOptions, DynSimulator, Entry, Ledger};

use super::support::{KEY, Stage};

/// The key that the laws look for where it must not be.
pub const CANARY: &str = "sk_test_CANARY0123456789abcdefghij";
/// A second key to the same account.
pub const OTHER_KEY: &str = "sk_test_other_key_of_the_account";

/// What every simulator can be told.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    pub chassis: ChassisOptions,
    pub retry_after: RetryAfter,
    /// The remote takes as many requests as come.
    pub unlimited: bool,
}

/// A simulator with some objects, of which the words of its fixture select a part.
pub trait Place {
    fn simulator(&self) -> Arc<dyn DynSimulator>;
    fn ledger(&self) -> &Ledger;
    /// The names of all objects that are there.
    fn objects(&self) -> BTreeSet<String>;
    /// The name of the object that a recorded request was to change.
    fn target(&self, entry: &Entry<'_>) -> Option<String>;
    /// Whether a recorded request pays this window of the connector.
    fn pays(&self, window: &str, entry: &Entry<'_>) -> bool;
}

/// A connector's part in the laws.
pub struct Fixture {
    pub system: &'static str,
    /// The command line whose plan has some of the objects, but not all.
    pub words: &'static [&'static str],
    /// Starts the simulator. It accepts [`KEY`], [`CANARY`] and [`OTHER_KEY`].
    pub place: fn(Switches) -> Box<dyn Place>,
}

static FIXTURES: &[Fixture] = &[Fixture {
    system: "workos",
    words: &["delete", "2005-12-12", "2005-12-28", "--users"],
    place: workos,
}];

/// One for every connector.
pub fn all() -> impl Iterator<Item = &'static Fixture> {
    CONNECTORS.iter().map(|connector| {
        let fixture = FIXTURES.iter().find(|fixture| fixture.system == connector.name);
        fixture.unwrap_or_else(|| panic!("{} has no fixture for the laws", connector.name))
    })
}

impl Fixture {
    /// A place with an operator in front of it.
    pub fn stage(&self, switches: Switches) -> (Box<dyn Place>, Stage) {
        let place = (self.place)(switches);
        let stage = Stage::new(self.system, Transport::in_process(place.simulator()), KEY);
        (place, stage)
    }
}

fn workos(switches: Switches) -> Box<dyn Place> {
    let sim = WorkosSim::new(Options {
        organizations: 120,
        users: 240,
        keys: [KEY, CANARY, OTHER_KEY].map(str::to_owned).to_vec(),
        strict: !switches.unlimited,
        no_limits: switches.unlimited,
        retry_after: switches.retry_after,
        chassis: switches.chassis,
        ..Options::default()
    });
    Box::new(Workos(Arc::new(sim.unwrap())))
}

struct Workos(Arc<WorkosSim>);

impl Place for Workos {
    fn simulator(&self) -> Arc<dyn DynSimulator> {
        Arc::clone(&self.0) as Arc<dyn DynSimulator>
    }

    fn ledger(&self) -> &Ledger {
        self.0.ledger()
    }

    fn objects(&self) -> BTreeSet<String> {
        let objects = [self.0.remaining_organizations(), self.0.remaining_users()].concat();
        objects.into_iter().collect()
    }

    fn target(&self, entry: &Entry<'_>) -> Option<String> {
        (entry.method != "GET").then(|| entry.leaf.to_owned())
    }

    fn pays(&self, window: &str, entry: &Entry<'_>) -> bool {
        let (read, users) = (entry.method == "GET", entry.folder.starts_with("/user_management/"));
        match window {
            "organization-delete" => !read && !users,
            "user-write" => !read && users,
            "user-read" => read && users,
            "everything" => true,
            other => panic!("the fixture does not know the window {other}"),
        }
    }
}
