//! The table of a sweep: Markdown for a person and a README, CSV and JSON for programs.

use std::fmt::Write as _;

use lcsl_run_dir::result::RunResult;
use serde_json::{Value, json};

use super::plan::Sweep;
use crate::report::csv::field;

use super::statistics::{Paired, Spread, paired, spread};

/// How a cell ended.
#[derive(Debug, Clone)]
pub enum CellEnd {
    /// With these figures.
    Done(Box<RunResult>),
    /// Not at all: why.
    Failed(String),
}

/// The cells of a sweep that have ended, by number, in the order of the sweep.
pub type CellEnds = Vec<(usize, CellEnd)>;

/// A column of figures: its title, how it is taken from a result, and decimals.
type Column = (&'static str, fn(&RunResult) -> Option<f64>, usize);

/// Accuracies are shown in percent.
const COLUMNS: [Column; 7] = [
    ("all", |it| percent(it.accuracy.all), 2),
    ("many", |it| percent(it.accuracy.many), 2),
    ("medium", |it| percent(it.accuracy.medium), 2),
    ("few", |it| percent(it.accuracy.few), 2),
    ("ECE", |it| Some(it.ece), 3),
    ("admitted", |it| Some(it.admitted_total as f64), 0),
    ("seconds", |it| Some(it.train_seconds), 0),
];

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| 100.0 * share)
}

/// The figures of one setting in a column, by seed.
fn figures(
    sweep: &Sweep,
    outcomes: &CellEnds,
    setting: usize,
    (_, take, _): &Column,
) -> Vec<(u64, f64)> {
    let of_setting = outcomes.iter().filter(|(cell, _)| sweep.cells[*cell].setting == setting);
    let taken = of_setting.filter_map(|(cell, outcome)| match outcome {
        CellEnd::Done(result) => Some((sweep.cells[*cell].seed, take(result)?)),
        CellEnd::Failed(_) => None,
    });
    taken.collect()
}

fn mean(figures: &[(u64, f64)]) -> Option<Spread> {
    spread(&figures.iter().map(|(_, figure)| *figure).collect::<Vec<_>>())
}

/// The table in Markdown.
pub fn markdown(sweep: &Sweep, outcomes: &CellEnds) -> String {
    let titles: Vec<&str> = COLUMNS.iter().map(|column| column.0).collect();
    let baseline = &sweep.settings[sweep.baseline];
    let mut text = format!("| setting | runs | {} | against {baseline} |\n", titles.join(" | "));
    let _ = writeln!(text, "|---|---|{}---|", "---|".repeat(COLUMNS.len()));
    for (setting, name) in sweep.settings.iter().enumerate() {
        let columns: Vec<_> =
            COLUMNS.iter().map(|column| figures(sweep, outcomes, setting, column)).collect();
        let _ = write!(text, "| {name} | {} |", columns[0].len());
        for (column, figures) in COLUMNS.iter().zip(&columns) {
            let _ = write!(text, " {} |", shown(mean(figures), column.2));
        }
        let reference = figures(sweep, outcomes, sweep.baseline, &COLUMNS[0]);
        let difference = paired(&columns[0], &reference).filter(|_| setting != sweep.baseline);
        let _ = writeln!(text, " {} |", shown_difference(difference));
    }
    text.push_str(
        "\nAccuracies on the test set in percent, means over classes: mean ± standard error over the seeds;\n\
         differences of runs with the same seed, with their 95 % interval by Student's t (bold: it leaves 0 out).\n",
    );
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|(cell, outcome)| match outcome {
            CellEnd::Failed(why) => Some(format!("- {}: {why}", sweep.name(&sweep.cells[*cell]))),
            CellEnd::Done(_) => None,
        })
        .collect();
    if !failed.is_empty() {
        let _ = write!(text, "\nFailed:\n\n{}\n", failed.join("\n"));
    }
    let missing = sweep.cells.len() - outcomes.len();
    if missing > 0 {
        let _ = write!(text, "\n{missing} of {} runs have not ended yet.\n", sweep.cells.len());
    }
    text
}

fn shown(mean: Option<Spread>, decimals: usize) -> String {
    match mean {
        Some(Spread { mean, standard_error: Some(error), .. }) => {
            format!("{mean:.decimals$} ± {error:.decimals$}")
        }
        Some(Spread { mean, .. }) => format!("{mean:.decimals$}"),
        None => "–".to_owned(),
    }
}

fn shown_difference(difference: Option<Paired>) -> String {
    match difference {
        Some(paired @ Paired { mean, half_width: Some(half), .. }) => {
            let mark = if paired.differs() { "**" } else { "" };
            format!("{mark}{mean:+.2} ± {half:.2}{mark}")
        }
        Some(Paired { mean, .. }) => format!("{mean:+.2}"),
        None => String::new(),
    }
}

/// A line for each run.
pub fn csv(sweep: &Sweep, outcomes: &CellEnds) -> String {
    let titles: Vec<&str> = COLUMNS.iter().map(|column| column.0).collect();
    let mut text = format!("setting,seed,{},failed\n", titles.join(","));
    for (cell, outcome) in outcomes {
        let cell = &sweep.cells[*cell];
        let _ = write!(text, "{},{}", field(&sweep.settings[cell.setting]), cell.seed);
        for (_, take, _) in COLUMNS {
            let figure = match outcome {
                CellEnd::Done(result) => take(result).map(|figure| figure.to_string()),
                CellEnd::Failed(_) => None,
            };
            let _ = write!(text, ",{}", figure.unwrap_or_default());
        }
        let why = if let CellEnd::Failed(why) = outcome { why.as_str() } else { "" };
        let _ = writeln!(text, ",{}", field(why));
    }
    text
}

/// Everything as one object: `settings` with means, standard errors and differences, `runs` with their figures.
pub fn json(sweep: &Sweep, outcomes: &CellEnds) -> Value {
    let reference = figures(sweep, outcomes, sweep.baseline, &COLUMNS[0]);
    let settings = sweep.settings.iter().enumerate().map(|(setting, name)| {
        let means = COLUMNS.iter().map(|column| {
            let mean = mean(&figures(sweep, outcomes, setting, column));
            let value = mean.map(|Spread { count, mean, standard_error }| {
                json!({ "runs": count, "mean": mean, "standard_error": standard_error })
            });
            (column.0.to_owned(), value.unwrap_or(Value::Null))
        });
        let own = figures(sweep, outcomes, setting, &COLUMNS[0]);
        let difference = paired(&own, &reference).filter(|_| setting != sweep.baseline);
        let difference = difference.map(|Paired { mean, half_width, count }| {
            json!({ "pairs": count, "mean": mean, "half_width_95": half_width })
        });
        json!({
            "setting": name,
            "figures": means.collect::<serde_json::Map<_, _>>(),
            "against_baseline": difference,
        })
    });
    let runs = outcomes.iter().map(|(number, outcome)| {
        let cell = &sweep.cells[*number];
        let (result, failed) = match outcome {
            CellEnd::Done(result) => (json!(result), Value::Null),
            CellEnd::Failed(why) => (Value::Null, json!(why)),
        };
        json!({
            "setting": sweep.settings[cell.setting],
            "seed": cell.seed,
            "folder": cell.folder,
            "result": result,
            "failed": failed,
        })
    });
    json!({
        "baseline": sweep.settings[sweep.baseline],
        "settings": settings.collect::<Vec<_>>(),
        "runs": runs.collect::<Vec<_>>(),
        "cells": sweep.cells.len(),
    })
}
