//! From the file of a sweep to its cells, each of which is a run.
//!
//! ```toml
//! flags = ["--config=demo"]                  # of every run, as for `lcsl train`
//! seeds = [0, 1, 2]                          # default: 0 alone
//! seed_keys = ["run.seed", "data.selection_seed"]    # what a seed sets; default: run.seed
//! baseline = "ce"                            # what the others are compared with; default: the first setting
//! same_code = ["0.1.0 0123456789ab"]         # other codes whose recorded runs count; default: none
//!
//! [grid]                                     # every combination of these values
//! "data.imb_factor" = [0.01, 0.02]
//!
//! [[rows]]                                   # and of each of these
//! name = "ce"
//! flags = ["--method=ce"]
//! ```

use std::collections::BTreeMap;

use lcsl_config::Problem;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepFile {
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default = "one_seed")]
    seeds: Vec<u64>,
    #[serde(default = "key_of_seed")]
    seed_keys: Vec<String>,
    baseline: Option<String>,
    #[serde(default)]
    same_code: Vec<String>,
    #[serde(default)]
    grid: BTreeMap<String, Vec<toml::Value>>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    flags: Vec<String>,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

fn key_of_seed() -> Vec<String> {
    vec!["run.seed".to_owned()]
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// Names of the settings, each of which is trained with every seed.
    pub settings: Vec<String>,
    /// The one that the others are compared with.
    pub baseline: usize,
    /// Other codes whose recorded runs are as good as those of this one, for what changed since changes no result.
    pub same_code: Vec<String>,
    /// All runs, setting by setting.
    pub cells: Vec<Cell>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Which setting.
    pub setting: usize,
    /// Its seed.
    pub seed: u64,
    /// Its run directory, below that of the sweep.
    pub folder: String,
    /// Its flags, as for `lcsl train`.
    pub flags: Vec<String>,
}

impl Sweep {
    /// What a person calls a cell.
    pub fn name(&self, cell: &Cell) -> String {
        format!("{}, seed {}", self.settings[cell.setting], cell.seed)
    }
}

/// Reads the file at `place`.
///
/// # Errors
/// Everything that is wrong with it, but for the flags, which `lcsl train` knows.
pub fn read(text: &str, place: &str) -> Result<Sweep, Vec<Problem>> {
    let file: SweepFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        let hint = "a sweep has flags, seeds, seed_keys, baseline, same_code, [grid] and [[rows]]; \
                    `lcsl sweep --help` shows one";
        vec![Problem {
            what: format!("line {line}: {what}"),
            place: place.to_owned(),
            hint: Some(hint.to_owned()),
        }]
    })?;
    let mut problems = Vec::new();
    let mut problem = |what: String, hint: &str| {
        problems.push(Problem { what, place: place.to_owned(), hint: Some(hint.to_owned()) });
    };
    let combinations = combinations(&file.grid, &mut problem);
    if file.seeds.is_empty() {
        problem("there are no seeds".to_owned(), "give at least one, or leave seeds out");
    }
    let nameless = [Row { name: String::new(), flags: Vec::new() }];
    let rows = if file.rows.is_empty() { &nameless[..] } else { &file.rows };
    let mut sweep = Sweep {
        settings: Vec::new(),
        baseline: 0,
        same_code: file.same_code.clone(),
        cells: Vec::new(),
    };
    for (row, combination) in
        rows.iter().flat_map(|row| combinations.iter().map(move |it| (row, it)))
    {
        let setting = setting_name(&row.name, combination);
        if sweep.settings.contains(&setting) {
            problem(format!("{setting} is there twice"), "give each row a name of its own");
            continue;
        }
        let number = sweep.settings.len();
        sweep.cells.extend(
            file.seeds.iter().map(|seed| cell(&file, row, combination, (number, &setting), *seed)),
        );
        sweep.settings.push(setting);
    }
    if let Some(name) = &file.baseline {
        match sweep.settings.iter().position(|setting| setting == name) {
            Some(place) => sweep.baseline = place,
            None => problem(
                format!("baseline {name:?} is no setting"),
                &format!("they are: {}", sweep.settings.join("; ")),
            ),
        }
    }
    if problems.is_empty() { Ok(sweep) } else { Err(problems) }
}

/// Keys and values, as `--set` takes them.
type Combination = Vec<(String, String)>;

