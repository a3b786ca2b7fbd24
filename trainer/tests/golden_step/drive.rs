//! Drives the training step through a case and checks everything that comes out.

use lcsl_collective::control::Control;
use lcsl_collective::{Communicator, threads};
use lcsl_trainer::admission::{Ledger, Rules};
use lcsl_trainer::clock::Clock;
use lcsl_trainer::engine::gradients::overlapped::BucketSettings;
use lcsl_trainer::engine::gradients::reducer::Reducer;
use lcsl_trainer::engine::network::Network;
use lcsl_trainer::engine::network::flat::Flat;
use lcsl_trainer::engine::optim::Optimiser;
use lcsl_trainer::engine::optim::sgd::Sgd;
use lcsl_trainer::engine::step::context::{StepContext, Task};
use lcsl_trainer::engine::step::criterion::Loss;
use lcsl_trainer::engine::step::report::StepReport;
use lcsl_trainer::engine::step::step::global_step;
use lcsl_trainer::engine::step::teacher::Teacher;
use lcsl_trainer::objective::PseudoLabelling;
use lcsl_trainer::plan::block;
use tch::Tensor;

use crate::case::{Case, Expected, Precision, StoredBatches};
use crate::compare::{distance, relative_distance, same, within};
use crate::device::device;
use crate::reduction::Reduction;

/// Runs a case on a world of threads. Tensors cannot be shared between threads, so each rank makes
/// the case for itself.
pub(crate) fn on_threads<F>(size: usize, reduction: Reduction, make: F) -> Result<(), String>
where
    F: Fn() -> Result<Case, String> + Clone + Send + 'static,
{
    let ranks: Vec<_> = threads::world(size)
        .into_iter()
        .map(|world| {
            let make = make.clone();
            std::thread::spawn(move || run(&make()?, reduction, Box::new(world)))
        })
        .collect();
    let outcomes: Vec<_> = ranks.into_iter().map(std::thread::JoinHandle::join).collect();
    outcomes
        .into_iter()
        .try_for_each(|outcome| outcome.unwrap_or_else(|_| Err("the rank panicked".to_owned())))
}

/// Runs a case as one rank of `world`: float64 freely, float32 with the stored state before each
/// step.
pub(crate) fn run(
    case: &Case,
    reduction: Reduction,
    world: Box<dyn Communicator>,
) -> Result<(), String> {
    let block = block(case.logical_ranks, world.world_size(), world.rank());
    let mut context = context(case, reduction, world)?;
    let mut source = StoredBatches { case, block: block.clone() };
    for (step, expected) in case.steps.iter().enumerate() {
        let at = format!("{} {} step {step}", case.name, case.precision);
        let index = case.index(step);
        if index.step == 0 {
            context.ledger.begin_epoch();
        }
        if case.precision == Precision::Single && step > 0 {
            load_state(case, &mut context, step - 1)?;
        }
        let report = global_step(&mut context, &mut source, index, case.config.lr)
            .map_err(|error| format!("{at}: {error}"))?;
        let check = Check { case, step, at: &at, expected };
        let left_out = case.missing * case.accumulate as u64;
        same(&format!("{at}: images left out"), &report.skipped, &left_out)?;
        check.decisions(&report, &context.ledger)?;
        check.losses(&report)?;
        check.logical_batches(&report, block.clone())?;
        check.gradients(&report, &context.student)?;
        if case.precision == Precision::Double {
            check.state(&context)?;
        }
    }
    context.reducer.leave().map_err(|error| error.to_string())
}

