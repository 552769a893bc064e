//! From a command line, or from a plan, to what is to be done.

use super::access::{Access, purge_plan};
use super::api::{DELETE_ITEMS_MAX, Expiry, GET_KEYS_MAX, PUT_ITEMS_MAX, Put};
use super::args::{
    AccountArgs, CopyArgs, CreateArgs, DeleteArgs, ExportArgs, GetArgs, ImportArgs, ListArgs,
    NameArgs, NamespaceArgs, PurgeSyncArgs, PutArgs, RenameArgs, RestoreArgs, VerifyArgs,
    ZoneGetArgs,
};
use super::job::delete::{self, Delete, TagPurge};
use super::job::drop::{self, DropNamespace};
use super::job::export::{self, Export};
use super::job::import::{self, Import};
use super::job::purge::{Purge, PurgeTarget};
use super::job::{Source, copy, selection_of};
use super::query::Form;
use super::query::get::{GetMany, GetOne, What};
use super::query::list::{Extent, List};
use super::query::names::{Names, Question};
use super::query::put::PutOne;
use super::query::verify::Verify;
use super::records::{Expired, Format};
use crate::connector::{OpenError, Opened, Opening, Query, QueryError, Setup};
use bytes::Bytes;
use clap::{ArgMatches, FromArgMatches};
use serde_json::value::RawValue;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_engine::job::{Context, Job};
use windlass_engine::plan::Header;

/// What every command is opened with.
pub struct Opener<'a> {
    /// The settings.
    pub setup: &'a Setup,
    /// For requests that find out what a name means.
    pub context: &'a Context,
    /// The arguments of the command.
    pub matches: &'a ArgMatches,
}

/// Opens what a command line asks for.
///
/// # Errors
/// When it makes no sense, or what it names is not there.
pub async fn open(
    setup: &Setup,
    context: &Context,
    path: &[&str],
    matches: &ArgMatches,
) -> Result<Opened, QueryError> {
    let opener = Opener { setup, context, matches };
    match path {
        ["kv", "namespaces", "drop"] => opener.drop_namespace().await,
        ["kv", "namespaces", which] => opener.namespaces(which).await,
        ["kv", "list"] => opener.list().await,
        ["kv", "get"] => opener.get().await,
        ["kv", "put"] => opener.put().await,
        ["kv", "delete"] => opener.delete().await,
        ["kv", "export"] => opener.export().await,
        ["kv", "import"] => opener.import().await,
        ["kv", "copy"] => opener.copy().await,
        ["kv", "verify"] => opener.verify().await,
        ["kv", "purge-sync"] => opener.purge_sync().await,
        ["cache", how, which] => opener.purge(*how == "invalidate", which).await,
        ["zones", which] => opener.zones(which),
        _ => Err(OpenError::usage("there is no such command", "see --help").into()),
    }
}

/// Opens the job of a plan.
///
/// # Errors
/// When its header is not understood.
pub fn reopen(setup: &Setup, plan: &Header) -> Result<Opening, OpenError> {
    match plan.operation.as_str() {
        "delete" | "purge-sync" => Delete::of_plan(setup, plan).map(|job| of_delete(setup, job)),
        "export" => Export::of_plan(setup, plan).map(|job| of_export(setup, job)),
        "import" | "put" => Import::of_plan(setup, plan).map(|job| of_import(setup, job)),
        "copy" => copy::Copy::of_plan(setup, plan).map(|job| of_copy(setup, job)),
        "namespaces drop" => {
            let job = DropNamespace::of_plan(setup, plan)?;
            Ok(opening(setup, job, plan.options.clone(), Vec::new()))
        }
        _ => Purge::of_plan(setup, plan).map(|job| super::purges::of_purge(setup, job)),
    }
}

