//! What was read from the queue for one destination and isn't delivered yet. Pure: it says which
//! events the next batch has, and never waits.
//!
//! Law: events of one order (a user's) are never on the wire in two batches at once, and never
//! overtake one another. Where the destination keeps no order, the important go first.

use super::Pending;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use windlass_engine::moment::Moment;

/// Bounds of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Most {
    /// Events.
    pub(super) events: usize,
    /// Bytes of their bodies; a single event may have more.
    pub(super) bytes: usize,
}

/// Events that wait, and whose order is on the wire.
#[derive(Debug)]
pub(super) struct Backlog {
    keeps_order: bool,
    waiting: BTreeMap<Rank, Waiting>,
    bytes: usize,
    /// The orders of events on the wire.
    busy: HashSet<u64>,
}

type Rank = (Reverse<u8>, u64);

#[derive(Debug)]
struct Waiting {
    since: Moment,
    event: Pending,
}

impl Backlog {
    pub(super) fn new(keeps_order: bool) -> Self {
        Self { keeps_order, waiting: BTreeMap::new(), bytes: 0, busy: HashSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, now: Moment, event: Pending) {
        self.bytes += event.bytes;
        self.waiting.insert(self.rank(&event), Waiting { since: now, event });
    }

    fn rank(&self, event: &Pending) -> Rank {
        let priority = if self.keeps_order { 0 } else { event.priority };
        (Reverse(priority), event.seq)
    }

    /// When the next batch should leave: now, when it is full; a linger after its first event came,
    /// when it is not; `None` when there is nothing to wait for.
    pub(super) fn ripe_at(&self, now: Moment, most: Most, linger: Duration) -> Option<Moment> {
        let first = self.waiting.values().next()?;
        if self.waiting.len() >= most.events || self.bytes >= most.bytes {
            return Some(now);
        }
        Some(first.since + linger)
    }

    /// The next batch, all of one form; its orders are busy until [`Backlog::landed`]. Empty when
    /// all that wait are behind others on the wire.
    pub(super) fn take(&mut self, most: Most) -> Vec<Pending> {
        let ranks = self.choose(most);
        let take = |rank: &Rank| self.waiting.remove(rank).map(|waiting| waiting.event);
        let batch: Vec<Pending> = ranks.iter().filter_map(take).collect();
        self.bytes -= batch.iter().map(|event| event.bytes).sum::<usize>();
        if self.keeps_order {
            self.busy.extend(orders(&batch));
        }
        batch
    }

    fn choose(&self, most: Most) -> Vec<Rank> {
        let mut chosen = Vec::new();
        let (mut bytes, mut form) = (0, None);
        // Whose turn it is not in this batch: a later event of theirs would overtake.
        let mut passed: HashSet<u64> = HashSet::new();
        for (&rank, Waiting { event, .. }) in &self.waiting {
            if chosen.len() >= most.events || bytes >= most.bytes {
                break;
            }
            let fits = chosen.is_empty() || bytes + event.bytes <= most.bytes;
            let of_form = form.is_none_or(|form| form == event.form());
            if self.keeps_order && event.order() != 0 {
                let behind = self.busy.contains(&event.order()) || passed.contains(&event.order());
                if behind || !of_form || !fits {
                    passed.insert(event.order());
                    continue;
                }
            } else if !of_form || !fits {
                continue;
            }
            form = Some(event.form());
            bytes += event.bytes;
            chosen.push(rank);
        }
        chosen
    }

    /// A batch is off the wire: its orders are free again, and what comes back waits again.
    pub(super) fn landed(&mut self, now: Moment, orders: &[u64], back: Vec<Pending>) {
        for order in orders {
            self.busy.remove(order);
        }
        for event in back {
            self.push(now, event);
        }
    }
}

/// The orders that these events belong to.
pub(super) fn orders(batch: &[Pending]) -> impl Iterator<Item = u64> {
    batch.iter().map(Pending::order).filter(|&order| order != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Kind;
    use proptest::prelude::*;

    const NOW: Moment = Moment::ZERO;

    fn event(seq: u64, order: u64, kind: Kind, bytes: usize) -> Pending {
        let mut event = Pending::sample(seq);
        (event.bytes, event.event.order, event.event.kind) = (bytes, order, kind);
        event
    }

    fn seqs(batch: &[Pending]) -> Vec<u64> {
        batch.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn a_user_on_the_wire_holds_back_only_this_user() {
        let mut backlog = Backlog::new(true);
        for (seq, order) in [(1, 7), (2, 8), (3, 7), (4, 9), (5, 8)] {
            backlog.push(NOW, event(seq, order, Kind::Message, 1));
        }
        let most = Most { events: 2, bytes: 100 };
        let first = backlog.take(most);
        assert_eq!(seqs(&first), [1, 2]);
        assert_eq!(seqs(&backlog.take(most)), [4]);
        assert_eq!(seqs(&backlog.take(most)), [0; 0]);
        // The first comes back: it goes again before the later one of its user.
        backlog.landed(NOW, &[7, 8], first);
        assert_eq!(seqs(&backlog.take(Most { events: 9, bytes: 100 })), [1, 2, 3, 5]);
    }

    #[test]
    fn the_important_go_first_where_no_order_is_kept() {
        let mut backlog = Backlog::new(false);
        for (seq, priority) in [(1, 0), (2, 1), (3, 2), (4, 2)] {
            let mut event = event(seq, 5, Kind::Span, 1);
            event.priority = priority;
            backlog.push(NOW, event);
        }
        assert_eq!(seqs(&backlog.take(Most { events: 3, bytes: 100 })), [3, 4, 2]);
    }

    #[test]
    fn a_batch_has_one_form_and_its_bytes() {
        let mut backlog = Backlog::new(false);
        for (seq, kind, bytes) in
            [(1, Kind::Span, 60), (2, Kind::Score, 1), (3, Kind::Span, 60), (4, Kind::Span, 40)]
        {
            backlog.push(NOW, event(seq, 0, kind, bytes));
        }
        let most = Most { events: 9, bytes: 100 };
        assert_eq!(backlog.bytes(), 161);
        assert_eq!(seqs(&backlog.take(most)), [1, 4]);
        assert_eq!(seqs(&backlog.take(most)), [2]);
        assert_eq!(seqs(&backlog.take(Most { events: 9, bytes: 10 })), [3], "it goes alone");
        assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
    }

    #[test]
    fn a_batch_leaves_full_or_after_its_linger() {
        let mut backlog = Backlog::new(false);
        let (most, linger) = (Most { events: 2, bytes: 100 }, Duration::from_millis(50));
        assert_eq!(backlog.ripe_at(NOW, most, linger), None);
        backlog.push(NOW, event(1, 0, Kind::Span, 1));
        let later = NOW + Duration::from_millis(10);
        assert_eq!(backlog.ripe_at(later, most, linger), Some(NOW + linger));
        backlog.push(later, event(2, 0, Kind::Span, 1));
        assert_eq!(backlog.ripe_at(later, most, linger), Some(later));
    }

    proptest! {
        #[test]
        fn whatever_comes_back_users_keep_their_order(
            orders in prop::collection::vec(1_u64..5, 1..60),
            steps in prop::collection::vec((1_usize..6, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let mut backlog = Backlog::new(true);
            for (seq, &order) in orders.iter().enumerate() {
                backlog.push(NOW, event(seq as u64, order, Kind::Message, 1));
            }
            let mut wire: Vec<Vec<Pending>> = Vec::new();
            let mut delivered: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let mut land = |batch: Vec<Pending>, works: bool, backlog: &mut Backlog| {
                let freed: Vec<u64> = super::orders(&batch).collect();
                let back = if works {
                    for event in &batch {
                        delivered.entry(event.order()).or_default().push(event.seq);
                    }
                    Vec::new()
                } else {
                    batch
                };
                backlog.landed(NOW, &freed, back);
            };
            for (events, lands, works) in steps {
                let batch = backlog.take(Most { events, bytes: 1000 });
                if !batch.is_empty() {
                    wire.push(batch);
                }
                if lands && !wire.is_empty() {
                    let batch = wire.remove(events % wire.len());
                    land(batch, works, &mut backlog);
                }
            }
            while backlog.len() > 0 || !wire.is_empty() {
                for batch in std::mem::take(&mut wire) {
                    land(batch, true, &mut backlog);
                }
                let batch = backlog.take(Most { events: 3, bytes: 1000 });
                if !batch.is_empty() {
                    wire.push(batch);
                }
            }
            let all: usize = delivered.values().map(Vec::len).sum();
            prop_assert_eq!(all, orders.len());
            for seqs in delivered.values() {
                prop_assert!(seqs.is_sorted());
            }
        }
    }
}
