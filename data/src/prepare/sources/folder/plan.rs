//! From the folder of images to a plan. Classes are numbered in the order of their names' bytes.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use lcsl_text::{counted, counted_as};

use super::hold_out::{select, test_part, use_of_parts};
use super::layout::{Layout, understand};
use super::walk::{Folder, Met, walk};
use super::{HINT, HINT_WITHOUT_CLASSES};
use crate::prepare::error::PrepareError;
use crate::prepare::plan::{Item, PlannedSplit, PreparePlan};
use crate::prepare::request::PrepareRequest;

const LAYOUT_HINT: &str = "parts are called train/, val/ and test/, and each has a folder for each class; \
    where every folder is a class, put them all into a folder train/; or name another folder with --root";

/// So many names are given in a sentence.
const NAMED_MAX: usize = 5;

/// Plans from the files under the request's root.
///
/// # Errors
/// When there are no classes, a class has no image, what is there can be understood in more than one
/// way, or the selection asks for more than there is.
pub fn plan(request: &PrepareRequest) -> Result<PreparePlan, PrepareError> {
    let root = &request.root;
    let mut met = Met::default();
    let tree = walk(root, &mut met)?;
    if request.without_classes {
        return unlabelled(&tree, met, request);
    }
    if tree.folders.is_empty() {
        let what = format!("{} has no sub-folders that could be classes", root.display());
        return Err(PrepareError::WrongFolder { what, hint: HINT.to_owned() });
    }
    let refused = |problems, hint| PrepareError::Problems { root: root.clone(), problems, hint };
    let Layout { parts, notes, mut warnings } =
        understand(&tree).map_err(|problems| refused(problems, LAYOUT_HINT))?;
    warnings.extend(passed_over(&met.others));
    warnings.extend(read_once(&met.read_once));
    let classes = parts.iter().flat_map(|(.., part)| &part.folders).map(|class| class.name.clone());
    let mut class_names: Vec<String> = classes.collect();
    class_names.sort();
    class_names.dedup();
    if let [only] = &class_names[..] {
        warnings.push(format!("there is a single class, {only}"));
    }
    let mut splits = Vec::new();
    for (name, prefix, part) in parts {
        let mut items = Vec::new();
        for class in &part.folders {
            let label = class_names.binary_search(&class.name).expect("every class was collected");
            items.extend(items_of(class, &format!("{prefix}{}/", class.name), label as u32));
        }
        splits.push(PlannedSplit { name, items });
    }
    let mut plan =
        PreparePlan { class_names, splits, lists: Vec::new(), warnings, notes, left_out: 0 };
    plan.find_empty_classes(&mut met.problems);
    if !met.problems.is_empty() {
        return Err(refused(met.problems, HINT));
    }
    test_part(&mut plan, request)?;
    select(&mut plan, request)?;
    plan.notes.push(use_of_parts(&plan));
    Ok(plan)
}

/// Everything below the root as one part of one class.
fn unlabelled(
    tree: &Folder,
    met: Met,
    request: &PrepareRequest,
) -> Result<PreparePlan, PrepareError> {
    let Met { others, read_once: again, problems } = met;
    let root = &request.root;
    if !problems.is_empty() {
        let hint = HINT_WITHOUT_CLASSES;
        return Err(PrepareError::Problems { root: root.clone(), problems, hint });
    }
    let items: Vec<Item> = items_of(tree, "", 0).collect();
    if items.is_empty() {
        let what = format!("{} holds no images", root.display());
        let hint = HINT_WITHOUT_CLASSES.to_owned();
        return Err(PrepareError::WrongFolder { what, hint });
    }
    let images = counted(items.len() as u64, "unlabelled image");
    let note = format!("{images}; `lcsl train --unlabelled` takes them");
    Ok(PreparePlan {
        class_names: vec!["unlabelled".to_owned()],
        splits: vec![PlannedSplit { name: "train", items }],
        lists: Vec::new(),
        warnings: passed_over(&others).into_iter().chain(read_once(&again)).collect(),
        notes: vec![note],
        left_out: 0,
    })
}

/// All images of a folder and below it, as if files and folders had been met in the order of their names.
fn items_of(folder: &Folder, prefix: &str, label: u32) -> impl Iterator<Item = Item> {
    let mut paths = Vec::new();
    folder.add_paths(prefix, &mut paths);
    paths.sort_by(|one, other| one.split('/').cmp(other.split('/')));
    paths.into_iter().map(move |name| Item { name, label, number: 0 })
}

/// What is said of folders that several links lead to.
fn read_once(folders: &[String]) -> Option<String> {
    let count = counted_as(folders.len() as u64, "folder is", "folders are");
    let text = format!("{count} met again through links, and read once: {}", first(folders));
    (!folders.is_empty()).then_some(text)
}

/// What is said of files that are not images by their names.
fn passed_over(others: &BTreeMap<String, u64>) -> Option<String> {
    let mut kinds: Vec<(&String, u64)> =
        others.iter().map(|(ending, files)| (ending, *files)).collect();
    kinds.sort_by_key(|(_, files)| Reverse(*files));
    let kind = |(ending, files): &(&String, u64)| match ending.as_str() {
        "" => format!("{files} without an ending"),
        ending => format!("{files} .{ending}"),
    };
    let files: u64 = others.values().sum();
    let words = counted_as(
        files,
        "file is not an image by its name",
        "files are not images by their names",
    );
    let kinds: Vec<String> = kinds.iter().map(kind).collect();
    (files > 0).then(|| format!("{words}, and passed over: {}", first(&kinds)))
}

/// The first few of many names.
pub(super) fn first<T: AsRef<str>>(names: &[T]) -> String {
    let (named, more) = names.split_at(names.len().min(NAMED_MAX));
    let mut text = named.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if !more.is_empty() {
        let _ = write!(text, " and {} more", more.len());
    }
    text
}
