use super::*;

/// The file of the guide, with everything that can be said.
const WHOLE: &str = r#"
listen = "0.0.0.0:4318"
folder = "state"
durability = "fire-and-forget"
drain = "10s"
threads = 2
policies = "policies.toml"
flags = "flags.json"
tracing-flag = "tracing"

[queue]
bytes = "512MiB"
when-full = "drop-by-priority"

[[projects]]
name = "shop"
public-key = "pk-lf-shop"
secret-key = { env = "SHOP_SECRET" }
write-key = { file = "write.key" }
durability = "acknowledged"

[[destinations]]
name = "langfuse"
kind = "langfuse"
url = "https://cloud.langfuse.com"
public-key = "pk-lf-1"
secret-key = { env = "LANGFUSE_SECRET_KEY" }
quota = "1000/60s"
batch-bytes = "4MiB"
linger = "250ms"

[[destinations]]
name = "lines"
kind = "jsonl"
path = "events.jsonl"
where = "is_error"
projects = ["shop"]
flag = "lines"

[[destinations]]
name = "rows"
kind = "sql"
retention = "720h"

[[masks]]
builtin = "email"

[sampling]
rate = 0.1
keep-slower-than = "1s"
keep-above-usd = "0.5"

[prices]
overrides = "prices.toml"
prefer = "stated"
"#;

#[test]
fn a_whole_file_is_read() {
    let mut settings = Settings::parse(WHOLE).unwrap();
    assert_eq!(settings.listen.to_string(), "0.0.0.0:4318");
    assert_eq!(settings.durability, Durability::FireAndForget);
    assert_eq!(settings.drain, Duration::from_secs(10));
    assert_eq!(settings.queue.bytes, 512 << 20);
    assert_eq!(settings.queue.when_full, WhenFull::DropByPriority);
    let project = &settings.projects[0];
    assert_eq!(project.durability, Some(Durability::Acknowledged));
    assert_eq!(project.secret_key, Some(SecretRef::Env("SHOP_SECRET".to_owned())));
    let langfuse = &settings.destinations[0];
    assert_eq!(langfuse.batch_bytes, Some(4 << 20));
    assert_eq!(langfuse.linger, Some(Duration::from_millis(250)));
    assert_eq!(settings.destinations[2].retention, Some(Duration::from_secs(720 * 3600)));
    assert_eq!(settings.sampling.keep_slower_than, Some(Duration::from_secs(1)));
    assert_eq!(settings.prices.prefer, Precedence::Stated);
    settings.beside(Path::new("/etc/observe"));
    assert_eq!(settings.policies.as_deref(), Some(Path::new("/etc/observe/policies.toml")));
    let lines = settings.destinations[1].path.as_deref();
    assert_eq!(lines, Some(Path::new("/etc/observe/events.jsonl")));
}

#[test]
fn nothing_said_is_a_gateway_for_this_machine() {
    let settings = Settings::parse("").unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:4318");
    assert_eq!(settings.durability, Durability::Acknowledged);
    assert_eq!((settings.sampling.rate, settings.sampling.keep_errors), (1.0, true));
}

#[test]
fn what_makes_no_sense_is_told() {
    let langfuse = "[[destinations]]\nname = \"a\"\nkind = \"langfuse\"\n";
    let url = "url = \"https://x\"\n";
    let keys = "public-key = \"p\"\nsecret-key = { env = \"S\" }\n";
    for (text, words) in [
        ("lissten = 1", "unknown field `lissten`"),
        ("drain = \"soon\"", "soon"),
        ("queue = { bytes = \"many\" }", "`many` is no size"),
        ("sampling = { rate = 1.5 }", "sampling.rate is 1.5"),
        (langfuse, "the destination a has no url"),
        (&format!("{langfuse}{url}"), "the destination a lacks a key"),
        (&format!("{langfuse}{url}{keys}compression = \"zstd\""), "can't read zstd"),
        ("[[destinations]]\nname = \"a b\"\nkind = \"sql\"", "can't be a destination's name"),
        ("[[destinations]]\nname = \"a\"\nkind = \"jsonl\"", "has no path"),
        ("[[destinations]]\nname = \"a\"\nkind = \"kafka\"", "unknown variant `kafka`"),
        (&"[[destinations]]\nname = \"a\"\nkind = \"sql\"\n".repeat(2), "two destinations"),
    ] {
        let error = Settings::parse(text).unwrap_err();
        assert!(error.message.contains(words), "{text}: {}", error.message);
        assert!(error.hint.is_some());
    }
}

#[test]
fn the_environment_names_destinations() {
    let names = |variables: &[(&str, &str)]| -> Vec<String> {
        let settings = from_environment(&Environment::of(variables));
        settings.check().unwrap();
        settings.destinations.into_iter().map(|one| one.name).collect()
    };
    assert_eq!(names(&[]), ["sql"]);
    let langfuse = [("LANGFUSE_PUBLIC_KEY", "pk"), ("LANGFUSE_SECRET_KEY", "sk")];
    assert_eq!(names(&langfuse), ["langfuse", "sql"]);
    let rudder = [("RUDDERSTACK_WRITE_KEY", "w"), ("RUDDERSTACK_DATA_PLANE_URL", "https://r")];
    assert_eq!(names(&rudder), ["rudderstack", "sql"]);
    let settings = from_environment(&Environment::of(&[("DATABASE_URL", "postgres://x")]));
    assert_eq!(settings.destinations[0].url_from, Some(SecretRef::Env("DATABASE_URL".to_owned())));
}

#[test]
fn a_secret_is_read_from_its_place() {
    let environment = Environment::of(&[("SET", " s3cret\n"), ("EMPTY", " ")]);
    let secret = SecretRef::Env("SET".to_owned()).read(&environment).unwrap();
    assert_eq!(secret.reveal(), "s3cret");
    for place in [
        SecretRef::Env("EMPTY".to_owned()),
        SecretRef::Env("UNSET".to_owned()),
        SecretRef::File("/nowhere/at/all".into()),
    ] {
        assert!(place.read(&environment).is_err(), "{place:?}");
    }
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("7", Some(7)),
        ("1kB", Some(1_000)),
        ("2 MiB", Some(2 << 20)),
        ("1GB", Some(1_000_000_000)),
    ] {
        assert_eq!(parse_bytes(text), bytes, "{text}");
    }
    for text in ["", "MB", "1.5GB", "-1", "1TB", "99999999999999999999"] {
        assert_eq!(parse_bytes(text), None, "{text}");
    }
}
