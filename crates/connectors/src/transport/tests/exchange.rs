//! What `send` makes of answers that are cut, too large or not HTTP.

use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::servers::{Server, read_head, serve_http1};
use super::{SECRET, deletion, whole_text};
use crate::transport::{ConnectReason, NetworkOptions, Transport, TransportError};

fn direct() -> Transport {
    Transport::network(NetworkOptions::direct())
}

/// The error of a deletion answered by the bytes of `answer` and a close.
async fn error_for(answer: &'static [u8]) -> TransportError {
    let server = Server::answering(answer).await;
    let mut options = NetworkOptions::direct();
    options.body_bytes_max = 1_000;
    let transport = Transport::network(options);
    let error = transport.send(deletion(&server.url("/organizations/1"))).await.unwrap_err();
    assert!(!whole_text(&error).contains(SECRET), "{error:?}");
    error
}

fn connect_reason(error: &TransportError) -> ConnectReason {
    match error {
        TransportError::Connect { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_status_of_any_kind_is_an_answer() {
    let server = Server::answering(b"HTTP/1.1 503 Gone\r\ncontent-length: 2\r\n\r\nno").await;
    let answer = direct().send(deletion(&server.url("/"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(&answer.body()[..], b"no");
}

#[tokio::test]
async fn the_request_on_the_wire_has_the_path_alone_and_the_host_as_header() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
    let server = Server::start(move |mut stream, _| {
        let tell = Arc::clone(&tell);
        async move {
            let head = read_head(&mut stream).await;
            tell.lock().unwrap().take().unwrap().send(head).unwrap();
        }
    })
    .await;
    direct().send(deletion(&server.url("/organizations/1?a=b"))).await.unwrap_err();
    let head = told.await.unwrap();
    assert!(head.starts_with("DELETE /organizations/1?a=b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", server.address)), "{head}");
}

#[tokio::test]
async fn a_connection_closed_before_or_within_the_answer_is_a_reset_that_may_have_arrived() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nten bytes.",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        let error = error_for(answer).await;
        assert!(matches!(error, TransportError::Reset { .. }), "{error:?}");
        assert!(error.may_have_arrived());
    }
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_malformed() {
    for answer in [
        &b"what do you want?\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfive\r\nabcde\r\n",
    ] {
        let error = error_for(answer).await;
        assert!(matches!(error, TransportError::Malformed { .. }), "{error:?}");
        assert!(error.may_have_arrived());
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_an_error_with_and_without_a_declared_length() {
    let long = |head: &str, tail: &str| -> &'static [u8] {
        format!("HTTP/1.1 200 OK\r\n{head}{}{tail}", "x".repeat(1_001)).leak().as_bytes()
    };
    for answer in [
        long("content-length: 1001\r\n\r\n", ""),
        long("transfer-encoding: chunked\r\n\r\n3e9\r\n", "\r\n0\r\n\r\n"),
    ] {
        let error = error_for(answer).await;
        assert!(matches!(error, TransportError::BodyTooLarge { bytes_max: 1_000, .. }));
        assert!(error.may_have_arrived());
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_is_read() {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{}", "x".repeat(1_000));
    let server = Server::answering(answer.leak().as_bytes()).await;
    let mut options = NetworkOptions::direct();
    options.body_bytes_max = 1_000;
    let answer = Transport::network(options).send(deletion(&server.url("/"))).await.unwrap();
    assert_eq!(answer.body().len(), 1_000);
}

#[tokio::test]
async fn nothing_listening_is_a_refused_connection_that_sent_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = direct().send(deletion(&url)).await.unwrap_err();
    assert_eq!(connect_reason(&error), ConnectReason::Refused);
    assert!(!error.may_have_arrived());
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn an_unknown_host_is_named_as_such() {
    let error = direct().send(deletion("https://no-such-host.invalid/")).await.unwrap_err();
    assert_eq!(connect_reason(&error), ConnectReason::NameNotFound, "{error:?}");
    assert!(!error.may_have_arrived());
}

#[tokio::test]
async fn urls_against_the_rules_are_never_sent() {
    for url in ["http://192.0.2.1/", "https://user:hunter2@localhost/", "/relative"] {
        let error = direct().send(deletion(url)).await.unwrap_err();
        assert!(matches!(error, TransportError::Refused(_)), "{error:?}");
        assert!(!error.may_have_arrived());
        assert!(error.hint().is_some());
        assert!(!whole_text(&error).contains("hunter2"));
    }
}

/// The first request is dropped while its answer is outstanding. Were its connection used again,
/// the second request would read the answer to the first.
#[tokio::test]
async fn a_dropped_request_takes_its_connection_with_it() {
    let arrived = Arc::new(Notify::new());
    let closed = Arc::new(Notify::new());
    let (saw, end) = (Arc::clone(&arrived), Arc::clone(&closed));
    let server = Server::start(move |mut stream, number| {
        let (saw, end) = (Arc::clone(&saw), Arc::clone(&end));
        async move {
            if number > 0 {
                return serve_http1(stream).await;
            }
            read_head(&mut stream).await;
            saw.notify_one();
            assert_eq!(read_head(&mut stream).await, "", "a second request on this connection");
            end.notify_one();
        }
    })
    .await;
    let transport = direct();
    tokio::select! {
        answer = transport.send(deletion(&server.url("/first"))) => panic!("{answer:?}"),
        () = arrived.notified() => {}
    }
    closed.notified().await;
    let answer = transport.send(deletion(&server.url("/second"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.accepted(), 2);
}

/// A connection that ends between the check and the write hands the request back.
#[tokio::test]
async fn a_request_handed_back_unsent_surely_did_not_arrive() {
    let (client, _server) = tokio::io::duplex(1_024);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    drop(connection);
    let request = Request::new(Full::<bytes::Bytes>::default());
    let mut error = sender.try_send_request(request).await.unwrap_err();
    let returned = error.take_message().is_some();
    assert!(returned);
    let error = TransportError::exchanging("here", returned, error.into_error());
    assert!(matches!(error, TransportError::Reset { .. }), "{error:?}");
    assert!(!error.may_have_arrived());
}
