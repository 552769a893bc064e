//! What readers of Langfuse see: `v2/observations`, and a part of `v2/metrics`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use windlass_sim::{Micros, Reply};

use super::super::money;
use super::super::replies::{Refused, json, parameters, with_body};
use super::store::{self, Observation, Store};
use super::{PROJECT, invalid, usage};

/// The most observations of a page, and how many there are where nobody says it.
const MOST_LIMIT: usize = 1_000;
const LIMIT: usize = 50;

/// What a page is asked for.
#[derive(Debug, Default)]
struct Query {
    fields: Vec<String>,
    limit: Option<usize>,
    cursor: Option<(u64, String, String)>,
    texts: Vec<(usize, Vec<String>)>,
    trace: Option<String>,
    parent: Option<String>,
    from_ns: Option<u64>,
    to_ns: Option<u64>,
}

impl Query {
    fn read(query: &str) -> Result<Self, Refused> {
        let mut read = Self::default();
        for (name, value) in parameters(query) {
            let time = || store::nanoseconds(&value).ok_or_else(|| invalid(name));
            match name {
                "fields" => read.fields = value.split(',').map(|f| f.trim().to_owned()).collect(),
                "limit" => {
                    let limit = value.parse().ok().filter(|n| (1..=MOST_LIMIT).contains(n));
                    read.limit = Some(limit.ok_or_else(|| invalid("limit is 1 to 1000"))?);
                }
                "cursor" if value.is_empty() => {}
                "cursor" => {
                    read.cursor = Some(read_cursor(&value).ok_or_else(|| invalid("cursor"))?)
                }
                "traceId" => read.trace = Some(value),
                "parentObservationId" => read.parent = Some(value),
                "fromStartTime" => read.from_ns = Some(time()?),
                "toStartTime" => read.to_ns = Some(time()?),
                "parseIoAsJson" => {}
                name => {
                    let field = filter_of(name).ok_or_else(|| invalid(name))?;
                    match read.texts.iter_mut().find(|(known, _)| *known == field) {
                        Some((_, values)) => values.push(value),
                        None => read.texts.push((field, vec![value])),
                    }
                }
            }
        }
        Ok(read)
    }

    fn wants(&self, store: &Store, row: &Observation) -> bool {
        self.trace.as_deref().is_none_or(|trace| row.trace_id() == trace)
            && self.parent.as_deref().is_none_or(|parent| row.parent() == Some(parent))
            && self.from_ns.is_none_or(|from| row.start_ns >= from)
            && self.to_ns.is_none_or(|to| row.start_ns < to)
            && self.texts.iter().all(|(field, values)| {
                let text = store.text(row, *field);
                values.iter().any(|value| value == text)
            })
    }

    fn has(&self, group: &str) -> bool {
        if self.fields.is_empty() {
            return group == "basic";
        }
        self.fields.iter().any(|field| field == group)
    }
}

fn filter_of(name: &str) -> Option<usize> {
    Some(match name {
        "name" => store::NAME,
        "userId" => store::USER,
        "type" => store::TYPE,
        "level" => store::LEVEL,
        "environment" => store::ENVIRONMENT,
        "version" => store::VERSION,
        _ => return None,
    })
}

