//! The run directory from the launcher's side: whether a run may begin there, its lock, and the files
//! that the launcher writes. What lies where is said by `lcsl_run_dir`.

mod holder;
mod lock;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use lcsl_config::{Difference, Resume, RunConfig, differences};
use lcsl_run_dir::names::{self, LOCK};
use lcsl_run_dir::{RankRecord, RunDir};

use self::lock::Lock;
use crate::fault::Fault;
use lcsl_run_dir::exit;

/// A run directory that this process has to itself.
#[derive(Debug)]
pub struct LockedRunDir {
    at: RunDir,
    /// Given back when it is dropped.
    lock: Lock,
    /// What a person should know of a run that goes on.
    notes: Vec<String>,
}

/// What a run directory is ready for.
#[derive(Debug)]
pub enum Opened {
    /// Training may begin or go on.
    Ready(LockedRunDir),
    /// The run that was asked for is there already, finished.
    Finished,
}

/// Opens the run directory of `config` as its `resume` says, makes and locks it.
pub fn open(config: &RunConfig) -> Result<Opened, Fault> {
    let root = &config.run.run_dir;
    let at = RunDir::at(root);
    let wait = match &config.run.resume {
        Resume::Never => Duration::ZERO,
        Resume::Auto | Resume::Path(_) => Duration::from_secs(config.run.lock_wait_seconds),
    };
    // Somebody may be at work there; that is the better reason to name than "not empty".
    let lock = at.lock().exists().then(|| Lock::acquire(root, wait)).transpose()?;
    let mut names = entries(root)?;
    names.retain(|name| name != names::INIT);
    let fresh = names.iter().all(|name| name == LOCK);
    let began = !fresh && has_begun(&at, &names)?;
    match &config.run.resume {
        Resume::Never if began => return Err(occupied(root)),
        Resume::Path(_) if fresh => return Err(nothing_to_resume(root)),
        _ => {}
    }
    let mut notes = Vec::new();
    if began && names.iter().any(|name| name == names::CONFIG) {
        notes = same_configuration(config, root)?;
        if at.result().exists() {
            return Ok(Opened::Finished);
        }
    } else if began && names.iter().any(|name| name != LOCK && name != names::LOGS) {
        return Err(Fault::usage(
            format!(
                "{} has files in it, but no config.toml: it is no run directory",
                root.display()
            ),
            "choose another place with --run_dir",
        ));
    }
    fs::create_dir_all(at.logs()).map_err(|error| Fault::disk("create", &at.logs(), &error))?;
    let lock = lock.map_or_else(|| Lock::acquire(root, wait), Ok)?;
    Ok(Opened::Ready(LockedRunDir { at, lock, notes }))
}

impl LockedRunDir {
    /// Where its files are.
    pub fn at(&self) -> &RunDir {
        &self.at
    }

    /// What a person should know of a run that goes on here.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Holds the directory for as long as it is polled, and returns only when another launcher has it.
    pub async fn keep(&self) -> Fault {
        self.lock.keep().await
    }

    /// Writes `config.toml`.
    pub fn write_config(&self, text: &str) -> Result<(), Fault> {
        replace(&self.at.config(), text.as_bytes())
    }

    /// Writes `ranks.json`.
    pub fn write_ranks(&self, ranks: &[RankRecord]) -> Result<(), Fault> {
        let text = serde_json::to_vec_pretty(ranks).expect("names and numbers are valid JSON");
        replace(&self.at.ranks(), &text)
    }
}

/// The names in a directory; none where there is no directory.
fn entries(root: &Path) -> Result<Vec<OsString>, Fault> {
    let unreadable = |error: io::Error| Fault::disk("read", root, &error);
    match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Fault::usage(
            format!("{} is a file, not a directory", root.display()),
            "choose another place with --run_dir",
        )),
        Err(error) => Err(unreadable(error)),
        Ok(listing) => {
            listing.map(|entry| entry.map(|entry| entry.file_name()).map_err(unreadable)).collect()
        }
    }
}

