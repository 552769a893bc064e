//! Settings in layers: flags over environment over project file over user file over the
//! compiled-in defaults. Every value knows where it comes from; an unknown key is an error.

mod credentials;
mod keys;
#[cfg(test)]
mod tests;
mod values;

pub use credentials::{Keys, variables_with_keys};
pub use keys::sources;
pub use values::{Ceiling, MemoryLimit};

use crate::exit::{Error, Exit};
use keys::{Systems, check_of, unknown};
use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use values::{parse_cpu_limit, parse_duration, parse_share};
use windlass_connectors::limits::{Limits, Profile, QuotaChoice};
use windlass_connectors::{CONNECTORS, Connector};

/// The defaults, which are at the same time their documentation.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// The project's file, in the working directory.
const PROJECT_FILE: &str = "windlass.toml";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// [`DEFAULTS`].
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Environment(&'static str),
    /// A flag of this name.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File(path) => write!(out, "{}", path.display()),
            Self::Environment(name) => write!(out, "environment {name}"),
            Self::Flag(name) => write!(out, "flag --{name}"),
        }
    }
}

/// A value: one text, or several where the key takes a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The texts.
    pub texts: Vec<String>,
    /// Where they come from.
    pub origin: Origin,
}

/// What flags said: key, flag name, texts.
pub type Flags = Vec<(String, &'static str, Vec<String>)>;

/// All settings, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    systems: Systems,
    values: BTreeMap<String, Value>,
}

