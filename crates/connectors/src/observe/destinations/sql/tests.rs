use super::*;
use crate::observe::event::{CostRow, Kind as EventKind, Shared, Usage};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};
use std::sync::Arc;
use tempfile::TempDir;

fn cost(cost_pico: Option<u64>) -> CostRow {
    CostRow {
        provider: Some("openai".to_owned()),
        model: "gpt-4o".to_owned(),
        matched_key: Some("gpt-4o".to_owned()),
        price_hash: "abc".to_owned(),
        tier: String::new(),
        usage: Usage {
            input: 900,
            cache_read: 100,
            output: 450,
            reasoning: 50,
            ..Usage::default()
        },
        cost_pico,
        input_pico: cost_pico.map(|cost| cost / 3),
        output_pico: cost_pico.map(|cost| cost - cost / 3),
        stated: false,
    }
}

fn event(number: u64, kind: EventKind, at_ms: u64, cost: Option<CostRow>) -> Pending {
    let mut pending = Pending::sample(number);
    pending.shared = Arc::new(Shared { project: "shop".to_owned(), ..Shared::default() });
    let event = &mut pending.event;
    event.id = format!("{:032x}-{number:016x}", 7);
    (event.kind, event.at_ms, event.cost) = (kind, at_ms, cost);
    event.user = Some("ann\twith\0 odd \\ name".to_owned());
    event.body = br#"{"a": "b\n"}"#.to_vec();
    pending
}

async fn open(retention: Option<Duration>) -> (Sql, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let sql = Sql::open(None, folder.path(), retention).await.unwrap();
    (sql, folder)
}

async fn asked(folder: &TempDir, question: &'static str) -> Vec<sqlx::sqlite::SqliteRow> {
    let options = SqliteConnectOptions::new().filename(folder.path().join("observe.db"));
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query(question).fetch_all(&mut connection).await.unwrap()
}

const SUMS: &str = "SELECT (SELECT count(*) FROM model_cost_logs), \
    (SELECT sum(cost_pico) FROM model_cost_logs), (SELECT count(*) FROM event_logs)";

async fn sums(folder: &TempDir) -> (i64, Option<i64>, i64) {
    let row = asked(folder, SUMS).await.remove(0);
    (row.get(0), row.get(1), row.get(2))
}

#[tokio::test]
async fn a_row_says_what_it_was_priced_with() {
    let (sql, folder) = open(None).await;
    let batch = [
        event(1, EventKind::Span, 1_700_000_000_123, Some(cost(Some(7_500_000_000)))),
        event(2, EventKind::Span, 1_700_000_000_123, Some(cost(None))),
        event(3, EventKind::Message, 1_700_000_000_123, Some(cost(Some(1)))),
        event(4, EventKind::Score, 1_700_000_000_123, None),
    ];
    assert_eq!(sql.send(&batch).await.unwrap(), Sent::default());
    assert_eq!(sums(&folder).await, (3, Some(7_500_000_001), 2));
    let row = asked(&folder, "SELECT * FROM model_costs ORDER BY event_id").await.remove(0);
    let text = |name: &str| row.get::<Option<String>, _>(name).unwrap();
    assert_eq!(text("timestamp"), "2023-11-14T22:13:20.123Z");
    assert_eq!((text("workspace_id"), text("model")), ("shop".into(), "gpt-4o".into()));
    assert_eq!(text("trace_id"), format!("{:032x}", 7));
    assert_eq!(text("span_id"), format!("{:016x}", 1));
    assert_eq!((text("price_hash"), text("matched_key")), ("abc".into(), "gpt-4o".into()));
    let count = |name: &str| row.get::<i64, _>(name);
    assert_eq!((count("input_tokens"), count("cached_tokens")), (1_000, 100));
    assert_eq!((count("output_tokens"), count("reasoning_tokens")), (500, 50));
    assert_eq!(row.get::<f64, _>("cost"), 0.0075);
    let unknown = asked(&folder, "SELECT cost_pico FROM model_cost_logs WHERE cost_pico IS NULL");
    assert_eq!(unknown.await.len(), 1);
}

#[tokio::test]
async fn an_event_that_is_there_already_changes_nothing() {
    let (sql, folder) = open(None).await;
    let one = event(1, EventKind::Message, 5, Some(cost(Some(4))));
    let two = event(2, EventKind::Message, 5, Some(cost(Some(4))));
    sql.send(&[one.clone(), one.clone()]).await.unwrap();
    sql.send(&[two, one]).await.unwrap();
    assert_eq!(sums(&folder).await, (2, Some(8), 2));
}

#[tokio::test]
async fn rows_older_than_the_retention_go() {
    let (sql, folder) = open(Some(Duration::from_secs(3600))).await;
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let old = event(1, EventKind::Message, now - 3_700_000, Some(cost(Some(1))));
    let new = event(2, EventKind::Message, now - 3_500_000, Some(cost(Some(2))));
    sql.send(&[old, new]).await.unwrap();
    assert_eq!(sums(&folder).await, (1, Some(2), 1));
}

#[tokio::test]
async fn the_tables_are_made_once() {
    let (sql, folder) = open(None).await;
    sql.send(&[event(1, EventKind::Message, 5, None)]).await.unwrap();
    drop(sql);
    let sql = Sql::open(None, folder.path(), None).await.unwrap();
    sql.send(&[event(2, EventKind::Message, 5, None)]).await.unwrap();
    assert_eq!(sums(&folder).await, (0, None, 2));
}

#[tokio::test]
async fn a_wrong_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["mysql://x", "sqlite:/nowhere/at/all/x.db", "postgres://localhost:1/x"] {
        let error = Sql::open(Some(url), folder.path(), None).await.err().unwrap();
        assert!(error.message.contains("database"), "{url}: {}", error.message);
    }
}
