//! Colour, in four meanings and no more. It never carries a meaning alone: every coloured word
//! stands beside a symbol or says the same thing itself.

use std::fmt::Display;

/// Whether and how text is coloured; by default it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// Colour where `colour` says so.
    #[must_use]
    pub const fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// Whether there is colour.
    #[must_use]
    pub const fn is_coloured(self) -> bool {
        self.colour
    }

    /// What went well.
    #[must_use]
    pub fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    /// What went wrong.
    #[must_use]
    pub fn bad(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    /// What a person should look at.
    #[must_use]
    pub fn warn(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    /// Names and hints.
    #[must_use]
    pub fn name(self, text: impl Display) -> String {
        self.paint("36", text)
    }

    /// Headings.
    #[must_use]
    pub fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}
