use lcsl_collective::calls::{CallKind, Element, Operation};
use lcsl_collective::control::Hello;

use super::*;

const LIMITS: Limits = Limits {
    silence: Duration::from_secs(12),
    hang: Duration::from_secs(60),
    wait: Duration::from_secs(600),
};

/// Ranks that come at second 0 and tell where they are every second.
struct Scene {
    watchdog: Watchdog,
    facts: Facts,
    second: u64,
}

impl Scene {
    fn of(ranks: usize) -> Self {
        let mut facts = Facts::of(ranks, Vec::new());
        for (rank, status) in facts.ranks.iter_mut().enumerate() {
            status.hello = Some(Hello {
                secret: String::new(),
                rank,
                world_size: ranks,
                host: format!("h{rank}"),
                pid: 100 + rank as u32,
                device: "cpu".to_owned(),
                version: "0".to_owned(),
            });
        }
        let mut watchdog = Watchdog::new(ranks, LIMITS);
        watchdog.begin(Duration::ZERO);
        Self { watchdog, facts, second: 0 }
    }

    /// So many seconds, in which each rank that is given tells this every second; what was found.
    fn pass(&mut self, seconds: u64, told: &[(usize, u64, Phase)]) -> Vec<(u64, Finding)> {
        let mut found = Vec::new();
        for _ in 0..seconds {
            self.second += 1;
            let now = Duration::from_secs(self.second);
            for &(rank, step, phase) in told {
                (self.facts.ranks[rank].step, self.facts.ranks[rank].phase) = (step, Some(phase));
                self.watchdog.heard(now, rank);
                self.watchdog.told(now, rank, (step, phase), self.facts.ranks[rank].done);
            }
            let finding = self.watchdog.look(now, &self.facts);
            found.extend(finding.map(|finding| (self.second, finding)));
            if matches!(found.last(), Some((_, Finding::End(_)))) {
                break;
            }
        }
        found
    }

    /// Some steps that take a second each.
    fn work(&mut self, ranks: usize) {
        for step in 0..4 {
            for phase in [Phase::Compute, Phase::AllReduce] {
                let told: Vec<_> = (0..ranks).map(|rank| (rank, step, phase)).collect();
                assert_eq!(self.pass(1, &told), []);
            }
        }
    }
}

fn said(finding: &Finding) -> &str {
    match finding {
        Finding::Warning(text) => text,
        Finding::End(Verdict::Failed { what, .. }) => what,
        Finding::End(other) => panic!("{other:?}"),
    }
}

/// Story: a rank that was stopped hung its run for ever: heartbeats were kept, and no deadline.
#[test]
fn a_silent_rank_ends_the_run_and_is_named() {
    let mut scene = Scene::of(2);
    scene.work(2);
    let found = scene.pass(30, &[(0, 4, Phase::AllReduce)]);
    let times: Vec<u64> = found.iter().map(|(at, _)| at - 8).collect();
    assert_eq!(times, [10, 12]);
    assert_eq!(
        said(&found[0].1),
        "warning: rank 1 on host h1 has not been heard of for 10 s at step 3 while summing gradients"
    );
    assert_eq!(
        said(&found[1].1),
        "rank 1 on host h1 (process 101) has not been heard of for 12 s at step 3 while summing gradients"
    );
}

#[test]
fn a_rank_that_hangs_is_warned_of_and_then_ended_and_those_who_wait_are_not_blamed() {
    let mut scene = Scene::of(3);
    scene.work(3);
    let told = [(0, 4, Phase::AllReduce), (1, 4, Phase::Compute), (2, 4, Phase::AllReduce)];
    let found = scene.pass(100, &told);
    let texts: Vec<_> = found.iter().map(|(at, finding)| (at - 9, said(finding))).collect();
    assert_eq!(
        texts,
        [
            (
                10,
                "warning: rank 1 on host h1 makes no progress since 10 s at step 4 while in the forward and \
                 backward pass; ranks 0, 2 wait for it"
            ),
            (
                60,
                "rank 1 on host h1 makes no progress since 60 s at step 4 while in the forward and backward pass"
            ),
        ]
    );
}

#[test]
fn what_is_done_for_the_first_time_and_what_takes_long_by_nature_has_more_time() {
    for phase in [Phase::Compute, Phase::Data, Phase::Evaluation, Phase::Checkpoint] {
        let mut scene = Scene::of(1);
        let found = scene.pass(1000, &[(0, 0, phase)]);
        let times: Vec<u64> = found.iter().map(|(at, _)| at - 1).collect();
        assert_eq!(times, [100, 600], "{phase}");
    }
}

