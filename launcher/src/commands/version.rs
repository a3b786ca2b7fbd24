//! `lcsl --version`: this program, and the libraries that its ranks would use here.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::ranks::libtorch::{self, Places};
use crate::ranks::programs::{self, SearchPaths};

/// NCCL's library, under the name that programs load it by.
const NCCL: &str = "libnccl.so.2";

/// A version is printed at once, or there is something wrong.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where distributions put libraries, after everything that was set up by hand.
const SYSTEM: &[&str] = &["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib"];

/// A library as it was found, or why it was not.
struct Library {
    name: &'static str,
    found: Result<(String, PathBuf), String>,
}

/// What `lcsl --version` prints: a line for the program, then one for each library. Starts
/// `mpirun --version`; loads nothing.
pub fn text() -> String {
    let paths = SearchPaths::here();
    let libtorch = find_libtorch(&paths.libtorch);
    let nccl = find_nccl(&paths.libtorch, libtorch.found.as_ref().ok().map(|(_, at)| at.as_path()));
    shown(&[libtorch, find_mpi(paths.path.as_deref()), nccl])
}

fn shown(libraries: &[Library]) -> String {
    let mut text = format!("lcsl {}\n", env!("CARGO_PKG_VERSION"));
    for Library { name, found } in libraries {
        let _ = match found {
            Ok((version, place)) => writeln!(text, "{name:<9} {version:<13} {}", place.display()),
            Err(why) => writeln!(text, "{name:<9} {why}"),
        };
    }
    text
}

fn find_libtorch(places: &Places) -> Library {
    let found = libtorch::find(places)
        .map(|directory| (libtorch::version(&directory).unwrap_or_else(unknown), directory))
        .map_err(|problem| problem.what);
    Library { name: "libtorch", found }
}

fn find_mpi(path: Option<&OsStr>) -> Library {
    let found = match programs::in_path("mpirun", path) {
        None => Err("not found: no mpirun in PATH (needed by more than one rank)".to_owned()),
        Some(mpirun) => match said_by(Command::new(&mpirun).arg("--version"), ANSWER_MAX) {
            Err(error) => Err(format!("{} does not say its version: {error}", mpirun.display())),
            Ok(said) => open_mpi_version(&said).map(|version| (version, mpirun)),
        },
    };
    Library { name: "Open MPI", found }
}

/// What a program prints when it ends in time.
fn said_by(command: &mut Command, answer_max: Duration) -> io::Result<String> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        if began.elapsed() > answer_max {
            let _ = child.kill();
            child.wait()?;
            return Err(io::Error::other(format!("no answer within {answer_max:?}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads `mpirun (Open MPI) 4.1.4`.
fn open_mpi_version(said: &str) -> Result<String, String> {
    let first = said.lines().next().unwrap_or_default();
    let version = first.split_once("(Open MPI)").map(|(_, version)| version.trim().to_owned());
    version.ok_or_else(|| format!("not found: mpirun is of another MPI, which says {first:?}"))
}

/// NCCL comes with PyTorch's wheel, in a folder beside it, or with the system.
fn find_nccl(places: &Places, libtorch: Option<&Path>) -> Library {
    let listed = places.library_path.as_deref().unwrap_or_default();
    let listed = std::env::split_paths(listed).filter(|folder| !folder.as_os_str().is_empty());
    let real = libtorch.and_then(|directory| fs::canonicalize(directory).ok());
    let wheel = real.map(|directory| directory.join("../../nvidia/nccl/lib"));
    let folders = listed.chain(wheel).chain(SYSTEM.iter().map(PathBuf::from));
    let found = folders
        .map(|folder| folder.join(NCCL))
        .find_map(|file| fs::canonicalize(file).ok())
        .map(|file| (nccl_version(&file).unwrap_or_else(unknown), file))
        .ok_or_else(|| format!("not found: no {NCCL} (needed by GPUs only)"));
    Library { name: "NCCL", found }
}

/// The version is in the file's own name, or in the header beside it.
fn nccl_version(file: &Path) -> Option<String> {
    let named = file.file_name()?.to_str()?.strip_prefix("libnccl.so.")?;
    if named.contains('.') {
        return Some(named.to_owned());
    }
    let header = fs::read_to_string(file.parent()?.join("../include/nccl.h")).ok()?;
    let number = |name: &str| {
        let line =
            header.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
        line.map(|rest| rest.trim().to_owned())
    };
    Some([number("NCCL_MAJOR")?, number("NCCL_MINOR")?, number("NCCL_PATCH")?].join("."))
}

fn unknown() -> String {
    "version ?".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_and_what_is_missing_read_alike() {
        let found = |version: &str, place: &str| Ok((version.to_owned(), PathBuf::from(place)));
        let missing = Places::default();
        let text = shown(&[
            Library { name: "libtorch", found: found("2.11.0+cu130", "/opt/torch/lib") },
            find_mpi(Some(OsStr::new("/nowhere"))),
            find_nccl(&missing, None),
        ]);
        let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        // A machine with GPUs has NCCL; what is said there is not the subject.
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("NCCL")).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        lcsl VERSION
        libtorch  2.11.0+cu130  /opt/torch/lib
        Open MPI  not found: no mpirun in PATH (needed by more than one rank)
        ");
    }

    #[test]
    fn another_mpi_is_not_taken_for_open_mpi() {
        assert_eq!(open_mpi_version("mpirun (Open MPI) 4.1.4\n\nReport bugs"), Ok("4.1.4".into()));
        assert!(open_mpi_version("HYDRA build details:\n").unwrap_err().contains("another MPI"));
    }

    /// A script in the place of mpirun that took `--version` for a rank's argument once waited for
    /// ever, and `lcsl --version` with it.
    #[test]
    fn a_program_that_does_not_answer_is_not_waited_for() {
        let answer = said_by(Command::new("sleep").arg("60"), Duration::from_millis(50));
        assert_eq!(answer.unwrap_err().to_string(), "no answer within 50ms");
        let answer = said_by(Command::new("echo").arg("hello"), ANSWER_MAX);
        assert_eq!(answer.unwrap(), "hello\n");
    }

    #[test]
    fn the_version_of_nccl_is_read_from_its_name_or_its_header() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib");
        fs::create_dir_all(&lib).unwrap();
        fs::create_dir_all(folder.path().join("include")).unwrap();
        let header = "#define NCCL_MAJOR 2\n#define NCCL_MINOR 28\n#define NCCL_PATCH 9\n";
        fs::write(folder.path().join("include/nccl.h"), header).unwrap();
        assert_eq!(nccl_version(&lib.join(NCCL)), Some("2.28.9".into()));
        assert_eq!(nccl_version(&lib.join("libnccl.so.2.19.3")), Some("2.19.3".into()));
        assert_eq!(nccl_version(Path::new("/nowhere/libnccl.so.2")), None);
    }

    #[test]
    fn the_library_beside_the_wheel_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (torch, nccl) =
            (folder.path().join("torch/lib"), folder.path().join("nvidia/nccl/lib"));
        fs::create_dir_all(&torch).unwrap();
        fs::create_dir_all(&nccl).unwrap();
        fs::write(nccl.join(NCCL), "").unwrap();
        let (version, place) = find_nccl(&Places::default(), Some(&torch)).found.unwrap();
        assert_eq!((version.as_str(), place.file_name().unwrap()), ("version ?", OsStr::new(NCCL)));
    }
}
