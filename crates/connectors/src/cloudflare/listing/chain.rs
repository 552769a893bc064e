//! The walk through one chain of pages, and what takes them.

use super::page::{Order, RawPage, circle};
use super::sorted::Spool;
use crate::cloudflare::api::{Api, KeyPage, ListQuery, PAGE_KEYS, Reply};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;
use windlass_engine::job::Context;
use windlass_engine::remote::{Answer, Remote};
use windlass_engine::{Failure, Kind};

/// Ten thousand million keys are beyond every namespace; more pages mean a loop.
const PAGES_MAX: u64 = 10_000_000;
/// How often a walk may begin anew. Each time costs as many requests as it had come.
const WALKS_MAX: u32 = 3;

/// One chain of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// What the names on it begin with; empty for all.
    pub prefix: String,
    /// Where to begin, as an earlier walk with the same prefix had it. Cloudflare says nothing of
    /// how long a cursor lives: one that is refused makes the walk begin at the first page.
    pub cursor: Option<String>,
    /// The names up to this one are left out, wherever the walk begins.
    pub after: Option<String>,
}

/// Where pages come from.
pub(super) struct Source {
    pub api: Arc<Api>,
    pub remote: Arc<Remote>,
    pub context: Context,
    pub operation: usize,
    pub namespace: String,
}

/// What takes the pages of a chain.
pub(super) enum Sink {
    Channel(mpsc::Sender<Message>),
    Spool(Spool),
}

/// What a chain says.
#[derive(Debug)]
pub(super) enum Message {
    Page(RawPage),
    End,
    Failed(Failure),
}

/// Nobody takes the pages any more, or the walk failed and said so.
#[derive(Debug)]
pub(super) struct Over;

impl Sink {
    async fn put(&self, message: Message) -> Result<(), Over> {
        match self {
            Self::Channel(sender) => sender.send(message).await.map_err(|_| Over),
            Self::Spool(spool) => spool.put(message),
        }
    }
}

/// Walks through a chain to its end.
pub(super) async fn walk(
    source: &Source,
    shard: usize,
    chain: &Chain,
    sink: &Sink,
) -> Result<(), Over> {
    let mut walker = Walker::new(source, shard, chain);
    match walker.run(sink).await {
        Ok(()) => sink.put(Message::End).await,
        Err(Stopped::Failed(failure)) => {
            // The taker ends all chains when it hears of this.
            let _ = sink.put(Message::Failed(failure)).await;
            Err(Over)
        }
        Err(Stopped::Over(over)) => Err(over),
    }
}

enum Stopped {
    Failed(Failure),
    Over(Over),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Over> for Stopped {
    fn from(over: Over) -> Self {
        Self::Over(over)
    }
}

struct Walker<'s> {
    source: &'s Source,
    shard: usize,
    prefix: &'s str,
    begin: Option<&'s str>,
    order: Arc<Order>,
    pages: u64,
    walk: u32,
    circles: Circles,
}

impl<'s> Walker<'s> {
    fn new(source: &'s Source, shard: usize, chain: &'s Chain) -> Self {
        let order = Order::new(chain.prefix.clone(), chain.after.as_deref());
        Self {
            source,
            shard,
            prefix: &chain.prefix,
            begin: chain.cursor.as_deref(),
            order: Arc::new(order),
            pages: 0,
            walk: 1,
            circles: Circles::default(),
        }
    }

    async fn run(&mut self, sink: &Sink) -> Result<(), Stopped> {
        // Everything else waits for the next page, so a place on the wire is kept for it.
        let _lead = self.source.remote.gate().lead();
        let mut page = self.fetch(self.begin).await?;
        loop {
            let Some(cursor) = page.cursor.clone() else {
                return Ok(sink.put(Message::Page(page)).await?);
            };
            self.circles.check(&cursor, self.pages)?;
            // The request for the next page is written to its connection, by another task, before
            // the present page is handed to whoever works on it, perhaps on this same thread.
            let (next, put) = tokio::join!(self.fetch(Some(&cursor)), async {
                tokio::task::yield_now().await;
                sink.put(Message::Page(page)).await
            });
            put?;
            page = next?;
        }
    }

