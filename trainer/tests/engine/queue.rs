//! Sums that hooks give to a queue, as on a GPU, under a model of one that does nothing before it is waited for: what
//! it was given too early, too late, twice or in another order shows.
#![allow(unsafe_code)] // memory that a queue shares with the reducer

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;

use lcsl_collective::order::SumOrder;
use lcsl_collective::threads::{self, ThreadRank};
use lcsl_collective::{CollectiveError, Communicator, Values};
use lcsl_trainer::engine::gradients::overlapped::OverlappedReducer;
use lcsl_trainer::engine::gradients::queue::SumQueue;
use lcsl_trainer::engine::gradients::reducer::Reducer;
use lcsl_trainer::engine::native::gradients::SharedMemory;
use tch::Tensor;

use super::overlap::{BUCKETS, loss, student};

/// What happened to a queue, in order.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    /// Elements were given, while so many of all were zero.
    Given(Range<usize>, usize),
    Finished,
    Left,
}

struct Model {
    memory: SharedMemory,
    elements: usize,
    world: ThreadRank,
    /// What was given and not summed, with the values that it had.
    waiting: Vec<(Range<usize>, Vec<f32>)>,
    events: Arc<Mutex<Vec<Event>>>,
    /// Which of the sums that are given is refused.
    refuses: Option<usize>,
    given: usize,
}

