//! `migrate secrets`: the new passwords or one-time tokens of a run, one JSON line each, made again
//! from the run's key. They are written nowhere else.

use super::known_run;
use crate::connector::{Answered, OpenError, Query, QueryError};
use crate::mongo::access::Access;
use crate::mongo::board::Line;
use crate::mongo::hashing::SecretKey;
use crate::mongo::mapping::PasswordMode;
use bson::doc;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;
use windlass_engine::{Failure, Kind};

/// The secrets of one run.
pub struct Secrets {
    /// The database.
    pub access: Access,
    /// The run.
    pub run: String,
    /// The run's key.
    pub key: SecretKey,
}

impl Secrets {
    async fn write(
        &self,
        context: &Context,
        out: &mut (dyn Write + Send),
    ) -> Result<u64, QueryError> {
        let known = known_run(&self.access, context, &self.run).await?;
        if known.options.secrets.as_ref() != Some(&self.key.fingerprint()) {
            let what = "this is not the key that the run's passwords were made from";
            return Err(
                OpenError::refused(what, "name the key file that the run began with").into()
            );
        }
        let mut count = 0;
        for (number, phase) in known.migration.phases.iter().enumerate() {
            let Some(password) = phase.password.as_ref().filter(|password| !password.existing)
            else {
                continue;
            };
            let filter = doc! { "run": &self.run, "phase": number as i64 };
            for range in known.board.ranges(context, filter, false).await? {
                for line in &range.lines {
                    let line: Line<'_> = serde_json::from_str(line)
                        .map_err(|error| Failure::new(Kind::Malformed, error.to_string()))?;
                    let of = [self.run.as_str(), phase.name.as_str(), &line.key];
                    let secret = match password.mode {
                        PasswordMode::Hash(_) => ("password", self.key.password(&of)),
                        PasswordMode::ResetToken => ("token", self.key.token(&of).text),
                    };
                    // A plan leaves a name out that says no more than the key.
                    let name = if line.label.is_empty() { &line.key } else { &line.label };
                    let told = json!({
                        "key": line.key, "name": name, secret.0: secret.1.reveal(),
                    });
                    writeln!(out, "{told}")?;
                    count += 1;
                }
            }
        }
        Ok(count)
    }
}

impl Query for Secrets {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let count = self.write(context, out).await?;
            Ok(Answered { notes: vec![format!("{count} secrets")], differs: false })
        })
    }
}
