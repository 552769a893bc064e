//! PostgreSQL. Rows go in by `COPY` straight into the tables, as fast as PostgreSQL takes anything.
//! `COPY` knows no `ON CONFLICT`: the rare batch with a row that is there already is undone and
//! goes through a temporary table instead.

use super::rows::{Cost, EventLog, Rows, count};
use crate::observe::price::money::usd;
use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, PgConnection};
use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

/// Connections, at most: one for each batch on the wire and one to look after the tables.
const CONNECTIONS_MAX: u32 = 20;
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// The state of a row that is there already: `unique_violation`.
const UNIQUE_VIOLATION: &str = "23505";

/// A table with the columns that are written, in their order.
struct Table {
    copy: &'static str,
    stage: &'static str,
    copy_to_stage: &'static str,
    merge: &'static str,
}

const COSTS: Table = Table {
    copy: "COPY model_cost_logs (workspace_id, event_id, \"timestamp\", user_id, trace_id, \
        span_id, provider, model, matched_key, price_hash, tier, input_tokens, cached_tokens, \
        cache_write_tokens, output_tokens, reasoning_tokens, input_cost, output_cost, cost, \
        currency, stated) FROM STDIN",
    stage: "CREATE TEMP TABLE stage_costs (LIKE model_cost_logs) ON COMMIT DROP",
    copy_to_stage: "COPY stage_costs (workspace_id, event_id, \"timestamp\", user_id, trace_id, \
        span_id, provider, model, matched_key, price_hash, tier, input_tokens, cached_tokens, \
        cache_write_tokens, output_tokens, reasoning_tokens, input_cost, output_cost, cost, \
        currency, stated) FROM STDIN",
    merge: "INSERT INTO model_cost_logs SELECT * FROM stage_costs ON CONFLICT DO NOTHING",
};

const EVENTS: Table = Table {
    copy: "COPY event_logs (workspace_id, event_id, \"timestamp\", user_id, type, name, flags, \
        payload) FROM STDIN",
    stage: "CREATE TEMP TABLE stage_events (LIKE event_logs) ON COMMIT DROP",
    copy_to_stage: "COPY stage_events (workspace_id, event_id, \"timestamp\", user_id, type, \
        name, flags, payload) FROM STDIN",
    merge: "INSERT INTO event_logs SELECT * FROM stage_events ON CONFLICT DO NOTHING",
};

pub(super) struct Postgres {
    pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("windlass observe");
        // The pool itself only ever says that it timed out.
        let first = tokio::time::timeout(CONNECT, PgConnection::connect_with(&options)).await;
        first.map_err(|_| sqlx::Error::PoolTimedOut)??.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .idle_timeout(IDLE)
            .acquire_timeout(CONNECT)
            .connect_with(options)
            .await?;
        sqlx::migrate!("src/observe/destinations/sql/migrations/postgres").run(&pool).await?;
        Ok(Self { pool })
    }

    pub(super) async fn insert(&self, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
        let (mut costs, mut events) = (String::new(), String::new());
        rows.costs.iter().for_each(|row| write_cost(&mut costs, row));
        rows.events.iter().for_each(|row| write_event(&mut events, row));
        let parts = [(&COSTS, costs.as_str()), (&EVENTS, events.as_str())];
        let mut connection = self.pool.acquire().await?;
        match copied(&mut connection, &parts).await {
            Err(error) if is_there_already(&error) => merged(&mut connection, &parts).await,
            other => other,
        }
    }

    pub(super) async fn remove_before(
        &self,
        before: Timestamp,
        most: i64,
    ) -> Result<u64, sqlx::Error> {
        let mut removed = 0;
        for statement in [
            "DELETE FROM model_cost_logs WHERE ctid IN (SELECT ctid FROM model_cost_logs \
             WHERE \"timestamp\" < $1::timestamptz LIMIT $2)",
            "DELETE FROM event_logs WHERE ctid IN (SELECT ctid FROM event_logs \
             WHERE \"timestamp\" < $1::timestamptz LIMIT $2)",
        ] {
            let query = sqlx::query(statement).bind(before.to_string()).bind(most);
            removed += query.execute(&self.pool).await?.rows_affected();
        }
        Ok(removed)
    }
}

fn is_there_already(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(UNIQUE_VIOLATION)
}

async fn copied(
    connection: &mut PgConnection,
    parts: &[(&Table, &str)],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for (table, rows) in parts.iter().filter(|(_, rows)| !rows.is_empty()) {
        copy(&mut transaction, table.copy, rows).await?;
    }
    transaction.commit().await
}

async fn merged(
    connection: &mut PgConnection,
    parts: &[(&Table, &str)],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for (table, rows) in parts.iter().filter(|(_, rows)| !rows.is_empty()) {
        sqlx::query(table.stage).execute(&mut *transaction).await?;
        copy(&mut transaction, table.copy_to_stage, rows).await?;
        sqlx::query(table.merge).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    rows: &str,
) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(rows.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

fn write_cost(out: &mut String, row: &Cost<'_>) {
    let cost = row.row;
    text(out, row.workspace);
    text(out, row.id);
    plain(out, row.at);
    maybe(out, row.user);
    maybe(out, row.trace);
    maybe(out, row.span);
    maybe(out, cost.provider.as_deref());
    text(out, &cost.model);
    maybe(out, cost.matched_key.as_deref());
    text(out, &cost.price_hash);
    text(out, &cost.tier);
    let usage = &cost.usage;
    for tokens in [
        usage.all_input(),
        usage.cache_read,
        usage.cache_write.saturating_add(usage.cache_write_1h),
        usage.all_output(),
        usage.reasoning,
    ] {
        plain(out, count(tokens));
    }
    for pico in [cost.input_pico, cost.output_pico, cost.cost_pico] {
        maybe(out, pico.map(usd).as_deref());
    }
    text(out, "USD");
    plain(out, cost.stated);
    end(out);
}

fn write_event(out: &mut String, row: &EventLog<'_>) {
    text(out, row.workspace);
    text(out, row.id);
    plain(out, row.at);
    maybe(out, row.user);
    text(out, row.class);
    text(out, row.name);
    maybe(out, row.flags.as_deref());
    text(out, &String::from_utf8_lossy(row.payload));
    end(out);
}

/// A field of the text format of `COPY`, behind which a tab follows. PostgreSQL has no text with a
/// zero in it, so that one is left out.
fn text(out: &mut String, field: &str) {
    for character in field.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\0' => {}
            other => out.push(other),
        }
    }
    out.push('\t');
}

fn maybe(out: &mut String, field: Option<&str>) {
    match field {
        Some(field) => text(out, field),
        None => out.push_str("\\N\t"),
    }
}

/// A value whose text has nothing to escape.
fn plain(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}\t");
}

/// The tab behind the last field becomes the end of the row.
fn end(out: &mut String) {
    out.pop();
    out.push('\n');
}
