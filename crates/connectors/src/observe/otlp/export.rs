//! Export requests put together from spans that wait by themselves: spans with the same resource
//! and scope share them again. The size is known before anything is built.

use super::wire::{delimited_len, put_bytes, put_header};
use crate::observe::event::Scope;
use std::collections::HashMap;

/// The spans of one scope.
#[derive(Debug)]
struct Group<'a> {
    scope: &'a Scope,
    spans: Vec<&'a [u8]>,
    /// The bytes of the spans as fields of `ScopeSpans`.
    span_bytes: usize,
}

impl Group<'_> {
    /// The content of the message `ScopeSpans`.
    fn content_len(&self) -> usize {
        let Scope { scope, schema_url, .. } = self.scope;
        optional_len(1, scope) + self.span_bytes + optional_len(3, schema_url.as_bytes())
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_header(out, 2, self.content_len());
        put_optional(out, 1, &self.scope.scope);
        for span in &self.spans {
            put_bytes(out, 2, span);
        }
        put_optional(out, 3, self.scope.schema_url.as_bytes());
    }
}

/// An `ExportTraceServiceRequest` in the making.
#[derive(Debug, Default)]
pub struct Export<'a> {
    groups: Vec<Group<'a>>,
    /// Where the group of a scope is.
    index: HashMap<ScopeKey<'a>, usize>,
    /// Groups by their resource and its schema, in the order of their first span.
    resources: Vec<Vec<usize>>,
    resource_index: HashMap<(&'a [u8], &'a str), usize>,
    spans: usize,
}

type ScopeKey<'a> = (&'a [u8], &'a str, &'a [u8], &'a str);

impl<'a> Export<'a> {
    /// An empty request.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an encoded span.
    pub fn push(&mut self, scope: &'a Scope, span: &'a [u8]) {
        let resource = (scope.resource.as_slice(), scope.resource_schema_url.as_str());
        let key = (resource.0, resource.1, scope.scope.as_slice(), scope.schema_url.as_str());
        let next = self.groups.len();
        let index = *self.index.entry(key).or_insert(next);
        if index == next {
            self.groups.push(Group { scope, spans: Vec::new(), span_bytes: 0 });
            let next = self.resources.len();
            let at = *self.resource_index.entry(resource).or_insert(next);
            if at == next {
                self.resources.push(Vec::new());
            }
            self.resources[at].push(index);
        }
        let group = &mut self.groups[index];
        group.spans.push(span);
        group.span_bytes += delimited_len(2, span.len());
        self.spans += 1;
    }

    /// How many spans it has.
    #[cfg(test)]
    #[must_use]
    pub const fn spans(&self) -> usize {
        self.spans
    }

    /// How many bytes [`Export::build`] will return.
    #[must_use]
    pub fn size(&self) -> usize {
        self.resources.iter().map(|groups| delimited_len(1, self.resource_len(groups))).sum()
    }

    /// The content of the message `ResourceSpans`.
    fn resource_len(&self, groups: &[usize]) -> usize {
        let Scope { resource, resource_schema_url, .. } = self.resource_of(groups);
        let scopes = groups
            .iter()
            .map(|group| delimited_len(2, self.groups[*group].content_len()))
            .sum::<usize>();
        optional_len(1, resource) + scopes + optional_len(3, resource_schema_url.as_bytes())
    }

    /// Groups are made with their first scope, so there is always one.
    fn resource_of(&self, groups: &[usize]) -> &'a Scope {
        self.groups[groups[0]].scope
    }

    /// The encoded request.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        for groups in &self.resources {
            let Scope { resource, resource_schema_url, .. } = self.resource_of(groups);
            put_header(&mut out, 1, self.resource_len(groups));
            put_optional(&mut out, 1, resource);
            for group in groups {
                self.groups[*group].put(&mut out);
            }
            put_optional(&mut out, 3, resource_schema_url.as_bytes());
        }
        out
    }
}

/// The most bytes that a request of a single span has, for a check before it is put together.
#[cfg(test)]
#[must_use]
pub fn size_alone(scope: &Scope, span: &[u8]) -> usize {
    let mut export = Export::new();
    export.push(scope, span);
    export.size()
}

/// Protobuf leaves out what is empty.
const fn optional_len(number: u32, content: &[u8]) -> usize {
    if content.is_empty() { 0 } else { delimited_len(number, content.len()) }
}

fn put_optional(out: &mut Vec<u8>, number: u32, content: &[u8]) {
    if !content.is_empty() {
        put_bytes(out, number, content);
    }
}
