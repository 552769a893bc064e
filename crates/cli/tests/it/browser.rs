//! The report's page in a real browser: both charts are drawn, nothing is wrong, and nothing is
//! asked of any other machine. A page that does wrong shows that it would be noticed.
//!
//! Needs Chromium, as `chromium` or named by `WINDLASS_CHROMIUM`.

use crate::support::{Home, Remote, is_installed, skipped};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the browser made of a page.
struct Seen {
    dom: String,
    console: Vec<String>,
    /// The requests that the page made; the browser's own ones are left out.
    requests: usize,
}

fn browser() -> Option<String> {
    let named = std::env::var("WINDLASS_CHROMIUM").ok().filter(|name| !name.is_empty());
    let name = named.unwrap_or_else(|| "chromium".to_owned());
    if is_installed(&name) {
        return Some(name);
    }
    skipped("the browser: there is no chromium, and WINDLASS_CHROMIUM names none");
    None
}

fn look(browser: &str, home: &Home, page: &Path) -> Seen {
    let profile = tempfile::tempdir().unwrap();
    let log = profile.path().join("net.json");
    let mut command = Command::new(browser);
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .args(["--enable-logging=stderr", "--timeout=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!("file://{}", page.display()))
        .stderr(Stdio::piped());
    let ended = home.program(command).run().code(0);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("\"constants\""), "the browser kept no log of its requests");
    // What a file's page asks for has the initiator `null`, what the browser asks for itself none.
    let foreign = log.matches("\"initiator\":\"").count();
    let own = log.matches("\"initiator\":\"not an origin\"").count();
    let console = ended.err.lines().filter(|line| line.contains("CONSOLE"));
    Seen { console: console.map(str::to_owned).collect(), requests: foreign - own, dom: ended.out }
}

/// The points of the lines of a chart.
fn points(figure: &str) -> usize {
    let lines = figure.split("<path class=\"line ").skip(1);
    let data = lines.filter_map(|line| line.split("d=\"").nth(1)?.split('"').next());
    // The line of a key is horizontal and named by no data.
    data.filter(|data| *data != "M2 8 H30").map(|data| 1 + data.matches('L').count()).sum()
}

#[test]
fn the_report_is_drawn_and_asks_nobody() {
    let Some(browser) = browser() else { return };
    let world = ["--orgs", "0", "--users", "120", "--all-on", "2005-12-17", "--latency", "20ms"];
    let (home, remote) = (Home::new(), Remote::start(&[&world[..], &["--no-limits"]].concat()));
    let words = ["workos", "delete", "2005-12-17", "--users-only", "--yes", "--quota", "unlimited"];
    let words = [&words[..], &["--max-requests-per-second", "25"]].concat();
    home.at(&remote, &words).run().code(0);
    home.windlass(&["report", "--html", "report.html"]).run().code(0);
    let seen = look(&browser, &home, &home.work().join("report.html"));
    let figures: Vec<&str> = seen.dom.split("<figure>").skip(1).collect();
    assert_eq!(figures.len(), 2, "{}", seen.dom);
    for (figure, title) in figures.iter().zip(["Throughput", "Latency"]) {
        assert!(figure.contains(&format!("<h2>{title}</h2>")), "{figure}");
        assert!(points(figure) >= 4, "{title} has {} points: {figure}", points(figure));
        assert!(!figure.contains("NaN") && !figure.contains("inf"), "{figure}");
    }
    assert!(seen.dom.contains("<strong>120</strong>"), "{}", seen.dom);
    assert_eq!(seen.console, Vec::<String>::new());
    assert_eq!(seen.requests, 0);
}

#[test]
fn a_page_that_does_wrong_is_noticed() {
    let Some(browser) = browser() else { return };
    let home = Home::new();
    let bad = "<!DOCTYPE html><img src=\"http://127.0.0.1:9/x.png\"><script>nothing();</script>";
    let seen = look(&browser, &home, &home.write("bad.html", bad));
    assert!(seen.requests > 0);
    assert_eq!(seen.console.len(), 1);
}
