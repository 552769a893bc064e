//! Numbered pages, as namespaces, zones and accounts are listed.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::replies::{Envelope, Refusal};

/// Which page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    page: usize,
    per_page: usize,
    most: usize,
}

impl Paging {
    /// The first page of the default length of 20, of `most` at most.
    pub(super) fn up_to(most: usize) -> Self {
        Self { page: 1, per_page: 20, most }
    }

    /// Takes a parameter of the query; false when it is none of these.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, Refusal> {
        let (field, most) = match name {
            "page" => (&mut self.page, usize::MAX),
            "per_page" => (&mut self.per_page, self.most),
            _ => return Ok(false),
        };
        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
        let wrong = || Refusal::invalid(format!("{name}: expected a number from 1 to {most}"));
        *field = number.ok_or_else(wrong)?;
        Ok(true)
    }

    /// The page of these; one past the end is empty.
    pub(super) fn reply(self, all: &[Value], envelope: Envelope) -> Response<Bytes> {
        let start = (self.page - 1).saturating_mul(self.per_page).min(all.len());
        let end = start.saturating_add(self.per_page).min(all.len());
        let info = json!({
            "count": end - start,
            "page": self.page,
            "per_page": self.per_page,
            "total_count": all.len(),
            "total_pages": all.len().div_ceil(self.per_page),
        });
        envelope.success(&json!(all[start..end]), Some(&info))
    }
}
