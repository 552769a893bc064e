//! Every switch of the WorkOS simulator, which are also the flags of `windlass sim workos`.

use std::time::Duration;

use jiff::civil::{Date, date};
use serde_json::{Map, Value};
use windlass_sim::{ChassisOptions, ServeOptions, WindowKind, parse_rate, parse_span};

use super::limits::Limit;

/// What the simulated WorkOS holds and how it behaves. The default is faithful to the published
/// specification, with the documented limits judged by an exact sliding log.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many organizations to generate
    #[arg(long, visible_alias = "orgs", value_name = "COUNT", default_value_t = 500)]
    pub organizations: u32,
    /// How many users to generate
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    pub users: u32,
    /// First day, in UTC, on which generated objects were created
    #[arg(long, value_name = "DATE", default_value = "2005-12-10")]
    pub from: Date,
    /// Last day, in UTC, on which generated objects were created
    #[arg(long, value_name = "DATE", default_value = "2005-12-31")]
    pub to: Date,
    /// Every generated object was created on this day, in UTC
    #[arg(long, value_name = "DATE", conflicts_with_all = ["from", "to"])]
    pub all_on: Option<Date>,
    /// A valid API key; may be repeated
    #[arg(long = "key", value_name = "KEY", default_value = "sk_test_simulated")]
    pub keys: Vec<String>,
    /// Accept any key that is not empty
    #[arg(long)]
    pub any_key: bool,
    /// A valid key that may do nothing: every request is answered 403; may be repeated
    #[arg(long = "forbidden-key", value_name = "KEY")]
    pub forbidden_keys: Vec<String>,
    /// A valid key that may only read: deletions are answered 403; may be repeated
    #[arg(long = "read-only-key", value_name = "KEY")]
    pub read_only_keys: Vec<String>,
    /// How the windows of the limits look at the past
    #[arg(long, value_enum, default_value_t)]
    pub windows: WindowKind,
    /// Judge every limit by an exact sliding log, whatever --windows says
    #[arg(long, conflicts_with = "no_limits")]
    pub strict: bool,
    /// Another limit, like `organization-delete=50/1s` or `all=unlimited`; the names are all,
    /// organization-delete, authkit-read and authkit-write
    #[arg(long = "limit", value_name = "NAME=LIMIT")]
    pub limits: Vec<Limit>,
    /// No limits at all
    #[arg(long)]
    pub no_limits: bool,
    /// Share of every limit that a second client on the same key takes for itself
    #[arg(long, value_name = "SHARE", value_parser = parse_rate, default_value = "0")]
    pub second_client: f64,
    /// What the Retry-After header of a 429 holds
    #[arg(long, value_enum, default_value_t)]
    pub retry_after: RetryAfter,
    /// What the body of a 429 holds
    #[arg(long, value_enum, default_value_t)]
    pub too_many_body: TooManyBody,
    /// Which rate limit headers every reply carries
    #[arg(long, value_enum, default_value_t)]
    pub limit_headers: LimitHeaders,
    /// What a list does with a cursor that names no object
    #[arg(long, value_enum, default_value_t)]
    pub unknown_cursor: UnknownCursor,
    /// What a list does with a `limit` that is not between 1 and 100
    #[arg(long, value_enum, default_value_t)]
    pub page_limit: PageLimit,
    /// The status of a successful organization deletion: 200, 202 or 204
    #[arg(long, value_name = "STATUS", default_value_t = 202)]
    pub organization_delete_status: u16,
    /// The status of a successful user deletion: 200 or 204
    #[arg(long, value_name = "STATUS", default_value_t = 204)]
    pub user_delete_status: u16,
    /// For how long a deleted organization is still listed and found
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub deletion_delay: Duration,
    /// Share of users whose deletion is answered 409 `user_deletion_not_allowed`
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub undeletable_users: f64,
    /// Share of organizations whose deletion is answered 403
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub undeletable_organizations: f64,
    /// The flags of the generated objects' shape.
    #[command(flatten)]
    pub shape: Shape,
    /// Someone creates a new object after every this many list pages; 0 is never
    #[arg(long, value_name = "PAGES", default_value_t = 0)]
    pub insert_at_head: u32,
    /// Someone creates an object dated inside the range after every this many list pages
    #[arg(long, value_name = "PAGES", default_value_t = 0)]
    pub insert_in_range: u32,
    /// Someone deletes the last object of a list page after every this many of them, which is the
    /// cursor of the next page
    #[arg(long, value_name = "PAGES", default_value_t = 0)]
    pub delete_cursor: u32,
    /// The options of every simulator.
    #[command(flatten)]
    pub chassis: ChassisOptions,
    /// How its port behaves, when it is served on one.
    #[command(flatten)]
    pub serve: ServeOptions,
    /// Objects beside the generated ones.
    #[arg(skip)]
    pub objects: Vec<Explicit>,
}

