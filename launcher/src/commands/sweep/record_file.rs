//! The file of `--record` on disk: read whole at first, and appended to when a run has finished.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lcsl_config::{Machine, parse_train};
use lcsl_run_dir::exit;
use lcsl_run_dir::result::RunResult;

use crate::fault::Fault;
use crate::sweep::code;
use crate::sweep::plan::Sweep;
use crate::sweep::record::{self, Recorded};

/// Finished runs of a sweep, those of other machines among them.
pub(super) struct RecordFile {
    path: PathBuf,
    /// What runs are trained with here.
    code: String,
    /// Other codes whose runs count as well.
    same_code: Vec<String>,
    recorded: Vec<Recorded>,
    /// Name and digest of every cell.
    cells: Vec<(String, String)>,
}

impl RecordFile {
    /// Reads the file, which need not be there; `arguments` are those of a cell behind `lcsl train`, all of which have
    /// been checked.
    pub(super) fn open(
        path: &Path,
        sweep: &Sweep,
        arguments: impl Fn(usize) -> Vec<std::ffi::OsString>,
        machine: &Machine,
    ) -> Result<Self, Fault> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Fault::disk("read", path, &error)),
        };
        let recorded = record::read(&text).map_err(|why| {
            let what = format!("{} cannot be gone on with: {why}", path.display());
            Fault::usage(what, "remove that line, or name another file")
        })?;
        let cell = |(number, cell)| {
            let config = parse_train(&arguments(number), machine).expect("it was checked").config;
            (sweep.name(cell), record::digest(&config))
        };
        let cells = sweep.cells.iter().enumerate().map(cell).collect();
        let (path, same_code) = (path.to_owned(), sweep.same_code.clone());
        Ok(Self { path, code: code::code(), same_code, recorded, cells })
    }

    fn counts(&self, code: &str) -> bool {
        code == self.code || self.same_code.iter().any(|same| same == code)
    }

    /// What is remembered of a cell that was trained with this code, or one that counts as this.
    pub(super) fn find(&self, cell: usize) -> Option<&RunResult> {
        let found = record::find(&self.recorded, &self.cells[cell].1, |code| self.counts(code));
        found.map(|run| run.result.as_ref())
    }

    /// Notes with which code a run is trained; refuses to go on with one that was begun by code that does not count.
    pub(super) fn begin(&self, run_dir: &Path) -> Result<(), Fault> {
        let path = run_dir.with_extension("code");
        match fs::read_to_string(&path) {
            Ok(code) if self.counts(&code) => Ok(()),
            Ok(code) => Err(Fault::usage(
                format!(
                    "{} was begun by lcsl {code}, and this is {}",
                    run_dir.display(),
                    self.code
                ),
                "remove it to train it again, go on with the program that began it, or, where nothing that \
                 changed since changes a result, name that code in the sweep's same_code",
            )),
            Err(_) => {
                fs::write(&path, &self.code).map_err(|error| Fault::disk("write", &path, &error))
            }
        }
    }

    /// Remembers a run that has finished, on disk before anything else is done.
    pub(super) fn add(&mut self, cell: usize, result: &RunResult) -> Result<(), Fault> {
        if self.find(cell).is_some() {
            return Ok(());
        }
        let (name, config) = self.cells[cell].clone();
        let run =
            Recorded { name, config, code: self.code.clone(), result: Box::new(result.clone()) };
        let line = serde_json::to_string(&run)
            .map_err(|error| Fault::new(format!("cannot write a result: {error}"), exit::BUG))?;
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let written = file.and_then(|mut file| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| Fault::disk("append to", &self.path, &error))?;
        self.recorded.push(run);
        Ok(())
    }
}
