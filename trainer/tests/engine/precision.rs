//! Other arithmetic than IEEE single precision throughout.

use lcsl_config::Initialisation;
use lcsl_trainer::engine::native::arithmetic::Arithmetic;
use lcsl_trainer::engine::network::weights::{Role, initialise};
use lcsl_trainer::engine::network::{Architecture, Folded, Mode, Network, Shortcut};
use tch::{Kind, Tensor};

use crate::device::device;

/// A network of 20 layers that computes in this type, always with the same weights.
fn network(compute: Kind) -> Network {
    let architecture = Architecture::cifar(3, 16, Shortcut::Pad, 10);
    let mut network = Network::zeros(&architecture, Kind::Float, device(), true);
    initialise(&mut network, Initialisation::KaimingNormalFanIn, 5, Role::Student);
    network.compute_in(compute);
    network
}

/// 32 images of 16×16, each with a class.
fn batch() -> (Tensor, Tensor) {
    let count = 32 * 16 * 16 * 3;
    // Noise without a generator.
    let images = (Tensor::arange(count, (Kind::Double, device())) * 12.9898).sin() * 43_758.545_3;
    let images = (&images - images.floor() - 0.5).to_kind(Kind::Float) * 3.4;
    (images.view([32, 16, 16, 3]), Tensor::arange(32, (Kind::Int64, device())).remainder(10))
}

/// The loss of a training step and its gradient.
fn step(network: &Network) -> (f64, Tensor) {
    let (images, classes) = batch();
    let logits = network.forward(&images, Mode::Train);
    assert_eq!(logits.kind(), Kind::Float, "the loss is computed in single precision");
    let loss = logits.cross_entropy_for_logits(&classes);
    loss.backward();
    let gradients: Vec<Tensor> =
        network.parameters.views().iter().map(|view| view.grad().flatten(0, -1)).collect();
    (loss.double_value(&[]), Tensor::cat(&gradients, 0))
}

fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_kind(Kind::Double), b.to_kind(Kind::Double));
    (a.dot(&b) / (a.norm() * b.norm())).double_value(&[])
}

#[test]
fn bf16_makes_nearly_the_same_step_with_gradients_in_single_precision() {
    let (loss, gradient) = step(&network(Kind::Float));
    let (rough_loss, rough_gradient) = step(&network(Kind::BFloat16));
    assert_eq!(rough_gradient.kind(), Kind::Float);
    assert!((loss - rough_loss).abs() < 2e-2, "{loss} {rough_loss}");
    let alike = cosine(&gradient, &rough_gradient);
    // 8 bits of mantissa, rounded in each of 20 layers, of a gradient that is mostly noise yet.
    assert!(alike > 0.97, "{alike}");
    assert!(alike < 1.0, "it is other arithmetic");
}

#[test]
fn bf16_answers_nearly_the_same_when_it_is_folded() {
    let (exact, rough) = (network(Kind::Float), network(Kind::BFloat16));
    let (images, _) = batch();
    for _ in 0..3 {
        // Statistics away from 0 and 1.
        let moved = |it: &Network| tch::no_grad(|| it.features(&images, Mode::Train));
        let _ = (moved(&exact), moved(&rough));
    }
    let (exact, copy) = (Folded::of(&exact).features(&images), rough.frozen_copy());
    let found = Folded::of(&copy).features(&images);
    assert_eq!(found.kind(), Kind::Float);
    let off = (&found - &exact).abs().max().double_value(&[]);
    let scale = exact.abs().max().double_value(&[]);
    assert!(off < 0.05 * scale && off > 0.0, "{off} of {scale}: a copy computes alike");
}

/// Story: `fp32: IEEE single precision throughout` was not true on a GPU, where libtorch lets convolutions use TF32
/// unless told otherwise.
#[test]
fn what_a_gpu_may_round_is_what_was_asked_for() {
    // Other tests of this process compute meanwhile: on a CPU, TF32 is nothing to them.
    for tf32 in [true, false] {
        let asked = Arithmetic { tf32, deterministic: false };
        asked.set();
        assert_eq!(Arithmetic::now(), asked);
    }
}
