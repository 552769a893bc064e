//! What the simulated WorkOS holds, and how it answers one request.

use bytes::Bytes;
use fastrand::Rng;
use http::header::{AUTHORIZATION, HeaderName};
use http::{Method, Request};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use windlass_sim::{Arrival, Micros, Quotas, Reply, World};

use super::generate::{self, created, mix, place, ulid_place};
use super::limits::{AUTHKIT_READ, AUTHKIT_WRITE, Charges};
use super::lists::{Listed, decode, list};
use super::options::{Kind, LimitHeaders, Options};
use super::render::{Texts, given, id, plain_id};
use super::replies;
use super::store::{Place, Record, Stamp, Store};

/// The most keys that are told apart; with `--any-key` all further ones share a window.
const MOST_KEYS: usize = 1_000;

/// The data of one environment.
#[derive(Debug)]
pub(super) struct WorkosWorld {
    options: Options,
    texts: Texts,
    organizations: Store,
    users: Store,
    memberships: Memberships,
    keys: Vec<(String, Permission)>,
    rng: Rng,
    pages: u32,
    inserted: u32,
    vanished: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    Everything,
    Reading,
    Nothing,
}

/// How many generated users belong to each generated organization; `None` once that is deleted.
#[derive(Debug)]
struct Memberships {
    seed: u64,
    users: u32,
    members: Vec<Option<u32>>,
    total: u64,
}

impl Memberships {
    fn new(options: &Options) -> Self {
        let seed = options.chassis.seed;
        let members = vec![Some(0); options.organizations as usize];
        let mut new = Self { seed, users: options.users, members, total: 0 };
        for user in 0..options.users {
            if let Some(Some(count)) = new.organization_of(user) {
                *count += 1;
                new.total += 1;
            }
        }
        new
    }

    fn organization_of(&mut self, user: u32) -> Option<&mut Option<u32>> {
        let organizations = self.members.len() as u64;
        let number = mix(self.seed, u64::from(user)).checked_rem(organizations)?;
        let known = user < self.users;
        self.members.get_mut(usize::try_from(number).ok()?).filter(|_| known)
    }

    fn end_user(&mut self, user: u32) {
        if let Some(Some(count)) = self.organization_of(user) {
            *count -= 1;
            self.total -= 1;
        }
    }

    fn end_organization(&mut self, organization: u32) {
        if let Some(members) = self.members.get_mut(organization as usize) {
            self.total -= u64::from(members.take().unwrap_or(0));
        }
    }
}

impl WorkosWorld {
    pub(super) fn new(options: Options) -> Result<Self, String> {
        let texts =
            Texts { seed: options.chassis.seed, unknown_fields: options.shape.unknown_fields };
        let named = |keys: &[String], permission: Permission| {
            keys.iter().map(|key| (key.clone(), permission)).collect::<Vec<_>>()
        };
        let mut keys = named(&options.keys, Permission::Everything);
        keys.extend(named(&options.read_only_keys, Permission::Reading));
        keys.extend(named(&options.forbidden_keys, Permission::Nothing));
        let mut world = Self {
            texts,
            organizations: Store::default(),
            users: Store::default(),
            memberships: Memberships::new(&options),
            keys,
            rng: Rng::with_seed(options.chassis.seed ^ 0x5eed),
            pages: 0,
            inserted: 0,
            vanished: 0,
            options,
        };
        for kind in [Kind::Organization, Kind::User] {
            let records = generate::records(&world.options, kind)?;
            world.store_mut(kind).fill(records, |place| plain_id(kind, place));
        }
        world.add_given();
        Ok(world)
    }

    /// Adds the given objects. One whose `created_at` is no timestamp follows the one given before.
    fn add_given(&mut self) {
        let mut last = 0;
        for explicit in std::mem::take(&mut self.options.objects) {
            let instant = explicit.created_at.as_deref().and_then(|text| text.parse().ok());
            last = instant.map_or(last, |instant: Timestamp| {
                u64::try_from(instant.as_millisecond()).unwrap_or(0)
            });
            // The order of those of one millisecond is the order in which they were given.
            let place = Place::from(last) << 80;
            let given = Some(Box::new(given(&explicit)));
            let record = Record {
                number: u32::MAX,
                skew: 0,
                stamp: Stamp::Plain,
                kept: false,
                fading: false,
                given,
            };
            self.store_mut(explicit.kind).insert(place, record);
        }
    }

