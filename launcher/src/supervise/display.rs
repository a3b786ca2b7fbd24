//! How a run goes, for a person: a bar on a terminal, otherwise lines that read well in a log.
//!
//! All of it goes to standard error, so that standard output holds nothing but the result.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lcsl_collective::control::{Score, TrainProgress};

use crate::report::table::{duration, grouped};
use crate::terminal;

/// At most one line of progress in so long a time, where there is no bar.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// The words that depend on what is trained.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What evaluations measure: `validation`, or `test` under protocol `paper`.
    pub measured: &'static str,
    /// Before this epoch, counted from 0, a selected model becomes the teacher; 0 where it never does.
    pub teaches_before: u64,
}

/// Shows how a run goes.
#[derive(Debug)]
pub struct Display {
    words: Words,
    bar: Option<ProgressBar>,
    /// When the first progress came, and how many steps had been made by then.
    began: Option<(Duration, u64)>,
    line_shown: Option<Duration>,
}

impl Display {
    /// A bar if standard error is a terminal.
    pub fn new(words: Words) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {percent:>3}%\n{msg}");
            bar.set_style(style.expect("the template is a constant"));
            bar
        });
        Self { words, bar, began: None, line_shown: None }
    }

    /// Shows progress, at time `now`.
    pub fn progress(&mut self, now: Duration, progress: &TrainProgress) {
        let (start, step) = *self.began.get_or_insert((now, progress.step));
        let left =
            time_left(now.saturating_sub(start), progress.step.saturating_sub(step), progress);
        let text = progress_text(progress, left);
        if let Some(bar) = &self.bar {
            bar.set_length(progress.steps);
            bar.set_position(progress.step);
            bar.set_message(text);
        } else if self.line_shown.is_none_or(|shown| now >= shown + LINE_PERIOD) {
            self.line_shown = Some(now);
            terminal::show_line(&text);
        }
    }

    /// Shows an evaluation.
    pub fn evaluation(&self, score: &Score) {
        self.line(&evaluation_text(score, self.words));
    }

    /// Shows a line.
    pub fn line(&self, text: &str) {
        self.aside(|| terminal::show_line(text));
    }

    /// Lets `write` write to the terminal without the bar in its way.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The rest of a run at the pace so far, evaluations included; none before a step was seen.
fn time_left(elapsed: Duration, steps: u64, progress: &TrainProgress) -> Option<Duration> {
    let rest = progress.steps.saturating_sub(progress.step);
    (steps > 0).then(|| elapsed.mul_f64(rest as f64 / steps as f64))
}

fn progress_text(progress: &TrainProgress, left: Option<Duration>) -> String {
    let mut text = format!(
        "epoch {}/{}  step {}/{}  loss {:.4}  {} images/s  {} admitted",
        progress.epoch + 1,
        progress.epochs,
        progress.step,
        progress.steps,
        progress.loss,
        grouped(progress.images_per_second.round() as u64),
        grouped(progress.admitted),
    );
    if let Some(left) = left {
        let _ = write!(text, "  {} left", duration(left.as_secs_f64()));
    }
    text
}

fn evaluation_text(score: &Score, words: Words) -> String {
    let mut text =
        format!("epoch {}  {} accuracy {:.3}", score.epoch + 1, words.measured, score.accuracy);
    if score.selected {
        let teaches = score.epoch < words.teaches_before;
        let _ = write!(text, "  ({})", if teaches { "new teacher" } else { "best so far" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(step: u64) -> TrainProgress {
        TrainProgress {
            epoch: 2,
            epochs: 12,
            step,
            steps: 1000,
            loss: 1.234_56,
            images_per_second: 1234.6,
            admitted: 5678,
        }
    }

    #[test]
    fn progress_reads_well() {
        let left = time_left(Duration::from_secs(50), 100, &progress(250));
        insta::assert_snapshot!(
            progress_text(&progress(250), left),
            @"epoch 3/12  step 250/1000  loss 1.2346  1,235 images/s  5,678 admitted  6 m 15 s left"
        );
        assert_eq!(time_left(Duration::ZERO, 0, &progress(0)), None);
        assert_eq!(time_left(Duration::from_secs(1), 10, &progress(1000)), Some(Duration::ZERO));
    }

    #[test]
    fn evaluations_say_who_became_what() {
        let score = Score { epoch: 2, accuracy: 0.8123, selected: true, seconds: 1.0 };
        let words = Words { measured: "validation", teaches_before: 12 };
        insta::assert_snapshot!(
            evaluation_text(&score, words),
            @"epoch 3  validation accuracy 0.812  (new teacher)"
        );
        // In a refit nobody labels.
        let late = Score { epoch: 12, ..score };
        assert!(evaluation_text(&late, words).ends_with("  (best so far)"));
        let worse = Score { selected: false, ..score };
        assert_eq!(evaluation_text(&worse, words), "epoch 3  validation accuracy 0.812");
    }
}