/// Whether a directory with these `names` in it holds more than the traces of a run that ended before
/// its first step. Such a run, whose command was wrong, must not stand in the way of the right one.
fn has_begun(at: &RunDir, names: &[OsString]) -> Result<bool, Fault> {
    let (ranks, checkpoints) = (at.ranks(), at.checkpoints());
    let traces = [&ranks, &checkpoints, &at.config(), &at.logs(), &at.lock(), &at.metrics()]
        .map(|path| path.file_name().map(ToOwned::to_owned));
    let is_trace = |name: &OsString| {
        traces.contains(&Some(name.clone())) || Path::new(name).extension() == Some("tmp".as_ref())
    };
    if !names.iter().all(is_trace) || !names.iter().any(|name| name == names::CONFIG) {
        return Ok(true);
    }
    let saved = entries(&checkpoints)?;
    Ok(saved.iter().any(|name| names::is_checkpoint(&name.to_string_lossy()))
        || fs::read(at.metrics()).is_ok_and(|metrics| has_steps(&metrics)))
}

/// Whether anything but the beginning of a run was written into `metrics.jsonl`.
fn has_steps(metrics: &[u8]) -> bool {
    let lines = metrics.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let event = |line| serde_json::from_slice::<serde_json::Value>(line).ok();
    lines.map(event).any(|line| line.is_none_or(|line| line["event"] != "start"))
}

fn occupied(root: &Path) -> Fault {
    Fault::usage(
        format!("the run directory {} exists and is not empty", root.display()),
        "choose another one with --run_dir, or go on with this one by --resume auto",
    )
}

fn nothing_to_resume(root: &Path) -> Fault {
    Fault::usage(
        format!("--resume names {}, but there is no run", root.display()),
        "give the directory of a run; --resume auto starts one where there is none",
    )
}

/// Keys that say where a run takes place, not what it computes. Threads, devices and logical ranks belong to
/// them unless bitwise equality was promised, so that a run goes on with as many GPUs as there are; so does
/// what happens to a corrupt record, because a run that
/// has met one either ended there or left it out.
pub fn may_differ(path: &str, deterministic: bool) -> bool {
    match path {
        "run.resume"
        | "run.run_dir"
        | "run.max_restarts"
        | "run.min_ranks"
        | "run.start_limit_seconds"
        | "run.lock_wait_seconds"
        | "run.silence_limit_seconds"
        | "run.hang_limit_seconds"
        | "run.wait_limit_seconds"
        | "run.hosts"
        | "run.interface"
        | "run.nproc"
        | "run.check_collectives"
        | "run.compare_every_steps"
        | "run.bucket_times"
        | "data.root"
        | "data.stage"
        | "data.loader_threads"
        | "data.on_corrupt"
        | "train.start_epoch"
        | "train.log_every_steps"
        | "checkpoint.every_steps"
        | "checkpoint.every_minutes"
        | "checkpoint.on_failure"
        | "checkpoint.keep_last" => true,
        "run.threads" | "run.gpu" | "run.virtual_ranks" => !deterministic,
        _ => false,
    }
}

/// Refuses to go on with a run that computes something else. Returns what a person should know of one that goes on.
fn same_configuration(config: &RunConfig, root: &Path) -> Result<Vec<String>, Fault> {
    let stored = lcsl_config::load(&RunDir::at(root).config()).map_err(|problems| {
        let title = format!("{} holds a configuration that cannot be used", root.display());
        Fault::several(&title, &problems.0, exit::USAGE)
    })?;
    let deterministic = config.run.deterministic;
    let (allowed, differing): (Vec<Difference>, _) = differences(&stored, config)
        .into_iter()
        .partition(|difference| may_differ(difference.path, deterministic));
    if differing.is_empty() {
        let regrouped = allowed.iter().filter(|difference| difference.path == "run.virtual_ranks");
        let note = |Difference { before, after, .. }: &Difference| {
            format!(
                "the run goes on with logical ranks: {after} instead of {before}. Every image still comes \
                 once an epoch; from here on each batch is mixed and normalised in other groups"
            )
        };
        return Ok(regrouped.map(note).collect());
    }
    let lines = differing.iter().map(|Difference { path, before, after }| {
        format!("\n  - {path} is {before} there, but {after} was asked for")
    });
    let what = format!(
        "the run in {} has another configuration{}",
        root.display(),
        lines.collect::<String>()
    );
    Err(Fault::usage(
        what,
        "ask for the same configuration again, or start another run with --run_dir",
    ))
}

