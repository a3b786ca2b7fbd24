//! What there is on this machine: cores and GPUs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use lcsl_collective::placement::visible_entries;
use lcsl_config::Machine;

/// Where the NVIDIA driver describes itself.
const DRIVER: &str = "/proc/driver/nvidia";

/// Looks at the machine; costs two file accesses and loads no library.
pub fn look() -> Machine {
    Machine {
        cores: thread::available_parallelism().map_or(1, Into::into),
        gpus: gpus(Path::new(DRIVER), visible_devices().as_deref()),
    }
}

/// How many threads of other programs run on this machine at the moment, where all of its cores are ours to use: where
/// they are not, nobody can tell which of them compete with us.
pub fn running_elsewhere() -> usize {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let all = cores_of(&read("/proc/stat"));
    if thread::available_parallelism().map_or(0, Into::into) != all {
        return 0;
    }
    // Many run for a moment; those that are there at each of several looks run for longer.
    let look = |_| {
        thread::sleep(Duration::from_millis(2));
        running_of(&read("/proc/loadavg")).saturating_sub(1)
    };
    (0..3).map(look).min().unwrap_or(0)
}

/// Cores of the machine (`/proc/stat`, proc(5)).
fn cores_of(stat: &str) -> usize {
    let is_core = |line: &&str| line.starts_with("cpu") && !line.starts_with("cpu ");
    stat.lines().filter(is_core).count()
}

/// Threads that run or could (`/proc/loadavg`, proc(5)); this one is among them.
fn running_of(load: &str) -> usize {
    let running = load.split(' ').nth(3).and_then(|field| field.split_once('/'));
    running.and_then(|(running, _)| running.parse().ok()).unwrap_or(0)
}

/// `CUDA_VISIBLE_DEVICES` as a scheduler may have set it: the only GPUs that this job may use, in
/// its own numbering.
pub fn visible_devices() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}

/// Number of usable GPUs; none where no driver is present.
fn gpus(driver: &Path, visible: Option<&str>) -> Option<usize> {
    if !driver.join("version").exists() {
        return None;
    }
    let present = fs::read_dir(driver.join("gpus")).map_or(0, Iterator::count);
    Some(match visible {
        Some(list) => visible_entries(list).len().min(present),
        None => present,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_driver_is_told_from_one_without_gpus() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(gpus(folder.path(), None), None);
        fs::write(folder.path().join("version"), "NVRM").unwrap();
        assert_eq!(gpus(folder.path(), None), Some(0));
        for card in ["0000:01:00.0", "0000:02:00.0"] {
            fs::create_dir_all(folder.path().join("gpus").join(card)).unwrap();
        }
        assert_eq!(gpus(folder.path(), None), Some(2));
    }

    #[test]
    fn what_else_runs_is_read_as_the_system_writes_it() {
        assert_eq!(cores_of("cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n"), 2);
        assert_eq!(running_of("0.20 0.18 0.12 3/80 11206\n"), 3);
        assert_eq!((cores_of(""), running_of("")), (0, 0));
    }

    #[test]
    fn a_scheduler_may_hide_gpus() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("version"), "NVRM").unwrap();
        for card in ["a", "b", "c"] {
            fs::create_dir_all(folder.path().join("gpus").join(card)).unwrap();
        }
        for (list, count) in [("2", 1), ("0,2", 2), ("", 0), ("-1", 0), ("0,-1,1", 1)] {
            assert_eq!(gpus(folder.path(), Some(list)), Some(count), "{list:?}");
        }
    }
}
