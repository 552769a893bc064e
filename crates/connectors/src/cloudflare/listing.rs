//! Walking the keys of a namespace: exact, in constant memory, and with the next page always on
//! the wire while the present one is worked on.
//!
//! The list of a namespace is a chain of pages, each of which has the cursor of the next. That
//! alone bounds the speed of one chain to a page a round trip, and there is no other way to go
//! through a list than this: no start, no end, no delimiter. Several chains, one for each of some
//! prefixes that together are all names, go side by side.
//!
//! - `page`: where a page says that the list goes on, and the keys in it
//! - `chain`: the walk through one chain, and what takes its pages
//! - `sorted`: several chains joined into the order of their names
//! - `shards`: prefixes from what the operator declares

mod chain;
mod page;
mod shards;
mod sorted;
#[cfg(test)]
mod tests;

pub use chain::Chain;
pub(super) use page::cursor_of;
pub use page::{Key, RawPage};
pub use shards::shards;
pub use sorted::Sorted;

use super::api::Api;
use chain::{Message, Sink, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use windlass_engine::job::Context;
use windlass_engine::remote::Remote;
use windlass_engine::{Failure, Kind};

/// Chains that are walked at a time. More are not on the wire at once under any profile, and each
/// may hold two pages of up to some hundred kilobytes.
const CHAINS_AT_ONCE: usize = 64;
/// Pages that wait to be taken, for a single chain; several chains have one each.
const PAGES_WAITING: usize = 2;

/// All pages of some chains, as they come. Dropping it ends the walk.
#[derive(Debug)]
pub struct Listing {
    pages: mpsc::Receiver<Message>,
    tasks: JoinSet<()>,
    /// Chains that have not ended.
    open: usize,
}

impl Listing {
    /// Starts to walk through these chains of a namespace. Each page is one request of `operation`
    /// at `remote`. Needs a tokio runtime.
    #[must_use]
    pub fn start(
        api: Arc<Api>,
        remote: Arc<Remote>,
        context: Context,
        operation: usize,
        namespace: String,
        chains: Vec<Chain>,
    ) -> Self {
        let source = Source { api, remote, context, operation, namespace };
        let open = chains.len();
        let (sender, pages) = mpsc::channel(waiting(open));
        let sinks = chains.into_iter().map(|chain| (chain, Sink::Channel(sender.clone())));
        let tasks = walk_all(source, sinks.collect());
        Self { pages, tasks, open }
    }

    /// The next page of any chain; those of one chain come in their order. `None` comes only when
    /// every chain was walked to its end, or after a failure.
    ///
    /// It asks for pages ahead, also such as are never taken: up to three a chain.
    ///
    /// # Errors
    /// The first failure of any chain; the walk is over then.
    pub async fn next(&mut self) -> Option<Result<RawPage, Failure>> {
        while self.open > 0 {
            match self.pages.recv().await {
                Some(Message::Page(page)) => return Some(Ok(page)),
                Some(Message::End) => self.open -= 1,
                Some(Message::Failed(failure)) => return Some(Err(self.over(failure))),
                None => return Some(Err(self.over(ended_early()))),
            }
        }
        None
    }

    fn over(&mut self, failure: Failure) -> Failure {
        self.open = 0;
        self.tasks.abort_all();
        failure
    }
}

/// A walk whose task is gone has not seen all keys, and must never look as if it had.
fn ended_early() -> Failure {
    Failure::new(Kind::Bug, "the task of a list ended before the list did")
}

const fn waiting(chains: usize) -> usize {
    match chains {
        0 | 1 => PAGES_WAITING,
        CHAINS_AT_ONCE.. => CHAINS_AT_ONCE,
        few => few,
    }
}

/// Walks through all chains, the first ones first.
fn walk_all(source: Source, chains: Vec<(Chain, Sink)>) -> JoinSet<()> {
    let source = Arc::new(source);
    let at_once = chains.len().min(CHAINS_AT_ONCE);
    let chains: Arc<[_]> = chains.into();
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (source, chains, next) = (Arc::clone(&source), Arc::clone(&chains), Arc::clone(&next));
        tasks.spawn(async move {
            while let Some((shard, (chain, sink))) = {
                let shard = next.fetch_add(1, Ordering::Relaxed);
                chains.get(shard).map(|chain| (shard, chain))
            } {
                if chain::walk(&source, shard, chain, sink).await.is_err() {
                    return;
                }
            }
        });
    }
    tasks
}
