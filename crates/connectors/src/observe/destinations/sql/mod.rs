//! Rows: `model_cost_logs` for what generations cost, `event_logs` for product events and scores.
//! SQLite in a file of the gateway's own, or PostgreSQL by its URL.
//!
//! A batch is one transaction. A copy of an event that is there already changes nothing: its id is
//! the key, so that sending again after a lost answer is safe.
//!
//! - `rows`: from events to rows; `postgres`, `sqlite`: how rows get in

mod postgres;
mod rows;
mod sqlite;
#[cfg(test)]
mod tests;

use super::{Pending, Sent};
use crate::connector::OpenError;
use postgres::Postgres;
use rows::Rows;
use sqlite::Sqlite;
use std::path::Path;
use std::time::Duration;
use windlass_engine::{Failure, Kind};

/// How often old rows are taken away.
const RETENTION_EVERY: Duration = Duration::from_secs(10 * 60);
/// Rows in one transaction of that, so that nobody waits long for a lock.
const RETENTION_ROWS: i64 = 10_000;

/// A database with the two tables.
pub(in crate::observe) struct Sql {
    store: Store,
    retention: Option<Duration>,
    cleaned: tokio::sync::Mutex<Option<tokio::time::Instant>>,
}

enum Store {
    Postgres(Postgres),
    Sqlite(Sqlite),
}

impl Sql {
    /// Opens the database and brings its tables up to date.
    ///
    /// # Errors
    /// When it can't be reached, or says no.
    pub(in crate::observe) async fn open(
        url: Option<&str>,
        folder: &Path,
        retention: Option<Duration>,
    ) -> Result<Self, OpenError> {
        let store = match url {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Postgres::open(url).await.map(Store::Postgres)
            }
            Some(url) if url.starts_with("sqlite:") => {
                Sqlite::open(Path::new(url.trim_start_matches("sqlite:").trim_start_matches("//")))
                    .await
                    .map(Store::Sqlite)
            }
            Some(_) => {
                return Err(OpenError::usage(
                    "the url of a database is neither postgres://... nor sqlite:PATH",
                    "without a url, rows go to a SQLite file in the gateway's folder",
                ));
            }
            None => Sqlite::open(&folder.join("observe.db")).await.map(Store::Sqlite),
        };
        let store = store.map_err(|error| {
            OpenError::usage(
                format!("can't open the database: {error}"),
                "check DATABASE_URL, and that the database runs and lets you in",
            )
        })?;
        Ok(Self { store, retention, cleaned: tokio::sync::Mutex::default() })
    }

    /// Writes what a batch has, all of it or nothing.
    pub(in crate::observe) async fn send(&self, batch: &[Pending]) -> Result<Sent, Failure> {
        let rows = Rows::of(batch);
        let written = match &self.store {
            Store::Postgres(postgres) => postgres.insert(&rows).await,
            Store::Sqlite(sqlite) => sqlite.insert(&rows).await,
        };
        written.map_err(|error| failure(&error))?;
        self.clean().await;
        Ok(Sent::default())
    }

    /// Takes rows away that are older than the retention, every ten minutes and some at a time.
    /// Its failure is no failure of the batch: it is tried again.
    async fn clean(&self) {
        let Some(retention) = self.retention else { return };
        let Ok(mut cleaned) = self.cleaned.try_lock() else { return };
        if cleaned.is_some_and(|at| at.elapsed() < RETENTION_EVERY) {
            return;
        }
        let before = jiff::Timestamp::now().checked_sub(retention).unwrap_or_default();
        let removed = match &self.store {
            Store::Postgres(postgres) => postgres.remove_before(before, RETENTION_ROWS).await,
            Store::Sqlite(sqlite) => sqlite.remove_before(before, RETENTION_ROWS).await,
        };
        let is_over = removed.is_ok_and(|removed| removed < RETENTION_ROWS as u64);
        if is_over {
            *cleaned = Some(tokio::time::Instant::now());
        }
    }
}

/// What an error of a database means. The classes are those of PostgreSQL's documentation,
/// appendix A: 22 and 23 are about data, 28 about credentials, 42 about names and rights, and 08,
/// 40, 53, 55, 57 and 58 will pass.
fn failure(error: &sqlx::Error) -> Failure {
    let code = error.as_database_error().and_then(|error| error.code());
    let class = code.as_deref().and_then(|code| code.get(..2).filter(|_| code.len() == 5));
    let kind = match (error, class) {
        (_, Some("22" | "23")) => Kind::Rejected,
        (_, Some("28")) => Kind::Denied,
        (_, Some("42" | "3D" | "3F")) => Kind::Absent,
        (sqlx::Error::Encode(_) | sqlx::Error::Protocol(_), _) => Kind::Rejected,
        _ => Kind::Unavailable,
    };
    let mut failure = Failure::new(kind, format!("the database: {error}"));
    failure.code = code.map(|code| code.into_owned());
    failure
}
