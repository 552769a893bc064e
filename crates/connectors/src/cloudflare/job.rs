//! The jobs of this system, and what they share: where keys come from, and what is retried of a
//! bulk answer that was not for all of its keys.

pub mod copy;
pub mod delete;
pub mod drop;
pub mod export;
pub mod fetch;
pub mod import;
pub mod output;
pub mod purge;
pub mod walk;

use super::access::{Access, Found, operation};
use super::api::BulkReply;
use super::args::SelectArgs;
use super::listing::{Chain, Key, RawPage, Sorted, shards};
use super::selection::{Selection, SelectionOptions};
use crate::connector::OpenError;
use crate::http_api::Reply;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use windlass_engine::job::{Applied, Context, Outcome, Step};
use windlass_engine::plan::{Header, PlanError};
use windlass_engine::remote::Answer;
use windlass_engine::runner::DiscoverError;
use windlass_engine::{Event, Failure, Kind};

/// How often keys that the remote names as unsuccessful are sent again.
const UNSUCCESSFUL_ROUNDS: u32 = 5;
/// How long to wait before the first of these rounds; each next one waits twice as long.
const UNSUCCESSFUL_WAIT: Duration = Duration::from_millis(500);

/// Which keys of which namespace, as it stands in a plan's header.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The account.
    pub account: Option<String>,
    /// The namespace's id.
    pub namespace: String,
    /// What it was called on the command line.
    pub named: String,
    /// The conditions.
    pub select: SelectionOptions,
    /// The prefixes that are listed in parallel; none means one list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<String>,
}

/// A place in the list, in the marks of a growing plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Which chain.
    shard: usize,
    /// Where its next page is.
    cursor: Option<String>,
    /// The last name that was seen.
    after: Option<String>,
}

impl Source {
    /// The keys that the arguments mean.
    ///
    /// # Errors
    /// When the shards make no sense.
    pub fn new(access: &Access, found: &Found, args: &SelectArgs) -> Result<Self, OpenError> {
        let prefix = args.prefix.clone().unwrap_or_default();
        let shards = args.shards.as_deref().map(|text| shards(text, &prefix)).transpose()?;
        Ok(Self {
            account: access.api.account().map(str::to_owned),
            namespace: found.id.clone(),
            named: found.named.clone(),
            select: SelectionOptions {
                prefix: args.prefix.clone(),
                pattern: args.pattern.clone(),
                search: args.search.clone(),
                tag_field: args.tag_field.clone(),
                tag_value: args.tag_value.clone(),
                filter: args.filter.clone(),
            },
            shards: shards.unwrap_or_default(),
        })
    }

    /// Its rows for people.
    #[must_use]
    pub fn for_people(&self) -> Vec<(&'static str, String)> {
        let found = Found { id: self.namespace.clone(), named: self.named.clone() };
        let mut rows = vec![("namespace", found.words())];
        rows.extend(self.account.clone().map(|account| ("account", account)));
        let select = &self.select;
        let conditions = [
            ("prefix", &select.prefix),
            ("pattern", &select.pattern),
            ("search", &select.search),
            ("tag field", &select.tag_field),
            ("tag value", &select.tag_value),
            ("where", &select.filter),
        ];
        let named = conditions.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        rows.extend(named);
        if !self.shards.is_empty() {
            rows.push(("shards", format!("{} prefixes, listed in parallel", self.shards.len())));
        }
        rows
    }

    /// The chains of its list, from a place on.
    fn chains(&self, from: Option<&Place>) -> Vec<Chain> {
        let prefix = self.select.prefix.clone().unwrap_or_default();
        let prefixes = if self.shards.is_empty() { vec![prefix] } else { self.shards.clone() };
        let chains = prefixes.into_iter().enumerate().filter_map(|(shard, prefix)| {
            let here = from.filter(|place| place.shard == shard);
            let is_behind = from.is_some_and(|place| shard < place.shard);
            (!is_behind).then(|| Chain {
                prefix,
                cursor: here.and_then(|place| place.cursor.clone()),
                after: here.and_then(|place| place.after.clone()),
            })
        });
        chains.collect()
    }

    /// Its list in the order of the names, from a place on.
    ///
    /// # Errors
    /// When the folder takes no files, which parallel lists need.
    pub fn list(
        &self,
        access: &Access,
        context: &Context,
        from: Option<&Place>,
        folder: &Path,
    ) -> Result<KeyList, DiscoverError> {
        let chains = self.chains(from);
        let (api, remote) = (Arc::clone(&access.api), Arc::clone(&access.remote));
        let namespace = self.namespace.clone();
        let (context, number) = (context.clone(), operation::LIST_KEYS);
        let pages = Sorted::start(api, remote, context.clone(), number, namespace, chains, folder);
        let pages = pages.map_err(|source| PlanError::Io { path: folder.to_owned(), source })?;
        let first_shard = from.map_or(0, |place| place.shard);
        Ok(KeyList { pages, context, first_shard, number: 0, seen: 0, selected: 0 })
    }
}

/// A list of keys, page by page, told to whoever watches.
pub struct KeyList {
    pages: Sorted,
    context: Context,
    first_shard: usize,
    number: u64,
    seen: u64,
    selected: u64,
}

