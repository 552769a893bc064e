//! What feature flags switch while the gateway runs: whether traces are taken, the share of them
//! that is kept, and each destination. A flag is asked for each event, with the trace as the key of
//! gradual rollouts (the user for product events), so that a trace goes one way as a whole.

use super::dialects::ids::hex;
use super::event::{Draft, Kind};
use super::flags::{Context, Flags};
use super::settings::Settings;
use arc_swap::ArcSwap;

/// The flags in force, and what they are asked about.
#[derive(Debug, Default)]
pub(super) struct Switches {
    flags: ArcSwap<Flags>,
    tracing: Option<String>,
    rate: Option<String>,
    /// Whether anything asks a flag at all.
    is_used: bool,
}

/// The answers for one event.
pub(super) struct Asked<'a> {
    switches: &'a Switches,
    /// `None` where nothing asks.
    context: Option<Context>,
}

impl Switches {
    /// The names of flags in the gateway's file.
    pub(super) fn new(settings: &Settings, flags: Flags) -> Self {
        let destinations = settings.destinations.iter();
        let names_one = destinations.filter_map(|one| one.flag.as_ref()).next().is_some();
        let (tracing, rate) = (settings.tracing_flag.clone(), settings.sampling.flag.clone());
        Self {
            is_used: names_one || tracing.is_some() || rate.is_some(),
            flags: ArcSwap::from_pointee(flags),
            tracing,
            rate,
        }
    }

    /// Puts other flags in force.
    pub(super) fn replace(&self, flags: Flags) {
        self.flags.store(std::sync::Arc::new(flags));
    }

    /// The answers for an event of a project at a time in milliseconds since 1970.
    pub(super) fn ask(&self, project: &str, draft: &Draft, now_ms: u64) -> Asked<'_> {
        let context = self.is_used.then(|| context(project, draft, now_ms));
        Asked { switches: self, context }
    }

    /// The answers where nothing is known, for the page.
    pub(super) fn at_large(&self, now_ms: u64) -> Asked<'_> {
        Asked { switches: self, context: self.is_used.then(|| Context::new(now_ms / 1000)) }
    }
}

impl Asked<'_> {
    /// Whether traces are taken.
    pub(super) fn is_tracing(&self) -> bool {
        self.switches.tracing.as_deref().is_none_or(|name| self.is_on(name))
    }

    /// Whether what this flag switches is on, which it is where there is no such flag.
    pub(super) fn is_on(&self, name: &str) -> bool {
        let Some(context) = &self.context else { return true };
        self.switches.flags.load().bool(name, context, true).value
    }

    /// The share of traces that a flag asks for: a number, or all or none.
    pub(super) fn rate(&self) -> Option<f64> {
        let (name, context) = (self.switches.rate.as_deref()?, self.context.as_ref()?);
        let flags = self.switches.flags.load();
        let number = flags.number(name, context, -1.0).value;
        if number >= 0.0 {
            return Some(number.min(1.0));
        }
        let (off, on) =
            (flags.bool(name, context, false).value, flags.bool(name, context, true).value);
        // The two agree where the flag is a boolean, and differ where there is none.
        (off == on).then_some(if on { 1.0 } else { 0.0 })
    }
}

fn context(project: &str, draft: &Draft, now_ms: u64) -> Context {
    let facts = &draft.facts;
    let key = match (draft.kind, &facts.trace_id, &facts.user) {
        (Kind::Message, _, Some(user)) => user.clone(),
        (_, Some(trace), _) => hex(trace),
        _ => draft.id.clone(),
    };
    let mut context = Context::new(now_ms / 1000)
        .with_targeting_key(key)
        .with("project", project)
        .with("name", facts.name.as_str())
        .with("type", facts.class.as_str());
    let others = [
        ("user", &facts.user),
        ("session", &facts.session),
        ("environment", &facts.environment),
        ("model", &facts.model),
        ("provider", &facts.provider),
    ];
    for (name, value) in others {
        if let Some(value) = value {
            context = context.with(name, value.as_str());
        }
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Facts;

    const FLAGS: &str = r#"{"flags": {
        "tracing": {"state": "ENABLED", "variants": {"on": true, "off": false},
            "defaultVariant": "on",
            "targeting": {"if": [{"==": [{"var": "environment"}, "test"]}, "off", null]}},
        "share": {"state": "ENABLED", "variants": {"few": 0.25}, "defaultVariant": "few"},
        "all": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"},
        "tenth": {"state": "ENABLED", "variants": {"on": true, "off": false},
            "defaultVariant": "off",
            "targeting": {"fractional": [["on", 10], ["off", 90]]}}
    }}"#;

    fn switches(tracing: Option<&str>, rate: Option<&str>) -> Switches {
        let mut settings =
            Settings { tracing_flag: tracing.map(str::to_owned), ..Settings::default() };
        settings.sampling.flag = rate.map(str::to_owned);
        Switches::new(&settings, Flags::parse(FLAGS).unwrap())
    }

    fn span(number: u8, environment: &str) -> Draft {
        let facts = Facts {
            trace_id: Some([number; 16]),
            environment: Some(environment.to_owned()),
            ..Facts::default()
        };
        Draft { kind: Kind::Span, id: String::new(), scope: 0, body: Vec::new(), facts }
    }

    #[test]
    fn flags_switch_tracing_and_the_share_and_back() {
        let switches = switches(Some("tracing"), Some("share"));
        assert!(!switches.ask("p", &span(1, "test"), 0).is_tracing());
        assert!(switches.ask("p", &span(1, "live"), 0).is_tracing());
        assert_eq!(switches.ask("p", &span(1, "live"), 0).rate(), Some(0.25));
        switches.replace(Flags::default());
        assert!(switches.ask("p", &span(1, "test"), 0).is_tracing());
        assert_eq!(switches.ask("p", &span(1, "live"), 0).rate(), None);
    }

    #[test]
    fn a_boolean_means_all_or_none() {
        assert_eq!(switches(None, Some("all")).ask("p", &span(1, ""), 0).rate(), Some(1.0));
        assert_eq!(switches(None, None).ask("p", &span(1, ""), 0).rate(), None);
    }

    #[test]
    fn a_rollout_goes_by_the_trace() {
        let switches = switches(Some("tracing"), None);
        let is_on = |number| switches.ask("p", &span(number, ""), 0).is_on("tenth");
        let on: Vec<u8> = (0..=255).filter(|&number| is_on(number)).collect();
        assert!((10..45).contains(&on.len()), "{}", on.len());
        assert!(on.iter().all(|&number| is_on(number)), "the same each time");
    }
}
