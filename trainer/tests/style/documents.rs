//! What the documents say of the tree is true of it.

use std::fs;

use crate::sources::{paths, root};

const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"];

/// What looks like a path of the project and is one of a run directory, a dataset or a build.
const ELSEWHERE: &[&str] = &[
    ".deps/",
    ".deps/libtorch",
    "RUN/config.toml",
    "checkpoints/",
    "config.toml",
    "logs/rank-N.log",
    "manifest.json",
    "metrics.jsonl",
    "ranks.json",
    "result.json",
    "runs/",
    "src/graph/tuning.cc", // of NCCL
    "test/",
    "train/",
    "val/",
];

/// Text between backticks, outside blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|prose| prose.split('`').skip(1).step_by(2)).collect()
}

/// A path has folders, or an extension that one of our files has.
fn is_path(word: &str) -> bool {
    let of_a_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let extensions = ["c", "cpp", "h", "json", "jsonl", "md", "py", "rs", "sh", "toml"];
    let is_file = word.rsplit_once('.').is_some_and(|(_, end)| extensions.contains(&end));
    word.chars().all(of_a_path) && !word.starts_with('/') && (word.contains('/') || is_file)
}

/// A path may begin in the middle (`engine/run/digest.rs`), where the sentence is about that
/// folder.
#[test]
fn paths_in_the_documents_exist() {
    let paths = paths();
    let exists = |word: &str| {
        let end = format!("/{}", word.trim_end_matches('/'));
        root().join(word).exists() || paths.iter().any(|path| path.ends_with(&end))
    };
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let words: Vec<&str> = quoted(&text).into_iter().filter(|word| is_path(word)).collect();
        let of_document = words.iter().filter(|word| !ELSEWHERE.contains(word) && !exists(word));
        missing.extend(of_document.map(|word| format!("{document}: {word}")));
    }
    assert_eq!(missing, [""; 0], "these are not there");
}
