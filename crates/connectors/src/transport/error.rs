//! What can go wrong between a request and its answer, in kinds the engine can act on.

use std::error::Error as StdError;
use std::io;

use http_body_util::LengthLimitError;

use super::base_url::BaseUrlError;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a request has no answer.
///
/// The causes stay reachable through `source()`. No text holds a header or user information.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection could be opened, so nothing was sent.
    #[error("cannot connect to {origin}: {reason}")]
    Connect {
        /// Scheme, host and port of the remote.
        origin: String,
        /// The reason in words.
        reason: ConnectReason,
        /// The cause, where there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// The connection closed before the answer was complete.
    #[error("the connection to {origin} closed before the answer was complete")]
    Reset {
        /// Scheme, host and port of the remote.
        origin: String,
        /// False where the request surely stayed here or was refused unread.
        may_have_arrived: bool,
        /// The cause, where there is one.
        #[source]
        source: Option<BoxError>,
    },
    /// The answer's body is larger than the bound.
    #[error("the answer of {origin} is larger than {bytes_max} bytes")]
    BodyTooLarge {
        /// Scheme, host and port of the remote.
        origin: String,
        /// The bound in bytes.
        bytes_max: usize,
    },
    /// The answer is not valid HTTP.
    #[error("the answer of {origin} is not valid HTTP")]
    Malformed {
        /// Scheme, host and port of the remote.
        origin: String,
        /// What the parser objected to.
        #[source]
        source: BoxError,
    },
    /// The request's URL breaks the rules; nothing was sent.
    #[error("the request was not sent")]
    Refused(#[from] BaseUrlError),
}

/// Why no connection could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectReason {
    /// Nothing listens at that address and port.
    #[error("connection refused")]
    Refused,
    /// The host name has no address.
    #[error("host name not found")]
    NameNotFound,
    /// The operating system gave up waiting.
    #[error("no answer from the network")]
    TimedOut,
    /// No route to the network or host.
    #[error("network unreachable")]
    Unreachable,
    /// The other side closed while the connection was set up.
    #[error("closed while connecting")]
    Closed,
    /// The certificate's issuer is not among the trusted roots.
    #[error("certificate not trusted")]
    CertificateNotTrusted,
    /// The certificate is for another host name.
    #[error("certificate is for another host")]
    CertificateWrongName,
    /// The certificate is past its end or before its start.
    #[error("certificate expired or not yet valid")]
    CertificateExpired,
    /// Any other failure of the TLS handshake.
    #[error("TLS handshake failed")]
    Tls,
    /// There is no usable root certificate.
    #[error("no trusted root certificates could be read")]
    NoRoots,
    /// The proxy did not open a tunnel.
    #[error("the proxy opened no tunnel")]
    Proxy,
    /// The proxy setting cannot be used.
    #[error("the proxy setting is not an http:// or https:// URL")]
    ProxySetting,
    /// Anything else; the cause says more.
    #[error("connection failed")]
    Other,
}

impl ConnectReason {
    /// What the user can do next.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Refused => "check host and port of the base URL, and that the server runs",
            Self::NameNotFound => "check the host of the base URL and the name server",
            Self::TimedOut | Self::Unreachable | Self::Closed | Self::Other => {
                "check the network, and HTTPS_PROXY if this network needs a proxy"
            }
            Self::CertificateNotTrusted | Self::NoRoots => {
                "set SSL_CERT_FILE to a PEM file with the issuing certificate"
            }
            Self::CertificateWrongName => "check the host of the base URL",
            Self::CertificateExpired => "check this machine's clock, then the server's certificate",
            Self::Tls => "check that the port of the base URL speaks TLS 1.2 or 1.3",
            Self::Proxy => "check address, user and password in HTTPS_PROXY, or set NO_PROXY",
            Self::ProxySetting => "set HTTPS_PROXY or ALL_PROXY to http://host:port, or remove it",
        }
    }
}

