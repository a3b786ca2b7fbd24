//! Text that people bring (lists, counts, names, configuration) and text that people read (messages). Pure.
//!
//! Every file of text goes through [`decode`], so that a file from another system is understood or refused with a
//! reason; every message goes through [`printable`] on its way to a terminal, so that a foreign name cannot move the
//! cursor or change what was printed before.

mod decode;
mod show;

pub use decode::{NotText, decode, lines};
pub use show::{counted, counted_as, excerpt, plural, printable};
