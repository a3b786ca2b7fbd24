//! iNaturalist 2018 (Van Horn et al., "The iNaturalist species classification and detection
//! dataset", CVPR 2018): 437,513 training and 24,426 validation images of 8,142 species.
//!
//! `train2018.json` and `val2018.json` beside the folder `train_val2018/`. The labels of the test
//! images were never published: papers test on the validation images, and so does this plan.
//!
//! ```text
//! {"images": [{"id": 1, "file_name": "train_val2018/Plantae/7477/3b6.jpg", …}, …],
//!  "annotations": [{"image_id": 1, "category_id": 7477, …}, …],
//!  "categories": [{"id": 0, "name": "Achatina fulica", …}, …]}
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::lists::{find_missing, git_blob, inside, read_bounded, text_of};
use crate::prepare::error::PrepareError;
use crate::prepare::manifest::ListFile;
use crate::prepare::plan::{Item, PlannedSplit, PreparePlan};
use crate::prepare::problems::DataProblems;

/// Number of species, and the published number of images of each split.
pub const CLASSES: usize = 8142;
/// The published number of images of each split.
pub const SIZES: [(&str, usize); 2] = [("train", 437_513), ("test", 24_426)];

const FILES: [(&str, &str); 2] = [("train", "train2018.json"), ("test", "val2018.json")];
const HINT: &str = "--root names a folder with train_val2018/, train2018.json and val2018.json of \
    https://github.com/visipedia/inat_comp/tree/master/2018";

#[derive(Deserialize)]
struct Json {
    images: Vec<ImageEntry>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct ImageEntry {
    id: u64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: u64,
    category_id: u64,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// Plans from the files under `root`.
///
/// # Errors
/// When the folder is another one, or files and images do not fit; with `official`, also when they
/// are not the published ones.
pub fn plan(root: &Path, official: bool) -> Result<PreparePlan, PrepareError> {
    if !root.join(FILES[0].1).is_file() {
        let what = format!("{} holds no {}", root.display(), FILES[0].1);
        return Err(PrepareError::WrongFolder { what, hint: HINT.to_owned() });
    }
    let mut problems = DataProblems::default();
    let mut plan = PreparePlan {
        class_names: Vec::new(),
        splits: Vec::new(),
        lists: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        left_out: 0,
    };
    for (name, file) in FILES {
        let path = root.join(file);
        let content = read_bounded(&path)?;
        let json: Json = serde_json::from_str(&text_of(&path, &content)?).map_err(|error| {
            let what = format!("{} cannot be understood: {error}", path.display());
            PrepareError::WrongFolder { what, hint: HINT.to_owned() }
        })?;
        let git_blob = git_blob(&content);
        if name == "train" {
            plan.class_names = class_names(&json.categories, file, &mut problems);
        }
        let items = items(json, (root, file), plan.class_names.len(), &mut problems);
        find_missing(root, &items, &mut problems);
        let entries = items.len() as u64;
        plan.lists.push(ListFile { file: file.to_owned(), entries, git_blob });
        plan.splits.push(PlannedSplit { name, items });
    }
    plan.find_empty_classes(&mut problems);
    for (part, (_, published)) in plan.splits.iter().zip(SIZES) {
        let found = part.items.len();
        if found != published {
            let what = format!("split {} has {found} images instead of {published}", part.name);
            plan.warnings.push(what);
        }
    }
    if plan.class_names.len() != CLASSES {
        let found = plan.class_names.len();
        plan.warnings.push(format!("there are {found} classes instead of {CLASSES}"));
    }
    if official {
        for warning in &plan.warnings {
            problems.add("differences from the published dataset", warning.clone());
        }
    }
    if problems.is_empty() {
        return Ok(plan);
    }
    Err(PrepareError::Problems { root: root.to_owned(), problems, hint: HINT })
}

fn class_names(categories: &[Category], file: &str, problems: &mut DataProblems) -> Vec<String> {
    let mut names = vec![None; categories.len()];
    for category in categories {
        if let Some(name @ None) = names.get_mut(category.id as usize) {
            *name = Some(category.name.clone());
        } else {
            let what = format!("{file}: category {} of {}", category.id, categories.len());
            problems.add("categories that are not numbered from 0", what);
        }
    }
    names.into_iter().map(Option::unwrap_or_default).collect()
}

fn items(
    json: Json,
    (root, file): (&Path, &str),
    classes: usize,
    problems: &mut DataProblems,
) -> Vec<Item> {
    let mut labels = BTreeMap::new();
    for annotation in &json.annotations {
        if annotation.category_id >= classes as u64 {
            let (image, label) = (annotation.image_id, annotation.category_id);
            let what = format!("{file}: image {image} has label {label} of {classes}");
            problems.add("labels out of range", what);
        } else if labels.insert(annotation.image_id, annotation.category_id as u32).is_some() {
            let what = format!("{file}: image {}", annotation.image_id);
            problems.add("images with two labels", what);
        }
    }
    let mut items = Vec::new();
    for image in json.images {
        let Some(label) = labels.remove(&image.id) else {
            let what = format!("{file}: image {}, or it is listed twice", image.id);
            problems.add("images without a label", what);
            continue;
        };
        match inside(root, &image.file_name) {
            Ok(name) => items.push(Item { name, label, number: 0 }),
            Err(why) => {
                let what = format!("{file}: {why}: {}", image.file_name);
                problems.add("names that cannot be used", what);
            }
        }
    }
    for (image, _) in labels {
        problems.add("labels without an image", format!("{file}: image {image}"));
    }
    items
}
