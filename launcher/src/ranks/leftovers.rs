//! What the MPI library leaves behind when its processes are killed: segments of shared memory, each as
//! large as a rank's buffers, and folders of sessions. Nobody else ever removes them, and a full `/dev/shm`
//! ends later runs with SIGBUS.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How segments of Open MPI 4 and 5 are named; after that come host, user, job and rank, with dots between.
const SEGMENTS: [&str; 2] = ["vader_segment", "sm_segment"];

/// Younger segments may belong to a process that has not mapped them yet.
const OLD: Duration = Duration::from_secs(60);

/// Where to look, and for what.
#[derive(Debug)]
pub struct Places<'a> {
    /// Where segments of shared memory are.
    pub memory: &'a Path,
    /// Where Open MPI keeps its folders of sessions.
    pub sessions: &'a Path,
    /// The processes of this host.
    pub processes: &'a Path,
    /// The name of this host, as the MPI library writes it.
    pub host: &'a str,
    /// The number of the user, whose leftovers alone are touched.
    pub user: u32,
}

/// Removes what dead processes of this user have left on this host. What cannot be removed stays: it was
/// in nobody's way so far.
pub fn sweep() {
    let (host, user) = here();
    sweep_at(&Places {
        memory: Path::new("/dev/shm"),
        sessions: &std::env::temp_dir(),
        processes: Path::new("/proc"),
        host: &host,
        user,
    });
}

/// Removes the folder of this launcher's session, once no mpirun is at work in it: one that was killed leaves it.
pub fn remove_session() {
    let _ = fs::remove_dir_all(session_here()); // else the next start finds it
}

/// Removes what dead processes have left in these places.
pub fn sweep_at(at: &Places<'_>) {
    let old: Vec<String> = names(at.memory)
        .filter(|name| is_segment(name, at) && is_old(&at.memory.join(name)))
        .collect();
    if !old.is_empty() {
        let used = mapped(at.processes);
        for name in old.iter().filter(|name| !used.contains(*name)) {
            let _ = fs::remove_file(at.memory.join(name));
        }
    }
    let (shared, own) =
        (format!("ompi.{}.{}", short(at.host), at.user), sessions_of(at.user, at.host));
    for name in names(at.sessions).filter(|name| *name == shared || name.starts_with(&own)) {
        sweep_sessions(&at.sessions.join(&name), at.processes);
        let launcher = name.strip_prefix(&own);
        if launcher.is_some_and(|pid| !at.processes.join(pid).exists()) {
            let _ = fs::remove_dir(at.sessions.join(name)); // an mpirun that lives has something in it
        }
    }
}

/// Removes from a folder of sessions those of dead processes. Each mpirun has one, with the number of its process.
fn sweep_sessions(sessions: &Path, processes: &Path) {
    for name in names(sessions) {
        let process = name.strip_prefix("pid.").filter(|pid| pid.parse::<u32>().is_ok());
        if process.is_some_and(|pid| !processes.join(pid).exists()) {
            let _ = fs::remove_dir_all(sessions.join(name));
        }
    }
}

/// The folder for the session of this launcher's mpirun. The host is part of its name because the mpirun of launchers
/// on other hosts may come here, too.
pub(super) fn session_here() -> PathBuf {
    let (host, user) = here();
    std::env::temp_dir().join(sessions_of(user, &host) + &std::process::id().to_string())
}

/// How the names of such folders begin; the number of the launcher's process follows.
fn sessions_of(user: u32, host: &str) -> String {
    format!("lcsl-{user}-{}-", short(host))
}

/// This host and this user, as the MPI library names them.
fn here() -> (String, u32) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    (host, rustix::process::geteuid().as_raw())
}

/// The names in a folder; none where it cannot be read.
fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// Whether a name is that of a segment of this user on this host.
fn is_segment(name: &str, at: &Places<'_>) -> bool {
    let number = |part: &str| u64::from_str_radix(part, 16).is_ok();
    let is_of = |kind: &str, host: &str| {
        let rest = name.strip_prefix(&format!("{kind}.{host}.{}.", at.user));
        rest.is_some_and(|rest| rest.split('.').all(number))
    };
    SEGMENTS.iter().any(|kind| is_of(kind, at.host) || is_of(kind, short(at.host)))
}

/// Open MPI leaves the domain out of a host's name, unless it is told otherwise.
fn short(host: &str) -> &str {
    host.split('.').next().unwrap_or_default()
}

fn is_old(path: &Path) -> bool {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = changed.map(|changed| SystemTime::now().duration_since(changed).unwrap_or_default());
    age.is_ok_and(|age| age >= OLD)
}

/// The names of the segments that a process has mapped. Those of other users cannot be read, and have
/// none of ours.
fn mapped(processes: &Path) -> HashSet<String> {
    let mut found = HashSet::new();
    for process in names(processes) {
        let maps = fs::read_to_string(processes.join(process).join("maps")).unwrap_or_default();
        for line in maps.lines() {
            let Some((_, name)) = line.rsplit_once('/') else { continue };
            if SEGMENTS.iter().any(|kind| name.starts_with(kind)) {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(folder: &Path, name: &str, age: u64) {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }

    /// Story: each killed run left a segment of some MiB for every rank, until `/dev/shm` was full and
    /// the next run ended with SIGBUS.
    #[test]
    fn segments_and_sessions_of_the_dead_are_swept_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let (memory, sessions, processes) = (place("shm"), place("tmp"), place("proc"));
        for name in ["shm", "proc/17", "proc/self", "tmp/ompi.a.7/pid.17", "tmp/ompi.a.7/pid.18/0"]
        {
            fs::create_dir_all(place(name)).unwrap();
        }
        for name in
            ["lcsl-7-a-17/pid.17", "lcsl-7-a-18/pid.18/0", "lcsl-7-b-18/pid.18", "ompi.a.8/pid.18"]
        {
            fs::create_dir_all(place("tmp").join(name)).unwrap();
        }
        let kept = [
            "vader_segment.a.b.7.1f.1",   // mapped
            "vader_segment.a.b.7.2f.0",   // too young
            "vader_segment.a.b.8.1f.0",   // another user's
            "vader_segment.other.7.1f.0", // another host's
            "vader_segment.a.b.7.notes",  // no segment
            "nccl-xyz",
        ];
        for name in kept {
            segment(&memory, name, if name.contains("2f") { 5 } else { 600 });
        }
        segment(&memory, "vader_segment.a.b.7.1f.0", 600);
        segment(&memory, "sm_segment.a.7.aa.3", 600);
        let map = "7f00-7f01 rw-s 00000000 00:15 9 /dev/shm/vader_segment.a.b.7.1f.1\n";
        fs::write(processes.join("17/maps"), map).unwrap();
        sweep_at(&Places {
            memory: &memory,
            sessions: &sessions,
            processes: &processes,
            host: "a.b",
            user: 7,
        });
        let left: HashSet<String> = names(&memory).collect();
        assert_eq!(left, kept.map(str::to_owned).into());
        assert!(sessions.join("ompi.a.7/pid.17").exists(), "its mpirun lives");
        assert!(!sessions.join("ompi.a.7/pid.18").exists());
        assert!(sessions.join("ompi.a.8/pid.18").exists(), "another user's");
        assert!(sessions.join("lcsl-7-a-17/pid.17").exists(), "its mpirun lives");
        assert!(!sessions.join("lcsl-7-a-18").exists());
        assert!(sessions.join("lcsl-7-b-18/pid.18").exists(), "another host's launcher's");
    }
}
