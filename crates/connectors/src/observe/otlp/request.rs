//! An export request taken apart: which spans it has, where they come from, and which of them
//! cannot be taken.

use super::span::{SpanView, check_resource, check_scope};
use super::wire::{Malformed, Reader};
use crate::observe::event::Scope;
use thiserror::Error;

/// How many bytes the scopes of one request may have together. Each has a copy of its resource,
/// and a few bytes of a request are enough for another scope, so this is bounded by itself.
pub const MOST_SCOPE_BYTES: usize = 16 << 20;

/// Spans that were refused one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// Why the first of them was.
    pub reason: String,
}

impl Refused {
    /// Notes another one.
    pub fn add(&mut self, reason: impl FnOnce() -> String) {
        if self.count == 0 {
            self.reason = reason();
        }
        self.count += 1;
    }

    /// Adds what was refused elsewhere, later.
    pub fn append(&mut self, later: Self) {
        if self.count == 0 {
            self.reason = later.reason;
        }
        self.count += later.count;
    }
}

/// A request that is refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRequest {
    /// It is no `ExportTraceServiceRequest`.
    #[error("the request cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// It has more spans, or more scopes, than one request may have.
    #[error("the request has more than {most} {what}; send it in parts")]
    TooMany {
        /// How many it may have.
        most: usize,
        /// Of what.
        what: &'static str,
    },
}

/// What an `ExportTraceServiceRequest` has.
#[derive(Clone, Debug, Default)]
pub struct ExportRequest<'a> {
    /// The scopes that have spans.
    pub scopes: Vec<Scope>,
    /// The readable spans, each with the index of its scope.
    pub spans: Vec<(u16, SpanView<'a>)>,
    /// The others.
    pub refused: Refused,
}

impl<'a> ExportRequest<'a> {
    /// Takes a request apart.
    ///
    /// # Errors
    ///
    /// [`BadRequest`] if the request is not one, or too large.
    pub fn parse(body: &'a [u8], most_spans: usize) -> Result<Self, BadRequest> {
        let mut taken = Taken { most_spans, scope_bytes: 0, request: Self::default() };
        for field in Reader::new(body) {
            let field = field?;
            if field.number == 1 {
                taken.resource_spans(field.value.bytes()?)?;
            }
        }
        Ok(taken.request)
    }
}

struct Taken<'a> {
    most_spans: usize,
    scope_bytes: usize,
    request: ExportRequest<'a>,
}

impl<'a> Taken<'a> {
    /// Fields may come in any order, so what the spans share is looked for first.
    fn resource_spans(&mut self, bytes: &'a [u8]) -> Result<(), BadRequest> {
        let (resource, schema) = shared(bytes)?;
        check_resource(&resource)?;
        for field in Reader::new(bytes) {
            let field = field?;
            if field.number == 2 {
                self.scope_spans(field.value.bytes()?, &resource, schema)?;
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        bytes: &'a [u8],
        resource: &[u8],
        resource_schema: &str,
    ) -> Result<(), BadRequest> {
        let (scope, schema) = shared(bytes)?;
        check_scope(&scope)?;
        let mut index = None;
        for field in Reader::new(bytes) {
            let field = field?;
            if field.number != 2 {
                continue;
            }
            match SpanView::parse(field.value.bytes()?) {
                Ok(span) => {
                    let index = match index {
                        Some(index) => index,
                        None => *index.insert(self.add_scope(Scope {
                            resource: resource.to_vec(),
                            resource_schema_url: resource_schema.to_owned(),
                            scope: scope.clone(),
                            schema_url: schema.to_owned(),
                        })?),
                    };
                    self.add_span(index, span)?;
                }
                Err(bad) => self.request.refused.add(|| bad.to_string()),
            }
        }
        Ok(())
    }

    fn add_scope(&mut self, scope: Scope) -> Result<u16, BadRequest> {
        self.scope_bytes += scope.resource.len()
            + scope.resource_schema_url.len()
            + scope.scope.len()
            + scope.schema_url.len();
        if self.scope_bytes > MOST_SCOPE_BYTES {
            return Err(BadRequest::TooMany { most: MOST_SCOPE_BYTES, what: "bytes of scopes" });
        }
        let index = u16::try_from(self.request.scopes.len())
            .map_err(|_| BadRequest::TooMany { most: usize::from(u16::MAX) + 1, what: "scopes" })?;
        self.request.scopes.push(scope);
        Ok(index)
    }

    fn add_span(&mut self, scope: u16, span: SpanView<'a>) -> Result<(), BadRequest> {
        if self.request.spans.len() >= self.most_spans {
            return Err(BadRequest::TooMany { most: self.most_spans, what: "spans" });
        }
        self.request.spans.push((scope, span));
        Ok(())
    }
}

/// Fields 1 and 3 of `ResourceSpans` and `ScopeSpans`: what the spans share, and its schema. A
/// message that is there twice is merged, which is what its bytes one after the other mean.
fn shared(bytes: &[u8]) -> Result<(Vec<u8>, &str), Malformed> {
    let mut message = Vec::new();
    let mut schema = "";
    for field in Reader::new(bytes) {
        let field = field?;
        match field.number {
            1 => message.extend_from_slice(field.value.bytes()?),
            3 => schema = field.value.text()?,
            _ => {}
        }
    }
    Ok((message, schema))
}