pub(super) fn opening(
    setup: &Setup,
    job: impl Job + 'static,
    options: serde_json::Value,
    selection: Vec<(&'static str, String)>,
) -> Opening {
    Opening {
        job: Arc::new(job),
        account: setup.key.fingerprint(),
        options,
        selection,
        warnings: Vec::new(),
        question: None,
        data_on_stdout: false,
    }
}

pub(super) fn json(options: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(options).expect("options are plain JSON")
}

fn of_delete(setup: &Setup, job: Delete) -> Opening {
    let options = job.options();
    let mut rows = options.source.for_people();
    if options.by_name {
        rows.push(("keys", "those that are named".to_owned()));
    }
    if let Some(purge) = &options.purge {
        rows.push(("then purge", format!("cache tags in {}", purge.zone.name)));
    }
    let mut warnings =
        vec!["Workers KV deletes for good; a plan keeps metadata, not values".to_owned()];
    if options.walk && !options.by_name {
        warnings.push(
            "at the end the namespace is listed once more, to show that nothing is left".to_owned(),
        );
    }
    let options = json(options);
    Opening { warnings, ..opening(setup, job, options, rows) }
}

fn of_export(setup: &Setup, job: Export) -> Opening {
    let options = job.options();
    let mut rows = options.source.for_people();
    rows.extend(options.file.as_ref().map(|path| ("file", path.display().to_string())));
    let data_on_stdout = options.file.is_none();
    let options = json(options);
    Opening { data_on_stdout, ..opening(setup, job, options, rows) }
}

fn of_import(setup: &Setup, job: Import) -> Opening {
    let options = job.options();
    let mut rows = vec![("namespace", options.namespace.clone())];
    rows.push(("file", options.file.display().to_string()));
    rows.push(("under 60 s to live", options.expired.name().to_owned()));
    let options = json(options);
    let warnings = vec!["what is there under the same keys is replaced".to_owned()];
    Opening { warnings, ..opening(setup, job, options, rows) }
}

fn of_copy(setup: &Setup, job: copy::Copy) -> Opening {
    let options = job.options();
    let mut rows = options.source.for_people();
    rows.push(("to namespace", options.to.clone()));
    rows.extend(options.to_account.clone().map(|account| ("to account", account)));
    let options = json(options);
    opening(setup, job, options, rows)
}

impl Opener<'_> {
    pub(super) fn args<A: FromArgMatches>(&self) -> Result<A, OpenError> {
        A::from_arg_matches(self.matches)
            .map_err(|error| OpenError::usage(error.to_string(), "see --help"))
    }

    pub(super) fn access(&self, account: &AccountArgs) -> Result<Access, OpenError> {
        Access::open(self.setup, account.account_id.as_deref(), !account.no_cache)
    }

    fn form(&self, array: bool) -> Form {
        Form::of(array, self.setup.json)
    }

    fn is_dry_run(&self) -> bool {
        self.matches.try_get_one::<bool>("dry_run").ok().flatten().copied().unwrap_or_default()
    }

    async fn source(
        &self,
        namespace: &NamespaceArgs,
        select: &super::args::SelectArgs,
    ) -> Result<(Access, Source), QueryError> {
        let access = self.access(&namespace.account)?;
        let found = access.namespace(self.context, namespace).await?;
        let source = Source::new(&access, &found, select)?;
        Ok((access, source))
    }

    async fn namespaces(&self, which: &str) -> Result<Opened, QueryError> {
        let (access, question) = match which {
            "create" => {
                let args: CreateArgs = self.args()?;
                let question = Question::Create(args.title, args.jurisdiction);
                (self.access(&args.account)?, question)
            }
            "rename" => {
                let args: RenameArgs = self.args()?;
                let access = self.access(&args.namespace.account)?;
                let found = access.namespace(self.context, &args.namespace).await?;
                (access, Question::Rename(found.id, args.title))
            }
            _ => (self.access(&self.args()?)?, Question::Namespaces),
        };
        Ok(query(Names { access, question, form: self.form(false) }))
    }

    fn zones(&self, which: &str) -> Result<Opened, QueryError> {
        let (access, question) = if which == "get" {
            let args: ZoneGetArgs = self.args()?;
            (self.access(&args.account)?, Question::Zone(args.zone))
        } else {
            (self.access(&self.args()?)?, Question::Zones)
        };
        Ok(query(Names { access, question, form: self.form(false) }))
    }

    async fn drop_namespace(&self) -> Result<Opened, QueryError> {
        let args: NamespaceArgs = self.args()?;
        let access = self.access(&args.account)?;
        let found = access.namespace(self.context, &args).await?;
        let account = access.api.account().map(str::to_owned);
        let options = drop::Options { account, namespace: found.id.clone() };
        let rows = vec![("namespace", found.words())];
        let json = json(&options);
        let opening = opening(self.setup, DropNamespace::new(access, options), json, rows);
        Ok(Opened::Job(Opening {
            question: Some(found.named),
            warnings: vec!["all keys of the namespace go with it, for good".to_owned()],
            ..opening
        }))
    }

    async fn list(&self) -> Result<Opened, QueryError> {
        let args: ListArgs = self.args()?;
        let form = self.form(args.json);
        if args.namespace.namespace.is_none() && args.namespace.namespace_id.is_none() {
            let access = self.access(&args.namespace.account)?;
            return Ok(query(Names { access, question: Question::Namespaces, form }));
        }
        let (access, source) = self.source(&args.namespace, &args.select).await?;
        let selection = selection_of(&source)?;
        if args.values {
            let (names, names_file) = (args.key.into_iter().collect(), None);
            let batch_size = GET_KEYS_MAX;
            let many = GetMany { access, source, selection, names, names_file, form, batch_size };
            return Ok(query(many));
        }
        let everything = args.all || args.select.has_condition() || args.select.shards.is_some();
        let extent = match args.key {
            Some(key) => Extent::Key(key),
            None if everything => Extent::All(args.cursor, args.limit),
            None => Extent::Page(args.cursor, args.limit),
        };
        let with_metadata = args.metadata;
        Ok(query(List { access, source, selection, form, with_metadata, extent }))
    }

    async fn get(&self) -> Result<Opened, QueryError> {
        let args: GetArgs = self.args()?;
        let (access, source) = self.source(&args.namespace, &args.select).await?;
        let Some(key) = args.key.clone().filter(|_| !args.bulk) else {
            return self.get_many(args, access, source);
        };
        let what = match (args.check_exists, args.metadata) {
            (true, _) => What::Existence,
            (false, true) => What::Metadata,
            (false, false) => What::Value,
        };
        let one = GetOne { access, namespace: source.namespace, key, what };
        Ok(to_file(query(one), args.file.as_deref())?)
    }

    fn get_many(
        &self,
        args: GetArgs,
        access: Access,
        source: Source,
    ) -> Result<Opened, QueryError> {
        let (mut names, names_file) = split_names(args.keys.as_deref());
        names.extend(args.key);
        if names.is_empty() && names_file.is_none() && !args.select.is_given() {
            return Err(OpenError::usage(
                "no key is named",
                "add --key NAME, --keys a,b, or --bulk with --prefix or another condition",
            )
            .into());
        }
        let selection = selection_of(&source)?;
        let form = if args.metadata { Form::Lines } else { self.form(false) };
        let form = if args.json { Form::Array } else { form };
        let batch_size = args.batch_size.map_or(GET_KEYS_MAX, |size| size as usize);
        let many = GetMany { access, source, selection, names, names_file, form, batch_size };
        Ok(to_file(query(many), args.file.as_deref())?)
    }

    async fn put(&self) -> Result<Opened, QueryError> {
        let args: PutArgs = self.args()?;
        let bulk_file = args.bulk_file.clone().or(args.file.clone().filter(|_| args.bulk));
        if let Some(path) = bulk_file {
            return self.import_file(&args.namespace, &args.restore, &path, "put").await;
        }
        let (Some(key), false) = (args.key.clone(), args.bulk) else {
            return Err(OpenError::usage("no file is named", "add --bulk-file FILE").into());
        };
        let put = one_value(&args)?;
        let access = self.access(&args.namespace.account)?;
        let found = access.namespace(self.context, &args.namespace).await?;
        let dry_run = self.is_dry_run();
        Ok(query(PutOne { access, namespace: found.id, key, put, dry_run }))
    }

    async fn import(&self) -> Result<Opened, QueryError> {
        let args: ImportArgs = self.args()?;
        self.import_file(&args.namespace, &args.restore, &args.path, "import").await
    }

    async fn import_file(
        &self,
        namespace: &NamespaceArgs,
        restore: &RestoreArgs,
        path: &Path,
        operation: &str,
    ) -> Result<Opened, QueryError> {
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let meta = std::fs::metadata(&file).map_err(|error| {
            let what = format!("{} can't be read: {error}", path.display());
            OpenError::usage(what, "name a file of records")
        })?;
        let access = self.access(&namespace.account)?;
        let found = access.namespace(self.context, namespace).await?;
        let options = import::Options {
            account: access.api.account().map(str::to_owned),
            namespace: found.id,
            file,
            file_bytes: meta.len(),
            expired: expired(restore)?,
            batch_size: restore.batch_size.map_or(PUT_ITEMS_MAX, |size| size as usize),
            operation: operation.to_owned(),
        };
        Ok(Opened::Job(of_import(self.setup, Import::new(access, options)?)))
    }

    async fn delete(&self) -> Result<Opened, QueryError> {
        let args: DeleteArgs = self.args()?;
        let (access, options, names) = self.delete_options(&args).await?;
        Ok(Opened::Job(of_delete(self.setup, Delete::new(access, options, names)?)))
    }

    async fn delete_options(
        &self,
        args: &DeleteArgs,
    ) -> Result<(Access, delete::Options, Vec<String>), QueryError> {
        let (names, names_file) = named(&args.names);
        let by_name = !names.is_empty() || names_file.is_some();
        if by_name && args.select.is_given() {
            return Err(OpenError::usage(
                "keys are named and selected at once",
                "name keys, or select them with --prefix and other conditions",
            )
            .into());
        }
        if !by_name && !args.select.is_given() && !args.all_keys {
            return Err(OpenError::refused(
                "nothing says which keys to delete",
                "add --key, --keys-file, --prefix or another condition; --all-keys means every key",
            )
            .into());
        }
        let (access, source) = self.source(&args.namespace, &args.select).await?;
        let options = delete::Options {
            source,
            by_name,
            names_file,
            batch_size: args.batch_size.map_or(DELETE_ITEMS_MAX, |size| size as usize),
            walk: !args.no_walk,
            purge: None,
        };
        Ok((access, options, names))
    }

    async fn purge_sync(&self) -> Result<Opened, QueryError> {
        let args: PurgeSyncArgs = self.args()?;
        let zone = args.zone.clone().or(self.setup.setting("zone-id").map(str::to_owned));
        let zone = zone.ok_or_else(|| {
            OpenError::usage("no zone is named", "add --zone with its name or id")
        })?;
        let (access, mut options, names) = self.delete_options(&args.delete).await?;
        let id = access.lookup.resolve_zone(self.context, &zone).await?;
        let value = args.delete.select.tag_value.clone().or(args.delete.select.search.clone());
        options.purge = Some(TagPurge {
            zone: PurgeTarget { id, name: zone, environment: None },
            plan: purge_plan(self.setup)?,
            named: args.cache_tag,
            extract: args.extract_tags,
            instead: instead(value, args.derived_tags),
        });
        Ok(Opened::Job(of_delete(self.setup, Delete::new(access, options, names)?)))
    }

    async fn export(&self) -> Result<Opened, QueryError> {
        let args: ExportArgs = self.args()?;
        let (access, source) = self.source(&args.namespace, &args.select).await?;
        let file = args
            .file
            .as_ref()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
        if let Some(path) = file.as_ref().filter(|path| path.exists() && !args.overwrite) {
            return Err(OpenError::refused(
                format!("{} is there already", path.display()),
                "name another file, or add --overwrite",
            )
            .into());
        }
        let options = export::Options {
            source,
            format: format_of(args.format.as_deref(), file.as_deref())?,
            file,
            one_by_one: args.binary,
            batch_size: args.batch_size.map_or(GET_KEYS_MAX, |size| size as usize),
        };
        Ok(Opened::Job(of_export(self.setup, Export::new(access, options)?)))
    }

    async fn copy(&self) -> Result<Opened, QueryError> {
        let args: CopyArgs = self.args()?;
        let (from, source) = self.source(&args.namespace, &args.select).await?;
        let to = match &args.to_account_id {
            Some(account) => Access::open_other(self.setup, account, true)?,
            None => from.clone(),
        };
        let target = NamespaceArgs { namespace: Some(args.to), ..NamespaceArgs::default() };
        let found = to.namespace(self.context, &target).await?;
        if found.id == source.namespace && args.to_account_id.is_none() {
            return Err(OpenError::usage(
                "both namespaces are the same",
                "name another one with --to",
            )
            .into());
        }
        let options = copy::Options {
            source,
            to_account: args.to_account_id,
            to: found.id,
            expired: expired(&args.restore)?,
            batch_size: args.restore.batch_size.map_or(PUT_ITEMS_MAX, |size| size as usize),
        };
        Ok(Opened::Job(of_copy(self.setup, copy::Copy::new(from, to, options)?)))
    }

    async fn verify(&self) -> Result<Opened, QueryError> {
        let args: VerifyArgs = self.args()?;
        let (access, source) = self.source(&args.namespace, &args.select).await?;
        let selection = selection_of(&source)?;
        let with_values = !args.no_values;
        Ok(query(Verify { access, source, selection, path: args.path, with_values }))
    }
}

