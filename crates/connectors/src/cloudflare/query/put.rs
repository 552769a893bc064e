//! `kv put` of one value: a request, and no run. Putting the same value twice is harmless.

use crate::cloudflare::access::{Access, operation};
use crate::cloudflare::api::Put;
use crate::connector::{Answered, Query, QueryError};
use std::io::Write;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// One value on its way.
pub struct PutOne {
    /// The account.
    pub access: Access,
    /// The namespace's id.
    pub namespace: String,
    /// The key.
    pub key: String,
    /// The value with what goes with it.
    pub put: Put,
    /// Whether it is only told what would be done.
    pub dry_run: bool,
}

impl PutOne {
    async fn answer(&self, context: &Context) -> Result<Answered, QueryError> {
        let key = &self.key;
        if self.dry_run {
            let note = format!("`{key}` would be put; nothing was changed");
            return Ok(Answered { notes: vec![note], ..Answered::default() });
        }
        let (api, remote) = (&self.access.api, &self.access.remote);
        let put = |attempt| api.put_value(&self.namespace, key, &self.put, attempt);
        remote.call(context, operation::PUT_VALUE, false, put).await?;
        self.access.lookup.forget_key(&self.namespace, key);
        let note = format!("`{key}` was put; it is seen everywhere within a minute");
        Ok(Answered { notes: vec![note], ..Answered::default() })
    }
}

impl Query for PutOne {
    fn remotes(&self) -> Vec<Arc<Remote>> {
        vec![Arc::clone(&self.access.remote)]
    }

    fn run<'a>(
        &'a mut self,
        context: &'a Context,
        _out: &'a mut (dyn Write + Send),
    ) -> BoxFuture<'a, Result<Answered, QueryError>> {
        Box::pin(self.answer(context))
    }
}
