//! Who is a candidate, and who is admitted: what the teacher says of the images at hand, read by the host and gathered
//! from all ranks.

use tch::{Kind, Tensor};

use super::context::StepContext;
use super::error::StepError;
use super::forward_backward::AdmittedImages;
use super::teacher::PseudoLabels;
use crate::admission::{self, Admitted, Candidate, Rules, candidate};
use crate::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
use crate::engine::host;

/// What the teacher says of the images of a logical batch, as far as they are candidates.
#[derive(Default)]
pub(super) struct Labels {
    pub(super) mixed: Option<PseudoLabels>,
    pub(super) unlabelled: Option<PseudoLabels>,
}

/// What the teacher says of each logical batch; nothing without a teacher, or in a stage without
/// pseudo-labels.
pub(super) fn label(
    context: &mut StepContext,
    batches: &[LogicalBatch],
    mixed: &[Tensor],
) -> Vec<Labels> {
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

/// What the teacher says of one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Said {
    label: u32,
    confidence: f32,
    /// Whether that is one of the two classes that were mixed; of an unlabelled image nobody knows.
    agrees: bool,
}

/// What the teacher says of the images of a logical batch.
#[derive(Debug, Default)]
pub(super) struct SaidOfBatch {
    mixed: Vec<Said>,
    unlabelled: Vec<Said>,
}

/// Reads what the teacher says of the images of all logical batches, at once: it is what the device is waited for.
pub(super) fn what_is_said(batches: &[LogicalBatch], labels: &[Labels]) -> Vec<SaidOfBatch> {
    let mut columns = Vec::new();
    for (batch, Labels { mixed, unlabelled }) in batches.iter().zip(labels) {
        if let Some(PseudoLabels { label, confidence, .. }) = mixed {
            let partners = batch.labels.index_select(0, &batch.permutation);
            let agrees = label.eq_tensor(&batch.labels).logical_or(&label.eq_tensor(&partners));
            columns.push([label.shallow_clone(), confidence.shallow_clone(), agrees]);
        }
        if let Some(PseudoLabels { label, confidence, .. }) = unlabelled {
            columns.push([label.shallow_clone(), confidence.shallow_clone(), label.zeros_like()]);
        }
    }
    if columns.is_empty() {
        return batches.iter().map(|_| SaidOfBatch::default()).collect();
    }
    let rows = columns.iter().map(|columns| {
        let columns = columns.each_ref().map(|column| column.to_kind(Kind::Double));
        Tensor::stack(&columns, 1)
    });
    let numbers = host::read(&Tensor::cat(&rows.collect::<Vec<_>>(), 0));
    let mut images = numbers.as_chunks().0.iter().map(|[label, confidence, agrees]| Said {
        label: *label as u32,
        confidence: *confidence as f32,
        agrees: *agrees > 0.0,
    });
    let mut next = |labels: &Option<PseudoLabels>| -> Vec<Said> {
        let count = labels.as_ref().map_or(0, |labels| labels.label.size()[0] as usize);
        images.by_ref().take(count).collect()
    };
    let said = labels.iter().map(|Labels { mixed, unlabelled }| SaidOfBatch {
        mixed: next(mixed),
        unlabelled: next(unlabelled),
    });
    said.collect()
}

/// How many mixed images of these logical batches were admitted under one of their two classes.
pub(super) fn admitted_in_agreement(
    batches: &[LogicalBatch],
    said: &[SaidOfBatch],
    admitted: &[Admitted],
) -> u64 {
    let rows =
        batches.iter().zip(said).flat_map(|(batch, said)| batch.keys.iter().zip(&said.mixed));
    let is_admitted = |key| admitted.binary_search_by_key(key, |one: &Admitted| one.key).is_ok();
    rows.filter(|(key, said)| said.agrees && is_admitted(*key)).count() as u64
}

