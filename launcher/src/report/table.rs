//! Figures as a table for a person.

use std::fmt::Write as _;
use std::path::Path;

use lcsl_config::Method;
use lcsl_run_dir::names::RESULT;
use lcsl_run_dir::result::{
    Accuracy, Calibrated, ClassRow, Corrupt, Evaluated, PeakMemory, RunResult, UnlabelledTotals,
};

/// More classes than this are not listed: the file with all of them is named instead.
const CLASSES_LISTED_MAX: usize = 30;

/// The end of a training run.
pub fn of_run(result: &RunResult, run_dir: &Path) -> String {
    let file = run_dir.join(RESULT);
    let mut text = format!(
        "{} under protocol {} (model selected on {}), accuracy on test images\n\n",
        method(result),
        result.protocol,
        result.selected_on
    );
    let (plain, normalised) = (&result.as_trained, &result.tau_normalised);
    let normalised_name = format!("tau {}", normalised.tau);
    let mut columns = vec![
        ("as trained".to_owned(), &plain.accuracy),
        (normalised_name.clone(), &normalised.accuracy),
    ];
    let adjusted_name = |tau: f64| format!("adjust {tau}");
    columns.extend(result.adjusted.iter().map(|it| (adjusted_name(it.tau), &it.accuracy)));
    text.push_str(&groups(&columns));
    let selected = match (result.classifier_tau, result.classifier_adjustment) {
        (tau, _) if tau > 0.0 => normalised_name,
        (_, tau) if tau > 0.0 => adjusted_name(tau),
        _ => "as trained".to_owned(),
    };
    let _ = writeln!(text, "\nselected classifier: {selected}; its accuracies are the result\n");
    text.push_str(&classes(&result.per_class, &file));
    let rows = [
        ("training images", grouped(result.train_images)),
        ("steps", grouped(result.steps)),
        (
            "pseudo-labels",
            format!("{} admitted, policy {}", grouped(result.admitted_total), result.policy),
        ),
        ("calibration error", calibration(result)),
        ("ranks", ranks(result)),
        ("images/s", grouped(result.images_per_second.round() as u64)),
        ("training time", duration(result.train_seconds)),
    ];
    let place = ("run directory", run_dir.display().to_string());
    let corrupt = corrupt(&result.corrupt).map(|value| ("corrupt, left out", value));
    let unlabelled = result.unlabelled.as_ref().map(|it| ("unlabelled", unlabelled(it)));
    let memory = result.peak_memory.map(|peak| ("memory of a rank", memory(peak)));
    for (name, value) in
        corrupt.into_iter().chain(unlabelled).chain(rows).chain(memory).chain([place])
    {
        let _ = writeln!(text, "{name:<18} {value}");
    }
    text
}

/// The calibration error, and what it is with a temperature.
fn calibration(result: &RunResult) -> String {
    let plain = decimal(Some(result.ece));
    result.calibrated.map_or(plain.clone(), |Calibrated { temperature, ece, .. }| {
        format!("{plain}; {} with logits divided by {temperature:.3}", decimal(Some(ece)))
    })
}

/// The most that a rank had at a time.
fn memory(PeakMemory { host_bytes, gpu_bytes }: PeakMemory) -> String {
    let mib = |bytes: u64| format!("{} MiB", grouped(bytes.div_ceil(1 << 20)));
    match gpu_bytes {
        0 => format!("{} at most", mib(host_bytes)),
        _ => format!("{} at most, and {} of its GPU", mib(host_bytes), mib(gpu_bytes)),
    }
}

/// Images that were skipped, if there were any. Epochs may differ, as a corrupt place may lie outside
/// the window that one of them looks at.
fn corrupt(Corrupt { training, validation, test }: &Corrupt) -> Option<String> {
    let (least, most) = (training.iter().min().copied(), training.iter().max().copied());
    let (least, most) = (least.unwrap_or(0), most.unwrap_or(0));
    if most + validation + test == 0 {
        return None;
    }
    let range = if least == most {
        grouped(most)
    } else {
        format!("{} to {}", grouped(least), grouped(most))
    };
    let (validation, test) = (grouped(*validation), grouped(*test));
    Some(format!("{range} of an epoch's images, {validation} of validation, {test} of test"))
}

/// Unlabelled images, and how often they were admitted; rightly, where somebody knows.
fn unlabelled(UnlabelledTotals { images, admitted, right }: &UnlabelledTotals) -> String {
    let admitted: u64 = admitted.iter().sum();
    let text = format!("{}, admitted {}", counted(*images, "image"), counted(admitted, "time"));
    match right {
        Some(right) if admitted > 0 => {
            let share = 100.0 * right.iter().sum::<u64>() as f64 / admitted as f64;
            format!("{text}, {share:.1} % of them rightly")
        }
        _ => text,
    }
}

