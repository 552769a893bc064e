//! From events to rows, in the form that both databases read as text.

use crate::observe::destinations::Pending;
use crate::observe::event::{CostRow, Kind};
use jiff::Timestamp;

/// The rows of a batch. An id stands once in each table.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rows<'a> {
    pub(super) costs: Vec<Cost<'a>>,
    pub(super) events: Vec<EventLog<'a>>,
}

/// A row of `model_cost_logs`.
#[derive(Debug, PartialEq)]
pub(super) struct Cost<'a> {
    pub(super) workspace: &'a str,
    pub(super) id: &'a str,
    pub(super) at: Timestamp,
    pub(super) user: Option<&'a str>,
    pub(super) trace: Option<&'a str>,
    pub(super) span: Option<&'a str>,
    pub(super) row: &'a CostRow,
}

/// A row of `event_logs`.
#[derive(Debug, PartialEq)]
pub(super) struct EventLog<'a> {
    pub(super) workspace: &'a str,
    pub(super) id: &'a str,
    pub(super) at: Timestamp,
    pub(super) user: Option<&'a str>,
    pub(super) class: &'a str,
    pub(super) name: &'a str,
    pub(super) flags: Option<String>,
    pub(super) payload: &'a [u8],
}

impl<'a> Rows<'a> {
    pub(super) fn of(batch: &'a [Pending]) -> Self {
        let mut seen = std::collections::HashSet::with_capacity(batch.len());
        let mut rows = Self::default();
        for pending in batch {
            let event = &pending.event;
            let (workspace, id) = (pending.shared.project.as_str(), event.id.as_str());
            if !seen.insert((workspace, id)) {
                continue;
            }
            let at = i64::try_from(event.at_ms).ok();
            let at = at.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
            let user = event.user.as_deref();
            if let Some(row) = &event.cost {
                let (trace, span) = ids(event.kind, id);
                rows.costs.push(Cost { workspace, id, at, user, trace, span, row });
            }
            if event.kind != Kind::Span {
                let flags = (!event.flags.is_empty()).then(|| event.flags.join(","));
                let (class, name) = (event.class.as_str(), event.name.as_str());
                let payload = event.body.as_slice();
                rows.events.push(EventLog { workspace, id, at, user, class, name, flags, payload });
            }
        }
        rows
    }
}

/// The two halves of a span's id.
fn ids(kind: Kind, id: &str) -> (Option<&str>, Option<&str>) {
    match id.split_once('-') {
        Some((trace, span)) if kind == Kind::Span => (Some(trace), Some(span)),
        _ => (None, None),
    }
}

/// A count as the databases have it.
pub(super) fn count(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}
