//! One optimiser step, every stage in order.
//!
//! [`global_step`] is the walk through the whole program; each stage's file is one call away.
//! Training, the golden tests and the benchmarks all call this one function.

use lcsl_collective::control::Phase;
use tch::Tensor;

use super::context::StepContext;
use super::error::StepError;
use super::forward_backward::AdmittedImages;
use super::pass::{MicroBatch, RunningStatistics, pass};
use super::report::StepReport;
use super::teacher::PseudoLabels;
use crate::admission::{self, Admitted, Candidate, Rules, candidate};
use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
use crate::engine::optim::clip::clip_grad_norm;
use crate::engine::optim::sam;

/// Makes one optimiser step. Collective: all ranks call it with the same `index` and
/// `learning_rate`.
///
/// # Errors
/// See [`StepError`]; the parameters have not moved then.
pub fn global_step(
    context: &mut StepContext,
    source: &mut dyn BatchSource,
    index: StepIndex,
    learning_rate: f64,
) -> Result<StepReport, StepError> {
    let mut micro_batches = Vec::new();
    let (mut admitted, mut planned) = (Vec::new(), 0);
    let mut passing = Vec::new();
    for micro in 0..source.micro_batches() {
        // shard → sampler → decode → augment → batch
        context.clock.enter(Phase::Data);
        let batches = source.batches(index, micro)?;
        planned += source.global_images(index, micro);

        // mixup → teacher
        context.clock.enter(Phase::Teacher);
        let mixed: Vec<Tensor> = batches.iter().map(LogicalBatch::mix).collect();
        let labels = label(context, &batches, &mixed);

        // candidates → gather → admission
        let agrees = agreements(&batches, &labels);
        let agreement = context.task.pseudo_labels.is_some_and(|labelling| labelling.agreement);
        let required = agreement.then_some(agrees.as_slice());
        let candidates = candidates(&context.rules, &batches, &labels, required);
        context.clock.enter(Phase::Gather);
        let decided = admit(context, &candidates, source, index, micro, &mut passing)?;
        let agreeing = admitted_in_agreement(&batches, &agrees, &decided);
        let masks = batches.iter().map(|batch| mask(batch, &decided)).collect();
        let unlabelled = batches.iter().map(|batch| admitted_images(batch, &decided)).collect();
        let pseudo_labels = labels.into_iter().map(|labels| labels.mixed).collect();
        let batch = MicroBatch { batches, mixed, pseudo_labels, masks, unlabelled, agreeing };
        micro_batches.push(batch);
        admitted.extend(decided);
    }
    admitted.sort_unstable(); // unlabelled images of one micro-batch come behind the mixed ones of all

    // loss → backward → buckets → all-reduce
    let mut report = pass(context, &micro_batches, planned, RunningStatistics::Move)?;
    (report.admitted, report.passing) = (admitted, passing);
    climb_and_look_again(context, &micro_batches, planned, &report)?;
    report.rescale(planned);
    report.check_gradient()?;

    // optimiser, unless no image came; metrics and checkpoints are the business of the training loop
    context.clock.enter(Phase::Optimiser);
    if report.images > 0 {
        let trainable = context.student.trainable();
        let parameters = &mut context.student.parameters;
        let mut moving = parameters.part_of(&report.gradient, &trainable);
        clip_grad_norm(&mut moving, context.clip_grad_norm);
        context.optimiser.step(parameters, &trainable, &report.gradient, learning_rate);
        if let Some(average) = &mut context.average {
            average.update(&context.student);
        }
    }
    Ok(report)
}

/// The second pass of sharpness-aware minimisation, where that is wanted: it leaves the gradient at the place that
/// `first` points to, and the weights where they were. Losses, wishes and running statistics are those of the first
/// pass.
fn climb_and_look_again(
    context: &mut StepContext,
    micro_batches: &[MicroBatch],
    planned: u64,
    first: &StepReport,
) -> Result<(), StepError> {
    if context.sam_rho == 0.0 || first.images == 0 {
        return Ok(());
    }
    first.check_gradient()?;
    let slots = context.student.trainable();
    let (parameters, rho) = (&mut context.student.parameters, context.sam_rho);
    let before = sam::climb(parameters, &slots, &first.gradient, rho);
    let second = pass(context, micro_batches, planned, RunningStatistics::Keep);
    sam::descend(&mut context.student.parameters, &slots, &before);
    second.map(|_| ())
}