/// The candidates of this rank's logical batches. Where `agreement` is asked for, mixed images have
/// to have it.
pub(super) fn candidates(
    rules: &Rules,
    batches: &[LogicalBatch],
    said: &[SaidOfBatch],
    agreement: bool,
) -> Vec<Candidate> {
    let candidate = |(key, Said { label, confidence, .. }): (&u64, &Said)| Candidate {
        key: *key,
        label: *label,
        confidence: *confidence,
    };
    let of_batch = |(batch, said): (&LogicalBatch, &SaidOfBatch)| {
        let mixed = batch.keys.iter().zip(&said.mixed);
        let mixed = mixed.filter(|(_, said)| !agreement || said.agrees).map(candidate);
        let unlabelled = batch.unlabelled.iter().flat_map(|unlabelled| &unlabelled.keys);
        let unlabelled = unlabelled.zip(&said.unlabelled).map(candidate);
        let all: Vec<Candidate> =
            mixed.chain(unlabelled).filter(|candidate| rules.is_told(candidate)).collect();
        all
    };
    batches.iter().zip(said).flat_map(of_batch).collect()
}

/// Gathers the candidates of all ranks and decides on them, on every rank alike. Where nobody labels
/// there is nothing to decide. Adds to `passing` how many came, by class.
///
/// Budgets are spread over the micro-batches of an epoch, which with one a step are its steps. Shares
/// are of the micro-batch as planned: they do not shrink with an image that is skipped.
pub(super) fn admit(
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
    let (rules, ledger) = (&context.rules, &context.ledger);
    for candidate in everyone.iter().filter(|candidate| rules.passes_gate(candidate, ledger)) {
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
pub(super) fn mask(batch: &LogicalBatch, admitted: &[Admitted], sent: &mut Vec<Tensor>) -> Tensor {
    let is_admitted = |key| admitted.binary_search_by_key(key, |one| one.key).is_ok();
    let mask = batch.keys.iter().map(|key| if is_admitted(key) { 1.0_f32 } else { 0.0 });
    let mask = Tensor::from_slice(&mask.collect::<Vec<f32>>()).to_kind(batch.images.kind());
    host::send(mask, batch.images.device(), sent)
}

/// The unlabelled images of the logical batch that were admitted, as they are learnt, with their labels.
pub(super) fn admitted_images(
    batch: &LogicalBatch,
    admitted: &[Admitted],
    sent: &mut Vec<Tensor>,
) -> Option<AdmittedImages> {
    let unlabelled = batch.unlabelled.as_ref()?;
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (row, key) in (0_i64..).zip(&unlabelled.keys) {
        if let Ok(at) = admitted.binary_search_by_key(key, |one| one.key) {
            rows.push(row);
            labels.push(i64::from(admitted[at].label));
        }
    }
    let device = unlabelled.strong.device();
    let [rows, labels] =
        [rows, labels].map(|list| host::send(Tensor::from_slice(&list), device, sent));
    Some(AdmittedImages { images: unlabelled.strong.index_select(0, &rows), labels })
}

#[cfg(test)]
mod tests {
    use lcsl_config::{AdmittedClasses, Policy};

    use super::*;
    use crate::admission::AdmissionSettings;

    /// Story: keys were counted up from the first one, which would have moved every admission behind an
    /// image that was skipped to its neighbour.
    #[test]
    fn candidates_and_admissions_keep_their_places_behind_an_image_that_was_skipped() {
        let settings = AdmissionSettings {
            policy: Policy::Reference,
            classes: AdmittedClasses::Minority,
            confidence: 0.5,
            quantile: 0,
            alignment: 0,
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
        let said = what_is_said(&batches, &labels);
        let found = candidates(&rules, &batches, &said, false);
        assert_eq!(found.iter().map(|one| one.key).collect::<Vec<_>>(), [3, 9]);
        // The first is a mixture of 0 and 0, and the last one of 1 and 0.
        let agrees: Vec<bool> = said[0].mixed.iter().map(|said| said.agrees).collect();
        assert_eq!(agrees, [false, true, true]);
        let found = candidates(&rules, &batches, &said, true);
        assert_eq!(found.iter().map(|one| one.key).collect::<Vec<_>>(), [9]);
        let admitted = [3, 4, 9, 10].map(|key| Admitted { key, label: 1 });
        assert_eq!(admitted_in_agreement(&batches, &said, &admitted), 1);
        let admitted = [4, 9, 10].map(|key| Admitted { key, label: 1 });
        let mask = mask(&batches[0], &admitted, &mut Vec::new());
        assert_eq!(Vec::<f32>::try_from(mask).unwrap(), [0.0, 0.0, 1.0]);
    }
}
