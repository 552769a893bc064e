//! How hard a remote may be used: the vendor's windows, the operator's profile and overrides,
//! joined into the engine's [`Spec`].

use std::str::FromStr;
use std::time::Duration;
use windlass_engine::policy::backoff::Backoff;
use windlass_engine::policy::quota::Quota;
use windlass_engine::remote::{ConcurrencySpec, OperationSpec, Spec, WindowSpec};

/// A window of a vendor's quota as its documentation states it.
#[derive(Clone, Copy, Debug)]
pub struct VendorWindow {
    /// Its name in flags, config and metrics.
    pub name: &'static str,
    /// So many requests.
    pub limit: u32,
    /// In any so many seconds.
    pub seconds: u64,
}

/// What share of the vendor's windows is used, and how many requests may be on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// 60 %, 20 on the wire.
    Conservative,
    /// 80 %, 40 on the wire.
    Balanced,
    /// 96 %, 50 on the wire.
    Aggressive,
    /// 100 %, 50 on the wire.
    Maximum,
}

impl Profile {
    /// All of them, from the mildest on.
    pub const ALL: [Self; 4] =
        [Self::Conservative, Self::Balanced, Self::Aggressive, Self::Maximum];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conservative => "conservative",
            Self::Balanced => "balanced",
            Self::Aggressive => "aggressive",
            Self::Maximum => "maximum",
        }
    }

    /// The share of each window, from 0 to 1.
    #[must_use]
    pub const fn share(self) -> f64 {
        match self {
            Self::Conservative => 0.60,
            Self::Balanced => 0.80,
            Self::Aggressive => 0.96,
            Self::Maximum => 1.0,
        }
    }

    /// Requests on the wire, at most.
    #[must_use]
    pub const fn concurrency(self) -> u32 {
        match self {
            Self::Conservative => 20,
            Self::Balanced => 40,
            Self::Aggressive | Self::Maximum => 50,
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| format!("`{text}` is not a profile; there are {names}"))
    }
}

/// What the operator says of one window, or of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaChoice {
    /// The window's name; `None` means every window of the remote.
    pub window: Option<String>,
    /// The quota in full, no share taken off; `None` means unlimited.
    pub quota: Option<Quota>,
}

impl FromStr for QuotaChoice {
    type Err = String;

    /// Reads `organization-delete=50/1s`, `user-write=unlimited` or `unlimited`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (window, quota) = match text.split_once('=') {
            Some((window, quota)) => (Some(window.trim().to_owned()), quota.trim()),
            None => (None, text.trim()),
        };
        let quota = match quota {
            "unlimited" => None,
            stated => {
                let quota = stated.parse::<Quota>();
                Some(quota.map_err(|error| format!("{error}; {}", error.hint()))?)
            }
        };
        if window.is_none() && quota.is_some() {
            return Err(format!("`{text}` names no window; write WINDOW={text}"));
        }
        Ok(Self { window, quota })
    }
}

/// The operator's choices for one remote, resolved.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How much of the vendor's windows is used.
    pub profile: Profile,
    /// A ceiling in requests a second. Where `full_rate` is known, it also sets the share.
    pub rate: Option<f64>,
    /// The requests a second that are called 100 %; see
    /// [`Connector::full_rate`](crate::Connector::full_rate).
    pub full_rate: Option<f64>,
    /// The share of every window that is left to the account's other users, from 0 to below 1.
    pub reserve: f64,
    /// Overrides, the later ones first in force.
    pub quotas: Vec<QuotaChoice>,
    /// Requests on the wire, at most; `None` takes the profile's.
    pub concurrency: Option<u32>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often an attempt is made again.
    pub retries: u32,
    /// How long the remote may be silent before the run ends.
    pub deadline: Duration,
    /// Whether requests are spread evenly inside their windows.
    pub smooth: bool,
    /// The seed of the jitter.
    pub seed: u64,
}

impl Limits {
    /// The share of the vendor's windows that is used of what the reserve leaves, from 0 to 1.
    #[must_use]
    pub fn share(&self) -> f64 {
        match (self.rate, self.full_rate) {
            (Some(rate), Some(full)) => (rate / full).clamp(0.001, 1.0),
            _ => self.profile.share(),
        }
    }

    /// How many requests of a window with this limit are kept back for the account's other users.
    /// At least one is always left to us.
    #[must_use]
    pub fn reserved(&self, limit: u32) -> u32 {
        limit.saturating_sub(share_of(limit, 1.0 - self.reserve))
    }