/// The answer of `lcsl eval`; `source` says where all figures are when there are too many to list.
pub fn of_evaluation(evaluated: &Evaluated, run_dir: &Path) -> String {
    let mut text = format!("accuracy on {} images of {}\n\n", evaluated.split, run_dir.display());
    text.push_str(&groups(&[(evaluated.split.clone(), &evaluated.accuracy)]));
    text.push('\n');
    if evaluated.per_class.len() > CLASSES_LISTED_MAX {
        let count = evaluated.per_class.len();
        let _ = writeln!(text, "{count} classes: --json lists each of them\n");
    } else {
        text.push_str(&class_table(&evaluated.per_class));
    }
    if evaluated.corrupt > 0 {
        let _ = writeln!(text, "{:<18} {}", "corrupt, left out", grouped(evaluated.corrupt));
    }
    let _ = writeln!(text, "{:<18} {}", "calibration error", decimal(Some(evaluated.ece)));
    text
}

/// The method, and what its name does not say.
fn method(result: &RunResult) -> String {
    let RunResult { method, criterion, mixing, .. } = result;
    let mut words = method.clone();
    let Ok(name) = method.parse::<Method>() else { return words };
    let implied = name.implies();
    if !["", implied.0.word()].contains(&criterion.as_str()) {
        let _ = write!(words, " on {criterion}");
    }
    if !["", implied.1.word()].contains(&mixing.as_str()) {
        let _ = write!(words, " with {mixing}");
    }
    words
}

fn ranks(result: &RunResult) -> String {
    let mut text = match (result.world_size, result.threads) {
        (ranks, 1) => format!("{ranks}, with 1 thread each"),
        (ranks, threads) => format!("{ranks}, with {threads} threads each"),
    };
    if result.virtual_ranks != result.world_size {
        let _ = write!(text, ", {} logical ranks", result.virtual_ranks);
    }
    text
}

/// Picks one figure of several.
type Pick = fn(&Accuracy) -> Option<f64>;

/// One row per group, one column per model.
fn groups(columns: &[(String, &Accuracy)]) -> String {
    let mut text = format!("{:<34}", "");
    for (name, _) in columns {
        let _ = write!(text, " {name:>10}");
    }
    text.push('\n');
    let rows: [(&str, Pick); 8] = [
        ("all (mean over classes)", |a| a.all),
        ("top 1 (share of images)", |a| a.top1),
        ("many (over 100 training images)", |a| a.many),
        ("medium (20 to 100)", |a| a.medium),
        ("few (under 20)", |a| a.few),
        ("head third of the classes", |a| a.head_third),
        ("middle third", |a| a.middle_third),
        ("tail third", |a| a.tail_third),
    ];
    for (name, pick) in rows {
        let _ = write!(text, "{name:<34}");
        for (_, accuracy) in columns {
            let _ = write!(text, " {:>10}", decimal(pick(accuracy)));
        }
        text.push('\n');
    }
    text
}

fn classes(rows: &[ClassRow], file: &Path) -> String {
    if rows.len() > CLASSES_LISTED_MAX {
        return format!("{} classes: {} lists each of them\n\n", rows.len(), file.display());
    }
    class_table(rows)
}

fn class_table(rows: &[ClassRow]) -> String {
    let widest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).max(5);
    let mut text =
        format!("{:<widest$} {:>8} {:>9} {:>9}\n", "class", "training", "admitted", "accuracy");
    for row in rows {
        let _ = writeln!(
            text,
            "{:<widest$} {:>8} {:>9} {:>9}",
            row.name,
            grouped(row.train_count),
            grouped(row.admitted),
            decimal(row.accuracy)
        );
    }
    text.push('\n');
    text
}

/// Four decimals, or a dash where there is no figure.
fn decimal(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.4}"))
}

/// A count with a comma between thousands.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count like that, and its noun.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {}", grouped(count), lcsl_text::plural(count, noun))
}

/// `45 s`, `12 m 05 s`, `3 h 07 m`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 9.95 => format!("{:.1} s", seconds.max(0.0)),
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} m {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} m"),
    }
}

#[cfg(test)]
mod tests {
    use lcsl_run_dir::result::{GroupErrors, Variant};

    use super::*;

    fn accuracy(all: f64) -> Accuracy {
        Accuracy {
            all: Some(all),
            top1: Some(all),
            many: Some(all + 0.1),
            medium: Some(all - 0.1),
            few: None,
            head_third: Some(0.95),
            middle_third: Some(0.8),
            tail_third: Some(0.551_25),
        }
    }

    fn class(class: u32, name: &str, train_count: u64, accuracy: Option<f64>) -> ClassRow {
        ClassRow {
            class,
            name: name.to_owned(),
            train_count,
            admitted: u64::from(class) * 700,
            test_count: 1000,
            accuracy,
        }
    }

