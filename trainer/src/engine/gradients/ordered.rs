//! Gradients that are added in the shape of one tree over all logical ranks.

use std::ops::Range;

use lcsl_collective::order::{BinaryCounter, SumOrder};
use lcsl_collective::{CollectiveError, Communicator};
use tch::Tensor;

use crate::engine::host;
use crate::engine::network::Network;
use crate::engine::network::flat::Flat;

/// Gradients that are added in order.
#[derive(Debug)]
pub struct OrderedReducer {
    order: SumOrder,
    /// Of the micro-batch at hand, over the logical ranks of this rank.
    sums: BinaryCounter<Tensor>,
    /// Of the micro-batches before (flat). What does not train stays zero.
    gradient: Tensor,
    /// The part of it that trains, as a view.
    trained: Tensor,
    /// The slots of that part.
    slots: Range<usize>,
}

impl OrderedReducer {
    /// For the gradients of what trains in `student`.
    pub fn new(student: &Network, order: SumOrder) -> Self {
        let gradient = student.parameters.buffer.zeros_like();
        let slots = student.trainable();
        let trained = student.parameters.part_of(&gradient, &slots);
        Self { order, sums: BinaryCounter::default(), gradient, trained, slots }
    }

    /// Forgets the last step.
    pub fn begin(&mut self) {
        let _ = self.gradient.zero_();
    }

    /// The backward pass of the next logical batch, whose gradient is kept apart.
    pub fn backward(&mut self, loss: &Tensor, student: &Network) {
        let views = &student.parameters.views()[self.slots.clone()];
        let gradients = Tensor::run_backward(&[loss], views, false, false);
        self.sums.push(Flat::gather(&gradients), add);
    }

    /// An empty logical batch weighs nothing, but takes its place in the tree of sums.
    pub fn skip(&mut self) {
        self.sums.push(self.trained.zeros_like(), add);
    }

    /// Ends a micro-batch: sums `tail` and its gradient over all ranks, and adds it to those of the
    /// micro-batches before. Were ranks to add up their micro-batches first, another number of ranks would
    /// add in another order. Collective.
    pub fn finish(
        &mut self,
        world: &mut dyn Communicator,
        tail: &mut Tensor,
    ) -> Result<(), CollectiveError> {
        let sums = std::mem::take(&mut self.sums);
        let mut sum = sums.finish(add).expect("every rank has a logical rank");
        host::sum_over_ranks(world, self.order, tail)?;
        host::sum_over_ranks(world, self.order, &mut sum)?;
        let _ = self.trained.g_add_(&sum);
        Ok(())
    }

    /// The gradient (flat): after [`OrderedReducer::finish`] summed over all ranks.
    pub fn gradient(&self) -> &Tensor {
        &self.gradient
    }
}

#[allow(clippy::needless_pass_by_value)] // the shape that `BinaryCounter` asks for
fn add(earlier: &mut Tensor, later: Tensor) {
    let _ = earlier.g_add_(&later);
}
