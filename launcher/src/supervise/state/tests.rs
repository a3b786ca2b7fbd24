//! Every way in which a run can end.

mod story;

use lcsl_collective::control::Phase;

use self::story::{Story, beat, hello, story as story_of};
use super::*;

const KEYBOARD: Event = Event::AskedToStop(Asking::Keyboard);
const SYSTEM: Event = Event::AskedToStop(Asking::System);

#[test]
fn all_well() {
    let story = Story::at_work(2).finished(1, 0).finished(0, 0);
    assert_eq!(story.verdict(), None, "mpirun has not ended yet");
    let story = story.later(300).child(ChildEnd::Code(0));
    assert_eq!(story.verdict(), Some(&Verdict::Done));
    assert!(story.has(&Action::Leave) && !story.has(&Action::Terminate));
}

#[test]
fn the_places_of_all_ranks_are_recorded_once_all_have_come() {
    let story = story_of(2).joined(1);
    assert!(story.done.is_empty());
    let story = story.joined(0);
    let Some(Action::RecordRanks(records)) = story.done.first() else { panic!("{:?}", story.done) };
    assert_eq!(
        records.iter().map(|record| (record.rank, record.pid)).collect::<Vec<_>>(),
        [(0, 100), (1, 101)]
    );
}

#[test]
fn what_rank_0_reports_is_shown() {
    let score = Score { epoch: 1, accuracy: 0.5, selected: true, seconds: 2.0 };
    let story = Story::at_work(1)
        .said(0, FromRank::Evaluation(score))
        .said(0, FromRank::Notice { text: "collapse".to_owned() });
    assert!(story.has(&Action::ShowEvaluation(score)));
    assert!(story.has(&Action::Say("collapse".to_owned())));
}

#[test]
fn after_the_verdict_nothing_more_is_shown() {
    let story = Story::at_work(2).closed(1).later(1000);
    let actions = story.done.len();
    let story = story.said(0, FromRank::Notice { text: "going strong".to_owned() });
    assert_eq!(story.done.len(), actions);
}

#[test]
fn a_rank_that_fails_is_named_with_its_place_and_keeps_its_exit_code() {
    let story = Story::at_work(3).failed(2, "shard 7 is corrupt", false).later(1000);
    let (what, code) = story.sentence();
    insta::assert_snapshot!(
        what,
        @"rank 2 on host h1 failed at step 57 while summing gradients: shard 7 is corrupt"
    );
    assert_eq!(code, 3);
    assert!(story.has(&Action::Terminate), "the others are ended");
}

/// Story: mpirun's patience with those that it signals was made long enough for a checkpoint, 10 s in all. Since then
/// each failed run took 3 s to end, though its ranks were gone after one.
#[test]
fn a_child_that_waits_for_nobody_is_not_waited_for() {
    let story = Story::at_work(2).failed(1, "no images", false).closed(1).later(1000);
    assert!(story.has(&Action::Terminate));
    let story = story.later(1000);
    assert!(!story.has(&Action::Kill), "rank 0 is still there, and may be saving");
    let story = story.closed(0).later(200);
    assert!(!story.has(&Action::Kill));
    assert!(story.later(100).has(&Action::Kill));
}

#[test]
fn a_rank_that_fails_before_its_first_step_was_starting() {
    let story = story_of(1).joined(0).failed(0, "no images", false).child(ChildEnd::Code(3));
    assert_eq!(story.sentence().0, "rank 0 on host h1 failed while starting: no images");
    assert!(story.has(&Action::Leave), "with its only rank gone there is nothing to wait for");
}

#[test]
fn a_failure_that_arrives_late_beats_a_lost_connection_and_a_bystander() {
    let story = Story::at_work(3)
        .closed(0)
        .failed(1, "lost contact with rank 2", true)
        .later(900)
        .failed(2, "the loss is not finite", false)
        .later(100);
    assert!(story.sentence().0.starts_with("rank 2 "), "{:?}", story.sentence());
}

#[test]
fn the_first_of_several_failures_is_named() {
    let story = Story::at_work(2).failed(1, "one", false).failed(0, "two", false).later(1000);
    assert!(story.sentence().0.ends_with("one"));
}

