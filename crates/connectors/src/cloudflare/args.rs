//! The arguments of `windlass kv`, `windlass cache` and `windlass zones`.

use clap::Args;
use std::path::PathBuf;

/// Which namespace.
#[derive(Clone, Debug, Default, Args)]
pub struct NamespaceArgs {
    /// The namespace: its title, or its id of 32 hex digits
    #[arg(long, value_name = "TITLE|ID", help_heading = "Target")]
    pub namespace: Option<String>,

    /// The namespace by its id, taken as it is
    #[arg(long, value_name = "ID", help_heading = "Target")]
    pub namespace_id: Option<String>,

    /// Where the namespace is
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Which account.
#[derive(Clone, Debug, Default, Args)]
pub struct AccountArgs {
    /// The account [env: CLOUDFLARE_ACCOUNT_ID]
    #[arg(long, value_name = "ID", help_heading = "Target")]
    pub account_id: Option<String>,

    /// Ask again for namespaces, zones and metadata that were asked for already
    #[arg(long, help_heading = "Target")]
    pub no_cache: bool,
}

/// Which keys, by what the listing says of them.
#[derive(Clone, Debug, Default, Args)]
pub struct SelectArgs {
    /// Only keys that begin with this; the empty text means all
    #[arg(long, value_name = "TEXT", help_heading = "Selection")]
    pub prefix: Option<String>,

    /// Only keys whose name matches this regular expression
    #[arg(long, value_name = "REGEX", help_heading = "Selection")]
    pub pattern: Option<String>,

    /// Only keys with this text, in any case, somewhere in the values of their metadata
    #[arg(long, value_name = "TEXT", help_heading = "Selection")]
    pub search: Option<String>,

    /// Only keys whose metadata has this field as a text
    #[arg(long, value_name = "FIELD", help_heading = "Selection")]
    pub tag_field: Option<String>,

    /// Only keys whose --tag-field is exactly this; the empty text means any
    #[arg(long, value_name = "TEXT", requires = "tag_field", help_heading = "Selection")]
    pub tag_value: Option<String>,

    /// Only keys for which this CEL expression over name, metadata and expiration holds
    #[arg(long = "where", value_name = "CEL", help_heading = "Selection")]
    pub filter: Option<String>,

    /// List in parallel: every key is declared to begin, behind the prefix, with one of these:
    /// hex, digits, a,b,c or @FILE
    #[arg(long, value_name = "SHARDS", help_heading = "Selection")]
    pub shards: Option<String>,
}

impl SelectArgs {
    /// Whether anything was said about which keys.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.prefix.is_some() || self.has_condition()
    }

    /// Whether keys are chosen by more than their prefix.
    #[must_use]
    pub fn has_condition(&self) -> bool {
        let texts = [&self.pattern, &self.search, &self.tag_field, &self.filter];
        texts.into_iter().any(Option::is_some)
    }
}

/// `kv list`
#[derive(Clone, Debug, Default, Args)]
pub struct ListArgs {
    /// Which namespace; without one, the namespaces are listed
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Which keys
    #[command(flatten)]
    pub select: SelectArgs,

    /// Only this key
    #[arg(long, value_name = "NAME", conflicts_with = "prefix", help_heading = "Selection")]
    pub key: Option<String>,

    /// At most so many keys
    #[arg(long, value_name = "N", help_heading = "Selection")]
    pub limit: Option<u64>,

    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR", help_heading = "Selection")]
    #[arg(conflicts_with = "shards")]
    pub cursor: Option<String>,

    /// All pages, not the first alone; any condition means this, too
    #[arg(long, help_heading = "Selection")]
    pub all: bool,

    /// Print expiration and metadata, too; they come with the list
    #[arg(long, help_heading = "Output")]
    pub metadata: bool,

    /// Print values, too: one more request for each 100 keys
    #[arg(long, help_heading = "Output")]
    pub values: bool,

    /// One JSON array; --output json prints a line for each key instead
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// `kv get`
#[derive(Clone, Debug, Default, Args)]
pub struct GetArgs {
    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Which keys
    #[command(flatten)]
    pub select: SelectArgs,

    /// This key's value, as it is
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    pub key: Option<String>,

    /// Many keys: those of --keys, or those of a selection
    #[arg(long, help_heading = "Selection")]
    pub bulk: bool,

    /// These keys: a,b,c or @FILE
    #[arg(long, value_name = "NAMES|@FILE", help_heading = "Selection")]
    pub keys: Option<String>,

    /// Metadata and expiration instead of the value, or beside values
    #[arg(long, help_heading = "Output")]
    pub metadata: bool,

