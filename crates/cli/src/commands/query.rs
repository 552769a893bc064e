//! Queries: what is asked is answered on standard output, while signals are watched on standard
//! error. There is no plan, no journal and no run.

use super::desk::Wires;
use crate::display::{self, Answer, Screen};
use crate::exit::{Error, Exit};
use crate::signals;
use std::io::{ErrorKind, Write};
use windlass_connectors::{Answered, Query, QueryError};
use windlass_engine::runner::{Reporter, watch};
use windlass_engine::tally::Tally;

/// Answers a query, whose command has these words.
///
/// # Errors
/// When a remote fails, the answer can't be written, or it was interrupted.
pub async fn answer(
    screen: Screen,
    path: &[&str],
    query: Box<dyn Query>,
    mut wires: Wires,
) -> Result<Exit, Error> {
    let name = path.join(" ");
    let reporters = screen.watchers(&name);
    let (out, speak) = (Answer::to_stdout(&screen), wires.speak.clone());
    let answered = tokio::select! {
        answered = written(&name, query, &mut wires, reporters, out) => answered?,
        () = signals::forward(speak) => unreachable!("signals are awaited for ever"),
    };
    Ok(told(&screen, &answered))
}

/// Runs a query and writes all of its answer that there is, even when it fails in its middle.
async fn written<W: Write + Send, E: Write + Send>(
    name: &str,
    mut query: Box<dyn Query>,
    wires: &mut Wires,
    mut reporters: Vec<Box<dyn Reporter>>,
    mut out: Answer<W, E>,
) -> Result<Answered, Error> {
    let remotes = query.remotes();
    let answered = watch(
        &remotes,
        &wires.context,
        Tally::reading(name),
        query.run(&wires.context, &mut out),
        &mut wires.signals,
        &mut wires.orders,
        &mut reporters,
    )
    .await;
    // The line of the terminal is given back before the last words are written.
    drop(reporters);
    let finished = out.finish();
    match answered.and_then(|answered| Ok(finished.map(|()| answered)?)) {
        // The reader has seen enough, as `head` has.
        Err(QueryError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(Answered::default())
        }
        answered => Ok(answered?),
    }
}

fn told(screen: &Screen, answered: &Answered) -> Exit {
    for note in &answered.notes {
        display::note(&screen.noted(note));
    }
    if answered.differs { Exit::Failed } else { Exit::Done }
}

#[cfg(test)]
mod tests;
