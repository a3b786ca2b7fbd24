//! What is said where methods, criteria, heads and refits do not go together.

use crate::bad;

#[test]
fn a_refit_that_cannot_be_and_a_run_of_nothing() {
    insta::assert_snapshot!(bad("--refit=lws --head=cosine"), @r"
    the configuration has a problem
      - refit.method lws scales the rows of the classifier, whose lengths model.head cosine does not see
        where: flag --refit and flag --head
        hint: take --head=linear, or another refit
    ");
    insta::assert_snapshot!(bad("--refit=lws --optimizer=adamw"), @r"
    the configuration has a problem
      - refit.method lws keeps the direction of each row, but adamw turns it
        where: flag --refit and flag --optimizer
        hint: take --optimizer=sgd, or another refit
    ");
    insta::assert_snapshot!(bad("--head=cosine --set=evaluation.adjustment_sweep=true"), @r"
    the configuration has a problem
      - evaluation.adjustment_sweep changes the bias of the classifier, and model.head cosine has none
        where: flag --set evaluation.adjustment_sweep and flag --head
        hint: take --head=linear, or leave the adjustment out
    ");
    insta::assert_snapshot!(bad("--epochs=0 --refit=crt"), @r"
    the configuration has a problem
      - train.epochs is 0, and model.init names no weights: nothing would have been trained
        where: flag --epochs
        hint: give --epochs, or --init with the weights of a trained model, which is then refitted or measured
    ");
}

#[test]
fn images_that_patches_do_not_divide() {
    insta::assert_snapshot!(bad("--dataset=folder --model=vit_b_16 --image_size=200"), @r"
    the configuration has a problem
      - data.image_size is 200, which the patches of vit_b_16 do not divide
        where: flag --image_size and flag --model
        hint: give a multiple of 16, such as 208
    ");
}

#[test]
fn layers_learn_slower_in_transformers_alone() {
    insta::assert_snapshot!(bad("--layer_decay=0.75 --model=resnet20"), @r"
    the configuration has a problem
      - train.layer_decay is 0.75, but resnet20 is no vision transformer
        where: flag --layer_decay and flag --model
        hint: leave it out, or take --model=vit_b_16
    ");
}

#[test]
fn groups_of_classes_that_overlap() {
    insta::assert_snapshot!(bad("--set=evaluation.few_below=102"), @r"
    the configuration has a problem
      - evaluation.few_below is 102, so classes with 101 to 101 images would be few and many
        where: flag --set evaluation.few_below
        hint: give at most 101, or a larger many_above
    ");
}

/// A loss that is asked for twice, or margins of angles without angles, would train something else than the name says.
#[test]
fn methods_criteria_and_heads_that_do_not_go_together() {
    insta::assert_snapshot!(bad("--method=focal --criterion=ce"), @r"
    the configuration has a problem
      - train.criterion is ce, but train.method focal is a criterion by itself
        where: flag --method and flag --criterion
        hint: leave one of the two out; lcsl and mixup take any criterion
    ");
    insta::assert_snapshot!(bad("--method=mixup --mixing=cutmix"), @r"
    the configuration has a problem
      - train.mixing is cutmix, but train.method mixup mixes by mixup
        where: flag --method and flag --mixing
        hint: for a criterion with mixing cutmix name the criterion: --method=ce --mixing=cutmix
    ");
    insta::assert_snapshot!(bad("--criterion=ldam --head=linear"), @r"
    the configuration has a problem
      - train.criterion ldam has margins of angles, but model.head is linear
        where: flag --criterion and flag --head
        hint: take --head=cosine, or leave the head out
    ");
}
