//! What the simulated Cloudflare holds, and how it answers one request.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderValue, Method, Request};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use windlass_sim::{Arrival, Micros, Quotas, Reply, World};

use super::counts::Counts;
use super::generate::{identifier, mix};
use super::limits::{Charges, RecentWrites};
use super::namespaces::{Namespaces, not_found};
use super::options::{Options, Plan};
use super::replies::{self, Envelope, Refusal};
use super::routes::{self, KvRoute, Route, is_identifier};
use super::zones::{Purge, PurgeKind, Zones, read_purge};

const AUTH_EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const AUTH_KEY: HeaderName = HeaderName::from_static("x-auth-key");

/// The data of one user.
#[derive(Debug)]
pub(super) struct CloudflareWorld {
    pub options: Options,
    pub envelope: Envelope,
    pub namespaces: Namespaces,
    pub zones: Zones,
    pub purges: Vec<Purge>,
    pub counts: Counts,
    pub recent_writes: RecentWrites,
    /// How many more keys of bulk calls are unsuccessful without any chance.
    pub unsuccessful_left: u64,
    pub rng: Rng,
    /// The number of the last cursor.
    pub nonce: u64,
    purged: u64,
    /// The instant of the last request.
    last: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    Everything,
    Reading,
    Nothing,
}

/// The instant of a request: on the simulator's clock, and in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub at: Micros,
    pub seconds: u64,
}

impl Now {
    pub(super) fn new(at: Micros, wall: Timestamp) -> Self {
        Self { at, seconds: u64::try_from(wall.as_second()).unwrap_or(0) }
    }
}

/// What a route says: a reply, or a refusal in the envelope.
pub(super) type Said = Result<Reply, Refusal>;

impl CloudflareWorld {
    pub(super) fn new(options: Options) -> Self {
        Self {
            envelope: Envelope { is_odd: options.odd_envelopes },
            namespaces: Namespaces::new(&options),
            zones: Zones::new(&options),
            purges: Vec::new(),
            counts: Counts::default(),
            recent_writes: RecentWrites::default(),
            unsuccessful_left: options.unsuccessful_first,
            rng: Rng::with_seed(options.chassis.seed ^ 0x5eed),
            nonce: 0,
            purged: 0,
            last: Now { at: 0, seconds: 0 },
            options,
        }
    }

    /// What a credential may do; one that is missing, unknown or revoked is refused.
    fn permission(
        &self,
        request: &Request<Bytes>,
        is_revoked: bool,
    ) -> Result<Permission, Refusal> {
        let header =
            |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let token = header(&AUTHORIZATION).map(|text| text.strip_prefix("Bearer ").unwrap_or(""));
        let (email, key) = (header(&AUTH_EMAIL), header(&AUTH_KEY));
        if token.is_none() && (email.is_none() || key.is_none()) {
            let message = "Missing X-Auth-Key, X-Auth-Email or Authorization headers";
            return Err(Refusal::new(400, 9_106, message));
        }
        if is_revoked {
            return Err(Refusal::new(403, 9_109, "Invalid access token"));
        }
        let options = &self.options;
        let (lists, all) = match token {
            Some(token) => {
                let is_in = |list: &[String]| list.iter().any(|known| known == token);
                let any = options.any_key && !token.is_empty();
                let lists = (is_in(&options.forbidden_tokens), is_in(&options.read_only_tokens));
                (lists, is_in(&options.tokens) || any)
            }
            None => {
                let own = email == Some(&options.email) && key == Some(&options.api_key);
                let any = options.any_key && [email, key].iter().all(|text| *text != Some(""));
                ((false, false), own || any)
            }
        };
        match (lists, all) {
            ((true, _), _) => Ok(Permission::Nothing),
            ((_, true), _) => Ok(Permission::Reading),
            (_, true) => Ok(Permission::Everything),
            _ if token.is_some() => Err(Refusal::new(401, 10_000, "Authentication error")),
            _ => Err(Refusal::new(403, 9_106, "Unknown X-Auth-Key or X-Auth-Email")),
        }
    }

