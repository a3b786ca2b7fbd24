//! What a run tells the world: each event goes to every recorder.
//!
//! * [`metrics`]: lines in `metrics.jsonl`. [`terminal`]: progress, evaluations and sentences for the
//!   launcher's terminal.
//!
//! Rank 0 has recorders, other ranks have none; whoever reports something need not know which.

pub mod metrics;
pub mod terminal;
mod window;

use std::collections::BTreeSet;

use lcsl_collective::control::{Control, Score};
use lcsl_run_dir::Event;

use self::metrics::MetricsRecorder;
use self::terminal::TerminalRecorder;
use self::window::Window;
use crate::clock::Lap;
use crate::run_dir::RunDir;
use crate::run_dir::checkpoints::Marks;
use crate::run_dir::durable::DiskError;

/// Takes the events of a run in.
pub trait Recorder {
    /// Takes an event in, which happened so many `seconds` after the run began.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn record(&mut self, seconds: f64, event: &RunEvent<'_>) -> Result<(), DiskError>;

    /// Lets go of what was taken in and kept back: before a checkpoint, so that no step is missing after
    /// a resume, and at the end of an epoch.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn flush(&mut self) -> Result<(), DiskError>;

    /// Its file in the run directory and the bytes that are on disk, for the checkpoint: on resume the
    /// recorder is opened at its mark, which means cut back to it. None where nothing is to be cut back.
    ///
    /// # Errors
    /// When they are not on disk.
    fn mark(&mut self) -> Result<Option<(&'static str, u64)>, DiskError>;
}

/// What happens in a run.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// An optimiser step was made.
    Step(&'a StepStatus),
    /// A model was measured.
    Score(Score),
    /// Something that a person should know.
    Notice(&'a str),
    /// A line of the record.
    Line(Event<'a>),
}

/// Where training stands after a step, and what the step did.
#[derive(Debug, Clone, Copy)]
pub struct StepStatus {
    /// Epoch, from 0, and epochs in all.
    pub epoch: (u64, u64),
    /// Optimiser steps made since the run began, and steps in all.
    pub step: (u64, u64),
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Images per second of training time, since the run began.
    pub images_per_second: f64,
    /// Pseudo-labels admitted since the run began.
    pub admitted_total: u64,
    /// Loss of the step, per image.
    pub loss: f64,
    /// Images of the step, over all ranks.
    pub images: u64,
    /// Pseudo-labels admitted in the step.
    pub admitted: u64,
    /// Where the time of the step went on this rank.
    pub lap: Lap,
    /// Seconds of it in which the threads that decode were behind.
    pub waiting: f64,
}

/// All recorders of a rank.
#[derive(Default)]
pub struct Recorders {
    recorders: Vec<Box<dyn Recorder>>,
    remarks: BTreeSet<String>,
}

impl Recorders {
    /// Those of rank 0, cut back to their `marks`. Steps come as one line for every `log_every_steps`.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn open(
        run_dir: &RunDir,
        control: Control,
        log_every_steps: u64,
        marks: &Marks,
    ) -> Result<Self, DiskError> {
        let metrics = MetricsRecorder::open(run_dir, log_every_steps, marks)?;
        let terminal = TerminalRecorder::new(control, log_every_steps);
        Ok(Self {
            recorders: vec![Box::new(metrics), Box::new(terminal)],
            remarks: BTreeSet::new(),
        })
    }

    /// Tells every recorder.
    ///
    /// # Errors
    /// The first that a recorder has.
    pub fn record(&mut self, seconds: f64, event: &RunEvent<'_>) -> Result<(), DiskError> {
        self.recorders.iter_mut().try_for_each(|recorder| recorder.record(seconds, event))
    }

    /// Tells every recorder a line of the record.
    ///
    /// # Errors
    /// The first that a recorder has.
    pub fn line(&mut self, seconds: f64, event: Event<'_>) -> Result<(), DiskError> {
        self.record(seconds, &RunEvent::Line(event))
    }

    /// Says a sentence to a person.
    ///
    /// # Errors
    /// The first that a recorder has.
    pub fn notice(&mut self, seconds: f64, text: &str) -> Result<(), DiskError> {
        self.record(seconds, &RunEvent::Notice(text))
    }

    /// Says a sentence to a person, unless the same was said before.
    ///
    /// # Errors
    /// The first that a recorder has.
    pub fn remark(&mut self, seconds: f64, text: String) -> Result<(), DiskError> {
        let said = self.remarks.contains(&text);
        if said {
            return Ok(());
        }
        self.notice(seconds, &text)?;
        self.remarks.insert(text);
        Ok(())
    }

    /// Lets every recorder go of what it keeps back.
    ///
    /// # Errors
    /// The first that a recorder has.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        self.recorders.iter_mut().try_for_each(|recorder| recorder.flush())
    }

    /// Where every recorder stands, for the checkpoint.
    ///
    /// # Errors
    /// When what it has written is not on disk.
    pub fn marks(&mut self) -> Result<Marks, DiskError> {
        let mut marks = Marks::default();
        for recorder in &mut self.recorders {
            if let Some((file, bytes)) = recorder.mark()? {
                marks.insert(file.to_owned(), bytes);
            }
        }
        Ok(marks)
    }
}
