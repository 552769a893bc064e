//! Mapping on all cores: it is what takes time where nothing is hashed, some 10,000 documents a
//! second on each core for long mappings, and the program itself has one thread.

/// Items that are worth a thread: about 5 ms of mapping.
const ITEMS_A_THREAD: usize = 50;

/// Maps items and keeps their order. The threads are gone when this returns, a few hundredths of a
/// second later; a panic in one of them goes on here.
pub fn on_all_cores<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    map: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let threads = threads.min(items.len() / ITEMS_A_THREAD).max(1);
    let size = items.len().div_ceil(threads).max(1);
    let map = &map;
    std::thread::scope(|scope| {
        let part = |some: &[T]| some.iter().map(map).collect::<Vec<_>>();
        let mut parts = items.chunks(size);
        let first = parts.next().unwrap_or_default();
        let others: Vec<_> = parts.map(|some| scope.spawn(move || part(some))).collect();
        let mut all = part(first);
        for other in others {
            match other.join() {
                Ok(mapped) => all.extend(mapped),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays_whatever_the_number_of_threads() {
        for (threads, items) in [(1, 0), (1, 7), (3, 49), (3, 1000), (8, 1001)] {
            let numbers: Vec<u32> = (0..items).collect();
            let doubled: Vec<u32> = (0..items).map(|number| number * 2).collect();
            assert_eq!(on_all_cores(threads, &numbers, |number| number * 2), doubled);
        }
    }
}
