//! Files are short, lines fit on a screen, and nothing is left for later.

use crate::sources::{Source, offenders, rust, written};

const LINES_MAX: usize = 450;

/// Characters of a line; a little more than rustfmt's 100, for drawings and long literals. Inline
/// snapshots (`@"…"`) show a line as long as it is.
const COLUMNS_MAX: usize = 120;

/// A line of a script is often one command.
const SCRIPT_COLUMNS_MAX: usize = 140;

/// Its lines are messages as they are sent, one each.
const MESSAGES: &str = "launcher/tests/launcher/fakes/lcsl-rank";

const LEFTOVERS: [&str; 8] =
    ["todo!", "unimplemented!", "#[ignore", "#[should_panic", "TODO", "FIXME", "XXX", "HACK"];

#[test]
fn files_are_short_enough_to_have_one_subject() {
    let long = offenders(written(), |source| source.text.lines().count() > LINES_MAX);
    assert_eq!(long, [""; 0], "over {LINES_MAX} lines");
}

#[test]
fn lines_fit_on_a_screen() {
    let is_snapshot = |line: &str| ["@\"", "@r\"", "@r#\""].iter().any(|mark| line.contains(mark));
    let wide = offenders(written(), |source| {
        let columns = if is_script(source) { SCRIPT_COLUMNS_MAX } else { COLUMNS_MAX };
        let is_wide = |line: &str| line.chars().count() > columns && !is_snapshot(line);
        source.name != MESSAGES && source.text.lines().any(is_wide)
    });
    assert_eq!(wide, [""; 0], "over {COLUMNS_MAX} columns, or {SCRIPT_COLUMNS_MAX} in a script");
}

/// Neither Rust nor C: read where it is run.
fn is_script(source: &Source) -> bool {
    ![".rs", ".c", ".cpp", ".h"].iter().any(|end| source.name.ends_with(end))
}

#[test]
fn nothing_is_left_for_later() {
    let found = offenders(written(), |source| {
        !source.is_style_test() && LEFTOVERS.iter().any(|word| source.text.contains(word))
    });
    assert_eq!(found, [""; 0]);
}

#[test]
fn every_unsafe_block_is_argued_for() {
    for source in rust().into_iter().filter(|source| !source.is_style_test()) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if line.contains("unsafe {") || line.contains("unsafe impl") {
                let above = &lines[number.saturating_sub(5)..=number];
                let argued = above.iter().any(|line| line.contains("SAFETY:"));
                assert!(argued, "{}:{}: unsafe without a SAFETY comment", source.name, number + 1);
            }
        }
    }
}