    fn store(&self, kind: Kind) -> &Store {
        match kind {
            Kind::Organization => &self.organizations,
            Kind::User => &self.users,
        }
    }

    fn store_mut(&mut self, kind: Kind) -> &mut Store {
        match kind {
            Kind::Organization => &mut self.organizations,
            Kind::User => &mut self.users,
        }
    }

    pub(super) fn remaining_ids(&self, kind: Kind) -> Vec<String> {
        self.store(kind).remaining().map(|(place, record)| id(kind, place, record)).collect()
    }

    pub(super) fn memberships(&self) -> u64 {
        self.memberships.total
    }

    pub(super) fn object(&self, kind: Kind, id: &str) -> Option<String> {
        let place = self.find(kind, id)?;
        let mut text = String::new();
        self.texts.push(&mut text, kind, place, self.store(kind).get(place)?);
        Some(text)
    }

    pub(super) fn vanish(&mut self, kind: Kind, id: &str) -> bool {
        let place = self.find(kind, id);
        let gone = place.is_some_and(|place| self.end(kind, place, id, None));
        self.vanished += u32::from(gone);
        gone
    }

    fn find(&self, kind: Kind, id: &str) -> Option<Place> {
        let digits = id.strip_prefix(kind.prefix()).and_then(ulid_place);
        self.store(kind).find(id, digits)
    }

    /// Deletes an object with its memberships, at once or to be seen until a later time. False
    /// when it was deleted before.
    fn end(&mut self, kind: Kind, place: Place, id: &str, until: Option<Micros>) -> bool {
        let Some(record) = self.store(kind).get(place).filter(|record| !record.fading) else {
            return false;
        };
        let (number, is_given) = (record.number, record.given.is_some());
        match (kind, is_given) {
            (_, true) => {}
            (Kind::Organization, false) => self.memberships.end_organization(number),
            (Kind::User, false) => self.memberships.end_user(number),
        }
        let store = self.store_mut(kind);
        match until {
            Some(until) => store.fade(place, until),
            None => {
                store.remove(place, id);
            }
        }
        true
    }

    fn key_number(&mut self, key: &str) -> Option<usize> {
        if let Some(number) = self.keys.iter().position(|(known, _)| known == key) {
            return Some(number);
        }
        if !self.options.any_key || key.is_empty() {
            return None;
        }
        if self.keys.len() < MOST_KEYS {
            self.keys.push((key.to_owned(), Permission::Everything));
        }
        Some(self.keys.len() - 1)
    }

    fn route(&mut self, request: &Request<Bytes>, arrival: Arrival) -> Reply {
        let (path, read) = (request.uri().path(), request.method() == Method::GET);
        let kinds =
            [("/organizations", Kind::Organization), ("/user_management/users", Kind::User)];
        for (folder, kind) in kinds {
            match path.strip_prefix(folder).map(|rest| rest.strip_prefix('/').ok_or(rest)) {
                Some(Err("")) if read => {
                    return self.list(kind, request.uri().query().unwrap_or(""), arrival);
                }
                Some(Ok(id)) if !id.contains('/') => {
                    let id = decode(id);
                    if read {
                        let found = self.object(kind, &id).map(replies::json_text);
                        let reply = found.unwrap_or_else(|| replies::not_found(kind, &id));
                        return Reply::unchanged(reply);
                    } else if request.method() == Method::DELETE {
                        return self.delete(kind, &id, arrival);
                    }
                }
                _ => {}
            }
        }
        Reply::unchanged(replies::no_such_route())
    }

    fn delete(&mut self, kind: Kind, id: &str, arrival: Arrival) -> Reply {
        let found = self.find(kind, id);
        let Some((place, record)) = found.and_then(|p| Some((p, self.store(kind).get(p)?))) else {
            return Reply::unchanged(replies::not_found(kind, id));
        };
        if record.kept {
            return Reply::unchanged(match kind {
                Kind::Organization => replies::forbidden(),
                Kind::User => replies::user_deletion_not_allowed(),
            });
        }
        let (status, until) = match kind {
            Kind::User => (self.options.user_delete_status, None),
            Kind::Organization => {
                let delay = u64::try_from(self.options.deletion_delay.as_micros()).unwrap_or(0);
                let until = (delay > 0).then_some(arrival.at + delay);
                (self.options.organization_delete_status, until)
            }
        };
        let effect = self.end(kind, place, id, until);
        Reply { effect, ..Reply::unchanged(replies::deleted(status)) }
    }

