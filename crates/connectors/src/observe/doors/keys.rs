//! Who may come in: projects by their keys.
//!
//! Of every key only a tag is kept, made with HMAC-SHA-256 under a secret of this process. What a
//! client presents is tagged likewise and looked up; how long that takes says nothing about a
//! key, for nobody outside can know a tag.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::hmac;
use ring::rand::SystemRandom;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The name of the project that everything belongs to where no key is configured.
pub const DEFAULT_PROJECT: &str = "default";

/// Whom events belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Project {
    /// Its name.
    pub name: String,
}

impl Project {
    /// A project with this name.
    #[must_use]
    pub fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { name: name.to_owned() })
    }
}

/// A key of a project. It shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "RudderStack's word is write key")]
pub enum Key {
    /// The two keys of a project of Langfuse, by `Authorization: Basic`.
    Pair {
        /// The public one, such as `pk-lf-…`.
        public: String,
        /// The secret one.
        secret: String,
    },
    /// The write key of a source of RudderStack, by `Authorization: Basic`, whatever the password,
    /// or in the address of a beacon.
    WriteKey(String),
    /// A token, by `Authorization: Bearer` or `x-api-key`.
    Token(String),
}

impl fmt::Debug for Key {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Pair { .. } => "Pair",
            Self::WriteKey(_) => "WriteKey",
            Self::Token(_) => "Token",
        })
    }
}

/// What a client presents.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// `user:password`.
    Basic(String),
    /// A token.
    Token(String),
    /// A write key in the address.
    WriteKey(String),
}

impl Presented {
    /// What the headers present: `Authorization` before `x-api-key`.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
        let authorization = text(AUTHORIZATION.as_str());
        if let Some((scheme, value)) = authorization.and_then(|text| text.split_once(' ')) {
            let value = value.trim();
            if scheme.eq_ignore_ascii_case("basic") {
                return basic(value).map(Self::Basic);
            }
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(value)
                    .filter(|it| !it.is_empty())
                    .map(|it| Self::Token(it.to_owned()));
            }
            return None;
        }
        text("x-api-key").filter(|key| !key.is_empty()).map(|key| Self::Token(key.to_owned()))
    }

    /// The write key that the address of a beacon has: browsers send no headers with one.
    #[must_use]
    pub fn of_query(query: &str) -> Option<Self> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let mut keys = pairs.filter(|(name, _)| ["writeKey", "api_key"].contains(name));
        let (_, value) = keys.find(|(_, value)| !value.is_empty())?;
        Some(Self::WriteKey(percent_decode(value)))
    }

    /// Whether a write key is presented, even an empty one.
    fn write_key(&self) -> &str {
        match self {
            Self::Basic(pair) => pair.split_once(':').map_or(pair, |(user, _)| user),
            Self::Token(key) | Self::WriteKey(key) => key,
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.write_key().is_empty()
    }
}

fn basic(value: &str) -> Option<String> {
    let bytes = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).ok()?;
    String::from_utf8(bytes).ok()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The kinds of key, apart from one another: a write key is no secret, and must not pass as a
/// token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Pair,
    WriteKey,
    Token,
}

/// A secret of this process cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random numbers")]
pub struct NoRandom;

/// The keys of all projects.
pub struct Keys {
    secret: hmac::Key,
    projects: HashMap<(Kind, [u8; 32]), Arc<Project>>,
    default: Arc<Project>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} keys", self.projects.len())
    }
}

impl Keys {
    /// These keys. Without any, only clients on this machine may come in, as [`DEFAULT_PROJECT`].
    ///
    /// # Errors
    ///
    /// [`NoRandom`].
    pub fn new(keys: impl IntoIterator<Item = (Arc<Project>, Key)>) -> Result<Self, NoRandom> {
        let secret =
            hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(|_| NoRandom)?;
        let mut all =
            Self { secret, projects: HashMap::new(), default: Project::new(DEFAULT_PROJECT) };
        for (project, key) in keys {
            let tag = match key {
                Key::Pair { public, secret } => all.tag(Kind::Pair, &format!("{public}:{secret}")),
                Key::WriteKey(key) => all.tag(Kind::WriteKey, &key),
                Key::Token(token) => all.tag(Kind::Token, &token),
            };
            all.projects.insert(tag, project);
        }
        Ok(all)
    }

    fn tag(&self, kind: Kind, text: &str) -> (Kind, [u8; 32]) {
        let mut tag = [0; 32];
        // HMAC-SHA-256 has exactly 32 bytes.
        tag.copy_from_slice(&hmac::sign(&self.secret, text.as_bytes()).as_ref()[..32]);
        (kind, tag)
    }

    fn get(&self, kind: Kind, text: &str) -> Option<&Arc<Project>> {
        self.projects.get(&self.tag(kind, text))
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.projects.is_empty()
    }

    /// The project of what a client presents.
    #[must_use]
    pub fn find(&self, presented: &Presented) -> Option<&Arc<Project>> {
        match presented {
            Presented::Basic(pair) => self
                .get(Kind::Pair, pair)
                .or_else(|| self.get(Kind::WriteKey, presented.write_key())),
            Presented::Token(token) => self.get(Kind::Token, token),
            Presented::WriteKey(key) => self.get(Kind::WriteKey, key),
        }
    }

    /// The project that a client without a known key belongs to: only where no key is configured,
    /// and only if it is on this machine, and not behind a proxy that is.
    #[must_use]
    pub fn find_open(&self, peer: IpAddr, headers: &HeaderMap) -> Option<&Arc<Project>> {
        let is_forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"]
            .iter()
            .any(|name| headers.contains_key(*name));
        let is_local = peer.to_canonical().is_loopback() && !is_forwarded;
        (self.is_open() && is_local).then_some(&self.default)
    }
}
