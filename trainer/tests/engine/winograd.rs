//! Winograd's convolutions beside libtorch's: the kernels for this processor, which are those for any
//! processor where it has no AVX-512.

use lcsl_trainer::engine::native::winograd::{FoldedKernel, convolution, fits, suits};
use tch::{Device, Kind, Tensor};

/// These tests were ignored without AVX-512, and a failure in continuous integration, which then
/// depended on the machine that it happened to get.
#[test]
fn winograd_is_left_alone_without_avx512() {
    let weight = [16, 16, 3, 3];
    assert!(fits(&weight, 1, Kind::Float, Device::Cpu), "it is right on any processor");
    assert_eq!(suits(&weight, 1, Kind::Float, Device::Cpu), has_avx512(), "and faster on some");
}

fn has_avx512() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Values without a pattern, between −1 and 1, the same in every run.
fn values(size: &[i64], seed: i64) -> Tensor {
    let count: i64 = size.iter().product();
    let index = Tensor::arange(count, (Kind::Double, Device::Cpu)) + seed * 7919;
    ((index * 12.9898).sin() * 43758.547).frac().view(size).to_kind(Kind::Float)
}

fn channels_last(images: i64, size: [i64; 2], channels: i64, seed: i64) -> Tensor {
    values(&[images, size[0], size[1], channels], seed).permute([0, 3, 1, 2])
}

fn direct(x: &Tensor, weight: &Tensor) -> Tensor {
    x.conv2d(weight, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1)
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let off = (found.to_kind(Kind::Double) - expected).abs().max().double_value(&[]);
    let scale = expected.abs().max().double_value(&[]);
    assert!(off <= 1e-4 * scale, "{what} is off by {off} where values reach {scale}");
}

/// Sizes that fill tiles and sizes that do not, one image and several blocks of tiles, equal and
/// unequal channels, an odd number of vectors.
const CASES: [(i64, [i64; 2], i64, i64); 6] = [
    (1, [4, 4], 16, 16),
    (3, [7, 9], 16, 32),
    (5, [14, 14], 32, 32),
    (2, [1, 5], 48, 16),
    (9, [28, 28], 16, 16),
    (2, [8, 8], 64, 80),
];

#[test]
fn winograd_convolutions_and_their_gradients_agree_with_float64() {
    for (images, size, from, to) in CASES {
        let what = format!("{images} images of {size:?}, {from} to {to} channels");
        assert!(fits(&[to, from, 3, 3], 1, Kind::Float, Device::Cpu), "{what}");
        let x = channels_last(images, size, from, 1).set_requires_grad(true);
        let weight = values(&[to, from, 3, 3], 2).set_requires_grad(true);
        let toward = channels_last(images, size, to, 3);
        let y = convolution(&x, &weight);
        let loss = (&y * &toward).sum(Kind::Double);
        let found = Tensor::run_backward(&[loss], &[&x, &weight], false, false);

        let [x, weight] =
            [&x, &weight].map(|it| it.detach().to_kind(Kind::Double).set_requires_grad(true));
        let expected_y = direct(&x, &weight);
        let loss = (&expected_y * toward.to_kind(Kind::Double)).sum(Kind::Double);
        let expected = Tensor::run_backward(&[loss], &[&x, &weight], false, false);
        assert_close(&format!("result, {what}"), &y, &expected_y);
        assert_close(&format!("gradient by the image, {what}"), &found[0], &expected[0]);
        assert_close(&format!("gradient by the weight, {what}"), &found[1], &expected[1]);
    }
}

#[test]
fn winograd_folded_convolutions_add_and_rectify() {
    for (images, size, from, to) in CASES {
        let x = channels_last(images, size, from, 1);
        let (weight, bias) = (values(&[to, from, 3, 3], 2), values(&[to], 4));
        let residual = channels_last(images, size, to, 5);
        let folded = FoldedKernel::new(&weight, &bias);
        let sum = direct(&x.to_kind(Kind::Double), &weight.to_kind(Kind::Double))
            + bias.to_kind(Kind::Double).view([1, to, 1, 1]);
        assert_close("the sum", &folded.apply(&x, None, false), &sum);
        assert_close("without residual", &folded.apply(&x, None, true), &sum.relu());
        let expected = (sum + residual.to_kind(Kind::Double)).relu();
        assert_close("with residual", &folded.apply(&x, Some(&residual), true), &expected);
    }
}

#[test]
fn winograd_takes_images_in_the_usual_layout() {
    let (x, weight) = (values(&[2, 16, 6, 6], 1), values(&[16, 16, 3, 3], 2));
    let expected = direct(&x.to_kind(Kind::Double), &weight.to_kind(Kind::Double));
    assert_close("result", &convolution(&x, &weight), &expected);
}

#[test]
fn winograd_leaves_other_shapes_and_types_to_libtorch() {
    let cpu = Device::Cpu;
    assert!(fits(&[16, 16, 3, 3], 1, Kind::Float, cpu), "what the others differ from by one thing");
    assert!(!fits(&[16, 3, 3, 3], 1, Kind::Float, cpu), "three channels");
    assert!(!fits(&[16, 16, 1, 1], 1, Kind::Float, cpu), "another kernel");
    assert!(!fits(&[16, 16, 3, 3], 2, Kind::Float, cpu), "a stride");
    assert!(!fits(&[16, 16, 3, 3], 1, Kind::Double, cpu), "double precision");
}
