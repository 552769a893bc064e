//! TLS, HTTP/2 and proxies, with certificates made on the spot.

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::{Uri, Version};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::servers::{Identity, Server, read_head, see_what_happened};
use super::{deletion, whole_text};
use crate::transport::connect::roots;
use crate::transport::{
    CaFileError, ConnectReason, NetworkOptions, ProxyRules, Transport, TransportError, read_ca_file,
};

const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

/// A transport that trusts `identity`, with the proxy variables `variables`.
fn trusting(identity: &Identity, variables: &[(&str, &str)]) -> Transport {
    let mut options = NetworkOptions::direct();
    options.extra_roots = vec![identity.certificate.clone()];
    options.proxy = rules(variables);
    Transport::network(options)
}

fn rules(variables: &[(&str, &str)]) -> ProxyRules {
    ProxyRules::from_variables(|name| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn connect_reason(error: &TransportError) -> ConnectReason {
    match error {
        TransportError::Connect { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

/// A proxy that opens every tunnel to `target` and keeps the heads of the CONNECT requests.
async fn proxy_to(target: &Server) -> (Server, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let target = target.address;
    let proxy = Server::start(move |mut client, _| {
        let kept = Arc::clone(&kept);
        async move {
            let head = read_head(&mut client).await;
            kept.lock().unwrap().push(head);
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let mut remote = TcpStream::connect(target).await.unwrap();
            // The end of a tunnel is no failure, whichever side closes it.
            drop(tokio::io::copy_bidirectional(&mut client, &mut remote).await);
        }
    })
    .await;
    (proxy, heads)
}

#[tokio::test]
async fn through_a_proxy_with_password_http2_carries_all_requests_on_one_connection() {
    let identity = Identity::of("api.example.test");
    let server = Server::tls(&identity, BOTH).await;
    let (proxy, heads) = proxy_to(&server).await;
    let setting = format!("http://ann:s%20e@{}", proxy.address);
    let transport = trusting(&identity, &[("HTTPS_PROXY", &setting)]);
    let mut requests = JoinSet::new();
    for _ in 0..40 {
        let (transport, request) = (transport.clone(), deletion("https://api.example.test/a"));
        requests.spawn(async move { transport.send(request).await.unwrap().version() });
    }
    assert!(requests.join_all().await.into_iter().all(|version| version == Version::HTTP_2));
    assert_eq!(server.accepted(), 1);
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with("CONNECT api.example.test:443 HTTP/1.1\r\n"), "{heads:?}");
    // "ann:s e" in base64.
    assert!(heads[0].contains("Proxy-Authorization: Basic YW5uOnMgZQ==\r\n"), "{heads:?}");
    assert!(!heads[0].contains("sk_secret"), "{heads:?}");
}

#[tokio::test]
async fn a_server_without_http2_is_spoken_to_in_http1_and_reused() {
    let identity = Identity::of("localhost");
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let server = Server::tls(&identity, alpn).await;
        let transport = trusting(&identity, &[]);
        for _ in 0..3 {
            let answer = transport.send(deletion(&server.https_url("/"))).await.unwrap();
            assert_eq!(answer.version(), Version::HTTP_11);
        }
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_refused_in_plain_words() {
    let identity = Identity::of("localhost");
    let server = Server::tls(&identity, BOTH).await;
    let transport = Transport::network(NetworkOptions::direct());
    let error = transport.send(deletion(&server.https_url("/"))).await.unwrap_err();
    assert_eq!(connect_reason(&error), ConnectReason::CertificateNotTrusted, "{error:?}");
    assert!(error.to_string().ends_with(": certificate not trusted"), "{error}");
    assert!(error.hint().unwrap().contains("SSL_CERT_FILE"));
    assert!(!error.may_have_arrived());
}

#[tokio::test]
async fn a_certificate_for_another_host_and_a_port_without_tls_are_told_apart() {
    let identity = Identity::of("other.example.test");
    let server = Server::tls(&identity, BOTH).await;
    let transport = trusting(&identity, &[]);
    let error = transport.send(deletion(&server.https_url("/"))).await.unwrap_err();
    assert_eq!(connect_reason(&error), ConnectReason::CertificateWrongName, "{error:?}");

    let plain = Server::polite().await;
    let error = transport.send(deletion(&plain.https_url("/"))).await.unwrap_err();
    assert_eq!(connect_reason(&error), ConnectReason::Tls, "{error:?}");
}

#[tokio::test]
async fn certificates_of_a_pem_file_are_trusted() {
    let identity = Identity::of("localhost");
    let server = Server::tls(&identity, BOTH).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(read_ca_file(file.path()), Err(CaFileError::Empty { .. })));
    file.write_all(identity.pem.as_bytes()).unwrap();
    let mut options = NetworkOptions::direct();
    options.extra_roots = read_ca_file(file.path()).unwrap();
    Transport::network(options).send(deletion(&server.https_url("/"))).await.unwrap();

    let missing = file.path().with_extension("missing");
    assert!(matches!(read_ca_file(&missing), Err(CaFileError::Unreadable { .. })));
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_its_password_is_not() {
    let proxy = Server::answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let setting = format!("http://ann:hunter2@{}", proxy.address);
    let transport = trusting(&Identity::of("a"), &[("ALL_PROXY", &setting)]);
    let error = transport.send(deletion("https://api.example.test/")).await.unwrap_err();
    assert_eq!(connect_reason(&error), ConnectReason::Proxy, "{error:?}");
    assert!(!error.may_have_arrived());
    assert!(!whole_text(&error).contains("hunter2"));
}

/// HTTP/2 tells whether a request that it drops was looked at.
#[tokio::test]
async fn a_stream_refused_unread_surely_did_not_arrive() {
    for (reason, may_have_arrived) in
        [(h2::Reason::REFUSED_STREAM, false), (h2::Reason::INTERNAL_ERROR, true)]
    {
        let identity = Identity::of("localhost");
        let acceptor = identity.acceptor(&[b"h2"]);
        let server = Server::start(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut answer))) = connection.accept().await {
                    answer.send_reset(reason);
                }
            }
        })
        .await;
        let transport = trusting(&identity, &[]);
        let error = transport.send(deletion(&server.https_url("/"))).await.unwrap_err();
        assert!(matches!(error, TransportError::Reset { .. }), "{error:?}");
        assert_eq!(error.may_have_arrived(), may_have_arrived, "{error:?}");
    }
}

