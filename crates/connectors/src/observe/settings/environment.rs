//! What the environment says: the variables that the clients of Langfuse and RudderStack know
//! already, and the one place where the program reads them.

use super::{DestinationKind, DestinationSettings, SecretRef, Settings};
use std::collections::BTreeMap;

/// A snapshot of the environment, or what a test says instead of it.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process. What is not UTF-8 is left out.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// These variables and no others.
    #[cfg(test)]
    #[must_use]
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self(variables.iter().map(owned).collect())
    }

    /// The value of a variable that is not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.trim().is_empty()).cloned()
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }
}

/// The destinations that the environment names: Langfuse and RudderStack where their keys are
/// set, and always a database, which is `DATABASE_URL` or a SQLite file of the gateway's own.
#[must_use]
pub fn from_environment(environment: &Environment) -> Settings {
    let destinations =
        [langfuse(environment), rudderstack(environment), Some(database(environment))];
    Settings { destinations: destinations.into_iter().flatten().collect(), ..Settings::default() }
}

fn langfuse(environment: &Environment) -> Option<DestinationSettings> {
    let public_key = environment.get("LANGFUSE_PUBLIC_KEY")?;
    environment.get("LANGFUSE_SECRET_KEY")?;
    let url = environment.first(&["LANGFUSE_BASE_URL", "LANGFUSE_HOST"]);
    Some(DestinationSettings {
        url: Some(url.unwrap_or_else(|| "https://cloud.langfuse.com".to_owned())),
        public_key: Some(public_key),
        secret_key: Some(SecretRef::Env("LANGFUSE_SECRET_KEY".to_owned())),
        ..DestinationSettings::new("langfuse", DestinationKind::Langfuse)
    })
}

fn rudderstack(environment: &Environment) -> Option<DestinationSettings> {
    environment.get("RUDDERSTACK_WRITE_KEY")?;
    let url = environment.get("RUDDERSTACK_DATA_PLANE_URL")?;
    Some(DestinationSettings {
        url: Some(url),
        secret_key: Some(SecretRef::Env("RUDDERSTACK_WRITE_KEY".to_owned())),
        ..DestinationSettings::new("rudderstack", DestinationKind::Rudderstack)
    })
}

fn database(environment: &Environment) -> DestinationSettings {
    let url_from = environment.get("DATABASE_URL");
    DestinationSettings {
        url_from: url_from.map(|_| SecretRef::Env("DATABASE_URL".to_owned())),
        ..DestinationSettings::new("sql", DestinationKind::Sql)
    }
}
