//! Waiting for a GPU, with an end.

use std::time::{Duration, Instant};

use lcsl_collective::CollectiveError;

/// Polls without a pause: a small collective takes a few microseconds.
const EAGER_POLLS: u32 = 1000;
const PAUSE: Duration = Duration::from_micros(50);

/// How long a call waits for the GPU and the other ranks: longer than a watchdog lets a rank read data or write a
/// checkpoint, since that one knows who is waited for. It is for ranks that nobody watches.
pub const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Asks until something is over.
///
/// # Errors
/// The first that asking reports, and that it is not over after `patience`.
pub fn until(
    patience: Duration,
    mut is_over: impl FnMut() -> Result<bool, CollectiveError>,
) -> Result<(), CollectiveError> {
    let (mut polls, began) = (0_u32, Instant::now());
    while !is_over()? {
        polls = polls.saturating_add(1);
        if polls < EAGER_POLLS {
            std::thread::yield_now();
        } else if began.elapsed() < patience {
            std::thread::sleep(PAUSE);
        } else {
            let (operation, library) = ("a collective on the GPU", "NCCL");
            let seconds = patience.as_secs();
            let message = format!(
                "not over after {seconds} s: another rank does not take part, or the GPU is stuck"
            );
            return Err(CollectiveError::Library { operation, library, message });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_when_it_is_over_when_it_fails_and_when_it_lasts_too_long() {
        let mut asked = 0;
        let after = |polls: u32| {
            asked = 0;
            until(PATIENCE, || {
                asked += 1;
                Ok(asked > polls)
            })
        };
        [0, 5, 1005].map(after).into_iter().for_each(|ended| ended.unwrap());
        assert_eq!(asked, 1006);
        let failed = || CollectiveError::Unsupported { what: "gone".to_owned() };
        assert_eq!(until(PATIENCE, || Err(failed())).unwrap_err().to_string(), "gone");
        let late = until(Duration::ZERO, || Ok(false)).unwrap_err().to_string();
        assert!(late.contains("not over after 0 s"), "{late}");
    }
}
