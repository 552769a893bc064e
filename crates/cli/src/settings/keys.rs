//! Which settings exist: those of the program, those that every system has in its own table, and
//! those of one system; and the environment variables that set them.

use super::Origin;
use super::values::{
    Ceiling, Check, anything, at_least_one, output, parses, quota_choice, quota_choice_of_window,
    rate, share, time, whole, yes_or_no,
};
use crate::exit::{Error, Exit};
use windlass_connectors::Connector;
use windlass_connectors::limits::Profile;

/// Systems by which keys are looked up.
pub type Systems = &'static [&'static Connector];

/// A setting that exists.
struct Key {
    name: &'static str,
    /// The variable that sets it, for every system.
    variable: Option<&'static str>,
    check: Check,
}

/// The settings of the whole program.
const PROGRAM_KEYS: &[Key] = &[
    Key { name: "output", variable: Some("WINDLASS_OUTPUT"), check: output },
    Key { name: "state-dir", variable: Some("WINDLASS_STATE_DIR"), check: anything },
];

/// The settings that every system has in its own table.
const SYSTEM_KEYS: &[Key] = &[
    Key { name: BASE_URL, variable: None, check: anything },
    Key { name: "key-file", variable: None, check: anything },
    Key { name: "profile", variable: None, check: parses::<Profile> },
    Key { name: "reserve", variable: None, check: share },
    Key { name: "max-requests-per-second", variable: Some("MAX_REQUESTS_PER_SECOND"), check: rate },
    Key { name: "concurrency", variable: Some("CONCURRENCY"), check: at_least_one },
    Key { name: "timeout", variable: None, check: time },
    Key { name: "retries", variable: None, check: whole },
    Key { name: "deadline", variable: None, check: time },
    Key { name: "smooth", variable: None, check: yes_or_no },
    Key { name: "max-age", variable: None, check: time },
    Key { name: "max-delete", variable: None, check: parses::<Ceiling> },
];

/// The setting of systems whose commands have this guard.
const PROTECT: Key = Key { name: "protect", variable: None, check: anything };

const BASE_URL: &str = "base-url";

/// An environment variable that sets something.
pub struct Source {
    /// Its name.
    pub variable: &'static str,
    /// The key that it sets.
    pub key: String,
    /// Turns its text into the key's.
    pub read: fn(&str) -> String,
}

/// Every variable that sets something. Of those that set the same key, the first one goes before
/// the others.
pub fn sources(systems: Systems) -> Vec<Source> {
    let program = PROGRAM_KEYS.iter().filter_map(|key| {
        let (key, variable) = (key.name.to_owned(), key.variable?);
        Some(Source { variable, key, read: str::to_owned })
    });
    program.chain(systems.iter().flat_map(|connector| sources_of(connector))).collect()
}

fn sources_of(connector: &'static Connector) -> Vec<Source> {
    let system = connector.name;
    let source = |variable: &'static str, name: &str, read: fn(&str) -> String| Source {
        variable,
        key: format!("{system}.{name}"),
        read,
    };
    let plain = |variable: &'static str, name: &str| source(variable, name, str::to_owned);
    let places = connector.base_url_variables.iter().map(|variable| plain(variable, BASE_URL));
    let settings = connector
        .settings
        .iter()
        .flat_map(|setting| setting.variables.iter().map(|variable| plain(variable, setting.name)));
    let own = connector.variables.iter().map(|own| source(own.variable, own.setting, own.read));
    let general = SYSTEM_KEYS.iter().filter_map(|key| Some(plain(key.variable?, key.name)));
    places.chain(settings).chain(own).chain(general).collect()
}

/// The check of a key that exists.
pub fn check_of(systems: Systems, key: &str) -> Option<Check> {
    let find = |keys: &[Key], name: &str| Some(keys.iter().find(|key| key.name == name)?.check);
    let Some((system, rest)) = key.split_once('.') else { return find(PROGRAM_KEYS, key) };
    let connector = systems.iter().find(|connector| connector.name == system)?;
    if let Some(own) = connector.settings.iter().find(|setting| setting.name == rest) {
        return Some(own.check);
    }
    match rest.strip_prefix("quota") {
        Some("") => Some(quota_choice),
        Some(window) => window_check(connector, window),
        None if rest == PROTECT.name => can_protect(connector).then_some(PROTECT.check),
        None => find(SYSTEM_KEYS, rest),
    }
}

/// Whether a system leaves alone what an expression protects.
fn can_protect(connector: &Connector) -> bool {
    (connector.guards)().get_arguments().any(|guard| guard.get_id() == PROTECT.name)
}

fn window_check(connector: &Connector, window: &str) -> Option<Check> {
    let window = window.strip_prefix('.')?;
    let known = connector.windows.iter().any(|known| known.name == window);
    known.then_some(quota_choice_of_window)
}

/// Every key that may stand in a file.
pub fn all(systems: Systems) -> Vec<String> {
    let mut keys: Vec<String> = PROGRAM_KEYS.iter().map(|key| key.name.to_owned()).collect();
    for connector in systems {
        let system = connector.name;
        keys.extend(SYSTEM_KEYS.iter().map(|key| format!("{system}.{}", key.name)));
        keys.extend(can_protect(connector).then(|| format!("{system}.{}", PROTECT.name)));
        keys.extend(connector.settings.iter().map(|own| format!("{system}.{}", own.name)));
        keys.extend(connector.windows.iter().map(|w| format!("{system}.quota.{}", w.name)));
    }
    keys
}

/// The error of a key that does not exist.
pub fn unknown(systems: Systems, key: &str, origin: &Origin) -> Error {
    let keys = all(systems);
    let nearest = keys.iter().min_by_key(|known| distance(known, key));
    let error = Error::new(Exit::Usage, format!("there is no setting `{key}` (from {origin})"));
    match nearest {
        Some(nearest) => error.hint(format!("the nearest one is `{nearest}`")),
        None => error,
    }
}

/// The number of letters to insert, drop or exchange to come from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.iter().enumerate() {
            let exchanged = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
