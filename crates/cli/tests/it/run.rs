//! Runs from their beginning to their end: rates and concurrency as the remote sees them, what
//! stands on stdout and stderr, failures, settings and their origins.

use crate::support::{Home, KEY, Remote, keys, redacted, settled};
use expect_test::expect;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const DAY: &[&str] = &["workos", "delete", "2005-12-17", "--users-only", "--yes"];

/// So many users of one day, and no limit but our own.
fn users(count: u32, flags: &[&str]) -> Remote {
    let count = count.to_string();
    let world = ["--orgs", "0", "--users", &count, "--all-on", "2005-12-17", "--no-limits"];
    Remote::start(&[&world, flags].concat())
}

fn most_in_a_second(remote: &Remote) -> usize {
    remote.sim.ledger().most_in_window(SECOND, |_| true)
}

#[test]
fn max_requests_per_second_is_a_ceiling_by_flag_and_by_variable() {
    let unlimited = [DAY, &["--quota", "unlimited"]].concat();
    let (home, remote) = (Home::new(), users(60, &["--latency", "1ms..30ms"]));
    home.at(&remote, &unlimited).env("MAX_REQUESTS_PER_SECOND", "25").run().code(0);
    assert_eq!(remote.deletes(), 60);
    assert!(most_in_a_second(&remote) <= 25, "{}", most_in_a_second(&remote));

    let (home, remote) = (Home::new(), users(60, &["--latency", "1ms..30ms"]));
    let words = [&unlimited[..], &["--max-requests-per-second", "30"]].concat();
    home.at(&remote, &words).env("MAX_REQUESTS_PER_SECOND", "5000").run().code(0);
    let most = most_in_a_second(&remote);
    assert!((20..=30).contains(&most), "{most}: the flag wins, and is made use of");
}

#[test]
fn concurrency_bounds_the_wire_by_flag_and_by_variable() {
    let unlimited = [DAY, &["--quota", "unlimited"]].concat();
    let (home, remote) = (Home::new(), users(60, &["--latency", "40ms"]));
    home.at(&remote, &unlimited).env("CONCURRENCY", "3").run().code(0);
    assert_eq!(remote.most_at_once(), 3);

    let (home, remote) = (Home::new(), users(60, &["--latency", "40ms"]));
    let words = [&unlimited[..], &["--concurrency", "7"]].concat();
    home.at(&remote, &words).env("CONCURRENCY", "3").run().code(0);
    assert_eq!(remote.most_at_once(), 7);
}

#[test]
fn the_documented_limits_are_met_without_a_single_429() {
    let home = Home::new();
    let world = ["--orgs", "60", "--users", "550", "--all-on", "2005-12-17", "--strict"];
    let remote = Remote::start(&[&world[..], &["--latency", "5ms..60ms"]].concat());
    let words = ["workos", "delete", "2005-12-17", "--users", "--yes", "--profile", "maximum"];
    // 60 organizations take more than a minute; 50 of them and all users are enough to see.
    let mut running = home.at(&remote, &words).spawn();
    remote.wait_for_deletes(50 + 501);
    running.signal("INT");
    assert!(running.is_running());
    running.wait().code(4);
    assert_eq!(remote.sim.ledger().too_many(), 0);
    let users = |entry: &windlass_sim::Entry<'_>| {
        entry.method == "DELETE" && entry.folder.contains("users")
    };
    let most = remote.sim.ledger().most_in_window(10 * SECOND, users);
    assert_eq!(most, 500, "all of the window is used, and no more");
}