    /// Only say whether the key is there: exit code 0 or 3
    #[arg(long, requires = "key", help_heading = "Output")]
    pub check_exists: bool,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub file: Option<PathBuf>,

    /// One JSON array; --output json prints a line for each key instead
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Keys a request, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    #[arg(help_heading = "Limits")]
    pub batch_size: Option<u32>,
}

/// `kv put`
#[derive(Clone, Debug, Default, Args)]
pub struct PutArgs {
    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// The key
    #[arg(long, value_name = "NAME", required_unless_present_any = ["bulk", "bulk_file"])]
    pub key: Option<String>,

    /// The value
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub value: Option<String>,

    /// A file with the value, or with --bulk the records
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Its metadata, as JSON
    #[arg(long, value_name = "JSON", conflicts_with = "bulk")]
    pub metadata_json: Option<String>,

    /// When it expires, in seconds since 1970
    #[arg(long, value_name = "SECONDS", conflicts_with = "bulk")]
    pub expiration: Option<u64>,

    /// In how many seconds it expires, at least 60
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["bulk", "expiration"])]
    pub expiration_ttl: Option<u64>,

    /// Many keys, from a file as `kv import` reads it
    #[arg(long, conflicts_with = "key")]
    pub bulk: bool,

    /// The file with the records
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "file"])]
    pub bulk_file: Option<PathBuf>,

    /// How records are written
    #[command(flatten)]
    pub restore: RestoreArgs,
}

/// How records are written back.
#[derive(Clone, Debug, Default, Args)]
pub struct RestoreArgs {
    /// What becomes of a key with less than 60 s to live, which can't be written with its
    /// expiration: skip, clamp (to 60 s), drop-ttl
    #[arg(long, value_name = "POLICY", default_value = "skip", help_heading = "Selection")]
    pub expired: String,

    /// Records a request, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    #[arg(help_heading = "Limits")]
    pub batch_size: Option<u32>,
}

/// `kv import`
#[derive(Clone, Debug, Default, Args)]
pub struct ImportArgs {
    /// The file: JSON lines, a JSON array, or CSV, as `kv export` or wrangler writes them
    pub path: PathBuf,

    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// How records are written
    #[command(flatten)]
    pub restore: RestoreArgs,
}

/// `kv delete`
#[derive(Clone, Debug, Default, Args)]
pub struct DeleteArgs {
    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Which keys, by the list
    #[command(flatten)]
    pub select: SelectArgs,

    /// Which keys, by name
    #[command(flatten)]
    pub names: NameArgs,

    /// Every key of the namespace
    #[arg(long, conflicts_with_all = ["key", "keys", "keys_file", "prefix", "pattern", "search",
        "tag_field", "filter"], help_heading = "Selection")]
    pub all_keys: bool,

    /// Many keys; said by the selection already
    #[arg(long, hide = true)]
    pub bulk: bool,

    /// Do not walk the namespace once more at the end
    #[arg(long, help_heading = "Safety")]
    pub no_walk: bool,

    /// Keys a request, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    #[arg(help_heading = "Limits")]
    pub batch_size: Option<u32>,
}

/// Keys by name.
#[derive(Clone, Debug, Default, Args)]
pub struct NameArgs {
    /// This key (may be repeated)
    #[arg(long, value_name = "NAME", help_heading = "Selection")]
    pub key: Vec<String>,

    /// These keys: a,b,c or @FILE
    #[arg(long, value_name = "NAMES|@FILE", help_heading = "Selection")]
    pub keys: Option<String>,

    /// The keys of this file: a name a line, or JSON with names or with what `put --bulk` takes
    #[arg(long, value_name = "FILE", help_heading = "Selection")]
    pub keys_file: Option<PathBuf>,
}

/// `kv export`
#[derive(Clone, Debug, Default, Args)]
pub struct ExportArgs {
    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Which keys
    #[command(flatten)]
    pub select: SelectArgs,

    /// The file, which is there once it is whole; without one, standard output
    #[arg(long, short = 'o', value_name = "FILE", help_heading = "Output")]
    pub file: Option<PathBuf>,

    /// jsonl or csv; by default what the file's name says, else jsonl
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub format: Option<String>,

    /// Replace the file if it is there
    #[arg(long, help_heading = "Output")]
    pub overwrite: bool,

    /// Ask for each value by itself: for namespaces full of binary values
    #[arg(long, help_heading = "Limits")]
    pub binary: bool,

    /// Keys a request, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    #[arg(help_heading = "Limits")]
    pub batch_size: Option<u32>,
}

