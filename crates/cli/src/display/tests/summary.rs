use super::{HOSTILE, header, report};
use crate::display::html::page;
use crate::display::preview::{FIRST, Object, Preview, plan_text};
use crate::display::style::Style;
use crate::display::summary::text;
use std::time::Duration;
use windlass_engine::event::Ending;
use windlass_engine::{Failure, Kind};

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
}

#[test]
fn the_summary_tells_every_outcome() {
    let text = text(&report(), Style::default());
    has(
        &text,
        &[
            "DELETION SUMMARY\n═",
            "\nOrganizations:\n  ✓ Successfully deleted:  23\n  = Already gone:          1\n  \
             ✗ Failed to delete:      15\n  - Skipped:               1\n    \
             Total processed:       40\n",
            "\nUsers:\n  ✓ Successfully deleted:  10\n",
            "  - protected:  1\n",
            "  refused by the remote:  15\n",
            "(org_20) - Error: not allowed (status 422) [request req_20]\n",
            "... and 5 more in the journal\n",
            "1 step had lost answers",
            "Execution time:  10.0s\n",
            "50 attempts, 0 retries, 1 × 429 that asked for 4.0s\n",
            "p50 41 ms, p95 41 ms, p99 41 ms\n",
            "How it ended:    ✓ complete\n",
        ],
    );
    assert!(!text.contains('\x1b') && !text.contains(HOSTILE), "{text}");
}

#[test]
fn what_is_left_and_why_it_ended_are_told() {
    let mut report = report();
    report.left = 10;
    report.in_doubt = 2;
    report.phases[1].steps = 20;
    let failure = Failure::new(Kind::Denied, "the key was refused");
    report.ending = Some(Ending::Fatal(Box::new(failure)));
    has(
        &text(&report, Style::default()),
        &[
            "  … Left to do:            10\n",
            "! 2 steps in doubt: sent, and never answered.",
            "✗ ended by: the key was refused\n",
        ],
    );
}

#[test]
fn the_share_of_the_quota_is_told_where_it_is_known() {
    let mut report = report();
    report.quota_share = Some(0.96);
    has(&text(&report, Style::default()), &["96% of what the quota allows"]);
    report.quota_share = None;
    assert!(!text(&report, Style::default()).contains("quota"));
}

fn preview() -> Preview {
    let mut preview = Preview::of(&header(5432, 0));
    let object = |number| Object {
        label: if number == 0 { HOSTILE.into() } else { format!("Acme {number}") },
        key: format!("org_{number}"),
        created: Some("2005-12-17T10:00:00.000Z".into()),
    };
    preview.phases[0].first = (0..30).map(object).collect();
    preview.phases[0].expected = Some(Duration::from_secs(6518));
    preview.phases[0].rate = Some(0.83);
    preview.options = vec![("From".into(), "2005-12-17T00:00:00Z".into())];
    preview.left[0].first = vec![Object { key: "org_x".into(), ..Object::default() }];
    preview.warnings = vec!["2 webhooks will be told of every deletion".into()];
    preview
}

#[test]
fn the_preview_shows_target_objects_and_time() {
    let text = plan_text(&preview(), Style::default());
    has(
        &text,
        &[
            "Target:   workos\nAddress:  https://api.workos.com\nAccount:  fp_12ab\n",
            "From:     2005-12-17T00:00:00Z\n",
            "\n✓ Found 5,432 organizations to delete (of 10,864 seen)\n",
            "\nOrganizations to be deleted:\n   1. Evil\u{fffd}[2J",
            "\n   2. Acme 1 (org_1) 2005-12-17T10:00:00.000Z\n",
            "\n  20. Acme 19 (org_19)",
            "\n   ... and 5,412 more\n",
            "\n= Found no users to delete\n",
            "\n- Left out: 3, unknown date\n   1. org_x\n   ... and 2 more\n",
            "\n  5,432 organizations: about 1h 48m at 0.83/s\n",
            "\n! warning: 2 webhooks will be told of every deletion\n",
        ],
    );
    assert_eq!(text.matches("(org_").count(), FIRST);
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn the_page_stands_alone_and_runs_nothing() {
    let page = page(&report());
    has(
        &page,
        &[
            "<title>workos delete · run-1</title>",
            "Evil\u{fffd}[2J &lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; (org_20)",
            "<code>req_20</code>",
            "prefers-color-scheme: dark",
            "and 5 more in the journal",
            "<path class=\"mark\"",
            "aria-label=\"Throughput over time",
            "aria-label=\"Latency over time",
        ],
    );
    let lower = page.to_lowercase();
    for foreign in ["<script", "src=", "href=", "url(", "@import", "onload", "nan", "inf "] {
        assert!(!lower.contains(foreign), "{foreign} in the page");
    }
    for tag in ["table", "section", "figure", "svg", "tr", "td", "li", "ul", "div", "span", "text"]
    {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_page_of_a_run_that_did_nothing_is_still_a_page() {
    let mut report = report();
    report.series.clear();
    report.seconds = 0.0;
    report.ending = None;
    let page = page(&report);
    assert!(page.contains("not ended") && !page.contains("<figure"), "{page}");
}
