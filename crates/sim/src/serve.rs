//! A simulator on a TCP port: HTTP/1.1 with keep-alive, and HTTP/2 by prior knowledge.
//!
//! Owns the sockets. It stands in benchmarks, so it does nothing for a request but read it, call
//! the simulator, and write the reply.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::span::parse_span;
use crate::{Reset, Simulator};

/// The largest request body that is read; the connection is cut beyond it.
const MOST_BODY: usize = 128 << 20;

/// How a port behaves, as flags.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct ServeOptions {
    /// Close an HTTP/1.1 connection that had no request for this long
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub idle_close: Option<Duration>,
}

/// Binds a port, 0 for any that is free, and returns its address together with the future that
/// serves it. Dropping that future closes the port and all connections.
///
/// # Errors
///
/// Those of binding, for example a port in use.
pub async fn serve<S: Simulator>(
    simulator: Arc<S>,
    address: SocketAddr,
    options: ServeOptions,
) -> io::Result<(SocketAddr, impl Future<Output = ()> + Send)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    Ok((bound, accept(simulator, listener, options)))
}

async fn accept<S: Simulator>(simulator: Arc<S>, listener: TcpListener, options: ServeOptions) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(simulator.clone(), stream, options.idle_close));
                }
                // Too many open files, most likely: others must end before another can begin.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection to its end. Every error ends just this connection: a client that goes
/// away is no event for a remote.
async fn converse<S: Simulator>(
    simulator: Arc<S>,
    stream: TcpStream,
    idle_close: Option<Duration>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut builder = Builder::new(TokioExecutor::new());
    if let Some(idle) = idle_close {
        builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
    }
    let service = service_fn(|request| answer(simulator.clone(), request));
    let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// A body that is shorter than its reply's Content-Length says. It keeps its length to itself:
/// the connection would not believe the header otherwise. It is cut when the body has ended.
struct Short {
    rest: Option<Bytes>,
    is_flushed: bool,
}

impl Body for Short {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Reset>>> {
        if let Some(rest) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        // The connection sends what it has when it is told to wait; cut at once, it sends nothing.
        if !std::mem::replace(&mut self.is_flushed, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(None)
    }
}

type Sent = Either<Full<Bytes>, Short>;

async fn answer<S: Simulator>(
    simulator: Arc<S>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Reset> {
    let (parts, body) = request.into_parts();
    let body = if body.is_end_stream() {
        Bytes::new()
    } else {
        Limited::new(body, MOST_BODY).collect().await.map_err(|_| Reset)?.to_bytes()
    };
    let request = Request::from_parts(parts, body);
    if request.uri().path().starts_with("/_sim/") {
        return Ok(simulator.control(&request).map(whole));
    }
    let response = simulator.call(request).await?;
    let is_short = response.headers().contains_key(CONTENT_LENGTH);
    Ok(response.map(|body| if is_short { short(body) } else { whole(body) }))
}

fn short(body: Bytes) -> Sent {
    Either::Right(Short { rest: Some(body), is_flushed: false })
}

fn whole(body: Bytes) -> Sent {
    Either::Left(Full::new(body))
}
