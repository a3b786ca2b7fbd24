//! Whether every rank can take part: what each finds where it runs, told to all before training begins.
//!
//! Ranks that find out for themselves leave one by one, and a person mends one host to hear of the next. So each tells
//! what it has found, and one of them says everything that is in the way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lcsl_collective::control::Failure;
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_run_dir::exit;
use serde::{Deserialize, Serialize};

/// A clock is called wrong when it differs by so much from that of rank 0.
const CLOCK_DIFFERENCE_MAX: Duration = Duration::from_secs(5);

/// What a rank has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The name of its host.
    pub host: String,
    /// Its clock when all ranks had come this far: milliseconds since 1970.
    pub clock_ms: i64,
    /// Why it cannot take part.
    pub obstacle: Option<Failure>,
}

/// What follows from what all ranks have found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// How this rank ends, if there is anything in the way. One rank says it for all.
    pub failure: Option<Failure>,
    /// What a person should know, a sentence each; the same on every rank.
    pub notes: Vec<String>,
}

/// Tells all ranks what this one has found on `host`, and hears what they have. A test may want the clock to be off by
/// so many seconds. Collective.
pub fn compare(
    world: &mut dyn Communicator,
    host: &str,
    obstacle: Option<Failure>,
    clock_off_seconds: i64,
) -> Result<Findings, CollectiveError> {
    world.barrier()?;
    let clock_ms = now_ms() + clock_off_seconds * 1000;
    let mine = Found { host: host.to_owned(), clock_ms, obstacle };
    let mine = serde_json::to_vec(&mine).expect("plain values");
    let said = world.all_gather(&mine)?;
    let found: Result<Vec<Found>, CollectiveError> =
        said.iter().enumerate().map(|(rank, bytes)| read(rank, bytes)).collect();
    Ok(judge(&found?, world.rank()))
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn read(rank: usize, bytes: &[u8]) -> Result<Found, CollectiveError> {
    serde_json::from_slice(bytes).map_err(|error| CollectiveError::Mismatch {
        rank,
        found: format!("{} bytes that cannot be read ({error})", bytes.len()),
        expected: "what it has found on its host".to_owned(),
    })
}

/// What rank `me` makes of what all have `found`.
pub fn judge(found: &[Found], me: usize) -> Findings {
    Findings { failure: failure(found, me), notes: clocks(found) }
}

fn failure(found: &[Found], me: usize) -> Option<Failure> {
    let in_the_way = |rank: usize| found[rank].obstacle.as_ref().map(|failure| (rank, failure));
    let (speaker, first) = (0..found.len()).find_map(in_the_way)?;
    if me != speaker {
        let what = format!("rank {speaker} cannot take part: {}", first.what);
        let exit_code = exit::RANK_FAILED.into();
        return Some(Failure { what, hint: None, exit_code, bystander: true });
    }
    // Ranks of a host find the same.
    let mut others: Vec<(&str, &Failure)> = Vec::new();
    for (rank, failure) in (0..found.len()).filter_map(in_the_way) {
        let known = (found[rank].host.as_str(), failure);
        let is_first = known.0 == found[speaker].host && failure.what == first.what;
        if !is_first && !others.iter().any(|it| it.0 == known.0 && it.1.what == failure.what) {
            others.push(known);
        }
    }
    let also = others.iter().map(|(host, it)| format!("host {host}, too: {}", it.what));
    let all: Vec<String> = std::iter::once(first.what.clone()).chain(also).collect();
    Some(Failure { what: all.join("\n"), bystander: false, ..first.clone() })
}

fn clocks(found: &[Found]) -> Vec<String> {
    let Some(Found { host: here, clock_ms: reference, .. }) = found.first() else {
        return Vec::new();
    };
    let mut notes: Vec<(&str, String)> = Vec::new();
    for Found { host, clock_ms, .. } in found {
        let off = clock_ms - reference;
        let is_wrong = Duration::from_millis(off.unsigned_abs()) >= CLOCK_DIFFERENCE_MAX;
        if is_wrong && host != here && !notes.iter().any(|(noted, _)| noted == host) {
            let (seconds, way) = (off.abs() / 1000, if off > 0 { "ahead of" } else { "behind" });
            let note = format!(
                "the clock of host {host} is {seconds} s {way} that of {here}: times in its log, and of files \
                 that it writes, are off by as much"
            );
            notes.push((host, note));
        }
    }
    notes.into_iter().map(|(_, note)| note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str, clock_s: i64, obstacle: Option<&str>) -> Found {
        let failure = |what: &str| Failure {
            what: what.to_owned(),
            hint: Some("mend it".to_owned()),
            exit_code: exit::BAD_DATA.into(),
            bystander: false,
        };
        Found { host: host.to_owned(), clock_ms: clock_s * 1000, obstacle: obstacle.map(failure) }
    }

    /// Story: two of eight hosts had no data. One was named; when it was mended, the next start named the other.
    #[test]
    fn one_rank_says_everything_that_is_in_the_way() {
        let all = [
            found("h1", 0, None),
            found("h2", 0, Some("datasets/x is not there")),
            found("h2", 0, Some("datasets/x is not there")),
            found("h3", 0, Some("the driver shows no GPU")),
            found("h4", 0, Some("datasets/x is not there")),
        ];
        let said = |me: usize| judge(&all, me).failure.unwrap();
        assert_eq!(
            said(1).what,
            "datasets/x is not there\nhost h3, too: the driver shows no GPU\n\
             host h4, too: datasets/x is not there"
        );
        assert_eq!((said(1).exit_code, said(1).bystander), (exit::BAD_DATA.into(), false));
        assert!([0, 2, 3, 4].iter().all(|me| said(*me).bystander));
        assert_eq!(judge(&all[..1], 0), Findings::default());
    }

    #[test]
    fn clocks_that_differ_are_named_once_for_each_host() {
        let all = [
            found("h1", 1000, None),
            found("h2", 1004, None),
            found("h3", 4600, None),
            found("h3", 4600, None),
            found("h4", 0, None),
        ];
        let notes = judge(&all, 0).notes;
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].starts_with("the clock of host h3 is 3600 s ahead of that of h1"));
        assert!(notes[1].starts_with("the clock of host h4 is 1000 s behind that of h1"));
    }

    #[test]
    fn all_ranks_hear_of_it() {
        let ranks = lcsl_collective::threads::world(2).into_iter().map(|mut world| {
            std::thread::spawn(move || {
                let host = format!("h{}", world.rank());
                let is_second = world.rank() == 1;
                let obstacle = found("", 0, Some("no room")).obstacle.filter(|_| is_second);
                compare(&mut world, &host, obstacle, if is_second { 60 } else { 0 })
            })
        });
        let ranks: Vec<_> = ranks.collect();
        let findings = ranks.into_iter().map(|rank| rank.join().unwrap().unwrap());
        for (rank, findings) in findings.enumerate() {
            assert_eq!(findings.failure.unwrap().bystander, rank == 0);
            assert!(findings.notes[0].contains("host h1 is"), "{:?}", findings.notes);
        }
    }
}
