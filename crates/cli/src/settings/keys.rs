//! Which settings exist: those of the program, those that every system has in its own table, and
//! those of one system; and the environment variables that set them.

use super::Origin;
use super::values::{
    Ceiling, Check, MemoryLimit, anything, at_least_one, cpu_limit, output, parses, quota_choice,
    quota_choice_of_window, rate, share, time, whole, with_unit, yes_or_no,
};
use crate::exit::{Error, Exit};
use windlass_connectors::Connector;
use windlass_connectors::limits::Profile;

/// Systems by which keys are looked up.
pub type Systems = &'static [&'static Connector];

/// A setting that exists.
struct Key {
    name: &'static str,
    /// The variables that set it, for every system; the first that is set wins.
    variables: &'static [(&'static str, Read)],
    check: Check,
}

impl Key {
    const fn new(name: &'static str, check: Check) -> Self {
        Self { name, variables: &[], check }
    }

    const fn with(self, variables: &'static [(&'static str, Read)]) -> Self {
        Self { variables, ..self }
    }
}

/// Turns a variable's text into the setting's; an empty one sets nothing.
type Read = fn(&str) -> String;

const PLAIN: Read = str::to_owned;
const PERCENT: Read = |text| with_unit(text, "%");
const MEGABYTES: Read = |text| with_unit(text, "MB");

/// A switch that can only take the limit away: switched on, it leaves the limit as it is.
const SWITCH: Read = |text| match text.trim() {
    "true" => String::new(),
    "false" => "100%".to_owned(),
    other => other.to_owned(),
};

/// The settings of the whole program.
const PROGRAM_KEYS: &[Key] = &[
    Key::new("output", output).with(&[("WINDLASS_OUTPUT", PLAIN)]),
    Key::new("state-dir", anything).with(&[("WINDLASS_STATE_DIR", PLAIN)]),
];

/// The settings that every system has in its own table.
const SYSTEM_KEYS: &[Key] = &[
    Key::new(BASE_URL, anything),
    Key::new("key-file", anything),
    Key::new("profile", parses::<Profile>),
    Key::new("reserve", share),
    Key::new("max-requests-per-second", rate).with(&[("MAX_REQUESTS_PER_SECOND", PLAIN)]),
    Key::new("concurrency", at_least_one).with(&[("CONCURRENCY", PLAIN)]),
    Key::new("timeout", time),
    Key::new("retries", whole),
    Key::new("deadline", time),
    Key::new("smooth", yes_or_no),
    Key::new("max-age", time),
    Key::new("max-delete", parses::<Ceiling>),
    Key::new("cpu-limit", cpu_limit)
        .with(&[("CPU_THROTTLE_ENABLED", SWITCH), ("CPU_USAGE_THRESHOLD", PERCENT)]),
    Key::new("memory-limit", parses::<MemoryLimit>).with(&[("MEMORY_LIMIT_MB", MEGABYTES)]),
];

/// The setting of systems whose commands have this guard.
const PROTECT: Key = Key::new("protect", anything);

const BASE_URL: &str = "base-url";

/// An environment variable that sets something.
pub struct Source {
    /// Its name.
    pub variable: &'static str,
    /// The key that it sets.
    pub key: String,
    /// Turns its text into the key's; an empty one sets nothing.
    pub read: Read,
}

/// Every variable that sets something. Of those that set the same key, the first one goes before
/// the others.
pub fn sources(systems: Systems) -> Vec<Source> {
    let program = PROGRAM_KEYS.iter().flat_map(|key| {
        let source = |&(variable, read)| Source { variable, key: key.name.to_owned(), read };
        key.variables.iter().map(source)
    });
    program.chain(systems.iter().flat_map(|connector| sources_of(connector))).collect()
}

fn sources_of(connector: &'static Connector) -> Vec<Source> {
    let system = connector.name;
    let source = |variable: &'static str, name: &str, read: Read| Source {
        variable,
        key: format!("{system}.{name}"),
        read,
    };
    let plain = |variable: &'static str, name: &str| source(variable, name, PLAIN);
    let places = connector.base_url_variables.iter().map(|variable| plain(variable, BASE_URL));
    let settings = connector
        .settings
        .iter()
        .flat_map(|setting| setting.variables.iter().map(|variable| plain(variable, setting.name)));
    let own = connector.variables.iter().map(|own| source(own.variable, own.setting, own.read));
    let general = shared(connector).flat_map(|key| {
        key.variables.iter().map(|&(variable, read)| source(variable, key.name, read))
    });
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
        None => shared(connector).find(|key| key.name == rest).map(|key| key.check),
    }
}

/// The settings of every system that this one has: those of limits only where it has any.
fn shared(connector: &Connector) -> impl Iterator<Item = &'static Key> {
    let (has_limits, has_base_url) = (connector.has_limits(), connector.has_base_url());
    SYSTEM_KEYS.iter().filter(move |key| has_limits && (key.name != BASE_URL || has_base_url))
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
        keys.extend(shared(connector).map(|key| format!("{system}.{}", key.name)));
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
