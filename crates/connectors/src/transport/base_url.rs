//! The check of a base URL when settings are read, and the URLs made from it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// Where a remote lives: scheme, host, port and an optional path in front of every request.
///
/// It is kept in one spelling (lower case host, no default port, no slash at the end), so that
/// two plans for the same remote compare equal. It holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `None` where the remote has no URL of its own.
    place: Option<(Scheme, Authority)>,
    prefix: String,
}

impl BaseUrl {
    /// The base URL of a remote that has none, because its key says where it is.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { place: None, prefix: String::new() }
    }

    /// The URL of `path`, which starts with a slash and may have a query; what comes from outside
    /// must be percent-encoded already.
    ///
    /// # Errors
    ///
    /// Fails when `path` is not a valid path of a URL, and where there is no base URL.
    pub fn join(&self, path: &str) -> Result<Uri, http::Error> {
        let full = if self.prefix.is_empty() {
            Uri::builder().path_and_query(path)
        } else {
            Uri::builder().path_and_query(format!("{}{path}", self.prefix))
        };
        match &self.place {
            Some((scheme, authority)) => {
                full.scheme(scheme.clone()).authority(authority.clone()).build()
            }
            // A scheme without a host is no URL.
            None => full.scheme(Scheme::HTTPS).build(),
        }
    }

    /// The host name or address, without port; empty where there is no base URL.
    pub fn host(&self) -> &str {
        self.place.as_ref().map_or("", |(_, authority)| authority.host())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some((scheme, authority)) => write!(f, "{scheme}://{authority}{}", self.prefix),
            None => Ok(()),
        }
    }
}

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        check_base_url(text)
    }
}

/// Why a base URL is refused. No text repeats the URL, because it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// `api.example.com` instead of `https://api.example.com`.
    #[error("the URL has no scheme")]
    MissingScheme,
    /// Anything but http and https.
    #[error("the URL's scheme is neither https nor http")]
    UnsupportedScheme,
    /// Text that no URL parser accepts.
    #[error("this is not a URL")]
    NotUrl,
    /// A port outside 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    BadPort,
    /// `https://user:password@host`.
    #[error("the URL holds a user name or password")]
    Userinfo,
    /// A `?` or `#` in a base URL.
    #[error("the URL has a query or fragment")]
    Query,
    /// Plain http to another machine would show the API key to the network.
    #[error("plain http to {host} would send the credentials unencrypted")]
    PlainHttp {
        /// The host that is not this machine.
        host: String,
    },
}

impl BaseUrlError {
    /// What the user can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::MissingScheme => "write it as https://host",
            Self::UnsupportedScheme => "use https://, or http:// for this machine",
            Self::NotUrl => "write it as https://host, https://host:port or https://host/path",
            Self::BadPort => "write the port after the host, as in https://host:8443",
            Self::Userinfo => "remove what stands before the @; keys have settings of their own",
            Self::Query => "remove everything from the ? or # on",
            Self::PlainHttp { .. } => {
                "use https://; http:// is only for 127.0.0.0/8, ::1 and localhost"
            }
        }
    }
}

/// Checks a base URL and brings it into one spelling.
///
/// # Errors
///
/// Fails as the kinds of [`BaseUrlError`] say; each has a hint.
pub fn check_base_url(text: &str) -> Result<BaseUrl, BaseUrlError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(BaseUrlError::NotUrl);
    }
    let Some((scheme, _)) = text.split_once("://") else {
        return Err(BaseUrlError::MissingScheme);
    };
    if text.contains(['?', '#']) {
        return Err(BaseUrlError::Query);
    }
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return Err(BaseUrlError::UnsupportedScheme);
    }
    let uri: Uri = text.parse().map_err(|_| BaseUrlError::NotUrl)?;
    check_target(&uri)?;
    let scheme = uri.scheme().ok_or(BaseUrlError::MissingScheme)?.clone();
    let authority = one_spelling(&uri)?;
    let prefix = uri.path().trim_end_matches('/').to_owned();
    Ok(BaseUrl { place: Some((scheme, authority)), prefix })
}

/// The rules that hold for the URL of every request: an absolute http or https URL without user
/// information, with a real port, and https unless it stays on this machine.
pub(super) fn check_target(uri: &Uri) -> Result<(), BaseUrlError> {
    let scheme = uri.scheme_str().ok_or(BaseUrlError::MissingScheme)?;
    let authority = uri.authority().ok_or(BaseUrlError::NotUrl)?;
    let host = authority.host();
    if authority.as_str().contains('@') {
        return Err(BaseUrlError::Userinfo);
    }
    if host.is_empty() {
        return Err(BaseUrlError::NotUrl);
    }
    let has_port = authority.as_str().len() > host.len();
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(BaseUrlError::BadPort);
    }
    match scheme {
        "https" => Ok(()),
        "http" if is_loopback(host) => Ok(()),
        "http" => Err(BaseUrlError::PlainHttp { host: host.to_owned() }),
        _ => Err(BaseUrlError::UnsupportedScheme),
    }
}

/// Whether `host` is this machine: 127.0.0.0/8, ::1 or localhost.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
}

/// The authority in lower case and without the scheme's default port.
fn one_spelling(uri: &Uri) -> Result<Authority, BaseUrlError> {
    let host = uri.host().ok_or(BaseUrlError::NotUrl)?.to_ascii_lowercase();
    let default = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    let text = match uri.port_u16() {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host,
    };
    text.parse().map_err(|_| BaseUrlError::NotUrl)
}