#[test]
fn a_lost_rank_was_killed_and_the_first_of_several_is_named() {
    let story = Story::at_work(3).closed(1).later(5).closed(0).later(5).closed(2).later(1000);
    let (what, code) = story.sentence();
    insta::assert_snapshot!(
        what,
        @"rank 1 on host h1 was killed (no last word) at step 57 while summing gradients"
    );
    assert_eq!(code, 4);
}

#[test]
fn a_lost_rank_beats_one_that_fell_over_it() {
    let story = Story::at_work(2).failed(0, "lost contact", true).later(10).closed(1).later(1000);
    assert!(story.sentence().0.starts_with("rank 1 "));
}

#[test]
fn a_bystander_alone_is_named_for_want_of_a_better_one() {
    let story = Story::at_work(2).failed(0, "lost contact", true).later(1000);
    assert!(story.sentence().0.starts_with("rank 0 "));
}

#[test]
fn the_signal_that_killed_an_only_rank_is_known() {
    let story = Story::at_work(1).closed(0).child(ChildEnd::Signal(9));
    let (what, code) = story.sentence();
    insta::assert_snapshot!(
        what,
        @"rank 0 on host h1 was killed by SIGKILL (no last word) at step 57 while summing gradients"
    );
    assert_eq!(code, 4);
    let story = Story::at_work(1).child(ChildEnd::Code(101)).closed(0);
    assert!(story.sentence().0.contains("ended with code 101 (no last word)"));
}

#[test]
fn when_mpirun_itself_is_killed_no_rank_is_blamed() {
    let story = Story::at_work(2).child(ChildEnd::Signal(9)).closed(1).closed(0);
    let (what, code) = story.sentence();
    assert_eq!(what, "mpirun was killed by SIGKILL while the ranks were at work");
    assert_eq!(code, 4);
}

#[test]
fn survivors_get_two_seconds_and_are_then_killed() {
    let story = Story::at_work(2).closed(1).later(999);
    assert_eq!(story.verdict(), None, "others may still speak");
    let story = story.later(1);
    assert!(story.verdict().is_some() && story.has(&Action::Terminate));
    let story = story.later(1999);
    assert!(!story.has(&Action::Kill));
    let story = story.later(1);
    assert!(story.has(&Action::Kill));
    let story = story.later(2000);
    assert!(story.has(&Action::Leave), "what cannot be killed is not waited for for ever");
}

#[test]
fn who_leaves_when_asked_is_not_killed() {
    let story = Story::at_work(2).closed(1).later(1500).closed(0).child(ChildEnd::Code(137));
    assert!(story.has(&Action::Leave) && !story.has(&Action::Kill));
}

#[test]
fn a_program_that_ends_before_any_rank_came_must_be_explained_by_its_output() {
    let story = story_of(2).child(ChildEnd::Code(1)).later(499);
    assert_eq!(story.verdict(), None, "a message of a rank may still be on its way");
    let story = story.later(1);
    assert_eq!(story.verdict(), Some(&Verdict::NeverStarted(ChildEnd::Code(1))));
    assert!(story.has(&Action::Leave));
}

#[test]
fn a_rank_heard_after_its_end_is_heard() {
    let story =
        story_of(1).child(ChildEnd::Code(3)).later(10).joined(0).failed(0, "no images", false);
    assert!(story.sentence().0.ends_with("no images"));
}

#[test]
fn a_rank_that_never_came_is_mentioned() {
    let story = story_of(2).joined(0).closed(0).later(1000);
    let (what, _) = story.sentence();
    assert!(what.ends_with("; rank 1 had not reached the launcher by then"), "{what}");
    let story = story_of(2).joined(0).finished(0, 0).child(ChildEnd::Code(1)).later(500);
    assert_eq!(story.sentence(), ("rank 1 never reached the launcher".to_owned(), 4));
}