fn read_cursor(text: &str) -> Option<(u64, String, String)> {
    let bytes = STANDARD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

impl Store {
    /// A page of observations that can be seen by now.
    pub(super) fn list(&mut self, query: &str, now: Micros) -> Result<Reply, Refused> {
        let query = Query::read(query)?;
        self.put_in_order();
        let after = query.cursor.as_ref().map_or(0, |(start, trace, id)| {
            self.order.partition_point(|&index| {
                let row = self.row(index);
                let ids = (row.trace_id(), row.id());
                row.start_ns > *start || (row.start_ns == *start && ids <= (trace.as_str(), id))
            })
        });
        let limit = query.limit.unwrap_or(LIMIT);
        let mut rows = self.order[after..]
            .iter()
            .map(|&index| self.row(index))
            .filter(|row| row.visible_at <= now && query.wants(self, row));
        let page: Vec<&Observation> = rows.by_ref().take(limit).collect();
        let has_more = rows.next().is_some();
        let mut body = String::from("{\"data\":[");
        for (number, row) in page.iter().enumerate() {
            if number > 0 {
                body.push(',');
            }
            body.push_str(&self.shown(row, &query));
        }
        let cursor = page.last().filter(|_| has_more).map(|last| {
            STANDARD.encode(json!([last.start_ns, last.trace_id(), last.id()]).to_string())
        });
        let meta = cursor.map_or_else(|| json!({}), |cursor| json!({"cursor": cursor}));
        body.push_str(&format!("],\"meta\":{meta}}}"));
        let content_type = HeaderValue::from_static("application/json; charset=utf-8");
        let items = page.len();
        Ok(Reply::unchanged(with_body(200, content_type, Bytes::from(body))).with_items(items))
    }

    /// An observation with the groups of fields that were asked for.
    fn shown(&self, row: &Observation, query: &Query) -> String {
        let text = |field| text_or_null(self.text(row, field));
        let or = |field, other: &str| match self.text(row, field) {
            "" => Value::from(other),
            text => text.into(),
        };
        let mut fields = json!({
            "id": row.id(),
            "traceId": row.trace_id(),
            "startTime": time(row.start_ns),
            "endTime": time(row.end_ns),
            "projectId": PROJECT,
            "parentObservationId": row.parent(),
            "type": or(store::TYPE, "SPAN"),
        });
        let mut add = |more: Value| {
            if let (Value::Object(all), Value::Object(more)) = (&mut fields, more) {
                all.extend(more);
            }
        };
        if query.has("basic") {
            add(json!({
                "name": text(store::NAME), "level": or(store::LEVEL, "DEFAULT"),
                "statusMessage": text(store::STATUS), "version": text(store::VERSION),
                "environment": or(store::ENVIRONMENT, "default"), "bookmarked": false,
                "public": false, "userId": text(store::USER), "sessionId": text(store::SESSION),
            }));
        }
        if query.has("trace_context") {
            add(json!({
                "tags": parsed(Some(self.text(row, store::TAGS))).unwrap_or_else(|| json!([])),
                "release": text(store::RELEASE), "traceName": text(store::TRACE_NAME),
            }));
        }
        if query.has("time") {
            add(json!({"completionStartTime": time(row.completion_ns)}));
        }
        if query.has("model") {
            add(json!({
                "providedModelName": text(store::MODEL),
                "modelParameters": parsed(body(row, |b| b.parameters.as_deref())),
            }));
        }
        if query.has("prompt") {
            let version = self.text(row, store::PROMPT_VERSION).parse::<u64>().ok();
            add(json!({"promptName": text(store::PROMPT_NAME), "promptVersion": version}));
        }
        if query.has("io") {
            add(json!({"input": body(row, |b| b.input.as_deref()),
                "output": body(row, |b| b.output.as_deref())}));
        }
        if query.has("metadata") {
            add(json!({"metadata": parsed(body(row, |b| b.metadata.as_deref()))}));
        }
        if query.has("metrics") {
            let first = row.completion_ns.checked_sub(row.start_ns).filter(|_| row.end_ns > 0);
            let latency = row.end_ns.checked_sub(row.start_ns).map(seconds);
            add(json!({"latency": latency, "timeToFirstToken": first.map(seconds)}));
        }
        let mut shown = fields.to_string();
        if query.has("usage") {
            shown.pop();
            shown.push_str(&usage_fields(row));
        }
        shown
    }
}

/// The fields of tokens and costs, each number as it came, up to the end of the object.
fn usage_fields(row: &Observation) -> String {
    let usage = row.usage().unwrap_or("{}");
    let cost = row.cost().unwrap_or("{}");
    let total = row.cost().and_then(usage::total_cost);
    let total = total.as_deref().unwrap_or("null");
    format!(",\"usageDetails\":{usage},\"costDetails\":{cost},\"totalCost\":{total}}}")
}

fn body(row: &Observation, read: fn(&store::Bodies) -> Option<&str>) -> Option<&str> {
    row.bodies.as_deref().and_then(read)
}

fn parsed(text: Option<&str>) -> Option<Value> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

fn text_or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000) as f64 / 1e6
}

