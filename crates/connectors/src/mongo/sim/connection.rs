//! Serving connections: one task each, which reads a message, has it carried out, and replies.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::MongoSim;
use super::changes::operation_time;
use super::commands::{self, Connection, must_wait};
use super::faults::{Delivery, Sentence, Verdict, WRITES};
use super::ledger::Row;
use super::reply::{Answer, CommandError, Writer};
use super::wire::{self, Message, Request};
use super::world::{World, session_id};

/// How many pieces a slow reply comes in.
const PIECES: usize = 20;
/// How much room there is for reading at least.
const READ_BYTES: usize = 64 * 1024;

/// Answers connections on an address. The future ends when it is dropped, and all connections
/// with it. Port 0 takes a free one; the address that is told is the one taken.
///
/// # Errors
///
/// Those of binding, for example a port in use.
pub async fn serve(
    simulator: Arc<MongoSim>,
    address: SocketAddr,
) -> io::Result<(SocketAddr, impl Future<Output = ()> + Send)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((bound, accept(simulator, listener)))
}

async fn accept(simulator: Arc<MongoSim>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(open(simulator.clone(), stream));
                }
                // Too many open files, most likely: others must end before another can begin.
                Err(_) => sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Counts a connection as open for as long as it lives, whatever ends it.
struct Open<'a>(&'a MongoSim);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.with_world(|world| world.connections.0 -= 1);
    }
}

/// Serves a connection to its end. Every error ends just this one.
async fn open(simulator: Arc<MongoSim>, stream: TcpStream) {
    let Ok(address) = stream.local_addr() else { return };
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let id = simulator.with_world(|world| {
        world.connections.0 += 1;
        world.connections.1 += 1;
        world.connections.1
    });
    let open = Open(&simulator);
    let _ended = converse(open.0, stream, Connection { id, address }).await;
}

async fn converse(
    simulator: &MongoSim,
    mut stream: TcpStream,
    connection: Connection,
) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        while let Some(message) = wire::take(&mut buffer)? {
            let Some((reply, delivery)) = simulator.answer(&message, connection).await? else {
                return Ok(());
            };
            if !message.is_unanswered && !send(&mut stream, &reply, delivery).await? {
                return Ok(());
            }
        }
        buffer.reserve(READ_BYTES);
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Sends a reply, and says whether the connection is still there afterwards.
async fn send(stream: &mut TcpStream, reply: &[u8], delivery: Delivery) -> io::Result<bool> {
    match delivery {
        Delivery::Whole => stream.write_all(reply).await?,
        Delivery::Lost => return Ok(false),
        Delivery::Half => {
            stream.write_all(&reply[..reply.len() / 2]).await?;
            stream.shutdown().await?;
            return Ok(false);
        }
        Delivery::Slow(time) => {
            for piece in reply.chunks(reply.len().div_ceil(PIECES)) {
                sleep(time / PIECES as u32).await;
                stream.write_all(piece).await?;
            }
        }
    }
    Ok(true)
}

impl MongoSim {
    /// Carries out the command of a message; `None` when the connection is to be cut.
    async fn answer(
        &self,
        message: &Message,
        connection: Connection,
    ) -> io::Result<Option<(Vec<u8>, Delivery)>> {
        let request = message.request()?;
        let statements = statements(&request);
        let (sentence, delays) = self.with_world(|world| {
            let World { faults, options, .. } = world;
            let sentence = faults.judge(request.name, statements, &options.faults);
            let is_near = options.latency.is_zero();
            (sentence, (!is_near).then(|| options.latency.draw(faults.rng())))
        });
        if let Some(delays) = delays {
            sleep(delays.up).await;
        }
        if !sentence.block.is_zero() {
            sleep(sentence.block).await;
        }
        if sentence.verdict == Verdict::Execute {
            self.wait_for_news(&request).await;
        }
        let reply = self.with_world(|world| execute(world, &request, &sentence, connection));
        if WRITES.contains(&request.name) || request.name == "drop" {
            self.news.notify_waiters();
        }
        if let Some(delays) = delays {
            sleep(delays.down).await;
        }
        Ok(reply.map(|reply| (message.reply(&reply), sentence.delivery)))
    }

