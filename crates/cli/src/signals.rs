//! Signals as orders: the first asks for a stop, the second aborts.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;
use windlass_engine::runner::{Command, Order};

/// Passes interrupts on for as long as it is polled. A closed terminal (SIGHUP) and a service
/// manager's request (SIGTERM) mean the same as Ctrl-C.
pub async fn forward(orders: Sender<Order>) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let mut streams: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    let [interrupt, terminate, hangup] = streams.as_mut_slice() else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        if orders.send(Order::new(Command::Stop, "interrupt")).await.is_err() {
            return;
        }
    }
}
