//! Which collective call ranks wait in, and who has not come to it. Pure.

use lcsl_collective::calls::{CallKind, CallStatus, Operation};

use super::facts::{Facts, RankStatus};
use super::start::listed;

/// The call that a rank is in now, the newest communicator's first.
pub(super) fn current(status: &RankStatus) -> Option<CallStatus> {
    status.calls.iter().rev().find(|call| call.waiting).copied()
}

/// Who waits for `rank`, and in what: completes a sentence about that rank. Empty where nobody does.
pub(super) fn who_waits_for(facts: &Facts, rank: usize, others: &[usize]) -> String {
    let waits = match others {
        [] => return String::new(),
        [one] => format!("; rank {one} waits for it"),
        several => format!("; {} wait for it", listed(several)),
    };
    let call = others.iter().find_map(|other| missed(&facts.ranks[rank], &facts.ranks[*other]));
    call.map_or(waits.clone(), |call| format!("{waits} in {call}"))
}

/// The call that `waiting` is in and `late` has not begun.
fn missed(late: &RankStatus, waiting: &RankStatus) -> Option<CallStatus> {
    let call = current(waiting)?;
    let made = late.calls.iter().find(|made| made.communicator == call.communicator);
    let has_begun = made.is_some_and(|made| made.number >= call.number);
    (!has_begun).then_some(call)
}

/// Ranks that wait in a call which `rank` has not begun.
pub(super) fn waiting_for(facts: &Facts, rank: usize) -> Vec<usize> {
    let late = &facts.ranks[rank];
    let waits = |other: &usize| *other != rank && missed(late, &facts.ranks[*other]).is_some();
    (0..facts.ranks.len()).filter(waits).collect()
}

/// Whether these ranks all wait in the call of one number on one communicator and have called for different things,
/// which no time will mend.
pub(super) fn contradict(facts: &Facts, ranks: &[usize]) -> bool {
    let Some(first) = ranks.first() else { return false };
    facts.ranks[*first].calls.iter().filter(|call| call.waiting).any(|call| {
        let kind_of = |rank: &usize| {
            let mut calls = facts.ranks[*rank].calls.iter().filter(|it| it.waiting);
            let place = (call.communicator, call.number);
            calls.find(|it| (it.communicator, it.number) == place).map(|it| it.kind)
        };
        let kinds: Option<Vec<CallKind>> = ranks.iter().map(kind_of).collect();
        kinds.is_some_and(|kinds| kinds.iter().any(|kind| differ(*kind, call.kind)))
    })
}

/// Whether two ranks call for different things. In an exchange each pair has a length of its own.
fn differ(one: CallKind, other: CallKind) -> bool {
    let is_sum = one.operation == Operation::Sum;
    (one.operation, one.element) != (other.operation, other.element)
        || (is_sum && one.count != other.count)
}
