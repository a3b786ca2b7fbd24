//! Which gradients travel together, and when.
//!
//! A backward pass makes gradients roughly in the reverse order of the forward pass. Tensors lie in one
//! buffer in the order of the forward pass, so buckets are cut from its end: each is one piece of
//! memory, and its sum over ranks can be on its way while the rest is still being computed.
//!
//! ```text
//!   buffer      | conv1 … | layer2 … | layer3 …          | fc |
//!   buckets     |    3    |    2     |       1        |    0    |      0 is small: it starts early;
//!                                                                    so is 3: nothing hides it
//! ```
//!
//! All ranks must start buckets in the same order, whatever the order in which their own gradients
//! are ready: [`Arrivals`] keeps it.

use std::ops::Range;

use serde::Serialize;

/// How large buckets are, in elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The first one, which should start early, and the last, behind which no computation is left.
    pub ends: usize,
    /// All others.
    pub others: usize,
}

/// Tensors that are summed over ranks in one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its part of the buffer.
    pub elements: Range<usize>,
    /// Its tensors, counted in buffer order.
    pub tensors: Range<usize>,
}

/// When a bucket was summed, in seconds since the step's first backward pass began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BucketTimes {
    /// Bytes in the bucket.
    pub bytes: usize,
    /// The hook of its last gradient ran; `end` of the backward pass on a rank without images.
    pub hook: f64,
    /// Its sum over ranks began; on a GPU, was given to its stream.
    pub start: f64,
    /// Its sum over ranks was there; on a GPU, all were, which is all that the host waits for.
    pub end: f64,
}

impl Bucket {
    /// The same tensors in a buffer in which so many other elements lie before them.
    #[must_use]
    pub fn moved_by(mut self, elements: usize) -> Self {
        self.elements = self.elements.start + elements..self.elements.end + elements;
        self
    }
}

/// Cuts a buffer of tensors with these numbers of elements into buckets, in the order in which they
/// are summed. A bucket holds as many tensors as its limit allows, and at least one.
pub fn plan(tensors: &[usize], limits: Limits) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    let mut end: usize = tensors.iter().sum();
    for (tensor, elements) in tensors.iter().enumerate().rev() {
        let start = end - elements;
        // What is being filled is the last bucket so far.
        let limit = if buckets.len() <= 1 { limits.ends } else { limits.others };
        match buckets.last_mut() {
            Some(bucket) if bucket.elements.end - start <= limit => {
                bucket.elements.start = start;
                bucket.tensors.start = tensor;
            }
            _ => buckets.push(Bucket { elements: start..end, tensors: tensor..tensor + 1 }),
        }
        end = start;
    }
    if buckets.len() > 1 {
        let last = buckets.pop().expect("more than one");
        buckets.extend(with_small_end(last, tensors, limits.ends));
    }
    buckets
}

/// Cuts off the front of the last bucket, whose gradients come last, where it is larger than `limit`.
fn with_small_end(mut bucket: Bucket, tensors: &[usize], limit: usize) -> Vec<Bucket> {
    let mut end = Bucket { elements: bucket.elements.clone(), tensors: bucket.tensors.clone() };
    if bucket.elements.len() <= limit || bucket.tensors.len() == 1 {
        return vec![bucket];
    }
    let mut elements = 0;
    let fits = |size: &&usize| {
        elements += **size;
        elements <= limit
    };
    let count = tensors[bucket.tensors.clone()].iter().take_while(fits).count().max(1);
    end.tensors.end = end.tensors.start + count;
    end.elements.end = end.elements.start + tensors[end.tensors.clone()].iter().sum::<usize>();
    bucket.tensors.start = end.tensors.end;
    bucket.elements.start = end.elements.end;
    vec![bucket, end]
}

/// Which gradients of a step are there.
#[derive(Debug)]
pub struct Arrivals {
    /// Bucket of each tensor.
    bucket_of: Vec<usize>,
    /// Tensors that each bucket still waits for.
    missing: Vec<usize>,
    /// The first bucket that was not released.
    next: usize,
}

impl Arrivals {
    /// Nothing has arrived.
    pub fn new(plan: &[Bucket]) -> Self {
        let mut bucket_of = vec![0; plan.iter().map(|bucket| bucket.tensors.len()).sum()];
        for (number, bucket) in plan.iter().enumerate() {
            bucket_of[bucket.tensors.clone()].fill(number);
        }
        let missing = plan.iter().map(|bucket| bucket.tensors.len()).collect();
        Self { bucket_of, missing, next: 0 }
    }