impl KeyList {
    /// Shows the next page to `take`, which says how many of its keys it took; `None` at the end.
    ///
    /// # Errors
    /// When the list can't be read, or what `take` says.
    pub async fn next<E: From<Failure>>(
        &mut self,
        take: impl FnOnce(&[Key<'_>]) -> Result<u64, E>,
    ) -> Result<Option<Place>, E> {
        let Some(page) = self.pages.next().await else { return Ok(None) };
        let page = page?;
        let keys = page.keys()?;
        self.selected += take(&keys)?;
        self.seen += keys.len() as u64;
        self.number += 1;
        let after = keys.last().map(|key| key.name.to_string());
        self.tell(&page).await;
        let shard = self.first_shard + page.shard;
        Ok(Some(Place { shard, cursor: page.cursor.clone(), after }))
    }

    /// The keys of the next page that a selection means; `None` at the end.
    ///
    /// # Errors
    /// When the list can't be read.
    pub async fn next_matching(
        &mut self,
        selection: &Selection,
    ) -> Result<Option<Vec<Box<RawValue>>>, Failure> {
        let mut matching = Vec::new();
        let page = self.next(|keys| {
            let chosen = keys.iter().filter(|key| selection.matches(key) == Ok(true));
            matching.extend(chosen.map(object_of));
            Ok::<u64, Failure>(matching.len() as u64)
        });
        Ok(page.await?.map(|_| matching))
    }

    async fn tell(&self, page: &RawPage) {
        let event = Event::Page {
            phase: "keys".to_owned(),
            page: self.number,
            seen: self.seen,
            selected: self.selected,
            latency_us: u64::try_from(page.latency.as_micros()).unwrap_or(u64::MAX),
            request_id: page.request_id.clone(),
        };
        self.context.signal(event).await;
    }
}

/// A key as the list gave it, for a plan.
pub fn object_of(key: &Key<'_>) -> Box<RawValue> {
    serde_json::value::to_raw_value(key).expect("a key is plain JSON")
}

/// The key that a step of a plan is about.
///
/// # Errors
/// When the plan holds something else.
pub fn key_of(step: &Step) -> Result<Key<'_>, Failure> {
    read_key(&step.object)
}

/// The key that [`object_of`] wrote.
///
/// # Errors
/// When it is something else.
pub fn read_key(object: &RawValue) -> Result<Key<'_>, Failure> {
    serde_json::from_str(object.get())
        .map_err(|error| Failure::new(Kind::Bug, format!("a key that is none: {error}")))
}

/// The options of a plan's header.
///
/// # Errors
/// When another version wrote them.
pub fn options_of<'a, T: Deserialize<'a>>(plan: &'a Header) -> Result<T, OpenError> {
    T::deserialize(&plan.options).map_err(|error| {
        OpenError::usage(
            format!("the plan's options are not understood: {error}"),
            "use the version of windlass that made it",
        )
    })
}

/// The selection of a source.
///
/// # Errors
/// When an expression is not understood.
pub fn selection_of(source: &Source) -> Result<Selection, OpenError> {
    Selection::compile(source.select.clone())
}

/// A bulk write that goes on until every key was taken, or was named as unsuccessful too often.
///
/// `send` gets the numbers of the items to send. The outcome of an item is final with its round.
///
/// # Errors
/// What a round fails with; the outcomes of earlier rounds are lost with it, and the batch is sent
/// whole again, which changes nothing for the keys that were taken.
pub async fn until_taken<F>(
    context: &Context,
    keys: &[&str],
    mut send: impl FnMut(Vec<usize>) -> F,
) -> Result<Applied, Failure>
where
    F: Future<Output = Result<Answer<Reply<BulkReply>>, Failure>>,
{
    let mut outcomes = vec![Outcome::Done; keys.len()];
    let mut left: Vec<usize> = (0..keys.len()).collect();
    let mut wait = UNSUCCESSFUL_WAIT;
    let mut sent = 0;
    for round in 1.. {
        let answer = send(left.clone()).await?;
        sent += answer.attempts;
        let reply = answer.value;
        let named: HashSet<&str> = reply.value.unsuccessful.iter().map(String::as_str).collect();
        // An answer that leaves some of them out says nothing about any of them.
        if reply.value.accounts_for(left.len() as u64) {
            left.retain(|&number| keys.get(number).is_some_and(|key| named.contains(key)));
        }
        if left.is_empty() || round == UNSUCCESSFUL_ROUNDS {
            for &number in &left {
                if let Some(outcome) = outcomes.get_mut(number) {
                    *outcome = Outcome::Failed(Box::new(unsuccessful(round)));
                }
            }
            return Ok(Applied {
                outcomes,
                latency: answer.latency,
                attempts: sent,
                status: Some(reply.status),
                request_id: reply.request_id,
            });
        }
        context.clock.sleep(wait).await;
        wait *= 2;
    }
    unreachable!("the last round returns")
}

fn unsuccessful(rounds: u32) -> Failure {
    let what = format!("the remote did not take the key, {rounds} times in a row");
    Failure::new(Kind::Unavailable, what)
        .with_hint("`windlass resume RUN --retry-failed` sends it again")
}
