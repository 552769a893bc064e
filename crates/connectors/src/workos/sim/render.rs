//! The JSON of the objects, written by hand from their numbers, since a million of them are
//! listed in benchmarks.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value, json};

use super::generate::{created, mix, organization_name, push_ulid, user_names};
use super::options::{Explicit, Kind};
use super::store::{Given, Place, Record, Stamp, skewed};

const INFALLIBLE: &str = "a string takes every write";
const MALFORMED: [&str; 5] =
    ["\"\"", "\"yesterday\"", "\"2005-13-45T00:00:00.000Z\"", "null", "1134777600000"];

impl Kind {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Organization => "org_",
            Self::User => "user_",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Organization => "Organization",
            Self::User => "User",
        }
    }
}

/// What the texts of all objects depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    pub seed: u64,
    pub unknown_fields: bool,
}

/// The id of an object.
pub(super) fn id(kind: Kind, place: Place, record: &Record) -> String {
    let mut out = String::with_capacity(31);
    push_id(&mut out, kind, place, record);
    out
}

/// The id of a generated object whose digits are known.
pub(super) fn plain_id(kind: Kind, place: Place) -> String {
    let mut out = String::from(kind.prefix());
    push_ulid(&mut out, place);
    out
}

fn push_id(out: &mut String, kind: Kind, place: Place, record: &Record) {
    if let Some(given) = &record.given {
        out.push_str(&given.id);
        return;
    }
    out.push_str(kind.prefix());
    push_ulid(out, skewed(place, record.skew));
}

impl Texts {
    /// Writes the whole object.
    pub(super) fn push(&self, out: &mut String, kind: Kind, place: Place, record: &Record) {
        if let Some(given) = &record.given {
            out.push_str(&given.json);
            return;
        }
        let mixed = mix(self.seed ^ kind as u64, u64::from(record.number));
        let start = out.len();
        match kind {
            Kind::Organization => organization(out, place, record, mixed),
            Kind::User => user(out, place, record, mixed),
        }
        if self.unknown_fields {
            out.push_str(",\"x_future\":{\"nested\":[1,null,{\"deep\":true}]},\"x_flag\":0.5");
        }
        push_times(out, place, record, mixed);
        out.push('}');
        debug_assert!(out.len() > start, "an object was written");
    }
}

fn organization(out: &mut String, place: Place, record: &Record, mixed: u64) {
    let number = record.number;
    out.push_str("{\"object\":\"organization\",\"id\":\"");
    push_id(out, Kind::Organization, place, record);
    // One in 64 has the name of another one.
    let name = organization_name(if mixed >> 58 == 0 { 7 } else { mixed });
    write!(out, "\",\"name\":\"{name}\",\"allow_profiles_outside_organization\":false,")
        .expect(INFALLIBLE);
    if mixed >> 40 & 3 == 0 {
        out.push_str("\"domains\":[]");
    } else {
        out.push_str("\"domains\":[{\"object\":\"organization_domain\",\"id\":\"org_domain_");
        push_ulid(out, place ^ 1);
        out.push_str("\",\"organization_id\":\"");
        push_id(out, Kind::Organization, place, record);
        let state = if mixed >> 42 & 1 == 0 { "verified" } else { "pending" };
        write!(out, "\",\"domain\":\"company-{number}.example\",\"state\":\"{state}\"}}]")
            .expect(INFALLIBLE);
    }
    let tier = ["free", "team", "enterprise"][(mixed >> 44) as usize % 3];
    write!(out, ",\"metadata\":{{\"tier\":\"{tier}\"}}").expect(INFALLIBLE);
    push_external_id(out, number, mixed);
    if mixed >> 47 & 7 == 0 {
        write!(out, ",\"stripe_customer_id\":\"cus_{:014x}\"", mixed >> 8).expect(INFALLIBLE);
    }
}