/// `kv copy`
#[derive(Clone, Debug, Default, Args)]
pub struct CopyArgs {
    /// From which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Which keys
    #[command(flatten)]
    pub select: SelectArgs,

    /// To which namespace
    #[arg(long, value_name = "TITLE|ID", help_heading = "Target")]
    pub to: String,

    /// The account of that namespace, if it is another one; its token is CLOUDFLARE_TO_API_TOKEN,
    /// or the same
    #[arg(long, value_name = "ID", help_heading = "Target")]
    pub to_account_id: Option<String>,

    /// How records are written
    #[command(flatten)]
    pub restore: RestoreArgs,
}

/// `kv verify`
#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// The export that the namespace should be equal to, sorted by key as `kv export` writes it
    pub path: PathBuf,

    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Which keys
    #[command(flatten)]
    pub select: SelectArgs,

    /// Compare names, expirations and metadata alone: no request for values
    #[arg(long, help_heading = "Selection")]
    pub no_values: bool,
}

/// `kv purge-sync`
#[derive(Clone, Debug, Default, Args)]
pub struct PurgeSyncArgs {
    /// What to delete
    #[command(flatten)]
    pub delete: DeleteArgs,

    /// The zone whose cache is purged, by name or id
    #[arg(long, value_name = "ZONE", help_heading = "Target")]
    pub zone: Option<String>,

    /// Purge this cache tag, whatever the keys carry (may be repeated)
    #[arg(long, value_name = "TAG", help_heading = "Selection")]
    pub cache_tag: Vec<String>,

    /// Take the tags from the metadata of the keys: cache-tag, cache-tags, cacheTags, tag, tags
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    #[arg(help_heading = "Selection")]
    pub extract_tags: bool,

    /// Where keys carry no tags: the value searched for, also with -type-image, -type-file,
    /// -file and -path behind it
    #[arg(long, help_heading = "Selection")]
    pub derived_tags: bool,
}

/// What every purge takes.
#[derive(Clone, Debug, Default, Args)]
pub struct ZoneArgs {
    /// The zone, by name or id (may be repeated) [env: CLOUDFLARE_ZONE_ID]
    #[arg(long, short, value_name = "ZONE", help_heading = "Target")]
    pub zone: Vec<String>,

    /// Several zones: a,b,c
    #[arg(long, value_name = "ZONES", value_delimiter = ',', help_heading = "Target")]
    pub zone_list: Vec<String>,

    /// Every zone of the account
    #[arg(long, conflicts_with_all = ["zone", "zone_list"], help_heading = "Target")]
    pub all_zones: bool,

    /// The environment of a zone with version management
    #[arg(long, value_name = "ID", help_heading = "Target")]
    pub environment: Option<String>,

    /// The account whose zones are meant
    #[command(flatten)]
    pub account: AccountArgs,

    /// What the zones are booked as, which sets the limits of purging: free, pro, business,
    /// enterprise
    #[arg(long, value_name = "PLAN", help_heading = "Limits")]
    pub purge_plan: Option<String>,

    /// Items a request, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    #[arg(help_heading = "Limits")]
    pub batch_size: Option<u32>,
}

/// `cache purge files` and its kin: the items have one name in each command.
#[derive(Clone, Debug, Default)]
pub struct ItemArgs {
    /// One by one.
    pub items: Vec<String>,
    /// A file of them.
    pub file: Option<PathBuf>,
    /// The field of a JSON file, or the column of a CSV file.
    pub field: Option<String>,
    /// Whether each item's own host says the zone.
    pub auto_zone: bool,
}

/// `kv namespaces create`
#[derive(Clone, Debug, Default, Args)]
pub struct CreateArgs {
    /// Its title
    #[arg(long, value_name = "TEXT")]
    pub title: String,

    /// Where its data is kept: eu, fedramp, us; can't be changed later
    #[arg(long, value_name = "PLACE")]
    pub jurisdiction: Option<String>,

    /// In which account
    #[command(flatten)]
    pub account: AccountArgs,
}

/// `kv namespaces rename`
#[derive(Clone, Debug, Default, Args)]
pub struct RenameArgs {
    /// Which namespace
    #[command(flatten)]
    pub namespace: NamespaceArgs,

    /// Its new title
    #[arg(long, value_name = "TEXT")]
    pub title: String,
}

/// `zones get`
#[derive(Clone, Debug, Default, Args)]
pub struct ZoneGetArgs {
    /// The zone, by name or id
    pub zone: String,

    /// The account whose zones are meant
    #[command(flatten)]
    pub account: AccountArgs,
}