fn time(nanoseconds: u64) -> Option<String> {
    let instant = Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    (nanoseconds > 0).then(|| instant.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// A sum of one measure, or a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Count,
    Cost,
    Tokens(&'static str),
}

impl Measure {
    fn of(metric: &Value) -> Option<Self> {
        let (measure, how) = (metric["measure"].as_str()?, metric["aggregation"].as_str()?);
        Some(match (measure, how) {
            ("count", "count") => Self::Count,
            ("totalCost", "sum") => Self::Cost,
            ("totalTokens", "sum") => Self::Tokens(""),
            ("inputTokens", "sum") => Self::Tokens("input"),
            ("outputTokens", "sum") => Self::Tokens("output"),
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Count => "count_count",
            Self::Cost => "sum_totalCost",
            Self::Tokens("input") => "sum_inputTokens",
            Self::Tokens("output") => "sum_outputTokens",
            Self::Tokens(_) => "sum_totalTokens",
        }
    }

    /// The value of one observation, in units of 10^-18 for costs.
    fn value(self, row: &Observation) -> i128 {
        match self {
            Self::Count => 1,
            Self::Cost => {
                let total = row.cost().and_then(usage::total_cost);
                total.and_then(|total| money::parse(&total)).unwrap_or(0)
            }
            Self::Tokens(prefix) => {
                let usage = row.usage().unwrap_or("{}");
                let counts: BTreeMap<String, Value> =
                    serde_json::from_str(usage).unwrap_or_default();
                let total = counts.get("total").filter(|_| prefix.is_empty());
                if let Some(total) = total.and_then(Value::as_u64) {
                    return i128::from(total);
                }
                let counts = counts.iter().filter(|(name, _)| name.starts_with(prefix));
                counts.filter_map(|(_, count)| count.as_u64()).map(i128::from).sum()
            }
        }
    }

    fn shown(self, sum: i128) -> Box<RawValue> {
        let text = if self == Self::Cost { money::format(sum) } else { sum.to_string() };
        RawValue::from_string(text).expect("a number is JSON")
    }
}

fn dimension_of(field: &str) -> Option<usize> {
    match field {
        "providedModelName" => Some(store::MODEL),
        "sessionId" => Some(store::SESSION),
        "traceName" => Some(store::TRACE_NAME),
        other => filter_of(other),
    }
}

impl Store {
    /// Sums over the observations that can be seen by now, by the texts that are asked for.
    pub(super) fn metrics(&mut self, query: &str, now: Micros) -> Result<Reply, Refused> {
        let told = parameters(query).find(|(name, _)| *name == "query").map(|(_, value)| value);
        let asked: Value = told
            .and_then(|text| serde_json::from_str(&text).ok())
            .ok_or_else(|| invalid("query"))?;
        if asked["view"] != "observations" {
            return Err(invalid("this simulator has the view observations alone"));
        }
        let none = Vec::new();
        let metrics = asked["metrics"].as_array().unwrap_or(&none).iter();
        let measures: Option<Vec<Measure>> = metrics.map(Measure::of).collect();
        let measures = measures.filter(|all| !all.is_empty()).ok_or_else(|| invalid("metrics"))?;
        let dimensions = asked["dimensions"].as_array().unwrap_or(&none).iter();
        let dimensions: Option<Vec<(&str, usize)>> = dimensions
            .map(|one| one["field"].as_str().and_then(|field| Some((field, dimension_of(field)?))))
            .collect();
        let dimensions = dimensions.ok_or_else(|| invalid("dimensions"))?;
        let bound = |name: &str| asked[name].as_str().and_then(store::nanoseconds);
        let (from, to) = (bound("fromTimestamp"), bound("toTimestamp"));
        let mut groups: BTreeMap<Vec<&str>, Vec<i128>> = BTreeMap::new();
        for &index in &self.order {
            let row = self.row(index);
            let is_in = from.is_none_or(|from| row.start_ns >= from)
                && to.is_none_or(|to| row.start_ns < to);
            if row.visible_at > now || !is_in {
                continue;
            }
            let key = dimensions.iter().map(|(_, field)| self.text(row, *field)).collect();
            let sums = groups.entry(key).or_insert_with(|| vec![0; measures.len()]);
            for (sum, measure) in sums.iter_mut().zip(&measures) {
                *sum += measure.value(row);
            }
        }
        let data = groups.into_iter().map(|(key, sums)| {
            let names = dimensions.iter().zip(key);
            let texts: Map<String, Value> =
                names.map(|((name, _), text)| ((*name).to_owned(), text_or_null(text))).collect();
            let mut line = Value::Object(texts).to_string();
            line.pop();
            for (measure, sum) in measures.iter().zip(sums) {
                let comma = if line.len() > 1 { "," } else { "" };
                line.push_str(&format!("{comma}\"{}\":{}", measure.name(), measure.shown(sum)));
            }
            line.push('}');
            line
        });
        let data: Vec<String> = data.collect();
        let content_type = HeaderValue::from_static("application/json; charset=utf-8");
        let body = format!("{{\"data\":[{}]}}", data.join(","));
        Ok(Reply::unchanged(with_body(200, content_type, body)))
    }
}

/// The answer to a request that was stored item by item.
pub(super) fn multi_status(successes: &[Value], errors: &[Value]) -> http::Response<Bytes> {
    json(207, &json!({"successes": successes, "errors": errors}))
}