#[test]
fn json_is_lines_that_begin_with_the_run_and_end_with_the_report() {
    let (home, remote) = (Home::new(), users(120, &[]));
    let plan = [&DAY[..4], &["--plan-out", "p.jsonl"]].concat();
    home.at(&remote, &plan).run().code(0);
    let words = ["apply", "p.jsonl", "--yes", "--output", "json"];
    let ended = home.at(&remote, &words).run().code(0);
    assert!(ended.err.is_empty(), "stderr is for people: {}", ended.err);
    let lines = ended.json();
    assert_eq!(lines[0]["event"], "run_started");
    assert_eq!((&lines[0]["version"], &lines[0]["steps"]), (&1.into(), &120.into()));
    let report = ended.report();
    assert_eq!((&report["outcomes"]["done"], &report["left"]), (&120.into(), &0.into()));
    let steps = lines.iter().filter(|line| line["event"] == "settled");
    assert_eq!(steps.map(|line| line["steps"].as_array().unwrap().len()).sum::<usize>(), 120);
    assert_eq!(lines[lines.len() - 2]["event"], "run_ended");
    assert!(!ended.out.contains(KEY));
}

#[test]
fn json_of_a_whole_job_has_the_listing_first() {
    let (home, remote) = (Home::new(), users(120, &[]));
    let ended = home.at(&remote, &[DAY, &["--output", "json"]].concat()).run().code(0);
    let lines = ended.json();
    let names: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["page", "page", "run_started"]);
    assert_eq!(names.last(), Some(&"report"));
    let words = [&DAY[..4], &["-n", "--output", "json"]].concat();
    let ended = home.at(&remote, &words).run().code(0);
    assert_eq!(ended.json().last().unwrap()["event"], "planned");
}

#[test]
fn stdout_holds_only_data_and_a_log_has_no_control_characters() {
    let (home, remote) = (Home::new(), users(30, &[]));
    let ended = home.at(&remote, DAY).run().code(0);
    assert!(ended.out.contains("DELETION SUMMARY") && !ended.out.contains("Listing"));
    assert!(ended.err.contains("Listing users") && !ended.err.contains("SUMMARY"));
    let control = |text: &str| text.chars().any(|letter| letter.is_control() && letter != '\n');
    assert!(!control(&ended.out) && !control(&ended.err));
    let quiet = home.at(&remote, &[DAY, &["--quiet"]].concat()).run().code(0);
    assert_eq!(quiet.err, "\nThere is nothing to do.\n");
}

#[test]
fn debug_tells_pages_requests_and_rate_limits() {
    let home = Home::new();
    let world = ["--orgs", "0", "--users", "60", "--all-on", "2005-12-17"];
    let limits = ["--limit", "authkit-write=40/1s", "--limit", "all=unlimited"];
    let remote = Remote::start(&[&world[..], &limits].concat());
    let words = [DAY, &["--debug", "--quota", "unlimited"]].concat();
    let ended = home.at(&remote, &words).run().code(0);
    for words in [
        "page 1 of users: 60 seen, 60 match so far",
        ", request req_",
        "status 204",
        "429 for `delete user`: waiting",
        "the remote said so",
    ] {
        assert!(ended.err.contains(words), "{words} is missing:\n{}", ended.err);
    }
    assert!(remote.sim.ledger().too_many() > 0);
    assert!(!ended.err.contains(KEY));
    let plain = home.at(&remote, DAY).run().code(0);
    assert!(!plain.err.contains("req_"));
}

#[test]
fn failures_are_named_and_can_be_tried_again() {
    let (home, remote) = (Home::new(), users(100, &["--undeletable-users", "0.2"]));
    let ended = home.at(&remote, DAY).run().code(3);
    let failed = 100 - remote.deleted().len();
    assert!(failed > 10, "{failed}");
    let rows: Vec<&str> = ended.out.lines().filter(|line| line.contains(" - Error: ")).collect();
    assert_eq!(rows.len(), 10, "{}", ended.out);
    let first = redacted(rows[0].trim_start());
    let (_, error) = first.split_once(" - ").unwrap();
    let refused = "Error: This user cannot be deleted. (status 409, user_deletion_not_allowed)";
    assert_eq!(error, format!("{refused} [request REQUEST]"));
    let more = format!("... and {} more in the journal", failed - 10);
    assert!(ended.out.contains(&more), "{}", ended.out);
    assert!(ended.err.contains("--retry-failed` tries the failed again"), "{}", ended.err);
    // They fail again: only they are asked for once more.
    let asked = remote.deletes();
    home.at(&remote, &["resume", &home.run()]).run().code(3);
    assert_eq!(remote.deletes(), asked, "without the flag nothing is left to do");
    home.at(&remote, &["resume", "--retry-failed"]).run().code(3);
    assert_eq!(remote.deletes(), asked + failed);
}

