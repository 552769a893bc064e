//! Addresses and methods to doors. Routes never look at the content type: the Node client of
//! RudderStack sends JSON as `application/x-www-form-urlencoded`.

use super::answer::Dialect;
use super::counters::Door;
use crate::observe::dialects::messages::TYPES;
use crate::observe::otlp::answer::Encoding;
use http::Method;

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To bring something.
    Bring(Entry),
    /// To know something.
    Ask(Question),
    /// To know whether a browser may bring something.
    Preflight,
    /// Something with the wrong method; the right ones.
    WrongMethod(Dialect, &'static str),
    /// Something else, which is the caller's.
    Other,
}

/// Where something is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Spans, in OTLP.
    Otlp,
    /// Spans in OTLP at Langfuse's address.
    LangfuseOtlp,
    /// Envelopes of old clients of Langfuse.
    Ingestion,
    /// Scores of Langfuse.
    Scores,
    /// Messages of RudderStack.
    Batch,
    /// The same with the key in the address.
    Beacon,
    /// One message of RudderStack, of this type.
    Single(&'static str),
}

impl Entry {
    /// Its door, as it is counted.
    #[must_use]
    pub const fn door(self) -> Door {
        match self {
            Self::Otlp => Door::Otlp,
            Self::LangfuseOtlp => Door::LangfuseOtlp,
            Self::Ingestion => Door::Ingestion,
            Self::Scores => Door::Scores,
            Self::Batch | Self::Single(_) => Door::Rudder,
            Self::Beacon => Door::Beacon,
        }
    }

    /// How it is answered, to a request with this encoding.
    #[must_use]
    pub const fn dialect(self, encoding: Encoding) -> Dialect {
        match self {
            Self::Otlp | Self::LangfuseOtlp => Dialect::Otlp(encoding),
            Self::Ingestion | Self::Scores => Dialect::Langfuse,
            Self::Batch | Self::Beacon | Self::Single(_) => Dialect::Rudder,
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Langfuse's `auth_check`.
    Projects,
    /// Langfuse's health.
    LangfuseHealth,
    /// RudderStack's health, and ours.
    Health,
    /// RudderStack's version.
    Version,
}

/// The route of a request.
#[must_use]
pub fn route(method: &Method, path: &str, encoding: Encoding) -> Route {
    let path = path.strip_suffix('/').filter(|short| !short.is_empty()).unwrap_or(path);
    if let Some(entry) = entry(path) {
        return match *method {
            Method::POST => Route::Bring(entry),
            Method::OPTIONS => Route::Preflight,
            _ => Route::WrongMethod(entry.dialect(encoding), "POST, OPTIONS"),
        };
    }
    if let Some(question) = question(path) {
        return match *method {
            Method::GET | Method::HEAD => Route::Ask(question),
            Method::OPTIONS => Route::Preflight,
            _ => Route::WrongMethod(Dialect::Langfuse, "GET, HEAD, OPTIONS"),
        };
    }
    Route::Other
}

fn entry(path: &str) -> Option<Entry> {
    Some(match path {
        "/v1/traces" => Entry::Otlp,
        "/api/public/otel/v1/traces" => Entry::LangfuseOtlp,
        "/api/public/ingestion" => Entry::Ingestion,
        "/api/public/scores" => Entry::Scores,
        "/v1/batch" => Entry::Batch,
        "/beacon/v1/batch" => Entry::Beacon,
        _ => {
            let kind = path.strip_prefix("/v1/")?;
            Entry::Single(TYPES.iter().find(|known| **known == kind)?)
        }
    })
}

fn question(path: &str) -> Option<Question> {
    Some(match path {
        "/api/public/projects" => Question::Projects,
        "/api/public/health" => Question::LangfuseHealth,
        "/health" => Question::Health,
        "/version" => Question::Version,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_to_doors() {
        let to = |method: Method, path: &str| route(&method, path, Encoding::Protobuf);
        assert_eq!(to(Method::POST, "/v1/traces"), Route::Bring(Entry::Otlp));
        assert_eq!(to(Method::POST, "/v1/traces/"), Route::Bring(Entry::Otlp));
        assert_eq!(to(Method::POST, "/v1/alias"), Route::Bring(Entry::Single("alias")));
        assert_eq!(to(Method::POST, "/v1/webhook"), Route::Other);
        assert_eq!(to(Method::OPTIONS, "/v1/batch"), Route::Preflight);
        assert_eq!(to(Method::HEAD, "/health"), Route::Ask(Question::Health));
        assert_eq!(
            to(Method::GET, "/v1/batch"),
            Route::WrongMethod(Dialect::Rudder, "POST, OPTIONS")
        );
        assert_eq!(to(Method::GET, "/"), Route::Other);
        assert_eq!(to(Method::GET, "/metrics"), Route::Other);
        assert_eq!(to(Method::OPTIONS, "/metrics"), Route::Other);
    }
}
