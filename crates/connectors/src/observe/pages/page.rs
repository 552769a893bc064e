//! The live page: one file that stands alone. Its script and its style stand in it, allowed by
//! their hashes and nothing else, so that no name from outside can become markup that acts. The
//! figures come from `/v1/status`; who has no script gets those of the moment as plain text.

use super::findings::{self, Finding, Level};
use super::{Page, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;
use std::sync::LazyLock;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = concat!(
    include_str!("words.js"),
    include_str!("series.js"),
    include_str!("findings.js"),
    include_str!("page.js")
);

/// The page around what differs: before it and after it.
static FRAME: LazyLock<(String, String)> = LazyLock::new(|| {
    let page = HTML.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT);
    let (before, after) = page.split_once("{{plain}}").unwrap_or((&page, ""));
    (before.to_owned(), after.to_owned())
});

static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// The source expression of a policy that allows this text and nothing else.
pub(super) fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// The page.
pub(super) fn live(status: &Status) -> Page {
    let (before, after) = &*FRAME;
    let body = [before, plain(status).as_str(), after].concat();
    let mut page = Page::new(200, "text/html; charset=utf-8", body);
    page.headers.extend([
        ("content-security-policy", Cow::Borrowed(POLICY.as_str())),
        ("referrer-policy", Cow::Borrowed("no-referrer")),
        ("vary", Cow::Borrowed("accept")),
    ]);
    page
}

/// What is there to see without a script.
fn plain(status: &Status) -> String {
    let mut text = String::from("<ul>\n");
    let findings = findings::of(status);
    if findings.iter().all(|finding| finding.level == Level::Note) {
        text.push_str("<li>✓ All is well.</li>\n");
    }
    for Finding { level, what, todo } in &findings {
        let mark = match level {
            Level::Bad => "✗",
            Level::Warn => "!",
            Level::Note => "·",
        };
        // Writing to a text does not fail, here and below.
        let _ = writeln!(text, "<li>{mark} {} {}</li>", escape(what), escape(todo));
    }
    let received = status.events.received;
    let _ = writeln!(text, "<li>{received} events received since the start</li>");
    for one in &status.destinations {
        let _ = writeln!(
            text,
            "<li>{}: {} delivered, {} waiting, {} rejected, {} shed</li>",
            escape(&one.name),
            one.delivered,
            one.pending,
            one.rejected,
            one.shed
        );
    }
    text.push_str("</ul>\n");
    text
}

/// Text that means only itself in HTML, inside quoted attributes too.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control and direction characters would change how the text around them looks.
            letter if letter.is_control() => safe.push('\u{fffd}'),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}
