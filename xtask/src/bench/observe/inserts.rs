//! Rows into PostgreSQL: a gateway that drains its backlog, beside `psql` that copies the same rows
//! from a file, and beside `INSERT`s of 20 rows. All tables have the same definition and indexes.

use super::figures::{Goal, head, ratio, rounds, row, shown, spread};
use super::gateway::Gateway;
use super::load::Load;
use super::postgres::Postgres;
use super::{Config, Field};
use crate::bench::machine;
use crate::bench::table::{figure, thousands};
use crate::place::output;
use anyhow::{Context, Result, bail};
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Rows of ours for each one that is copied.
const BESIDE_COPY: Goal = Goal::AtLeast(0.8);
/// And for each one of small statements.
const BESIDE_INSERTS: Goal = Goal::AtLeast(2.5);
/// Rows of a small statement, as the programs that a gateway takes the place of have them.
const BATCH: usize = 20;
/// Spans of a request, and requests a second, of the load that makes a backlog.
const SPANS: u32 = 100;
const RATE: u32 = 200;
/// Between two looks at how much is delivered.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long the backlog may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The gateway's destination, and the database that `psql` writes into.
const ROWS: &str = "rows";

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Gateway,
    Copy,
    Inserts,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "windlass, draining its backlog",
            Self::Copy => "psql, COPY of the same rows from a file",
            Self::Inserts => "psql, INSERTs of 20 rows",
        }
    }
}

/// What a round saw.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Round {
    rows: u64,
    wall_s: f64,
    /// Statements that they came in.
    statements: u64,
    /// The gateway's time of a core.
    cpu_s: f64,
    /// The share of all cores that everybody used.
    busy: f64,
}

impl Round {
    fn rate(&self) -> f64 {
        self.rows as f64 / self.wall_s.max(1e-9)
    }
}

/// The table of inserts.
///
/// # Errors
/// When a server does not start, or not every row arrives.
pub fn measure(field: &Field<'_>) -> Result<String> {
    let title = "### Rows into PostgreSQL\n\n";
    let Some(bin) = field.tool("WINDLASS_POSTGRES_BIN") else {
        return Ok(format!("{title}Not measured: PostgreSQL was not found.\n"));
    };
    let rows = field.or_quick(200_000, 20_000);
    let bench = Bench {
        field,
        postgres: RefCell::new(Postgres::start(bin)?),
        rows,
        databases: Cell::new(0),
        copied: field.folder.join("rows.tsv"),
        inserts: field.folder.join("rows.sql"),
    };
    bench.prepare()?;
    let sides = [Side::Gateway, Side::Copy, Side::Inserts];
    let all = rounds(&sides, field.job.rounds, |side| {
        let round = bench.take(side).with_context(|| side.name().to_owned())?;
        println!("{}: {round:?}", side.name());
        Ok(round)
    })?;
    Ok(format!(
        "{title}{} rows of `model_cost_logs` with its primary key and both indexes, in turns, \
         each {}; one server with its defaults, `fsync` on, nothing vacuumed and no checkpoint \
         meanwhile. The gateway's time is from its first row to its last, after a start with the \
         backlog on disk; it reads, unpacks and settles every event besides. \"Busy\" is the \
         share of the machine that everybody used.\n\n{}",
        thousands(rows),
        field.times(),
        table(&all)
    ))
}

struct Bench<'a> {
    field: &'a Field<'a>,
    postgres: RefCell<Postgres>,
    rows: u64,
    /// How many were made for gateways.
    databases: Cell<u32>,
    copied: PathBuf,
    inserts: PathBuf,
}

