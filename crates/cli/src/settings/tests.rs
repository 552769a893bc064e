//! Layers, keys, units, credentials: what is in force, and what is refused.

use super::*;
use windlass_connectors::connector::SimulatorEntry;
use windlass_connectors::{
    Credential, OpenError, Operation, OperationKind, Secret, Setting, Variable, workos,
};

/// A system that has everything of its own that a system can have.
static STORE: Connector = Connector {
    name: "store",
    summary: "",
    base_url: "https://store.example",
    base_url_variables: &["STORE_BASE_URL", "OLD_STORE_URL"],
    credentials: &[
        Credential { variable: "STORE_TOKEN", identity: None },
        Credential { variable: "STORE_KEY", identity: Some("STORE_EMAIL") },
    ],
    other_credential: Some("STORE_TO_TOKEN"),
    windows: &[],
    full_rate: None,
    settings: &[Setting {
        name: "account-id",
        variables: &["STORE_ACCOUNT", "OLD_ACCOUNT"],
        check: |text| if text.len() == 3 { Ok(()) } else { Err(format!("`{text}` is no account")) },
    }],
    variables: &[
        Variable::new("concurrency", "STORE_CONCURRENCY"),
        Variable::seconds("timeout", "STORE_TIMEOUT"),
    ],
    commands: Vec::new,
    operations: &[Operation { path: &["store", "list"], kind: OperationKind::Query, remote: true }],
    open: |_, _, _, _| Box::pin(async { Err(OpenError::usage("", "").into()) }),
    guards: || clap::Command::new("guards"),
    reopen: |_, _, _| Err(OpenError::usage("", "")),
    simulator: SimulatorEntry {
        command: || clap::Command::new("store"),
        start: |_, _| Box::pin(async { Err(String::new()) }),
    },
};

static STORES: &[&Connector] = &[&STORE];

const STORE_DEFAULTS: &str = "[store]\nbase-url = \"https://store.example\"\ntimeout = \"60s\"\n\
    cpu-limit = \"85%\"\nmemory-limit = \"80%\"\n\
    deadline = \"15m\"\nretries = 3\nprofile = \"maximum\"\nconcurrency = 10\nreserve = \"5%\"\n";

/// The settings of the store under this file and these variables.
fn store(toml: &str, variables: &[(&str, &str)]) -> Result<Settings, Error> {
    let mut settings = Settings::none(STORES);
    settings.take_toml(STORE_DEFAULTS, &Origin::Default)?;
    settings.take_toml(toml, &Origin::File("windlass.toml".into()))?;
    settings.take_environment(among(variables))?;
    Ok(settings)
}

/// An environment of these variables.
fn among(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let found = variables.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    }
}

fn with(toml: &str) -> Result<Settings, Error> {
    let mut settings = Settings::none(CONNECTORS);
    settings.take_toml(DEFAULTS, &Origin::Default)?;
    settings.take_toml(toml, &Origin::File("windlass.toml".into()))?;
    Ok(settings)
}