/// Writes a file beside its name and renames it: a reader sees the old content or the new one.
///
/// Not synced to the disk, which would delay the start of the ranks: after a power cut before the
/// first checkpoint there is nothing to go on with anyway, and a checkpoint syncs its own files.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes).map_err(|error| Fault::disk("write", &beside, &error))?;
    fs::rename(&beside, path).map_err(|error| Fault::disk("rename to", path, &error))
}

#[cfg(test)]
mod tests {
    use lcsl_config::{Machine, TrainCommand, parse_train, to_toml};

    use super::*;

    fn command(root: &Path, flags: &[&str]) -> TrainCommand {
        let run_dir = format!("--run_dir={}", root.display());
        let mut arguments = vec!["--gpu=cpu".into(), run_dir.into()];
        arguments.extend(flags.iter().map(Into::into));
        parse_train(&arguments, &Machine { cores: 2, gpus: None }).unwrap()
    }

    fn refused(root: &Path, flags: &[&str]) -> String {
        let fault = open(&command(root, flags).config).unwrap_err();
        assert_eq!(fault.exit_code, exit::USAGE, "{fault}");
        fault.to_string().replace(root.to_str().unwrap(), "RUN")
    }

    /// A run with these flags that ended before its first step.
    fn failed_at_once(root: &Path, flags: &[&str]) {
        let command = command(root, flags);
        let Ok(Opened::Ready(run_dir)) = open(&command.config) else { panic!("not ready") };
        run_dir.write_config(&to_toml(&command.config, &command.origins)).unwrap();
        run_dir.write_ranks(&[]).unwrap();
        let start = "{\"seconds\":0.0,\"event\":\"start\",\"train_counts\":[5]}\n";
        fs::write(root.join("metrics.jsonl"), start).unwrap();
    }

    /// A run with these flags that was started, has saved a checkpoint, and was left.
    fn started(root: &Path, flags: &[&str]) {
        failed_at_once(root, flags);
        fs::create_dir_all(root.join("checkpoints/step-0000000010")).unwrap();
    }

