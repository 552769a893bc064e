//! The floor of the benchmarks on MongoDB: a bare loop of raw updates with 1,000 statements each,
//! on the same driver as the program. It reads every source document once, makes the same targets
//! by hand, and does nothing else: no plan, no checks, no journal, no checkpoint.

use bson::{Document, RawDocumentBuf, doc, rawdoc};
use futures_util::TryStreamExt;
use mongodb::Client;
use std::error::Error;

const STATEMENTS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let uri = std::env::var("MONGODB_URI")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(migrate(&uri))
}

async fn migrate(uri: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::with_uri_str(uri).await?;
    let database = client.default_database().ok_or("the URI names no database")?;
    let source = database.collection::<Document>("responses");
    let mut found = source.find(doc! {}).sort(doc! { "_id": 1 }).batch_size(1_000).await?;
    let mut statements = Vec::with_capacity(STATEMENTS);
    while let Some(document) = found.try_next().await? {
        statements.push(statement(&document)?);
        if statements.len() == STATEMENTS {
            send(&database, &mut statements).await?;
        }
    }
    send(&database, &mut statements).await
}

fn statement(source: &Document) -> Result<RawDocumentBuf, Box<dyn Error>> {
    let target = doc! {
        "name": source.get("name").cloned().unwrap_or(bson::Bson::Null),
        "month": source.get("month").cloned().unwrap_or(bson::Bson::Null),
        "answers": source.get("responses").cloned().unwrap_or(bson::Bson::Null),
        "submittedAt": source.get("createdAt").cloned().unwrap_or(bson::Bson::Null),
        "formVersion": "v1_migration",
    };
    let id = source.get("_id").cloned().unwrap_or(bson::Bson::Null);
    let update = doc! { "q": { "_id": id }, "u": { "$setOnInsert": target }, "upsert": true };
    Ok(RawDocumentBuf::try_from(&update)?)
}

async fn send(
    database: &mongodb::Database,
    statements: &mut Vec<RawDocumentBuf>,
) -> Result<(), Box<dyn Error>> {
    if statements.is_empty() {
        return Ok(());
    }
    let mut updates = bson::RawArrayBuf::new();
    for statement in statements.drain(..) {
        updates.push(statement);
    }
    let mut command = rawdoc! { "update": "submissions", "ordered": false };
    command.append(bson::cstr!("updates"), updates);
    let reply = database.run_raw_command(command).await?;
    match reply.get_array("writeErrors") {
        Ok(errors) => Err(format!("{} statements failed", errors.len()).into()),
        Err(_) => Ok(()),
    }
}
