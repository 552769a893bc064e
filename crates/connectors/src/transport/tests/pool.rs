//! Which connections are used again, and which are not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::uri::{Authority, Scheme};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

use super::deletion;
use super::servers::{Server, read_head, see_what_happened, serve_http1};
use crate::transport::network::{H1, IDLE_TIMEOUT, Origin, Sender};
use crate::transport::{NetworkOptions, Transport};

const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[tokio::test]
async fn requests_one_after_the_other_share_one_connection() {
    let server = Server::polite().await;
    let transport = Transport::network(NetworkOptions::direct());
    for _ in 0..5 {
        let answer = transport.clone().send(deletion(&server.url("/"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(server.accepted(), 1);
}

/// Two rounds of four requests at once, with room for two idle connections between them.
#[tokio::test]
async fn idle_connections_are_bounded() {
    let together = Arc::new(Barrier::new(4));
    let server = Server::start(move |mut stream, _| {
        let together = Arc::clone(&together);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                together.wait().await;
                stream.write_all(NO_CONTENT).await.unwrap();
            }
        }
    })
    .await;
    let mut options = NetworkOptions::direct();
    options.idle_connections_max = 2;
    let transport = Transport::network(options);
    for expected in [4, 6] {
        let mut round = JoinSet::new();
        for _ in 0..4 {
            let (transport, request) = (transport.clone(), deletion(&server.url("/")));
            round.spawn(async move { transport.send(request).await.unwrap() });
        }
        round.join_all().await;
        assert_eq!(server.accepted(), expected);
    }
}

/// The server closes once the connection lies idle in the pool.
#[tokio::test]
async fn an_idle_connection_that_the_server_closed_is_replaced_without_an_error() {
    let (idle, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, tell) = (Arc::clone(&idle), Arc::clone(&closed));
    let server = Server::start(move |mut stream, number| {
        let (wait, tell) = (Arc::clone(&wait), Arc::clone(&tell));
        async move {
            if number > 0 {
                return serve_http1(stream).await;
            }
            read_head(&mut stream).await;
            stream.write_all(NO_CONTENT).await.unwrap();
            wait.notified().await;
            drop(stream);
            tell.notify_one();
        }
    })
    .await;
    let transport = Transport::network(NetworkOptions::direct());
    transport.send(deletion(&server.url("/"))).await.unwrap();
    idle.notify_one();
    closed.notified().await;
    see_what_happened().await;
    transport.send(deletion(&server.url("/"))).await.unwrap();
    assert_eq!(server.accepted(), 2);
}

/// The close crosses the second request on the wire: nobody here can know what became of it.
#[tokio::test]
async fn a_close_that_crosses_a_request_may_have_come_after_its_effect() {
    let server = Server::start(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(NO_CONTENT).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let transport = Transport::network(NetworkOptions::direct());
    transport.send(deletion(&server.url("/"))).await.unwrap();
    let error = transport.send(deletion(&server.url("/"))).await.unwrap_err();
    assert!(error.may_have_arrived(), "{error:?}");
    assert_eq!(server.accepted(), 1);
}

/// Idle time alone, on a connection without a socket, so that the clock may be paused.
#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_too_long_is_not_used_again() {
    let origin = Origin::new(Scheme::HTTP, Authority::from_static("localhost")).unwrap();
    let (client, _server) = tokio::io::duplex(1_024);
    let (mut sender, connection): (H1, _) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(client))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap();
    origin.put_back(sender, 1);
    tokio::time::advance(IDLE_TIMEOUT - Duration::from_millis(1)).await;
    let Some(Sender::H1(sender)) = origin.open_already().await else {
        panic!("an idle connection within the time is used")
    };
    origin.put_back(sender, 1);
    tokio::time::advance(IDLE_TIMEOUT).await;
    assert!(origin.open_already().await.is_none());
}