/// What the teacher says of the images of a logical batch, as far as they are candidates.
#[derive(Default)]
struct Labels {
    mixed: Option<PseudoLabels>,
    unlabelled: Option<PseudoLabels>,
}

/// What the teacher says of each logical batch; nothing without a teacher, or in a stage without
/// pseudo-labels.
fn label(context: &mut StepContext, batches: &[LogicalBatch], mixed: &[Tensor]) -> Vec<Labels> {
    context.refresh_teacher();
    let task = &context.task;
    let Some((teacher, labelling)) = context.teacher.as_ref().zip(task.pseudo_labels) else {
        return batches.iter().map(|_| Labels::default()).collect();
    };
    let label =
        |images| teacher.label(images, labelling.temperature, task.teacher_offsets.as_ref());
    let labels = batches.iter().zip(mixed).map(|(batch, mixed)| Labels {
        mixed: labelling.mixed.then(|| label(mixed)),
        unlabelled: batch.unlabelled.as_ref().map(|unlabelled| label(&unlabelled.weak)),
    });
    labels.collect()
}

/// Whether the teacher's label of each mixed image is one of the two classes that were mixed, by logical batch;
/// nothing for batches whose mixed images are no candidates.
fn agreements(batches: &[LogicalBatch], labels: &[Labels]) -> Vec<Vec<bool>> {
    let of_batch = |(batch, labels): (&LogicalBatch, &Labels)| {
        let Some(PseudoLabels { label, .. }) = &labels.mixed else { return Vec::new() };
        let partners = batch.labels.index_select(0, &batch.permutation);
        let agrees = label.eq_tensor(&batch.labels).logical_or(&label.eq_tensor(&partners));
        let mut list = vec![false; batch.keys.len()];
        agrees.copy_data(&mut list, batch.keys.len());
        list
    };
    batches.iter().zip(labels).map(of_batch).collect()
}

/// How many mixed images of these logical batches were admitted under one of their two classes.
fn admitted_in_agreement(
    batches: &[LogicalBatch],
    agrees: &[Vec<bool>],
    admitted: &[Admitted],
) -> u64 {
    let rows = batches.iter().zip(agrees).flat_map(|(batch, agrees)| batch.keys.iter().zip(agrees));
    let is_admitted = |key| admitted.binary_search_by_key(key, |one: &Admitted| one.key).is_ok();
    rows.filter(|(key, agrees)| **agrees && is_admitted(*key)).count() as u64
}

/// The candidates of this rank's logical batches that pass the gate. Where `agreement` is given, by logical batch,
/// mixed images have to have it.
fn candidates(
    rules: &Rules,
    batches: &[LogicalBatch],
    labels: &[Labels],
    agreement: Option<&[Vec<bool>]>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut add = |keys: &[u64], labels: &PseudoLabels, agrees: Option<&[bool]>| {
        let (mut classes, mut confidences) = (vec![0_i64; keys.len()], vec![0_f32; keys.len()]);
        labels.label.copy_data(&mut classes, keys.len());
        labels.confidence.copy_data(&mut confidences, keys.len());
        let rows = keys.iter().zip(classes.into_iter().zip(confidences));
        let rows = rows.map(|(key, (label, confidence))| Candidate {
            key: *key,
            label: label as u32,
            confidence,
        });
        let agrees = |place: usize| agrees.is_none_or(|agrees| agrees[place]);
        let rows = rows.enumerate().filter(|(place, _)| agrees(*place)).map(|(_, row)| row);
        candidates.extend(rows.filter(|candidate| rules.passes_gate(candidate)));
    };
    for (number, (batch, labels)) in batches.iter().zip(labels).enumerate() {
        if let Some(mixed) = &labels.mixed {
            add(&batch.keys, mixed, agreement.map(|lists| lists[number].as_slice()));
        }
        if let Some((batch, labels)) = batch.unlabelled.as_ref().zip(labels.unlabelled.as_ref()) {
            add(&batch.keys, labels, None);
        }
    }
    candidates
}