    /// Requests on the wire, at most.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or_else(|| self.profile.concurrency()).max(1)
    }

    /// Joins these choices with what the vendor states.
    ///
    /// # Errors
    /// When an override names a window that the remote does not have.
    pub fn spec(
        &self,
        remote: &'static str,
        windows: &[VendorWindow],
        operations: Vec<OperationSpec>,
    ) -> Result<Spec, UnknownWindow> {
        for choice in &self.quotas {
            let known = |name: &String| name == remote || windows.iter().any(|w| w.name == name);
            if let Some(name) = choice.window.as_ref().filter(|name| !known(name)) {
                return Err(UnknownWindow {
                    name: name.clone(),
                    known: windows.iter().map(|window| window.name).collect(),
                });
            }
        }
        Ok(Spec {
            name: remote,
            windows: windows.iter().map(|window| self.window(remote, window)).collect(),
            operations,
            concurrency: ConcurrencySpec::Fixed(self.concurrency()),
            rate: self.rate,
            smooth: self.smooth,
            timeout: self.timeout,
            retries: self.retries,
            backoff: Backoff::default(),
            deadline: self.deadline,
            seed: self.seed,
        })
    }

    fn window(&self, remote: &str, vendor: &VendorWindow) -> WindowSpec {
        let names_it = |choice: &&QuotaChoice| {
            choice.window.as_ref().is_none_or(|name| name == vendor.name || name == remote)
        };
        let quota = match self.quotas.iter().rev().find(names_it) {
            Some(choice) => choice.quota,
            None => Some(Quota {
                limit: share_of(vendor.limit, self.share() * (1.0 - self.reserve)),
                span: Duration::from_secs(vendor.seconds),
            }),
        };
        WindowSpec { name: vendor.name.to_owned(), quota }
    }
}

fn share_of(limit: u32, share: f64) -> u32 {
    // A hair is added so that 0.96 x 500 is 480 and not 479.
    ((f64::from(limit) * share + 1e-6) as u32).max(1)
}

/// An override names a window that the remote does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no quota window `{name}`")]
pub struct UnknownWindow {
    name: String,
    known: Vec<&'static str>,
}

impl UnknownWindow {
    /// What the person at the terminal can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("the windows are {}; `--quota unlimited` means all of them", self.known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOWS: [VendorWindow; 2] = [
        VendorWindow { name: "organization-delete", limit: 50, seconds: 60 },
        VendorWindow { name: "user-write", limit: 500, seconds: 10 },
    ];

    fn limits(profile: Profile) -> Limits {
        Limits {
            profile,
            rate: None,
            full_rate: Some(50.0),
            reserve: 0.0,
            quotas: Vec::new(),
            concurrency: None,
            timeout: Duration::from_secs(30),
            retries: 5,
            deadline: Duration::from_secs(900),
            smooth: false,
            seed: 1,
        }
    }

    fn quotas(limits: &Limits) -> Vec<Option<String>> {
        let spec = limits.spec("workos", &WINDOWS, Vec::new()).unwrap();
        spec.windows.iter().map(|window| window.quota.map(|quota| quota.to_string())).collect()
    }

    #[test]
    fn profiles_are_shares_of_the_documented_windows() {
        let users = [30, 40, 48, 50];
        for (profile, users) in Profile::ALL.into_iter().zip(users) {
            let spec = limits(profile).spec("workos", &WINDOWS, Vec::new()).unwrap();
            assert_eq!(spec.windows[1].quota.unwrap().limit, users * 10, "{profile:?}");
            assert_eq!(spec.windows[0].quota.unwrap().limit, users, "{profile:?}");
        }
    }

    #[test]
    fn a_rate_is_a_ceiling_and_a_share() {
        let mut slow = limits(Profile::Balanced);
        slow.rate = Some(30.0);
        assert_eq!(quotas(&slow), [Some("30/60s".into()), Some("300/10s".into())]);
        slow.rate = Some(200.0);
        assert_eq!(quotas(&slow), [Some("50/60s".into()), Some("500/10s".into())]);
    }

    #[test]
    fn a_rate_without_a_full_rate_is_a_ceiling_alone() {
        let mut slow = limits(Profile::Balanced);
        (slow.rate, slow.full_rate) = (Some(4.0), None);
        assert_eq!(quotas(&slow), [Some("40/60s".into()), Some("400/10s".into())]);
        assert_eq!(slow.spec("workos", &WINDOWS, Vec::new()).unwrap().rate, Some(4.0));
    }

    #[test]
    fn a_reserve_is_left_of_every_window_but_not_of_an_override() {
        let mut shared = limits(Profile::Maximum);
        shared.reserve = 0.05;
        assert_eq!(quotas(&shared), [Some("47/60s".into()), Some("475/10s".into())]);
        assert_eq!([1200, 500, 50, 1, 0].map(|limit| shared.reserved(limit)), [60, 25, 3, 0, 0]);
        shared.profile = Profile::Balanced;
        assert_eq!(quotas(&shared), [Some("38/60s".into()), Some("380/10s".into())]);
        shared.quotas = vec!["user-write=500/10s".parse().unwrap()];
        assert_eq!(quotas(&shared), [Some("38/60s".into()), Some("500/10s".into())]);
        shared.reserve = 0.999;
        assert_eq!(shared.reserved(50), 49, "one is always left");
    }

    #[test]
    fn an_override_is_taken_in_full_and_the_last_one_wins() {
        let mut own = limits(Profile::Conservative);
        own.quotas = ["unlimited", "organization-delete=50/1s"].map(|q| q.parse().unwrap()).into();
        assert_eq!(quotas(&own), [Some("50/1s".into()), None]);
        own.quotas =
            ["organization-delete=50/1s", "workos=unlimited"].map(|q| q.parse().unwrap()).into();
        assert_eq!(quotas(&own), [None, None]);
    }

    #[test]
    fn an_unknown_window_is_refused_with_the_known_ones() {
        let mut own = limits(Profile::Balanced);
        own.quotas = vec!["organisation-delete=1/1s".parse().unwrap()];
        let error = own.spec("workos", &WINDOWS, Vec::new()).unwrap_err();
        assert!(error.hint().contains("organization-delete, user-write"));
    }
}
