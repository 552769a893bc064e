//! A PostgreSQL of one's own: a cluster in a folder that is thrown away, behind a socket that
//! nobody else has. `fsync` stays on, for durability is what the tests are about.

use crate::support::{is_installed, signal, skipped, wait_until};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The user that Debian makes for the server, which refuses to run as root.
const USER: &str = "postgres";

/// A running server.
pub struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    server: Child,
}

impl Postgres {
    /// Starts one; says so when there are no programs for it.
    pub fn start() -> Option<Self> {
        let bin = std::env::var_os("WINDLASS_POSTGRES_BIN").map(PathBuf::from);
        let Some(bin) = bin.filter(|bin| bin.join("initdb").is_file()) else {
            skipped("rows in PostgreSQL: WINDLASS_POSTGRES_BIN names no folder with its programs");
            return None;
        };
        if !is_installed("setpriv") {
            skipped("rows in PostgreSQL: setpriv of util-linux is not installed");
            return None;
        }
        // The path of a socket has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        give_to_server(folder.path());
        let data = folder.path().join("data");
        let mut initdb = as_server(&bin.join("initdb"));
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        let made = initdb.arg(format!("--username={USER}")).arg("-D").arg(&data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server = serve(&bin, folder.path());
        let postgres = Self { bin, folder, server };
        wait_until("PostgreSQL", || postgres.ask("SELECT 1").status.success());
        Some(postgres)
    }

    /// Where it is, as a gateway is told.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Where one of its databases is.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={USER}", self.folder.path().display())
    }

    /// Runs a statement and returns its rows, one a line, fields apart by `|`.
    #[track_caller]
    pub fn psql(&self, sql: &str) -> String {
        let done = self.ask(sql);
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn ask(&self, sql: &str) -> std::process::Output {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--username", USER]);
        psql.arg("--host").arg(self.folder.path()).args(["--dbname", "postgres", "--command", sql]);
        psql.stdin(Stdio::null()).output().unwrap()
    }

    /// Stops it at once, as a machine that loses its power would.
    pub fn kill(&mut self) {
        signal(self.server.id(), "QUIT");
        self.server.wait().unwrap();
    }

    /// Starts it again over the same folder.
    pub fn again(&mut self) {
        self.server = serve(&self.bin, self.folder.path());
        wait_until("PostgreSQL", || self.ask("SELECT 1").status.success());
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(None) = self.server.try_wait() {
            // A fast shutdown: it waits for no client.
            signal(self.server.id(), "INT");
            let _ = self.server.wait();
        }
    }
}

/// The server ends with the thread of the test, however that ends.
fn serve(bin: &Path, folder: &Path) -> Child {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]).args(other_user()).arg(bin.join("postgres"));
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder);
    for setting in [
        "listen_addresses=",
        "shared_buffers=16MB",
        "max_connections=40",
        "max_wal_size=128MB",
        "autovacuum=off",
    ] {
        command.args(["-c", setting]);
    }
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.current_dir(folder).spawn().unwrap()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// What makes `setpriv` change the user, where that has to be.
fn other_user() -> Vec<String> {
    match is_root() {
        true => [&format!("--reuid={USER}"), &format!("--regid={USER}"), "--init-groups"]
            .map(|word: &str| word.to_owned())
            .to_vec(),
        false => Vec::new(),
    }
}

fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    // It refuses to do nothing at all.
    command.args(["--pdeathsig", "KILL"]).args(other_user()).arg(program).current_dir("/tmp");
    command
}

fn give_to_server(folder: &Path) {
    if is_root() {
        let id = Command::new("id").args(["-u", USER]).output().unwrap();
        let id = String::from_utf8(id.stdout).unwrap();
        chown(folder, Some(id.trim().parse().unwrap()), None).unwrap();
    }
}

#[test]
fn a_cluster_of_ones_own_comes_and_goes() {
    let Some(mut postgres) = Postgres::start() else { return };
    assert_eq!(postgres.psql("SHOW fsync"), "on\n");
    postgres.psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)");
    postgres.kill();
    postgres.again();
    assert_eq!(postgres.psql("SELECT n, n + 1 FROM t ORDER BY n"), "1|2\n2|3\n");
    let (folder, process) = (postgres.folder.path().to_owned(), postgres.server.id());
    drop(postgres);
    assert!(!folder.exists());
    assert!(!Path::new(&format!("/proc/{process}")).exists());
}
