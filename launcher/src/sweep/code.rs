//! Which code the programs are of.

use std::path::Path;
use std::process::Command;

/// The folders whose code decides what a run comes to.
const SOURCES: [&str; 5] =
    [":/trainer/src", ":/data", ":/configs/src", ":/collective", ":/Cargo.lock"];

/// The version of the program, and where it lies in a checkout of its sources, the last commit that changed them;
/// with a + where there are changes that no commit has.
pub fn code() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let own = std::env::current_exe().ok();
    let commit = own.as_deref().and_then(Path::parent).and_then(commit_around);
    commit.map_or_else(|| version.to_owned(), |commit| format!("{version} {commit}"))
}

/// The commit of the checkout that a folder lies in, where it is one of these sources.
fn commit_around(folder: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(arguments)
            .args(SOURCES)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["log", "-1", "--format=%h", "--abbrev=12", "--"])?;
    let changes = git(&["status", "--porcelain", "--"])?;
    let mark = if changes.is_empty() { "" } else { "+" };
    (!commit.is_empty()).then(|| format!("{commit}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_that_of_the_sources_and_changes_are_marked() {
        let folder = tempfile::tempdir().unwrap();
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
            let mut git = Command::new("git");
            let output = git.arg("-C").arg(folder.path()).args(identity).args(arguments).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        git(&["init", "-q"]);
        assert_eq!(commit_around(folder.path()), None, "there is no commit yet");
        write("trainer/src/lib.rs", "1");
        git(&["add", "."]);
        git(&["commit", "-qm", "code"]);
        let code = git(&["rev-parse", "--short=12", "HEAD"]);
        write("README.md", "1");
        write("target/release/lcsl", "");
        git(&["add", "README.md"]);
        git(&["commit", "-qm", "words"]);
        let programs = folder.path().join("target/release");
        assert_eq!(commit_around(&programs), Some(code.clone()));
        write("trainer/src/lib.rs", "2");
        assert_eq!(commit_around(&programs), Some(format!("{code}+")));
    }
}