/// The optimiser alone, fed with the stored gradients.
pub(crate) fn optimiser(case: &Case) -> Result<(), String> {
    for step in 0..case.steps.len() {
        let mut context =
            context(case, Reduction::Overlapped, Box::new(lcsl_collective::solo::Solo))?;
        if step > 0 {
            load_state(case, &mut context, step - 1)?;
        }
        let gradient =
            stored_flat(case, &context.student.parameters, &format!("step{step}.grad."))?;
        let slots = context.student.trainable();
        let parameters = &mut context.student.parameters;
        context.optimiser.step(parameters, &slots, &gradient, case.config.lr);
        for (name, view) in context.student.parameters.named() {
            let expected = case.tensor(&format!("step{step}.student.{name}"))?;
            within(&format!("step {step} {name}"), distance(view, &expected), 1e-6)?;
        }
        let velocity =
            stored_flat(case, &context.student.parameters, &format!("step{step}.momentum."))?;
        within("momentum", distance(remembered(&context), &velocity), 1e-6)?;
    }
    Ok(())
}

/// Small enough that even these networks have several buckets.
const BUCKETS: BucketSettings = BucketSettings { ends_bytes: 1 << 10, bytes: 1 << 12 };

fn context(
    case: &Case,
    reduction: Reduction,
    mut world: Box<dyn Communicator>,
) -> Result<StepContext, String> {
    let student = network(case, "student.init.", true)?;
    let teacher = Teacher::of(&network(case, "teacher.init.", false)?, true);
    let normalised = case.tensor("teacher.normalised.fc.weight")?;
    let off = distance(teacher.labelling().classifier_weight(), &normalised);
    let limit = if case.precision == Precision::Double { 1e-12 } else { 1e-6 };
    within("the teacher's normalised classifier", off, limit)?;
    let (momentum, weight_decay) = (case.config.momentum, case.config.weight_decay);
    let reducer = Reducer::new(&student, world.as_mut(), reduction.order(), BUCKETS);
    Ok(StepContext {
        average: None,
        world,
        reducer: reducer.map_err(|error| error.to_string())?,
        optimiser: Optimiser::from(Sgd::new(&student.parameters.buffer, momentum, weight_decay)),
        clip_grad_norm: 0.0,
        sam_rho: 0.0,
        student,
        teacher: Some(teacher),
        latest: None,
        rules: Rules::new(&case.counts, case.settings()),
        ledger: Ledger::new(case.counts.len()),
        task: Task {
            criterion: Loss::CrossEntropy,
            plain_admitted: false,
            pseudo_labels: Some(PseudoLabelling {
                mixed: true,
                unlabelled_ratio: 0,
                by_average: false,
                agreement: false,
                alpha: case.config.alpha,
                temperature: case.config.temperature,
            }),
            class_weights: None,
            student_offsets: None,
            teacher_offsets: None,
            clean_forward: case.config.clean_forward,
            frozen: None,
            row_lengths: false,
        },
        clock: Clock::new(Control::absent()),
        wants_checkpoint: false,
        reads_late: device().is_cuda(),
    })
}

/// The velocity of SGD.
fn remembered(context: &StepContext) -> &Tensor {
    context.optimiser.moments().flat[0].1
}

fn network(case: &Case, prefix: &str, trains: bool) -> Result<Network, String> {
    let mut network = Network::zeros(&case.architecture, case.precision.kind(), device(), trains);
    network.load(|name| case.tensor(&format!("{prefix}{name}")).ok())?;
    Ok(network)
}

fn load_state(case: &Case, context: &mut StepContext, step: usize) -> Result<(), String> {
    context.student.load(|name| case.tensor(&format!("step{step}.student.{name}")).ok())?;
    let velocity =
        stored_flat(case, &context.student.parameters, &format!("step{step}.momentum."))?;
    remembered(context).shallow_clone().copy_(&velocity);
    Ok(())
}

/// Stored tensors, one for each slot of `like`, as one flat tensor.
fn stored_flat(case: &Case, like: &Flat, prefix: &str) -> Result<Tensor, String> {
    let parts = like.named().map(|(name, _)| {
        case.tensor(&format!("{prefix}{name}")).map(|tensor| tensor.reshape([-1]))
    });
    Ok(Tensor::cat(&parts.collect::<Result<Vec<_>, _>>()?, 0))
}

struct Check<'a> {
    case: &'a Case,
    step: usize,
    at: &'a str,
    expected: &'a Expected,
}

