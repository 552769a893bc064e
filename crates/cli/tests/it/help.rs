//! What the program says of itself: help, version, completions, and words it does not know.

use crate::support::{Home, Remote};
use expect_test::expect;

const LIMITS: &[&str] = &[
    "--profile",
    "--quota",
    "--reserve",
    "--max-requests-per-second",
    "--concurrency",
    "--smooth",
    "--timeout",
    "--retries",
    "--deadline",
    "--base-url",
];
const DISPLAY: &[&str] = &["--dashboard", "--debug", "--quiet"];
const GUARDS: &[&str] = &["--protect", "--exclude-file", "--drift-check", "--max-delete", "--yes"];
const KEYS: &[&str] = &[
    "--namespace",
    "--namespace-id",
    "--account-id",
    "--prefix",
    "--pattern",
    "--search",
    "--tag-field",
    "--tag-value",
    "--where",
    "--shards",
];
const SELECTION: &[&str] = &[
    "--users",
    "--orgs",
    "--users-only",
    "--tz",
    "--older-than",
    "--newer-than",
    "--open-range",
    "--where",
    "--dry-run",
    "--plan-out",
    "--resume",
    "[alias: --force]",
];

#[test]
fn every_command_tells_its_flags() {
    let home = Home::new();
    let all = |lists: &[&[&'static str]]| lists.concat();
    let expected = [
        (vec!["workos"], vec!["delete"]),
        (vec!["workos", "delete"], all(&[SELECTION, GUARDS, LIMITS, DISPLAY])),
        (
            vec!["kv"],
            vec!["namespaces", "list", "get", "put", "delete", "export", "import", "copy"],
        ),
        (vec!["kv", "namespaces"], vec!["list", "create", "rename", "drop"]),
        (vec!["kv", "list"], all(&[KEYS, LIMITS, &["--all", "--limit", "--cursor", "--values"]])),
        (vec!["kv", "delete"], all(&[KEYS, LIMITS, DISPLAY, &["--all-keys", "--max-delete"]])),
        (vec!["kv", "export"], all(&[KEYS, LIMITS, DISPLAY, &["--file", "--format", "--resume"]])),
        (vec!["kv", "import"], all(&[LIMITS, DISPLAY, &["--expired", "--batch-size"]])),
        (vec!["kv", "purge-sync"], all(&[KEYS, LIMITS, &["--zone", "--cache-tag", "--yes"]])),
        (vec!["cache"], vec!["purge", "invalidate"]),
        (vec!["cache", "purge"], vec!["everything", "files", "tags", "hosts", "prefixes"]),
        (vec!["cache", "purge", "tags"], all(&[LIMITS, &["--tags-file", "--purge-plan", "--yes"]])),
        (vec!["zones"], vec!["list", "get"]),
        (vec!["sim", "cloudflare"], vec!["--port", "--keys", "--latency", "--limit"]),
        (vec!["apply"], all(&[GUARDS, LIMITS, DISPLAY, &["--max-age"]])),
        (vec!["resume"], all(&[LIMITS, DISPLAY, &["--retry-failed", "--new-key", "--protect"]])),
        (vec!["runs"], vec![]),
        (vec!["report"], vec!["--html"]),
        (vec!["ctl"], vec!["pause", "resume", "stop", "abort", "status", "rate"]),
        (vec!["sim"], vec!["workos"]),
        (vec!["sim", "workos"], vec!["--port", "--key", "--latency", "--limit", "--error-rate"]),
        (vec!["demo"], DISPLAY.to_vec()),
        (vec!["config"], vec!["show", "variables"]),
        (vec!["config", "show"], vec![]),
        (vec!["config", "variables"], vec![]),
        (vec!["completions"], vec!["bash", "zsh", "fish"]),
    ];
    for (words, flags) in expected {
        let help = home.windlass(&[&words[..], &["--help"]].concat()).run().code(0);
        assert!(help.err.is_empty(), "{words:?}: {}", help.err);
        for flag in flags.iter().chain(["--output", "--state-dir", "Usage: windlass"].iter()) {
            assert!(help.out.contains(flag), "{words:?} does not tell {flag}:\n{}", help.out);
        }
        let widest = help.out.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 100, "{words:?} is {widest} columns wide");
    }
}

#[test]
fn the_commands_tell_what_they_are_for() {
    let help = Home::new().windlass(&["--help"]).run().code(0);
    let commands = help.out.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: String = commands.lines().map(|line| format!("{}\n", line.trim())).collect();
    expect![[r#"
        workos       WorkOS: delete organizations and users by creation date
        kv           Workers KV: list, get, put, delete, export, import, copy, verify
        cache        Purge or invalidate the cache of zones
        zones        The zones of the account
        migrate      Migrate documents of a MongoDB into another shape
        observe      Capture LLM traces and product events, price them, judge them, forward them
        apply        Carry out a plan, exactly
        resume       Go on with a run that stopped
        runs         List the runs that are kept
        report       What a run did
        ctl          Control a run in progress from another terminal
        sim          A simulated remote on a port of this machine
        demo         A real run against a simulated WorkOS: no key, no network
        config       Settings
        completions  Completions for a shell
        help         Print this message or the help of the given subcommand(s)
    "#]]
    .assert_eq(&commands);
    let systems = Home::new().windlass(&["workos", "--help"]).run().code(0);
    assert!(!systems.out.contains("How a run is shown"), "{}", systems.out);
    assert!(help.out.contains("Exit codes: 0 all done"), "{}", help.out);
}

#[test]
fn the_version_is_the_one_of_the_package() {
    let version = Home::new().windlass(&["--version"]).run().code(0);
    assert_eq!(version.out, format!("windlass {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn what_is_not_known_ends_with_2_and_the_nearest() {
    let home = Home::new();
    for (words, nearest) in [
        (&["workos", "delete", "2005-12-17", "--dryrun"][..], "--dry-run"),
        (&["aply"], "apply"),
        (&["workos", "delet"], "delete"),
        (&["ctl", "RUN", "stpo"], "stop"),
        (&["completions", "basch"], "bash"),
        (&["sim", "workos", "--latancy", "5ms"], "--latency"),
        (&["kv", "delet"], "delete"),
        (&["kv", "list", "--namespase", "n"], "--namespace"),
        (&["cache", "purge", "fils"], "files"),
    ] {
        let ended = home.windlass(words).run().code(2);
        assert!(ended.out.is_empty(), "{words:?}: {}", ended.out);
        assert!(ended.err.starts_with("error: "), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(nearest), "{words:?}: {}", ended.err);
    }
    for words in [&[][..], &["workos"], &["kv"], &["cache", "purge"], &["sim"], &["config"]] {
        let ended = home.windlass(words).run().code(2);
        assert!(ended.out.is_empty() && ended.err.contains("Usage: windlass"), "{}", ended.err);
    }
}

#[test]
fn completions_are_data_and_need_nothing() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        // Not even a state directory: they are made while a package is built.
        let ended = home.windlass(&["completions", shell]).env("WINDLASS_STATE_DIR", "/proc/x");
        let ended = ended.run().code(0);
        assert!(ended.out.contains("max-requests-per-second"), "{shell}");
        assert!(ended.err.is_empty(), "{shell}: {}", ended.err);
    }
}

#[test]
fn help_and_settings_need_no_remote_and_change_nothing() {
    let (home, remote) = (Home::new(), Remote::start(&[]));
    for words in [&["--help"][..], &["config", "show"], &["runs"], &["workos", "delete", "--help"]]
    {
        home.at(&remote, words).run().code(0);
    }
    assert!(remote.sim.ledger().is_empty());
}
