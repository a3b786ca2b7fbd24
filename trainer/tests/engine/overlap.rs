//! Gradients are summed over ranks while the backward pass goes on. That the sums are right is what
//! the golden tests show, with several buckets, logical batches without images and gradient accumulation.

use std::thread;

use lcsl_collective::order::SumOrder;
use lcsl_collective::threads::{self, ThreadRank};
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_config::Initialisation;
use lcsl_trainer::engine::gradients::overlapped::BucketSettings;
use lcsl_trainer::engine::gradients::reducer::Reducer;
use lcsl_trainer::engine::network::flat::Flat;
use lcsl_trainer::engine::network::weights::{Role, initialise};
use lcsl_trainer::engine::network::{Architecture, Mode, Network, Shortcut};
use lcsl_trainer::objective::Trainable;
use tch::{Device, Kind, Tensor};

pub(super) const BUCKETS: BucketSettings = BucketSettings { ends_bytes: 4 << 10, bytes: 16 << 10 };

pub(super) fn student() -> Network {
    let architecture = Architecture::cifar(1, 16, Shortcut::Pad, 10);
    let mut network = Network::zeros(&architecture, Kind::Float, Device::Cpu, true);
    initialise(&mut network, Initialisation::KaimingNormalFanIn, 0, Role::Student);
    network
}

pub(super) fn loss(student: &Network, rank: usize) -> Tensor {
    let images = Tensor::arange(4 * 16 * 16 * 3, (Kind::Float, Device::Cpu)) + rank as f64;
    let logits = student.forward(&images.sin().view([4, 16, 16, 3]), Mode::Train);
    (&logits * &logits).sum(Kind::Float)
}

/// Runs a rank of a world of two on each of two threads.
fn on_two_ranks<T: Send + 'static>(rank: fn(ThreadRank) -> T) -> Vec<T> {
    let ranks: Vec<_> =
        threads::world(2).into_iter().map(|world| thread::spawn(move || rank(world))).collect();
    ranks.into_iter().map(|rank| rank.join().expect("no rank panics")).collect()
}

#[test]
fn the_first_bucket_leaves_before_the_first_layer_has_a_gradient() {
    let times = on_two_ranks(|mut world| {
        let student = student();
        let mut reducer = Reducer::new(&student, &mut world, SumOrder::Library, BUCKETS).unwrap();
        let mut times = Vec::new();
        for _ in 0..20 {
            reducer.begin();
            reducer.backward(&loss(&student, world.rank()), &student, true);
            reducer.finish(&mut world, &mut Tensor::from_slice(&[1.0]), true).unwrap();
            times.push(reducer.bucket_times().to_vec());
        }
        reducer.leave().unwrap();
        times
    });
    for buckets in times.iter().flatten() {
        assert!(buckets.len() > 3, "{} buckets", buckets.len());
        assert!(buckets[0].bytes <= BUCKETS.ends_bytes, "{buckets:?}");
        assert!(buckets.iter().all(|one| one.hook <= one.start && one.start <= one.end));
        assert!(buckets.is_sorted_by_key(|one| one.start), "{buckets:?}");
    }
    // Other work on the machine may delay the thread in some steps, not in all of them.
    let early = |buckets: &&Vec<_>| {
        let buckets: &[lcsl_collective::buckets::BucketTimes] = buckets;
        buckets[0].start < buckets[buckets.len() - 1].hook
    };
    assert!(times.iter().all(|steps| steps.iter().filter(early).count() > 0), "{times:?}");
}

/// What does not train in a stage never arrives, and must not be summed: neither what lies in its place
/// since an earlier step, nor zeros, which would only cost time.
#[test]
fn a_frozen_tensor_is_not_summed() {
    for order in [SumOrder::Library, SumOrder::Tree] {
        let on_rank = move |mut world: ThreadRank| {
            let mut student = student();
            student.train_only(Trainable::Classifier);
            let slots = student.trainable();
            let mut reducer = Reducer::new(&student, &mut world, order, BUCKETS).unwrap();
            let mine = 1.0 + world.rank() as f64;
            let frozen = student.parameters.part_of(reducer.gradient(), &(0..slots.start));
            reducer.begin();
            let _ = frozen.shallow_clone().fill_(mine);
            reducer.backward(&loss(&student, 0), &student, true);
            reducer.finish(&mut world, &mut Tensor::from_slice(&[1.0]), true).unwrap();
            let untouched = frozen.eq(mine).all().int64_value(&[]) == 1;
            let trained = student.parameters.part_of(reducer.gradient(), &slots);
            let norm = trained.norm().double_value(&[]);
            reducer.leave().unwrap();
            let alone = Tensor::run_backward(
                &[loss(&student, 0)],
                &student.parameters.views()[slots],
                false,
                false,
            );
            (untouched, norm, 2.0 * Flat::gather(&alone).norm().double_value(&[]))
        };
        let ranks: Vec<_> = threads::world(2)
            .into_iter()
            .map(|world| thread::spawn(move || on_rank(world)))
            .collect();
        for rank in ranks {
            let (untouched, norm, expected) = rank.join().expect("no rank panics");
            assert!(untouched, "{order:?}: a frozen gradient was summed");
            assert!((norm / expected - 1.0).abs() < 1e-5, "{order:?}: {norm} and {expected}");
        }
    }
}

/// A rank without images still takes part in every sum, and its old gradient is not counted again.
#[test]
fn a_rank_with_nothing_to_learn_adds_nothing() {
    let gradients = on_two_ranks(|mut world| {
        let student = student();
        let mut reducer = Reducer::new(&student, &mut world, SumOrder::Library, BUCKETS).unwrap();
        let mut norms = Vec::new();
        for busy in [true, false] {
            reducer.begin();
            if busy || world.rank() == 0 {
                reducer.backward(&loss(&student, 0), &student, true);
            } else {
                reducer.skip();
            }
            reducer.finish(&mut world, &mut Tensor::from_slice(&[1.0]), true).unwrap();
            norms.push(reducer.gradient().norm().double_value(&[]));
        }
        reducer.leave().unwrap();
        norms
    });
    for norms in &gradients {
        assert!((norms[0] / norms[1] - 2.0).abs() < 1e-5, "{norms:?}");
    }
}

#[test]
fn a_rank_that_is_gone_ends_the_sum_with_an_error() {
    let outcomes = on_two_ranks(|mut world| {
        let student = student();
        let mut reducer = Reducer::new(&student, &mut world, SumOrder::Library, BUCKETS).unwrap();
        if world.rank() == 1 {
            return Ok(()); // without a word
        }
        reducer.begin();
        reducer.backward(&loss(&student, 0), &student, true);
        reducer.finish(&mut world, &mut Tensor::from_slice(&[1.0]), true)
    });
    assert!(matches!(outcomes[0], Err(CollectiveError::PeerGone { rank: 1, .. })), "{outcomes:?}");
}
