//! What there is on this machine: cores and GPUs.

use std::fs;
use std::path::Path;
use std::thread;

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
