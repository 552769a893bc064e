//! What has a name in an account: namespaces, which can be created and renamed, and zones.

use super::{Form, Writer};
use crate::cloudflare::access::{Access, operation};
use crate::connector::{Answered, Query, QueryError};
use std::io::Write;
use std::sync::Arc;
use windlass_engine::job::{BoxFuture, Context};
use windlass_engine::remote::Remote;

/// What is asked, or said, about names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// All namespaces.
    Namespaces,
    /// A new namespace with this title, kept in this place.
    Create(String, Option<String>),
    /// Another title for the namespace with this id.
    Rename(String, String),
    /// All zones.
    Zones,
    /// One zone, by name or id.
    Zone(String),
}

/// A question about names, with the account.
pub struct Names {
    /// The account.
    pub access: Access,
    /// What is asked.
    pub question: Question,
    /// How the answer is written.
    pub form: Form,
}

impl Names {
    async fn answer(
        &self,
        context: &Context,
        out: &mut (dyn Write + Send),
    ) -> Result<Answered, QueryError> {
        let mut writer = Writer::begin(out, self.form)?;
        match &self.question {
            Question::Namespaces => self.namespaces(context, &mut writer).await?,
            Question::Create(title, place) => {
                self.create(context, &mut writer, title, place.as_deref()).await?;
            }
            Question::Rename(id, title) => self.rename(context, &mut writer, id, title).await?,
            Question::Zones => {
                for zone in
                    self.access.lookup.zones(context, self.access.api.account()).await?.iter()
                {
                    self.row(&mut writer, zone, &[&zone.id, &zone.name])?;
                }
            }
            Question::Zone(named) => {
                let id = self.access.lookup.resolve_zone(context, named).await?;
                let (api, remote) = (&self.access.api, &self.access.remote);
                let ask = |attempt| api.zone(&id, attempt);
                let zone = remote.call(context, operation::READ_ZONES, false, ask).await?;
                let zone = zone.value.value;
                let status = zone.status.clone().unwrap_or_default();
                self.row(&mut writer, &zone, &[&zone.id, &zone.name, &status])?;
            }
        }
        writer.end()?;
        Ok(Answered::default())
    }

    async fn namespaces(
        &self,
        context: &Context,
        writer: &mut Writer<'_>,
    ) -> Result<(), QueryError> {
        for namespace in self.access.lookup.namespaces(context).await?.iter() {
            self.row(writer, namespace, &[&namespace.id, &namespace.title])?;
        }
        Ok(())
    }

    async fn create(
        &self,
        context: &Context,
        writer: &mut Writer<'_>,
        title: &str,
        place: Option<&str>,
    ) -> Result<(), QueryError> {
        let (api, remote) = (&self.access.api, &self.access.remote);
        let create = |attempt| api.create_namespace(title, place, attempt);
        let made = remote.call(context, operation::CREATE_NAMESPACE, false, create).await?;
        self.access.lookup.forget_namespaces();
        let made = made.value.value;
        Ok(self.row(writer, &made, &[&made.id, &made.title])?)
    }

    /// Giving the same title twice is harmless, so a lost answer is simply asked for again.
    async fn rename(
        &self,
        context: &Context,
        writer: &mut Writer<'_>,
        id: &str,
        title: &str,
    ) -> Result<(), QueryError> {
        let (api, remote) = (&self.access.api, &self.access.remote);
        let rename = |attempt| api.rename_namespace(id, title, attempt);
        remote.call(context, operation::RENAME_NAMESPACE, false, rename).await?;
        self.access.lookup.forget_namespaces();
        let renamed = serde_json::json!({ "id": id, "title": title });
        Ok(self.row(writer, &renamed, &[id, title])?)
    }

    fn row(
        &self,
        writer: &mut Writer<'_>,
        record: &impl serde::Serialize,
        columns: &[&str],
    ) -> std::io::Result<()> {
        if self.form == Form::Text {
            return writer.text(&[columns.join("\t").as_bytes()]);
        }
        writer.json(record)
    }
}

impl Query for Names {
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
