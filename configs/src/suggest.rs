//! The nearest known name to one that is not known.

use crate::keys::KEYS;

/// Two names closer than this are taken for a typing mistake; 1 is the same name.
const CLOSE: f64 = 0.8;

/// The nearest of `known` to `name`, if any is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    best(known.into_iter().map(|candidate| {
        // The first part of a name, such as "resnet-34", stands for the whole of it.
        let is_beginning = name.len() >= 3 && squeezed(candidate).starts_with(&squeezed(name));
        let closeness = if is_beginning { 1.0 } else { strsim::jaro_winkler(name, candidate) };
        (candidate, closeness)
    }))
}

fn squeezed(name: &str) -> String {
    name.replace(['_', '-'], "")
}

/// The path of the key nearest to `path`: by the whole path, by its last part, or by the name of a
/// flag.
pub(crate) fn nearest_key(path: &str) -> Option<&'static str> {
    let leaf = path.rsplit('.').next().unwrap_or(path);
    best(KEYS.iter().map(|key| {
        let by_leaf = key
            .flags
            .iter()
            .copied()
            .chain([key.name()])
            .map(|name| strsim::jaro_winkler(leaf, name));
        // A full path that is nearly right says more than a last part that is quite right.
        let closeness =
            by_leaf.map(|close| close * 0.97).fold(strsim::jaro_winkler(path, key.path), f64::max);
        (key.path, closeness)
    }))
}

/// The first of the closest names, so that ties fall to the order of the table.
fn best<'a>(names: impl Iterator<Item = (&'a str, f64)>) -> Option<&'a str> {
    let mut best: Option<(&str, f64)> = None;
    for (name, closeness) in names {
        if closeness >= CLOSE && best.is_none_or(|(_, so_far)| closeness > so_far) {
            best = Some((name, closeness));
        }
    }
    best.map(|(name, _)| name)
}
