//! Settings in layers: flags over environment over project file over user file over the
//! compiled-in defaults. Every value knows where it comes from; an unknown key is an error.

use crate::exit::{Error, Exit};
use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
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

/// A setting that exists.
struct Key {
    name: &'static str,
    /// The variable that sets it, for every system.
    variable: Option<&'static str>,
    check: Check,
}

/// Says what is wrong with a text, if anything is.
type Check = fn(&str) -> Result<(), String>;

/// The settings of the whole program.
const PROGRAM_KEYS: &[Key] = &[
    Key { name: "output", variable: Some("WINDLASS_OUTPUT"), check: output },
    Key { name: "state-dir", variable: Some("WINDLASS_STATE_DIR"), check: anything },
];

/// The settings that every system has in its own table.
const SYSTEM_KEYS: &[Key] = &[
    Key { name: "base-url", variable: None, check: anything },
    Key { name: "key-file", variable: None, check: anything },
    Key { name: "profile", variable: None, check: parses::<Profile> },
    Key { name: "max-requests-per-second", variable: Some("MAX_REQUESTS_PER_SECOND"), check: rate },
    Key { name: "concurrency", variable: Some("CONCURRENCY"), check: at_least_one },
    Key { name: "timeout", variable: None, check: time },
    Key { name: "retries", variable: None, check: whole },
    Key { name: "deadline", variable: None, check: time },
    Key { name: "smooth", variable: None, check: yes_or_no },
    Key { name: "max-age", variable: None, check: time },
    Key { name: "max-delete", variable: None, check: parses::<Ceiling> },
    Key { name: "protect", variable: None, check: anything },
];

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
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, Value>,
}

impl Settings {
    /// Resolves all layers.
    ///
    /// # Errors
    /// A file that can't be read, an unknown key, a value of the wrong form.
    pub fn load(flags: Flags) -> Result<Self, Error> {
        let mut settings = Self::default();
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
        settings.take_environment()?;
        for (key, flag, texts) in flags {
            settings.set(&key, texts, Origin::Flag(flag))?;
        }
        Ok(settings)
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
    pub fn limits(&self, system: &str, seed: u64) -> Limits {
        let text = |name: &str| self.text(&format!("{system}.{name}"));
        let checked = "the value was checked when it was read";
        Limits {
            profile: text("profile").map_or(Profile::Balanced, |t| t.parse().expect(checked)),
            rate: text("max-requests-per-second").map(|text| text.parse().expect(checked)),
            quotas: self.quotas(system),
            concurrency: text("concurrency").map(|text| text.parse().expect(checked)),
            timeout: self.duration(system, "timeout"),
            retries: text("retries").map_or(0, |text| text.parse().expect(checked)),
            deadline: self.duration(system, "deadline"),
            smooth: text("smooth") == Some("true"),
            seed,
        }
    }

    /// A duration of a system's table; the defaults have all of them.
    #[must_use]
    pub fn duration(&self, system: &str, name: &str) -> Duration {
        let text = self.text(&format!("{system}.{name}")).unwrap_or_default();
        parse_duration(text).expect("the value was checked when it was read")
    }

    /// The ceiling on deletions, if there is one.
    #[must_use]
    pub fn ceiling(&self, system: &str) -> Option<Ceiling> {
        self.text(&format!("{system}.max-delete"))?.parse().ok()
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

    fn take_environment(&mut self) -> Result<(), Error> {
        for key in PROGRAM_KEYS {
            if let Some((variable, text)) = key.variable.and_then(variable) {
                self.set(key.name, vec![text], Origin::Environment(variable))?;
            }
        }
        for connector in CONNECTORS {
            for key in SYSTEM_KEYS {
                if let Some((variable, text)) = key.variable.and_then(variable) {
                    let name = format!("{}.{}", connector.name, key.name);
                    self.set(&name, vec![text], Origin::Environment(variable))?;
                }
            }
            if let Some((variable, text)) = variable(connector.base_url_variable) {
                let name = format!("{}.base-url", connector.name);
                self.set(&name, vec![text], Origin::Environment(variable))?;
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
        let check = check_of(key).ok_or_else(|| unknown(key, &origin))?;
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

fn variable(name: &'static str) -> Option<(&'static str, String)> {
    env::var(name).ok().filter(|text| !text.is_empty()).map(|text| (name, text))
}

fn user_file() -> Option<PathBuf> {
    let config = env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || Some(Path::new(&env::var_os("HOME")?).join(".config"));
    Some(config.or_else(home)?.join("windlass/config.toml"))
}

/// The check of a key that exists.
fn check_of(key: &str) -> Option<Check> {
    let find = |keys: &[Key], name: &str| Some(keys.iter().find(|key| key.name == name)?.check);
    let Some((system, rest)) = key.split_once('.') else { return find(PROGRAM_KEYS, key) };
    let connector = windlass_connectors::find(system)?;
    match rest.strip_prefix("quota") {
        Some("") => Some(quota_choice),
        Some(window) => window_check(connector, window),
        None => find(SYSTEM_KEYS, rest),
    }
}

fn window_check(connector: &Connector, window: &str) -> Option<Check> {
    let window = window.strip_prefix('.')?;
    let known = connector.windows.iter().any(|known| known.name == window);
    known.then_some(quota_choice_of_window)
}

fn all_keys() -> Vec<String> {
    let mut keys: Vec<String> = PROGRAM_KEYS.iter().map(|key| key.name.to_owned()).collect();
    for connector in CONNECTORS {
        let system = connector.name;
        keys.extend(SYSTEM_KEYS.iter().map(|key| format!("{system}.{}", key.name)));
        keys.extend(connector.windows.iter().map(|w| format!("{system}.quota.{}", w.name)));
    }
    keys
}

fn unknown(key: &str, origin: &Origin) -> Error {
    let keys = all_keys();
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

/// The most that may be deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ceiling {
    /// So many objects.
    Count(u64),
    /// So many of a hundred that were listed.
    Percent(f64),
}

impl Ceiling {
    /// Whether a plan with so many steps, from so many listed objects, is too large.
    #[must_use]
    pub fn is_exceeded(self, steps: u64, seen: u64) -> bool {
        match self {
            Self::Count(most) => steps > most,
            Self::Percent(most) => steps as f64 * 100.0 > most * seen as f64,
        }
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(out, "{count}"),
            Self::Percent(percent) => write!(out, "{percent}%"),
        }
    }
}

impl FromStr for Ceiling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a number nor a share such as 10%");
        match text.strip_suffix('%') {
            Some(percent) => match percent.trim().parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.replace([',', '_'], "").parse().map(Self::Count).map_err(|_| wrong()),
        }
    }
}

/// Reads a time as people write it: `250ms`, `30s`, `15m`, `24h`, `7d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; write 250ms, 30s, 15m, 24h or 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

fn anything(_text: &str) -> Result<(), String> {
    Ok(())
}

fn parses<T: FromStr<Err = String>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ())
}

fn output(text: &str) -> Result<(), String> {
    match text {
        "text" | "json" => Ok(()),
        _ => Err(format!("`{text}` is neither text nor json")),
    }
}

fn time(text: &str) -> Result<(), String> {
    match parse_duration(text) {
        Ok(time) if time.is_zero() => Err(format!("`{text}` leaves no time at all")),
        other => other.map(|_| ()),
    }
}

fn rate(text: &str) -> Result<(), String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(()),
        _ => Err(format!("`{text}` is not a rate; write requests a second, such as 40 or 0.5")),
    }
}

