//! A simulated WorkOS: what tests, demos, benchmarks and `windlass sim workos` talk to.
//!
//! Owns its organizations and users, and judges its callers by the documented limits. It is built
//! from the published facts alone and must never use code of the connector beside it or of the
//! engine: the judge and the judged share no code.

mod generate;
mod limits;
mod lists;
mod options;
mod render;
mod replies;
mod store;
#[cfg(test)]
mod tests;
mod world;

pub use limits::Limit;
pub use options::{
    Explicit, Kind, LimitHeaders, Options, PageLimit, RetryAfter, Shape, TooManyBody, UnknownCursor,
};

use bytes::Bytes;
use http::{Request, Response};
use windlass_sim::{Chassis, Fault, Ledger, Reset, Simulator};
use world::WorkosWorld;

/// A simulated WorkOS environment.
#[derive(Debug)]
pub struct WorkosSim {
    chassis: Chassis<WorkosWorld>,
}

impl WorkosSim {
    /// Generates the data and starts the clock. To be called inside the tokio runtime when its
    /// time is paused.
    ///
    /// # Errors
    ///
    /// Options that contradict themselves, in words for the user of the flags.
    pub fn new(options: Options) -> Result<Self, String> {
        options.check()?;
        let quotas = limits::quotas(&options);
        let chassis = options.chassis.clone();
        Ok(Self { chassis: Chassis::new(chassis, quotas, WorkosWorld::new(options)?) })
    }

    /// Every request so far.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.chassis.ledger()
    }

    /// The ids of the organizations that are not deleted, oldest first.
    #[must_use]
    pub fn remaining_organizations(&self) -> Vec<String> {
        self.chassis.with_world(|world| world.remaining_ids(Kind::Organization))
    }

    /// The ids of the users that are not deleted, oldest first.
    #[must_use]
    pub fn remaining_users(&self) -> Vec<String> {
        self.chassis.with_world(|world| world.remaining_ids(Kind::User))
    }

    /// The ids in the paths of all deletions that took effect, in their order.
    #[must_use]
    pub fn deleted(&self) -> Vec<String> {
        let mut ids = Vec::new();
        self.ledger().each(|entry| {
            if entry.method == "DELETE" && entry.effect {
                ids.push(lists::decode(entry.leaf));
            }
        });
        ids
    }

    /// How many memberships of users in organizations are left.
    #[must_use]
    pub fn memberships(&self) -> u64 {
        self.chassis.with_world(|world| world.memberships())
    }

    /// The JSON of one object as it is now.
    #[must_use]
    pub fn object(&self, kind: Kind, id: &str) -> Option<String> {
        self.chassis.with_world(|world| world.object(kind, id))
    }

    /// No key is valid from now on.
    pub fn revoke_key(&self) {
        self.chassis.revoke();
    }

    /// The next requests meet exactly these faults, in order, before any rate is looked at.
    pub fn force(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.chassis.force(faults);
    }

    /// Someone else deletes an object, whatever the limits; false when there is none.
    pub fn delete_by_someone_else(&self, kind: Kind, id: &str) -> bool {
        self.chassis.with_world(|world| world.vanish(kind, id))
    }
}

impl Simulator for WorkosSim {
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Reset> {
        self.chassis.call(request).await
    }

    fn control(&self, request: &Request<Bytes>) -> Response<Bytes> {
        self.chassis.control(request)
    }
}
