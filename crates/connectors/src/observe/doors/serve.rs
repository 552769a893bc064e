//! Connections: how many there are, how long they live, and how they end.

use super::{Admission, Doors};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

/// How large the head of a request may be.
const HEAD_BYTES: usize = 64 << 10;
/// How long a connection beyond the limit has to be told so.
const REFUSED_TIME: Duration = Duration::from_secs(5);

/// How the doors closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that ended by themselves, their requests answered.
    pub finished: usize,
    /// Connections that were cut because they took too long.
    pub cut: usize,
}

impl<A: Admission> Doors<A> {
    /// Serves a listener until `stop` is ready. Then nobody else is let in, requests under way are
    /// finished, and connections that take longer than the limit for that are cut.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> Stopped {
        let (closing, is_closing) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        self.clone().admit(stream, from, &mut connections, &is_closing);
                    }
                    // Too many open files, most likely: others must end before another can begin.
                    Err(_) => sleep(Duration::from_millis(10)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        // Connections that have ended do not listen any more.
        let _nobody_listens = closing.send(true);
        self.wait(connections).await
    }

    async fn wait(&self, mut connections: JoinSet<()>) -> Stopped {
        let end = Instant::now() + self.options.limits.stop_time;
        let mut stopped = Stopped::default();
        while let Ok(Some(_)) = timeout_at(end, connections.join_next()).await {
            stopped.finished += 1;
        }
        stopped.cut = connections.len();
        connections.shutdown().await;
        stopped
    }

    /// Begins a connection. Those beyond the limit are told to come back, up to twice the limit;
    /// the rest are closed, for telling them takes resources too.
    fn admit(
        self: Arc<Self>,
        stream: TcpStream,
        from: SocketAddr,
        connections: &mut JoinSet<()>,
        is_closing: &watch::Receiver<bool>,
    ) {
        let most = self.options.limits.connections;
        let is_refused = connections.len() >= most;
        if is_refused {
            self.counters.refused_connection();
        }
        if connections.len() >= most.saturating_mul(2) || stream.set_nodelay(true).is_err() {
            return;
        }
        let is_closing = is_closing.clone();
        connections.spawn(async move {
            if is_refused {
                let refused = self.converse(stream, from, true, is_closing);
                let _late = tokio::time::timeout(REFUSED_TIME, refused).await;
            } else {
                self.converse(stream, from, false, is_closing).await;
            }
        });
    }

    /// Serves one connection to its end. Every error ends just this connection: a client that
    /// goes away is no event for the others.
    pub(super) async fn converse<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: Arc<Self>,
        stream: I,
        from: SocketAddr,
        is_refused: bool,
        mut is_closing: watch::Receiver<bool>,
    ) {
        let _open = Open::new(&self);
        let service = service_fn(|request| {
            let doors = self.clone();
            async move { Ok::<_, Infallible>(doors.answer(request, from, is_refused).await) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.options.limits.head_time)
                .max_buf_size(2 * HEAD_BYTES)
                .max_header_size(HEAD_BYTES)
                .keep_alive(!is_refused)
                .serve_connection(TokioIo::new(stream), service)
        );
        tokio::select! {
            _ended = connection.as_mut() => return,
            // The sender is only dropped after every connection has ended.
            _closing = is_closing.wait_for(|is_closing| *is_closing) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ended = connection.await;
    }
}

/// Counts a connection while it is open, however it ends.
struct Open<'d, A>(&'d Doors<A>);

impl<'d, A> Open<'d, A> {
    fn new(doors: &'d Doors<A>) -> Self {
        doors.counters.connected();
        Self(doors)
    }
}

impl<A> Drop for Open<'_, A> {
    fn drop(&mut self) {
        self.0.counters.disconnected();
    }
}