impl Settings {
    /// Resolves all layers.
    ///
    /// # Errors
    /// A file that can't be read, an unknown key, a value of the wrong form.
    pub fn load(flags: Flags) -> Result<Self, Error> {
        let mut settings = Self::none(CONNECTORS);
        settings.take_toml(DEFAULTS, &Origin::Default)?;
        for path in [user_file(), Some(PathBuf::from(PROJECT_FILE))].into_iter().flatten() {
            match std::fs::read_to_string(&path) {
                Ok(text) => settings.take_toml(&text, &Origin::File(path))?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("the settings file {} can't be read", path.display());
                    return Err(Error::new(Exit::Usage, what).because(&error).hint(
                        "it has to be a text file that you can read, or not be there at all",
                    ));
                }
            }
        }
        settings.take_environment(environment)?;
        for (key, flag, texts) in flags {
            settings.set(&key, texts, Origin::Flag(flag))?;
        }
        Ok(settings)
    }

    fn none(systems: Systems) -> Self {
        Self { systems, values: BTreeMap::new() }
    }

    /// Every value with its key, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The text of a key that takes one.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.texts.first().map(String::as_str)
    }

    /// The folder of all runs.
    ///
    /// # Errors
    /// When there is no home directory and none is named.
    pub fn state_dir(&self) -> Result<PathBuf, Error> {
        let named = self.text("state-dir").map(PathBuf::from);
        let standard = || {
            let state = env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty());
            let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".local/state"));
            Some(state.map(PathBuf::from).or_else(home)?.join("windlass"))
        };
        named.or_else(standard).ok_or_else(|| {
            Error::new(Exit::Usage, "there is no place to keep runs")
                .hint("set WINDLASS_STATE_DIR to a folder that lasts")
        })
    }

    /// How hard a system's remote may be used.
    #[must_use]
    pub fn limits(&self, connector: &Connector, seed: u64) -> Limits {
        let system = connector.name;
        let text = |name: &str| self.text(&format!("{system}.{name}"));
        let checked = "the value was checked when it was read";
        Limits {
            profile: text("profile").map_or(Profile::Balanced, |t| t.parse().expect(checked)),
            rate: text("max-requests-per-second").map(|text| text.parse().expect(checked)),
            full_rate: connector.full_rate,
            reserve: text("reserve").map_or(0.0, |text| parse_share(text).expect(checked)),
            quotas: self.quotas(system),
            concurrency: text("concurrency").map(|text| text.parse().expect(checked)),
            timeout: self.duration(system, "timeout"),
            retries: text("retries").map_or(0, |text| text.parse().expect(checked)),
            deadline: self.duration(system, "deadline"),
            smooth: text("smooth") == Some("true"),
            seed,
        }
    }

    /// The settings that only this system has, by their names.
    #[must_use]
    pub fn own(&self, connector: &Connector) -> BTreeMap<String, String> {
        let text = |name: &str| self.text(&format!("{}.{name}", connector.name));
        let settings = connector.settings.iter();
        let set =
            settings.filter_map(|own| Some((own.name.to_owned(), text(own.name)?.to_owned())));
        set.collect()
    }

    /// The keys to a system, from the environment or from the file that the settings name.
    ///
    /// # Errors
    /// When there is none, or one without its identity.
    pub fn keys(&self, connector: &Connector) -> Result<Keys, Error> {
        let file = self.text(&format!("{}.key-file", connector.name));
        Keys::find(connector, file, environment)
    }

    /// A duration of a system's table; the defaults have all of them, but for a system without
    /// limits.
    #[must_use]
    pub fn duration(&self, system: &str, name: &str) -> Duration {
        let text = self.text(&format!("{system}.{name}"));
        text.map_or(Duration::ZERO, |text| {
            parse_duration(text).expect("the value was checked when it was read")
        })
    }

    /// The ceiling on deletions, if there is one.
    #[must_use]
    pub fn ceiling(&self, system: &str) -> Option<Ceiling> {
        self.text(&format!("{system}.max-delete"))?.parse().ok()
    }

    /// The share of the machine's processor time above which a system's runs slow down, from 0 to
    /// 1; `None` where that is switched off.
    #[must_use]
    pub fn cpu_limit(&self, system: &str) -> Option<f32> {
        let limit = parse_cpu_limit(self.text(&format!("{system}.cpu-limit"))?).ok()?;
        (limit < 1.0).then_some(limit)
    }

    /// The memory that a run of this system may take.
    #[must_use]
    pub fn memory_limit(&self, system: &str) -> MemoryLimit {
        let text = self.text(&format!("{system}.memory-limit"));
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// The flag `--quota` is a list of choices; in files each window has a key of its own.
    fn quotas(&self, system: &str) -> Vec<QuotaChoice> {
        let prefix = format!("{system}.quota.");
        let windows = self.values.iter().filter_map(|(key, value)| {
            let window = key.strip_prefix(&prefix)?;
            format!("{window}={}", value.texts.first()?).parse().ok()
        });
        let flags = self.get(&format!("{system}.quota")).map(|value| value.texts.iter());
        windows.chain(flags.into_iter().flatten().filter_map(|text| text.parse().ok())).collect()
    }

    fn take_environment(
        &mut self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Error> {
        // The last one stays, so those that go before others come last.
        for source in sources(self.systems).into_iter().rev() {
            let text = environment(source.variable).map(|text| (source.read)(&text));
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                let texts = vec![text];
                self.set(&source.key, texts, Origin::Environment(source.variable))?;
            }
        }
        Ok(())
    }

    fn take_toml(&mut self, text: &str, origin: &Origin) -> Result<(), Error> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            Error::new(Exit::Usage, format!("settings from {origin} are not TOML"))
                .because(&error.to_string().trim_end())
                .hint("`windlass config show` shows the keys with their values once it is right")
        })?;
        self.take_table("", &table, origin)
    }

    fn take_table(
        &mut self,
        prefix: &str,
        table: &toml::Table,
        origin: &Origin,
    ) -> Result<(), Error> {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(inner) => self.take_table(&key, inner, origin)?,
                toml::Value::Array(items) => {
                    let texts = items.iter().map(scalar).collect();
                    self.set(&key, texts, origin.clone())?;
                }
                one => self.set(&key, vec![scalar(one)], origin.clone())?,
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, texts: Vec<String>, origin: Origin) -> Result<(), Error> {
        let systems = self.systems;
        let check = check_of(systems, key).ok_or_else(|| unknown(systems, key, &origin))?;
        for text in &texts {
            check(text).map_err(|what| {
                Error::new(Exit::Usage, format!("`{key}` from {origin}: {what}"))
            })?;
        }
        self.values.insert(key.to_owned(), Value { texts, origin });
        Ok(())
    }
}

fn scalar(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A variable of this process that is set and not empty.
fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.trim().is_empty())
}

fn user_file() -> Option<PathBuf> {
    let config = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || Some(Path::new(&env::var_os("HOME")?).join(".config"));
    Some(config.or_else(home)?.join("windlass/config.toml"))
}
