//! From a command line, or from a plan, to what is to be done.

use super::access::{Access, local_ms};
use super::args::{
    GenerateArgs, HashesArgs, OfRunArgs, PlanArgs, PresetArgs, RunArgs, SecretsArgs, SourceArgs,
    StatusArgs, ThrottleArgs, VerifyArgs,
};
use super::board::Board;
use super::hashing::SecretKey;
use super::job::generate::{self, Generate};
use super::job::rollback::{self, Rollback};
use super::job::{Means, Migrate, Options, Pace, Throttle};
use super::mapping::Migration;
use super::query::hashes::Hashes;
use super::query::preset::Preset;
use super::query::secrets::Secrets;
use super::query::status::Status;
use super::query::verify::{Sample, Verify};
use super::query::wish::{Wish, Wished};
use crate::connector::{OpenError, Opened, Opening, Query, QueryError, Setup};
use clap::{ArgMatches, FromArgMatches};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windlass_engine::job::{Context, Job};
use windlass_engine::plan::Header;

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
    match path.get(1).copied().unwrap_or_default() {
        "plan" => {
            let PlanArgs { file, source } = args(matches)?;
            migrate(setup, context, &file, &source).await
        }
        "run" => {
            let RunArgs { file, workers_of, source, .. } = args(matches)?;
            match (file, workers_of) {
                (_, Some(run)) => join(setup, context, &run, &source).await,
                (Some(file), None) => migrate(setup, context, &file, &source).await,
                (None, None) => {
                    Err(OpenError::usage("no migration file is named", "see --help").into())
                }
            }
        }
        "status" => {
            let StatusArgs { run } = args(matches)?;
            Ok(query(Status { access: Access::open(setup)?, run, json: setup.json }))
        }
        "verify" => {
            let VerifyArgs { run, sample } = args(matches)?;
            let sample: Sample = sample.parse().map_err(|what: String| {
                OpenError::usage(what, "`--sample 20`, or `--sample all`")
            })?;
            Ok(query(Verify { access: Access::open(setup)?, run, sample, json: setup.json }))
        }
        "rollback" => take_back(setup, context, &args::<OfRunArgs>(matches)?.run).await,
        "secrets" => secrets(setup, &args(matches)?),
        "preset" => Ok(query(Preset::new(args::<PresetArgs>(matches)?.name)?)),
        "generate" => generate(setup, &args(matches)?),
        "hashes" => Ok(query(Hashes::new(&args::<HashesArgs>(matches)?, setup.json)?)),
        "throttle" => {
            let ThrottleArgs { run, per_second } = args(matches)?;
            wish(setup, run, Wished::Rate(per_second))
        }
        "pause" => wish(setup, args::<OfRunArgs>(matches)?.run, Wished::Pause),
        "resume" => wish(setup, args::<OfRunArgs>(matches)?.run, Wished::Resume),
        "stop" => wish(setup, args::<OfRunArgs>(matches)?.run, Wished::Stop),
        _ => Err(OpenError::usage("there is no such command", "see --help").into()),
    }
}

/// Opens the job of a plan.
///
/// # Errors
/// When its header is not understood.
pub fn reopen(setup: &Setup, plan: &Header) -> Result<Opening, OpenError> {
    let access = Access::open(setup)?;
    match plan.operation.as_str() {
        "migrate rollback" => {
            let options = options_of(plan)?;
            Ok(of_rollback(&access, Rollback::new(access.clone(), options)?))
        }
        "migrate generate" => {
            let options = options_of(plan)?;
            Ok(of_generate(&access, Generate::new(access.clone(), options)))
        }
        _ => {
            let means = means(setup, &SourceArgs::default())?;
            Ok(of_migrate(&access, Migrate::new(access.clone(), options_of(plan)?, means)?))
        }
    }
}

fn args<A: FromArgMatches>(matches: &ArgMatches) -> Result<A, OpenError> {
    A::from_arg_matches(matches).map_err(|error| OpenError::usage(error.to_string(), "see --help"))
}

