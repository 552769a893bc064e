//! Whether a new price map may replace the one in use. A fetch that brought half a file, an error
//! page or another project's JSON must not make every model unknown.

use super::PriceError;
use super::table::Table;

/// A larger file is no price map; LiteLLM's had 3.2 MB in November 2026.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// A map with less than half of the bundled models is taken for a broken one, as LiteLLM does.
const SHRINK_MAX: usize = 2;
/// A map that knows none of these is of something else.
const WELL_KNOWN: [&str; 4] = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-pro"];

/// What a new price map brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refreshed {
    /// How many models it has.
    pub models: usize,
    /// How many models the map before it had.
    pub models_before: usize,
    /// What stamps rows from now on.
    pub hash: String,
    /// Whether any price is another than before.
    pub is_changed: bool,
}

/// Reads a map and compares it with the bundled one.
pub(super) fn read(json: &[u8], bundled: &Table) -> Result<Table, PriceError> {
    let refuse = |problem: String| Err(PriceError::Refused(problem));
    if json.len() > BYTES_MAX {
        return refuse(format!("it has more than {BYTES_MAX} bytes"));
    }
    let table = Table::parse(json).map_err(|error| PriceError::Refused(error.to_string()))?;
    if table.len() == 0 {
        return refuse("it has no models".to_owned());
    }
    if table.len() < bundled.len() / SHRINK_MAX {
        let (new, old) = (table.len(), bundled.len());
        return refuse(format!("it has only {new} models, the built-in one has {old}"));
    }
    let is_priced = |name: &&&str| table.exact(name).is_some_and(|entry| !entry.fields.is_empty());
    if WELL_KNOWN.iter().find(is_priced).is_none() {
        return refuse(format!("it has prices for none of {}", WELL_KNOWN.join(", ")));
    }
    Ok(table)
}
