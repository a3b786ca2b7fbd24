//! Layers of values, the later over the earlier, each value with its origin; and every problem met
//! on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::keys::{self, KEYS, Key};
use crate::origin::{Origin, Origins};
use crate::presets::DEFAULT;
use crate::problem::Problem;
use crate::suggest;
use crate::value::{self, Value, Wrong};

/// The values so far, by path. A value that does not pass its check leaves the one beneath it in
/// place, so that the checks between keys can still go on, without those that touch a key in `bad`.
#[derive(Default)]
pub(crate) struct Layers {
    entries: BTreeMap<&'static str, (Value, Origin)>,
    /// Everything wrong so far.
    pub(crate) problems: Vec<Problem>,
    /// Keys of which a written value was refused.
    pub(crate) bad: BTreeSet<&'static str>,
    /// Whether a whole layer is missing, so that checks between keys would mislead.
    pub(crate) incomplete: bool,
}

impl Layers {
    /// Lays one TOML document on top. `origin_at` tells the origin of a value by its line, counted
    /// from 1.
    pub(crate) fn lay_toml(&mut self, text: &str, origin_at: &dyn Fn(usize) -> Origin) {
        let (table, mut errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            self.incomplete = true;
            errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
            self.problems.extend(errors.iter().map(|error| {
                let line = line_at(text, error.span().map_or(0, |span| span.start));
                let what = error.message().lines().collect::<Vec<_>>().join(", ");
                Problem::new(format!("not valid TOML: {what}"), origin_at(line))
            }));
            return;
        }
        let mut settings = Vec::new();
        flatten("", table.get_ref(), &mut settings);
        settings.sort_by_key(|setting| setting.span.start);
        for Setting { path, value, span } in settings {
            let origin = origin_at(line_at(text, span.start));
            match keys::find(&path) {
                Some(key) => self.put(key, value::from_toml(key, value, &text[span]), origin),
                None => self.problems.push(unknown_key(&path, origin)),
            }
        }
    }

    /// The defaults alone.
    pub(crate) fn of_defaults() -> Self {
        let mut layers = Self::default();
        layers.lay_toml(DEFAULT, &|_| Origin::Default);
        layers
    }

    /// Takes the values at these paths from `other`, where nobody has written one here.
    pub(crate) fn fill_in(&mut self, other: &Self, paths: &[&'static str]) {
        for path in paths.iter().filter(|path| !self.bad.contains(*path)) {
            if let Some(entry) = other.entries.get(path) {
                self.entries.entry(path).or_insert_with(|| entry.clone());
            }
        }
    }

    /// Lays one value, written as text on the command line, on top.
    pub(crate) fn lay_text(&mut self, key: &'static Key, text: &str, origin: Origin) {
        self.put(key, value::from_text(key, text), origin);
    }

    /// Lays `PATH=VALUE` of `--set` on top; quotes around the value, as TOML would want them, are
    /// allowed.
    pub(crate) fn lay_assignment(&mut self, assignment: &str) {
        let parts = assignment.split_once('=').map(|(path, text)| (path.trim(), text.trim()));
        let Some((path, text)) = parts.filter(|(path, _)| !path.is_empty()) else {
            let what = format!("\"{assignment}\" is no assignment");
            let hint = "write --set KEY=VALUE, such as --set train.lr=0.1";
            self.problems.push(Problem::new(what, "flag --set").hint(hint));
            return;
        };
        let unquoted =
            text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let origin = Origin::Set(path.into());
        match keys::find(path) {
            Some(key) => self.lay_text(key, unquoted, origin),
            None => self.problems.push(unknown_key(path, origin)),
        }
    }

    fn put(&mut self, key: &'static Key, checked: Result<Value, Wrong>, origin: Origin) {
        match checked {
            Ok(value) => {
                self.entries.insert(key.path, (value, origin));
            }
            Err(Wrong { what, hint }) => {
                self.bad.insert(key.path);
                self.problems.push(Problem { what, place: origin.to_string(), hint });
            }
        }
    }

    /// The value at `path`, if any layer has set it.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        self.entries.get(path).map(|(value, _)| value)
    }

    /// Where the value at `path` came from.
    pub(crate) fn origin(&self, path: &str) -> Option<&Origin> {
        self.entries.get(path).map(|(_, origin)| origin)
    }

    /// Whether `"auto"` stands at `path`.
    pub(crate) fn is_auto(&self, path: &str) -> bool {
        self.get(path) == Some(&Value::Auto)
    }

    /// Puts `value` in the place of the `"auto"` at `path`.
    pub(crate) fn resolve(&mut self, path: &'static str, value: Value, because: String) {
        if let Some((auto, origin)) = self.entries.get_mut(path) {
            *auto = value;
            let asked = Box::new(std::mem::replace(origin, Origin::Default));
            *origin = Origin::Auto { asked, because };
        }
    }

    /// Puts `value` in the place of another name for it at `path`.
    pub(crate) fn rename(&mut self, path: &'static str, value: Value) {
        if let Some((other, _)) = self.entries.get_mut(path) {
            *other = value;
        }
    }

    /// The origin of every value.
    pub(crate) fn origins(&self) -> Origins {
        Origins(self.entries.iter().map(|(path, (_, origin))| (*path, origin.clone())).collect())
    }

    /// All values as one TOML table of sections.
    pub(crate) fn to_table(&self) -> toml::Table {
        let mut table = toml::Table::new();
        for key in KEYS {
            let Some(value) = self.get(key.path) else {
                continue;
            };
            let section = table.entry(key.section()).or_insert_with(|| toml::Table::new().into());
            let section =
                section.as_table_mut().expect("sections are tables and no key is named like one");
            section.insert(key.name().into(), value.to_toml());
        }
        table
    }
}

/// One value of a TOML document that stands where a key may stand.
struct Setting<'document> {
    path: String,
    value: &'document DeValue<'document>,
    /// The bytes of the value in the document's text.
    span: Range<usize>,
}

fn flatten<'document>(
    prefix: &str,
    table: &'document DeTable<'document>,
    settings: &mut Vec<Setting<'document>>,
) {
    for (name, value) in table {
        let path = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner)
                if keys::find(&path).is_none() && (is_section(&path) || !inner.is_empty()) =>
            {
                flatten(&format!("{path}."), inner, settings);
            }
            other => settings.push(Setting { path, value: other, span: value.span() }),
        }
    }
}

fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.section() == path)
}

fn unknown_key(path: &str, origin: Origin) -> Problem {
    if is_section(path) {
        return Problem::new(format!("{path} is a section, not a key"), origin)
            .hint(format!("write [{path}] and its keys below it, or --set {path}.KEY=VALUE"));
    }
    let problem = Problem::new(format!("unknown key {path}"), origin);
    match suggest::nearest_key(path) {
        Some(key) => problem.hint(format!("did you mean {key}?")),
        None => problem.hint("configs/default.toml lists every key"),
    }
}

/// The line, counted from 1, of the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