    /// The bucket that a tensor belongs to.
    pub fn bucket_of(&self, tensor: usize) -> usize {
        self.bucket_of[tensor]
    }

    /// A tensor's gradient is there. Returns the buckets that this releases: complete ones that no
    /// incomplete one comes before. Each bucket is released once.
    pub fn arrive(&mut self, tensor: usize) -> Range<usize> {
        let missing = &mut self.missing[self.bucket_of[tensor]];
        *missing = missing.checked_sub(1).expect("a gradient arrives once");
        let first = self.next;
        while self.missing.get(self.next) == Some(&0) {
            self.next += 1;
        }
        first..self.next
    }

    /// No more gradients come, because this rank had nothing to learn from. Returns the buckets that
    /// were not released.
    pub fn rest(&mut self) -> Range<usize> {
        let first = self.next;
        self.next = self.missing.len();
        first..self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_are_cut_from_the_end_and_the_first_is_small() {
        let plan = plan(&[10, 20, 30, 3, 4], Limits { ends: 8, others: 50 });
        let shown: Vec<_> = plan.into_iter().map(|it| (it.elements, it.tensors)).collect();
        assert_eq!(shown, [(60..67, 3..5), (10..60, 1..3), (0..10, 0..1)]);
    }

    #[test]
    fn the_last_bucket_is_small_too() {
        let plan = plan(&[3, 4, 10, 20, 30, 3, 4], Limits { ends: 8, others: 500 });
        let shown: Vec<_> = plan.into_iter().map(|it| (it.elements, it.tensors)).collect();
        assert_eq!(shown, [(67..74, 5..7), (7..67, 2..5), (0..7, 0..2)]);
    }

    #[test]
    fn a_tensor_larger_than_a_bucket_has_one_of_its_own() {
        let plan = plan(&[5, 100, 5], Limits { ends: 10, others: 20 });
        assert_eq!(plan.len(), 3);
        assert_eq!(plan[1].elements, 5..105);
    }

    fn cases() -> impl Strategy<Value = (Vec<usize>, Limits)> {
        let limits =
            (1_usize..100, 1_usize..300).prop_map(|(ends, others)| Limits { ends, others });
        (prop::collection::vec(0_usize..120, 1..40), limits)
    }

    proptest! {
        #[test]
        fn every_element_and_tensor_is_in_one_bucket((tensors, limits) in cases()) {
            let plan = plan(&tensors, limits);
            let (mut element, mut tensor) = (tensors.iter().sum::<usize>(), tensors.len());
            for (number, bucket) in plan.iter().enumerate() {
                prop_assert_eq!((bucket.elements.end, bucket.tensors.end), (element, tensor));
                let inside: usize = tensors[bucket.tensors.clone()].iter().sum();
                prop_assert_eq!(bucket.elements.len(), inside);
                let is_end = number == 0 || number + 1 == plan.len();
                let limit = if is_end { limits.ends } else { limits.others };
                prop_assert!(inside <= limit || bucket.tensors.len() == 1);
                (element, tensor) = (bucket.elements.start, bucket.tensors.start);
            }
            prop_assert_eq!((element, tensor), (0, 0));
        }

        /// Whatever the order in which gradients arrive, and however many never do.
        #[test]
        fn buckets_are_released_once_complete_and_in_order(
            (tensors, limits) in cases(),
            seed in prop::collection::vec(any::<u32>(), 40),
            part in 0_usize..=40,
        ) {
            let plan = plan(&tensors, limits);
            let mut order: Vec<usize> = (0..tensors.len()).collect();
            order.sort_by_key(|tensor| seed[*tensor]);
            let mut arrivals = Arrivals::new(&plan);
            let (mut arrived, mut next) = (vec![false; tensors.len()], 0);
            for tensor in order.into_iter().take(part) {
                arrived[tensor] = true;
                let released = arrivals.arrive(tensor);
                prop_assert_eq!(released.start, next);
                next = released.end;
                for bucket in &plan[released] {
                    prop_assert!(arrived[bucket.tensors.clone()].iter().all(|there| *there));
                }
                let waits = |bucket: &Bucket| arrived[bucket.tensors.clone()].iter().any(|it| !it);
                prop_assert!(plan.get(next).is_none_or(waits), "released as soon as possible");
            }
            prop_assert_eq!(arrivals.rest(), next..plan.len());
            prop_assert_eq!(arrivals.rest(), plan.len()..plan.len());
        }
    }
}
