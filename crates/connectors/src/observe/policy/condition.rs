//! Owns the question whether a policy is about an event: attributes compared with values, all of
//! which must hold. The answer depends on nothing else, so it can be kept.

use crate::observe::event::{Facts, Kind};
use crate::observe::mask::glob::Glob;

/// An event as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The project whose key the request had: the workspace.
    pub project: &'a str,
    /// The name of that key.
    pub key_name: &'a str,
    /// What kind of event it is.
    pub kind: Kind,
    /// What it says.
    pub facts: &'a Facts,
    /// What it cost, in units of 10^-12 US dollars; `None` where that is not known.
    pub cost_pico: Option<u64>,
}

/// What a condition or a group looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attribute {
    Workspace,
    ApiKey,
    User,
    Session,
    Environment,
    Provider,
    Model,
    Name,
    Type,
    Kind,
    Prompt,
    Metadata(Box<str>),
}

/// The names of keys; those of Portkey's policies are among them.
pub(super) const ATTRIBUTES: [(&str, Attribute); 15] = [
    ("workspace", Attribute::Workspace),
    ("workspace_id", Attribute::Workspace),
    ("project", Attribute::Workspace),
    ("api_key", Attribute::ApiKey),
    ("user", Attribute::User),
    ("session", Attribute::Session),
    ("environment", Attribute::Environment),
    ("provider", Attribute::Provider),
    ("model", Attribute::Model),
    ("name", Attribute::Name),
    ("type", Attribute::Type),
    ("kind", Attribute::Kind),
    ("prompt", Attribute::Prompt),
    ("prompt_id", Attribute::Prompt),
    ("config", Attribute::Prompt),
];

impl Attribute {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("metadata.") {
            return (!name.is_empty()).then(|| Self::Metadata(name.into()));
        }
        ATTRIBUTES.into_iter().find(|(name, _)| *name == text).map(|(_, known)| known)
    }

    pub(super) fn of<'a>(&self, subject: &Subject<'a>) -> Option<&'a str> {
        let facts = subject.facts;
        let some = |text: &'a str| (!text.is_empty()).then_some(text);
        match self {
            Self::Workspace => some(subject.project),
            Self::ApiKey => some(subject.key_name),
            Self::User => facts.user.as_deref(),
            Self::Session => facts.session.as_deref(),
            Self::Environment => facts.environment.as_deref(),
            Self::Provider => facts.provider.as_deref(),
            Self::Model => facts.requested_model.as_deref().or(facts.model.as_deref()),
            Self::Name => some(&facts.name),
            Self::Type => some(&facts.class),
            Self::Kind => Some(kind(subject.kind)),
            Self::Prompt => facts.prompt.as_deref(),
            Self::Metadata(name) => facts.metadata.get(name.as_ref()).map(String::as_str),
        }
    }

    /// Models and providers are spelled in many ways.
    pub(super) const fn ignores_case(&self) -> bool {
        matches!(self, Self::Model | Self::Provider)
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Metadata(name) => format!("metadata.{name}"),
            attribute => {
                let known = ATTRIBUTES.iter().find(|(_, known)| known == attribute);
                known.map_or_else(String::new, |(name, _)| (*name).to_owned())
            }
        }
    }
}

/// The word for a kind of event.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Span => "span",
        Kind::Score => "score",
        Kind::Message => "message",
        Kind::Patch => "patch",
    }
}

/// An attribute and what it may be.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) attribute: Attribute,
    values: Vec<Glob>,
    excludes: bool,
}

impl Condition {
    pub(super) fn new(attribute: Attribute, values: &[String], excludes: bool) -> Self {
        let glob = |value: &String| Glob::new(value, attribute.ignores_case());
        Self { values: values.iter().map(glob).collect(), attribute, excludes }
    }

    /// Whether one of the values fits, or with `excludes` none of them. An event without the
    /// attribute fits no value, not even `*`.
    pub(super) fn holds(&self, subject: &Subject<'_>) -> bool {
        let value = self.attribute.of(subject);
        value.is_some_and(|value| self.values.iter().any(|glob| glob.fits(value))) != self.excludes
    }
}
