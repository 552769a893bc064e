//! Every switch of the simulated server, which are also the flags of `windlass sim mongo`.

use clap::{Args, Command, FromArgMatches};
use windlass_sim::LatencyOptions;

use super::faults::FaultOptions;

/// What the simulated server says of itself and how it behaves. The default is a fresh one-node
/// replica set that does everything right.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct Options {
    /// The name of the replica set
    #[arg(long, value_name = "NAME", default_value = "windlass")]
    pub set_name: String,
    /// The version of the server
    #[arg(long, value_name = "VERSION", default_value = "8.0.0")]
    pub server_version: String,
    /// The oldest version of the wire protocol that it speaks
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub min_wire_version: i32,
    /// The newest version of the wire protocol that it speaks; 25 is that of MongoDB 8.0
    #[arg(long, value_name = "NUMBER", default_value_t = 25)]
    pub max_wire_version: i32,
    /// Most statements of one write command
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub max_write_batch_size: i32,
    /// Answer change streams as a standalone server does, which has none
    #[arg(long)]
    pub no_change_streams: bool,
    /// Commands that are not there, separated by commas
    #[arg(long, value_name = "COMMANDS", value_delimiter = ',')]
    pub without: Vec<String>,
    /// How many changes the oplog remembers for change streams
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub oplog_entries: usize,
    /// How many of the latest commands the ledger lists
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    pub ledger_rows: usize,
    /// Operations that wait in the server's queue, as serverStatus tells
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub queued: i32,
    /// Connections besides the real ones, as serverStatus tells
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    pub more_connections: i32,
    /// How many seconds a secondary is behind, as replSetGetStatus tells; without it there is no
    /// secondary
    #[arg(long, value_name = "SECONDS")]
    pub lag: Option<u32>,
    /// The seed of all chances
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// The network
    #[command(flatten)]
    pub latency: LatencyOptions,
    /// What goes wrong
    #[command(flatten)]
    pub faults: FaultOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            set_name: "windlass".to_owned(),
            server_version: "8.0.0".to_owned(),
            min_wire_version: 0,
            max_wire_version: 25,
            max_write_batch_size: 100_000,
            no_change_streams: false,
            without: Vec::new(),
            oplog_entries: 100_000,
            ledger_rows: 100_000,
            queued: 0,
            more_connections: 0,
            lag: None,
            seed: 1,
            latency: LatencyOptions::default(),
            faults: FaultOptions::default(),
        }
    }
}

impl Options {
    /// Reads them as flags; what is not among them has its default.
    ///
    /// # Errors
    ///
    /// What clap says about flags that can't be.
    pub fn read(flags: &[&str]) -> Result<Self, String> {
        let command = Self::augment_args(Command::new("sim").no_binary_name(true));
        let matches = command.try_get_matches_from(flags).map_err(|error| error.to_string())?;
        Self::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    /// Whether they make sense together.
    ///
    /// # Errors
    ///
    /// A contradiction, in words for the user of the flags.
    pub fn check(&self) -> Result<(), String> {
        if self.min_wire_version > self.max_wire_version {
            return Err("--min-wire-version is above --max-wire-version".to_owned());
        }
        if self.max_write_batch_size < 1 {
            return Err("--max-write-batch-size must be at least 1".to_owned());
        }
        self.faults.check()
    }
}
