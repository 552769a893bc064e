//! `migrate preset`: a migration file to begin with.

use crate::connector::{Answered, OpenError, Query, QueryError};
use crate::mongo::mapping::Migration;
use std::io::Write;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// A preset, or their names.
pub struct Preset {
    text: String,
}

impl Preset {
    /// The preset of this name; without a name, all names.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn new(name: Option<String>) -> Result<Self, OpenError> {
        let names = || Migration::PRESETS.join(", ");
        let text = match name {
            None => Migration::PRESETS.iter().map(|name| format!("{name}\n")).collect(),
            Some(name) => Migration::preset(&name).map(str::to_owned).ok_or_else(|| {
                OpenError::usage(
                    format!("there is no preset `{name}`"),
                    format!("there are: {}", names()),
                )
            })?,
        };
        Ok(Self { text })
    }
}

impl Query for Preset {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        Vec::new()
    }

    fn run<'a>(
        &'a mut self,
        _context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            out.write_all(self.text.as_bytes())?;
            Ok(Answered::default())
        })
    }
}
