//! What is said where unlabelled images, their teacher and the method do not go together.

use crate::{bad, good};

#[test]
fn unlabelled_images_need_somebody_who_labels_them() {
    insta::assert_snapshot!(
        bad("--method=ce --unlabelled=held_back --dataset=cifar10 --set data.unlabelled_aug=randcls"),
        @r"
    the configuration has 2 problems
      - data.unlabelled is held_back, but train.method ce labels nothing
        where: flag --unlabelled and flag --method
        hint: take --method=lcsl --criterion=ce, or leave --unlabelled out
      - data.unlabelled_aug is randcls, a recipe that cifar10 does not have
        where: flag --unlabelled and flag --set data.unlabelled_aug
        hint: cifar10 has strong, crop_flip, autoaug, cutout, affine, sim_aug, off
    "
    );
    let line = "--set admission.mixed=false --teacher=ema --unlabelled_ratio=0 --set admission.after_epochs=200";
    insta::assert_snapshot!(bad(line), @r"
    the configuration has 4 problems
      - data.unlabelled_ratio is 0, but must be at least 1
        where: flag --unlabelled_ratio
      - admission.mixed is false and there are no unlabelled images, so nobody could be admitted
        where: flag --set admission.mixed
        hint: name unlabelled images with --unlabelled, or leave admission.mixed out
      - admission.teacher is ema, but train.ema_decay is 0: there is no moving average
        where: flag --teacher
        hint: take --ema_decay=0.999, which keeps about the last thousand steps
      - admission.after_epochs is 200 of 200 epochs: nobody would ever label
        where: flag --set admission.after_epochs
        hint: give more --epochs, or a smaller admission.after_epochs
    ");
    let config =
        good("--unlabelled=held-back --dataset=imagenet_lt --teacher=ema --ema_decay=0.9").config;
    assert_eq!(config.data.unlabelled.to_string(), "held_back");
    assert_eq!(config.data.unlabelled_aug.recipe(config.data.name).word(), "randcls");
    let config = good("--unlabelled=datasets/more --set admission.mixed=false").config;
    assert_eq!(config.data.unlabelled.to_string(), "datasets/more");
    assert_eq!(config.data.unlabelled_aug.recipe(config.data.name).word(), "autoaug");
}

/// The profile falls from the number that was given, and so does what it leaves.
#[test]
fn a_smaller_largest_class_may_leave_others_empty() {
    insta::assert_snapshot!(bad("--dataset=cifar10 --set data.largest=50"), @r"
    the configuration has a problem
      - data.imb_factor is 0.01, which leaves 2 of 10 classes without an image: the largest has 50
        where: flag --set data.largest and flag --dataset
        hint: --imb_factor=0.02 leaves the smallest class one image
    ");
}