impl Model {
    fn copy(&mut self, elements: Range<usize>) -> Vec<f32> {
        // SAFETY: the backward pass waits for the hook that called this, or is over.
        match unsafe { self.memory.values(elements) } {
            Values::F32(values) => values.to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

impl SumQueue for Model {
    fn push(&mut self, elements: Range<usize>) -> Result<(), CollectiveError> {
        let zeros = self.copy(0..self.elements).iter().filter(|value| **value == 0.0).count();
        self.events.lock().unwrap().push(Event::Given(elements.clone(), zeros));
        self.given += 1;
        if self.refuses == Some(self.given - 1) {
            return Err(CollectiveError::Unsupported { what: "refused".to_owned() });
        }
        let values = self.copy(elements.clone());
        self.waiting.push((elements, values));
        Ok(())
    }

    fn sum_tail(&mut self, tail: &Tensor) -> Result<(), CollectiveError> {
        for (elements, values) in std::mem::take(&mut self.waiting) {
            assert_eq!(self.copy(elements.clone()), values, "{elements:?} changed in the queue");
            // SAFETY: the backward passes are over, and the reducer waits for this call.
            self.world.all_reduce_sum(unsafe { self.memory.values(elements) })?;
        }
        self.events.lock().unwrap().push(Event::Finished);
        let mut list = Vec::<f64>::try_from(tail).unwrap();
        self.world.all_reduce_sum(Values::F64(&mut list))?;
        tail.shallow_clone().copy_(&Tensor::from_slice(&list));
        Ok(())
    }

    fn wait_for(
        &mut self,
        _: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<(), CollectiveError> {
        assert!(is_over(), "a CPU is done at once");
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.events.lock().unwrap().push(Event::Left);
        self.world.leave()
    }
}

/// What two steps of two ranks, of which the second has nothing to learn in the last step, leave on a rank.
struct Outcome {
    /// After each step: the gradient's norm and a few of its elements.
    gradients: Vec<Vec<f64>>,
    tails: Vec<Vec<f64>>,
    events: Vec<Event>,
}

fn steps(mut world: ThreadRank, through_queue: bool) -> Outcome {
    let (student, rank) = (student(), world.rank());
    let events = Arc::new(Mutex::new(Vec::new()));
    let mut reducer = if through_queue {
        let (elements, events) = (student.parameters.buffer.numel(), events.clone());
        let model = |memory| {
            let (waiting, refuses, given) = (Vec::new(), None, 0);
            Box::new(Model { memory, elements, world, waiting, events, refuses, given }) as _
        };
        let reducer = OverlappedReducer::queued(&student, model, BUCKETS);
        Reducer::Overlapped(reducer)
    } else {
        Reducer::new(&student, &mut world, SumOrder::Library, BUCKETS).unwrap()
    };
    let (mut gradients, mut tails) = (Vec::new(), Vec::new());
    let mut elsewhere = lcsl_collective::solo::Solo; // for sums of micro-batches, of which there are none
    for step in 0..2 {
        reducer.begin();
        if step == 0 || rank == 0 {
            // Two logical batches: the first is only added.
            reducer.backward(&loss(&student, rank), &student, false);
            reducer.backward(&loss(&student, rank + 2), &student, true);
        } else {
            reducer.skip();
        }
        let mut tail = Tensor::from_slice(&[1.0 + rank as f64, 10.0]);
        reducer.finish(&mut elsewhere, &mut tail, true).unwrap();
        let gradient = reducer.gradient();
        let some = gradient.slice(0, 0, None, 997);
        let mut found = Vec::<f64>::try_from(some.to_kind(tch::Kind::Double)).unwrap();
        found.push(gradient.norm().double_value(&[]));
        gradients.push(found);
        tails.push(Vec::<f64>::try_from(tail).unwrap());
        assert!(reducer.bucket_times().iter().all(|one| one.hook <= one.end), "of step {step}");
    }
    reducer.leave().unwrap();
    let events = events.lock().unwrap().clone();
    Outcome { gradients, tails, events }
}

fn on_two_ranks(through_queue: bool) -> Vec<Outcome> {
    let ranks: Vec<_> = threads::world(2)
        .into_iter()
        .map(|world| thread::spawn(move || steps(world, through_queue)))
        .collect();
    ranks.into_iter().map(|rank| rank.join().expect("no rank panics")).collect()
}

#[test]
fn sums_of_a_queue_are_those_of_the_thread() {
    let (queue, thread) = (on_two_ranks(true), on_two_ranks(false));
    for (queue, thread) in queue.iter().zip(&thread) {
        assert_eq!(queue.gradients, thread.gradients);
        assert_eq!(queue.tails, [[3.0, 20.0]; 2]);
        assert_eq!(queue.tails, thread.tails);
    }
}

#[test]
fn hooks_give_each_bucket_once_in_one_order_and_early() {
    let ranks = on_two_ranks(true);
    let given = |events: &[Event]| -> Vec<Range<usize>> {
        let given = events.iter().filter_map(|event| match event {
            Event::Given(elements, _) => Some(elements.clone()),
            _ => None,
        });
        given.collect()
    };
    let order = given(&ranks[0].events);
    assert_eq!(order, given(&ranks[1].events), "ranks give in one order");
    let step = &order[..order.len() / 2];
    assert_eq!(step, &order[order.len() / 2..], "also where there is nothing to learn");
    assert!(step.len() > 3, "{step:?}");
    assert!(step.windows(2).all(|pair| pair[0].start == pair[1].end), "from the end, each once");
    assert_eq!((step[step.len() - 1].start, ranks[0].events.last()), (0, Some(&Event::Left)));
    // In the first of two logical batches everything was filled, so only the order says what was early: the last event
    // before the end of a step is the bucket of the first layer.
    let finished = ranks[0].events.iter().filter(|event| **event == Event::Finished).count();
    assert_eq!(finished, 2);
}

/// Story: an error in a hook has nobody who takes it. It must end the step, and not the process.
#[test]
fn what_a_queue_refuses_is_told_at_the_end_of_the_step() {
    let (student, world) = (student(), threads::world(1).remove(0));
    let events = Arc::new(Mutex::new(Vec::new()));
    let (elements, seen) = (student.parameters.buffer.numel(), events.clone());
    let model = |memory| {
        let (waiting, refuses, given) = (Vec::new(), Some(1), 0);
        Box::new(Model { memory, elements, world, waiting, events, refuses, given }) as _
    };
    let mut reducer = Reducer::Overlapped(OverlappedReducer::queued(&student, model, BUCKETS));
    reducer.begin();
    reducer.backward(&loss(&student, 0), &student, true);
    let ended =
        reducer.finish(&mut lcsl_collective::solo::Solo, &mut Tensor::from_slice(&[1.0]), true);
    assert_eq!(ended.unwrap_err().to_string(), "refused");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2, "nothing is given after what was refused: {seen:?}");
    // The first bucket was given when the gradients of most layers were not there.
    let Event::Given(first, zeros) = &seen[0] else { panic!("{seen:?}") };
    assert!(*zeros > elements / 2 && first.end == elements, "{first:?} beside {zeros} zeros");
}

/// Where something else ends a step behind its backward pass, the next one begins anew.
#[test]
fn a_step_that_was_broken_off_leaves_nothing_behind() {
    let (student, world) = (student(), threads::world(1).remove(0));
    let events = Arc::new(Mutex::new(Vec::new()));
    let (elements, seen) = (student.parameters.buffer.numel(), events.clone());
    let model = |memory| {
        let (waiting, refuses, given) = (Vec::new(), None, 0);
        Box::new(Model { memory, elements, world, waiting, events, refuses, given }) as _
    };
    let mut reducer = Reducer::Overlapped(OverlappedReducer::queued(&student, model, BUCKETS));
    for _ in 0..2 {
        reducer.begin();
        reducer.backward(&loss(&student, 0), &student, true);
    }
    reducer
        .finish(&mut lcsl_collective::solo::Solo, &mut Tensor::from_slice(&[1.0]), true)
        .unwrap();
    let seen = seen.lock().unwrap();
    let (first, second) = seen[..seen.len() - 1].split_at(seen.len() / 2);
    assert!(first.len() > 3 && first.len() == second.len(), "{seen:?}");
    assert_eq!(reducer.bucket_times().len(), second.len(), "of the second alone");
}
