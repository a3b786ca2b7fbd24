//! The lock of a run directory: the system's own, and a count in the file that other hosts see (`holder.rs`).

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lcsl_run_dir::{RunDir, exit};

use super::holder::{Applicant, BEAT, Holder, Look, Next, SILENT, SystemLock};
use crate::fault::Fault;
use crate::supervise::processes;
use crate::terminal;

/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(500);

/// Two launchers of two hosts may find the same silent one. The last to write its name has the directory, which both
/// know after this.
const LAST_WRITER: Duration = Duration::from_secs(2);

/// No lock file is longer.
const TEXT_BYTES_MAX: u64 = 4096;

/// A run directory that this process has to itself; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    shared: Arc<Shared>,
    /// Held by the system until it is closed, where the file system can.
    _file: File,
}

/// What the counting thread works with.
#[derive(Debug)]
struct Shared {
    path: PathBuf,
    root: PathBuf,
    holder: Holder,
}

impl Lock {
    /// Takes the run directory `root`, which exists. A launcher that is at work there is waited for as long as `wait`.
    ///
    /// # Errors
    /// With code [`exit::IN_USE`] when somebody is at work there, [`exit::DISK`] when the file cannot be used.
    pub(super) fn acquire(root: &Path, wait: Duration) -> Result<Self, Fault> {
        let path = RunDir::at(root).lock();
        let ours = ourselves()?;
        let mut applicant = Applicant::new(wait);
        let (began, mut told) = (Instant::now(), false);
        loop {
            let (file, look) = look(&path, &ours.host)?;
            match applicant.on(began.elapsed(), &look) {
                Next::Take { from_the_silent } => {
                    let shared = Shared { path, root: root.to_owned(), holder: ours };
                    return shared.take(file, look.holder.filter(|_| from_the_silent));
                }
                Next::GiveUp => return Err(in_use(root, look.holder.as_ref())),
                Next::Wait if !told => {
                    told = true;
                    terminal::show_note(&waiting(&look));
                }
                Next::Wait => {}
            }
            drop(file); // whoever else looks meanwhile must not take us for the holder
            thread::sleep(LOOK);
        }
    }

    /// Counts while this process lives, and returns only when another launcher has taken the directory over, which may
    /// be when this one was stopped for a while: it must not write there any more.
    pub(super) async fn keep(&self) -> Fault {
        for beats in 1.. {
            tokio::time::sleep(BEAT).await;
            let shared = self.shared.clone();
            // A file system that does not answer holds up a thread of its own, not the launcher.
            let count = tokio::task::spawn_blocking(move || shared.count(beats));
            if let Ok(Some(other)) = count.await {
                return taken_over(&self.shared.root, &other);
            }
        }
        unreachable!("2^64 beats take longer than anyone has")
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let is_ours = |found: &Holder| found.token == self.shared.holder.token;
        if read(&self.shared.path).ok().flatten().as_ref().is_some_and(is_ours) {
            let emptied = OpenOptions::new().write(true).open(&self.shared.path);
            let _ = emptied.and_then(|file| file.set_len(0)); // else the next one waits for a while
        }
    }
}

impl Shared {
    /// Writes our name, and makes sure that it stays.
    fn take(self, mut file: File, silent: Option<Holder>) -> Result<Lock, Fault> {
        let text = self.holder.text();
        let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
        let synced = written.and_then(|()| file.sync_all());
        synced.map_err(|error| Fault::disk("write", &self.path, &error))?;
        if let Some(silent) = silent {
            thread::sleep(LAST_WRITER);
            let found =
                read(&self.path).map_err(|error| Fault::disk("read", &self.path, &error))?;
            if found.as_ref().is_none_or(|found| found.token != self.holder.token) {
                return Err(in_use(&self.root, found.as_ref()));
            }
            terminal::show_note(&format!(
                "{silent} held {} and has not been heard of for {} s; it is taken to be dead",
                self.root.display(),
                SILENT.as_secs()
            ));
        }
        Ok(Lock { shared: Arc::new(self), _file: file })
    }

    /// Counts one beat; who holds the directory instead of us, if somebody does. A disk that is full or does not
    /// answer costs beats, and in the end the directory, but not the run.
    fn count(&self, beats: u64) -> Option<Holder> {
        let found = read(&self.path).ok().flatten();
        if let Some(other) = found.filter(|found| found.token != self.holder.token) {
            return Some(other);
        }
        let text = Holder { beats, ..self.holder.clone() }.text();
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&self.path);
        let _ = file
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        None
    }
}

/// This launcher.
fn ourselves() -> Result<Holder, Fault> {
    let token = processes::new_secret()
        .map_err(|error| Fault::new(format!("cannot draw a random number: {error}"), exit::BUG))?;
    Ok(Holder {
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        job: std::env::var("SLURM_JOB_ID").ok(),
        token: token[..16].to_owned(),
        beats: 0,
    })
}

