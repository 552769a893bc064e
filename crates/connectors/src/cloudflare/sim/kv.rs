//! The calls of Workers KV that need more than one part of the world: its pairs, its chance, its
//! clock and its switches.

use std::borrow::Cow;

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde_json::Value;
use windlass_sim::{Micros, Reply};

use super::bulk::{self, Changed};
use super::cursor::List;
use super::keys::{self, PageForm, Query, Whim};
use super::namespaces::not_found;
use super::replies::{self, Refusal};
use super::routes::KvRoute;
use super::store::{Pair, Put, Store, View};
use super::world::{CloudflareWorld, Now, Said};

/// The key of a path, if one can have it. A longer one makes the path too long.
fn checked(key: Option<String>) -> Result<String, Refusal> {
    let key = key.ok_or_else(|| Refusal::invalid("key: not UTF-8"))?;
    keys::check_key(&key, 414)?;
    Ok(key)
}

impl CloudflareWorld {
    /// Answers a call below a namespace that exists.
    pub(super) fn call(
        &mut self,
        request: &Request<Bytes>,
        route: KvRoute<'_>,
        (now, wall): (Now, Timestamp),
    ) -> Said {
        let body = request.body();
        let unchanged = |response: Result<Response<Bytes>, Refusal>| response.map(Reply::unchanged);
        match (request.method().as_str(), route) {
            ("GET", KvRoute::Keys(id)) => {
                unchanged(self.list(id, request.uri().query().unwrap_or(""), now))
            }
            ("GET", KvRoute::Value(id, key)) => unchanged(self.value(id, &checked(key)?, now)),
            ("PUT", KvRoute::Value(id, key)) => self.put(id, &checked(key)?, request, (now, wall)),
            ("DELETE", KvRoute::Value(id, key)) => self.delete(id, &checked(key)?, now),
            ("GET", KvRoute::Metadata(id, key)) => {
                unchanged(self.metadata(id, &checked(key)?, now))
            }
            ("PUT", KvRoute::Bulk(id)) => self.bulk_put(id, body, (now, wall)),
            ("DELETE", KvRoute::Bulk(id)) | ("POST", KvRoute::BulkDelete(id)) => {
                self.bulk_delete(id, body, now)
            }
            ("POST", KvRoute::BulkGet(id)) => self.bulk_get(id, body, now),
            _ => Err(Refusal::wrong_method(request.method())),
        }
    }

    fn store(&self, id: &str) -> Result<&Store, Refusal> {
        self.namespaces.get(id).map(|namespace| &namespace.store).ok_or_else(not_found)
    }

    fn list(&mut self, id: &str, query: &str, now: Now) -> Result<Response<Bytes>, Refusal> {
        let query = Query::read(query)?;
        self.nonce += 1;
        let options = &self.options;
        let mut meets = |rate: f64| rate > 0.0 && self.rng.f64() < rate;
        let (is_empty, is_short) = (meets(options.empty_pages), meets(options.short_pages));
        let shorter = is_short.then(|| self.rng.f64());
        let whim = Whim { is_empty, shorter, nonce: self.nonce };
        let seed = options.chassis.seed;
        let list = List { seed, namespace: id, prefix: &query.prefix };
        let form = PageForm { envelope: self.envelope, last_cursor: options.last_cursor };
        keys::page(self.store(id)?, &query, list, (form, whim), now.seconds)
    }

    /// What reads of values see.
    fn view(&self) -> View {
        if self.options.only_lists_lag { View::Truth } else { View::Seen }
    }

    fn find(&self, id: &str, key: &str, now: Now) -> Result<(&Store, Pair<'_>), Refusal> {
        let store = self.store(id)?;
        let pair = store.get(self.view(), key, now.seconds);
        Ok((store, pair.ok_or_else(Refusal::key_not_found)?))
    }

    fn value(&self, id: &str, key: &str, now: Now) -> Result<Response<Bytes>, Refusal> {
        let (store, pair) = self.find(id, key, now)?;
        let mut value = Vec::new();
        store.push_value(&mut value, &pair);
        Ok(replies::value(value, store.expiration(&pair)))
    }

    fn metadata(&self, id: &str, key: &str, now: Now) -> Result<Response<Bytes>, Refusal> {
        let (store, pair) = self.find(id, key, now)?;
        let mut json = Vec::new();
        store.push_metadata(&mut json, &pair);
        let metadata: Value = serde_json::from_slice(&json).unwrap_or(Value::Null);
        Ok(self.envelope.success(&metadata, None))
    }

    /// When a change of now is seen.
    fn due(&mut self, now: Now) -> Micros {
        let lag = u64::try_from(self.options.lag.as_micros()).unwrap_or(0);
        if lag == 0 { now.at } else { now.at + self.rng.u64(0..=lag) }
    }

