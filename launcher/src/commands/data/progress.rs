//! How far a long work on data has got: a bar on a terminal, otherwise a line now and then.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

const BAR_PERIOD: Duration = Duration::from_millis(100);
/// At most one line of progress in so long a time, where there is no bar.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// How far it has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) done: u64,
    pub(super) total: u64,
    /// Ends the line: what has been done.
    pub(super) words: String,
}

/// Does `work` and shows meanwhile, on standard error, what `position` says.
pub(super) fn show_while<T: Send>(
    position: impl Fn(Duration) -> Position + Sync,
    work: impl FnOnce() -> T + Send,
) -> T {
    let finished = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&finished, &position));
        let result = work();
        finished.store(true, Ordering::Relaxed);
        watcher.thread().unpark();
        result
    })
}

fn watch(finished: &AtomicBool, position: &(impl Fn(Duration) -> Position + Sync)) {
    let began = Instant::now();
    let bar = std::io::stderr().is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar:.cyan/blue} {percent:>3}%\n{msg}");
        bar.set_style(style.expect("the template is a constant"));
        bar
    });
    let mut line_shown = began;
    while !finished.load(Ordering::Relaxed) {
        thread::park_timeout(BAR_PERIOD);
        let Position { done, total, words } = position(began.elapsed());
        if let Some(bar) = &bar {
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(words);
        } else if line_shown.elapsed() >= LINE_PERIOD {
            line_shown = Instant::now();
            terminal::show_line(&words);
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
