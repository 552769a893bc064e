//! What the laws need to know of each connector: how to start its simulator with switches that
//! every simulator has, and what its requests mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use windlass_connectors::CONNECTORS;
use windlass_connectors::cloudflare::sim as cloudflare_sim;
use windlass_connectors::cloudflare::sim::CloudflareSim;
use windlass_connectors::transport::Transport;
use windlass_connectors::workos::sim::{Options, RetryAfter, WorkosSim};
use windlass_sim::{ChassisOptions, DynSimulator, Entry, Ledger};

use super::cloudflare::Wire;
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
    /// How often each object was named by a request to change it.
    fn targets(&self) -> BTreeMap<String, usize>;
    /// Whether a recorded request pays this window of the connector.
    fn pays(&self, window: &str, entry: &Entry<'_>) -> bool;
}

/// A connector's part in the laws.
pub struct Fixture {
    pub system: &'static str,
    /// The command line whose plan has some of the objects, but not all.
    pub words: &'static [&'static str],
    /// The settings that only this system has.
    pub settings: &'static [(&'static str, &'static str)],
    /// Whether the remote tells that what is to be deleted is gone already. Where it does not, the
    /// same plan again is done again.
    pub tells_what_is_gone: bool,
    /// How many requests show at the end what is left, even of an empty plan.
    pub walk: u64,
    /// The body of an answer that refuses with these words.
    pub refusal: fn(&str) -> String,
    /// Starts the simulator. It accepts [`KEY`], [`CANARY`] and [`OTHER_KEY`].
    pub place: fn(Switches) -> Box<dyn Place>,
}

static FIXTURES: &[Fixture] = &[
    Fixture {
        system: "workos",
        words: &["delete", "2005-12-12", "2005-12-28", "--users"],
        settings: &[],
        tells_what_is_gone: true,
        walk: 0,
        refusal: |words| format!(r#"{{"message":"{words}"}}"#),
        place: workos,
    },
    // One key a request, so that a request has one outcome as the laws have it.
    Fixture {
        system: "cloudflare",
        words: &[
            "kv",
            "delete",
            "--namespace-id",
            NAMESPACE,
            "--pattern",
            "^[0-7]",
            "--batch-size",
            "1",
        ],
        settings: &[("account-id", "acc")],
        tells_what_is_gone: false,
        walk: 1,
        refusal: |words| {
            format!(r#"{{"success":false,"errors":[{{"code":10001,"message":"{words}"}}]}}"#)
        },
        place: cloudflare,
    },
];

/// The namespace with the keys.
const NAMESPACE: &str = "0123456789abcdef0123456789abcdef";

/// One for every connector that speaks HTTP. MongoDB's driver has sockets of its own and no virtual
/// time; its laws stand in `mongo`.
pub fn all() -> impl Iterator<Item = &'static Fixture> {
    let http = CONNECTORS.iter().filter(|connector| !connector.base_url.is_empty());
    http.map(|connector| {
        let fixture = FIXTURES.iter().find(|fixture| fixture.system == connector.name);
        fixture.unwrap_or_else(|| panic!("{} has no fixture for the laws", connector.name))
    })
}

impl Fixture {
    /// A place with an operator in front of it.
    pub fn stage(&self, switches: Switches) -> (Box<dyn Place>, Stage) {
        let place = (self.place)(switches);
        let mut stage = Stage::new(self.system, Transport::in_process(place.simulator()), KEY);
        let settings = self.settings.iter();
        stage.settings =
            settings.map(|(name, text)| (name.to_string(), text.to_string())).collect();
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

    fn targets(&self) -> BTreeMap<String, usize> {
        let mut targets = BTreeMap::new();
        self.0.ledger().each(|entry| {
            if entry.method != "GET" {
                *targets.entry(entry.leaf.to_owned()).or_default() += 1;
            }
        });
        targets
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

fn cloudflare(switches: Switches) -> Box<dyn Place> {
    let sim = CloudflareSim::new(cloudflare_sim::Options {
        keys: 640,
        namespace_id: Some(NAMESPACE.to_owned()),
        tokens: [KEY, CANARY, OTHER_KEY].map(str::to_owned).to_vec(),
        no_limits: switches.unlimited,
        retry_after: match switches.retry_after {
            RetryAfter::HttpDate => cloudflare_sim::RetryAfter::HttpDate,
            RetryAfter::Absent => cloudflare_sim::RetryAfter::Absent,
            _ => cloudflare_sim::RetryAfter::Seconds,
        },
        chassis: switches.chassis,
        ..cloudflare_sim::Options::default()
    });
    let sim = Arc::new(sim.unwrap());
    Box::new(Cloudflare(Wire::new(Arc::clone(&sim), Box::new(|_| None)), sim))
}

struct Cloudflare(Arc<Wire>, Arc<CloudflareSim>);

impl Place for Cloudflare {
    fn simulator(&self) -> Arc<dyn DynSimulator> {
        Arc::clone(&self.0) as Arc<dyn DynSimulator>
    }

    fn ledger(&self) -> &Ledger {
        self.1.ledger()
    }

    fn objects(&self) -> BTreeSet<String> {
        self.1.keys(NAMESPACE).into_iter().collect()
    }

    fn targets(&self) -> BTreeMap<String, usize> {
        let mut targets = BTreeMap::new();
        for sent in self.0.all().iter().filter(|sent| sent.method != "GET") {
            for name in sent.names() {
                *targets.entry(name).or_default() += 1;
            }
        }
        targets
    }

    fn pays(&self, window: &str, entry: &Entry<'_>) -> bool {
        let purges = entry.leaf == "purge_cache";
        match window {
            "global" | "address" => true,
            "purge" | "purge-urls" => purges,
            other => panic!("the fixture does not know the window {other}"),
        }
    }
}
