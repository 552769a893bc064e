//! A simulated Cloudflare: what tests, demos, benchmarks and `windlass sim cloudflare` talk to.
//!
//! Owns namespaces of Workers KV with their pairs, zones and the purges that they accepted, and
//! judges its callers by the documented limits. It is built from the published facts alone and
//! must never use code of the connector beside it or of the engine: the judge and the judged share
//! no code.

mod base64;
mod bulk;
mod counts;
mod cursor;
mod generate;
mod keys;
mod kv;
mod limits;
mod namespaces;
mod options;
mod paging;
mod replies;
mod routes;
mod store;
#[cfg(test)]
mod tests;
mod world;
mod zones;

pub use counts::Counts;
pub use limits::Limit;
pub use options::{LastCursor, Options, Plan, RetryAfter};
pub use zones::{Purge, PurgeKind};

use bytes::Bytes;
use http::{Request, Response};
use store::{Put, Store, View};
use windlass_sim::{Chassis, Fault, Ledger, Reset, Simulator};
use world::{CloudflareWorld, Now};

/// A pair: its value, its metadata as JSON without white space, and when it expires in seconds
/// since 1970.
pub type Pair = (Vec<u8>, Option<String>, Option<u64>);

/// A simulated Cloudflare, of one user.
#[derive(Debug)]
pub struct CloudflareSim {
    chassis: Chassis<CloudflareWorld>,
}

impl CloudflareSim {
    /// Starts the clock. To be called inside the tokio runtime when its time is paused.
    ///
    /// # Errors
    ///
    /// Options that contradict themselves, in words for the user of the flags.
    pub fn new(options: Options) -> Result<Self, String> {
        options.check()?;
        let quotas = limits::quotas(&options);
        let chassis = options.chassis.clone();
        Ok(Self { chassis: Chassis::new(chassis, quotas, CloudflareWorld::new(options)) })
    }

    /// Every request so far. The items of a row are the keys or pairs that a bulk call named, or
    /// what a purge did.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.chassis.ledger()
    }

    /// The next requests meet exactly these faults, in order, before any rate is looked at.
    pub fn force(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.chassis.force(faults);
    }

    /// No token and no key is valid from now on.
    pub fn revoke_key(&self) {
        self.chassis.revoke();
    }

    /// How many requests the limits let through, by route.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.chassis.with_world(|world| world.counts)
    }

    /// The ids of the namespaces in the order of their creation.
    #[must_use]
    pub fn namespace_ids(&self) -> Vec<String> {
        self.chassis.with_world(|world| {
            world.namespaces.all().iter().map(|namespace| namespace.id.clone()).collect()
        })
    }

    /// The ids and names of the zones.
    #[must_use]
    pub fn zones(&self) -> Vec<(String, String)> {
        self.chassis.with_world(|world| {
            world.zones.all.iter().map(|zone| (zone.id.clone(), zone.name.clone())).collect()
        })
    }

    /// The purges and invalidations that were accepted, in their order; none with
    /// `--counters-only`.
    #[must_use]
    pub fn purges(&self) -> Vec<Purge> {
        self.chassis.with_world(|world| world.purges.clone())
    }

    /// The names of all keys of a namespace, in their order; none when there is no such namespace.
    #[must_use]
    pub fn keys(&self, namespace: &str) -> Vec<String> {
        self.with_store(namespace, |store, now| store.names(now.seconds)).unwrap_or_default()
    }

    /// How many keys a namespace has; 0 when there is no such namespace.
    #[must_use]
    pub fn len(&self, namespace: &str) -> u64 {
        self.with_store(namespace, |store, now| store.len(now.seconds)).unwrap_or(0)
    }

    /// True when a namespace has no keys.
    #[must_use]
    pub fn is_empty(&self, namespace: &str) -> bool {
        self.len(namespace) == 0
    }

    /// One pair as it is now, whether it is seen already or not.
    #[must_use]
    pub fn value(&self, namespace: &str, key: &str) -> Option<Pair> {
        self.with_store(namespace, |store, now| {
            let pair = store.get(View::Truth, key, now.seconds)?;
            let (mut value, mut metadata) = (Vec::new(), Vec::new());
            store.push_value(&mut value, &pair);
            let has_metadata = store.push_metadata(&mut metadata, &pair);
            let metadata = has_metadata.then(|| String::from_utf8_lossy(&metadata).into_owned());
            Some((value, metadata, store.expiration(&pair)))
        })?
    }

    /// A hash over all names, values, metadata and expirations of a namespace, to compare the
    /// outcomes of two runs; empty when there is no such namespace.
    #[must_use]
    pub fn digest(&self, namespace: &str) -> String {
        self.with_store(namespace, |store, now| store.digest(now.seconds)).unwrap_or_default()
    }

    /// Writes a pair, whatever the limits; `metadata` is JSON, `expiration` in seconds since 1970.
    /// False when there is no such namespace.
    pub fn put(
        &self,
        namespace: &str,
        key: &str,
        value: &[u8],
        metadata: Option<&str>,
        expiration: Option<u64>,
    ) -> bool {
        let put = Put { value: value.into(), metadata: metadata.map(Into::into), expiration };
        self.write(namespace, key, Some(put)).is_some()
    }

    /// Someone else deletes a key, whatever the limits; false when there is none.
    pub fn delete_by_someone_else(&self, namespace: &str, key: &str) -> bool {
        self.write(namespace, key, None).unwrap_or(false)
    }

    fn write(&self, namespace: &str, key: &str, put: Option<Put>) -> Option<bool> {
        let (at, _) = self.chassis.now();
        self.chassis.with_world(|world| {
            let store = &mut world.namespaces.get_mut(namespace)?.store;
            Some(store.write_now(key, put, at))
        })
    }

    fn with_store<R>(&self, namespace: &str, read: impl FnOnce(&Store, Now) -> R) -> Option<R> {
        let (at, wall) = self.chassis.now();
        self.chassis.with_world(|world| {
            let found = world.namespaces.get(namespace)?;
            Some(read(&found.store, Now::new(at, wall)))
        })
    }
}

impl Simulator for CloudflareSim {
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Reset> {
        self.chassis.call(request).await
    }

    fn control(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.chassis.control(request)
    }
}
