//! Names are the field's, one for each thing.

use std::collections::BTreeMap;

use crate::sources::{Source, documents, rust, written};

/// As many public types may have one name: one on each side of a boundary.
const NAMESAKES_MAX: usize = 2;

/// Names that types had, and what is said instead. A name comes onto this list when the last type
/// of it is renamed.
const RETIRED_TYPES: &[(&str, &str)] = &[
    ("Across", "SyncBatchNorm"),
    ("Bytes", "RawBatch"),
    ("Camp", "a group of ranks that say the same"),
    ("Chunk", "EvalBatch"),
    ("Chunks", "EvalBatches"),
    ("Circumstances", "LaunchEnvironment"),
    ("Crew", "WorkerGroup"),
    ("Exam", "EvalSet"),
    ("Exams", "EvalSets"),
    ("Feed", "BatchSource"),
    ("Journal", "a recorder"),
    ("Lane", "the reducer's transport"),
    ("Lesson", "LogicalOutput"),
    ("Likeness", "a preflight check"),
    ("Material", "DataModule"),
    ("Moment", "StepIndex; Adam has moments"),
    ("Occasion", "a scope"),
    ("Opinion", "PseudoLabels"),
    ("Overlap", "the overlapped Reducer"),
    ("Part", "a file, a split, a logical batch or a variant"),
    ("Place", "HeartbeatCell"),
    ("Rank", "StepContext, or what it is of a rank"),
    ("Roll", "CorruptLog"),
    ("Seat", "RankPlacement, or RankStatus"),
    ("Sink", "the reducer's worker"),
    ("Standing", "StepStatus"),
    ("Supply", "TrainLoader"),
    ("Surroundings", "SearchPaths"),
    ("Tally", "RunningTotals"),
];

/// Words that neither a name nor a sentence has any more, in any case, also as part of a name in
/// snake case.
const RETIRED_WORDS: &[(&str, &str)] = &[
    ("camp", "group of ranks"),
    ("camps", "groups of ranks"),
    ("crew", "worker group"),
    ("crews", "worker groups"),
    ("exam", "evaluation set"),
    ("exams", "evaluation sets"),
    ("journal", "recorder"),
    ("journals", "recorders"),
    ("lesson", "output of a logical batch"),
    ("lessons", "outputs of logical batches"),
    ("likeness", "preflight check"),
    ("material", "data module, or dataset"),
    ("materials", "data modules, or datasets"),
    ("occasion", "scope"),
    ("occasions", "scopes"),
    ("opinion", "pseudo-labels"),
    ("opinions", "pseudo-labels"),
    ("seat", "placement or status of a rank"),
    ("seats", "placements or statuses of ranks"),
    ("settle", "resolve, or decide"),
    ("settled", "resolved, or decided"),
    ("settles", "resolves, or decides"),
    ("supply", "loader"),
    ("tally", "running totals"),
];

/// Lines that may have a retired word: the file, and what the line has.
const EXEMPT: &[(&str, &str)] = &[
    // The key in every checkpoint so far.
    ("trainer/src/run_dir/checkpoints.rs", "#[serde(rename = \"tally\")]"),
    // The supervisor's stage while it waits for further signs of trouble is called `Settling`.
    ("launcher/src/supervise/state.rs", "settled"),
    ("launcher/src/supervise/watch.rs", "settled"),
    ("launcher/src/supervise/processes.rs", "settled"),
];

/// What every Rust file already means something else by.
const PRELUDE: &[&str] = &[
    "AsMut",
    "AsRef",
    "Box",
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "Err",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Future",
    "Hash",
    "Into",
    "IntoFuture",
    "IntoIterator",
    "Iterator",
    "None",
    "Ok",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "Sized",
    "Some",
    "String",
    "Sync",
    "ToString",
    "Vec",
];

/// Declarations of types in a source, Rust, C or C++: name, and whether it begins with `pub` and no
/// more.
fn types(source: &Source) -> impl Iterator<Item = (String, bool)> {
    let declares: &[&str] = if source.is_rust() {
        &["struct", "enum", "trait", "type", "union"]
    } else {
        &["struct", "enum", "class", "union", "using"]
    };
    source.code().filter_map(|line| {
        let mut words = line.split_whitespace().peekable();
        let visibility = words.next_if(|word| word.starts_with("pub"));
        let is_type = declares.contains(&words.next()?);
        words.next_if(|word| ["class", "struct"].contains(word)); // `enum class`
        let name = words.next()?;
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        // `type Item = …;` inside an implementation belongs to a trait.
        let is_associated = line.starts_with(' ') && line.trim_start().starts_with("type ");
        (is_type && !is_associated).then(|| (name[..end].to_owned(), visibility == Some("pub")))
    })
}

#[test]
fn no_type_has_a_name_of_the_prelude_or_a_retired_one() {
    let mut found = Vec::new();
    for source in written().iter().filter(|source| source.is_rust() || source.is_c()) {
        for (name, _) in types(source) {
            if PRELUDE.contains(&name.as_str()) {
                found.push(format!("{}: {name} is a name of the prelude", source.name));
            }
            for (_, said) in RETIRED_TYPES.iter().filter(|(retired, _)| *retired == name) {
                found.push(format!("{}: {name} is now {said}", source.name));
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn retired_words_stay_away() {
    let mut found = Vec::new();
    let files = written().into_iter().chain(documents());
    for source in files.filter(|source| !source.is_style_test()) {
        for (number, line) in source.text.lines().enumerate() {
            let is_exempt =
                |(file, words): &(&str, &str)| source.name == *file && line.contains(words);
            if EXEMPT.iter().any(is_exempt) {
                continue;
            }
            let words = line.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            for word in words {
                for (_, said) in RETIRED_WORDS.iter().filter(|(retired, _)| *retired == word) {
                    found.push(format!("{}:{}: {word}; say: {said}", source.name, number + 1));
                }
            }
        }
    }
    assert_eq!(found, [""; 0]);
}

/// Story: five public types were called `Kind` and three `Progress`. A reader of one file could not
/// tell which it meant.
#[test]
fn a_name_is_that_of_at_most_two_public_types() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in rust().iter().filter(|source| source.name.contains("/src/")) {
        for (name, _) in types(source).filter(|(_, is_public)| *is_public) {
            files.entry(name).or_default().push(source.name.clone());
        }
    }
    files.retain(|_, files| files.len() > NAMESAKES_MAX);
    assert!(files.is_empty(), "public types of one name: {files:#?}");
}