fn user(out: &mut String, place: Place, record: &Record, mixed: u64) {
    let number = record.number;
    let (first, last) = user_names(mixed);
    out.push_str("{\"object\":\"user\",\"id\":\"");
    push_id(out, Kind::User, place, record);
    let verified = mixed >> 40 & 7 != 0;
    write!(out, "\",\"email\":\"user{number}@company-{}.example\"", mixed >> 20 & 1023)
        .expect(INFALLIBLE);
    write!(out, ",\"email_verified\":{verified}").expect(INFALLIBLE);
    // One in 16 never told a name.
    if mixed >> 43 & 15 == 0 {
        out.push_str(",\"first_name\":null,\"last_name\":null,\"name\":null");
    } else {
        write!(out, ",\"first_name\":\"{first}\",\"last_name\":\"{last}\"").expect(INFALLIBLE);
        write!(out, ",\"name\":\"{first} {last}\"").expect(INFALLIBLE);
    }
    out.push_str(",\"profile_picture_url\":null,\"locale\":\"en-US\",\"metadata\":{}");
    push_external_id(out, number, mixed);
    if mixed >> 47 & 3 == 0 {
        out.push_str(",\"last_sign_in_at\":null");
    } else {
        out.push_str(",\"last_sign_in_at\":");
        push_time(out, created(place) + mixed % 50_000_000_000);
    }
}

fn push_external_id(out: &mut String, number: u32, mixed: u64) {
    if mixed >> 50 & 3 == 0 {
        write!(out, ",\"external_id\":\"crm-{number}\"").expect(INFALLIBLE);
    } else {
        out.push_str(",\"external_id\":null");
    }
}

fn push_times(out: &mut String, place: Place, record: &Record, mixed: u64) {
    let instant = created(place);
    if record.stamp != Stamp::Missing {
        out.push_str(",\"created_at\":");
    }
    match record.stamp {
        Stamp::Plain => push_time(out, instant),
        Stamp::Missing => {}
        Stamp::Malformed => out.push_str(MALFORMED[(mixed >> 52) as usize % MALFORMED.len()]),
        Stamp::Offset => push_offset_time(out, instant, mixed),
        Stamp::Odd => push_odd_time(out, instant),
    }
    out.push_str(",\"updated_at\":");
    push_time(out, instant + mixed % 5_000_000_000);
}

/// Writes an instant as WorkOS does: UTC with milliseconds.
fn push_time(out: &mut String, millisecond: u64) {
    write!(out, "\"{:.3}\"", instant(millisecond)).expect(INFALLIBLE);
}

/// Without a fraction when the instant has none, with six digits otherwise.
fn push_odd_time(out: &mut String, millisecond: u64) {
    let instant = instant(millisecond);
    if millisecond.is_multiple_of(1_000) {
        write!(out, "\"{instant:.0}\"").expect(INFALLIBLE);
    } else {
        write!(out, "\"{instant:.6}\"").expect(INFALLIBLE);
    }
}

fn push_offset_time(out: &mut String, millisecond: u64, mixed: u64) {
    let hours = [-8, -3, 2, 9][(mixed >> 52) as usize % 4];
    let local = instant(millisecond).to_zoned(TimeZone::fixed(Offset::constant(hours)));
    let sign = if hours < 0 { '-' } else { '+' };
    write!(out, "\"{:.3}{sign}{:02}:00\"", local.datetime(), hours.abs()).expect(INFALLIBLE);
}

fn instant(millisecond: u64) -> Timestamp {
    let millisecond = i64::try_from(millisecond).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millisecond).unwrap_or(Timestamp::MAX)
}

/// The kept form of an object that was given rather than generated.
pub(super) fn given(explicit: &Explicit) -> Given {
    let mut fields: Map<String, Value> = match explicit.kind {
        Kind::Organization => json!({
            "object": "organization", "name": explicit.name, "domains": [], "metadata": {},
            "allow_profiles_outside_organization": false, "external_id": null,
        }),
        Kind::User => {
            let (first, last) = explicit.name.split_once(' ').unwrap_or((&explicit.name, ""));
            json!({
                "object": "user", "name": explicit.name, "first_name": first, "last_name": last,
                "email": format!("{}@example.com", explicit.id.to_lowercase()), "metadata": {},
                "email_verified": true, "profile_picture_url": null, "external_id": null,
                "last_sign_in_at": null,
            })
        }
    }
    .as_object()
    .cloned()
    .unwrap_or_default();
    fields.insert("id".to_owned(), explicit.id.clone().into());
    if let Some(created_at) = &explicit.created_at {
        fields.insert("created_at".to_owned(), created_at.clone().into());
        fields.insert("updated_at".to_owned(), created_at.clone().into());
    }
    fields.extend(explicit.extra.clone());
    Given { id: explicit.id.clone(), json: Value::Object(fields).to_string() }
}