    /// Story: a run with a wrong flag ended before its first step. The corrected command was refused,
    /// since the directory was not empty; with `--resume auto`, since its configuration was another.
    #[test]
    fn a_run_that_failed_before_its_first_step_is_as_good_as_new() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        failed_at_once(&root, &["--lr=0.5"]);
        fs::create_dir_all(root.join("checkpoints/.step-0000000010.tmp")).unwrap();
        for flags in [&[][..], &["--resume=auto"]] {
            let again = open(&command(&root, flags).config);
            assert!(matches!(again, Ok(Opened::Ready(_))), "{flags:?}: {again:?}");
        }
        let named = format!("--resume={}", root.display());
        assert!(open(&command(&root, &[&named]).config).is_ok());
        // A step that was made, a note of the user's and a result are not to be lost.
        let metrics = root.join("metrics.jsonl");
        for (name, text) in [
            ("metrics.jsonl", "{\"event\":\"start\"}\n{\"event\":\"step\",\"step\":10}\n"),
            ("metrics.jsonl", "{\"event\":\"start\"}\n{\"event\":\"ste"),
            ("notes.txt", "the best one so far"),
            ("result.json", "{}"),
        ] {
            fs::write(root.join(name), text).unwrap();
            assert!(refused(&root, &[]).contains("is not empty"), "{name}");
            fs::remove_file(root.join(name)).unwrap();
        }
        fs::write(metrics, "").unwrap();
        assert!(open(&command(&root, &[]).config).is_ok());
    }

    #[test]
    fn a_run_never_begins_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/run");
        started(&root, &[]);
        insta::assert_snapshot!(refused(&root, &[]), @r"
        the run directory RUN exists and is not empty
          hint: choose another one with --run_dir, or go on with this one by --resume auto
        ");
    }

    #[test]
    fn a_run_goes_on_under_the_same_configuration_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        let ranks = "--virtual_ranks=2";
        started(&root, &[ranks, "--nproc=2", "--resume=auto"]);
        let again = command(&root, &[ranks, "--nproc=1", "--max_restarts=3", "--resume=auto"]);
        assert!(matches!(open(&again.config), Ok(Opened::Ready(_))));
        let other = refused(&root, &["--resume=auto", "--lr=0.5", "--method=ce"]);
        insta::assert_snapshot!(other, @r#"
        the run in RUN has another configuration
          - train.method is "lcsl" there, but "ce" was asked for
          - train.mixing is "mixup" there, but "none" was asked for
          - train.lr is 0.01 there, but 0.5 was asked for
          hint: ask for the same configuration again, or start another run with --run_dir
        "#);
    }

    /// Story: a run on four GPUs was refused on the two that were left, since the number of logical ranks, which nobody
    /// had chosen, followed that of the GPUs.
    #[test]
    fn a_run_goes_on_with_another_number_of_ranks_unless_equality_was_promised() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("run");
        started(&root, &["--nproc=4", "--resume=auto"]);
        let Ok(Opened::Ready(opened)) =
            open(&command(&root, &["--nproc=3", "--resume=auto"]).config)
        else {
            panic!("refused")
        };
        let note = "the run goes on with logical ranks: 3 instead of 4.";
        assert!(opened.notes()[0].starts_with(note), "{:?}", opened.notes());
        drop(opened);

        let promised = folder.path().join("promised");
        started(&promised, &["--nproc=4", "--deterministic", "--resume=auto"]);
        let text = refused(&promised, &["--nproc=2", "--deterministic", "--resume=auto"]);
        assert!(text.contains("run.virtual_ranks is 4 there, but 2 was asked for"), "{text}");
    }

    #[test]
    fn threads_may_not_change_where_equality_was_promised() {
        assert!(may_differ("run.threads", false) && !may_differ("run.threads", true));
        assert!(!may_differ("train.lr", false));
    }

    #[test]
    fn a_finished_run_is_not_run_again_but_another_one_is_not_mistaken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        started(folder.path(), &[]);
        fs::write(folder.path().join("result.json"), "{}").unwrap();
        let again = command(folder.path(), &["--resume=auto"]);
        assert!(matches!(open(&again.config), Ok(Opened::Finished)));
        let other = refused(folder.path(), &["--resume=auto", "--seed=7"]);
        assert!(other.contains("run.seed is 0 there, but 7 was asked for"), "{other}");
    }

    #[test]
    fn a_folder_of_somebody_elses_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let text = refused(folder.path(), &["--resume=auto"]);
        assert!(text.contains("no config.toml"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was made there");
    }

    #[test]
    fn a_directory_in_use_names_its_user() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(&command(folder.path(), &[]).config).unwrap();
        for flag in ["--resume=never", "--resume=auto"] {
            let flags = [flag, "--set=run.lock_wait_seconds=0"];
            let fault = open(&command(folder.path(), &flags).config).unwrap_err();
            assert_eq!(fault.exit_code, exit::IN_USE);
            let text = fault.to_string().replace(folder.path().to_str().unwrap(), "RUN");
            let expected = format!("RUN is in use by process {} on host ", std::process::id());
            assert!(text.contains(&expected), "{text}");
        }
        drop(first);
        let again = open(&command(folder.path(), &["--resume=auto"]).config);
        assert!(matches!(again, Ok(Opened::Ready(_))));
    }

    #[test]
    fn a_disk_that_refuses_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let fault = open(&command(&file.join("run"), &[]).config).unwrap_err();
        assert!(fault.what.contains("file/run"), "{fault}");
    }
}
