//! How the gradients of all parts become one, on every rank the same.
//!
//! * [`Reduction::Overlapped`]: hooks put gradients into a flat buffer while the backward pass makes
//!   them, and a thread sums complete buckets over the ranks meanwhile ([`overlap`]).
//! * [`Reduction::Ordered`]: every part's gradient apart, added in the shape of one tree over all logical
//!   ranks when the backward pass is over (`--deterministic`).

use lcsl_collective::buckets::BucketTimes;
use lcsl_collective::order::{BinaryCounter, SumOrder, sum_over_ranks};
use lcsl_collective::{CollectiveError, Communicator, Values};
use tch::{Kind, Tensor};

use super::network::Network;
use super::overlap::{Overlap, Settings};

/// The gradient of a step while it is being made.
pub enum Reduction {
    /// Buckets are summed while the backward pass goes on.
    Overlapped(Overlap),
    /// Sums have a fixed order.
    Ordered(Ordered),
}

/// Gradients that are added in order.
#[derive(Debug)]
pub struct Ordered {
    order: SumOrder,
    /// Of the micro-batch at hand, over the logical ranks of this rank.
    parts: BinaryCounter<Tensor>,
    /// Of the micro-batches before (flat).
    gradient: Tensor,
}

impl Reduction {
    /// For the gradients of `student`. Collective: where sums overlap, they get a communicator of their
    /// own.
    pub fn new(
        student: &Network,
        world: &mut dyn Communicator,
        order: SumOrder,
        settings: Settings,
    ) -> Result<Self, CollectiveError> {
        if order == SumOrder::Library {
            return Ok(Self::Overlapped(Overlap::new(&student.parameters, world, settings)?));
        }
        let gradient = student.parameters.buffer.zeros_like();
        Ok(Self::Ordered(Ordered { order, parts: BinaryCounter::default(), gradient }))
    }

    /// Forgets the last step.
    pub fn begin(&mut self) {
        match self {
            Self::Overlapped(overlap) => overlap.begin(),
            Self::Ordered(ordered) => {
                let _ = ordered.gradient.zero_();
            }
        }
    }

    /// The backward pass of the next part. `is_last` says that no other one of this rank follows in this
    /// step.
    pub fn backward(&mut self, loss: &Tensor, student: &Network, is_last: bool) {
        match self {
            Self::Overlapped(overlap) => overlap.backward(loss, is_last),
            Self::Ordered(ordered) => {
                let views = student.parameters.views();
                let gradients = Tensor::run_backward(&[loss], views, false, false);
                let flat: Vec<Tensor> = gradients.iter().map(|it| it.reshape([-1])).collect();
                ordered.parts.push(Tensor::cat(&flat, 0), add);
            }
        }
    }

    /// The next part is empty: it weighs nothing, but takes its place in the tree of sums.
    pub fn skip(&mut self) {
        if let Self::Ordered(ordered) = self {
            ordered.parts.push(ordered.gradient.zeros_like(), add);
        }
    }

    /// Ends a micro-batch: sums `tail`, this rank's statistics and losses, over all ranks, and after the
    /// last one of a step the gradient too. Collective.
    pub fn finish(
        &mut self,
        world: &mut dyn Communicator,
        tail: &mut Vec<f64>,
        is_last: bool,
    ) -> Result<(), CollectiveError> {
        match self {
            Self::Overlapped(overlap) if is_last => overlap.finish(tail),
            Self::Overlapped(_) => world.all_reduce_sum(Values::F64(tail)),
            Self::Ordered(ordered) => {
                let parts = std::mem::take(&mut ordered.parts);
                let sum = parts.finish(add).expect("every rank has a logical rank");
                let _ = ordered.gradient.g_add_(&sum);
                sum_over_ranks(world, ordered.order, Values::F64(tail))?;
                if is_last { sum_flat(world, ordered.order, &mut ordered.gradient) } else { Ok(()) }
            }
        }
    }

    /// The gradient (flat): after [`Reduction::finish`] summed over all ranks, until the next
    /// [`Reduction::begin`].
    pub fn gradient(&self) -> &Tensor {
        match self {
            Self::Overlapped(overlap) => overlap.gradient(),
            Self::Ordered(ordered) => &ordered.gradient,
        }
    }

    /// When the buckets of the last step were summed; none where sums do not overlap.
    pub fn bucket_times(&self) -> &[BucketTimes] {
        match self {
            Self::Overlapped(overlap) => overlap.times(),
            Self::Ordered(_) => &[],
        }
    }

    /// Gives up the communicator, before its world is left. Collective.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        match self {
            Self::Overlapped(overlap) => overlap.leave(),
            Self::Ordered(_) => Ok(()),
        }
    }
}

#[allow(clippy::needless_pass_by_value)] // the shape that `BinaryCounter` asks for
fn add(earlier: &mut Tensor, later: Tensor) {
    let _ = earlier.g_add_(&later);
}

/// Sums a flat tensor over all ranks, in place, wherever it lies.
fn sum_flat(
    world: &mut dyn Communicator,
    order: SumOrder,
    flat: &mut Tensor,
) -> Result<(), CollectiveError> {
    if world.world_size() == 1 {
        return Ok(());
    }
    let elements = flat.numel();
    if flat.kind() == Kind::Double {
        let mut values = vec![0_f64; elements];
        flat.copy_data(&mut values, elements);
        sum_over_ranks(world, order, Values::F64(&mut values))?;
        flat.copy_(&Tensor::from_slice(&values));
    } else {
        let mut values = vec![0_f32; elements];
        flat.copy_data(&mut values, elements);
        sum_over_ranks(world, order, Values::F32(&mut values))?;
        flat.copy_(&Tensor::from_slice(&values));
    }
    Ok(())
}
