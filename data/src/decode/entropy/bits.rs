//! The bits of a scan, most significant first, without the bytes that are stuffed into them.

use memchr::memchr;

/// Where reading stands. A marker (`FF` and anything but `00`) and the end of the bytes end a scan;
/// behind them come zeros, and [`Bits::overran`] tells.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits {
    /// The bits to come, from the top. Below them may stand more, which are read again.
    window: u64,
    /// How many of them are bits of the scan, or of the zeros behind it.
    count: u32,
    /// The next byte that is not in `window`.
    at: usize,
    /// The next `FF` from `at` on, or the end of the bytes.
    plain_until: usize,
    /// Zeros that were put behind the end.
    zeros: u32,
}

impl Bits {
    /// Reads from byte `at` on.
    pub(super) fn new(bytes: &[u8], at: usize) -> Self {
        Self { at, plain_until: next_ff(bytes, at), ..Self::default() }
    }

    /// Makes at least 56 bits available: two codes of 16 bits, with the 11 bits behind each that a number
    /// may have at most.
    #[inline(always)]
    pub(super) fn refill(&mut self, bytes: &[u8]) {
        if self.at.wrapping_add(8) <= self.plain_until
            && let Some(next) = bytes.get(self.at..self.at + 8).and_then(|next| next.first_chunk())
        {
            // What is read twice, because a byte is not used up, is the same both times.
            self.window |= u64::from_be_bytes(*next).wrapping_shr(self.count);
            let used = 63_u32.wrapping_sub(self.count) >> 3;
            self.at = self.at.wrapping_add(used as usize);
            self.count |= 0b11_1000; // whole bytes, 56 to 63 bits
        } else {
            // By value: what has an address does not stay in registers.
            *self = self.refilled_slowly(bytes);
        }
    }

    /// [`Bits::refill`] where a stuffed byte or the end is near.
    #[cold]
    #[inline(never)]
    fn refilled_slowly(mut self, bytes: &[u8]) -> Self {
        // Bits below `count` may be there already: of a byte that was not used up.
        self.window &= !(u64::MAX >> self.count);
        while self.count < 56 {
            let byte = match bytes.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    self.plain_until = next_ff(bytes, self.at);
                    0xff
                }
                None | Some([] | [0xff, ..]) => {
                    self.zeros += 8;
                    0
                }
                Some(&[byte, ..]) => {
                    self.at += 1;
                    byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
        self
    }

    /// The next `WIDTH` bits, 1 to 32.
    #[inline(always)]
    pub(super) fn peek<const WIDTH: u32>(&self) -> usize {
        (self.window >> (64 - WIDTH)) as usize
    }

    /// Leaves out bits that are there, fewer than 64.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.window = self.window.wrapping_shl(bits);
        self.count = self.count.wrapping_sub(bits);
    }

    /// The number of `size` bits, 0 to 15, that stands `before` bits further on. Those that begin with 0
    /// are negative (T.81, F.2.2.1).
    #[inline(always)]
    pub(super) fn number(&self, before: u32, size: u32) -> i32 {
        let bits = self.window.wrapping_shl(before);
        let value = (bits >> 1).wrapping_shr(63 ^ size) as i32;
        let is_negative = !((bits as i64 >> 63) as i32);
        value.wrapping_add(is_negative & 1_i32.wrapping_sub(1_i32.wrapping_shl(size)))
    }

    /// True when more bits were read than the scan has.
    pub(super) fn overran(&self) -> bool {
        self.count < self.zeros
    }

    /// Where the marker stands at which this part of the scan ends, if all its bits were read but
    /// the last seven at most, which fill up a byte.
    pub(super) fn marker(&mut self, bytes: &[u8]) -> Option<usize> {
        self.refill(bytes);
        let left = self.count.checked_sub(self.zeros)?;
        (left < 8 && self.zeros > 0).then_some(self.at)
    }
}

fn next_ff(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + memchr(0xff, rest).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes as a file holds them: a zero behind each `FF`.
    fn stuffed(plain: &[u8]) -> Vec<u8> {
        plain
            .iter()
            .flat_map(|&byte| [byte, 0].into_iter().take(1 + usize::from(byte == 0xff)))
            .collect()
    }

    proptest! {
        #[test]
        fn bits_come_out_as_they_went_in(
            plain in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff), Just(0)], 0..100),
            widths in prop::collection::vec(1_u32..=28, 0..100),
            start in 0_usize..4,
        ) {
            let mut file = vec![7; start];
            file.extend(stuffed(&plain));
            let end = file.len();
            file.extend([0xff, 0xd9, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
            let mut bits = Bits::new(&file, start);
            let mut read = 0;
            for pair in widths.chunks(2) {
                bits.refill(&file);
                for &width in pair {
                    let expected = (read..read + width).fold(0, |value, at| {
                        let byte = plain.get(at as usize / 8).copied().unwrap_or(0);
                        value << 1 | usize::from(byte >> (7 - at % 8) & 1)
                    });
                    prop_assert_eq!(bits.peek::<32>() >> (32 - width), expected);
                    bits.skip(width);
                    read += width;
                    prop_assert_eq!(bits.overran(), read as usize > plain.len() * 8);
                }
            }
            let left = (plain.len() * 8).checked_sub(read as usize);
            let marker = left.is_some_and(|left| left < 8).then_some(end);
            prop_assert_eq!(bits.marker(&file), marker);
        }
    }

    /// T.81, table F.1.
    #[test]
    fn numbers_that_begin_with_a_zero_are_negative() {
        let number = |value: u64, size: u32| {
            // Five bits of something else stand before.
            let window = 0b10101 << 59 | value << (59 - size);
            Bits { window, ..Bits::default() }.number(5, size)
        };
        let numbers = [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2), (3, 2), (0, 11), (2047, 11)];
        let expected = [0, -1, 1, -3, -2, 2, 3, -2047, 2047];
        assert_eq!(numbers.map(|(value, size)| number(value, size)), expected);
    }
}