    /// The page at this cursor. A cursor that is refused is one that the remote has forgotten: the
    /// walk begins anew then, and what was seen already is left out of its pages.
    async fn fetch(&mut self, cursor: Option<&str>) -> Result<RawPage, Failure> {
        let mut answer = self.ask(cursor).await;
        if cursor.is_some() && self.walk < WALKS_MAX && answer.as_ref().is_err_and(is_lost_cursor) {
            self.walk += 1;
            self.circles = Circles::default();
            answer = self.ask(None).await;
        }
        let answer = answer?;
        self.pages += 1;
        let Reply { value: KeyPage { body, cursor }, request_id, .. } = answer.value;
        Ok(RawPage {
            shard: self.shard,
            number: self.pages,
            body,
            cursor,
            latency: answer.latency,
            request_id,
            walk: self.walk,
            order: Arc::clone(&self.order),
            beyond: OnceLock::new(),
        })
    }

    async fn ask(&self, cursor: Option<&str>) -> Result<Answer<Reply<KeyPage>>, Failure> {
        let Source { api, remote, context, operation, namespace } = self.source;
        let query = ListQuery { prefix: self.prefix, cursor, limit: PAGE_KEYS };
        let ask = |attempt| api.list_keys(namespace, &query, attempt);
        remote.call(context, *operation, false, ask).await
    }
}

fn is_lost_cursor(failure: &Failure) -> bool {
    failure.kind == Kind::Rejected && failure.status == Some(400)
}

/// Finds out whether cursors repeat, in constant memory: each is compared with the one before, and
/// with one that was kept when the number of pages was last a power of two. Sooner or later that
/// one is in the circle, and the way to it is no shorter than the circle is long.
#[derive(Debug, Default)]
struct Circles {
    last: String,
    kept: String,
    passed: u64,
    keep_at: u64,
}

impl Circles {
    fn check(&mut self, cursor: &str, pages: u64) -> Result<(), Failure> {
        if cursor == self.last || cursor == self.kept {
            let what = circle("a cursor came twice", pages);
            return Err(Failure::new(Kind::Malformed, what));
        }
        if pages >= PAGES_MAX {
            let what = circle(&format!("there are over {PAGES_MAX} pages"), pages);
            return Err(Failure::new(Kind::Malformed, what));
        }
        cursor.clone_into(&mut self.last);
        self.passed += 1;
        if self.passed > self.keep_at {
            cursor.clone_into(&mut self.kept);
            self.keep_at = self.passed * 2;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many cursors of a walk with this tail and this circle pass before it is found out.
    fn found_after(tail: usize, circle: usize) -> Option<usize> {
        let mut circles = Circles::default();
        (0..10 * (tail + circle) + 10).find(|&step| {
            let place = if step < tail { step } else { tail + (step - tail) % circle };
            circles.check(&format!("c{place}"), step as u64).is_err()
        })
    }

    #[test]
    fn every_circle_is_found_within_three_times_its_length() {
        assert_eq!(found_after(0, 1), Some(1), "the same cursor again at once");
        for tail in [0, 1, 2, 7, 100, 1_000] {
            for circle in [1, 2, 3, 10, 64, 999] {
                let found = found_after(tail, circle).unwrap_or_else(|| panic!("{tail} {circle}"));
                assert!(found <= 3 * (tail + circle) + 3, "{tail} + {circle}: {found}");
            }
        }
    }

    #[test]
    fn cursors_that_differ_pass() {
        let mut circles = Circles::default();
        for number in 0..100_000_u64 {
            circles.check(&number.to_string(), number).unwrap();
        }
        assert!(circles.check("new", PAGES_MAX).is_err(), "but there is an end of pages");
    }
}
