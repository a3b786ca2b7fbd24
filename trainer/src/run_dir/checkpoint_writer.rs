//! Checkpoints are written by a thread of their own, while training goes on from the state that they were copied from.
//!
//! One at a time: whoever starts the next one, or wants to end, waits for the one before.

use std::io;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::RunDir;
use super::checkpoints::{self, Manifest};
use super::durable::{DiskContext, DiskError};

/// Writes the checkpoints of a run in the background.
#[derive(Debug)]
pub struct CheckpointWriter {
    run_dir: RunDir,
    keep_last: usize,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    step: u64,
    began: Instant,
    thread: JoinHandle<Result<String, DiskError>>,
}

/// What became of a checkpoint.
#[derive(Debug)]
pub struct Outcome {
    /// Optimiser steps made before it.
    pub step: u64,
    /// Seconds since it was begun.
    pub seconds: f64,
    /// The name of its directory, which is on disk now, with older ones pruned; or what the disk did not do.
    pub written: Result<String, DiskError>,
}

impl CheckpointWriter {
    /// For this run directory, in which so many of the newest checkpoints stay.
    pub fn new(run_dir: &RunDir, keep_last: usize) -> Self {
        Self { run_dir: run_dir.clone(), keep_last, writing: None }
    }

    /// Begins a checkpoint. `write_tensors` gets the path of the tensor file to make, and owns what it writes. Only
    /// after [`Self::wait`].
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        &mut self,
        manifest: Manifest,
        write_tensors: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<(), DiskError> {
        assert!(self.writing.is_none(), "the one before was waited for");
        let (began, step) = (Instant::now(), manifest.position.step);
        let (run_dir, keep_last) = (self.run_dir.clone(), self.keep_last);
        let write = move || {
            let name = checkpoints::write(&run_dir, manifest, write_tensors)?;
            checkpoints::prune(&run_dir, &name, keep_last)?;
            Ok(name)
        };
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(write);
        let thread = thread.or_disk("start a thread that writes", &self.run_dir.checkpoints())?;
        self.writing = Some(Writing { step, began, thread });
        Ok(())
    }

    /// What became of the checkpoint that was being written, if it is done.
    pub fn poll(&mut self) -> Option<Outcome> {
        let is_done = self.writing.as_ref().is_some_and(|writing| writing.thread.is_finished());
        if is_done { self.wait() } else { None }
    }

    /// Waits for the checkpoint that is being written, if there is one, and says what became of it.
    pub fn wait(&mut self) -> Option<Outcome> {
        let Writing { step, began, thread } = self.writing.take()?;
        let written = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Some(Outcome { step, seconds: began.elapsed().as_secs_f64(), written })
    }
}

/// A run that ends on an error still completes the checkpoint that it had begun.
impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if let Some(Writing { thread, .. }) = self.writing.take() {
            let _ = thread.join(); // nobody is left to tell
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;
    use crate::run_dir::checkpoints::tests::manifest;

    fn newest_step(run_dir: &RunDir) -> Option<u64> {
        checkpoints::newest(run_dir).unwrap().0.map(|found| found.manifest.position.step)
    }

    #[test]
    fn training_goes_on_while_a_checkpoint_is_written_and_the_end_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let mut writer = CheckpointWriter::new(&run_dir, 1);
        assert!(writer.wait().is_none() && writer.poll().is_none());
        let (go_on, wait) = mpsc::channel();
        let slow = move |path: &Path| {
            wait.recv().unwrap();
            fs::write(path, "slow")
        };
        writer.start(manifest(3), slow).unwrap();
        assert!(writer.poll().is_none() && newest_step(&run_dir).is_none());
        go_on.send(()).unwrap();
        let outcome = writer.wait().unwrap();
        assert_eq!((outcome.step, outcome.written.unwrap().as_str()), (3, "step-0000000003"));
        assert_eq!(newest_step(&run_dir), Some(3));

        writer.start(manifest(4), |path| fs::write(path, "last")).unwrap();
        drop(writer);
        assert_eq!(newest_step(&run_dir), Some(4), "it was begun, so it is completed");
        assert_eq!(fs::read_dir(run_dir.checkpoints()).unwrap().count(), 1, "one is kept");
    }

    #[test]
    fn what_the_disk_said_is_handed_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = CheckpointWriter::new(&RunDir::at(folder.path()), 1);
        writer.start(manifest(3), |_| Err(io::ErrorKind::StorageFull.into())).unwrap();
        let error = writer.wait().unwrap().written.unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        writer.start(manifest(6), |path| fs::write(path, "room")).unwrap();
        assert_eq!(writer.wait().unwrap().written.unwrap(), "step-0000000006");
    }
}
