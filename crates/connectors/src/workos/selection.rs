//! What is to be deleted and what must stay: one selection, used by the plan and by the checks
//! before it is applied, so that what was shown and what is done can't disagree.

use super::api::{Entity, Resource};
use super::args::{DeleteArgs, GuardArgs};
use super::dates::{Range, Written};
use crate::connector::{OpenError, Setup};
use crate::expression::Expression;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::path::Path;
use windlass_engine::plan::Header;

/// What an object is to this selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is to be deleted.
    Delete,
    /// It does not match; nothing more is said about it.
    Pass,
    /// It matches, or can't be judged, and is left alone for this reason.
    Leave(&'static str),
}

/// The reasons for leaving an object alone.
pub mod reasons {
    /// `created_at` is missing or unreadable.
    pub const UNDATED: &str = "unknown creation date";
    /// A protect expression holds, or can't be answered.
    pub const PROTECTED: &str = "protected";
    /// The exclude file names it.
    pub const EXCLUDED: &str = "excluded by file";
    /// The where expression can't be answered for it.
    pub const UNDECIDED: &str = "--where can't be answered";
    /// Its id could change the path of a request.
    pub const ODD_ID: &str = "unexpected id";
    /// It was touched or used after the plan was made.
    pub const CHANGED: &str = "changed since the plan";
}

/// The options in the header of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Options {
    range: Range,
    tz: String,
    now: Timestamp,
    organizations: bool,
    users: bool,
    #[serde(rename = "where")]
    filter: Option<String>,
    protect: Vec<String>,
    excluded: usize,
}

/// A resolved selection.
#[derive(Debug)]
pub struct Selection {
    options: Options,
    filter: Option<Expression>,
    protect: Vec<Expression>,
    excluded: BTreeSet<String>,
    /// Whether to list again before the first deletion.
    pub drift_check: bool,
    /// Whether guards were named that the plan was not made with.
    pub stricter: bool,
}

impl Selection {
    /// Resolves the arguments of a command line.
    ///
    /// # Errors
    /// Whatever is wrong with dates, expressions or the exclude file.
    pub fn resolve(args: &DeleteArgs, setup: &Setup) -> Result<Self, OpenError> {
        let written = Written {
            start: args.start.as_deref(),
            end: args.end.as_deref(),
            tz: &args.tz,
            older_than: args.older_than.as_deref(),
            newer_than: args.newer_than.as_deref(),
            open_range: args.open_range,
        };
        let range = Range::resolve(written, setup.now)?;
        let protect = [setup.protect.clone(), args.guards.protect.clone()].concat();
        let excluded = read_names(args.guards.exclude_file.as_deref())?;
        let options = Options {
            range,
            tz: args.tz.clone(),
            now: setup.now,
            organizations: !args.users_only,
            users: args.users || args.users_only,
            filter: args.filter.clone(),
            protect,
            excluded: excluded.len(),
        };
        Self::compile(options, excluded, args.guards.drift_check, false)
    }

    /// The selection of a plan, with guards that are named when it is applied.
    ///
    /// # Errors
    /// When the header's options are not understood, or the guards are wrong.
    pub fn of_plan(plan: &Header, guards: &GuardArgs, setup: &Setup) -> Result<Self, OpenError> {
        let mut options: Options =
            serde_json::from_value(plan.options.clone()).map_err(|error| {
                OpenError::usage(
                    format!("the plan's options are not understood: {error}"),
                    "use the version of windlass that made it",
                )
            })?;
        let excluded = read_names(guards.exclude_file.as_deref())?;
        let named = [setup.protect.clone(), guards.protect.clone()].concat();
        let fresh: Vec<String> =
            named.into_iter().filter(|text| !options.protect.contains(text)).collect();
        let stricter = !fresh.is_empty() || !excluded.is_empty();
        options.protect.extend(fresh);
        Self::compile(options, excluded, guards.drift_check, stricter)
    }

