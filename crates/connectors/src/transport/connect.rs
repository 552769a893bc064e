//! One new connection: TCP, the tunnel through a proxy where one is set, and TLS.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;

use super::base_url::is_loopback;
use super::error::{ConnectReason, TransportError};

/// A TCP connection.
pub(super) type Tcp = TokioIo<TcpStream>;
/// TLS straight to the remote.
pub(super) type Direct = MaybeHttpsStream<Tcp>;
/// TLS through a proxy's tunnel; the proxy itself may be reached by http or https.
pub(super) type Tunnelled = MaybeHttpsStream<MaybeHttpsStream<Tcp>>;

/// A connection before HTTP, by the way it goes.
pub(super) enum Link {
    /// Plain TCP, for http on this machine.
    Plain(Tcp),
    /// TLS to the remote. `bool`: HTTP/2 was agreed on.
    Direct(Box<Direct>, bool),
    /// TLS to the remote through a proxy. `bool`: HTTP/2 was agreed on.
    Tunnelled(Box<Tunnelled>, bool),
}

/// Which proxy https requests go through. Plain http and this machine are never proxied.
#[derive(Debug, Default)]
pub struct ProxyRules {
    matcher: Option<Matcher>,
    unusable: bool,
}

impl ProxyRules {
    /// The rules in `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in upper or lower case. User and
    /// password in the proxy's URL are sent to the proxy alone.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// No proxy at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// The rules in the variables that `lookup` knows. An empty variable counts as not set.
    pub(super) fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let get = |names: [&str; 2]| {
            names.into_iter().filter_map(&lookup).find(|value| !value.trim().is_empty())
        };
        let proxy = get(["HTTPS_PROXY", "https_proxy"]).or_else(|| get(["ALL_PROXY", "all_proxy"]));
        let Some(proxy) = proxy else { return Self::none() };
        let except = get(["NO_PROXY", "no_proxy"]).unwrap_or_default();
        let anywhere = Matcher::builder().https(proxy.trim()).build();
        let usable = anywhere
            .intercept(&Uri::from_static("https://host.invalid"))
            .is_some_and(|found| matches!(found.uri().scheme_str(), Some("http" | "https")));
        let matcher = Matcher::builder().https(proxy.trim()).no(except).build();
        Self { matcher: Some(matcher), unusable: !usable }
    }

    /// The proxy for `target`, if it goes through one. A setting that cannot be used is an error
    /// rather than a silent way around the proxy.
    pub(super) fn proxy_for(&self, target: &Uri) -> Result<Option<Intercept>, ConnectReason> {
        let Some(matcher) = &self.matcher else { return Ok(None) };
        let https = target.scheme_str() == Some("https");
        if !https || target.host().is_none_or(is_loopback) {
            return Ok(None);
        }
        if self.unusable { Err(ConnectReason::ProxySetting) } else { Ok(matcher.intercept(target)) }
    }
}

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// The file cannot be read, or is not PEM.
    #[error("cannot read certificates from {path}")]
    Unreadable {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The file is readable and holds no certificate.
    #[error("{path} holds no certificate in PEM form")]
    Empty {
        /// The file.
        path: String,
    },
}

/// Reads the certificates of a PEM file, to be trusted beside the system's.
///
/// # Errors
///
/// Fails when the file cannot be read or holds no certificate.
pub fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, CaFileError> {
    let name = || path.display().to_string();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| CaFileError::Unreadable { path: name(), source })?;
    if certificates.is_empty() {
        return Err(CaFileError::Empty { path: name() });
    }
    Ok(certificates)
}

/// Opens connections.
pub(super) struct Connector {
    tcp: HttpConnector,
    proxy: ProxyRules,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<Option<Tls>>,
}

/// The same roots twice: for remotes, where HTTP/2 is offered, and for the hop to a proxy.
struct Tls {
    remote: Arc<ClientConfig>,
    proxy: Arc<ClientConfig>,
}

impl Connector {
    pub(super) fn new(proxy: ProxyRules, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Requests are small and each waits for its answer: Nagle's algorithm would only delay.
        tcp.set_nodelay(true);
        Self { tcp, proxy, extra_roots, tls: OnceLock::new() }
    }

    /// Opens a connection to `target`, of which only scheme, host and port matter. `origin` is how
    /// errors name it.
    pub(super) async fn open(&self, target: Uri, origin: &str) -> Result<Link, TransportError> {
        let failed = |proxied| move |error| TransportError::connecting(origin, proxied, error);
        let mut tcp = self.tcp.clone();
        if target.scheme_str() != Some("https") {
            let stream = tcp.call(target).await.map_err(|error| failed(false)(error.into()))?;
            return Ok(Link::Plain(stream));
        }
        let refused =
            |reason| TransportError::Connect { origin: origin.to_owned(), reason, source: None };
        let tls = self.tls().ok_or_else(|| refused(ConnectReason::NoRoots))?;
        let Some(proxy) = self.proxy.proxy_for(&target).map_err(refused)? else {
            let mut connector = HttpsConnector::from((tcp, tls.remote.clone()));
            let stream = connector.call(target).await.map_err(failed(false))?;
            let h2 = stream.connected().is_negotiated_h2();
            return Ok(Link::Direct(Box::new(stream), h2));
        };
        let hop = HttpsConnector::from((tcp, tls.proxy.clone()));
        let mut tunnel = Tunnel::new(proxy.uri().clone(), hop);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let mut connector = HttpsConnector::from((tunnel, tls.remote.clone()));
        let stream = connector.call(target).await.map_err(failed(true))?;
        let h2 = stream.connected().is_negotiated_h2();
        Ok(Link::Tunnelled(Box::new(stream), h2))
    }

    /// The TLS settings, made when the first https connection needs them: reading the system's
    /// certificates takes milliseconds that no other run should pay.
    fn tls(&self) -> Option<&Tls> {
        let made = self.tls.get_or_init(|| {
            let set = |name| std::env::var_os(name).is_some();
            let chosen = set("SSL_CERT_FILE") || set("SSL_CERT_DIR");
            let system = rustls_native_certs::load_native_certs().certs;
            roots(system, chosen, &self.extra_roots).map(client_configs)
        });
        made.as_ref()
    }
}

/// The `system`'s roots and `extra`. Where the system has none, Mozilla's list that is compiled in
/// stands for them, unless the user has `chosen` a file by `SSL_CERT_FILE` or `SSL_CERT_DIR`.
pub(super) fn roots(
    system: Vec<CertificateDer<'static>>,
    chosen: bool,
    extra: &[CertificateDer<'static>],
) -> Option<RootCertStore> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system);
    if store.is_empty() && !chosen {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store.add_parsable_certificates(extra.iter().cloned());
    (!store.is_empty()).then_some(store)
}

fn client_configs(roots: RootCertStore) -> Tls {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let proxy = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the ring provider has the suites of TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut remote = proxy.clone();
    remote.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Tls { remote: Arc::new(remote), proxy: Arc::new(proxy) }
}