fn query(query: impl Query + 'static) -> Opened {
    Opened::Query(Box::new(query))
}

/// What is purged where no key carried a tag.
pub(super) fn instead(value: Option<String>, derived: bool) -> Vec<String> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Vec::new() };
    let suffixes: &[&str] =
        if derived { &["", "-type-image", "-type-file", "-file", "-path"] } else { &[""] };
    suffixes.iter().map(|suffix| format!("{value}{suffix}")).collect()
}

/// `a,b,c`, or the file behind an `@`.
pub(super) fn split_names(text: Option<&str>) -> (Vec<String>, Option<PathBuf>) {
    match text {
        None => (Vec::new(), None),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => (Vec::new(), Some(PathBuf::from(path))),
            None => (text.split(',').map(str::to_owned).collect(), None),
        },
    }
}

fn named(args: &NameArgs) -> (Vec<String>, Option<PathBuf>) {
    let (mut names, file) = split_names(args.keys.as_deref());
    names.extend(args.key.iter().cloned());
    let file = file.or(args.keys_file.clone());
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    (names, file.map(absolute))
}

fn expired(args: &RestoreArgs) -> Result<Expired, OpenError> {
    args.expired.parse().map_err(|what: String| OpenError::usage(what, "see --expired"))
}

pub(super) fn format_of(named: Option<&str>, file: Option<&Path>) -> Result<Format, OpenError> {
    let ending = file.and_then(Path::extension).and_then(|ending| ending.to_str());
    match (named, ending) {
        (Some("csv"), _) | (None, Some("csv")) => Ok(Format::Csv),
        (Some("jsonl") | None, _) => Ok(Format::JsonLines),
        (Some(other), _) => {
            let what = format!("`{other}` is not a format of an export");
            Err(OpenError::usage(what, "there are jsonl and csv"))
        }
    }
}

