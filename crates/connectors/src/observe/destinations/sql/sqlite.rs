//! SQLite, in a file. A batch goes in as one JSON text that the statement itself takes apart: one
//! statement a table, whatever the number of rows.

use super::rows::{Cost, EventLog, Rows, count};
use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::Path;
use std::time::Duration;

/// How long a writer waits for another one's lock.
const BUSY: Duration = Duration::from_secs(10);

const COSTS: &str = "INSERT INTO model_cost_logs (workspace_id, event_id, \"timestamp\", user_id, \
    trace_id, span_id, provider, model, matched_key, price_hash, tier, input_tokens, \
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, input_cost_pico, \
    output_cost_pico, cost_pico, stated) \
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, \
    value->>7, value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, \
    value->>15, value->>16, value->>17, value->>18, value->>19 FROM json_each(?) WHERE true \
    ON CONFLICT DO NOTHING";

const EVENTS: &str = "INSERT INTO event_logs (workspace_id, event_id, \"timestamp\", user_id, \
    type, name, flags, payload) \
    SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, \
    value->>7 FROM json_each(?) WHERE true ON CONFLICT DO NOTHING";

pub(super) struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// What is delivered must outlast a cut of the power, so that a commit waits for the disk.
    pub(super) async fn open(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        sqlx::migrate!("src/observe/destinations/sql/migrations/sqlite").run(&pool).await?;
        Ok(Self { pool })
    }

    pub(super) async fn insert(&self, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        if !rows.costs.is_empty() {
            let costs = Value::Array(rows.costs.iter().map(cost).collect()).to_string();
            sqlx::query(COSTS).bind(costs).execute(&mut *transaction).await?;
        }
        if !rows.events.is_empty() {
            let events = Value::Array(rows.events.iter().map(event).collect()).to_string();
            sqlx::query(EVENTS).bind(events).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    pub(super) async fn remove_before(
        &self,
        before: Timestamp,
        most: i64,
    ) -> Result<u64, sqlx::Error> {
        let mut removed = 0;
        for statement in [
            "DELETE FROM model_cost_logs WHERE (workspace_id, event_id) IN (SELECT workspace_id, \
             event_id FROM model_cost_logs WHERE \"timestamp\" < ? LIMIT ?)",
            "DELETE FROM event_logs WHERE (workspace_id, event_id) IN (SELECT workspace_id, \
             event_id FROM event_logs WHERE \"timestamp\" < ? LIMIT ?)",
        ] {
            let query = sqlx::query(statement).bind(instant(before)).bind(most);
            removed += query.execute(&self.pool).await?.rows_affected();
        }
        Ok(removed)
    }
}

/// All with the same number of digits, so that they sort as text.
fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

fn cost(row: &Cost<'_>) -> Value {
    let (cost, usage) = (row.row, &row.row.usage);
    json!([
        row.workspace,
        row.id,
        instant(row.at),
        row.user,
        row.trace,
        row.span,
        cost.provider,
        cost.model,
        cost.matched_key,
        cost.price_hash,
        cost.tier,
        count(usage.all_input()),
        count(usage.cache_read),
        count(usage.cache_write.saturating_add(usage.cache_write_1h)),
        count(usage.all_output()),
        count(usage.reasoning),
        cost.input_pico.map(count),
        cost.output_pico.map(count),
        cost.cost_pico.map(count),
        i64::from(cost.stated),
    ])
}

fn event(row: &EventLog<'_>) -> Value {
    json!([
        row.workspace,
        row.id,
        instant(row.at),
        row.user,
        row.class,
        row.name,
        row.flags,
        String::from_utf8_lossy(row.payload),
    ])
}
