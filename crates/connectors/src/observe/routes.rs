//! Which destinations an event goes to: what each can take, the projects and the expression that
//! its operator named, and the flag that switches it.

use super::destinations::Sink;
use super::event::{Draft, Facts, Kind};
use super::settings::{DestinationKind, DestinationSettings};
use super::switches::Asked;
use crate::connector::OpenError;
use crate::expression::Expression;
use serde_json::json;
use serde_json::value::RawValue;

/// The way to one destination.
#[derive(Debug)]
pub(super) struct Route {
    /// The destination's name.
    pub(super) name: String,
    kind: DestinationKind,
    /// Its bit in the queue.
    bit: u32,
    projects: Option<Vec<String>>,
    only: Option<Expression>,
    /// The flag that switches it.
    pub(super) flag: Option<String>,
}

impl Route {
    /// The way to a destination with this number in the queue.
    ///
    /// # Errors
    /// When its expression is not CEL.
    pub(super) fn new(settings: &DestinationSettings, number: usize) -> Result<Self, OpenError> {
        let only = settings.only.as_deref().map(Expression::compile).transpose();
        Ok(Self {
            name: settings.name.clone(),
            kind: settings.kind,
            bit: 1 << number,
            projects: settings.projects.clone(),
            only: only.map_err(|error| OpenError::usage(error.to_string(), error.hint()))?,
            flag: settings.flag.clone(),
        })
    }

    /// Whether it is about traces, which are kept or left out whole; rows and files of what
    /// things cost are not.
    const fn is_sampled(&self, kind: Kind) -> bool {
        match kind {
            Kind::Span => !matches!(self.kind, DestinationKind::Sql),
            Kind::Message => true,
            Kind::Score | Kind::Patch => false,
        }
    }
}

/// The bits of the destinations that an event goes to. `is_kept` is what sampling says.
pub(super) fn bits(
    routes: &[Route],
    project: &str,
    draft: &Draft,
    cost_pico: Option<u64>,
    has_cost: bool,
    is_kept: bool,
    switches: &Asked<'_>,
) -> u32 {
    // The object of expressions is made once and only where somebody asks.
    let mut object: Option<Box<RawValue>> = None;
    let goes = |route: &&Route| {
        route.flag.as_deref().is_none_or(|flag| switches.is_on(flag))
            && Sink::takes(route.kind, draft.kind, has_cost)
            && (is_kept || !route.is_sampled(draft.kind))
            && route.projects.as_ref().is_none_or(|names| names.iter().any(|name| name == project))
    };
    let mut bits = 0;
    for route in routes.iter().filter(goes) {
        let holds = route.only.as_ref().is_none_or(|only| {
            let object = object.get_or_insert_with(|| object_of(project, draft, cost_pico));
            // What can't be answered goes through: nothing is lost by it.
            only.holds(object).unwrap_or(true)
        });
        if holds {
            bits |= route.bit;
        }
    }
    bits
}

/// What expressions can ask about.
fn object_of(project: &str, draft: &Draft, cost_pico: Option<u64>) -> Box<RawValue> {
    let Facts { name, class, user, session, environment, model, provider, metadata, .. } =
        &draft.facts;
    let text = json!({
        "project": project,
        "kind": draft.kind,
        "name": name,
        "type": class,
        "user": user,
        "session": session,
        "environment": environment,
        "model": model,
        "provider": provider,
        "is_error": draft.facts.is_error,
        "duration_ms": draft.facts.duration_ms(),
        "input_tokens": draft.facts.usage.all_input(),
        "output_tokens": draft.facts.usage.all_output(),
        "cost_usd": cost_pico.map(|pico| pico as f64 / 1e12),
        "metadata": metadata,
    });
    RawValue::from_string(text.to_string()).expect("a JSON value is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::switches::Switches;

    fn draft(kind: Kind) -> Draft {
        let facts = Facts { name: "chat".to_owned(), ..Facts::default() };
        Draft { kind, id: "1".to_owned(), scope: 0, body: Vec::new(), facts }
    }

    fn routes() -> Vec<Route> {
        use DestinationKind::{Jsonl, Langfuse, Rudderstack, Sql};
        let kinds = [Langfuse, Rudderstack, Sql, Jsonl];
        let route =
            |(number, kind)| Route::new(&DestinationSettings::new("name", kind), number).unwrap();
        kinds.into_iter().enumerate().map(route).collect()
    }

    #[test]
    fn each_destination_gets_what_it_can_take() {
        let routes = routes();
        let switches = Switches::default();
        let on = switches.at_large(0);
        let bits = |kind, cost, kept| bits(&routes, "p", &draft(kind), None, cost, kept, &on);
        assert_eq!(bits(Kind::Span, false, true), 0b1001);
        assert_eq!(bits(Kind::Span, true, true), 0b1101);
        assert_eq!(bits(Kind::Span, true, false), 0b0100, "a cost is never sampled");
        assert_eq!(bits(Kind::Message, false, true), 0b1110);
        assert_eq!(bits(Kind::Score, false, true), 0b1101);
    }

    #[test]
    fn projects_expressions_and_flags_narrow_a_route() {
        let mut settings = DestinationSettings::new("name", DestinationKind::Langfuse);
        settings.projects = Some(vec!["a".to_owned()]);
        settings.only = Some("name == 'chat' && project == 'a'".to_owned());
        let routes = [Route::new(&settings, 3).unwrap()];
        let switches = Switches::default();
        let on = switches.at_large(0);
        let bits = |project, draft: &Draft| bits(&routes, project, draft, None, false, true, &on);
        assert_eq!(bits("a", &draft(Kind::Span)), 0b1000);
        assert_eq!(bits("b", &draft(Kind::Span)), 0);
        let other = Draft { facts: Facts::default(), ..draft(Kind::Span) };
        assert_eq!(bits("a", &other), 0);
        settings.only = Some("name ==".to_owned());
        assert!(Route::new(&settings, 0).is_err());
    }
}
