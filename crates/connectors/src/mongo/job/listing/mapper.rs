//! From a source document to what would be planned of it.

use super::groups::Group;
use super::{Candidate, Planned, hash_of};
use crate::mongo::job::Migrate;
use crate::mongo::job::cores::on_all_cores;
use crate::mongo::job::work::Work;
use crate::mongo::mapping::{Phase, Reference};
use bson::{Bson, Document, RawDocument, RawDocumentBuf};

/// Maps documents; it only reads.
#[derive(Clone, Copy)]
pub(super) struct Mapper<'a> {
    pub(super) job: &'a Migrate,
    /// What this phase may use of the targets of earlier ones.
    pub(super) planned: &'a [Planned],
}

impl Mapper<'_> {
    /// The candidates of these documents, or why there is none, in their order.
    pub(super) fn candidates(
        self,
        phase: &Phase,
        sources: &[RawDocumentBuf],
    ) -> Vec<Result<Candidate, String>> {
        on_all_cores(self.job.threads(), sources, |source| self.candidate(phase, source))
    }

    /// The same for groups with their documents.
    pub(super) fn of_groups(
        self,
        phase: &Phase,
        groups: &[(&Group, &RawDocumentBuf)],
    ) -> Vec<Result<Candidate, String>> {
        let map = |(group, source): &(&Group, &RawDocumentBuf)| self.of_group(phase, source, group);
        on_all_cores(self.job.threads(), groups, map)
    }

    fn candidate(&self, phase: &Phase, source: &RawDocument) -> Result<Candidate, String> {
        let place = phase.place(source, self.job.now())?;
        let work = Work { count: 1, bytes: source.as_bytes().len() as u64, ..Work::default() };
        self.made(phase, source, place.key, &place.references, work)
    }

    fn of_group(
        &self,
        phase: &Phase,
        source: &RawDocument,
        group: &Group,
    ) -> Result<Candidate, String> {
        let place = phase.place(source, self.job.now())?;
        let work = Work {
            source: Some(group.source.to_string()),
            count: u64::from(group.count),
            bytes: source.as_bytes().len() as u64,
            ..Work::default()
        };
        self.made(phase, source, group.key.to_string(), &place.references, work)
    }

    fn made(
        &self,
        phase: &Phase,
        source: &RawDocument,
        key: String,
        references: &[String],
        mut work: Work,
    ) -> Result<Candidate, String> {
        let referred = self.referred(phase, references)?;
        work.references = referred
            .iter()
            .map(|one| Bson::Document(one.clone()).into_canonical_extjson())
            .collect();
        let target = self.job.target(phase, source, &key, &work, &referred)?;
        let source = source.to_owned();
        Ok(Candidate { key, work, references: referred, source, target })
    }

    /// The targets of earlier phases that this one refers to.
    fn referred(&self, phase: &Phase, keys: &[String]) -> Result<Vec<Document>, String> {
        let find = |(reference, key): (&Reference, &String)| {
            let planned = self.planned.get(reference.phase);
            let found = planned.and_then(|planned| planned.get(&hash_of(key)));
            let bytes = found.ok_or_else(|| format!("its {} is left out", reference.name))?;
            let document = RawDocument::from_bytes(bytes).and_then(Document::try_from);
            document.map_err(|error| error.to_string())
        };
        phase.references.iter().zip(keys).map(find).collect()
    }
}
