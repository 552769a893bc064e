//! What the server says of itself.

use bson::{DateTime, Document, RawBsonRef, doc};

use super::super::collection::DOCUMENT_BYTES_MAX;
use super::super::oplog::timestamp;
use super::super::options::Options;
use super::super::reply::{Answer, CommandError, Writer};
use super::super::wire::{MESSAGE_BYTES_MAX, Request};
use super::super::world::World;
use super::Connection;

/// Minutes after which an idle session ends.
const SESSION_MINUTES: i32 = 30;
/// The identity of the only election that there ever was.
const ELECTION: [u8; 12] = [0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1];

/// `hello`, and the same under its old name.
pub fn hello(world: &World, request: &Request<'_>, connection: Connection) -> Writer {
    let options = &world.options;
    let address = connection.address.to_string();
    let primary = if request.name == "hello" { "isWritablePrimary" } else { "ismaster" };
    let mut reply = doc! {
        "helloOk": true,
        primary: true,
        "secondary": false,
        "setName": &options.set_name,
        "setVersion": 1,
        "electionId": bson::oid::ObjectId::from_bytes(ELECTION),
        "hosts": [&address],
        "primary": &address,
        "me": &address,
    };
    reply.extend(doc! {
        "maxBsonObjectSize": DOCUMENT_BYTES_MAX as i32,
        "maxMessageSizeBytes": MESSAGE_BYTES_MAX as i32,
        "maxWriteBatchSize": options.max_write_batch_size,
        "localTime": DateTime::now(),
        "logicalSessionTimeoutMinutes": SESSION_MINUTES,
        "connectionId": connection.id,
        "minWireVersion": options.min_wire_version,
        "maxWireVersion": options.max_wire_version,
        "readOnly": false,
        "lastWrite": {
            "opTime": { "ts": timestamp(world.oplog.now()), "t": 1_i64 },
            "lastWriteDate": DateTime::now(),
        },
    });
    reply.into()
}

/// `buildInfo`.
pub fn build_info(world: &World) -> Writer {
    let version = &world.options.server_version;
    let numbers = version.split('.').map(|part| part.parse().unwrap_or(0)).chain([0; 4]);
    let numbers: Vec<i32> = numbers.take(4).collect();
    doc! {
        "version": version,
        "versionArray": numbers,
        "gitVersion": "simulated",
        "modules": [],
        "bits": 64,
        "debug": false,
        "maxBsonObjectSize": DOCUMENT_BYTES_MAX as i32,
        "storageEngines": ["memory"],
    }
    .into()
}

/// `serverStatus`: what a throttle looks at.
pub fn status(world: &World) -> Writer {
    let (open, ever) = world.connections;
    let queued = world.options.queued;
    let connections = open + world.options.more_connections;
    let total = world.ledger().total();
    doc! {
        "host": "simulated",
        "version": &world.options.server_version,
        "process": "windlass",
        "localTime": DateTime::now(),
        "connections": {
            "current": connections,
            "available": 51_200 - connections,
            "totalCreated": ever,
            "active": open,
        },
        "globalLock": {
            "currentQueue": { "total": queued, "readers": 0, "writers": queued },
            "activeClients": { "total": open, "readers": 0, "writers": open },
        },
        "opcounters": {
            "insert": total.inserted as i64,
            "update": total.updated as i64,
            "delete": total.deleted as i64,
        },
        "metrics": { "cursor": { "open": { "total": world.cursors.len() as i64 } } },
    }
    .into()
}

/// `replSetGetStatus`: this primary and, when a lag is set, a secondary that is behind by it.
pub fn replica_set_status(world: &World, connection: Connection) -> Writer {
    let now = DateTime::now();
    let member = |id: i32, name: &str, state: (i32, &str), behind: u32| -> Document {
        let stamp = timestamp(world.oplog.now().saturating_sub(u64::from(behind) << 32));
        let date = DateTime::from_millis(now.timestamp_millis() - i64::from(behind) * 1_000);
        doc! {
            "_id": id,
            "name": name,
            "health": 1.0,
            "state": state.0,
            "stateStr": state.1,
            "optime": { "ts": stamp, "t": 1_i64 },
            "optimeDate": date,
            "self": id == 0,
        }
    };
    let mut members = vec![member(0, &connection.address.to_string(), (1, "PRIMARY"), 0)];
    if let Some(lag) = world.options.lag {
        members.push(member(1, "secondary.invalid:27017", (2, "SECONDARY"), lag));
    }
    doc! {
        "set": &world.options.set_name,
        "date": now,
        "myState": 1,
        "term": 1_i64,
        "members": members,
    }
    .into()
}

/// `simulate`: the switches become what these flags say.
///
/// # Errors
///
/// Code 9 for what can't be flags.
pub fn simulate(world: &mut World, request: &Request<'_>) -> Answer {
    let Some(RawBsonRef::Array(flags)) = request.get("simulate") else {
        return Err(CommandError::new(9, "'simulate' must be an array of flags"));
    };
    let flags = flags.into_iter().map_while(Result::ok).filter_map(RawBsonRef::as_str);
    let flags: Vec<&str> = flags.collect();
    let options = Options::read(&flags).and_then(|options| world.set_options(options));
    options.map(|()| Writer::new()).map_err(|words| CommandError::new(9, words))
}

/// `ledger`: how many commands there were, and what was written.
pub fn ledger(world: &World) -> Writer {
    let ledger = world.ledger();
    let commands: Document = ledger
        .commands
        .iter()
        .map(|(name, count)| (name.to_string(), bson::Bson::Int64(*count as i64)))
        .collect();
    let written = ledger.written.iter().map(|(namespace, written)| {
        let counts = doc! {
            "inserted": written.inserted as i64,
            "updated": written.updated as i64,
            "deleted": written.deleted as i64,
        };
        (namespace.to_string(), bson::Bson::Document(counts))
    });
    let written: Document = written.collect();
    doc! { "commands": commands, "written": written, "lostReplies": ledger.lost_replies as i64 }
        .into()
}
