//! The way to one account: its API behind its limits, and what was looked up of it already.

use super::api::{Api, Auth};
use super::args::NamespaceArgs;
use super::lookup::{Lookup, Operations};
use super::targets::Plan;
use super::{CONNECTOR, WINDOWS};
use crate::connector::{OpenError, QueryError, Secret, Setup};
use crate::limits::VendorWindow;
use std::sync::Arc;
use windlass_engine::job::Context;
use windlass_engine::remote::{OperationSpec, Remote};

/// The numbers of the operations at the remote.
pub mod operation {
    pub const LIST_KEYS: usize = 0;
    pub const GET_VALUE: usize = 1;
    pub const PUT_VALUE: usize = 2;
    pub const METADATA: usize = 3;
    pub const BULK_GET: usize = 4;
    pub const BULK_PUT: usize = 5;
    pub const BULK_DELETE: usize = 6;
    pub const READ_NAMESPACES: usize = 7;
    pub const CREATE_NAMESPACE: usize = 8;
    pub const READ_ZONES: usize = 9;
    pub const PURGE: usize = 10;
    pub const PURGE_FILES: usize = 11;
    pub const DROP_NAMESPACE: usize = 12;
    pub const RENAME_NAMESPACE: usize = 13;
}

/// A bulk write of more items than this that gets no answer in time is halved: batches of 5,000
/// pairs are known to end in a 524 at the edge.
const HALVES_ABOVE_WRITES: u32 = 100;
/// The same for a bulk read, which carries 100 keys at most.
const HALVES_ABOVE_READS: u32 = 10;

/// The account, opened.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its API.
    pub api: Arc<Api>,
    /// Its limits.
    pub remote: Arc<Remote>,
    /// What was asked already.
    pub lookup: Arc<Lookup>,
}

/// A namespace that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// As it was named on the command line.
    pub named: String,
}

impl Access {
    /// The account of this setup.
    ///
    /// # Errors
    /// When a setting makes no sense, or the key can't be sent.
    pub fn open(setup: &Setup, account: Option<&str>, cached: bool) -> Result<Self, OpenError> {
        let account = account.or(setup.setting("account-id")).map(str::to_owned);
        Self::with_key(setup, account, &setup.key, cached)
    }

    /// Another account, with the key to it, or with the same.
    ///
    /// # Errors
    /// As [`Access::open`].
    pub fn open_other(setup: &Setup, account: &str, cached: bool) -> Result<Self, OpenError> {
        let key = setup.other_key.as_ref().unwrap_or(&setup.key);
        Self::with_key(setup, Some(account.to_owned()), key, cached)
    }

    fn with_key(
        setup: &Setup,
        account: Option<String>,
        key: &Secret,
        cached: bool,
    ) -> Result<Self, OpenError> {
        let is_main = *key == setup.key;
        let auth = match &setup.identity {
            Some(email) if is_main => Auth::Key { email: email.clone(), key: key.clone() },
            _ => Auth::Token(key.clone()),
        };
        let plan = purge_plan(setup)?;
        let windows = windows(plan);
        let spec = setup
            .limits
            .spec(CONNECTOR.name, &windows, operations())
            .map_err(|error| OpenError::usage(error.to_string(), error.hint()))?;
        let reserve = setup.limits.reserved(GLOBAL_LIMIT);
        let (transport, base_url) = (setup.transport.clone(), setup.base_url.clone());
        let api = Arc::new(Api::new(transport, base_url, account, &auth, reserve)?);
        let remote = Arc::new(Remote::new(setup.clock, spec));
        let asks = Operations {
            namespaces: operation::READ_NAMESPACES,
            zones: operation::READ_ZONES,
            metadata: operation::METADATA,
        };
        let lookup = Arc::new(Lookup::new(Arc::clone(&api), Arc::clone(&remote), asks, cached));
        Ok(Self { api, remote, lookup })
    }

    /// The namespace that a command line names.
    ///
    /// # Errors
    /// When none is named, or there is none of that title.
    pub async fn namespace(
        &self,
        context: &Context,
        args: &NamespaceArgs,
    ) -> Result<Found, QueryError> {
        if let Some(id) = &args.namespace_id {
            return Ok(Found { id: id.clone(), named: id.clone() });
        }
        let named = args.namespace.clone().ok_or_else(|| {
            OpenError::usage(
                "no namespace is named",
                "add --namespace with its title or id; `windlass kv namespaces list` lists them",
            )
        })?;
        let id = self.lookup.resolve_namespace(context, &named).await?;
        Ok(Found { id, named })
    }
}

impl Found {
    /// Title and id, for people.
    #[must_use]
    pub fn words(&self) -> String {
        if self.id == self.named {
            self.id.clone()
        } else {
            format!("{} ({})", self.named, self.id)
        }
    }
}

/// What the zones are booked as; the smallest where nobody says.
///
/// # Errors
/// When there is no such plan.
pub fn purge_plan(setup: &Setup) -> Result<Plan, OpenError> {
    let text = setup.setting("purge-plan").unwrap_or("free");
    text.parse().map_err(|what: String| OpenError::usage(what, "see --purge-plan"))
}

/// The requests that a user may send in [`GLOBAL_SECONDS`], over all keys, tokens and the
/// dashboard ("API limits" in the documentation).
pub const GLOBAL_LIMIT: u32 = 1_200;
/// The length of that window.
pub const GLOBAL_SECONDS: u64 = 300;

/// The vendor's windows with those of purging as this plan has them.
///
/// A bucket of B that fills at R a second takes any schedule with at most B in any B/R seconds,
/// so it is kept as that window: a burst of all of B, and R in the long run.
pub(super) fn windows(plan: Plan) -> Vec<VendorWindow> {
    let limits = plan.limits();
    let fills_in = (f64::from(limits.bucket) / limits.refill_per_second).ceil() as u64;
    let of_plan = |window: &VendorWindow| match window.name {
        "purge" => VendorWindow { limit: limits.bucket, seconds: fills_in, ..*window },
        "purge-urls" => VendorWindow { limit: limits.urls_per_second, seconds: 1, ..*window },
        _ => *window,
    };
    WINDOWS.iter().map(of_plan).collect()
}

/// Which windows an operation pays, by their place in [`WINDOWS`]. Whether purging by URL counts
/// against the global limit is told both ways; counting it is the safe side.
fn operations() -> Vec<OperationSpec> {
    let [global, address, purge, urls] = [0, 1, 2, 3];
    let plain = |name| OperationSpec::new(name, &[global, address]);
    let bulk = |name, halves_above| OperationSpec { halves_above, ..plain(name) };
    vec![
        OperationSpec { leads: true, ..plain("list keys") },
        plain("get value"),
        plain("put value"),
        plain("get metadata"),
        bulk("get values", HALVES_ABOVE_READS),
        bulk("put values", HALVES_ABOVE_WRITES),
        bulk("delete keys", HALVES_ABOVE_WRITES),
        plain("list namespaces"),
        OperationSpec { idempotent: false, ..plain("create namespace") },
        plain("list zones"),
        OperationSpec::new("purge", &[global, address, purge]),
        OperationSpec { item_windows: vec![urls], ..plain("purge files") },
        plain("drop namespace"),
        plain("rename namespace"),
    ]
}
