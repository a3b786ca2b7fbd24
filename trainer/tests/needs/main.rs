//! Tests that need something which a machine may lack. Where it does, they are reported as ignored, with the
//! reason, and never as passed; continuous integration sets variables that make such a lack a failure.

#![allow(clippy::unwrap_used)] // whatever cannot be read or started is a failure of the test

#[allow(dead_code)] // the tests of whole runs use the rest of it
#[path = "../end_to_end/lcsl.rs"]
mod lcsl;
mod optimisers;
mod pytorch;

use libtest_mimic::{Arguments, Completion, Failed};

/// Something that a machine may lack.
struct Need {
    /// What is said where it lacks.
    lacking: &'static str,
    /// The environment variable that is set where it must be there.
    required_by: &'static str,
}

impl Need {
    /// How a test ends that was not run.
    fn is_missing(&self) -> Result<Completion, Failed> {
        let Self { lacking, required_by } = self;
        if std::env::var_os(required_by).is_some() {
            return Err(format!("{lacking}, and {required_by} is set: this test must run").into());
        }
        Ok(Completion::ignored_with(lacking))
    }
}

fn main() {
    libtest_mimic::run(&Arguments::from_args(), pytorch::trials()).exit();
}
