//! Writing to a person or a script. Results go to standard output, everything else to standard
//! error.
//!
//! Whatever a name or a line of others would do to a terminal is escaped here, on the way out.
//! Nothing here panics when the other end has gone: `lcsl … | head` ends quietly. Colours appear on
//! a terminal only.

use std::io::{self, Write};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use lcsl_text::printable;

use crate::fault::Fault;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Cyan.on_default().bold();

/// Shows an error. When standard error is closed nobody is left to tell, and the exit code has to
/// do.
pub fn show_fault(fault: &Fault) {
    show(ERROR, "error", &fault.to_string());
}

/// Writes an error to standard output, for a script that asked for JSON: one object on one line.
pub fn print_fault(fault: &Fault) {
    // That standard output cannot be written to is less important than what was to be said there.
    let _ = print(&format!("{}\n", fault.to_json()));
}

/// Shows something that will become an error later.
pub fn show_warning(text: &str) {
    show(WARNING, "warning", text);
}

/// Shows something worth knowing.
pub fn show_note(text: &str) {
    show(NOTE, "note", text);
}

/// Shows a plain line.
pub fn show_line(text: &str) {
    let _ = writeln!(anstream::stderr(), "{}", printable(text));
}

fn show(style: Style, label: &str, text: &str) {
    let _ = writeln!(anstream::stderr(), "{style}{label}:{style:#} {}", printable(text));
}

/// Writes a result to standard output.
///
/// A reader that has seen enough and closed its end is no error; a full disk behind standard output
/// is.
pub fn print(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    match out.write_all(printable(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Fault::disk("write to", Path::new("standard output"), &error)),
        Ok(()) => Ok(()),
    }
}