impl Check<'_> {
    /// Tolerances in float64 and float32.
    fn limit(&self, double: f64, single: f64) -> f64 {
        if self.case.precision == Precision::Double { double } else { single }
    }

    fn decisions(&self, report: &StepReport, ledger: &Ledger) -> Result<(), String> {
        let keys: Vec<u64> = report.admitted.iter().map(|one| one.key).collect();
        let what = |what: &str| format!("{}: {what}", self.at);
        same(&what("admitted keys"), &keys, &self.expected.admitted_keys)?;
        same(&what("admitted this epoch"), &ledger.epoch, &self.expected.admitted_epoch)?;
        same(&what("admitted in all"), &ledger.total, &self.expected.admitted_total)?;
        same(&what("tokens"), &ledger.tokens, &self.expected.tokens)?;
        same(&what("credit"), &ledger.credit, &self.expected.credit)
    }

    fn losses(&self, report: &StepReport) -> Result<(), String> {
        let Expected { loss, loss_mix, loss_self, .. } = *self.expected;
        let found = report.loss(self.case.config.alpha);
        for (what, found, expected) in [
            ("loss", found, loss),
            ("mixup loss", report.loss_mix, loss_mix),
            ("self-labelling loss", report.loss_self, loss_self),
        ] {
            let limit = self.limit(1e-10, 2e-6 * expected.abs().max(1.0));
            within(&format!("{}: {what}", self.at), (found - expected).abs(), limit)?;
        }
        Ok(())
    }

    /// Pseudo-labels, masks and logits of the logical batches that this rank worked on.
    fn logical_batches(
        &self,
        report: &StepReport,
        block: std::ops::Range<usize>,
    ) -> Result<(), String> {
        let places = (0..self.case.accumulate)
            .flat_map(|micro| block.clone().map(move |logical| (micro, logical)));
        for ((micro, logical), batch) in places.zip(&report.logical) {
            let prefix = Case::prefix(self.step, micro, logical);
            let pseudo_labels = batch.pseudo_labels.as_ref().ok_or("the teacher was not asked")?;
            for (name, found, limit) in [
                ("teacher_logits", &pseudo_labels.logits, self.limit(1e-9, 1e-4)),
                ("pseudo", &pseudo_labels.label, 0.0),
                ("confidence", &pseudo_labels.confidence, self.limit(1e-7, 1e-4)),
                ("mask", &batch.mask, 0.0),
                ("student_logits", &batch.logits, self.limit(1e-9, 1e-4)),
            ] {
                let expected = self.case.tensor(&format!("{prefix}{name}"))?;
                within(&format!("{}: {prefix}{name}", self.at), distance(found, &expected), limit)?;
            }
        }
        same(
            "logical batches of the rank",
            &report.logical.len(),
            &(self.case.accumulate * block.len()),
        )
    }

    fn gradients(&self, report: &StepReport, student: &Network) -> Result<(), String> {
        for (name, found) in student.parameters.named_in(&report.gradient) {
            let expected = self.case.tensor(&format!("step{}.grad.{name}", self.step))?;
            let what = format!("{}: gradient of {name}", self.at);
            if self.case.precision == Precision::Double {
                within(&what, distance(&found, &expected), 1e-9)?;
            } else {
                within(&what, relative_distance(&found, &expected), 5e-2)?;
            }
        }
        Ok(())
    }

    /// Everything that the step leaves behind, in float64.
    fn state(&self, context: &StepContext) -> Result<(), String> {
        for (name, found) in context.student.state() {
            let expected = self.case.tensor(&format!("step{}.student.{name}", self.step))?;
            within(&format!("{}: {name}", self.at), distance(&found, &expected), 1e-9)?;
        }
        let prefix = format!("step{}.momentum.", self.step);
        let velocity = stored_flat(self.case, &context.student.parameters, &prefix)?;
        let off = distance(remembered(context), &velocity);
        within(&format!("{}: momentum", self.at), off, 1e-9)
    }
}
