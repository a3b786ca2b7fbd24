//! Which programs a run needs: `lcsl-rank`, and `mpirun` when there are several ranks.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lcsl_config::Problem;

use super::libtorch::{self, Places};
use crate::fault::Fault;
use lcsl_run_dir::exit;

/// The program of one rank.
const RANK: &str = "lcsl-rank";

/// Where to look.
#[derive(Debug, Clone)]
pub struct SearchPaths {
    /// The folder of our own executable.
    pub own_folder: Option<PathBuf>,
    /// `PATH`.
    pub path: Option<OsString>,
    /// Where libtorch may be.
    pub libtorch: Places,
}

impl SearchPaths {
    /// The paths of this process.
    pub fn here() -> Self {
        let own = std::env::current_exe().ok();
        Self {
            own_folder: own.and_then(|own| own.parent().map(Path::to_owned)),
            path: std::env::var_os("PATH"),
            libtorch: Places::here(),
        }
    }
}

/// What was found; what is missing is among the problems.
#[derive(Debug, Clone, Default)]
pub struct Installed {
    /// `lcsl-rank`.
    pub rank: Option<PathBuf>,
    /// The directory of libtorch's shared libraries.
    pub libtorch: Option<PathBuf>,
    /// Everything that is missing or does not fit.
    pub problems: Vec<Problem>,
}

impl Installed {
    /// The rank's program and libtorch's directory, or everything that is missing at once.
    pub fn complete(self) -> Result<(PathBuf, PathBuf), Fault> {
        match (self.rank, self.libtorch) {
            (Some(rank), Some(libtorch)) if self.problems.is_empty() => Ok((rank, libtorch)),
            _ => {
                let title = "what a run needs is not all installed";
                Err(Fault::several(title, &self.problems, exit::USAGE))
            }
        }
    }
}

/// Looks for everything that `nproc` ranks need. Costs a few file accesses and starts no process.
pub fn look(paths: &SearchPaths, nproc: usize) -> Installed {
    let mut installed = Installed::default();
    match find_rank(paths) {
        Ok(rank) => installed.rank = Some(rank),
        Err(problem) => installed.problems.push(problem),
    }
    if nproc > 1 && in_path("mpirun", paths.path.as_deref()).is_none() {
        installed.problems.push(Problem {
            what: format!("mpirun was not found, and {nproc} ranks need it"),
            place: searched_path(paths),
            hint: Some(
                "on Debian: apt-get install openmpi-bin libopenmpi-dev; --nproc=1 does without"
                    .to_owned(),
            ),
        });
    }
    match libtorch::find(&paths.libtorch) {
        Ok(directory) => installed.libtorch = Some(directory),
        Err(problem) => installed.problems.push(problem),
    }
    installed
}

fn find_rank(paths: &SearchPaths) -> Result<PathBuf, Problem> {
    let beside = paths.own_folder.as_ref().map(|folder| folder.join(RANK));
    if let Some(beside) = beside.as_ref().filter(|path| is_program(path)) {
        return Ok(beside.clone());
    }
    in_path(RANK, paths.path.as_deref()).ok_or_else(|| Problem {
        what: format!("{RANK}, the program of one rank, was not found"),
        place: match beside {
            Some(beside) => format!("{}, then {}", beside.display(), searched_path(paths)),
            None => searched_path(paths),
        },
        hint: Some("run `make build`, which puts lcsl and lcsl-rank side by side".to_owned()),
    })
}

fn searched_path(paths: &SearchPaths) -> String {
    match &paths.path {
        Some(path) => format!("PATH={}", path.to_string_lossy()),
        None => "PATH, which is not set".to_owned(),
    }
}

/// The program `name` in the folders of `path`, which has the form of `PATH`.
pub fn in_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = std::env::split_paths(path?).filter(|folder| !folder.as_os_str().is_empty());
    folders.map(|folder| folder.join(name)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    let executable =
        |about: std::fs::Metadata| about.is_file() && about.permissions().mode() & 0o111 != 0;
    path.metadata().is_ok_and(executable)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn program(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn paths(folder: &Path) -> SearchPaths {
        SearchPaths {
            own_folder: Some(folder.join("own")),
            path: Some(folder.join("path").into()),
            libtorch: Places { variable: Some(folder.join("torch")), ..Places::default() },
        }
    }

    #[test]
    fn everything_that_is_missing_is_said_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fault = look(&paths(folder.path()), 2).complete().unwrap_err();
        assert_eq!(fault.exit_code, exit::USAGE);
        let text = fault.to_string().replace(folder.path().to_str().unwrap(), "DIR");
        insta::assert_snapshot!(text, @r"
        what a run needs is not all installed
          - lcsl-rank, the program of one rank, was not found
            where: DIR/own/lcsl-rank, then PATH=DIR/path
            hint: run `make build`, which puts lcsl and lcsl-rank side by side
          - mpirun was not found, and 2 ranks need it
            where: PATH=DIR/path
            hint: on Debian: apt-get install openmpi-bin libopenmpi-dev; --nproc=1 does without
          - libtorch was not found: no libtorch_cpu.so
            where: DIR/torch/lib (LIBTORCH)
            hint: run `make setup`, or set LIBTORCH to the folder of a libtorch 2.11.0
        ");
    }

    #[test]
    fn one_rank_needs_no_mpirun() {
        let folder = tempfile::tempdir().unwrap();
        let problems = look(&paths(folder.path()), 1).problems;
        assert!(problems.iter().all(|problem| !problem.what.contains("mpirun")), "{problems:?}");
    }

    #[test]
    fn the_neighbour_is_preferred_to_path_and_must_be_executable() {
        let folder = tempfile::tempdir().unwrap();
        let (beside, elsewhere) =
            (folder.path().join("own/lcsl-rank"), folder.path().join("path/lcsl-rank"));
        program(&elsewhere, 0o755);
        program(&beside, 0o644);
        assert_eq!(look(&paths(folder.path()), 1).rank, Some(elsewhere));
        program(&beside, 0o755);
        assert_eq!(look(&paths(folder.path()), 1).rank, Some(beside));
    }
}