impl Bench<'_> {
    /// Lets a gateway make the rows, and writes them to files.
    fn prepare(&self) -> Result<()> {
        self.psql("postgres", &format!("CREATE DATABASE {ROWS}"))?;
        self.drain(ROWS)?;
        let file = self.copied.display();
        self.psql(ROWS, &format!("\\copy model_cost_logs TO '{file}'"))?;
        let rows = BufReader::new(fs::File::open(&self.copied)?).lines();
        let statements = BufWriter::new(fs::File::create(&self.inserts)?);
        write_inserts(rows, statements)
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String> {
        self.postgres.borrow().psql(database, sql)
    }

    fn take(&self, side: Side) -> Result<Round> {
        match side {
            Side::Gateway => {
                let number = self.databases.get();
                self.databases.set(number + 1);
                let database = format!("gateway_{number}");
                self.psql("postgres", &format!("CREATE DATABASE {database}"))?;
                let round = self.drain(&database);
                self.psql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"))?;
                round
            }
            Side::Copy => {
                let file = self.copied.display();
                let copy = format!("\\copy fresh FROM '{file}'");
                self.fresh(1, |sql| sql.args(["--command", &copy]))
            }
            Side::Inserts => {
                let statements = self.rows.div_ceil(BATCH as u64);
                self.fresh(statements, |sql| sql.arg("--file").arg(&self.inserts))
            }
        }
    }

    /// Runs `psql` once at a fresh table.
    fn fresh(
        &self,
        statements: u64,
        words: impl FnOnce(&mut Command) -> &mut Command,
    ) -> Result<Round> {
        self.psql(ROWS, "DROP TABLE IF EXISTS fresh")?;
        self.psql(ROWS, "CREATE TABLE fresh (LIKE model_cost_logs INCLUDING ALL)")?;
        self.psql(ROWS, "CHECKPOINT")?;
        let mut command = self.postgres.borrow().command(ROWS);
        let watch = Watch::start();
        output(words(&mut command))?;
        let (wall_s, busy) = watch.stop();
        self.check(ROWS, "fresh")?;
        Ok(Round { rows: self.rows, wall_s, statements, cpu_s: 0.0, busy })
    }

    /// Makes a backlog while the server is down, starts both again, and waits until the backlog is
    /// in the database.
    fn drain(&self, database: &str) -> Result<Round> {
        let folder = self.field.round()?;
        let url = self.postgres.borrow().url(database);
        let config = Config::new("acknowledged");
        let config = config.destination(ROWS, "sql", &format!("url = \"{url}\"\n"));
        let mut gateway = Gateway::start(self.field.windlass, &folder, &config.text)?;
        self.postgres.borrow_mut().stop()?;
        self.fill(&gateway, &folder)?;
        gateway.kill();
        self.postgres.borrow_mut().again()?;
        self.psql("postgres", "CHECKPOINT")?;
        gateway.again()?;
        let round = self.watch(&gateway)?;
        gateway.kill();
        self.check(database, "model_cost_logs")?;
        Ok(round)
    }

    fn fill(&self, gateway: &Gateway, folder: &Path) -> Result<()> {
        let requests = self.rows / u64::from(SPANS);
        let load = Load {
            door: "otlp",
            rate: Some(f64::from(RATE)),
            connections: 16,
            events: SPANS,
            duration: Duration::from_secs(requests / u64::from(RATE)),
            warmup: Duration::ZERO,
        };
        load.send(self.field.windlass, &gateway.url, folder)?;
        let pending = gateway.destination(ROWS, "pending")?;
        if pending != self.rows {
            bail!("{pending} of {} rows are queued", self.rows);
        }
        Ok(())
    }

    /// From the first row that is delivered to the last.
    fn watch(&self, gateway: &Gateway) -> Result<Round> {
        let delivered = || gateway.destination(ROWS, "delivered");
        let begin = Instant::now();
        let mut first = None;
        loop {
            let count = delivered()?;
            let process = gateway.process()?;
            if first.is_none() && count > 0 {
                first = Some((count, process.cpu_s(), Watch::start()));
            }
            if let Some((before, cpu_s, watch)) = &first
                && count == self.rows
            {
                let (wall_s, busy) = watch.stop();
                let cpu_s = process.cpu_s() - cpu_s;
                let statements = gateway.destination(ROWS, "batches")?;
                return Ok(Round { rows: count - before, wall_s, statements, cpu_s, busy });
            }
            if begin.elapsed() > PATIENCE {
                bail!("{count} of {} rows were delivered: {}", self.rows, gateway.status()?);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn check(&self, database: &str, table: &str) -> Result<()> {
        let count = self.psql(database, &format!("SELECT count(*) FROM {table}"))?;
        if count != self.rows.to_string() {
            bail!("{table} has {count} rows, not {}", self.rows);
        }
        Ok(())
    }
}

/// A stop watch of the clock and of the machine.
struct Watch {
    start: Instant,
    busy_s: f64,
}

impl Watch {
    fn start() -> Self {
        Self { start: Instant::now(), busy_s: machine::busy_s() }
    }

    /// Seconds, and the share of all cores that was used in them.
    fn stop(&self) -> (f64, f64) {
        let wall_s = self.start.elapsed().as_secs_f64();
        let used_s = machine::busy_s() - self.busy_s;
        (wall_s, used_s / (wall_s * machine::cores() as f64).max(1e-9))
    }
}

/// Rows in the text format of `COPY` as statements, each of them a transaction.
fn write_inserts(
    rows: impl Iterator<Item = std::io::Result<String>>,
    mut out: impl Write,
) -> Result<()> {
    let rows: Vec<String> =
        rows.map(|row| values(&row?)).collect::<Result<_>>().context("rows of COPY")?;
    for batch in rows.chunks(BATCH) {
        writeln!(out, "INSERT INTO fresh VALUES {};", batch.join(", "))?;
    }
    Ok(out.flush()?)
}

/// `a<tab>\N` as `('a', NULL)`. Escapes would need more, and rows of the load have none.
fn values(row: &str) -> Result<String> {
    let value = |field: &str| match field {
        "\\N" => Ok("NULL".to_owned()),
        field if field.contains('\\') => bail!("a field has an escape: {field}"),
        field => Ok(format!("'{}'", field.replace('\'', "''"))),
    };
    let values: Vec<String> = row.split('\t').map(value).collect::<Result<_>>()?;
    Ok(format!("({})", values.join(", ")))
}

fn table(all: &[(Side, Vec<Round>)]) -> String {
    let mut text = head(&[
        "writer",
        ">rows/s",
        ">s",
        ">rows a statement",
        ">gateway's CPU s",
        ">busy %",
        ">windlass x this",
        "goal",
    ]);
    let of = |wanted| all.iter().find(|(side, _)| *side == wanted).map(|found| &found.1);
    for (side, rounds) in all {
        let goal = match side {
            Side::Gateway => None,
            Side::Copy => Some(BESIDE_COPY),
            Side::Inserts => Some(BESIDE_INSERTS),
        };
        let ours = of(Side::Gateway).filter(|_| goal.is_some());
        let beside = ours.map(|ours| ratio(ours, rounds, Round::rate));
        let of = |figure: fn(&Round) -> f64| spread(rounds.iter().map(figure));
        text.push_str(&row(&[
            side.name().to_owned(),
            shown(of(Round::rate)),
            figure(of(|round| round.wall_s).median),
            thousands(of(|round| round.rows as f64 / round.statements.max(1) as f64).median as u64),
            if goal.is_none() { figure(of(|round| round.cpu_s).median) } else { "-".to_owned() },
            format!("{:.0}", of(|round| round.busy).median * 100.0),
            beside.map_or_else(|| "-".to_owned(), shown),
            goal.zip(beside)
                .map_or_else(|| "-".to_owned(), |(goal, beside)| goal.judged(beside.median)),
        ]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_statements_of_twenty() {
        let rows = (0..41).map(|number| Ok(format!("row-{number}\t\\N\tit's")));
        let mut out = Vec::new();
        write_inserts(rows, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], "INSERT INTO fresh VALUES ('row-40', NULL, 'it''s');");
        assert_eq!(lines[1].matches("NULL").count(), 20);
        assert!(write_inserts([Ok("a\\tb".to_owned())].into_iter(), Vec::new()).is_err());
    }

    #[test]
    fn ours_is_beside_both() {
        let round = |rows, wall_s| Round { rows, wall_s, statements: 2, cpu_s: 1.0, busy: 0.75 };
        let all = [
            (Side::Gateway, vec![round(90_000, 1.0), round(100_000, 1.0), round(80_000, 1.0)]),
            (Side::Copy, vec![round(100_000, 1.0), round(125_000, 1.0), round(110_000, 1.0)]),
            (Side::Inserts, vec![round(100_000, 2.5), round(100_000, 2.5), round(100_000, 2.5)]),
        ];
        let text = table(&all);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        let expected = [
            "| windlass, draining its backlog | 90,000 (80,000..100,000) | 1.00 | 45,000 | 1.00 \
             | 75 | - | - |",
            "| psql, COPY of the same rows from a file | 110,000 (100,000..125,000) | 1.00 | \
             55,000 | - | 75 | 0.800 (0.727..0.900) | >= 0.8: met |",
            "| psql, INSERTs of 20 rows | 40,000 | 2.50 | 50,000 | - | 75 | 2.25 (2.00..2.50) \
             | >= 2.5: missed |",
        ];
        assert_eq!(lines, expected);
    }
}
