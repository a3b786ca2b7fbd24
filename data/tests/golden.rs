//! Values written by the executable specification of the algorithm, read from the folder that
//! `LCSL_GOLDEN_DIR` names.

use std::path::PathBuf;

use lcsl_data::profile::{ProfileShape, counts};
use serde_json::Value;

fn golden(file: &str) -> Value {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests/golden");
    let path = std::env::var_os("LCSL_GOLDEN_DIR").map_or(default, PathBuf::from).join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("golden values {}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn golden_profiles() {
    let tables = golden("tables.json");
    let profiles = tables["profiles"].as_array().expect("a list of profiles");
    assert!(!profiles.is_empty());
    for profile in profiles {
        let kind = match profile["kind"].as_str() {
            Some("exp") => ProfileShape::Exponential,
            Some("step") => ProfileShape::Step,
            _ => ProfileShape::Balanced,
        };
        let classes = profile["classes"].as_u64().expect("a number of classes");
        let largest = profile["largest"].as_u64().expect("a size");
        let factor = profile["factor"].as_f64().expect("a factor");
        let expected: Vec<u64> = profile["counts"]
            .as_array()
            .expect("a list of counts")
            .iter()
            .map(|count| count.as_u64().expect("a count"))
            .collect();
        assert_eq!(counts(kind, classes as usize, largest, factor), expected, "{profile}");
    }
}
