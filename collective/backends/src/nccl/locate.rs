//! Where NCCL may lie: where `LCSL_NCCL` says, beside the libtorch of this process, or where the system's loader
//! looks.

use std::fs;
use std::path::{Path, PathBuf};

/// NCCL's name, the same in NVIDIA's wheels and in Debian's packages.
pub const NCCL: &str = "libnccl.so.2";

/// The CUDA driver's name. It belongs to the kernel module and lies where the loader looks.
pub const DRIVER: &str = "libcuda.so.1";

/// The variable by which a person names another one, a path.
pub const VARIABLE: &str = "LCSL_NCCL";

/// The places to try: the one that a person has named, and no other; or the wheel beside the libtorch that this
/// process has loaded, then the bare name, for which the loader searches `LD_LIBRARY_PATH` and the system.
pub fn candidates() -> Vec<PathBuf> {
    in_order(std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from))
}

fn in_order(named: Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named];
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let beside = torch_folder(&maps).and_then(|folder| beside_torch(&folder));
    beside.into_iter().chain([PathBuf::from(NCCL)]).collect()
}

/// The folder of libtorch's libraries, from the list of files that a process has mapped.
fn torch_folder(maps: &str) -> Option<PathBuf> {
    let paths =
        maps.lines().filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])));
    let mut libraries = paths.filter(|path| path.ends_with("libtorch_cpu.so"));
    Some(libraries.next()?.parent()?.to_owned())
}

/// `site-packages/torch/lib` has its NCCL at `site-packages/nvidia/nccl/lib`.
fn beside_torch(torch: &Path) -> Option<PathBuf> {
    let packages = torch.parent()?.parent()?;
    let path = packages.join("nvidia/nccl/lib").join(NCCL);
    path.exists().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_is_found_among_the_mapped_files() {
        let maps = "\
            55d0-55d1 r-xp 00000000 08:01 12 /usr/bin/lcsl-rank\n\
            7f00-7f01 rw-p 00000000 00:00 0\n\
            7f01-7f02 r-xp 00000000 08:01 13 /opt/my site-packages/torch/lib/libtorch_cpu.so\n";
        let expected = Path::new("/opt/my site-packages/torch/lib");
        assert_eq!(torch_folder(maps).as_deref(), Some(expected));
        assert_eq!(torch_folder("7f00-7f01 rw-p 00000000 00:00 0\n"), None);
    }

    #[test]
    fn the_wheel_is_found_beside_libtorch() {
        let packages = tempfile::tempdir().unwrap();
        let torch = packages.path().join("torch/lib");
        assert_eq!(beside_torch(&torch), None);
        let folder = packages.path().join("nvidia/nccl/lib");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(NCCL), "").unwrap();
        assert_eq!(beside_torch(&torch), Some(folder.join(NCCL)));
    }

    #[test]
    fn the_bare_name_is_tried_last_unless_a_person_has_named_another() {
        assert_eq!(in_order(None).last(), Some(&PathBuf::from(NCCL)));
        assert_eq!(in_order(Some("/opt/nccl.so".into())), [PathBuf::from("/opt/nccl.so")]);
    }
}
