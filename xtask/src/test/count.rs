//! Sums of what test binaries print, read line by line.

use std::fmt;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Tests that ran and held.
    pub passed: usize,
    /// Tests that did not hold.
    pub failed: usize,
    /// Tests that are marked as ignored, and those that said themselves that they were skipped.
    pub skipped: usize,
    /// Of the skipped ones, those that the test binary counted as passed.
    told: usize,
}

impl Count {
    /// Takes in one line of output, such as
    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out`.
    pub fn read(&mut self, line: &str) {
        if line.starts_with("SKIPPED: ") {
            self.skipped += 1;
            self.told += 1;
        }
        let Some(figures) = line.strip_prefix("test result: ") else { return };
        for figure in figures.split([';', '.']) {
            let mut words = figure.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.skipped += number,
                _ => {}
            }
        }
    }

    /// The sum of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
            told: self.told + other.told,
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.passed.saturating_sub(self.told);
        write!(out, "{passed} passed, {} failed, {} skipped", self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Count {
        let mut count = Count::default();
        text.lines().for_each(|line| count.read(line));
        count
    }

    #[test]
    fn binaries_are_added_up() {
        let text = "running 3 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished \
            in 0.00s\n\
            test result: FAILED. 10 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out\n";
        assert_eq!(count(text).to_string(), "12 passed, 3 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_was_skipped_has_not_passed() {
        let told = count("SKIPPED: the emulator is not installed\nnot SKIPPED: here\n");
        let binary = count("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured\n");
        assert_eq!(told.plus(binary).to_string(), "4 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn other_lines_count_nothing() {
        let text = "test 5 passed\nerror: 3 failed\n   Doc-tests windlass\n";
        assert_eq!(count(text), Count::default());
    }
}
