//! The program on a terminal of its own, made by `script` of util-linux: the progress line, the
//! question, the full screen with its keys, and the terminal as it is left.

use crate::support::{Home, KEY, Remote, Running, heedful, is_installed, skipped, wait_until};
use std::io::Write;
use std::process::ChildStdin;

const DAY: &str = "workos delete 2005-12-17 --users-only --quota unlimited";
/// Clears the progress line.
const CLEAR: &str = "\r\u{1b}[K";
const ALTERNATE: &str = "\u{1b}[?1049h";
const ORDINARY: &str = "\u{1b}[?1049l";

/// A terminal of 100 columns and 30 rows with the program on it, then its exit code and the
/// terminal's state as text.
pub struct Terminal {
    keys: ChildStdin,
    running: Running,
}

impl Terminal {
    fn open(home: &Home, remote: &Remote, words: &str, colour: bool) -> Option<Self> {
        let remote = [("WORKOS_BASE_URL", &*remote.url), ("WORKOS_API_KEY", KEY)];
        let no_colour = if colour { &[][..] } else { &[("NO_COLOR", "1")] };
        Self::with(home, &[&remote, no_colour].concat(), words)
    }

    /// The program with these words and variables; none where there are no terminals.
    pub fn with(home: &Home, variables: &[(&str, &str)], words: &str) -> Option<Self> {
        if !is_installed("script") || !is_installed("stty") {
            skipped("the terminal: `script` or `stty` is not installed");
            return None;
        }
        let program = env!("CARGO_BIN_EXE_windlass");
        let line = format!(
            "stty cols 100 rows 30; '{program}' {words}; echo \"code=$?\"; stty -a; echo over"
        );
        let mut command = heedful("script");
        command.args(["-qec", &line, "/dev/null"]);
        let mut program = home.program(command).env("TERM", "xterm-256color");
        for (name, value) in variables {
            program = program.env(name, value);
        }
        let (keys, running) = program.spawn_with_stdin();
        Some(Self { keys, running })
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    pub fn wait_for(&self, words: &str) {
        wait_until(&format!("{words:?}: {}", self.running.out()), || {
            self.running.out().contains(words)
        });
    }

    /// Everything that was on the terminal, once the program has ended with this code and the
    /// terminal is as it was.
    pub fn end(self, code: i32) -> String {
        self.wait_for("\r\nover\r\n");
        let text = self.running.out();
        assert!(text.contains(&format!("code={code}\r\n")), "{text}");
        let state = text.rsplit("code=").next().unwrap();
        let modes: Vec<&str> = state.split_whitespace().collect();
        for mode in ["icanon", "echo", "isig", "icrnl", "opost"] {
            assert!(modes.contains(&mode), "{mode} is off: {state}");
        }
        drop(self.keys);
        self.running.wait();
        text
    }
}

fn users(count: u32, flags: &[&str]) -> Remote {
    let count = count.to_string();
    let world = ["--orgs", "0", "--users", &count, "--all-on", "2005-12-17", "--no-limits"];
    Remote::start(&[&world, flags].concat())
}

#[test]
fn the_progress_line_stays_one_line() {
    let (home, remote) = (Home::new(), users(150, &["--latency", "10ms"]));
    let words = format!("{DAY} --yes --max-requests-per-second 100");
    let Some(terminal) = Terminal::open(&home, &remote, &words, true) else { return };
    let text = terminal.end(0);
    let drawn: Vec<&str> = text.split(CLEAR).filter(|line| line.contains("ETA: ")).collect();
    assert!(drawn.len() > 5, "{text}");
    let colours = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    for text in &drawn {
        let line = text.rsplit('\n').next().unwrap();
        assert!(line.contains("ETA: "), "the line is left by clearing it alone: {text:?}");
        let width = colours.replace_all(line, "").chars().count();
        assert!(width < 100, "{width} columns: {line:?}");
    }
    assert!(text.contains("\u{1b}[3"), "a terminal is coloured");
    assert!(text.contains("DELETION SUMMARY"));
}

#[test]
fn no_color_is_honoured() {
    let (home, remote) = (Home::new(), users(60, &["--undeletable-users", "0.3"]));
    let words = format!("{DAY} --yes");
    let Some(terminal) = Terminal::open(&home, &remote, &words, false) else { return };
    let text = terminal.end(3);
    let coloured = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    assert!(!coloured.is_match(&text), "{text}");
    assert!(text.contains("✗ Failed to delete:"), "{text}");
}

#[test]
fn only_the_exact_count_is_a_yes() {
    for typed in ["", "y", "yes", "39", "040x", "400"] {
        let (home, remote) = (Home::new(), users(40, &[]));
        let Some(mut terminal) = Terminal::open(&home, &remote, DAY, true) else { return };
        terminal.wait_for("Type 40 to delete them: ");
        terminal.press(&format!("{typed}\r"));
        let text = terminal.end(5);
        assert!(text.contains("error: not confirmed; nothing was changed"), "{text}");
        assert!(text.contains(&format!("hint: the plan is kept: `windlass apply {}`", home.run())));
        assert_eq!(remote.deletes(), 0);
    }
    let (home, remote) = (Home::new(), users(40, &[]));
    let Some(mut terminal) = Terminal::open(&home, &remote, DAY, true) else { return };
    terminal.wait_for("Type 40 to delete them: ");
    assert_eq!(remote.deletes(), 0);
    terminal.press("40\r");
    terminal.end(0);
    assert_eq!(remote.deletes(), 40);
}

#[test]
fn an_interrupt_is_a_no() {
    let (home, remote) = (Home::new(), users(40, &[]));
    let Some(mut terminal) = Terminal::open(&home, &remote, DAY, true) else { return };
    terminal.wait_for("Type 40 to delete them: ");
    terminal.press("\u{3}");
    // The shell in between has the interrupt, too, and says nothing more.
    wait_until("the end", || !terminal.running.is_running());
    let text = terminal.running.out();
    assert!(text.contains("error: not confirmed; nothing was changed"), "{text}");
    assert_eq!(remote.deletes(), 0);
}

#[test]
fn the_dashboard_takes_keys_and_gives_the_terminal_back() {
    let (home, remote) = (Home::new(), users(400, &["--latency", "20ms"]));
    let words = format!("{DAY} --yes --dashboard --concurrency 10 --max-requests-per-second 100");
    let Some(mut terminal) = Terminal::open(&home, &remote, &words, true) else { return };
    remote.wait_for_deletes(20);
    terminal.wait_for("Throughput");
    terminal.press("p");
    let status = || {
        let words = ["ctl", &home.run(), "status", "--output", "json"];
        let ended = home.windlass(&words).run().code(0);
        serde_json::from_str::<serde_json::Value>(&ended.out).unwrap()
    };
    wait_until("a pause", || status()["paused"] == true && status()["in_flight"] == 0);
    let before = remote.deletes();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(remote.deletes(), before, "silence");
    terminal.press("p");
    remote.wait_for_deletes(before + 20);
    terminal.press("-");
    wait_until("a lower ceiling", || status()["rate"] == 80.0);
    terminal.press("q");
    let text = terminal.end(4);
    assert!(remote.deletes() < 400);
    let (start, end) = (text.find(ALTERNATE).unwrap(), text.rfind(ORDINARY).unwrap());
    assert!(start < end && text[end..].contains("DELETION SUMMARY"));
    assert_eq!(text.matches(ALTERNATE).count(), text.matches(ORDINARY).count());
    assert!(text[end..].contains("\u{1b}[?25h"), "the cursor is shown again");
    home.at(&remote, &["resume"]).run().code(0);
    assert_eq!((remote.deletes(), remote.deleted().len()), (400, 400));
}

#[test]
fn a_terminal_that_is_closed_stops_the_run_resumable() {
    // At two at a time the run takes 30 s, so that it can't end before the terminal is closed.
    let (home, remote) = (Home::new(), users(300, &["--latency", "200ms"]));
    let words = format!("{DAY} --yes --concurrency 2");
    let Some(terminal) = Terminal::open(&home, &remote, &words, true) else { return };
    remote.wait_for_deletes(10);
    terminal.running.signal("KILL");
    drop(terminal);
    let runs = || home.windlass(&["runs"]).run().code(0).out;
    wait_until("the end of the run", || runs().contains("stopped, resumable"));
    assert!(remote.deletes() < 300);
    home.at(&remote, &["resume"]).run().code(0);
    assert_eq!((remote.deletes(), remote.deleted().len()), (300, 300));
}
