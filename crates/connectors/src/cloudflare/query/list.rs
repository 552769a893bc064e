//! `kv list`: names with what the list itself tells of them, page after page to standard output.

use super::{Form, Writer};
use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::{ListQuery, PAGE_KEYS, PAGE_KEYS_MIN};
use crate::cloudflare::job::Source;
use crate::cloudflare::listing::{Chain, Key, Listing, RawPage};
use crate::cloudflare::selection::Selection;
use crate::connector::{Answered, Query, QueryError};
use std::io::Write;
use std::sync::Arc;
use windlass_engine::Event;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// A list of keys.
pub struct List {
    /// The account.
    pub access: Access,
    /// Which keys.
    pub source: Source,
    /// The same, compiled.
    pub selection: Selection,
    /// How they are written.
    pub form: Form,
    /// Whether text shows expiration and metadata.
    pub with_metadata: bool,
    /// How much of the list is read.
    pub extent: Extent,
}

/// How much of a list is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One page from this cursor on, of at most so many keys.
    Page(Option<String>, Option<u64>),
    /// Everything from this cursor on, or at most so many keys that match.
    All(Option<String>, Option<u64>),
    /// One key by its name.
    Key(String),
}

impl List {
    async fn page(
        &self,
        context: &Context,
        (prefix, cursor, limit): (&str, Option<&str>, u64),
    ) -> Result<RawPage, QueryError> {
        let limit = limit.clamp(PAGE_KEYS_MIN.into(), PAGE_KEYS.into());
        let limit = u32::try_from(limit).unwrap_or(PAGE_KEYS);
        let (api, remote) = (&self.access.api, &self.access.remote);
        let namespace = &self.source.namespace;
        let query = ListQuery { prefix, cursor, limit };
        let ask = |attempt| api.list_keys(namespace, &query, attempt);
        let answer = remote.call(context, operation::LIST_KEYS, false, ask).await?;
        Ok(RawPage::single(prefix, answer))
    }

    async fn one_page(
        &self,
        context: &Context,
        writer: &mut Writer<'_>,
        cursor: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Vec<String>, QueryError> {
        let prefix = self.source.select.prefix.as_deref().unwrap_or_default();
        let most = limit.unwrap_or(u64::from(PAGE_KEYS));
        let page = self.page(context, (prefix, cursor, most)).await?;
        let keys = page.keys()?;
        let shown = usize::try_from(most).unwrap_or(usize::MAX).min(keys.len());
        for key in keys.iter().take(shown) {
            writer.key(key, self.with_metadata)?;
        }
        let next = page.cursor.as_ref().map(|cursor| {
            format!("there is more: --all lists everything, --cursor {cursor} goes on here")
        });
        let cut = (shown < keys.len()).then(|| {
            format!(
                "the smallest page has {PAGE_KEYS_MIN} keys: {} are not shown",
                keys.len() - shown
            )
        });
        Ok(cut.into_iter().chain(next).collect())
    }

    async fn all(
        &self,
        context: &Context,
        writer: &mut Writer<'_>,
        cursor: Option<&str>,
        limit: Option<u64>,
    ) -> Result<Vec<String>, QueryError> {
        let mut pages = self.pages(context, cursor);
        let mut told = Told::default();
        while let Some(page) = pages.next().await {
            let page = page?;
            for key in page.keys()? {
                told.seen += 1;
                match self.selection.matches(&key) {
                    Ok(false) => continue,
                    Ok(true) => writer.key(&key, self.with_metadata)?,
                    Err(_) => {
                        told.undecided += 1;
                        continue;
                    }
                }
                told.shown += 1;
                if limit == Some(told.shown) {
                    return Ok(told.notes());
                }
            }
            told.page(context, &page).await;
        }
        Ok(told.notes())
    }

    fn pages(&self, context: &Context, cursor: Option<&str>) -> Listing {
        let prefix = self.source.select.prefix.clone().unwrap_or_default();
        let shards = &self.source.shards;
        let prefixes = if shards.is_empty() { vec![prefix] } else { shards.clone() };
        let chain = |prefix| Chain { prefix, cursor: cursor.map(str::to_owned), after: None };
        let chains = prefixes.into_iter().map(chain).collect();
        let (api, remote) = (Arc::clone(&self.access.api), Arc::clone(&self.access.remote));
        let namespace = self.source.namespace.clone();
        Listing::start(api, remote, context.clone(), operation::LIST_KEYS, namespace, chains)
    }

    /// A list whose prefix is the whole name begins with that name, if it is there.
    async fn one_key(
        &self,
        context: &Context,
        writer: &mut Writer<'_>,
        name: &str,
    ) -> Result<bool, QueryError> {
        let page = self.page(context, (name, None, PAGE_KEYS_MIN.into())).await?;
        let keys = page.keys()?;
        let found: Option<&Key<'_>> = keys.first().filter(|key| key.name == name);
        if let Some(key) = found {
            writer.key(key, true)?;
        }
        Ok(found.is_some())
    }

    async fn answer(
        &mut self,
        context: &Context,
        out: &mut (dyn Write + Send),
    ) -> Result<Answered, QueryError> {
        let mut writer = Writer::begin(out, self.form)?;
        let mut answered = Answered::default();
        match &self.extent {
            Extent::Page(cursor, limit) => {
                let (cursor, limit) = (cursor.as_deref(), *limit);
                answered.notes = self.one_page(context, &mut writer, cursor, limit).await?;
            }
            Extent::All(cursor, limit) => {
                let (cursor, limit) = (cursor.as_deref(), *limit);
                answered.notes = self.all(context, &mut writer, cursor, limit).await?;
            }
            Extent::Key(name) => {
                if !self.one_key(context, &mut writer, name).await? {
                    answered.notes.push(format!("there is no key `{name}`"));
                    answered.differs = true;
                }
            }
        }
        writer.end()?;
        Ok(answered)
    }
}

/// What a walk through all pages has to tell.
#[derive(Default)]
struct Told {
    pages: u64,
    seen: u64,
    shown: u64,
    undecided: u64,
}

impl Told {
    async fn page(&mut self, context: &Context, page: &RawPage) {
        self.pages += 1;
        let event = Event::Page {
            phase: "keys".to_owned(),
            page: self.pages,
            seen: self.seen,
            selected: self.shown,
            latency_us: u64::try_from(page.latency.as_micros()).unwrap_or(u64::MAX),
            request_id: page.request_id.clone(),
        };
        context.signal(event).await;
    }

    fn notes(&self) -> Vec<String> {
        let undecided = self.undecided;
        let note = format!("{undecided} keys are not shown: the expression can't be answered");
        if undecided > 0 { vec![note] } else { Vec::new() }
    }
}

impl Query for List {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(self.answer(context, out))
    }
}
