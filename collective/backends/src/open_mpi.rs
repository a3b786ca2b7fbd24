//! Which MPI this is: told by its own description of itself.
//!
//! The sentinels of MPI (`MPI_IN_PLACE`, the null handles) differ between implementations, and ours
//! are Open MPI's. Under another library they would be taken for addresses.

use lcsl_collective::CollectiveError;

/// Refuses every library but Open MPI 4 and 5. `description` is what `MPI_Get_library_version` says.
pub(crate) fn refuse_others(description: &str) -> Result<(), CollectiveError> {
    let major = description
        .strip_prefix("Open MPI v")
        .and_then(|rest| rest.split('.').next())
        .and_then(|major| major.parse::<u32>().ok());
    if matches!(major, Some(4 | 5)) {
        return Ok(());
    }
    Err(CollectiveError::Unsupported {
        what: format!(
            "the MPI library is {}, and only Open MPI 4 and 5 are supported for now",
            first_words(description)
        ),
    })
}

/// `Open MPI v3.1.6` or `MPICH Version: 4.1.2` out of a description that may have many lines.
fn first_words(description: &str) -> String {
    let line = description.lines().next().unwrap_or_default();
    let words: Vec<&str> = line.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => "one without a name".to_owned(),
        words => words[..words.len().min(3)].join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_mpi_is_recognised() {
        for description in [
            "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4, repo rev: v4.1.4, May 26, 2022",
            "Open MPI v5.0.6, package: Open MPI root@host Distribution, ident: 5.0.6",
            "Open MPI v5.1.0a1",
        ] {
            assert!(refuse_others(description).is_ok(), "{description}");
        }
    }

    #[test]
    fn others_are_refused_in_words() {
        let refused = |description| refuse_others(description).unwrap_err().to_string();
        assert_eq!(
            refused("MPICH Version:      4.1.2\nMPICH Release date: Wed Jun  7 2023\n"),
            "the MPI library is MPICH Version: 4.1.2, and only Open MPI 4 and 5 are supported for now"
        );
        assert_eq!(
            refused("Open MPI v3.1.6, package: x"),
            "the MPI library is Open MPI v3.1.6, and only Open MPI 4 and 5 are supported for now"
        );
        assert_eq!(
            refused("Intel(R) MPI Library 2021.9 for Linux* OS\n"),
            "the MPI library is Intel(R) MPI Library, and only Open MPI 4 and 5 are supported for now"
        );
        assert!(refused("").contains("one without a name"));
    }
}