fn whole(text: &str) -> Result<(), String> {
    text.parse::<u32>().map(|_| ()).map_err(|_| format!("`{text}` is not a whole number"))
}

fn at_least_one(text: &str) -> Result<(), String> {
    match text.parse::<u32>() {
        Ok(1..=10_000) => Ok(()),
        _ => Err(format!("`{text}` is not a number from 1 to 10,000")),
    }
}

fn yes_or_no(text: &str) -> Result<(), String> {
    match text {
        "true" | "false" => Ok(()),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn quota_choice(text: &str) -> Result<(), String> {
    text.parse::<QuotaChoice>().map(|_| ())
}

fn quota_choice_of_window(text: &str) -> Result<(), String> {
    quota_choice(&format!("window={text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(toml: &str) -> Result<Settings, Error> {
        let mut settings = Settings::default();
        settings.take_toml(DEFAULTS, &Origin::Default)?;
        settings.take_toml(toml, &Origin::File("windlass.toml".into()))?;
        Ok(settings)
    }

    #[test]
    fn the_defaults_are_whole() {
        let settings = with("").unwrap();
        let limits = settings.limits("workos", 1);
        assert_eq!(limits.profile, Profile::Balanced);
        assert_eq!((limits.retries, limits.timeout), (5, Duration::from_secs(30)));
        for connector in CONNECTORS {
            let key = format!("{}.base-url", connector.name);
            assert_eq!(settings.text(&key), Some(connector.base_url));
        }
    }

    #[test]
    fn every_commented_default_is_a_known_key() {
        let uncommented: String = DEFAULTS
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let settings = with(&uncommented).unwrap();
        for key in ["workos.concurrency", "workos.quota.user-write", "workos.max-delete"] {
            assert!(settings.get(key).is_some(), "{key}");
        }
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = with("[workos]\nretrys = 3\n").unwrap_err().to_string();
        assert!(error.contains("workos.retrys") && error.contains("`workos.retries`"), "{error}");
        let error = with("[workos.quota]\nuser-writes = \"1/1s\"\n").unwrap_err().to_string();
        assert!(error.contains("`workos.quota.user-write`"), "{error}");
    }

    #[test]
    fn a_wrong_value_names_its_origin() {
        for (toml, word) in [
            ("[workos]\ntimeout = \"soon\"\n", "not a time"),
            ("[workos]\ntimeout = \"0s\"\n", "no time at all"),
            ("[workos]\nretries = -1\n", "whole number"),
            ("[workos]\nprofile = \"brisk\"\n", "conservative, balanced"),
            ("[workos.quota]\nuser-write = \"many\"\n", "many"),
            ("[workos]\nmax-delete = \"110%\"\n", "neither a number"),
            ("output = \"xml\"\n", "neither text nor json"),
        ] {
            let error = with(toml).unwrap_err().to_string();
            assert!(error.contains("windlass.toml") && error.contains(word), "{error}");
        }
        assert!(with("output = ").is_err());
    }

    #[test]
    fn ceilings_are_counts_or_shares() {
        let ceiling = |text: &str| text.parse::<Ceiling>().unwrap();
        assert!(ceiling("10").is_exceeded(11, 1000) && !ceiling("10").is_exceeded(10, 10));
        assert!(ceiling("10%").is_exceeded(11, 100) && !ceiling("10%").is_exceeded(10, 100));
        assert!(ceiling("0").is_exceeded(1, 1) && !ceiling("0%").is_exceeded(0, 5));
    }

    #[test]
    fn quotas_of_flags_come_after_those_of_files() {
        let mut settings = with("[workos.quota]\nuser-write = \"unlimited\"\n").unwrap();
        let flags = vec!["user-write=1/1s".to_owned()];
        settings.set("workos.quota", flags, Origin::Flag("quota")).unwrap();
        let last = settings.limits("workos", 1).quotas.pop().unwrap();
        assert_eq!(last.quota.unwrap().to_string(), "1/1s");
    }
}