#[test]
fn ranks_of_another_world_or_version_are_refused() {
    let alone = story_of(2).happens(Event::Joined(hello(0, 1))).later(1000);
    let (what, code) = alone.sentence();
    insta::assert_snapshot!(
        what,
        @"the process 100 on host h1 is rank 0 of 1, but one of 2 different ranks was expected"
    );
    assert_eq!(code, 2);
    let twice = story_of(2).joined(0).joined(0).later(1000);
    assert_eq!(twice.sentence().1, 2);
    let beyond = story_of(1).happens(Event::Joined(hello(7, 1))).said(7, beat(1, Phase::Data));
    assert_eq!(beyond.later(1000).sentence().1, 2);
    let old = Hello { version: "0.9".to_owned(), ..hello(0, 1) };
    let (what, code) = story_of(1).happens(Event::Joined(old)).later(1000).sentence();
    assert_eq!(what, "lcsl-rank on host h1 is version 0.9, but lcsl is version 1.0");
    assert_eq!(code, 2);
}

#[test]
fn finished_ranks_whose_program_fails_or_hangs_are_not_well() {
    let story = Story::at_work(2).finished(0, 0).finished(1, 0).child(ChildEnd::Code(1));
    let (what, code) = story.sentence();
    assert_eq!(what, "all ranks finished, but then the launched program ended with code 1");
    assert_eq!(code, 4);
    let story = Story::at_work(2).finished(0, 0).finished(1, 0).later(10_000);
    assert_eq!(story.sentence().0, "all ranks finished, but their processes did not end");
    assert!(story.has(&Action::Terminate));
}

#[test]
fn a_program_that_ends_under_working_ranks_takes_them_along() {
    let story = Story::at_work(2).child(ChildEnd::Code(1)).later(500);
    let (what, _) = story.sentence();
    assert_eq!(what, "the launched program ended with code 1 while ranks were at work");
    assert!(story.later(3000).has(&Action::Kill));
}

#[test]
fn an_interrupt_asks_every_rank_to_stop() {
    let story = Story::at_work(2).happens(KEYBOARD);
    assert!((0..2).all(|rank| story.has(&Action::AskToStop { rank })));
    assert!(story.done.iter().any(|action| matches!(action, Action::Say(text)
        if text.starts_with("stopping at the next step boundary"))));
    assert!(story.run.was_interrupted());
    let story = story.finished(0, 75).finished(1, 75).child(ChildEnd::Code(75));
    assert_eq!(story.verdict(), Some(&Verdict::Stopped));
}

#[test]
fn ranks_that_were_asked_to_stop_by_the_system_count_as_stopped() {
    let story = Story::at_work(1).finished(0, 75).child(ChildEnd::Code(75));
    assert_eq!(story.verdict(), Some(&Verdict::Stopped));
}

#[test]
fn a_second_interrupt_ends_everything_at_once() {
    let story = Story::at_work(2).happens(KEYBOARD).later(1000).happens(KEYBOARD);
    assert_eq!(story.verdict(), Some(&Verdict::Abandoned));
    assert!(story.has(&Action::Kill) && !story.has(&Action::Leave));
    let story = story.child(ChildEnd::Signal(9)).closed(0).closed(1);
    assert!(story.has(&Action::Leave));
}

#[test]
fn an_interrupt_while_survivors_are_ended_hurries() {
    let story = Story::at_work(2).closed(1).later(1000);
    assert!(!story.has(&Action::Kill));
    let story = story.happens(KEYBOARD);
    assert!(story.has(&Action::Kill));
    assert!(story.sentence().0.starts_with("rank 1 "), "the verdict stays");
}

/// Story: `timeout` and some schedulers signal a process and then its group. In 4 of 8 tries the second
/// SIGTERM ended everything at once, without a checkpoint.
#[test]
fn only_the_keyboard_can_insist_and_not_within_a_second() {
    let story = (0..5).fold(Story::at_work(2), |story, _| story.happens(SYSTEM).later(2000));
    let story = story.happens(KEYBOARD).later(999).happens(KEYBOARD).happens(SYSTEM);
    assert_eq!(story.verdict(), None, "a bouncing key is one interrupt");
    let said: Vec<&String> = story.done.iter().filter_map(said).collect();
    assert_eq!(said.len(), 2, "the system is answered once, the person once: {said:?}");
    assert!(!said[0].contains("Ctrl-C") && said[1].contains("Ctrl-C again"), "{said:?}");
    let asked = story.done.iter().filter(|action| matches!(action, Action::AskToStop { .. }));
    assert_eq!(asked.count(), 2, "each rank is asked once");
    let insisted = story.later(1).happens(KEYBOARD);
    assert_eq!(insisted.verdict(), Some(&Verdict::Abandoned));
    let hurried = Story::at_work(2).closed(1).later(1000).happens(SYSTEM);
    assert!(!hurried.has(&Action::Kill), "survivors keep their two seconds");
}