#[test]
fn the_defaults_are_whole() {
    let settings = with("").unwrap();
    let limits = settings.limits(&workos::CONNECTOR, 1);
    assert_eq!(limits.profile, Profile::Balanced);
    assert_eq!((limits.retries, limits.timeout), (5, Duration::from_secs(30)));
    assert_eq!((limits.reserve, limits.full_rate), (0.0, Some(50.0)));
    for connector in CONNECTORS {
        let key = format!("{}.base-url", connector.name);
        let base_url = connector.has_base_url().then_some(connector.base_url);
        assert_eq!(settings.text(&key), base_url);
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
    for key in keys::all(CONNECTORS) {
        assert!(settings.get(&key).is_some(), "{key} is not told of in the defaults");
    }
}

#[test]
fn a_system_has_settings_of_its_own() {
    let own = |settings: Settings| settings.own(&STORE).get("account-id").cloned();
    assert_eq!(own(store("", &[]).unwrap()), None);
    let file = "[store]\naccount-id = \"abc\"\n";
    assert_eq!(own(store(file, &[]).unwrap()).as_deref(), Some("abc"));
    let variables = [("OLD_ACCOUNT", "old"), ("STORE_ACCOUNT", "new")];
    assert_eq!(own(store(file, &variables[..1]).unwrap()).as_deref(), Some("old"));
    let settings = store(file, &variables).unwrap();
    assert_eq!(settings.get("store.account-id").unwrap().origin.to_string(), {
        "environment STORE_ACCOUNT"
    });
    assert_eq!(own(settings).as_deref(), Some("new"));
    let error = store("", &[("STORE_ACCOUNT", "none")]).unwrap_err().to_string();
    assert_eq!(
        error,
        "error: `store.account-id` from environment STORE_ACCOUNT: `none` is no account"
    );
    let error = store("[store]\naccount = \"abc\"\n", &[]).unwrap_err().to_string();
    assert!(error.contains("`store.account-id`"), "{error}");
}

#[test]
fn a_system_s_variables_go_before_those_of_all_and_have_their_units() {
    let limits = |variables: &[(&str, &str)]| store("", variables).unwrap().limits(&STORE, 1);
    let defaults = limits(&[]);
    assert_eq!((defaults.profile, defaults.concurrency()), (Profile::Maximum, 10));
    assert_eq!((defaults.reserve, defaults.reserved(1200)), (0.05, 60));
    assert_eq!(limits(&[("CONCURRENCY", "20")]).concurrency(), 20);
    let both = [("STORE_CONCURRENCY", "30"), ("CONCURRENCY", "20")];
    assert_eq!(limits(&both).concurrency(), 30);
    for (text, seconds) in [("90", 90.0), ("1.5", 1.5), ("2m", 120.0), (" 7 ", 7.0)] {
        let timeout = limits(&[("STORE_TIMEOUT", text)]).timeout;
        assert_eq!(timeout, Duration::from_secs_f64(seconds), "{text}");
    }
    for text in ["soon", "0", "-1"] {
        assert!(store("", &[("STORE_TIMEOUT", text)]).is_err(), "{text}");
    }
    let slow = limits(&[("MAX_REQUESTS_PER_SECOND", "4")]);
    assert_eq!((slow.rate, slow.share()), (Some(4.0), 1.0), "a ceiling and nothing else");
}

#[test]
fn the_first_base_url_that_is_set_wins() {
    let place = |variables: &[(&str, &str)]| {
        store("", variables).unwrap().text("store.base-url").unwrap().to_owned()
    };
    assert_eq!(place(&[]), "https://store.example");
    assert_eq!(place(&[("OLD_STORE_URL", "https://old")]), "https://old");
    let both = [("OLD_STORE_URL", "https://old"), ("STORE_BASE_URL", "https://new")];
    assert_eq!(place(&both), "https://new");
}

#[test]
fn a_system_without_a_base_url_has_no_setting_for_one() {
    static DATABASE: Connector = Connector { name: "database", base_url: "", ..STORE };
    static SYSTEMS: &[&Connector] = &[&DATABASE, &STORE];
    let mut settings = Settings::none(SYSTEMS);
    let text = "[database]\nbase-url = \"https://example.com\"\n";
    let error = settings.take_toml(text, &Origin::Default).unwrap_err().to_string();
    assert!(error.contains("there is no setting `database.base-url`"), "{error}");
    let keys = keys::all(SYSTEMS);
    assert!(!keys.contains(&"database.base-url".to_owned()), "{keys:?}");
    assert!(keys.contains(&"store.base-url".to_owned()), "{keys:?}");
    assert!(keys.contains(&"database.timeout".to_owned()), "{keys:?}");
}

#[test]
fn the_machine_s_limits_have_variables_with_units_of_their_own() {
    let cpu = |variables: &[(&str, &str)]| store("", variables).unwrap().cpu_limit("store");
    assert_eq!(cpu(&[]), Some(0.85));
    assert_eq!(cpu(&[("CPU_USAGE_THRESHOLD", "70")]), Some(0.70));
    assert_eq!(cpu(&[("CPU_USAGE_THRESHOLD", "100")]), None);
    assert_eq!(cpu(&[("CPU_THROTTLE_ENABLED", "true")]), Some(0.85));
    let both = [("CPU_USAGE_THRESHOLD", "70"), ("CPU_THROTTLE_ENABLED", "true")];
    assert_eq!(cpu(&both), Some(0.70), "a switch that is on says nothing about the limit");
    assert_eq!(cpu(&[("CPU_USAGE_THRESHOLD", "70"), ("CPU_THROTTLE_ENABLED", "false")]), None);
    let memory = |variables: &[(&str, &str)]| {
        store("", variables).unwrap().memory_limit("store").bytes(1_000_000)
    };
    assert_eq!(memory(&[]), 800_000);
    assert_eq!(memory(&[("MEMORY_LIMIT_MB", "2")]), 2 * 1024 * 1024);
    for (variable, text, word) in [
        ("CPU_USAGE_THRESHOLD", "0", "is not a limit"),
        ("CPU_USAGE_THRESHOLD", "101", "is not a limit"),
        ("CPU_USAGE_THRESHOLD", "nan", "is not a limit"),
        ("CPU_THROTTLE_ENABLED", "perhaps", "is not a limit"),
        ("MEMORY_LIMIT_MB", "0", "is no amount of memory"),
        ("MEMORY_LIMIT_MB", "-1", "is no amount of memory"),
        ("MEMORY_LIMIT_MB", "99999999999999999999", "is no amount of memory"),
    ] {
        let error = store("", &[(variable, text)]).unwrap_err().to_string();
        assert!(error.contains(word) && error.contains(variable), "{text}: {error}");
    }
    for (text, expected) in [
        ("80%", Ok(MemoryLimit::Share(0.8))),
        ("100 %", Ok(MemoryLimit::Share(1.0))),
        ("1 MB", Ok(MemoryLimit::Bytes(1024 * 1024))),
    ] {
        assert_eq!(text.parse(), expected);
    }
    for text in ["", "80", "0%", "101%", "1.5MB", "2GB", "%", "MB"] {
        assert!(text.parse::<MemoryLimit>().is_err(), "{text}");
    }
}

#[test]
fn a_reserve_leaves_something() {
    for (text, share) in [("5%", 0.05), ("0", 0.0), ("0%", 0.0), ("99 %", 0.99)] {
        let settings = store(&format!("[store]\nreserve = \"{text}\"\n"), &[]).unwrap();
        assert_eq!(settings.limits(&STORE, 1).reserve, share, "{text}");
    }
    for text in ["100%", "-1%", "5", "0.05", "half", "%", "nan%"] {
        let error = store(&format!("[store]\nreserve = \"{text}\"\n"), &[]).unwrap_err();
        assert!(error.to_string().contains("is not a share"), "{text}: {error}");
    }
}

#[test]
fn the_first_credential_that_is_set_wins() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "in a file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let find = |variables: &[(&str, &str)], file| Keys::find(&STORE, file, among(variables));
    let key = |text: &str, identity: Option<&str>, other: Option<&str>| Keys {
        key: Secret::new(text),
        identity: identity.map(str::to_owned),
        other_key: other.map(Secret::new),
    };
    let pair = [("STORE_KEY", "k"), ("STORE_EMAIL", " me@example.com ")];
    let all = [&pair[..], &[("STORE_TOKEN", "t"), ("STORE_TO_TOKEN", "o")]].concat();
    assert_eq!(find(&all, Some(path)).unwrap(), key("t", None, Some("o")));
    assert_eq!(find(&pair, Some(path)).unwrap(), key("k", Some("me@example.com"), None));
    assert_eq!(find(&[], Some(path)).unwrap(), key("in a file", None, None));
    let error = find(&pair[..1], Some(path)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "error: STORE_KEY is set, but STORE_EMAIL is not\n\nhint: set STORE_EMAIL to whose key \
         STORE_KEY is"
    );
    assert_eq!(
        find(&pair[1..], None).unwrap_err().to_string(),
        "error: there is no key: neither STORE_TOKEN nor STORE_KEY is set\n\nhint: set \
         STORE_TOKEN or STORE_KEY with STORE_EMAIL in the environment, or `key-file` in the \
         settings; `windlass demo` needs none"
    );
    let error = find(&[], Some("/no/such/file")).unwrap_err().to_string();
    assert!(error.contains("the key file /no/such/file can't be read"), "{error}");
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
    let last = settings.limits(&workos::CONNECTOR, 1).quotas.pop().unwrap();
    assert_eq!(last.quota.unwrap().to_string(), "1/1s");
}