/// Opens the lock file, tries the system's lock, and reads who holds it.
fn look(path: &Path, host: &str) -> Result<(File, Look), Fault> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path).map_err(|error| Fault::disk("open", path, &error))?;
    let system = match file.try_lock() {
        Ok(()) => SystemLock::Ours,
        Err(TryLockError::WouldBlock) => SystemLock::Theirs,
        Err(TryLockError::Error(error)) if has_no_locks(&error) => SystemLock::Unsupported,
        Err(TryLockError::Error(error)) => return Err(Fault::disk("lock", path, &error)),
    };
    let holder = parse(&mut file).map_err(|error| Fault::disk("read", path, &error))?;
    let is_here = holder.as_ref().is_some_and(|holder| holder.host == host);
    let lives = |holder: &Holder| Path::new("/proc").join(holder.pid.to_string()).exists();
    let lives_here = is_here && holder.as_ref().is_some_and(lives);
    file.rewind().map_err(|error| Fault::disk("read", path, &error))?;
    Ok((file, Look { system, holder, is_here, lives_here }))
}

/// Whether an error says that this file system cannot lock.
fn has_no_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unsupported = [Errno::NOLCK, Errno::NOSYS, Errno::OPNOTSUPP, Errno::INVAL];
    Errno::from_io_error(error).is_some_and(|errno| unsupported.contains(&errno))
}

/// The holder that the lock file names now, on a network file system too: it is opened anew.
fn read(path: &Path) -> io::Result<Option<Holder>> {
    parse(&mut File::open(path)?)
}

fn parse(file: &mut File) -> io::Result<Option<Holder>> {
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Holder::parse(&String::from_utf8_lossy(&bytes)))
}

fn waiting(look: &Look) -> String {
    let holder = name(look.holder.as_ref());
    match look.system {
        SystemLock::Theirs => format!("waiting for {holder} to leave the run directory"),
        _ => format!(
            "{holder} held the run directory; waiting to see whether it is alive ({} s at most)",
            SILENT.as_secs()
        ),
    }
}

fn name(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another launcher".to_owned(), Holder::to_string)
}

fn in_use(root: &Path, holder: Option<&Holder>) -> Fault {
    Fault {
        hint: Some(
            "wait for that run to end, stop it, or choose another place with --run_dir; --resume waits for \
             run.lock_wait_seconds"
                .to_owned(),
        ),
        ..Fault::new(
            format!("the run directory {} is in use by {}", root.display(), name(holder)),
            exit::IN_USE,
        )
    }
}

fn taken_over(root: &Path, other: &Holder) -> Fault {
    Fault {
        hint: Some(
            "this launcher was silent for a while, perhaps suspended or cut off; that run goes on"
                .to_owned(),
        ),
        ..Fault::new(
            format!("the run directory {} was taken over by {other}", root.display()),
            exit::IN_USE,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A launcher of another host, which has counted so far.
    fn other(beats: u64) -> Holder {
        let (host, token) = ("elsewhere".to_owned(), "00000000000000aa".to_owned());
        Holder { pid: 4711, host, job: Some("77".to_owned()), token, beats }
    }

    #[test]
    fn a_directory_is_given_back_in_good_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::acquire(folder.path(), Duration::ZERO).unwrap();
        assert_eq!(read(&path).unwrap().unwrap().pid, std::process::id());
        let refused = Lock::acquire(folder.path(), Duration::ZERO).unwrap_err();
        assert_eq!(refused.exit_code, exit::IN_USE);
        drop(lock);
        assert_eq!(fs::read(&path).unwrap(), b"");
        Lock::acquire(folder.path(), Duration::ZERO).unwrap();
    }

    /// Story: a launcher that had been suspended came back and wrote into a directory that another had taken over.
    #[test]
    fn a_launcher_notices_that_it_was_taken_over_and_leaves_the_other_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::acquire(folder.path(), Duration::ZERO).unwrap();
        assert_eq!(lock.shared.count(1), None);
        assert_eq!(read(&path).unwrap().unwrap().beats, 1);
        fs::write(&path, other(3).text()).unwrap();
        assert_eq!(lock.shared.count(2), Some(other(3)));
        assert_eq!(read(&path).unwrap(), Some(other(3)), "it writes no more");
        drop(lock);
        assert_eq!(read(&path).unwrap(), Some(other(3)));
    }

    #[test]
    fn a_launcher_of_another_host_that_counts_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, other(3).text()).unwrap();
        let counting = thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            // In one step, as a launcher counts: the file is never empty meanwhile.
            let beside = path.with_extension("tmp");
            fs::write(&beside, other(4).text()).unwrap();
            fs::rename(&beside, &path).unwrap();
        });
        let refused = Lock::acquire(folder.path(), Duration::ZERO).unwrap_err();
        counting.join().unwrap();
        let who = "is in use by process 4711 on host elsewhere, Slurm job 77";
        assert!(refused.what.ends_with(who), "{refused}");
    }
}