/// Story: `(ulimit -n 32; lcsl train … --nproc 2)` hung for ever in mpirun. The first SIGTERM promised a
/// checkpoint although no rank existed, and the next said "go on from that checkpoint".
#[test]
fn before_all_ranks_have_come_the_first_signal_ends_the_run() {
    for asking in [KEYBOARD, SYSTEM] {
        let story = story_of(2).joined(1).happens(asking);
        assert_eq!(story.verdict(), Some(&Verdict::NotBegun));
        assert!(story.has(&Action::Terminate) && !story.done.iter().any(|it| said(it).is_some()));
        let story = story.later(1999);
        assert!(!story.has(&Action::Kill));
        assert!(story.later(1).has(&Action::Kill), "a program that is deaf to SIGTERM");
    }
}

/// Story: as above, without a signal: nothing was said, and nothing ever ended it.
#[test]
fn a_start_has_a_limit_from_each_rank_to_the_next() {
    let story = story_of(3).later(9_999);
    assert!(story.done.is_empty());
    let story = story.later(1);
    insta::assert_snapshot!(
        said(&story.done[0]).unwrap(),
        @"waiting for ranks 0 to 2 to load libtorch and reach the launcher, at most 60 s (run.start_limit_seconds)"
    );
    let alone = story.later(49_999);
    assert_eq!(alone.verdict(), None);
    let what = "no rank had reached the launcher after 60 s".to_owned();
    assert_eq!(alone.later(1).verdict(), Some(&Verdict::StartTooSlow { what }));
    let story = story_of(3).later(50_000).joined(1).later(59_999);
    assert_eq!(story.verdict(), None);
    let what = "ranks 0, 2 had not reached the launcher after 110 s".to_owned();
    let story = story.later(1);
    assert_eq!(story.verdict(), Some(&Verdict::StartTooSlow { what }));
    assert!(story.has(&Action::Terminate));
    let come = story_of(2).joined(0).joined(1);
    assert_eq!(come.run.wake_at(), Some(Duration::from_secs(1)), "the watchdog looks every second");
}

/// Story: a rank that was stopped hung the run for ever; nothing was said, and one SIGTERM did not end it.
#[test]
fn a_rank_that_falls_silent_ends_the_run() {
    let mut story = Story::at_work(2);
    for _ in 0..12 {
        assert_eq!(story.verdict(), None);
        story = story.later(1000).said(0, beat(58, Phase::AllReduce));
    }
    let Some(Verdict::Failed { what, rank: Some(1), .. }) = story.verdict() else {
        panic!("{:?}", story.verdict());
    };
    assert!(what.contains("has not been heard of for 12 s at step 57"), "{what}");
    assert!(story.has(&Action::Terminate));
}

/// Story: a scheduler kills a job some seconds after its signal. All ranks had saved their checkpoint and said so, but
/// the launcher waited for mpirun, and was killed before it could end with 75.
#[test]
fn when_all_ranks_have_stopped_nobody_waits_for_mpirun() {
    let story = Story::at_work(2).happens(SYSTEM).said(0, stopped()).said(1, stopped());
    assert_eq!(story.verdict(), None, "a word of a rank that failed may still come");
    assert_eq!(story.later(500).verdict(), Some(&Verdict::Stopped));
}

fn stopped() -> FromRank {
    FromRank::Finished { exit_code: 75 }
}

fn said(action: &Action) -> Option<&String> {
    match action {
        Action::Say(text) => Some(text),
        _ => None,
    }
}
