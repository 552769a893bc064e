//! What a migration file says under `[throttle]`.

use bson::{Bson, Document};
use jiff::civil::Time;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::path::PathBuf;
use std::time::Duration;
use windlass_engine::remote::Hold;

/// The watches of a migration; those that are not named do not watch.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// Nothing begins while a member is further behind than this.
    pub lag: Option<Lag>,
    /// One request at a time while more operations than this wait at the server.
    pub queue: Option<u64>,
    /// One request at a time while a ping takes more than so many times what it took at first.
    pub latency: Option<f64>,
    /// Nothing begins while this query finds more documents than it may.
    pub query: Option<Query>,
    /// Nothing begins while this file is there.
    pub file: Option<PathBuf>,
    /// Nothing begins outside these hours of this machine's day.
    pub hours: Option<Hours>,
}

/// A time such as `10s` or `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag(pub Duration);

impl<'de> Deserialize<'de> for Lag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        windlass_sim::parse_span(&text).map(Self).map_err(D::Error::custom)
    }
}

/// A query whose count says whether new work has to wait.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The collection.
    pub collection: String,
    /// A MongoDB query in extended JSON.
    #[serde(deserialize_with = "extended_json")]
    pub filter: Document,
    /// Up to so many documents are no reason.
    #[serde(default)]
    pub above: u64,
}

fn extended_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Document, D::Error> {
    let text = String::deserialize(deserializer)?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(D::Error::custom)?;
    match Bson::try_from(json).map_err(D::Error::custom)? {
        Bson::Document(document) => Ok(document),
        _ => Err(D::Error::custom("a query is a document")),
    }
}

/// Hours of the day, such as `22:00-06:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: Time,
    to: Time,
}

impl Hours {
    /// What they say at this time of the day.
    #[must_use]
    pub fn hold(&self, now: Time) -> Option<Hold> {
        let is_inside = if self.from <= self.to {
            self.from <= now && now < self.to
        } else {
            self.from <= now || now < self.to
        };
        let reason = format!("it is {}", now.strftime("%H:%M"));
        let hours = format!("; work is from {} to {}", short(self.from), short(self.to));
        (!is_inside).then_some(Hold { reason: reason + &hours, stops: true })
    }
}

fn short(time: Time) -> String {
    time.strftime("%H:%M").to_string()
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom(format!("`{text}` is not like 22:00-06:00"));
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| wrong());
        Ok(Self { from: time(from)?, to: time(to)? })
    }
}

impl Throttle {
    /// What a migration file says.
    ///
    /// # Errors
    /// When its `[throttle]` is not understood.
    pub fn of(text: &str) -> Result<Option<Self>, String> {
        #[derive(Deserialize)]
        struct File {
            throttle: Option<Throttle>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        Ok(file.throttle)
    }
}
