//! `windlass kv`, `windlass cache` and `windlass zones` as a user meets them: the built binary
//! against a simulated Cloudflare on a port, whose namespaces, counts and ledger are the judge.

mod change;
mod disk;
mod kill;
mod purge;
mod read;
mod refusals;
mod simulator;

use crate::support::{Home, Program};
use clap::{Command, FromArgMatches};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;
use windlass_connectors::cloudflare::CONNECTOR;
use windlass_connectors::cloudflare::sim::{CloudflareSim, Options, Pair};

/// The token that the simulators accept.
const TOKEN: &str = "cf-token-1";
/// The titles of the first two namespaces: the second one is empty.
const FULL: &str = "namespace-1";
const EMPTY: &str = "namespace-2";

/// A simulated Cloudflare on a port.
struct Cloud {
    sim: Arc<CloudflareSim>,
    url: String,
    _open: oneshot::Sender<()>,
}

impl Cloud {
    /// Starts one with these flags of `windlass sim cloudflare`.
    fn start(flags: &[&str]) -> Self {
        let command: Command = (CONNECTOR.simulator.command)();
        let words = [&["cloudflare"], flags].concat();
        let matches = command.try_get_matches_from(words).unwrap_or_else(|e| panic!("{e}"));
        let options = Options::from_arg_matches(&matches).unwrap();
        let (told, hear) = std::sync::mpsc::channel();
        let (open, closed) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let serve = options.serve.clone();
                let sim = Arc::new(CloudflareSim::new(options).unwrap());
                let any = "127.0.0.1:0".parse().unwrap();
                let served = windlass_sim::serve(Arc::clone(&sim), any, serve).await;
                let (address, serving) = served.unwrap();
                told.send((sim, address)).unwrap();
                tokio::select! {
                    () = serving => {}
                    _ = closed => {}
                }
            });
        });
        let (sim, address) = hear.recv().unwrap();
        Self { sim, url: format!("http://{address}/client/v4"), _open: open }
    }

    /// What the environment says of it.
    fn variables(&self) -> [(&'static str, &str); 3] {
        [
            ("CLOUDFLARE_API_TOKEN", TOKEN),
            ("CLOUDFLARE_API_BASE_URL", &self.url),
            ("CLOUDFLARE_ACCOUNT_ID", "acc"),
        ]
    }

    /// A command line of the program for it.
    fn at(&self, home: &Home, words: &[&str]) -> Program {
        let program = home.windlass(words);
        self.variables()
            .into_iter()
            .fold(program, |program, (name, value)| program.env(name, value))
    }

    /// The ids of the full namespace and of the empty one.
    fn ids(&self) -> (String, String) {
        let ids = self.sim.namespace_ids();
        (ids[0].clone(), ids[1].clone())
    }

    /// The pairs of a namespace by their keys.
    fn pairs(&self, namespace: &str) -> BTreeMap<String, Pair> {
        let keys = self.sim.keys(namespace).into_iter();
        keys.map(|key| (key.clone(), self.sim.value(namespace, &key).unwrap())).collect()
    }

    /// How many requests changed, or tried to change, anything.
    fn writes(&self) -> u64 {
        let counts = self.sim.counts();
        let bulk = counts.bulk_put + counts.bulk_delete;
        bulk + counts.put + counts.delete + counts.purge
    }
}
