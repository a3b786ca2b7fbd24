//! Batch normalisation over all ranks is batch normalisation of the whole batch, wherever its images
//! are. The peer is one process with libtorch's own layer.

use std::thread;

use lcsl_collective::Communicator;
use lcsl_collective::solo::Solo;
use lcsl_collective::threads::{self, ThreadRank};
use lcsl_config::Initialisation;
use lcsl_trainer::engine::native::normalisation::SyncBatchNorm;
use lcsl_trainer::engine::network::weights::{Role, initialise};
use lcsl_trainer::engine::network::{Architecture, Mode, Network, Shortcut};
use tch::{Device, Kind, Tensor};

/// Images of each rank's logical batch.
const LOGICAL_SIZES: [i64; 3] = [5, 3, 0];
const SIDE: i64 = 9;

/// What a forward and a backward pass over a logical batch give: gradients, running statistics and
/// logits, all flat.
struct Output {
    gradient: Vec<f64>,
    statistics: Vec<f64>,
    logits: Vec<f64>,
}

fn student(shortcut: Shortcut) -> Network {
    let architecture = Architecture::cifar(1, 4, shortcut, 10);
    let mut network = Network::zeros(&architecture, Kind::Double, Device::Cpu, true);
    initialise(&mut network, Initialisation::KaimingNormalFanIn, 0, Role::Student);
    network
}

/// `count` images of the whole batch, from `first` on.
fn images(first: i64, count: i64) -> Tensor {
    let pixels = SIDE * SIDE * 3;
    let index = Tensor::arange(pixels * count, (Kind::Double, Device::Cpu)) + first * pixels;
    ((index * 12.9898).sin() * 43_758.547).frac().view([count, SIDE, SIDE, 3])
}

/// Both passes over `count` images of the whole batch, from `first` on.
fn forward_backward(student: &Network, first: i64, count: i64) -> Output {
    let logits = student.forward(&images(first, count), Mode::Train);
    // The loss has to see more than what normalisation fixes.
    let loss = (logits.sin() * (&logits + 0.5)).sum(Kind::Double);
    let views = student.parameters.views();
    let gradients = Tensor::run_backward(&[&loss], views, false, false);
    let flat: Vec<Tensor> = gradients.iter().map(|it| it.reshape([-1])).collect();
    Output {
        gradient: numbers(&Tensor::cat(&flat, 0)),
        statistics: numbers(&student.running_statistics.buffer),
        logits: numbers(&logits.detach().reshape([-1])),
    }
}

fn numbers(flat: &Tensor) -> Vec<f64> {
    let mut values = vec![0.0; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    values
}

fn rank(shortcut: Shortcut, mut world: ThreadRank) -> Output {
    let mut student = student(shortcut);
    student.sync_batch_norm_over(&mut world).unwrap();
    let first = LOGICAL_SIZES[..world.rank()].iter().sum();
    let output = forward_backward(&student, first, LOGICAL_SIZES[world.rank()]);
    let sync = student.sync_batch_norm().unwrap();
    sync.outcome().unwrap();
    sync.leave().unwrap();
    output
}

fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off <= 1e-12 * scale, "{what}: off by {off} where values reach {scale}");
}

#[test]
fn logical_batches_of_5_3_and_0_images_are_the_whole_batch_of_8() {
    for shortcut in [Shortcut::Pad, Shortcut::SHORTCUT] {
        let whole = forward_backward(&student(shortcut), 0, LOGICAL_SIZES.iter().sum());
        let ranks: Vec<_> = threads::world(LOGICAL_SIZES.len())
            .into_iter()
            .map(|world| thread::spawn(move || rank(shortcut, world)))
            .collect();
        let outputs: Vec<Output> = ranks.into_iter().map(|rank| rank.join().unwrap()).collect();
        let mut gradient = vec![0.0; whole.gradient.len()];
        for output in &outputs {
            gradient.iter_mut().zip(&output.gradient).for_each(|(sum, value)| *sum += value);
            assert_close("running statistics", &output.statistics, &whole.statistics);
        }
        let logits: Vec<f64> = outputs.iter().flat_map(|output| output.logits.clone()).collect();
        assert_close("logits", &logits, &whole.logits);
        assert_close("gradient", &gradient, &whole.gradient);
        let apart = forward_backward(&student(shortcut), 0, LOGICAL_SIZES[0]);
        assert_ne!(
            apart.statistics, whole.statistics,
            "a logical batch alone has other statistics"
        );
    }
}

/// One sum over the ranks brings mean and variance together. In single precision the difference of the squares' mean
/// and the mean's square would have no digit left here.
#[test]
fn a_small_variance_about_a_large_mean_keeps_its_digits() {
    let noise = images(0, 4).permute([0, 3, 1, 2]).contiguous() * 0.1;
    let x = (noise + 1000.0).to_kind(Kind::Float);
    let [weight, bias] =
        [1.0, 0.0].map(|value| Tensor::full([3], value, (Kind::Float, Device::Cpu)));
    let sync = SyncBatchNorm::new(Box::new(Solo));
    let made = sync.batch_norm(&x, &weight, &bias, 0.0);
    let exact = x.to_kind(Kind::Double);
    let (variance, mean) = exact.var_mean_dim([0_i64, 2, 3].as_slice(), true, false);
    assert_close("mean", &numbers(&made.mean), &numbers(&mean));
    let (found, expected) = (numbers(&made.variance), numbers(&variance));
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} is not {expected}");
    }
}

/// The failure comes in the middle of a pass, where no error can be returned.
#[test]
fn a_rank_that_is_gone_is_reported_after_the_pass() {
    let mut worlds = threads::world(2).into_iter();
    let [mut here, mut gone] = [worlds.next().unwrap(), worlds.next().unwrap()];
    let leaver = thread::spawn(move || drop(gone.duplicate()));
    let mut student = student(Shortcut::Pad);
    student.sync_batch_norm_over(&mut here).unwrap();
    leaver.join().unwrap();
    forward_backward(&student, 0, 2);
    let sync = student.sync_batch_norm().unwrap();
    let message = sync.outcome().unwrap_err().to_string();
    assert!(message.starts_with("rank 1 has left"), "{message}");
    assert!(sync.outcome().is_ok(), "told once");
}