impl TransportError {
    /// Whether the remote may have seen the request, and so may have acted on it.
    ///
    /// False only where it surely has not: such a request may be sent again whatever it does.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Refused(_) => false,
            Self::Reset { may_have_arrived, .. } => *may_have_arrived,
            Self::BodyTooLarge { .. } | Self::Malformed { .. } => true,
        }
    }

    /// What the user can do next, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect { reason, .. } => Some(reason.hint()),
            Self::Refused(cause) => Some(cause.hint()),
            Self::Reset { .. } | Self::BodyTooLarge { .. } | Self::Malformed { .. } => None,
        }
    }

    /// Sorts a failure to connect. `proxied` says that it happened on the way through a proxy.
    pub(super) fn connecting(origin: &str, proxied: bool, source: BoxError) -> Self {
        let reason = connect_reason(&*source, proxied);
        Self::Connect { origin: origin.to_owned(), reason, source: Some(source) }
    }

    /// Sorts a failure while a request was sent or its answer awaited. `returned` says that the
    /// connection handed the request back unsent.
    pub(super) fn exchanging(origin: &str, returned: bool, source: hyper::Error) -> Self {
        let origin = origin.to_owned();
        if source.is_parse() || (!returned && is_invalid(&source)) {
            return Self::Malformed { origin, source: source.into() };
        }
        let may_have_arrived = !returned && !refused_unread(&source);
        Self::Reset { origin, may_have_arrived, source: Some(source.into()) }
    }

    /// Sorts a failure while the body of an answer was read.
    pub(super) fn reading(origin: &str, bytes_max: usize, source: BoxError) -> Self {
        let origin = origin.to_owned();
        if source.is::<LengthLimitError>() {
            Self::BodyTooLarge { origin, bytes_max }
        } else if is_invalid(&*source) {
            Self::Malformed { origin, source }
        } else {
            Self::Reset { origin, may_have_arrived: true, source: Some(source) }
        }
    }
}

fn connect_reason(error: &(dyn StdError + 'static), proxied: bool) -> ConnectReason {
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_reason(tls);
    }
    if proxied {
        return ConnectReason::Proxy;
    }
    let Some(io) = find::<io::Error>(error) else { return ConnectReason::Other };
    match io.kind() {
        io::ErrorKind::ConnectionRefused => ConnectReason::Refused,
        io::ErrorKind::TimedOut => ConnectReason::TimedOut,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            ConnectReason::Unreachable
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => ConnectReason::Closed,
        _ if is_name_lookup(error) => ConnectReason::NameNotFound,
        _ => ConnectReason::Other,
    }
}

fn tls_reason(error: &rustls::Error) -> ConnectReason {
    use rustls::CertificateError as Certificate;
    let rustls::Error::InvalidCertificate(cause) = error else { return ConnectReason::Tls };
    match cause {
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            ConnectReason::CertificateWrongName
        }
        Certificate::Expired
        | Certificate::ExpiredContext { .. }
        | Certificate::NotValidYet
        | Certificate::NotValidYetContext { .. } => ConnectReason::CertificateExpired,
        _ => ConnectReason::CertificateNotTrusted,
    }
}

/// hyper-util names a failed look-up only in its text.
fn is_name_lookup(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|cause| cause.to_string().starts_with("dns error"))
}

/// hyper reports a broken chunk or length as an I/O error of these kinds.
fn is_invalid(error: &(dyn StdError + 'static)) -> bool {
    find::<io::Error>(error).is_some_and(|io| {
        matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
    })
}

/// HTTP/2 says so when it drops a request unread: REFUSED_STREAM, or a GOAWAY without error, which
/// ends only the streams above the last one processed (RFC 9113, sections 6.8 and 8.7).
fn refused_unread(error: &(dyn StdError + 'static)) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && ((error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
    })
}

/// The error and its causes. An `io::Error` hides the error it wraps from `source()`, so the
/// wrapped one is taken in its place.
fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// The innermost cause of type `E`.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    chain(error).filter_map(|cause| cause.downcast_ref::<E>()).last()
}
