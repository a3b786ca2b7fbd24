//! What there is on this machine: cores and GPUs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use lcsl_collective::placement::visible_entries;
use lcsl_config::Machine;

/// Looks at the machine; costs two file accesses and loads no library.
pub fn look() -> Machine {
    Machine {
        cores: thread::available_parallelism().map_or(1, Into::into),
        gpus: gpus(Path::new("/"), visible_devices().as_deref()),
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

/// Number of usable GPUs; none where no driver is present, and more than anybody has where they cannot be counted
/// without it: then each rank finds out.
fn gpus(root: &Path, visible: Option<&str>) -> Option<usize> {
    let present = present(root)?;
    let Some(list) = visible else { return Some(present) };
    let entries = visible_entries(list);
    // Parts of a GPU have names; an ordinal that does not exist ends the list, as the driver has it.
    let exists = |entry: &&&str| entry.parse::<usize>().map_or(true, |ordinal| ordinal < present);
    let usable = entries.iter().take_while(exists).count();
    let are_parts = entries.iter().any(|entry| entry.starts_with("MIG-"));
    Some(if are_parts { usable } else { usable.min(present) })
}

/// GPUs that the system shows: where the driver describes itself; in sandboxes that hide that, as files; under WSL2 as
/// one file for all of them, so that they are [`usize::MAX`].
fn present(root: &Path) -> Option<usize> {
    let listed = fs::read_dir(root.join("proc/driver/nvidia/gpus")).map_or(0, Iterator::count);
    let is_gpu = |name: &str| name.strip_prefix("nvidia").is_some_and(is_number);
    let files = fs::read_dir(root.join("dev")).map_or(0, |entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_str().is_some_and(is_gpu)).count()
    });
    let has = |path: &str| root.join(path).exists();
    match (listed, files) {
        (0, 0) if has("dev/dxg") => Some(usize::MAX),
        (0, 0) => (has("proc/driver/nvidia/version") || has("dev/nvidiactl")).then_some(0),
        (0, files) => Some(files),
        (listed, _) => Some(listed),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that shows these files.
    fn showing(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    #[test]
    fn a_machine_without_a_driver_is_told_from_one_without_gpus() {
        let count = |files: &[&str]| gpus(showing(files).path(), None);
        assert_eq!(count(&[]), None);
        assert_eq!(count(&["proc/driver/nvidia/version"]), Some(0));
        let two =
            ["01", "02"].map(|bus| format!("proc/driver/nvidia/gpus/0000:{bus}:00.0/information"));
        assert_eq!(count(&["proc/driver/nvidia/version", &two[0], &two[1]]), Some(2));
    }

    /// Story: in a sandbox that has the GPU's device files and no `/proc/driver/nvidia`, and under WSL2, `--gpu=0` was
    /// refused for want of a driver, though libtorch would have trained there.
    #[test]
    fn gpus_are_seen_where_the_driver_does_not_describe_itself() {
        let count = |files: &[&str]| gpus(showing(files).path(), None);
        assert_eq!(
            count(&["dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia0", "dev/nvidia12"]),
            Some(2)
        );
        assert_eq!(count(&["dev/nvidiactl", "dev/nvidia-uvm"]), Some(0));
        assert_eq!(count(&["dev/dxg"]), Some(usize::MAX), "each rank counts");
        assert_eq!(gpus(showing(&["dev/dxg"]).path(), Some("0")), Some(1));
    }

    #[test]
    fn what_else_runs_is_read_as_the_system_writes_it() {
        assert_eq!(cores_of("cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n"), 2);
        assert_eq!(running_of("0.20 0.18 0.12 3/80 11206\n"), 3);
        assert_eq!((cores_of(""), running_of("")), (0, 0));
    }

    #[test]
    fn a_scheduler_may_hide_gpus() {
        let root = showing(&["dev/nvidia0", "dev/nvidia1", "dev/nvidia2"]);
        let lists = [
            ("2", 1),
            ("0,2", 2),
            ("", 0),
            ("-1", 0),
            ("0,-1,1", 1),
            ("0,7,1", 1), // what does not exist hides what follows
            ("GPU-8932f937,GPU-1b2c", 2),
            ("GPU-1,GPU-2,GPU-3,GPU-4", 3),
            ("MIG-1,MIG-2,MIG-3,MIG-4", 4), // of one GPU, it may be
        ];
        for (list, count) in lists {
            assert_eq!(gpus(root.path(), Some(list)), Some(count), "{list:?}");
        }
    }
}