    fn result() -> RunResult {
        RunResult {
            version: "0.1.0".to_owned(),
            accuracy: accuracy(0.7512),
            per_class: vec![
                class(0, "T-shirt/top", 5900, Some(0.912)),
                class(1, "Trouser", 3596, Some(0.96)),
                class(2, "Ankle boot", 60, None),
            ],
            ece: 0.0813,
            ece_groups: GroupErrors::default(),
            calibrated: Some(Calibrated {
                temperature: 1.3214,
                ece: 0.0123,
                ece_groups: GroupErrors::default(),
            }),
            classifier_tau: 0.0,
            classifier_adjustment: 0.0,
            as_trained: Variant { tau: 0.0, accuracy: accuracy(0.7512), ece: 0.0813 },
            tau_normalised: Variant { tau: 1.9, accuracy: accuracy(0.74), ece: 0.09 },
            tau_sweep: Vec::new(),
            adjusted: None,
            adjustment_sweep: Vec::new(),
            selected_on: "validation".to_owned(),
            selected_epoch: 11,
            selected_accuracy: 0.76,
            unscored_classes: Vec::new(),
            protocol: "honest".to_owned(),
            method: "lcsl".to_owned(),
            criterion: "ce".to_owned(),
            mixing: "mixup".to_owned(),
            policy: "quota".to_owned(),
            dataset: "fashion_mnist".to_owned(),
            model: "resnet20".to_owned(),
            seed: 0,
            train_images: 14786,
            corrupt: Corrupt::default(),
            world_size: 2,
            virtual_ranks: 2,
            threads: 1,
            steps: 2772,
            admitted_total: 2100,
            images_per_second: 1234.5,
            train_seconds: 187.2,
            peak_memory: Some(PeakMemory { host_bytes: 700 << 20, gpu_bytes: 0 }),
            weights_digest: "a".repeat(64),
            last_weights_digest: "b".repeat(64),
            admission_digest: "c".repeat(64),
            unlabelled: None,
        }
    }

    #[test]
    fn a_run_of_few_classes_lists_them() {
        insta::assert_snapshot!(of_run(&result(), Path::new("runs/demo-1")));
    }

    #[test]
    fn a_run_of_many_classes_names_the_file_and_the_classifier_that_was_selected() {
        let many = RunResult {
            per_class: (0..100).map(|id| class(id, "fish", 5, Some(0.5))).collect(),
            classifier_tau: 1.9,
            classifier_adjustment: 0.0,
            tau_normalised: Variant { tau: 1.9, accuracy: accuracy(0.8), ece: 0.1 },
            tau_sweep: Vec::new(),
            adjusted: None,
            adjustment_sweep: Vec::new(),
            virtual_ranks: 4,
            threads: 8,
            train_seconds: 4.04,
            peak_memory: Some(PeakMemory { host_bytes: 1, gpu_bytes: 12_345 << 20 }),
            ..result()
        };
        insta::assert_snapshot!(of_run(&many, Path::new("runs/big")));
    }

    #[test]
    fn an_evaluation_has_the_same_shape() {
        let result = result();
        let evaluated = Evaluated {
            split: "validation".to_owned(),
            accuracy: result.accuracy,
            ece: result.ece,
            per_class: result.per_class,
            corrupt: 0,
        };
        insta::assert_snapshot!(of_evaluation(&evaluated, Path::new("runs/demo-1")));
    }

    /// Story: who compares two accuracies has to see that one of them was measured on fewer images.
    #[test]
    fn what_was_left_out_stands_in_the_table() {
        assert_eq!(corrupt(&Corrupt::default()), None);
        let some = |training: &[u64], validation, test| {
            corrupt(&Corrupt { training: training.to_vec(), validation, test }).unwrap()
        };
        assert_eq!(some(&[2, 2], 0, 1), "2 of an epoch's images, 0 of validation, 1 of test");
        assert_eq!(
            some(&[1999, 2000, 1998], 3, 0),
            "1,998 to 2,000 of an epoch's images, 3 of validation, 0 of test"
        );
        let found = Corrupt { training: vec![2], ..Corrupt::default() };
        let table = of_run(&RunResult { corrupt: found, ..result() }, Path::new("runs/a"));
        assert!(table.contains("\ncorrupt, left out  2 of an epoch's images, 0 of"), "{table}");
    }

    #[test]
    fn unlabelled_images_say_how_many_were_admitted_and_how_rightly() {
        let said = |admitted: &[u64], right: Option<&[u64]>| {
            let right = right.map(<[u64]>::to_vec);
            let totals = UnlabelledTotals { images: 7_433, admitted: admitted.to_vec(), right };
            let table =
                of_run(&RunResult { unlabelled: Some(totals), ..result() }, Path::new("runs/a"));
            let line = table.lines().find(|line| line.starts_with("unlabelled")).unwrap();
            line["unlabelled".len()..].trim().to_owned()
        };
        let words = "7,433 images, admitted 2,000 times, 96.5 % of them rightly";
        assert_eq!(said(&[1_000, 1_000], Some(&[990, 940])), words);
        assert_eq!(said(&[1, 0], None), "7,433 images, admitted 1 time");
        assert_eq!(said(&[0, 0], Some(&[0, 0])), "7,433 images, admitted 0 times");
    }

    #[test]
    fn counts_and_times_are_readable() {
        let counts = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let times = [0.04, 9.96, 59.4, 59.9, 725.0, 11_220.0].map(duration);
        assert_eq!(times, ["0.0 s", "10 s", "59 s", "1 m 00 s", "12 m 05 s", "3 h 07 m"]);
    }
}
