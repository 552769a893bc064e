//! The commands of this system and what each of them is.

use super::args::{
    AccountArgs, CopyArgs, CreateArgs, DeleteArgs, ExportArgs, GetArgs, ImportArgs, ItemArgs,
    ListArgs, NamespaceArgs, PurgeSyncArgs, PutArgs, RenameArgs, VerifyArgs, ZoneArgs, ZoneGetArgs,
};
use super::targets::TargetKind;
use crate::connector::{Operation, OperationKind};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, value_parser};
use std::path::PathBuf;

const fn operation(path: &'static [&'static str], kind: OperationKind) -> Operation {
    Operation { path, kind, remote: true }
}

/// What each command without further subcommands does.
pub const OPERATIONS: &[Operation] = {
    use OperationKind::{Destroy, Query, Stream, Write};
    &[
        operation(&["kv", "namespaces", "list"], Query),
        operation(&["kv", "namespaces", "create"], Query),
        operation(&["kv", "namespaces", "rename"], Query),
        operation(&["kv", "namespaces", "drop"], Destroy),
        operation(&["kv", "list"], Query),
        operation(&["kv", "get"], Query),
        operation(&["kv", "put"], Write),
        operation(&["kv", "delete"], Destroy),
        operation(&["kv", "export"], Stream),
        operation(&["kv", "import"], Write),
        operation(&["kv", "copy"], Stream),
        operation(&["kv", "verify"], Query),
        operation(&["kv", "purge-sync"], Destroy),
        operation(&["cache", "purge", "everything"], Destroy),
        operation(&["cache", "purge", "files"], Destroy),
        operation(&["cache", "purge", "tags"], Destroy),
        operation(&["cache", "purge", "hosts"], Destroy),
        operation(&["cache", "purge", "prefixes"], Destroy),
        operation(&["cache", "invalidate", "everything"], Destroy),
        operation(&["cache", "invalidate", "files"], Destroy),
        operation(&["cache", "invalidate", "tags"], Destroy),
        operation(&["cache", "invalidate", "hosts"], Destroy),
        operation(&["cache", "invalidate", "prefixes"], Destroy),
        operation(&["zones", "list"], Query),
        operation(&["zones", "get"], Query),
    ]
};

/// The three top-level commands.
pub fn commands() -> Vec<Command> {
    vec![kv(), cache(), zones()]
}

/// A command with arguments. The words about the command come last: arguments bring those of
/// their own type along.
fn with<A: Args>(name: &'static str, about: &'static str) -> Command {
    A::augment_args(Command::new(name)).about(about)
}

fn kv() -> Command {
    let namespaces = Command::new("namespaces")
        .about("List, create, rename and drop namespaces")
        .subcommand(with::<AccountArgs>("list", "List the namespaces"))
        .subcommand(with::<CreateArgs>("create", "Create a namespace"))
        .subcommand(with::<RenameArgs>("rename", "Give a namespace another title"))
        .subcommand(with::<NamespaceArgs>("drop", "Delete a namespace with all its keys"));
    Command::new("kv")
        .about("Workers KV: list, get, put, delete, export, import, copy, verify")
        .subcommand(namespaces)
        .subcommand(with::<ListArgs>("list", "List keys, with their metadata"))
        .subcommand(with::<GetArgs>("get", "Get one value, or many"))
        .subcommand(with::<PutArgs>("put", "Put one value, or many"))
        .subcommand(with::<DeleteArgs>("delete", "Delete keys"))
        .subcommand(with::<ExportArgs>(
            "export",
            "Write values, metadata and expirations to a file",
        ))
        .subcommand(with::<ImportArgs>("import", "Write an export back"))
        .subcommand(with::<CopyArgs>("copy", "Copy keys into another namespace"))
        .subcommand(with::<VerifyArgs>("verify", "Compare a namespace with an export"))
        .subcommand(with::<PurgeSyncArgs>(
            "purge-sync",
            "Delete keys and purge the cache tags that they carry",
        ))
}

fn cache() -> Command {
    let group = |name: &'static str, about: &'static str| {
        Command::new(name)
            .about(about)
            .subcommand(with::<ZoneArgs>("everything", "Everything in a zone's cache"))
            .subcommand(items("files", TargetKind::Files, "Files, by URL"))
            .subcommand(items("tags", TargetKind::Tags, "What carries these cache tags"))
            .subcommand(items("hosts", TargetKind::Hosts, "Everything of these hosts"))
            .subcommand(items("prefixes", TargetKind::Prefixes, "Everything below these paths"))
    };
    Command::new("cache")
        .about("Purge or invalidate the cache of zones")
        .subcommand(group("purge", "Drop content from the cache"))
        .subcommand(group("invalidate", "Mark content as stale, so that the origin is asked again"))
}

fn zones() -> Command {
    Command::new("zones")
        .about("The zones of the account")
        .subcommand(with::<AccountArgs>("list", "List the zones"))
        .subcommand(with::<ZoneGetArgs>("get", "Show a zone"))
}

/// The words for the items of a kind: one, several, a file of them.
const fn item_words(kind: TargetKind) -> [&'static str; 3] {
    match kind {
        TargetKind::Files => ["file", "files", "files-list"],
        TargetKind::Tags => ["tag", "tags", "tags-file"],
        TargetKind::Hosts => ["host", "hosts", "hosts-file"],
        TargetKind::Prefixes => ["prefix", "prefixes", "prefixes-file"],
    }
}

fn items(name: &'static str, kind: TargetKind, about: &'static str) -> Command {
    let [one, several, file] = item_words(kind);
    let one = Arg::new(one).long(one).value_name("ITEM").action(ArgAction::Append);
    let several =
        Arg::new(several).long(several).value_name("ITEMS").value_delimiter(',').num_args(1);
    let file = Arg::new(file).long(file).value_name("FILE").value_parser(value_parser!(PathBuf));
    let field = Arg::new("field").long("json-field").visible_alias("csv-column").value_name("NAME");
    let auto = Arg::new("auto_zone").long("auto-zone").action(ArgAction::SetTrue);
    let heading = "Selection";
    with::<ZoneArgs>(name, about)
        .arg(one.help("An item (may be repeated)").help_heading(heading))
        .arg(several.action(ArgAction::Append).help("Items: a,b,c").help_heading(heading))
        .arg(file.help("A file of items: .txt, .csv or .json").help_heading(heading))
        .arg(field.help("The field or column of the file").help_heading(heading))
        .arg(auto.help("Find each item's zone by its host").help_heading("Target"))
}

/// The items that a command line names.
pub fn item_args(kind: TargetKind, matches: &ArgMatches) -> ItemArgs {
    let [one, several, file] = item_words(kind);
    let texts = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned();
    ItemArgs {
        items: texts(one).chain(texts(several)).collect(),
        file: matches.get_one::<PathBuf>(file).cloned(),
        field: matches.get_one::<String>("field").cloned(),
        auto_zone: matches.get_flag("auto_zone"),
    }
}
