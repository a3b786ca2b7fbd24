//! The networks.
//!
//! * [`zoo`]: which network goes by which name; [`architecture`]: what it looks like; [`build`]: that of a
//!   configuration.
//! * [`backbones`]: images to features; [`head`]: features to logits.
//! * [`inference`]: the same network when it only answers, several times as fast.
//! * [`flat`]: one buffer for all parameters.
//! * [`weights`]: initial weights, from the run's own random streams; [`initial`]: from a file.

pub mod architecture;
pub mod backbones;
pub mod build;
pub mod flat;
pub mod head;
pub mod inference;
pub mod initial;
pub mod weights;
pub mod zoo;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use lcsl_collective::{CollectiveError, Communicator};
use tch::{Device, Kind, Tensor};

pub use architecture::{Architecture, BackboneForm};
use backbones::Backbone;
use backbones::layers::Slots;
pub use backbones::layers::{Shortcut, Stem};
pub use backbones::resnet::{BlockForm, ResidualForm};
pub use backbones::vit::VitForm;
use head::Head;
pub use head::{Classifier, HeadForm};
pub use inference::{Folded, Portable};

use crate::engine::gpu_sums::GpuSums;
use crate::engine::native::normalisation::SyncBatchNorm;
use crate::engine::optim::LayerRate;
use crate::objective::Trainable;
use flat::Flat;

/// Whether batch normalisation uses the batch's statistics (and moves the running ones) or the
/// running ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch; running statistics move.
    Train,
    /// Running statistics; nothing changes.
    Evaluate,
}

/// A backbone and a head, with the memory of both.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    /// Weights and biases, in the order in which PyTorch lists them.
    pub parameters: Flat,
    /// Running means and variances of batch normalisation.
    pub running_statistics: Flat,
    /// Training forward passes that moved the running statistics, as every normalisation layer counts
    /// them: one i64.
    pub num_batches_tracked: Tensor,
    /// Slots of the parameters that move in training, neighbours in the flat buffer.
    trainable: Range<usize>,
    backbone: Backbone,
    /// The type in which the backbone computes.
    compute: Kind,
    head: Head,
    across: Arc<OnceLock<SyncBatchNorm>>,
}

impl Network {
    /// A network whose parameters are all zero; see [`weights`] and [`Network::load`].
    pub fn zeros(architecture: &Architecture, kind: Kind, device: Device, trains: bool) -> Self {
        let mut slots = Slots::default();
        let backbone = match &architecture.backbone {
            BackboneForm::Residual(form) => Backbone::ResNet(form.lay_out(&mut slots)),
            BackboneForm::Vit(form) => Backbone::Vit(form.lay_out(&mut slots)),
        };
        let head = Head::lay_out(&mut slots, architecture);
        let trainable = 0..slots.parameters.len();
        Self {
            architecture: architecture.clone(),
            parameters: Flat::zeros(slots.parameters, kind, device, trains),
            running_statistics: Flat::zeros(slots.running_statistics, kind, device, false),
            num_batches_tracked: Tensor::zeros([0_i64; 0], (Kind::Int64, device)),
            trainable,
            backbone,
            compute: kind,
            head,
            across: slots.across,
        }
    }

    /// From now on, batch normalisation of training batches takes the statistics of all images that the
    /// ranks of `world` have at that moment. Copies of the network stay by themselves. Collective.
    ///
    /// # Errors
    /// Where the communicator that this needs cannot be had.
    ///
    /// # Panics
    /// When that was said before.
    pub fn sync_batch_norm_over(
        &mut self,
        world: &mut dyn Communicator,
    ) -> Result<(), CollectiveError> {
        let sync = match self.parameters.buffer.device() {
            Device::Cuda(ordinal) => SyncBatchNorm::on_gpus(GpuSums::join(world, ordinal)?),
            _ => SyncBatchNorm::new(world.duplicate()?),
        };
        let first = self.across.set(sync).is_ok();
        assert!(first, "a network shares its statistics with one world");
        Ok(())
    }

    /// The ranks that it shares its batch statistics with.
    pub fn sync_batch_norm(&self) -> Option<&SyncBatchNorm> {
        self.across.get()
    }

    /// A copy with memory of its own, which does not train.
    #[must_use]
    pub fn frozen_copy(&self) -> Self {
        let (kind, device) = (self.parameters.buffer.kind(), self.parameters.buffer.device());
        let mut copy = Self::zeros(&self.architecture, kind, device, false);
        copy.copy_from(self);
        copy.compute = self.compute;
        copy
    }

    /// From now on the backbone computes in this type, and so do copies; parameters, statistics, features and logits
    /// stay what they are.
    pub fn compute_in(&mut self, kind: Kind) {
        self.compute = kind;
    }

    /// Overwrites all state with that of a network of the same architecture.
    pub fn copy_from(&mut self, other: &Network) {
        self.parameters.copy_from(&other.parameters.buffer);
        self.running_statistics.copy_from(&other.running_statistics.buffer);
        self.num_batches_tracked.copy_(&other.num_batches_tracked);
    }