    fn list(&mut self, kind: Kind, query: &str, arrival: Arrival) -> Reply {
        let Listed { response, cursor } =
            list(&self.options, &self.texts, self.store(kind), kind, query);
        if response.status().is_success() {
            self.pages += 1;
            self.change_while_listing(kind, cursor, arrival.wall);
        }
        Reply::unchanged(response)
    }

    fn change_while_listing(&mut self, kind: Kind, cursor: Option<Place>, wall: Timestamp) {
        let pages = self.pages;
        let due = |every: u32| every > 0 && pages.is_multiple_of(every);
        if due(self.options.insert_at_head) {
            self.insert(kind, u64::try_from(wall.as_millisecond()).unwrap_or(0));
        }
        if due(self.options.insert_in_range)
            && let Ok(instants) = generate::instants(&self.options)
        {
            let instant = self.rng.u64(instants);
            self.insert(kind, instant);
        }
        if due(self.options.delete_cursor)
            && let Some(place) = cursor
            && let Some(record) = self.store(kind).get(place)
        {
            let id = id(kind, place, record);
            self.vanished += u32::from(self.end(kind, place, &id, None));
        }
    }

    fn insert(&mut self, kind: Kind, instant: u64) {
        let generated = match kind {
            Kind::Organization => self.options.organizations,
            Kind::User => self.options.users,
        };
        let number = generated.saturating_add(self.inserted);
        let mut record = generate::record(&self.options, number, 0.0, &mut self.rng);
        record.skew = 0;
        let place = place(instant, &mut self.rng);
        let place = self.store_mut(kind).insert(place, record);
        debug_assert_eq!(created(place), instant, "it is where its date says");
        self.inserted += 1;
    }
}

impl World for WorkosWorld {
    const REQUEST_ID: Option<HeaderName> = Some(HeaderName::from_static("x-request-id"));

    fn key<'a>(&self, request: &'a Request<Bytes>) -> &'a str {
        let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("")
    }

    fn answer(&mut self, request: &Request<Bytes>, arrival: Arrival, quotas: &mut Quotas) -> Reply {
        self.organizations
            .settle(arrival.at, |place, record| id(Kind::Organization, place, record));
        if let Some(wait) = arrival.storm {
            return Reply::unchanged(replies::too_many(&self.options, arrival.wall, wait));
        }
        let Some(key) = self.key_number(self.key(request)).filter(|_| !arrival.revoked) else {
            return Reply::unchanged(replies::unauthorized());
        };
        let charges = Charges::of(request.method(), request.uri().path(), key);
        let mut reply = match quotas.admit(arrival.at, charges.as_slice()) {
            Err(rejection) => {
                let refusal = replies::too_many(&self.options, arrival.wall, rejection.wait);
                Reply::unchanged(refusal)
            }
            Ok(()) => match self.keys[key].1 {
                Permission::Nothing => Reply::unchanged(replies::forbidden()),
                Permission::Reading if request.method() != Method::GET => {
                    Reply::unchanged(replies::forbidden())
                }
                _ => self.route(request, arrival),
            },
        };
        let form = self.options.limit_headers;
        if form != LimitHeaders::None
            && let Some(standing) = quotas.standing(arrival.at, charges.as_slice())
        {
            let rule = &quotas.rules()[standing.rule];
            replies::add_limit_headers(reply.response.headers_mut(), form, standing, rule);
        }
        reply
    }

    fn is_kept_for_each_key(&self, rule: usize) -> bool {
        rule != AUTHKIT_READ && rule != AUTHKIT_WRITE
    }

    fn remaining(&self) -> Value {
        json!({
            "organizations": self.remaining_ids(Kind::Organization),
            "users": self.remaining_ids(Kind::User),
        })
    }

    fn summary(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut add = |name: &str, count: u64| fields.insert(name.to_owned(), count.into());
        add("organizations", self.organizations.len() as u64);
        add("users", self.users.len() as u64);
        add("memberships", self.memberships.total);
        add("inserted_by_others", u64::from(self.inserted));
        add("deleted_by_others", u64::from(self.vanished));
        fields
    }
}