    /// A 429, with the time to wait.
    pub(super) fn too_many(&self, wall: Timestamp, wait: Duration) -> Reply {
        let message = "Please wait and consider throttling your request speed";
        let mut response = self.envelope.refusal(&Refusal::new(429, 971, message));
        let form = self.options.retry_after;
        replies::add_retry_after(response.headers_mut(), form, wall, wait);
        Reply::unchanged(response)
    }

    /// Answers with the limits, and tells what counts against them.
    fn admit(
        &mut self,
        request: &Request<Bytes>,
        arrival: Arrival,
        quotas: &mut Quotas,
    ) -> (Reply, Charges) {
        let now = self.last;
        let permission = self.permission(request, arrival.revoked);
        let route = routes::read(request.uri().path());
        let purge = match (&route, &permission) {
            (Some(Route::Purge { .. }), Ok(Permission::Everything)) => {
                route.as_ref().map(|route| self.purge(route, request))
            }
            _ => None,
        };
        let charges = match (&permission, &purge) {
            (Err(_), _) => Charges::anonymous(),
            (Ok(_), Some(Ok((plan, Purge { kind: PurgeKind::Files, items, .. })))) => {
                Charges::of_urls(*plan, items.len(), self.options.free_url_purge)
            }
            (Ok(_), Some(Ok((plan, _)))) => Charges::of_purge(*plan),
            (Ok(_), _) => Charges::plain(),
        };
        if let Err(rejection) = quotas.admit_costs(arrival.at, charges.as_slice()) {
            return (self.too_many(arrival.wall, rejection.wait), charges);
        }
        if let (Ok(_), Some(route)) = (&permission, &route) {
            self.counts.note(request.method(), route);
        }
        let said = match (permission, route, purge) {
            (Err(refusal), ..) => Err(refusal),
            (_, None, _) => Err(Refusal::no_such_route(request.uri().path())),
            (_, _, Some(purge)) => purge.map(|(_, purge)| self.accept(purge)),
            (Ok(permission), Some(route), None) => self
                .allowed(permission, request.method(), &route)
                .and_then(|()| self.route(request, route, (now, arrival.wall))),
        };
        let reply =
            said.unwrap_or_else(|refusal| Reply::unchanged(self.envelope.refusal(&refusal)));
        (reply, charges)
    }

    /// Refuses what the credential may not do. Reading in bulk is a POST all the same.
    fn allowed(
        &self,
        permission: Permission,
        method: &Method,
        route: &Route<'_>,
    ) -> Result<(), Refusal> {
        let reads = method == Method::GET
            || matches!(route, Route::Account { rest: KvRoute::BulkGet(_), .. });
        match permission {
            Permission::Everything => Ok(()),
            Permission::Reading if reads => Ok(()),
            _ => Err(Refusal::forbidden()),
        }
    }

    fn route(&mut self, request: &Request<Bytes>, route: Route<'_>, now: (Now, Timestamp)) -> Said {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or(""));
        if let Route::Account { account, rest } = route {
            if !self.zones.is_account(account) {
                return Err(Refusal::bad_identifier(path));
            }
            return self.below_account(request, rest, now);
        }
        if request.method() != Method::GET {
            return Err(Refusal::wrong_method(request.method()));
        }
        let response = match route {
            Route::Verify => {
                let id = identifier(self.options.chassis.seed ^ 0x544F, 0);
                Ok(self.envelope.success(&json!({"id": id, "status": "active"}), None))
            }
            Route::Accounts => self.zones.list_accounts(query, self.envelope),
            Route::Zones => self.zones.list(query, self.envelope),
            Route::Zone(id) => self.zones.show((id, path), self.envelope),
            Route::Purge { .. } | Route::Account { .. } => {
                Err(Refusal::wrong_method(request.method()))
            }
        };
        response.map(Reply::unchanged)
    }

    fn below_account(
        &mut self,
        request: &Request<Bytes>,
        route: KvRoute<'_>,
        now: (Now, Timestamp),
    ) -> Said {
        let (envelope, body) = (self.envelope, request.body());
        let namespaces = &mut self.namespaces;
        if let Some(id) = route.namespace() {
            if !is_identifier(id) {
                return Err(Refusal::bad_identifier(request.uri().path()));
            }
            namespaces.get(id).ok_or_else(not_found)?;
        }
        match (request.method().as_str(), route) {
            ("GET", KvRoute::Namespaces) => {
                let query = request.uri().query().unwrap_or("");
                namespaces.list(query, envelope).map(Reply::unchanged)
            }
            ("POST", KvRoute::Namespaces) => namespaces.create(body, envelope).map(Reply::changed),
            ("GET", KvRoute::Namespace(id)) => namespaces.show(id, envelope).map(Reply::unchanged),
            ("PUT", KvRoute::Namespace(id)) => {
                namespaces.rename((id, body), envelope).map(Reply::changed)
            }
            ("DELETE", KvRoute::Namespace(id)) => {
                namespaces.remove(id, envelope).map(Reply::changed)
            }
            (_, route) => self.call(request, route, now),
        }
    }