    /// Logits (images × classes) of images given as (N, H, W, C).
    ///
    /// In [`Mode::Train`] the running statistics move; [`Network::count_batches`] is the caller's
    /// business.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Tensor {
        self.classify(&self.features(images, mode), self.classifier())
    }

    /// From now on only these parameters move in training; the others take part, and have no gradient.
    pub fn train_only(&mut self, trainable: Trainable) {
        let all = 0..self.parameters.views().len();
        self.trainable = match trainable {
            Trainable::All => all.clone(),
            Trainable::Classifier => self.classifier_slots(),
            Trainable::RowLengths => {
                let weight = self.classifier_slots().start;
                weight..weight + 1
            }
        };
        for (slot, view) in self.parameters.views().iter().enumerate() {
            let _ = view.set_requires_grad(self.trainable.contains(&slot));
        }
    }

    /// The learning rates of its layers, each so much smaller than that of the next; none where all are the same, or
    /// for a residual network.
    pub fn layer_rates(&self, decay: f64) -> Vec<LayerRate> {
        let BackboneForm::Vit(form) = &self.architecture.backbone else { return Vec::new() };
        if (decay - 1.0).abs() < f64::EPSILON {
            return Vec::new();
        }
        let mut rates: Vec<LayerRate> = Vec::new();
        for (slot, (name, _)) in self.parameters.named().enumerate() {
            let factor = decay.powi(form.layers_behind(name));
            match rates.last_mut().filter(|last| last.factor.to_bits() == factor.to_bits()) {
                Some(last) => last.slots.end = slot + 1,
                None => rates.push(LayerRate { slots: slot..slot + 1, factor }),
            }
        }
        rates
    }

    /// Slots of the classifier's weight and bias, which lie at the end.
    pub fn classifier_slots(&self) -> Range<usize> {
        self.head.slots()
    }

    /// Slots of the parameters that move in training.
    pub fn trainable(&self) -> Range<usize> {
        self.trainable.clone()
    }

    /// Notes that so many training batches (one i64, beside the network) have moved the running statistics.
    pub fn count_batches(&mut self, batches: &Tensor) {
        let _ = self.num_batches_tracked.g_add_(batches);
    }

    /// Running statistics, and how often they have moved: a copy.
    pub fn copy_running_statistics(&self) -> (Tensor, Tensor) {
        (self.running_statistics.buffer.copy(), self.num_batches_tracked.copy())
    }

    /// Goes back to such a copy.
    pub fn restore_running_statistics(&mut self, (statistics, batches): &(Tensor, Tensor)) {
        self.running_statistics.copy_from(statistics);
        self.num_batches_tracked.copy_(batches);
    }

    /// What the head sees (images × features) of images given as (N, H, W, C).
    pub fn features(&self, images: &Tensor, mode: Mode) -> Tensor {
        let parameters = self.parameters.views();
        let (statistics, images) = (self.running_statistics.views(), images.to_kind(self.compute));
        let features = self.backbone.features(&images, parameters, statistics, mode);
        features.to_kind(self.parameters.buffer.kind())
    }

    /// Logits (images × classes) of features, under this classifier in place of its own.
    pub fn classify(&self, features: &Tensor, classifier: Classifier<'_>) -> Tensor {
        self.head.logits(features, classifier)
    }

    /// Its own classifier.
    pub fn classifier(&self) -> Classifier<'_> {
        self.head.classifier(self.parameters.views())
    }

    /// The classifier's weight (classes × features); its rows are what τ-normalisation divides.
    pub fn classifier_weight(&self) -> &Tensor {
        self.classifier().weight
    }

    /// The architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The state dictionary, sorted by name in byte order: parameters, running statistics and
    /// `num_batches_tracked`, as PyTorch names them. Floating-point entries share memory with the
    /// network.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let named = self.parameters.named().chain(self.running_statistics.named());
        let mut state: Vec<(String, Tensor)> =
            named.map(|(name, view)| (name.to_owned(), view.detach())).collect();
        for (name, _) in self.running_statistics.named() {
            if let Some(layer) = name.strip_suffix("running_mean") {
                let batches = self.num_batches_tracked.shallow_clone();
                state.push((format!("{layer}num_batches_tracked"), batches));
            }
        }
        state.sort_by(|a, b| a.0.cmp(&b.0));
        state
    }

    /// Overwrites the state with tensors found by name; `find` returns nothing where there is none.
    /// Names what is missing or has another shape.
    pub fn load(&mut self, mut find: impl FnMut(&str) -> Option<Tensor>) -> Result<(), String> {
        let _guard = tch::no_grad_guard();
        let mut problems = Vec::new();
        for flat in [&self.parameters, &self.running_statistics] {
            for (name, view) in flat.named() {
                match find(name) {
                    None => problems.push(format!("{name} is missing")),
                    Some(found) if found.size() != view.size() => problems.push(format!(
                        "{name} has shape {:?}, expected {:?}",
                        found.size(),
                        view.size()
                    )),
                    Some(found) => view.shallow_clone().copy_(&found),
                }
            }
        }
        match find("bn1.num_batches_tracked") {
            _ if self.running_statistics.slots().is_empty() => {} // nothing is counted
            Some(batches) => self.num_batches_tracked.copy_(&batches),
            None => problems.push("bn1.num_batches_tracked is missing".to_owned()),
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}
