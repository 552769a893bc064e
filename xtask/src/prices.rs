//! The price map that is built into the gateway: LiteLLM's, reduced to the prices of tokens.
//!
//! `pip download --no-deps litellm` brings the wheel that the map and its licence are in; the map
//! alone, `model_prices_and_context_window.json` of LiteLLM's repository, is taken as well. Numbers
//! are copied as they are written, since a price must not pass through a float.

use crate::place::Place;
use anyhow::{Context, Result, bail};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where the map is in the repository.
const FOLDER: &str = "crates/connectors/src/observe/price";
/// Where it is in a wheel.
const IN_WHEEL: &str = "litellm/model_prices_and_context_window_backup.json";
/// Where the licence is in a wheel.
const LICENCE_IN_WHEEL: &str = "litellm-*.dist-info/licenses/LICENSE";
/// What is kept of a model besides the prices.
const KEPT: [&str; 3] = ["litellm_provider", "tiered_pricing", "off_peak_pricing"];
/// How the kept prices begin.
const PRICES: [&str; 8] = [
    "input_cost_per_token",
    "cache_read_input_token_cost",
    "cache_creation_input_token_cost",
    "input_cost_per_audio_token",
    "output_cost_per_token",
    "output_cost_per_reasoning_token",
    "output_cost_per_audio_token",
    "output_cost_per_image_token",
];
/// Prices that begin like those and are not used: for lifetimes of a cache that no convention
/// reports, and one that another field repeats.
const LEFT_OUT: [&str; 3] = ["_above_12hr", "_cache_hit", "_decisions"];
/// Tops that are no models.
const NO_MODELS: [&str; 2] = ["sample_spec", "fallback_generalizations"];
/// Fewer models than this are not LiteLLM's map.
const MODELS_MIN: usize = 1_000;

type Model<'a> = BTreeMap<&'a str, &'a RawValue>;

/// Writes the map and its licence into the repository.
pub fn run(place: &Place, file: &str) -> Result<bool> {
    let folder = place.root.join(FOLDER);
    let is_wheel = Path::new(file).extension().is_some_and(|ending| ending == "whl");
    let json = if is_wheel {
        fs::write(folder.join("LICENSE.litellm"), unzip(file, LICENCE_IN_WHEEL)?)?;
        unzip(file, IN_WHEEL)?
    } else {
        fs::read_to_string(file).with_context(|| format!("{file} can't be read"))?
    };
    let (reduced, models) = reduce(&json)?;
    let plain = folder.join("prices.json");
    fs::write(&plain, &reduced)?;
    let status = Command::new("gzip").args(["-9", "-n", "-f"]).arg(&plain).status();
    if !status.context("gzip can't be started")?.success() {
        bail!("gzip failed");
    }
    let size = fs::metadata(folder.join("prices.json.gz"))?.len();
    println!("{models} models, {} bytes, {size} compressed", reduced.len());
    Ok(true)
}

fn reduce(json: &str) -> Result<(String, usize)> {
    let all: BTreeMap<&str, &RawValue> = serde_json::from_str(json).context("it is no map")?;
    let mut models: BTreeMap<&str, Model<'_>> = BTreeMap::new();
    for (name, raw) in all {
        if NO_MODELS.contains(&name) {
            continue;
        }
        let mut model: Model<'_> =
            serde_json::from_str(raw.get()).with_context(|| format!("{name} is no model"))?;
        model.retain(|field, value| is_kept(field) && value.get() != "null");
        models.insert(name, model);
    }
    if models.len() < MODELS_MIN {
        bail!("it has only {} models", models.len());
    }
    Ok((serde_json::to_string(&models)?, models.len()))
}

fn is_kept(field: &str) -> bool {
    let is_price = PRICES.iter().any(|start| field.starts_with(start));
    let is_left_out = LEFT_OUT.iter().any(|part| field.contains(part));
    KEPT.contains(&field) || is_price && !is_left_out
}

fn unzip(wheel: &str, member: &str) -> Result<String> {
    let mut command = Command::new("unzip");
    command.args(["-p", wheel, member]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("unzip can't be started")?;
    if !output.status.success() {
        bail!("{wheel} has no {member}");
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::{is_kept, reduce};

    #[test]
    fn prices_of_tokens_are_kept() {
        assert!(is_kept("input_cost_per_token_above_200k_tokens_priority"));
        assert!(is_kept("cache_creation_input_token_cost_above_1hr"));
        assert!(is_kept("tiered_pricing"));
        assert!(!is_kept("cache_creation_input_token_cost_above_12hr"));
        assert!(!is_kept("input_cost_per_image"));
        assert!(!is_kept("max_input_tokens"));
    }

    #[test]
    fn numbers_keep_their_text() {
        let entries: Vec<String> = (0..1_000)
            .map(|n| format!(r#""m{n}": {{"input_cost_per_token": 1.50e-07, "mode": "chat"}}"#))
            .collect();
        let (text, models) = reduce(&format!("{{{}}}", entries.join(","))).unwrap();
        assert_eq!(models, 1_000);
        assert!(text.starts_with(r#"{"m0":{"input_cost_per_token":1.50e-07},"m1":"#));
    }

    #[test]
    fn a_file_without_models_is_refused() {
        assert!(reduce("{}").is_err());
        assert!(reduce("[]").is_err());
    }
}