/// Gathers the candidates of all ranks and decides on them, on every rank alike. Where nobody labels
/// there is nothing to decide. Adds to `passing` how many came, by class.
///
/// Budgets are spread over the micro-batches of an epoch, which with one a step are its steps. Shares
/// are of the micro-batch as planned: they do not shrink with an image that is skipped.
fn admit(
    context: &mut StepContext,
    candidates: &[Candidate],
    source: &dyn BatchSource,
    index: StepIndex,
    micro: usize,
    passing: &mut Vec<u64>,
) -> Result<Vec<Admitted>, StepError> {
    let Some(labelling) = context.task.pseudo_labels.filter(|_| context.teacher.is_some()) else {
        return Ok(Vec::new());
    };
    let gathered = context.world.all_gather(&candidate::to_bytes(candidates))?;
    let everyone = candidate::from_ranks(&gathered)?;
    passing.resize(context.ledger.total.len(), 0);
    for candidate in everyone.iter().filter(|candidate| context.rules.passes_gate(candidate)) {
        passing[candidate.label as usize] += 1;
    }
    let micro_batches = source.micro_batches() as u64;
    let at = admission::AdmissionStep {
        step: index.step * micro_batches + micro as u64,
        steps: index.steps * micro_batches,
        batch: source.global_images(index, micro) * labelling.candidates_per_image(),
        rounds: micro_batches,
    };
    Ok(context.rules.admit(&everyone, &mut context.ledger, at))
}

/// 1 for each image of the logical batch that was admitted, else 0.
fn mask(batch: &LogicalBatch, admitted: &[Admitted]) -> Tensor {
    let is_admitted = |key| admitted.binary_search_by_key(key, |one| one.key).is_ok();
    let mask = batch.keys.iter().map(|key| if is_admitted(key) { 1.0_f32 } else { 0.0 });
    let mask: Vec<f32> = mask.collect();
    Tensor::from_slice(&mask).to_kind(batch.images.kind()).to_device(batch.images.device())
}

/// The unlabelled images of the logical batch that were admitted, as they are learnt, with their labels.
fn admitted_images(batch: &LogicalBatch, admitted: &[Admitted]) -> Option<AdmittedImages> {
    let unlabelled = batch.unlabelled.as_ref()?;
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (row, key) in (0_i64..).zip(&unlabelled.keys) {
        if let Ok(at) = admitted.binary_search_by_key(key, |one| one.key) {
            rows.push(row);
            labels.push(i64::from(admitted[at].label));
        }
    }
    let on_device = |list: &[i64]| Tensor::from_slice(list).to_device(unlabelled.strong.device());
    let images = unlabelled.strong.index_select(0, &on_device(&rows));
    Some(AdmittedImages { images, labels: on_device(&labels) })
}

#[cfg(test)]
mod tests {
    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{AdmittedClasses, Machine, Policy, parse_train};
    use tch::Kind;

    use super::*;
    use crate::admission::AdmissionSettings;
    use crate::data_module;
    use crate::engine::run::build;
    use crate::objective::Objective;

    /// Story: keys were counted up from the first one, which would have moved every admission behind an
    /// image that was skipped to its neighbour.
    #[test]
    fn candidates_and_admissions_keep_their_places_behind_an_image_that_was_skipped() {
        let settings = AdmissionSettings {
            policy: Policy::Reference,
            classes: AdmittedClasses::Minority,
            confidence: 0.5,
            quota_rate: None,
            burst_steps: 1,
            share: 1_000_000,
            crest_alpha: 0.0,
        };
        let rules = Rules::new(&[10, 1], settings);
        let batch = LogicalBatch {
            images: Tensor::zeros([3, 1, 1, 3], (Kind::Float, tch::Device::Cpu)),
            labels: Tensor::from_slice(&[0_i64, 0, 1]),
            permutation: Tensor::from_slice(&[1_i64, 2, 0]),
            mixing: Tensor::from_slice(&[1.0_f32, 0.0, 1.0, 0.0, 1.0, 0.0]).view([3, 2]),
            patch: None,
            keys: vec![3, 5, 9],
            unlabelled: None,
        };
        let pseudo_labels = PseudoLabels {
            logits: Tensor::new(),
            label: Tensor::from_slice(&[1_i64, 0, 1]),
            confidence: Tensor::from_slice(&[0.9_f32, 0.9, 0.8]),
        };
        let batches = [batch];
        let labels = [Labels { mixed: Some(pseudo_labels), unlabelled: None }];
        let found = candidates(&rules, &batches, &labels, None);
        assert_eq!(found.iter().map(|one| one.key).collect::<Vec<_>>(), [3, 9]);
        // The first is a mixture of 0 and 0, and the last one of 1 and 0.
        let agrees = agreements(&batches, &labels);
        assert_eq!(agrees, [[false, true, true]]);
        let found = candidates(&rules, &batches, &labels, Some(&agrees));
        assert_eq!(found.iter().map(|one| one.key).collect::<Vec<_>>(), [9]);
        let admitted = [3, 4, 9, 10].map(|key| Admitted { key, label: 1 });
        assert_eq!(admitted_in_agreement(&batches, &agrees, &admitted), 1);
        let admitted = [4, 9, 10].map(|key| Admitted { key, label: 1 });
        let mask = mask(&batches[0], &admitted);
        assert_eq!(Vec::<f32>::try_from(mask).unwrap(), [0.0, 0.0, 1.0]);
    }

