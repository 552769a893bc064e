//! Signals as orders: the first asks for a stop, the second aborts.

use std::fs;
use std::sync::OnceLock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::Sender;
use windlass_engine::runner::{Command, Order};

/// Asked once, before the first handler is in place, which would change the answer.
static OUTLIVES_TERMINAL: OnceLock<bool> = OnceLock::new();

/// Passes interrupts on for as long as it is polled. A closed terminal (SIGHUP) and a service
/// manager's request (SIGTERM) mean the same as Ctrl-C; under `nohup` a closed terminal means
/// nothing.
pub async fn forward(orders: Sender<Order>) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let outlives_terminal = *OUTLIVES_TERMINAL.get_or_init(hangup_is_ignored);
    let mut streams: Vec<_> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
    let [interrupt, terminate, hangup] = streams.as_mut_slice() else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv(), if !outlives_terminal => {}
        }
        if orders.send(Order::new(Command::Stop, "interrupt")).await.is_err() {
            return;
        }
    }
}

/// Whether this process was started with SIGHUP, signal 1, ignored, as `nohup` does. Only Linux
/// tells.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
