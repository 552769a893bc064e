//! The keys to a system: from the environment, or from a file that the settings name. They are
//! never settings themselves, so that nothing that shows settings can show them.

use crate::exit::{Error, Exit};
use windlass_connectors::{Connector, Credential, Secret};

/// The keys that an operation is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The key to the system.
    pub key: Secret,
    /// Whose key it is, where the system wants to be told.
    pub identity: Option<String>,
    /// The key to a second account.
    pub other_key: Option<Secret>,
}

impl Keys {
    /// This key and no other.
    #[must_use]
    pub fn of(key: Secret) -> Self {
        Self { key, identity: None, other_key: None }
    }

    /// No key at all, for what needs no remote.
    #[must_use]
    pub fn none() -> Self {
        Self::of(Secret::new(""))
    }

    /// The first credential that is set in the environment, else the first one from this file.
    ///
    /// # Errors
    /// When there is none, when it lacks its identity, or when the file can't be read.
    pub(super) fn find(
        connector: &Connector,
        file: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let mut set = connector.credentials.iter().filter_map(|credential| {
            Some((credential, Secret::new(&environment(credential.variable)?)))
        });
        let (credential, key) = match set.next() {
            Some(found) => found,
            None => from_file(connector, file)?,
        };
        let identity = match credential.identity {
            Some(name) => Some(environment(name).ok_or_else(|| lonely(credential.variable, name))?),
            None => None,
        };
        let other_key = connector.other_credential.and_then(&environment);
        let other_key = other_key.map(|text| Secret::new(&text));
        Ok(Self { key, identity: identity.map(|text| text.trim().to_owned()), other_key })
    }
}

/// The variables that hold keys, as they are told in errors: `A`, or `A or B with C`.
#[must_use]
pub fn variables_with_keys(connector: &Connector) -> String {
    let name = |credential: &Credential| match credential.identity {
        Some(identity) => format!("{} with {identity}", credential.variable),
        None => credential.variable.to_owned(),
    };
    connector.credentials.iter().map(name).collect::<Vec<_>>().join(" or ")
}

fn from_file<'a>(
    connector: &'a Connector,
    file: Option<&str>,
) -> Result<(&'a Credential, Secret), Error> {
    let (Some(path), Some(credential)) = (file, connector.credentials.first()) else {
        return Err(missing(connector));
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::new(Exit::Usage, format!("the key file {path} can't be read"))
            .because(&error)
            .hint("`key-file` in the settings names a file that holds the key and nothing else")
    })?;
    if text.trim().is_empty() {
        return Err(missing(connector));
    }
    Ok((credential, Secret::new(&text)))
}

fn missing(connector: &Connector) -> Error {
    let variables: Vec<&str> =
        connector.credentials.iter().map(|credential| credential.variable).collect();
    let what = match &variables[..] {
        [only] => format!("there is no key: {only} is not set"),
        several => format!("there is no key: neither {} is set", several.join(" nor ")),
    };
    Error::new(Exit::Usage, what).hint(format!(
        "set {} in the environment, or `key-file` in the settings; `windlass demo` needs none",
        variables_with_keys(connector)
    ))
}

fn lonely(variable: &str, identity: &str) -> Error {
    Error::new(Exit::Usage, format!("{variable} is set, but {identity} is not"))
        .hint(format!("set {identity} to whose key {variable} is"))
}
