//! A PostgreSQL of one's own: a cluster in a folder that is thrown away, behind a socket that
//! nobody else has. `fsync` stays on, and most else as it is by default.

use super::gateway::{Process, empty};
use crate::place::{output, program};
use anyhow::{Context, Result};
use std::env;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user that Debian makes for the server, which refuses to run as root.
const USER: &str = "postgres";
/// Room for the log of one round, so that no checkpoint falls into any side's time, and no
/// vacuum.
const SETTINGS: [&str; 3] = ["listen_addresses=", "max_wal_size=4GB", "autovacuum=off"];

/// A cluster, whose server may be stopped and started again.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    server: Option<Process>,
}

impl Postgres {
    /// Makes a cluster with these programs and starts its server.
    ///
    /// # Errors
    /// When they fail.
    pub fn start(bin: PathBuf) -> Result<Self> {
        program(&["setpriv"]).context("setpriv of util-linux is not installed")?;
        // The path of a socket has at most 107 bytes, which a folder of a checkout may exceed, and
        // the server's user must be able to reach it.
        let folder = env::temp_dir().join(format!("windlass-pg-{}", std::process::id()));
        let folder = empty(folder)?;
        let mut postgres = Self { bin, folder, server: None };
        give_to_server(&postgres.folder)?;
        let mut initdb = as_server(&postgres.bin.join("initdb"))?;
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.arg(format!("--username={USER}")).arg("-D").arg(postgres.folder.join("data"));
        output(&mut initdb)?;
        postgres.again()?;
        Ok(postgres)
    }

    /// Starts its server again.
    ///
    /// # Errors
    /// When it does not start.
    pub fn again(&mut self) -> Result<()> {
        let mut command = as_server(&self.bin.join("postgres"))?;
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(&self.folder);
        SETTINGS.iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
        let mut server =
            Process::start(command.stdout(Stdio::null()), &self.folder.join("stderr"))?;
        server
            .wait_until(|| self.psql("postgres", "SELECT 1").is_ok())
            .with_context(|| fs::read_to_string(self.folder.join("stderr")).unwrap_or_default())?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops its server in good order, whoever is connected.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |server| server.end("INT"))
    }

    /// Where one of its databases is, as a gateway is told.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={USER}", self.folder.display())
    }

    /// `psql` at one of its databases.
    pub fn command(&self, database: &str) -> Command {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]);
        psql.args(["--set", "ON_ERROR_STOP=1", "--username", USER, "--dbname", database]);
        psql.arg("--host").arg(&self.folder);
        psql
    }

    /// Runs a statement, or a command of `psql`, and returns what it wrote.
    ///
    /// # Errors
    /// When it fails.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        Ok(output(self.command(database).args(["--command", sql]))?.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Whether it stops well is of no more interest, since all of it is thrown away.
        let _stopped = self.stop();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// A program that ends with this one, as a user that is not root.
fn as_server(program: &Path) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]).current_dir("/");
    if is_root()? {
        command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--init-groups"]);
    }
    command.arg(program);
    Ok(command)
}

fn give_to_server(folder: &Path) -> Result<()> {
    if is_root()? {
        let id = output(Command::new("id").args(["-u", USER]))?.trim().parse();
        chown(folder, Some(id.with_context(|| format!("no user {USER}"))?), None)?;
    }
    Ok(())
}
