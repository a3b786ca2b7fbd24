//! A manifest: one that is accepted adds up, and is the same when it is written and read again.

use lcsl_data::prepare::DatasetManifest;

/// Reads `bytes` as a manifest.
pub fn run(bytes: &[u8]) -> bool {
    let Ok(manifest) = DatasetManifest::parse(bytes) else { return false };
    for split in &manifest.parts {
        assert!(["train", "val", "test"].contains(&split.name.as_str()), "split {:?}", split.name);
        assert_eq!(split.counts.len(), manifest.class_names.len(), "classes of {}", split.name);
        let sum: u128 = split.counts.iter().map(|&count| u128::from(count)).sum();
        assert_eq!(sum, u128::from(split.images), "images of {}", split.name);
    }
    let text = serde_json::to_vec_pretty(&manifest).expect("plain values become JSON");
    assert_eq!(DatasetManifest::parse(&text), Ok(manifest));
    true
}