fn options_of<T: serde::de::DeserializeOwned>(plan: &Header) -> Result<T, OpenError> {
    serde_json::from_value(plan.options.clone()).map_err(|error| {
        OpenError::usage(
            format!("the plan's options are not understood: {error}"),
            "use the version of windlass that made it",
        )
    })
}

fn query(query: impl Query + 'static) -> Opened {
    Opened::Query(Box::new(query))
}

fn opening(
    access: &Access,
    job: impl Job + 'static,
    options: &impl serde::Serialize,
    selection: Vec<(&'static str, String)>,
) -> Opening {
    Opening {
        job: Arc::new(job),
        account: access.account(),
        options: serde_json::to_value(options).expect("options are plain JSON"),
        selection: [vec![("database", access.api.place().words())], selection].concat(),
        warnings: Vec::new(),
        question: None,
        data_on_stdout: false,
    }
}

/// What the settings allow this process.
fn means(setup: &Setup, source: &SourceArgs) -> Result<Means, OpenError> {
    let named = || setup.setting("secrets-key").filter(|text| !text.is_empty()).map(PathBuf::from);
    Ok(Means {
        threads: count(setup, "hash-threads")?,
        secrets_key: source.secrets_key.clone().or_else(named),
    })
}

fn count(setup: &Setup, name: &str) -> Result<Option<usize>, OpenError> {
    let Some(text) = setup.setting(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    text.parse::<usize>().ok().filter(|count| *count > 0).map(Some).ok_or_else(|| {
        OpenError::usage(format!("{name}: `{text}` is no number from 1 on"), "write a whole number")
    })
}

fn pace(setup: &Setup) -> Result<Pace, OpenError> {
    let usual = Pace::default();
    let interval = count(setup, "checkpoint-interval")?.unwrap_or(usual.batch_max);
    let batch_max = count(setup, "batch-max")?.unwrap_or(usual.batch_max).min(interval);
    let batch_min = count(setup, "batch-min")?.unwrap_or(usual.batch_min).min(batch_max);
    let target = count(setup, "batch-target-ms")?;
    Ok(Pace {
        batch_min,
        batch_max,
        batch_start: count(setup, "batch-start")?
            .unwrap_or(usual.batch_start)
            .clamp(batch_min, batch_max),
        target_ms: target.map_or(usual.target_ms, |ms| ms as u64),
    })
}

async fn migrate(
    setup: &Setup,
    context: &Context,
    file: &Path,
    source: &SourceArgs,
) -> Result<Opened, QueryError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        OpenError::usage(
            format!("the migration file {} can't be read: {error}", file.display()),
            "`windlass migrate preset form-a-friend` writes one to begin with",
        )
    })?;
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let migration = Migration::parse(&text, &environment)
        .map_err(|error| OpenError::usage(error.message, error.hint))?;
    Throttle::of(&text).map_err(|what| {
        OpenError::usage(format!("[throttle]: {what}"), "see the guide for its keys")
    })?;
    let access = Access::open(setup)?;
    let server = access.server(context).await?;
    let means = means(setup, source)?;
    let key = means.secrets_key.as_deref().map(SecretKey::load_or_create).transpose();
    let key = key.map_err(|error| OpenError::usage(error.to_string(), "name another file"))?;
    let options = Options {
        migration: text,
        variables: migration.variables,
        place: access.api.place().words(),
        now: local_ms(),
        history: server.operation_time.map(|at| (at.time, at.increment)),
        allow_scan: source.allow_scan,
        pace: pace(setup)?,
        secrets: key.map(|key| key.fingerprint()),
        workers_of: None,
    };
    let job = Migrate::new(access.clone(), options, means)?;
    Ok(Opened::Job(of_migrate(&access, job)))
}