#[test]
fn what_failed_succeeds_when_it_is_tried_again() {
    let (home, remote) = (Home::new(), users(40, &[]));
    remote.door(|request| {
        let body = r#"{"code":"user_deletion_not_allowed","message":"Not now."}"#;
        let odd = request.uri().path().ends_with(['1', '3', 'A', 'Z']);
        (request.method() == "DELETE" && odd)
            .then(|| crate::support::answer(409, "application/json", body))
    });
    home.at(&remote, DAY).run().code(3);
    assert!(remote.deleted().len() < 40);
    remote.no_door();
    let ended = home.at(&remote, &["resume", "--retry-failed"]).run().code(0);
    assert!(ended.out.contains("Successfully deleted:  40"), "{}", ended.out);
    assert_eq!((remote.deleted().len(), remote.deletes()), (40, 40));
}

#[test]
fn what_somebody_else_deleted_is_already_gone() {
    let (home, remote) = (Home::new(), users(20, &[]));
    home.at(&remote, &[&DAY[..4], &["--plan-out", "p.jsonl"]].concat()).run().code(0);
    let kind = windlass_connectors::workos::sim::Kind::User;
    for id in &keys(&home.work().join("p.jsonl"))[..3] {
        assert!(remote.sim.delete_by_someone_else(kind, id));
    }
    let ended = home.at(&remote, &["apply", "p.jsonl", "--yes"]).run().code(0);
    assert!(ended.out.contains("= Already gone:          3"), "{}", ended.out);
}

#[test]
fn resets_errors_and_slow_answers_are_survived() {
    let faults = ["--reset-before", "0.05", "--reset-after", "0.05", "--error-rate", "0.05"];
    let more = ["--truncate-rate", "0.02", "--latency", "1ms..10ms", "--seed", "3"];
    let (home, remote) = (Home::new(), users(150, &[&faults[..], &more].concat()));
    let ended = home.at(&remote, DAY).run().code(0);
    assert_eq!(remote.deleted().len(), 150);
    assert!(ended.out.contains("had lost answers and were found done"), "{}", ended.out);
}

