//! Scores: an array of them, as new SDKs send it, or a single one.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use windlass_sim::{Arrival, Micros, Reply};

use super::super::journal::Accepted;
use super::super::options::Options;
use super::super::replies::{Refused, json};
use super::{Langfuse, invalid};

/// The largest body of scores.
const MOST_BODY: usize = 1 << 20;

impl Langfuse {
    pub(super) fn take_scores(
        &mut self,
        options: &Options,
        request: &Request<Bytes>,
        arrival: Arrival,
    ) -> Result<Reply, Refused> {
        if request.body().len() > MOST_BODY {
            return Err(json(413, &json!({"message": "Body exceeded 1mb limit"})).into());
        }
        let body: Value = serde_json::from_slice(request.body()).map_err(|_| invalid("JSON"))?;
        let scores = match &body {
            Value::Array(scores) => scores,
            single => {
                if let Some(why) = refusal(options, single) {
                    return Err(invalid(why));
                }
                self.note_score(single, arrival.at);
                let id = json!({"id": self.score_id(single)});
                return Ok(Reply::changed(json(200, &id)).with_items(1));
            }
        };
        let mut errors = Vec::new();
        for score in scores {
            match refusal(options, score) {
                Some(why) => errors.push(json!({"message": why})),
                None => self.note_score(score, arrival.at),
            }
        }
        let (rejected, accepted) = (errors.len(), scores.len() - errors.len());
        self.scores.totals.rejected += rejected as u64;
        let response = if rejected == 0 {
            json(202, &json!({"message": "Accepted"}))
        } else {
            json(207, &json!({"accepted": accepted, "rejected": rejected, "errors": errors}))
        };
        Ok(Reply { response, effect: accepted > 0, items: 0 }.with_items(scores.len()))
    }

    /// Notes a score by its id; one without gets a number.
    pub(super) fn note_score(&mut self, score: &Value, at: Micros) {
        let text = |name: &str| score[name].as_str().unwrap_or("");
        let id = match text("id") {
            "" => format!("score-{}", self.scores.totals.distinct + 1),
            id => id.to_owned(),
        };
        let value = score["value"].to_string();
        self.scores.note(
            at,
            Accepted {
                trace: text("traceId"),
                id: &id,
                class: "score",
                name: text("name"),
                body: Some(&value),
                ..Accepted::default()
            },
        );
    }

    fn score_id(&self, score: &Value) -> String {
        let numbered = || format!("score-{}", self.scores.totals.distinct);
        score["id"].as_str().filter(|id| !id.is_empty()).map_or_else(numbered, str::to_owned)
    }
}

fn refusal(options: &Options, score: &Value) -> Option<&'static str> {
    let name = score["name"].as_str().unwrap_or("");
    if name.is_empty() {
        return Some("name: Required");
    }
    if options.poison.iter().any(|bad| bad == name) {
        return Some("name: Invalid");
    }
    if !matches!(score["value"], Value::Number(_) | Value::String(_) | Value::Bool(_)) {
        return Some("value: Required");
    }
    let targets = ["traceId", "sessionId", "datasetRunId"];
    if targets.iter().all(|name| score[*name].as_str().is_none_or(str::is_empty)) {
        return Some("one of traceId, sessionId, datasetRunId is required");
    }
    None
}
