//! `migrate pause`, `resume`, `throttle` and `stop`: what all machines at work on a run are asked.
//! They hear it within two seconds.

use crate::connector::{Answered, Query, QueryError};
use crate::mongo::access::Access;
use crate::mongo::board::{Board, RENEW};
use bson::{Bson, doc};
use std::io::Write;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;
use windlass_engine::{Failure, Kind};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wished {
    /// Begin nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Come to an end.
    Stop,
    /// At most so many requests a second each; 0 for as many as they like.
    Rate(f64),
}

/// A wish for one run.
pub struct Wish {
    /// The database.
    pub access: Access,
    /// The run.
    pub run: String,
    /// What is asked.
    pub wished: Wished,
}

impl Wish {
    async fn say(&self, context: &Context) -> Result<String, QueryError> {
        let board = Board::new(&self.access, &self.run, &self.run);
        if board.record(context).await?.is_none() {
            let what = format!("there is no run {} in this database", self.run);
            let hint = "`windlass migrate status` lists the runs of a database";
            return Err(Failure::new(Kind::Rejected, what).with_hint(hint).into());
        }
        let (members, words) = match self.wished {
            Wished::Pause => (doc! { "wishes.paused": true }, "is held on all machines".to_owned()),
            Wished::Resume => (
                doc! { "wishes.paused": false, "wishes.stopped": false },
                format!(
                    "may go on; where no machine is at work, `windlass resume {}` begins again",
                    self.run
                ),
            ),
            Wished::Stop => {
                (doc! { "wishes.stopped": true }, "comes to an end on all machines".to_owned())
            }
            Wished::Rate(rate) => {
                let rate = if rate > 0.0 { Bson::Double(rate) } else { Bson::Null };
                (doc! { "wishes.rate": rate }, "has its new ceiling on all machines".to_owned())
            }
        };
        board.set(context, members).await?;
        Ok(words)
    }
}

impl Query for Wish {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(async move {
            let words = self.say(context).await?;
            let seconds = RENEW.as_secs();
            writeln!(out, "run {} {words}, within {seconds} s", self.run)?;
            Ok(Answered::default())
        })
    }
}