    /// Lets a read of a change stream wait until there is something or its time is over.
    async fn wait_for_news(&self, request: &Request<'_>) {
        let started = Instant::now();
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            // Whatever is written after this line ends the waiting.
            news.as_mut().enable();
            let Some(longest) = self.with_world(|world| must_wait(world, request)) else { return };
            let left = longest.saturating_sub(started.elapsed());
            if left.is_zero() || timeout(left, news).await.is_err() {
                return;
            }
        }
    }
}

fn statements(request: &Request<'_>) -> u64 {
    let name = match request.name {
        "insert" => "documents",
        "update" => "updates",
        "delete" => "deletes",
        _ => return 1,
    };
    request.documents(name).len() as u64
}

/// Carries out a command as its sentence says; `None` when the connection is to be cut.
fn execute(
    world: &mut World,
    request: &Request<'_>,
    sentence: &Sentence,
    connection: Connection,
) -> Option<Vec<u8>> {
    let answer = match &sentence.verdict {
        Verdict::Execute => once(world, request, connection),
        Verdict::Refuse(error) => Err(error.clone()),
        Verdict::Cut => Err(CommandError::new(0, "cut")),
    };
    let is_cut = sentence.verdict == Verdict::Cut;
    record(world, request, &answer, is_cut || is_lost(sentence.delivery));
    if is_cut {
        return None;
    }
    let mut reply = match answer {
        Ok(mut writer) => {
            if let Some(error) = &sentence.write_concern_error {
                writer.fields(&bson::doc! { "writeConcernError": error.clone() });
            }
            writer.double("ok", 1.0);
            writer
        }
        Err(error) => {
            let mut writer = Writer::new();
            writer.double("ok", 0.0);
            writer.fields(&error.to_document());
            writer
        }
    };
    let time = operation_time(&world.oplog);
    reply.open("$clusterTime");
    reply.timestamp("clusterTime", time);
    reply.open("signature");
    reply.binary("hash", &[0; 20]);
    reply.long("keyId", 0);
    reply.close();
    reply.close();
    reply.timestamp("operationTime", time);
    Some(reply.finish())
}

fn is_lost(delivery: Delivery) -> bool {
    matches!(delivery, Delivery::Lost | Delivery::Half)
}

/// Carries out a command, a retryable write only when it was not carried out already.
fn once(world: &mut World, request: &Request<'_>, connection: Connection) -> Answer {
    if request.get("autocommit").is_some() {
        let message = "Transactions are not known to this server";
        return Err(CommandError::new(20, message));
    }
    let number = request.integer("txnNumber");
    let (Some(session), Some(number)) = (session_id(request.body), number) else {
        return commands::run(world, request, connection);
    };
    if let Some(reply) = world.sessions.replay(session, number)? {
        return Ok(reply);
    }
    let reply = commands::run(world, request, connection)?;
    world.sessions.remember(session, number, reply.clone());
    Ok(reply)
}

fn record(world: &mut World, request: &Request<'_>, answer: &Answer, is_lost: bool) {
    world.ledger.lost_replies += u64::from(is_lost);
    let collection = match request.name {
        "getMore" => request.get("collection"),
        name => request.get(name),
    };
    let namespace = match collection.and_then(bson::RawBsonRef::as_str) {
        Some(collection) => format!("{}.{collection}", request.database),
        None => request.database.to_owned(),
    };
    let row = Row {
        command: request.name.into(),
        namespace: namespace.into(),
        count: answer.as_ref().map_or(0, |writer| writer.items),
        error: answer.as_ref().err().map(|error| error.code),
    };
    world.ledger.record(row, world.options.ledger_rows);
}
