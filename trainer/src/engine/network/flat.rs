//! One buffer for many tensors.

use std::ops::Range;

use lcsl_backends::pages;
use tch::{Device, Kind, Tensor};

/// Name and shape of one tensor in a flat buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name in the state dictionary, for example `layer1.0.conv1.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
}

impl Slot {
    fn elements(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// A one-dimensional tensor that holds all parameters (or all running statistics) of a network,
/// with a view for each of them.
///
/// One object serves the sum over ranks, the optimiser, checkpoints and digests; the views serve
/// forward and backward passes. They share memory, so writing to `buffer` in place changes the
/// network.
#[derive(Debug)]
pub struct Flat {
    /// All elements, in the order of the slots.
    pub buffer: Tensor,
    slots: Vec<Slot>,
    views: Vec<Tensor>,
}

impl Flat {
    /// A buffer of zeros for these slots. With `requires_grad` the views are leaves of the autograd
    /// graph.
    pub fn zeros(slots: Vec<Slot>, kind: Kind, device: Device, requires_grad: bool) -> Self {
        let elements = slots.iter().map(Slot::elements).sum::<i64>();
        let buffer = memory(elements, kind, device);
        let mut start = 0;
        let views = slots
            .iter()
            .map(|slot| {
                let view = buffer.narrow(0, start, slot.elements()).view(slot.shape.as_slice());
                start += slot.elements();
                view.detach().set_requires_grad(requires_grad)
            })
            .collect();
        Self { buffer, slots, views }
    }

    /// The slots, in buffer order.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The views, in buffer order.
    pub fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// Names and views, in buffer order.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.slots.iter().map(|slot| slot.name.as_str()).zip(&self.views)
    }

    /// Names and views of another flat tensor, which is laid out as this one.
    pub fn named_in<'a>(&'a self, flat: &'a Tensor) -> impl Iterator<Item = (&'a str, Tensor)> {
        assert_eq!(flat.size(), self.buffer.size(), "laid out alike");
        let mut start = 0;
        self.slots.iter().map(move |slot| {
            let view = flat.narrow(0, start, slot.elements()).view(slot.shape.as_slice());
            start += slot.elements();
            (slot.name.as_str(), view)
        })
    }

    /// The name of the tensor that has this element of the buffer.
    pub fn name_at(&self, element: usize) -> &str {
        let mut ends = self.slots.iter().scan(0, |end, slot| {
            *end += slot.elements() as usize;
            Some(*end)
        });
        let slot = ends.position(|end| element < end).expect("an element of the buffer");
        &self.slots[slot].name
    }

    /// Where the elements of these slots, neighbours in the buffer, lie.
    pub fn elements_of(&self, slots: &Range<usize>) -> Range<usize> {
        let elements = |slots: &[Slot]| slots.iter().map(Slot::elements).sum::<i64>() as usize;
        let start = elements(&self.slots[..slots.start]);
        start..start + elements(&self.slots[slots.clone()])
    }

    /// The elements of these slots in a flat tensor that is laid out as this one, as a view.
    pub fn part_of(&self, flat: &Tensor, slots: &Range<usize>) -> Tensor {
        let elements = self.elements_of(slots);
        flat.narrow(0, elements.start as i64, elements.len() as i64)
    }

    /// One flat tensor of these, laid out as slots of their shapes that are neighbours.
    pub fn gather(tensors: &[Tensor]) -> Tensor {
        let flat: Vec<Tensor> = tensors.iter().map(|tensor| tensor.reshape([-1])).collect();
        Tensor::cat(&flat, 0)
    }

    /// Overwrites every element in place.
    pub fn copy_from(&mut self, source: &Tensor) {
        let _guard = tch::no_grad_guard();
        self.buffer.copy_(source);
    }
}

/// Zeros that other ranks of this host read fast.
fn memory(elements: i64, kind: Kind, device: Device) -> Tensor {
    let mut memory = Tensor::empty([elements], (kind, device));
    if device == Device::Cpu {
        let bytes = memory.numel() * kind.elt_size_in_bytes();
        pages::prefer_large(memory.data_ptr().cast_const().cast(), bytes);
    }
    memory.zero_()
}
