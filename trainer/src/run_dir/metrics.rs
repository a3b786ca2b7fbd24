//! `metrics.jsonl` on disk.
//!
//! Lines are flushed, so that a reader who follows the file is at most one event behind. On resume the
//! file is cut back to what it was at the checkpoint: no step is there twice.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

use lcsl_collective::buckets::BucketTimes;
use lcsl_run_dir::event::{BucketSpan, Event, Line};

use super::RunDir;
use super::durable::{DiskContext, DiskError};

/// The open file.
#[derive(Debug)]
pub struct MetricsFile {
    file: File,
    path: PathBuf,
}

/// When buckets were summed, as an event says it.
pub fn spans(times: &[BucketTimes]) -> Vec<BucketSpan> {
    let span = |&BucketTimes { bytes, hook, start, end }| BucketSpan { bytes, hook, start, end };
    times.iter().map(span).collect()
}

impl MetricsFile {
    /// Opens the file, cut back to its first `length` bytes.
    pub fn open(run_dir: &RunDir, length: u64) -> Result<Self, DiskError> {
        let path = run_dir.metrics();
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .or_disk("open", &path)?;
        // A disk can lose what it promised: a file that is too short is never filled up with zeros.
        let there = file.metadata().or_disk("read", &path)?.len();
        file.set_len(length.min(there)).or_disk("cut back", &path)?;
        file.seek(SeekFrom::End(0)).or_disk("open", &path)?;
        Ok(Self { file, path })
    }

    /// Appends an event.
    pub fn write(&mut self, seconds: f64, event: &Event<'_>) -> Result<(), DiskError> {
        let mut line = serde_json::to_vec(&Line { seconds, event })
            .map_err(std::io::Error::from)
            .or_disk("write", &self.path)?;
        line.push(b'\n');
        self.file.write_all(&line).or_disk("write", &self.path)
    }

    /// Bytes written so far, for the checkpoint, and on disk when this returns.
    pub fn length(&mut self) -> Result<u64, DiskError> {
        self.file.sync_data().or_disk("sync", &self.path)?;
        self.file.stream_position().or_disk("read", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resume_cuts_back_to_the_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let mut metrics = MetricsFile::open(&run_dir, 0).unwrap();
        metrics.write(0.5, &Event::Resume { epoch: 0, step: 1 }).unwrap();
        let at_checkpoint = metrics.length().unwrap();
        metrics.write(0.7, &Event::Resume { epoch: 0, step: 2 }).unwrap();
        let mut metrics = MetricsFile::open(&run_dir, at_checkpoint).unwrap();
        metrics.write(0.9, &Event::Resume { epoch: 0, step: 3 }).unwrap();
        let text = std::fs::read_to_string(run_dir.metrics()).unwrap();
        assert_eq!(
            text,
            "{\"seconds\":0.5,\"event\":\"resume\",\"epoch\":0,\"step\":1}\n\
             {\"seconds\":0.9,\"event\":\"resume\",\"epoch\":0,\"step\":3}\n"
        );
    }
}