    fn put(
        &mut self,
        id: &str,
        key: &str,
        request: &Request<Bytes>,
        (now, wall): (Now, Timestamp),
    ) -> Said {
        let put = keys::put(request, now.seconds)?;
        let serial = self.namespaces.get(id).map_or(0, |namespace| namespace.serial);
        if !self.options.no_limits
            && let Some(wait) = self.recent_writes.wait_or_note(now.at, serial, key)
        {
            return Ok(self.too_many(wall, wait));
        }
        let due = self.due(now);
        let namespace = self.namespaces.get_mut(id).ok_or_else(not_found)?;
        namespace.store.write(key, Some(put), due);
        Ok(Reply::changed(self.envelope.empty()))
    }

    /// A key that is not there is deleted all the same.
    fn delete(&mut self, id: &str, key: &str, now: Now) -> Said {
        let due = self.due(now);
        let namespace = self.namespaces.get_mut(id).ok_or_else(not_found)?;
        let effect = namespace.store.write(key, None, due);
        Ok(Reply { effect, ..Reply::unchanged(self.envelope.empty()) })
    }

    fn check_size(&self, body: &[u8]) -> Result<(), Refusal> {
        let most = self.options.bulk_413_above;
        if body.len() > most {
            return Err(Refusal::too_large(format!("body: {} bytes, {most} at most", body.len())));
        }
        Ok(())
    }

    /// A refusal that the ledger has the number of items of.
    fn refused(&self, body: &[u8], refusal: &Refusal) -> Reply {
        Reply::unchanged(self.envelope.refusal(refusal)).with_items(bulk::count(body))
    }

    fn bulk_delete(&mut self, id: &str, body: &[u8], now: Now) -> Said {
        self.check_size(body)?;
        match bulk::keys(body) {
            Err(refusal) => Ok(self.refused(body, &refusal)),
            Ok(keys) => {
                let deletions = keys.into_iter().map(|key| (key, None));
                Ok(self.change(id, deletions.collect(), now))
            }
        }
    }

    fn bulk_put(&mut self, id: &str, body: &[u8], (now, wall): (Now, Timestamp)) -> Said {
        self.check_size(body)?;
        let puts = match bulk::puts(body, now.seconds) {
            Err(refusal) => return Ok(self.refused(body, &refusal)),
            Ok(puts) => puts,
        };
        if self.options.strict_writes {
            let serial = self.namespaces.get(id).map_or(0, |namespace| namespace.serial);
            let recent = &mut self.recent_writes;
            let wait = puts.iter().find_map(|(key, _)| recent.wait_or_note(now.at, serial, key));
            if let Some(wait) = wait {
                return Ok(self.too_many(wall, wait).with_items(puts.len()));
            }
        }
        let puts = puts.into_iter().map(|(key, put)| (key, Some(put)));
        Ok(self.change(id, puts.collect(), now))
    }

    /// Writes and deletes what a bulk call names.
    fn change(&mut self, id: &str, wanted: Vec<(Cow<'_, str>, Option<Put>)>, now: Now) -> Reply {
        let items = wanted.len();
        let times_out = self.options.bulk_524_above.is_some_and(|most| items > most);
        if times_out && !self.options.bulk_524_takes_effect {
            return Reply::unchanged(replies::edge_timeout()).with_items(items);
        }
        let mut changed = Changed::default();
        for (key, put) in wanted {
            let due = self.due(now);
            let fails = self.is_unsuccessful();
            if let Some(namespace) = self.namespaces.get_mut(id)
                && !fails
            {
                let writes = put.is_some();
                changed.effect |= namespace.store.write(&key, put, due) || writes;
                changed.successful += 1;
            } else {
                changed.unsuccessful.push(key);
            }
        }
        let response = if times_out {
            replies::edge_timeout()
        } else if self.options.empty_bulk_results {
            self.envelope.empty()
        } else {
            changed.reply(self.envelope, self.options.unsuccessful_status)
        };
        Reply { effect: changed.effect, ..Reply::unchanged(response) }.with_items(items)
    }

    fn is_unsuccessful(&mut self) -> bool {
        if self.unsuccessful_left > 0 {
            self.unsuccessful_left -= 1;
            return true;
        }
        let rate = self.options.unsuccessful;
        rate > 0.0 && self.rng.f64() < rate
    }

    fn bulk_get(&self, id: &str, body: &[u8], now: Now) -> Said {
        self.check_size(body)?;
        let most = self.options.bulk_get_413_above;
        let (items, answer) =
            bulk::get(self.store(id)?, self.view(), (body, most), self.envelope, now.seconds);
        let times_out = self.options.bulk_524_above.is_some_and(|most| items > most);
        let response = match answer {
            _ if times_out => replies::edge_timeout(),
            Ok(response) => response,
            Err(refusal) => self.envelope.refusal(&refusal),
        };
        Ok(Reply::unchanged(response).with_items(items))
    }
}