/// A server may end a connection politely after any number of requests.
#[tokio::test]
async fn after_a_goaway_the_next_request_opens_a_new_connection() {
    let identity = Identity::of("localhost");
    let acceptor = identity.acceptor(&[b"h2"]);
    let ended = Arc::new(Notify::new());
    let tell = Arc::clone(&ended);
    let server = Server::start(move |stream, _| {
        let (acceptor, tell) = (acceptor.clone(), Arc::clone(&tell));
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let (request, mut answer) = connection.accept().await.unwrap().unwrap();
            answer.send_response(http::Response::new(()), true).unwrap();
            // The server waits for whoever still holds a stream.
            drop((request, answer));
            connection.graceful_shutdown();
            while let Some(Ok(_)) = connection.accept().await {}
            tell.notify_one();
        }
    })
    .await;
    let transport = trusting(&identity, &[]);
    for _ in 0..2 {
        transport.send(deletion(&server.https_url("/"))).await.unwrap();
        ended.notified().await;
        see_what_happened().await;
    }
    assert_eq!(server.accepted(), 2);
}

#[test]
fn the_roots_compiled_in_stand_in_only_where_the_system_has_none_and_none_were_chosen() {
    let own = vec![Identity::of("a").certificate];
    let count = |system: &[_], chosen| roots(system.to_vec(), chosen, &own).unwrap().len();
    assert_eq!(count(&own, false), 2);
    assert_eq!(count(&[], true), 1);
    assert!(count(&[], false) > 50);
    assert!(roots(Vec::new(), true, &[]).is_none());
}

/// The proxy for `url` under `variables`, as `host:port`.
fn proxy_of(variables: &[(&str, &str)], url: &'static str) -> Option<String> {
    let found = rules(variables).proxy_for(&Uri::from_static(url)).unwrap();
    found.map(|found| found.uri().authority().unwrap().to_string())
}

#[test]
fn the_proxy_variables_are_honoured() {
    let proxied = Some("proxy.test:3128".to_owned());
    let https = ("HTTPS_PROXY", "http://proxy.test:3128");
    let url = "https://api.example.com/";
    assert_eq!(proxy_of(&[], url), None);
    assert_eq!(proxy_of(&[https], url), proxied);
    assert_eq!(proxy_of(&[("https_proxy", "proxy.test:3128")], url), proxied);
    assert_eq!(proxy_of(&[("ALL_PROXY", "http://proxy.test:3128")], url), proxied);
    assert_eq!(proxy_of(&[https, ("ALL_PROXY", "http://other.test")], url), proxied);
    assert_eq!(proxy_of(&[("HTTPS_PROXY", ""), ("https_proxy", https.1)], url), proxied);
    assert_eq!(proxy_of(&[("HTTP_PROXY", "http://proxy.test:3128")], url), None);
}

#[test]
fn no_proxy_and_loopback_go_direct() {
    let https = ("HTTPS_PROXY", "http://proxy.test:3128");
    for (except, url, direct) in [
        ("example.com", "https://api.example.com/", true),
        (".example.com", "https://api.example.com/", true),
        ("*", "https://api.example.com/", true),
        ("10.0.0.0/8", "https://10.1.2.3/", true),
        ("other.com, example.org", "https://api.example.com/", false),
        ("ample.com", "https://api.example.com/", false),
        ("", "https://localhost:8443/", true),
        ("", "https://127.0.0.1/", true),
        ("", "https://[::1]/", true),
        ("", "http://127.0.0.1/", true),
    ] {
        let found = proxy_of(&[https, ("NO_PROXY", except)], url);
        assert_eq!(found.is_none(), direct, "{except} {url}");
    }
}

#[test]
fn a_proxy_setting_that_cannot_be_used_is_an_error_and_not_a_way_around() {
    for setting in ["socks5://proxy.test:1080", "ftp://proxy.test", "http://", "not a url"] {
        let rules = rules(&[("HTTPS_PROXY", setting), ("NO_PROXY", "direct.test")]);
        let proxy = rules.proxy_for(&Uri::from_static("https://api.example.com/"));
        assert!(matches!(proxy, Err(ConnectReason::ProxySetting)), "{setting}");
        let local = rules.proxy_for(&Uri::from_static("https://localhost/"));
        assert!(matches!(local, Ok(None)), "{setting}");
    }
}
