//! The program's own load test, as a process that is measured itself: a generator that is busy all
//! the time measures nobody but itself.

use crate::measure;
use crate::place::output;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// `rudder`, `otlp` or `legacy`.
    pub door: &'static str,
    /// Requests a second, of an open loop; `None` sends as fast as answers come.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: u32,
    /// Events of a request.
    pub events: u32,
    /// How long is measured.
    pub duration: Duration,
    /// How long requests are sent before.
    pub warmup: Duration,
}

/// What came of it. Times are in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The median, from the moment that a request was due to its answer.
    pub p50_ms: f64,
    /// Nineteen of twenty are shorter.
    pub p95_ms: f64,
    /// All but one of a hundred are shorter.
    pub p99_ms: f64,
    /// How late the generator itself was: nineteen of twenty are shorter.
    pub late_p95_ms: f64,
    /// Answers a second.
    pub rate: f64,
    /// Requests with those of the warm-up, and those that were due and never sent.
    pub requests: u64,
    /// The share of measured requests that got no good answer, from 0 to 1.
    pub errors: f64,
    /// How busy the generator was: 1 is one core all the time.
    pub generator_cores: f64,
}

/// Bytes of an event: a generation with a short prompt.
pub const EVENT_BYTES: u32 = 1_000;

impl Load {
    /// Sends it.
    ///
    /// # Errors
    /// When the load test can't be run, or nothing was answered.
    pub fn send(&self, windlass: &Path, url: &str, folder: &Path) -> Result<Seen> {
        let report = folder.join("cost.json");
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("measure").arg(&report).arg(windlass).args(self.words(url));
        command.current_dir(folder).env("WINDLASS_STATE_DIR", folder.join("load"));
        let said = output(&mut command)?;
        let cost = measure::read(&report)?;
        if !cost.success {
            bail!("the load test failed: {said}");
        }
        let told: Value = serde_json::from_str(&said).context("the load test told no JSON")?;
        let mut seen = Seen::read(&told["a"][0])?;
        seen.generator_cores = cost.cpu_s / cost.wall_s.max(1e-9);
        Ok(seen)
    }

    fn words(&self, url: &str) -> Vec<String> {
        let time = |time: Duration| format!("{}ms", time.as_millis());
        let mut words = vec!["observe".to_owned(), "loadtest".to_owned()];
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        option("url", url.to_owned());
        option("door", self.door.to_owned());
        option("connections", self.connections.to_string());
        option("events", self.events.to_string());
        option("bytes", EVENT_BYTES.to_string());
        option("duration", time(self.duration));
        option("warmup", time(self.warmup));
        option("output", "json".to_owned());
        match self.rate {
            Some(rate) => option("rate", rate.to_string()),
            None => words.push("--closed".to_owned()),
        }
        words
    }
}

impl Seen {
    /// Reads one report of the load test.
    fn read(report: &Value) -> Result<Self> {
        let number = |value: &Value, name: &str| {
            value[name].as_f64().with_context(|| format!("no {name} in {report}"))
        };
        let ms = |of: &str, name: &str| Ok::<f64, anyhow::Error>(number(&report[of], name)? / 1e6);
        let whole = |name: &str| report[name].as_u64().with_context(|| format!("no {name}"));
        let statuses = report["statuses"].as_object().context("no statuses")?;
        let good = statuses.iter().filter(|(status, _)| status.starts_with('2'));
        let good: u64 = good.filter_map(|(_, count)| count.as_u64()).sum();
        if good == 0 {
            bail!("nothing was answered well: {report}");
        }
        let measured = whole("sent")? + whole("unanswered")?;
        Ok(Self {
            p50_ms: ms("latency", "p50_ns")?,
            p95_ms: ms("latency", "p95_ns")?,
            p99_ms: ms("latency", "p99_ns")?,
            late_p95_ms: ms("lateness", "p95_ns")?,
            rate: number(report, "achieved_rate")?,
            requests: measured + whole("warmup")?,
            errors: measured.saturating_sub(good) as f64 / measured as f64,
            generator_cores: 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        let times = |p50: u64| json!({"p50_ns": p50, "p95_ns": p50 * 2, "p99_ns": p50 * 4});
        json!({
            "sent": 990, "unanswered": 10, "warmup": 100,
            "statuses": {"200": 950, "207": 40}, "errors": {},
            "latency": times(1_000_000), "service": times(1), "lateness": times(20_000),
            "achieved_rate": 4_950.5,
        })
    }

    #[test]
    fn a_report_is_read() {
        let expected = Seen {
            p50_ms: 1.0,
            p95_ms: 2.0,
            p99_ms: 4.0,
            late_p95_ms: 0.04,
            rate: 4_950.5,
            requests: 1_100,
            errors: 0.01,
            generator_cores: 0.0,
        };
        assert_eq!(Seen::read(&report()).unwrap(), expected);
    }

    #[test]
    fn without_a_good_answer_nothing_is_told() {
        let mut refused = report();
        refused["statuses"] = json!({"503": 990});
        assert!(Seen::read(&refused).unwrap_err().to_string().starts_with("nothing was answered"));
        assert!(Seen::read(&Value::Null).is_err());
    }

    #[test]
    fn a_rate_is_an_open_loop() {
        let load = Load {
            door: "otlp",
            rate: Some(5_000.0),
            connections: 32,
            events: 1,
            duration: Duration::from_secs(10),
            warmup: Duration::from_millis(500),
        };
        let words = load.words("http://127.0.0.1:1").join(" ");
        let expected = "observe loadtest --url http://127.0.0.1:1 --door otlp --connections 32 \
                        --events 1 --bytes 1000 --duration 10000ms --warmup 500ms --output json \
                        --rate 5000";
        assert_eq!(words, expected);
        let closed = Load { rate: None, ..load }.words("http://127.0.0.1:1");
        assert_eq!(closed.last().map(String::as_str), Some("--closed"));
        assert!(!closed.contains(&"--rate".to_owned()));
    }
}