    /// The step of sharpness-aware minimisation beside its parts, one after the other (Foret et al., algorithm 1): the
    /// gradient at the place that the first one points to moves the weights from where they were, and one of the two
    /// passes moves the running statistics.
    #[test]
    fn a_sharpness_aware_step_takes_the_gradient_from_up_the_slope() {
        let flags = ["--dataset=synthetic", "--method=mixup", "--batch_size=8", "--image_size=16"];
        let made = |rho: f64| {
            let machine = Machine { cores: 1, gpus: None };
            let flags: Vec<_> =
                flags.iter().map(Into::into).chain([format!("--sam_rho={rho}").into()]).collect();
            let config = parse_train(&flags, &machine).unwrap().config;
            let data_module = data_module::open(&config).unwrap();
            let objective = Objective::of(&config, &data_module.train_counts).unwrap();
            let cpu = tch::Device::Cpu;
            let source = build::batches(&config, &objective, &data_module, &Solo, cpu);
            let (world, control) = (Box::new(Solo), Control::absent());
            let context =
                build::context(&config, &objective, &data_module, world, control, cpu).unwrap();
            (context, source)
        };
        let index = StepIndex { epoch: 0, step: 0, steps: 9 };
        let state = |context: &StepContext| {
            let (statistics, batches) = context.student.copy_running_statistics();
            (context.student.parameters.buffer.copy(), statistics, batches)
        };
        let [sharp, plain] = [0.1, 0.0].map(|rho| {
            let (mut context, mut source) = made(rho);
            let report = global_step(&mut context, &mut source, index, 0.1).unwrap();
            (state(&context), report.loss_mix.to_bits())
        });
        assert_eq!((&sharp.0.1, &sharp.0.2, sharp.1), (&plain.0.1, &plain.0.2, plain.1));
        assert_ne!(sharp.0.0, plain.0.0);

        let (mut context, mut source) = made(0.0);
        let batches = source.batches(index, 0).unwrap();
        let micro_batches = [MicroBatch {
            mixed: batches.iter().map(LogicalBatch::mix).collect(),
            pseudo_labels: vec![None],
            masks: batches.iter().map(|batch| mask(batch, &[])).collect(),
            unlabelled: vec![None],
            agreeing: 0,
            batches,
        }];
        let first = pass(&mut context, &micro_batches, 8, RunningStatistics::Move).unwrap();
        let mut weights = context.student.parameters.buffer.shallow_clone();
        let before = weights.copy();
        let length = f64::try_from(first.gradient.norm()).unwrap();
        let _ = tch::no_grad(|| weights.g_add_(&(&first.gradient * (0.1 / length))));
        let second = pass(&mut context, &micro_batches, 8, RunningStatistics::Keep).unwrap();
        tch::no_grad(|| weights.copy_(&before));
        let slots = context.student.trainable();
        let parameters = &mut context.student.parameters;
        context.optimiser.step(parameters, &slots, &second.gradient, 0.1);
        let by_hand = state(&context);
        assert!(by_hand.0.allclose(&sharp.0.0, 1e-5, 1e-7, false));
        assert_eq!((by_hand.1, by_hand.2), (sharp.0.1, sharp.0.2));
    }
}
