//! Waiting for all ranks to come. Without a limit a start that hangs, as mpirun does where it may open
//! too few files, would hang for ever.

use std::time::Duration;

use super::facts::Facts;

/// From so long a wait on, a person is told what is waited for; sooner where the limit is near.
const TOLD_AFTER: Duration = Duration::from_secs(10);

/// How long the ranks of an attempt may take to come.
#[derive(Debug)]
pub(super) struct Start {
    limit: Duration,
    /// When the newest rank came, at first the beginning of the attempt.
    newest: Duration,
    told: bool,
}

impl Start {
    /// Allows `limit` without a new rank.
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, newest: Duration::ZERO, told: false }
    }

    /// A rank came at `now`.
    pub(super) fn arrived(&mut self, now: Duration) {
        self.newest = now;
    }

    /// When there is something to say or to end.
    pub(super) fn wake_at(&self) -> Duration {
        if self.told { self.over_at() } else { self.told_at() }
    }

    /// Whether the ranks that have not come by `now` are not waited for any more.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.over_at()
    }

    /// What is waited for, once, if at `now` it is time to say so.
    pub(super) fn tell(&mut self, now: Duration, facts: &Facts) -> Option<String> {
        if self.told || now < self.told_at() {
            return None;
        }
        self.told = true;
        let (absent, limit) = (listed(&absent(facts)), self.limit.as_secs());
        Some(format!(
            "waiting for {absent} to load libtorch and reach the launcher, at most {limit} s \
             (run.start_limit_seconds)"
        ))
    }

    fn told_at(&self) -> Duration {
        self.newest + TOLD_AFTER.min(self.limit / 2)
    }

    fn over_at(&self) -> Duration {
        self.newest + self.limit
    }
}

/// The ranks that have not come.
pub(super) fn absent(facts: &Facts) -> Vec<usize> {
    let ranks = facts.ranks.iter().enumerate();
    ranks.filter(|(_, status)| status.hello.is_none()).map(|(rank, _)| rank).collect()
}

/// Ranks as a sentence names them.
pub(super) fn listed(ranks: &[usize]) -> String {
    match ranks {
        [rank] => format!("rank {rank}"),
        [first, .., last] if last - first + 1 == ranks.len() => format!("ranks {first} to {last}"),
        _ => {
            let numbers: Vec<String> = ranks.iter().map(usize::to_string).collect();
            format!("ranks {}", numbers.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_listed_as_short_as_they_can_be() {
        assert_eq!(listed(&[3]), "rank 3");
        assert_eq!(listed(&[0, 1, 2, 3]), "ranks 0 to 3");
        assert_eq!(listed(&[0, 2, 3]), "ranks 0, 2, 3");
    }
}
