//! Small servers for the tests: each listens on a free port of loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A server that runs until the test's runtime ends.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Runs `serve` for each connection, with the number of the connection from 0 on.
    pub(super) async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, number));
            }
        });
        Self { address, accepted }
    }

    /// A well-behaved HTTP/1.1 server whose every answer is 204.
    pub(super) async fn polite() -> Self {
        Self::start(|stream, _| serve_http1(stream)).await
    }

    /// Reads one request on each connection, writes `answer` and closes.
    pub(super) async fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        })
        .await
    }

    /// A TLS server that offers `alpn`, speaks what was agreed on and answers 204.
    pub(super) async fn tls(identity: &Identity, alpn: &[&[u8]]) -> Self {
        let acceptor = identity.acceptor(alpn);
        Self::start(move |stream, _| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => serve_http2(stream).await,
                    _ => serve_http1(stream).await,
                }
            }
        })
        .await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn https_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// How many connections were accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A certificate that signs itself, and its key.
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pem: String,
    key: Vec<u8>,
}

impl Identity {
    pub(super) fn of(host: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        Self { certificate: cert.der().clone(), pem: cert.pem(), key: signing_key.serialize_der() }
    }

    pub(super) fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(self.key.clone()).into();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Lets this runtime see everything that happened on its sockets so far: a byte that was sent later
/// has arrived, and the tasks woken together with this one have run.
pub(super) async fn see_what_happened() {
    let server = Server::start(|mut stream, _| async move {
        stream.write_u8(1).await.unwrap();
    })
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.read_u8().await.unwrap();
    tokio::task::yield_now().await;
}

/// Reads up to the empty line that ends the head of a request; empty when the peer closed.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

pub(super) async fn serve_http1(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|_| async { Ok::<_, Infallible>(no_content()) });
    let server = hyper::server::conn::http1::Builder::new();
    // A client that goes away is no failure of the server.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(|_| async { Ok::<_, Infallible>(no_content()) });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

fn no_content() -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