    fn compile(
        options: Options,
        excluded: BTreeSet<String>,
        drift_check: bool,
        stricter: bool,
    ) -> Result<Self, OpenError> {
        let compile = |text: &String| {
            Expression::compile(text)
                .map_err(|error| OpenError::usage(error.to_string(), error.hint()))
        };
        Ok(Self {
            filter: options.filter.as_ref().map(compile).transpose()?,
            protect: options.protect.iter().map(compile).collect::<Result<_, _>>()?,
            excluded,
            drift_check,
            stricter,
            options,
        })
    }

    /// The resources, in the order of the plan's phases.
    pub fn resources(&self) -> impl Iterator<Item = Resource> {
        let organizations = self.options.organizations.then_some(Resource::Organization);
        organizations.into_iter().chain(self.options.users.then_some(Resource::User))
    }

    /// What an object is to this selection.
    #[must_use]
    pub fn choose(&self, resource: Resource, entity: &Entity<'_>, object: &RawValue) -> Choice {
        let Some(created_at) = entity.created_at() else {
            return Choice::Leave(reasons::UNDATED);
        };
        if !self.options.range.contains(created_at) {
            return Choice::Pass;
        }
        match self.filter.as_ref().map(|filter| filter.holds(object)) {
            Some(Ok(false)) => return Choice::Pass,
            Some(Err(_)) => return Choice::Leave(reasons::UNDECIDED),
            Some(Ok(true)) | None => {}
        }
        if !resource.is_id(&entity.id) {
            return Choice::Leave(reasons::ODD_ID);
        }
        self.guarded(entity, object).map_or(Choice::Delete, Choice::Leave)
    }

    /// Why an object that matches must stay all the same. An expression that can't be answered
    /// protects.
    #[must_use]
    pub fn guarded(&self, entity: &Entity<'_>, object: &RawValue) -> Option<&'static str> {
        if !self.excluded.is_empty() && entity.names().any(|name| self.excluded.contains(&name)) {
            return Some(reasons::EXCLUDED);
        }
        let holds = |protect: &Expression| protect.holds(object).unwrap_or(true);
        self.protect.iter().any(holds).then_some(reasons::PROTECTED)
    }

    /// The options for the plan's header.
    #[must_use]
    pub fn options(&self) -> serde_json::Value {
        serde_json::to_value(&self.options).expect("options are plain JSON")
    }

    /// The same for people.
    #[must_use]
    pub fn for_people(&self) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let instant = |bound: Option<Timestamp>, open: &str| {
            bound.map_or_else(|| open.to_owned(), |instant| instant.to_string())
        };
        let what = match (options.organizations, options.users) {
            (true, true) => "organizations, then users",
            (true, false) => "organizations",
            (false, _) => "users",
        };
        let mut rows = vec![
            ("delete", what.to_owned()),
            ("created from", instant(options.range.start, "the beginning of time")),
            ("created before", instant(options.range.end, "the end of time")),
            ("days in", options.tz.clone()),
        ];
        rows.extend(options.filter.clone().map(|filter| ("where", filter)));
        rows.extend(options.protect.iter().map(|protect| ("protect", protect.clone())));
        if options.excluded > 0 {
            rows.push(("exclude file", format!("{} names", options.excluded)));
        }
        rows
    }

    /// What a person should know before they say yes.
    #[must_use]
    pub fn warnings(&self, setup: &Setup) -> Vec<String> {
        let mut warnings = vec![
            "WorkOS deletes for good, and sends a webhook to your systems for every deletion"
                .to_owned(),
        ];
        if self.options.users {
            warnings.push(
                "deleting users shares its quota (500 writes in 10 s) with your production sign-ins"
                    .to_owned(),
            );
        }
        if self.options.range.end.is_some_and(|end| end > setup.now) {
            warnings.push(
                "the range ends in the future; what is created after this plan is not in it"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// The names in an exclude file: one a line, `#` begins a comment line.
fn read_names(path: Option<&Path>) -> Result<BTreeSet<String>, OpenError> {
    let Some(path) = path else { return Ok(BTreeSet::new()) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        OpenError::usage(
            format!("the exclude file {} can't be read: {error}", path.display()),
            "name a text file with an id, external id, email or name a line",
        )
    })?;
    let names =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(names.map(str::to_owned).collect())
}