/// Story: measuring 50,000 large images on a CPU takes an hour. The run was ended after ten minutes, a rank that had
/// finished its share and waited for the others first.
#[test]
fn an_evaluation_takes_as_long_as_its_batches_come() {
    let mut scene = Scene::of(2);
    scene.work(2);
    for batch in 0..60 {
        scene.facts.ranks[1].done = batch;
        assert_eq!(scene.pass(60, &[(0, 4, Phase::Counts), (1, 4, Phase::Evaluation)]), []);
    }
    let found = scene.pass(700, &[(0, 4, Phase::Counts), (1, 4, Phase::Evaluation)]);
    assert_eq!(
        said(&found.last().unwrap().1),
        "rank 1 on host h1 makes no progress since 600 s at step 4 while evaluating (59 batches done)"
    );
}

#[test]
fn a_phase_that_usually_takes_long_may() {
    let mut scene = Scene::of(1);
    for step in 0..3 {
        assert_eq!(scene.pass(10, &[(0, step, Phase::Compute)]), []);
        assert_eq!(scene.pass(1, &[(0, step, Phase::Optimiser)]), []);
    }
    let found = scene.pass(1000, &[(0, 3, Phase::Compute)]);
    let times: Vec<u64> = found.iter().map(|(at, _)| at - 34).collect();
    assert_eq!(times, [50, 200], "5 and 20 medians of 10 s");
}

#[test]
fn ranks_in_different_collectives_are_named() {
    let mut scene = Scene::of(3);
    scene.work(3);
    let told = [(0, 4, Phase::AllReduce), (1, 4, Phase::AllReduce), (2, 4, Phase::Gather)];
    let found = scene.pass(100, &told);
    assert_eq!(
        said(&found.last().unwrap().1),
        "rank 2 on host h2 and the others wait in different collectives since 60 s: rank 2 at step 4 while \
         gathering candidates; ranks 0 to 1 at step 4 while summing gradients"
    );
    let mut scene = Scene::of(2);
    scene.work(2);
    let found = scene.pass(100, &[(0, 4, Phase::Gather), (1, 4, Phase::Gather)]);
    assert!(
        said(&found.last().unwrap().1).starts_with("all ranks wait for each other since 60 s, ")
    );
}

/// A suspended job, Ctrl-Z, a machine that slept: everybody seems to be silent.
#[test]
fn a_launcher_that_was_itself_stopped_starts_its_deadlines_anew() {
    let mut scene = Scene::of(2);
    scene.work(2);
    scene.second += 3600;
    assert_eq!(scene.pass(1, &[]), []);
    let found = scene.pass(20, &[]);
    let times: Vec<u64> = found.iter().map(|(at, _)| at - 3609).collect();
    assert_eq!(times, [10, 12]);
}

#[test]
fn a_limit_of_zero_is_none() {
    let mut scene = Scene::of(1);
    let none = Duration::ZERO;
    scene.watchdog.limits = Limits { silence: none, hang: none, wait: none };
    scene.work(1);
    assert_eq!(scene.pass(10_000, &[]), []);
}

#[test]
fn who_has_left_is_not_watched() {
    let mut scene = Scene::of(2);
    scene.work(2);
    scene.facts.ranks[1].last_word = Some(crate::supervise::facts::LastWord::Finished(0));
    assert_eq!(scene.pass(20, &[(0, 4, Phase::Leaving)]), []);
}

/// A rank in the call of this number on this communicator, or behind it.
fn call(communicator: u32, number: u64, waiting: bool) -> CallStatus {
    let kind = CallKind::new(Operation::Sum, Element::F32, 1000);
    CallStatus { communicator, number, kind, waiting }
}

/// Who waits in a collective says in which, and that the other has not come to it.
#[test]
fn the_call_that_a_rank_has_not_come_to_is_named() {
    let mut scene = Scene::of(3);
    scene.work(3);
    for rank in [0, 2] {
        scene.facts.ranks[rank].calls = vec![call(0, 40, false), call(1, 118, true)];
    }
    scene.facts.ranks[1].calls = vec![call(0, 40, false), call(1, 117, false)];
    let told = [(0, 4, Phase::AllReduce), (1, 4, Phase::Compute), (2, 4, Phase::AllReduce)];
    let found = scene.pass(100, &told);
    let waits = "; ranks 0, 2 wait for it in call 118 of communicator 1, a sum of 1000 float32";
    for (finding, begins) in found.iter().zip(["warning: rank 1 on host h1", "rank 1 on host h1"]) {
        let text = said(&finding.1);
        assert!(text.starts_with(begins) && text.ends_with(waits), "{text}");
    }
    assert_eq!(found.len(), 2);
}