#[test]
fn a_report_is_one_page_that_stands_alone() {
    let (home, remote) = (Home::new(), users(30, &["--latency", "5ms"]));
    home.at(&remote, DAY).run().code(0);
    let ended = home.windlass(&["report", "--html", "r.html"]).run().code(0);
    assert!(ended.out.is_empty() && ended.err.contains("the report is in r.html"));
    let page = std::fs::read_to_string(home.work().join("r.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg"));
    for word in ["<script", "src=", "@import", "url(", "<link", "https://"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(!page.contains(KEY));
    let text = home.windlass(&["report", &home.run()]).run().code(0);
    assert!(text.out.contains("DELETION SUMMARY"));
    let json = home.windlass(&["report", "--output", "json"]).run().code(0);
    assert_eq!(json.report()["run"], home.run());
}

#[test]
fn no_secret_is_kept_anywhere() {
    let (home, remote) = (Home::new(), users(10, &[]));
    let key_file = home.write("key", format!("{KEY}\n"));
    home.write("work/windlass.toml", format!("[workos]\nkey-file = {:?}\n", key_file));
    let program = home.windlass(DAY).env("WORKOS_BASE_URL", &remote.url);
    let ended = program.run().code(0);
    let plan = std::fs::read_to_string(home.of_run("plan.jsonl")).unwrap();
    let journal = std::fs::read_to_string(home.of_run("journal")).unwrap();
    for text in [&ended.out, &ended.err, &plan, &journal] {
        assert!(!text.contains(KEY));
    }
    assert_eq!(settled(&home.of_run("journal")).len(), 10);
}

#[test]
fn a_reader_that_goes_away_does_not_hurt_the_run() {
    for json in [false, true] {
        let (home, remote) = (Home::new(), users(200, &["--latency", "5ms..20ms"]));
        let words = if json { [DAY, &["--output", "json"]].concat() } else { DAY.to_vec() };
        let words = [&words[..], &["--debug", "--concurrency", "10"]].concat();
        let mut command = home.at(&remote, &words).command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        if json {
            BufReader::new(out).read_line(&mut first).unwrap();
            drop(err);
        } else {
            BufReader::new(err).read_line(&mut first).unwrap();
            drop(out);
        }
        assert!(!first.is_empty());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!((remote.deleted().len(), remote.deletes()), (200, 200));
    }
}

#[test]
fn settings_come_from_five_layers_and_say_which() {
    let home = Home::new();
    let user = "[workos]\nretries = 7\ntimeout = \"9s\"\nconcurrency = 9\n";
    home.write(".config/windlass/config.toml", user);
    home.write("work/windlass.toml", "[workos]\ntimeout = \"11s\"\nconcurrency = 11\n");
    let program = home.windlass(&["config", "show", "--output", "text"]);
    let ended = program.env("CONCURRENCY", "13").run().code(0);
    expect![[r#"
        cloudflare.base-url      https://api.cloudflare.com/client/v4  default
        cloudflare.concurrency   13                                    environment CONCURRENCY
        cloudflare.cpu-limit     100%                                  environment CPU_THROTTLE
        cloudflare.deadline      15m                                   default
        cloudflare.max-age       24h                                   default
        cloudflare.memory-limit  80%                                   default
        cloudflare.profile       maximum                               default
        cloudflare.purge-plan    free                                  default
        cloudflare.reserve       5%                                    default
        cloudflare.retries       5                                     default
        cloudflare.smooth        false                                 default
        cloudflare.timeout       60s                                   default
        mongo.concurrency        13                                    environment CONCURRENCY
        mongo.cpu-limit          100%                                  environment CPU_THROTTLE
        mongo.deadline           15m                                   default
        mongo.max-age            24h                                   default
        mongo.memory-limit       80%                                   default
        mongo.profile            maximum                               default
        mongo.reserve            0%                                    default
        mongo.retries            5                                     default
        mongo.smooth             false                                 default
        mongo.timeout            30s                                   default
        output                   text                                  flag --output
        state-dir                HOME/state                 environment WINDLASS_STATE_DIR
        workos.base-url          https://api.workos.com                default
        workos.concurrency       13                                    environment CONCURRENCY
        workos.cpu-limit         100%                                  environment CPU_THROTTLE
        workos.deadline          15m                                   default
        workos.max-age           24h                                   default
        workos.memory-limit      80%                                   default
        workos.profile           balanced                              default
        workos.protect                                                 default
        workos.reserve           0%                                    default
        workos.retries           7                                     CONFIG/config.toml
        workos.smooth            false                                 default
        workos.timeout           11s                                   windlass.toml
    "#]]
    .assert_eq(
        &redacted(&ended.out)
            .replace("HOME/.config/windlass/", "CONFIG/")
            .replace("CPU_THROTTLE_ENABLED", "CPU_THROTTLE"),
    );
    let json = home.windlass(&["config", "show", "--output", "json"]).run().code(0);
    let output = json.json().into_iter().find(|row| row["key"] == "output").unwrap();
    assert_eq!((&output["value"], &output["origin"]), (&"json".into(), &"flag --output".into()));
}

#[test]
fn every_variable_is_told_with_what_it_sets() {
    let home = Home::new();
    let said = home.windlass(&["config", "variables"]).run().code(0).out;
    for line in [
        "WINDLASS_STATE_DIR            state-dir\n",
        "WORKOS_BASE_URL               workos.base-url\n",
        "CONCURRENCY                   workos.concurrency\n",
        "MAX_REQUESTS_PER_SECOND       workos.max-requests-per-second\n",
        "CLOUDFLARE_ACCOUNT_ID         cloudflare.account-id\n",
        "WORKOS_API_KEY                the key to workos\n",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let json = home.windlass(&["config", "variables", "--output", "json"]).run().code(0);
    let key = json.json().into_iter().find(|row| row["variable"] == "WORKOS_API_KEY").unwrap();
    assert_eq!(key["sets"], "the key to workos");
}

#[test]
fn a_reserve_is_left_of_the_documented_windows() {
    let remote = Remote::start(&["--orgs", "60", "--users", "0", "--all-on", "2005-12-17"]);
    let home = Home::new();
    let rate = |flags: &[&str]| {
        let words = ["workos", "delete", "2005-12-17", "--profile", "maximum", "--dry-run"];
        let ended = home.at(&remote, &[&words, flags].concat()).run().code(0);
        ended.out.lines().rfind(|line| line.contains(": about")).unwrap().trim().to_owned()
    };
    // 50 in 60 s at most; half of it is 25, of which two windows have to pass first.
    assert_eq!(rate(&[]), "60 organizations: about 1m 00s at 0.83/s");
    assert_eq!(rate(&["--reserve", "50%"]), "60 organizations: about 2m 00s at 0.42/s");
    assert_eq!(
        rate(&["--reserve", "50%", "--quota", "organization-delete=50/60s"]),
        "60 organizations: about 1m 00s at 0.83/s"
    );
}

#[test]
fn a_flag_wins_over_the_environment_over_the_project_over_the_user() {
    let home = Home::new();
    let most = |flags: &[&str], variable: Option<&str>| {
        let remote = users(40, &["--latency", "40ms"]);
        let words = [DAY, &["--quota", "unlimited"], flags].concat();
        let mut program = home.at(&remote, &words);
        if let Some(value) = variable {
            program = program.env("CONCURRENCY", value);
        }
        program.run().code(0);
        remote.most_at_once()
    };
    home.write(".config/windlass/config.toml", "[workos]\nconcurrency = 2\n");
    assert_eq!(most(&[], None), 2);
    home.write("work/windlass.toml", "[workos]\nconcurrency = 4\n");
    assert_eq!(most(&[], None), 4);
    assert_eq!(most(&[], Some("6")), 6);
    assert_eq!(most(&["--concurrency", "8"], Some("6")), 8);
}

#[test]
fn a_quota_in_a_file_is_kept() {
    let (home, remote) = (Home::new(), users(30, &[]));
    home.write("work/windlass.toml", "[workos.quota]\nuser-write = \"12/1s\"\n");
    home.at(&remote, DAY).run().code(0);
    let most = remote.sim.ledger().most_in_window(SECOND, |entry| entry.method == "DELETE");
    assert_eq!(most, 12);
}

#[test]
fn a_simulator_on_a_port_can_be_used_from_its_own_words() {
    let home = Home::new();
    let words = ["sim", "workos", "--port", "0", "--users", "20", "--orgs", "5"];
    let mut child = home.windlass(&words).command();
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let url = url.trim();
    let words = ["workos", "delete", "2005-12-10", "2005-12-31", "--users", "--yes"];
    let program = home.windlass(&words).env("WORKOS_API_KEY", KEY).env("WORKOS_BASE_URL", url);
    let ended = program.run().code(0);
    assert!(ended.out.contains("Successfully deleted:  20"), "{}", ended.out);
    crate::support::signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains(&format!("WORKOS_API_KEY={KEY} WORKOS_BASE_URL={url}")), "{said}");
}

#[test]
fn the_demo_needs_nothing_and_ends_soon() {
    let home = Home::new();
    let start = std::time::Instant::now();
    let ended = home.windlass(&["demo"]).run().code(0);
    assert!(start.elapsed() < Duration::from_secs(60));
    assert!(
        ended.out.contains("DELETION SUMMARY") && ended.out.contains("no 429"),
        "{}",
        ended.out
    );
    assert!(ended.err.contains(&format!("windlass report {}", home.run())));
}
