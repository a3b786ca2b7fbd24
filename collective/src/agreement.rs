//! What all ranks must have in common before they begin: one program, one configuration, one
//! dataset.
//!
//! A rank that differs would train along, and make the weights of all wrong.

use std::fmt::Write as _;

use crate::communicator::{CollectiveError, Communicator};
use crate::groups::{groups, named};

/// Texts up to this length are shown as they are, digests by their first bytes.
const SHOWN_MAX: usize = 64;

/// Compares a short text or a digest, `mine`, over all ranks; `name` completes the sentence "ranks
/// disagree on". Collective.
///
/// ```
/// use lcsl_collective::{agreement::agree, threads};
///
/// let versions = ["0.1.0", "0.1.0", "0.2.0"];
/// let ranks = threads::world(3).into_iter().zip(versions).map(|(mut world, version)| {
///     std::thread::spawn(move || agree(&mut world, "the version of lcsl-rank", version.as_bytes()))
/// });
/// for rank in ranks.collect::<Vec<_>>() {
///     assert_eq!(
///         rank.join().unwrap().unwrap_err().to_string(),
///         "ranks disagree on the version of lcsl-rank: rank 2 has 0.2.0; ranks 0-1 have 0.1.0"
///     );
/// }
/// ```
///
/// # Errors
/// [`CollectiveError::Disagreement`], on every rank and in the same words; else what the world
/// reports.
pub fn agree(world: &mut dyn Communicator, name: &str, mine: &[u8]) -> Result<(), CollectiveError> {
    verdict(name, &world.all_gather(mine)?)
}

fn verdict(name: &str, said: &[Vec<u8>]) -> Result<(), CollectiveError> {
    let groups = groups(said);
    if groups.len() <= 1 {
        return Ok(());
    }
    let words: Vec<String> = groups
        .iter()
        .map(|group| {
            let verb = if group.ranks.len() == 1 { "has" } else { "have" };
            format!("{} {verb} {}", named(&group.ranks), shown(group.says))
        })
        .collect();
    Err(CollectiveError::Disagreement { subject: name.to_owned(), groups: words.join("; ") })
}

/// A text as it is, anything else as the first 8 bytes in hexadecimal.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => "nothing".to_owned(),
        Ok(text) if text.len() <= SHOWN_MAX && !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minority_is_named_first() {
        let [one, other] = [[0xab_u8; 32], [0xcd; 32]];
        let refused = |said: &[[u8; 32]]| {
            let said: Vec<Vec<u8>> = said.iter().map(|digest| digest.to_vec()).collect();
            verdict("the dataset", &said).unwrap_err().to_string()
        };
        assert!(verdict("the dataset", &[one.to_vec(), one.to_vec()]).is_ok());
        assert_eq!(
            refused(&[one, other, one]),
            "ranks disagree on the dataset: rank 1 has cdcdcdcdcdcdcdcd; \
             ranks 0 and 2 have abababababababab"
        );
        assert_eq!(
            refused(&[one, other]),
            "ranks disagree on the dataset: rank 0 has abababababababab; \
             rank 1 has cdcdcdcdcdcdcdcd"
        );
    }
}