/// Every combination of the values of a grid: one, of nothing, where there is no grid.
fn combinations(
    grid: &BTreeMap<String, Vec<toml::Value>>,
    problem: &mut dyn FnMut(String, &str),
) -> Vec<Combination> {
    let mut combinations: Vec<Combination> = vec![Vec::new()];
    for (key, values) in grid {
        if values.is_empty() {
            problem(format!("{key} has no values"), "give at least one, or leave it out");
            continue;
        }
        let words: Vec<String> = values.iter().filter_map(word).collect();
        if words.len() < values.len() {
            let hint = "a value is a number, true or false, or a word in quotes";
            problem(format!("{key} has a value that no key can have"), hint);
        }
        let with = |before: &Combination, word: &String| {
            let mut all = before.clone();
            all.push((key.clone(), word.clone()));
            all
        };
        combinations = combinations
            .iter()
            .flat_map(|before| words.iter().map(|word| with(before, word)).collect::<Vec<_>>())
            .collect();
    }
    combinations
}

/// The run of a row and a combination with one seed; `setting` is their number and name.
fn cell(
    file: &SweepFile,
    row: &Row,
    combination: &Combination,
    setting: (usize, &str),
    seed: u64,
) -> Cell {
    let mut flags = [file.flags.as_slice(), &row.flags].concat();
    let seeds = file.seed_keys.iter().map(|key| (key.clone(), seed.to_string()));
    for (key, value) in combination.iter().cloned().chain(seeds) {
        flags.extend(["--set".to_owned(), format!("{key}={value}")]);
    }
    let folder = format!("{}/seed-{seed}", folder_name(setting.1));
    Cell { setting: setting.0, seed, folder, flags }
}

/// A value as `--set` takes it.
fn word(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => {
            Some(value.to_string())
        }
        _ => None,
    }
}

/// The row's name, and the values of the grid behind it.
fn setting_name(row: &str, combination: &[(String, String)]) -> String {
    let values = combination.iter().map(|(key, value)| {
        let key = key.split_once('.').map_or(key.as_str(), |(_, name)| name);
        format!("{key}={value}")
    });
    let words: Vec<String> =
        [row.to_owned()].into_iter().filter(|name| !name.is_empty()).chain(values).collect();
    if words.is_empty() { "all".to_owned() } else { words.join(" ") }
}

/// A name that every file system takes.
fn folder_name(setting: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.=+".contains(letter);
    setting.chars().map(|letter| if plain(letter) { letter } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_grid_and_seeds_make_cells() {
        let text = r#"
            flags = ["--config=demo"]
            seeds = [3, 4]
            seed_keys = ["run.seed", "data.selection_seed"]
            baseline = "lcsl imb_factor=0.02"
            [grid]
            "data.imb_factor" = [0.01, 0.02]
            [[rows]]
            name = "ce"
            flags = ["--method=ce"]
            [[rows]]
            name = "lcsl"
        "#;
        let sweep = read(text, "s.toml").unwrap();
        let settings = [
            "ce imb_factor=0.01",
            "ce imb_factor=0.02",
            "lcsl imb_factor=0.01",
            "lcsl imb_factor=0.02",
        ];
        assert_eq!(
            (sweep.settings.as_slice(), sweep.baseline),
            (&settings.map(str::to_owned)[..], 3)
        );
        assert_eq!(sweep.cells.len(), 8);
        let Cell { setting, seed, folder, flags } = &sweep.cells[3];
        assert_eq!((*setting, *seed, folder.as_str()), (1, 4, "ce_imb_factor=0.02/seed-4"));
        assert_eq!(
            flags.join(" "),
            "--config=demo --method=ce --set data.imb_factor=0.02 --set run.seed=4 --set data.selection_seed=4"
        );
        assert_eq!(sweep.name(&sweep.cells[3]), "ce imb_factor=0.02, seed 4");
    }

    #[test]
    fn a_file_of_flags_alone_is_one_run() {
        let sweep = read("flags = ['--config=smoke']", "s.toml").unwrap();
        assert_eq!(
            (sweep.settings, sweep.cells[0].folder.as_str()),
            (vec!["all".to_owned()], "all/seed-0")
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let said = |text: &str| {
            let problems = read(text, "s.toml").unwrap_err();
            problems.iter().map(|it| it.what.clone()).collect::<Vec<_>>().join("\n")
        };
        let text = "seeds = []\nbaseline = 'no'\n[grid]\n'train.lr' = []\n'train.method' = [[1]]\n\
                    [[rows]]\nname = 'a'\n[[rows]]\nname = 'a'\n";
        insta::assert_snapshot!(said(text), @r#"
        train.lr has no values
        train.method has a value that no key can have
        there are no seeds
        baseline "no" is no setting
        "#);
        insta::assert_snapshot!(said("[[rows]]\nname = 'a'\n[[rows]]\nname = 'a'\n"), @"a is there twice");
        assert!(said("\nflag = 3").starts_with("line 2: unknown field `flag`"));
        assert!(said("flags = [").starts_with("line 1: "));
    }
}
