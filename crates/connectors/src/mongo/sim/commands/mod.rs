//! The commands, each a function from the server's state and a request to an answer.

mod aggregate;
mod catalog;
mod find_and_modify;
mod read;
mod server;
mod write;

use bson::doc;

use super::fail_point::FailPoint;
use super::reply::{Answer, CommandError, Writer};
use super::wire::Request;
use super::world::World;

pub use read::must_wait;

/// What a command knows of the connection that it came over.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The number of the connection.
    pub id: i32,
    /// The address that the client connected to.
    pub address: std::net::SocketAddr,
}

/// Carries out a command.
///
/// # Errors
///
/// Code 59 for commands that are not there, and those of each command.
pub fn run(world: &mut World, request: &Request<'_>, connection: Connection) -> Answer {
    let done = || Ok(Writer::new());
    if world.options.without.iter().any(|name| name == request.name) {
        return Err(not_found(request.name));
    }
    match request.name {
        "hello" | "isMaster" | "ismaster" => Ok(server::hello(world, request, connection)),
        "ping" | "endSessions" | "refreshSessions" | "killSessions" | "logout" => done(),
        "buildInfo" | "buildinfo" => Ok(server::build_info(world)),
        "serverStatus" => Ok(server::status(world)),
        "replSetGetStatus" => Ok(server::replica_set_status(world, connection)),
        "currentOp" => Ok(doc! { "inprog": [] }.into()),
        "getParameter" | "setParameter" | "getCmdLineOpts" | "connectionStatus" | "whatsmyuri" => {
            done()
        }
        "listDatabases" => Ok(catalog::list_databases(world, request)),
        "listCollections" => Ok(catalog::list_collections(world, request)?),
        "create" => catalog::create(world, request),
        "drop" => catalog::drop_collection(world, request),
        "dropDatabase" => Ok(catalog::drop_database(world, request)),
        "renameCollection" => catalog::rename(world, request),
        "createIndexes" => catalog::create_indexes(world, request),
        "listIndexes" => catalog::list_indexes(world, request),
        "dropIndexes" | "deleteIndexes" => catalog::drop_indexes(world, request),
        "insert" => write::insert(world, request),
        "update" => write::update(world, request),
        "delete" => write::delete(world, request),
        "findAndModify" | "findandmodify" => find_and_modify::run(world, request),
        "find" => read::find(world, request),
        "getMore" => read::get_more(world, request),
        "killCursors" => read::kill_cursors(world, request),
        "count" => read::count(world, request),
        "distinct" => read::distinct(world, request),
        "explain" => read::explain(world, request),
        "aggregate" => aggregate::run(world, request),
        "configureFailPoint" => configure_fail_point(world, request),
        "simulate" => server::simulate(world, request),
        "ledger" => Ok(server::ledger(world)),
        name => Err(not_found(name)),
    }
}

fn not_found(name: &str) -> CommandError {
    CommandError::new(59, format!("no such command: '{name}'"))
}

fn configure_fail_point(world: &mut World, request: &Request<'_>) -> Answer {
    match request.get("configureFailPoint").and_then(bson::RawBsonRef::as_str) {
        Some("failCommand") => {
            world.faults.fail_point = FailPoint::read(request.body)?;
            Ok(doc! { "count": 0 }.into())
        }
        _ => Err(CommandError::new(2, "there is no other fail point than failCommand")),
    }
}
