//! What stands in the databases, in the same words for both.

use super::postgres::Postgres;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Row};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A database that a gateway writes into.
pub enum Database<'a> {
    Sqlite(PathBuf),
    Postgres(&'a Postgres),
}

/// A row of `model_cost_logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    pub user: Option<String>,
    pub model: String,
    /// US dollars with twelve decimals; `None` for a model without a known price.
    pub cost: Option<String>,
    pub tokens: [u64; 4],
}

/// A row of `event_logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub user: Option<String>,
    pub class: String,
    pub name: String,
}

/// Costs as SQLite has them, in whole numbers of 10^-12 dollars. `printf` makes 0 of NULL.
const SQLITE_COST: &str = "CASE WHEN cost_pico IS NOT NULL THEN \
    printf('%d.%012d', cost_pico / 1000000000000, cost_pico % 1000000000000) END";

impl Database<'_> {
    /// What generations cost, by the ids of their events. An id that stands there twice fails.
    pub fn costs(&self) -> BTreeMap<String, Cost> {
        let cost = match self {
            Self::Sqlite(_) => SQLITE_COST,
            Self::Postgres(_) => "cost::text",
        };
        let columns = [
            "event_id",
            "user_id",
            "model",
            cost,
            "input_tokens",
            "cached_tokens",
            "cache_write_tokens",
            "output_tokens",
        ];
        let rows = self.rows(&columns, "model_cost_logs").into_iter().map(|mut row| {
            let tokens = row.split_off(4).into_iter().map(|count| count.unwrap().parse().unwrap());
            let tokens: Vec<u64> = tokens.collect();
            let [id, user, model, cost] = row.try_into().unwrap();
            let tokens = tokens.try_into().unwrap();
            (id.unwrap(), Cost { user, model: model.unwrap(), cost, tokens })
        });
        each_once(rows)
    }

    /// Product events and scores by their ids.
    pub fn events(&self) -> BTreeMap<String, Event> {
        let columns = ["event_id", "user_id", "type", "name"];
        let rows = self.rows(&columns, "event_logs").into_iter().map(|row| {
            let [id, user, class, name] = row.try_into().unwrap();
            (id.unwrap(), Event { user, class: class.unwrap(), name: name.unwrap() })
        });
        each_once(rows)
    }

    /// The ids that scores have for their clients; a correction of one is a row of its own.
    pub fn scores(&self) -> BTreeSet<String> {
        let rows = self.rows(&["payload"], "event_logs").into_iter();
        let id = |mut row: Vec<Option<String>>| -> String {
            let payload: serde_json::Value = serde_json::from_str(&row.remove(0).unwrap()).unwrap();
            payload["id"].as_str().unwrap().to_owned()
        };
        rows.map(id).collect()
    }

    /// The ids of a table.
    pub fn ids(&self, table: &str) -> Vec<String> {
        let rows = self.rows(&["event_id"], table).into_iter();
        rows.map(|mut row| row.remove(0).unwrap()).collect()
    }

    /// Every column as text.
    fn rows(&self, columns: &[&str], table: &str) -> Vec<Vec<Option<String>>> {
        match self {
            Self::Sqlite(path) => {
                let columns: Vec<String> =
                    columns.iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
                sqlite(path, &format!("SELECT {} FROM {table}", columns.join(", ")))
            }
            Self::Postgres(postgres) => {
                let columns = columns.join(", ");
                let sql = format!("SELECT json_agg(json_build_array({columns})) FROM {table}");
                let rows = postgres.psql(&sql);
                let rows: Option<Vec<Vec<serde_json::Value>>> =
                    Some(rows.trim()).filter(|rows| !rows.is_empty()).map(|rows| {
                        serde_json::from_str(rows).unwrap_or_else(|error| panic!("{error}"))
                    });
                let text = |value: serde_json::Value| match value {
                    serde_json::Value::Null => None,
                    serde_json::Value::String(text) => Some(text),
                    other => Some(other.to_string()),
                };
                let rows = rows.unwrap_or_default().into_iter();
                rows.map(|row| row.into_iter().map(text).collect()).collect()
            }
        }
    }
}

fn each_once<T>(rows: impl Iterator<Item = (String, T)>) -> BTreeMap<String, T> {
    let mut all = BTreeMap::new();
    for (id, row) in rows {
        assert!(all.insert(id.clone(), row).is_none(), "{id} stands there twice");
    }
    all
}

fn sqlite(path: &Path, sql: &str) -> Vec<Vec<Option<String>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut connection: SqliteConnection = options.connect().await.unwrap();
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| (0..row.len()).map(|column| row.get(column)).collect()).collect()
    })
}