/// How the generated objects differ from the plain ones of the specification.
#[derive(Clone, Debug, Default, PartialEq, clap::Args)]
pub struct Shape {
    /// Share of objects without `created_at`
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub missing_created_at: f64,
    /// Share of objects whose `created_at` is no timestamp
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub malformed_created_at: f64,
    /// Share of objects whose `created_at` has an offset other than Z
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub offset_created_at: f64,
    /// Share of objects whose `created_at` has six digits of a second, or none
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub odd_created_at: f64,
    /// How much later than `created_at` the time inside an id may be; up to 1s was seen
    #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "0")]
    pub id_skew: Duration,
    /// Objects carry fields that no specification names
    #[arg(long)]
    pub unknown_fields: bool,
}

/// What the Retry-After header of a 429 holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RetryAfter {
    /// Whole seconds, rounded up.
    #[default]
    Seconds,
    /// A date, rounded up to the next second; the reply then carries a Date header of the
    /// simulator's own clock.
    HttpDate,
    /// The header is missing.
    Absent,
}

/// What the body of a 429 holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TooManyBody {
    /// An object with code and message.
    #[default]
    Json,
    /// A bare JSON string.
    String,
    /// A page.
    Html,
}

/// Which rate limit headers every reply carries. WorkOS documents none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LimitHeaders {
    /// None.
    #[default]
    None,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, the last in seconds.
    XRatelimit,
    /// `RateLimit` and `RateLimit-Policy` of the IETF draft.
    Ratelimit,
}

/// What a list does with a cursor that names no object. What the real API does is not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum UnknownCursor {
    /// Answer 422.
    #[default]
    Refuse,
    /// Begin again with the first page, as the official emulator does.
    Restart,
    /// Go on from where an object with this id would be.
    Position,
}

/// What a list does with a `limit` that is not between 1 and 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PageLimit {
    /// Answer 422.
    #[default]
    Refuse,
    /// Take the nearest valid one, and the default of 10 for what is no number.
    Clamp,
}

/// The two kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An organization.
    Organization,
    /// A user.
    User,
}

/// One object that was given rather than generated.
#[derive(Clone, Debug)]
pub struct Explicit {
    /// What it is.
    pub kind: Kind,
    /// Its id, of any form.
    pub id: String,
    /// The name of an organization, the first and last name of a user.
    pub name: String,
    /// The text of `created_at`, of any form; `None` leaves the field out.
    pub created_at: Option<String>,
    /// Further fields, which replace those of the same name.
    pub extra: Map<String, Value>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            organizations: 500,
            users: 10_000,
            from: date(2005, 12, 10),
            to: date(2005, 12, 31),
            all_on: None,
            keys: vec!["sk_test_simulated".to_owned()],
            any_key: false,
            forbidden_keys: Vec::new(),
            read_only_keys: Vec::new(),
            windows: WindowKind::default(),
            strict: false,
            limits: Vec::new(),
            no_limits: false,
            second_client: 0.0,
            retry_after: RetryAfter::default(),
            too_many_body: TooManyBody::default(),
            limit_headers: LimitHeaders::default(),
            unknown_cursor: UnknownCursor::default(),
            page_limit: PageLimit::default(),
            organization_delete_status: 202,
            user_delete_status: 204,
            deletion_delay: Duration::ZERO,
            undeletable_users: 0.0,
            undeletable_organizations: 0.0,
            shape: Shape::default(),
            insert_at_head: 0,
            insert_in_range: 0,
            delete_cursor: 0,
            chassis: ChassisOptions::default(),
            serve: ServeOptions::default(),
            objects: Vec::new(),
        }
    }
}

impl Options {
    /// The default behaviour with no generated objects, for tests that give their own.
    #[must_use]
    pub fn empty() -> Self {
        Self { organizations: 0, users: 0, ..Self::default() }
    }

    /// Adds one organization. Objects whose `created_at` is no timestamp are listed after those
    /// given before them.
    #[must_use]
    pub fn with_organization(
        self,
        id: &str,
        name: &str,
        created_at: Option<&str>,
        extra: Map<String, Value>,
    ) -> Self {
        self.with(Kind::Organization, id, name, created_at, extra)
    }

    /// Adds one user; the name is the first and the last name with a space between.
    #[must_use]
    pub fn with_user(
        self,
        id: &str,
        name: &str,
        created_at: Option<&str>,
        extra: Map<String, Value>,
    ) -> Self {
        self.with(Kind::User, id, name, created_at, extra)
    }

    fn with(
        mut self,
        kind: Kind,
        id: &str,
        name: &str,
        created_at: Option<&str>,
        extra: Map<String, Value>,
    ) -> Self {
        let created_at = created_at.map(str::to_owned);
        self.objects.push(Explicit {
            kind,
            id: id.to_owned(),
            name: name.to_owned(),
            created_at,
            extra,
        });
        self
    }

    /// Refuses what contradicts itself.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.from > self.to {
            return Err(format!("--from {} is after --to {}", self.from, self.to));
        }
        if ![200, 202, 204].contains(&self.organization_delete_status) {
            return Err("--organization-delete-status is 200, 202 or 204".to_owned());
        }
        if ![200, 204].contains(&self.user_delete_status) {
            return Err("--user-delete-status is 200 or 204".to_owned());
        }
        let shape = &self.shape;
        let odd = shape.missing_created_at + shape.malformed_created_at;
        if odd + shape.offset_created_at + shape.odd_created_at > 1.0 {
            return Err("the shares of unusual created_at add up to more than 1".to_owned());
        }
        Ok(())
    }
}