    /// What a purge asks for, and on which plan.
    fn purge(&self, route: &Route<'_>, request: &Request<Bytes>) -> Result<(Plan, Purge), Refusal> {
        let Route::Purge { zone, environment, invalidate } = route else {
            return Err(Refusal::no_such_route(request.uri().path()));
        };
        if request.method() != Method::POST {
            return Err(Refusal::wrong_method(request.method()));
        }
        let zone = self.zones.get(zone, request.uri().path())?;
        let (in_environment, most_urls) = (environment.is_some(), self.options.url_items);
        let (kind, items) = read_purge(request.body(), zone.plan, in_environment, most_urls)?;
        let environment = environment.map(str::to_owned);
        let invalidate = *invalidate;
        Ok((zone.plan, Purge { zone: zone.id.clone(), environment, kind, items, invalidate }))
    }

    /// Accepts a purge, which says nothing about what it will remove.
    fn accept(&mut self, purge: Purge) -> Reply {
        let response = self.envelope.success(&json!({"id": purge.zone}), None);
        let items = purge.items.len();
        self.purged += 1;
        if !self.options.chassis.counters_only {
            self.purges.push(purge);
        }
        Reply::changed(response).with_items(items)
    }
}

impl World for CloudflareWorld {
    const REQUEST_ID: Option<HeaderName> = Some(HeaderName::from_static("cf-ray"));

    fn request_id(number: u64) -> HeaderValue {
        let text = format!("{:016x}-SIM", mix(0, number));
        HeaderValue::from_str(&text).expect("hexadecimal digits are a header value")
    }

    fn begin(&mut self, start: Timestamp) {
        self.last = Now::new(0, start);
        let expires_at = self.last.seconds + self.options.expires_in.as_secs();
        self.namespaces.expire_at(expires_at);
    }

    fn key<'a>(&self, request: &'a Request<Bytes>) -> &'a str {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        match header(&AUTHORIZATION) {
            Some(text) => text.strip_prefix("Bearer ").unwrap_or(""),
            None => header(&AUTH_KEY).unwrap_or(""),
        }
    }

    fn answer(&mut self, request: &Request<Bytes>, arrival: Arrival, quotas: &mut Quotas) -> Reply {
        self.last = Now::new(arrival.at, arrival.wall);
        self.namespaces.settle(arrival.at);
        self.recent_writes.settle(arrival.at);
        let (mut reply, charges) = match arrival.storm {
            Some(wait) => (self.too_many(arrival.wall, wait), Charges::plain()),
            None => self.admit(request, arrival, quotas),
        };
        if !self.options.no_limit_headers {
            let told = charges.told().filter_map(|rule| {
                let standing = quotas.standing(arrival.at, &[(rule, 0)])?;
                Some((standing, quotas.rules()[rule].clone()))
            });
            let told: Vec<_> = told.collect();
            replies::add_limit_headers(reply.response.headers_mut(), &told);
        }
        reply
    }

    fn is_kept_for_each_key(&self, _: usize) -> bool {
        false
    }

    fn remaining(&self) -> Value {
        let all = self.namespaces.all().iter();
        json!({"namespaces": all.map(|one| one.remaining(self.last.seconds)).collect::<Vec<_>>()})
    }

    fn summary(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("routes".to_owned(), Value::Object(self.counts.json()));
        let all = self.namespaces.all().iter();
        let keys: Map<String, Value> =
            all.map(|one| (one.id.clone(), one.store.len(self.last.seconds).into())).collect();
        fields.insert("keys".to_owned(), Value::Object(keys));
        fields.insert("purges".to_owned(), self.purged.into());
        fields
    }
}
