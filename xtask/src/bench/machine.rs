//! What is known of the machine: its name for the table, and how busy others kept it.

use crate::place::{Place, output};
use std::fs;
use std::process::Command;

/// Ticks a second of the kernel's accounts; fixed for programs on Linux.
const TICKS: f64 = 100.0;

/// What a reader of the figures should know.
#[derive(Clone, Debug)]
pub struct Machine {
    date: String,
    commit: String,
    kernel: String,
}

impl Machine {
    /// Asks git and the kernel; what they do not say is left out.
    pub fn read(place: &Place) -> Self {
        let ask = |program: &str, words: &[&str]| {
            let mut command = Command::new(program);
            let said = output(command.args(words).current_dir(&place.root));
            said.map_or_else(|_| "unknown".to_owned(), |said| said.trim().to_owned())
        };
        Self {
            date: ask("date", &["-u", "+%Y-%m-%d"]),
            commit: ask("git", &["rev-parse", "--short", "HEAD"]),
            // What follows the version's numbers is a name that says nothing to others.
            kernel: ask("uname", &["-sr"]).split('-').next().unwrap_or_default().to_owned(),
        }
    }

    /// The sentences above the tables.
    pub fn describe(&self, flags: &str) -> String {
        format!(
            "Measured on {} at commit {} on {}, {} cores, by `cargo xtask bench{}{flags}`: plain \
             HTTP on loopback, simulator and client on the same cores, clients taking turns; \
             medians, with the least and the most in brackets. CPU is that of the client alone, \
             user and system. \"Others\" is the share of the machine that other programs used \
             meanwhile, at most.\n",
            self.date,
            self.commit,
            self.kernel,
            cores(),
            if flags.is_empty() { "" } else { " " },
        )
    }
}

/// How many processors there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Seconds of work of all processors since the machine started; 0 where that is not known.
pub fn busy_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines().next().map_or(0.0, busy_of)
}

/// Reads `cpu user nice system idle iowait irq softirq steal ...`.
fn busy_of(line: &str) -> f64 {
    let fields = line.split_whitespace().skip(1).take(8);
    let ticks = fields.enumerate().filter(|(index, _)| ![3, 4].contains(index));
    ticks.filter_map(|(_, field)| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Seconds of CPU that a process has used; 0 where that is not known.
pub fn cpu_of_s(process: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name of the program, in brackets, may hold anything.
    let (_, fields) = text.rsplit_once(')').unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_work() {
        assert_eq!(busy_of("cpu  100 200 300 9999 8888 1 2 3 77 77"), 6.06);
        assert_eq!(busy_of(""), 0.0);
    }
}