/// All ranks sum gradients, and one of them has left a call out.
#[test]
fn ranks_in_different_calls_of_one_phase_are_told_apart() {
    let mut scene = Scene::of(3);
    scene.work(3);
    for (rank, number) in [(0, 118), (1, 117), (2, 118)] {
        scene.facts.ranks[rank].calls = vec![call(1, number, true)];
    }
    let told = [0, 1, 2].map(|rank| (rank, 4, Phase::AllReduce));
    let found = scene.pass(100, &told);
    let text = said(&found.last().unwrap().1);
    assert!(
        text.starts_with("rank 1 on host h1 and the others wait in different collectives"),
        "{text}"
    );
    assert!(
        text.contains("(call 117 of communicator 1, a sum of 1000 float32); ranks 0, 2"),
        "{text}"
    );
}

/// Story: in an evaluation a rank left a sum out. All waited, each for the others, for the ten minutes that an
/// evaluation may take without a sign.
#[test]
fn ranks_that_all_wait_in_an_evaluation_have_no_more_time_than_in_a_step() {
    let mut scene = Scene::of(3);
    scene.work(3);
    // The median of this phase is 20 s: it does not count either.
    for step in 0..3 {
        scene.pass(20, &[0, 1, 2].map(|rank| (rank, step, Phase::Evaluation)));
        scene.pass(1, &[0, 1, 2].map(|rank| (rank, step, Phase::Compute)));
    }
    for (rank, number) in [(0, 118), (1, 117), (2, 118)] {
        scene.facts.ranks[rank].calls = vec![call(0, number, true)];
    }
    let began = scene.second;
    let found = scene.pass(1000, &[0, 1, 2].map(|rank| (rank, 4, Phase::Evaluation)));
    let times: Vec<u64> = found.iter().map(|(at, _)| at - began - 1).collect();
    assert_eq!(times, [10, 60]);
    let text = said(&found[1].1);
    assert!(text.starts_with("rank 1 on host h1 and the others wait in different"), "{text}");

    // A rank that measures is waited for.
    let mut scene = Scene::of(2);
    scene.work(2);
    scene.facts.ranks[1].calls = vec![call(0, 117, true)];
    let found = scene.pass(700, &[(0, 4, Phase::Evaluation), (1, 4, Phase::Evaluation)]);
    assert_eq!(found.last().map(|(at, _)| at - 9), Some(600));
    assert!(said(&found.last().unwrap().1).starts_with("rank 0 on host h0 makes no progress"));
}

/// Different things in the call of one number: no time mends that. Of two ranks nobody knows which is wrong.
#[test]
fn ranks_that_call_for_different_things_end_as_soon_as_silent_ones() {
    let mut scene = Scene::of(2);
    scene.work(2);
    scene.facts.ranks[0].calls = vec![call(0, 40, true), call(1, 118, false)];
    let gather = CallKind::new(Operation::Gather, Element::Byte, 0);
    scene.facts.ranks[1].calls =
        vec![CallStatus { kind: gather, ..call(0, 40, true) }, call(1, 118, false)];
    let told = [(0, 4, Phase::Evaluation), (1, 5, Phase::Gather)];
    let found = scene.pass(100, &told);
    let text = said(&found.last().unwrap().1);
    assert_eq!(found.last().map(|(at, _)| at - 9), Some(12));
    assert_eq!(
        text,
        "ranks wait in different collectives since 12 s: rank 0 at step 4 while evaluating (call 40 of communicator \
         0, a sum of 1000 float32); rank 1 at step 5 while gathering candidates (call 40 of communicator 0, an \
         all-gather of bytes)"
    );
    // Pairs exchange as much as they like.
    let exchange = |count| CallStatus {
        kind: CallKind::new(Operation::Exchange, Element::Byte, count),
        ..call(0, 40, true)
    };
    let mut scene = Scene::of(2);
    scene.work(2);
    for rank in [0, 1] {
        scene.facts.ranks[rank].calls = vec![exchange(rank)];
    }
    let found = scene.pass(700, &[(0, 4, Phase::Counts), (1, 4, Phase::Counts)]);
    assert_eq!(found.last().map(|(at, _)| at - 9), Some(600));
}