fn one_value(args: &PutArgs) -> Result<Put, OpenError> {
    let value = match (&args.value, &args.file) {
        (Some(text), _) => Bytes::from(text.clone().into_bytes()),
        (None, Some(path)) => Bytes::from(std::fs::read(path).map_err(|error| {
            let what = format!("{} can't be read: {error}", path.display());
            OpenError::usage(what, "name a file with the value")
        })?),
        (None, None) => {
            return Err(OpenError::usage("there is no value", "add --value TEXT or --file FILE"));
        }
    };
    let metadata = args.metadata_json.clone().map(RawValue::from_string).transpose();
    let metadata = metadata.map_err(|error| {
        OpenError::usage(format!("--metadata-json is not JSON: {error}"), "write it as {\"a\":1}")
    })?;
    let expiry = match (args.expiration, args.expiration_ttl) {
        (Some(at), _) => Expiry::At(at),
        (None, Some(seconds)) => Expiry::In(seconds),
        (None, None) => Expiry::Never,
    };
    Ok(Put::new(value, metadata.as_deref(), expiry))
}

/// The same answer, written to a file instead of standard output.
fn to_file(opened: Opened, path: Option<&Path>) -> Result<Opened, OpenError> {
    match (opened, path) {
        (Opened::Query(query), Some(path)) => {
            Ok(Opened::Query(Box::new(super::query::ToFile::create(query, path)?)))
        }
        (opened, _) => Ok(opened),
    }
}
