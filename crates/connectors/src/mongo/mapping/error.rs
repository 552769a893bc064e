//! What is wrong with a migration file, and what to do about it.

/// Why a migration file can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MappingError {
    /// What is wrong, beginning with the path of the table where that helps.
    pub message: String,
    /// What the person at the terminal can do about it.
    pub hint: String,
}

impl MappingError {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// The one of the known names that the given one was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let nearest = known.into_iter().min_by_key(distance)?;
    (distance(&nearest) <= 1 + name.chars().count() / 3).then_some(nearest)
}