/// Opens the work on a run that another machine began.
async fn join(
    setup: &Setup,
    context: &Context,
    run: &str,
    source: &SourceArgs,
) -> Result<Opened, QueryError> {
    let access = Access::open(setup)?;
    access.server(context).await?;
    let board = Board::new(&access, run, run);
    let record = board.record(context).await?.ok_or_else(|| {
        OpenError::usage(
            format!("there is no run {run} in this database"),
            "`windlass migrate status` lists the runs of a database",
        )
    })?;
    let options: Options = serde_json::from_str(&record.options)
        .map_err(|error| OpenError::usage(error.to_string(), "use the version that began it"))?;
    let options = Options { workers_of: Some(run.to_owned()), ..options };
    let job = Migrate::new(access.clone(), options, means(setup, source)?)?;
    Ok(Opened::Job(of_migrate(&access, job)))
}

fn of_migrate(access: &Access, job: Migrate) -> Opening {
    let options = job.options().clone();
    let mut rows = vec![("migration", job.migration().name.clone())];
    rows.extend(options.workers_of.iter().map(|run| ("works for", run.clone())));
    let flows = job.migration().phases.iter().map(|phase| format!("{} → {}", phase.from, phase.to));
    rows.push(("collections", flows.collect::<Vec<_>>().join(", ")));
    let makes_passwords = job
        .migration()
        .phases
        .iter()
        .any(|phase| phase.password.as_ref().is_some_and(|p| !p.existing));
    let warnings = match &options.secrets {
        None if makes_passwords => vec![
            "new passwords are told to nobody: name a file with --secrets-key to have a list"
                .to_owned(),
        ],
        _ => Vec::new(),
    };
    Opening { warnings, ..opening(access, job, &options, rows) }
}

async fn take_back(setup: &Setup, context: &Context, run: &str) -> Result<Opened, QueryError> {
    let access = Access::open(setup)?;
    let record = rollback::check(&access, context, run).await?;
    let of: Options = serde_json::from_str(&record.options)
        .map_err(|error| OpenError::usage(error.to_string(), "use the version that began it"))?;
    let options = rollback::Options { run: run.to_owned(), of };
    Ok(Opened::Job(of_rollback(&access, Rollback::new(access.clone(), options)?)))
}

fn of_rollback(access: &Access, job: Rollback) -> Opening {
    let options = job.options().clone();
    let rows = vec![("takes back", options.run.clone())];
    let warnings =
        vec!["a document that anybody changed since the run is left as it is".to_owned()];
    Opening { warnings, ..opening(access, job, &options, rows) }
}

fn generate(setup: &Setup, args: &GenerateArgs) -> Result<Opened, QueryError> {
    let access = Access::open(setup)?;
    let options = generate::Options {
        documents: args.documents,
        people: args.people.max(1),
        months: args.months.max(1),
        seed: args.seed,
        big: args.big,
        collection: args.collection.clone(),
    };
    Ok(Opened::Job(of_generate(&access, Generate::new(access.clone(), options))))
}

fn of_generate(access: &Access, job: Generate) -> Opening {
    let options = job.options().clone();
    let rows = vec![("collection", options.collection.clone())];
    opening(access, job, &options, rows)
}

fn secrets(setup: &Setup, args: &SecretsArgs) -> Result<Opened, QueryError> {
    let named = || setup.setting("secrets-key").filter(|text| !text.is_empty()).map(PathBuf::from);
    let path = args.secrets_key.clone().or_else(named).ok_or_else(|| {
        OpenError::usage(
            "the key that the run's passwords are made from is not named",
            "name its file with --secrets-key or WINDLASS_SECRETS_KEY",
        )
    })?;
    let key = SecretKey::load(&path)
        .map_err(|error| OpenError::usage(error.to_string(), "name the key's file"))?;
    Ok(query(Secrets { access: Access::open(setup)?, run: args.run.clone(), key }))
}

fn wish(setup: &Setup, run: String, wished: Wished) -> Result<Opened, QueryError> {
    if let Wished::Rate(rate) = wished
        && !(rate >= 0.0 && rate.is_finite())
    {
        let what = "a rate is a number of requests a second, from 0 on";
        return Err(OpenError::usage(what, "0 takes the ceiling away").into());
    }
    Ok(query(Wish { access: Access::open(setup)?, run, wished }))
}
