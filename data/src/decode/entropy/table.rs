//! A Huffman table (T.81, annex C), laid out so that almost every code takes one look.

use super::bits::Bits;

/// Bits by which a code is looked up.
const LOOK: u32 = 10;
/// Bits by which several codes at once are looked up.
const LEAP: u32 = 11;

/// A table as the file holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HuffmanSpec {
    /// How many codes there are of 1 to 16 bits.
    pub counts: [u8; 16],
    /// The symbols, in the order of their codes; as many as there are codes are looked at.
    pub symbols: [u8; 256],
}

/// What a table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HuffmanClass {
    /// Differences of mean values. A symbol is the number of bits of the difference.
    Dc,
    /// The other coefficients. A symbol is a run of zeros, times 16, plus the number of bits of the
    /// coefficient behind it.
    Ac,
}

impl HuffmanClass {
    /// Bits of the largest number that a picture of 8 bits can hold (T.81, tables F.1 and F.2).
    fn bits_max(self) -> u32 {
        match self {
            Self::Dc => 11,
            Self::Ac => 10,
        }
    }
}

/// The code that [`LOOK`] bits begin with.
///
/// ```text
///  31   24 23   16 15        8 7       0
/// |  run  |  size  | code bits | all bits |     0 where no code of so many bits is there
/// ```
///
/// Behind the bits of the code stand `size` bits of the number.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry(u32);

/// The run of the code for "nothing but zeros from here on": beyond any place in a block.
pub(super) const END_OF_BLOCK: u32 = 64;

impl Entry {
    fn new(symbol: u8, code_bits: u32, kind: HuffmanClass) -> Self {
        let (run, size) = split(symbol, kind);
        Self(run << 24 | size << 16 | code_bits << 8 | (code_bits + size))
    }

    #[inline(always)]
    pub(super) fn is_there(self) -> bool {
        self.0 > 0
    }

    /// Coefficients that are zero before this one.
    #[inline(always)]
    pub(super) fn run(self) -> u32 {
        self.0 >> 24
    }

    /// Bits of the number.
    #[inline(always)]
    pub(super) fn size(self) -> u32 {
        self.0 >> 16 & 63
    }

    #[inline(always)]
    pub(super) fn code_bits(self) -> u32 {
        self.0 >> 8 & 63
    }

    /// Bits of code and number.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 63
    }
}

/// What [`LEAP`] bits hold where values are not wanted: as many coefficients as begin and have their
/// codes there. Their numbers may reach beyond.
///
/// ```text
///  15            9 8        7   6   5    0
/// | coefficients | 0 | at the end | bits  |     bits = 0: look for one coefficient
/// ```
#[derive(Clone, Copy, Default)]
pub(super) struct Leap(u16);

impl Leap {
    /// What the bits of `index` hold.
    fn new(index: usize, looks: &[Entry; 1 << LOOK]) -> Self {
        let (mut bits, mut coefficients, mut ends) = (0, 0, false);
        while bits < LEAP && coefficients < 64 && !ends {
            // Zeros stand for the bits that are not known: a code that needs none of them is right.
            let next = (index << bits & ((1 << LEAP) - 1)) >> (LEAP - LOOK);
            let entry = looks[next];
            if !entry.is_there() || bits + entry.code_bits() > LEAP {
                break;
            }
            bits += entry.bits();
            ends = entry.run() == END_OF_BLOCK;
            coefficients += if ends { 0 } else { entry.run() + 1 };
        }
        Self((coefficients << 9 | u32::from(ends) << 6 | bits) as u16)
    }

    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        u32::from(self.0 & 63)
    }

    /// Whether the block ends behind them.
    #[inline(always)]
    pub(super) fn ends(self) -> bool {
        self.0 & 64 > 0
    }

    #[inline(always)]
    pub(super) fn coefficients(self) -> u32 {
        u32::from(self.0 >> 9)
    }
}

/// A table, ready to be looked into.
pub(super) struct Table {
    pub(super) spec: HuffmanSpec,
    pub(super) kind: HuffmanClass,
    looks: Box<[Entry; 1 << LOOK]>,
    leaps: Box<[Leap; 1 << LEAP]>,
    /// For 1 to 16 bits: one more than the last code, with zeros behind it up to 16 bits.
    limits: [u32; 16],
    /// What is added to a code of so many bits to find its symbol.
    offsets: [i32; 16],
}

impl Table {
    /// `None` where there are more codes than bits can tell apart, or symbols that no picture of
    /// 8 bits needs: such files are not for this decoder.
    pub(super) fn new(spec: &HuffmanSpec, kind: HuffmanClass) -> Option<Self> {
        let mut table = Self {
            spec: *spec,
            kind,
            looks: Box::new([Entry::default(); 1 << LOOK]),
            leaps: Box::new([Leap::default(); 1 << LEAP]),
            limits: [0; 16],
            offsets: [0; 16],
        };
        let (mut code, mut first) = (0_u32, 0_usize);
        for (length, &count) in (1..).zip(&spec.counts) {
            let count = usize::from(count);
            if code as usize + count > 1 << length {
                return None;
            }
            for (code, &symbol) in (code..).zip(spec.symbols.get(first..first + count)?) {
                if !is_usual(symbol, kind) {
                    return None;
                }
                if length <= LOOK {
                    let behind = LOOK - length;
                    let begins = (code << behind) as usize;
                    let these = &mut table.looks[begins..begins + (1 << behind)];
                    these.fill(Entry::new(symbol, length, kind));
                }
            }
            table.offsets[length as usize - 1] = first as i32 - code as i32;
            code += count as u32;
            first += count;
            table.limits[length as usize - 1] = code << (16 - length);
            code <<= 1;
        }
        if kind == HuffmanClass::Ac {
            for (index, leap) in table.leaps.iter_mut().enumerate() {
                *leap = Leap::new(index, &table.looks);
            }
        }
        Some(table)
    }

    /// The table to look codes up in; it is at hand while a block is read.
    #[inline(always)]
    pub(super) fn looks(&self) -> Looks<'_> {
        Looks { codes: &self.looks, leaps: &self.leaps, table: self }
    }

    /// The code that 16 bits begin with, where it is longer than [`LOOK`].
    #[cold]
    #[inline(never)]
    fn long_code(&self, next: u32) -> Option<Entry> {
        let length = (LOOK + 1..=16).find(|&length| next < self.limits[length as usize - 1])?;
        let code = (next >> (16 - length)) as i32;
        let symbol = self.spec.symbols.get((code + self.offsets[length as usize - 1]) as usize)?;
        Some(Entry::new(*symbol, length, self.kind))
    }
}

/// A table, and where its codes are looked up.
#[derive(Clone, Copy)]
pub(super) struct Looks<'a> {
    codes: &'a [Entry; 1 << LOOK],
    leaps: &'a [Leap; 1 << LEAP],
    table: &'a Table,
}

impl Looks<'_> {
    /// The next code. `None` where the bits are none.
    #[inline(always)]
    pub(super) fn code(&self, bits: &Bits) -> Option<Entry> {
        let entry = self.codes[bits.peek::<LOOK>()];
        if entry.is_there() { Some(entry) } else { self.table.long_code(bits.peek::<16>() as u32) }
    }

    /// What comes next where no values are wanted.
    #[inline(always)]
    pub(super) fn leap(&self, bits: &Bits) -> Leap {
        self.leaps[bits.peek::<LEAP>()]
    }
}

/// The run and the bits of a symbol.
fn split(symbol: u8, kind: HuffmanClass) -> (u32, u32) {
    let size = u32::from(symbol & 15);
    match (kind, symbol) {
        (HuffmanClass::Dc, _) => (0, size),
        (HuffmanClass::Ac, 0) => (END_OF_BLOCK, 0),
        (HuffmanClass::Ac, _) => (u32::from(symbol >> 4), size),
    }
}

/// Whether a picture of 8 bits can need the symbol. A run without a coefficient is one of 16 zeros,
/// or the end of a block.
fn is_usual(symbol: u8, kind: HuffmanClass) -> bool {
    let size = u32::from(symbol & 15);
    size <= kind.bits_max()
        && match kind {
            HuffmanClass::Dc => symbol < 16,
            HuffmanClass::Ac => size > 0 || matches!(symbol, 0x00 | 0xf0),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tables of any shape that leaves no bit string with two meanings, of symbols that are usual.
    fn specs(kind: HuffmanClass) -> impl Strategy<Value = HuffmanSpec> {
        let usual: Vec<u8> = (0..=255).filter(|&symbol| is_usual(symbol, kind)).collect();
        let shuffled = Just(usual).prop_shuffle();
        (shuffled, prop::collection::vec(any::<prop::sample::Index>(), 16)).prop_map(
            |(all, draws)| {
                let (mut counts, mut free, mut left) = ([0; 16], 1_usize, all.len());
                for (count, draw) in counts.iter_mut().zip(draws) {
                    free *= 2;
                    // One string stays free, so that there are longer codes too.
                    let most = (free - 1).min(left).min(30);
                    *count = draw.index(most + 1) as u8;
                    free -= usize::from(*count);
                    left -= usize::from(*count);
                }
                let mut symbols = [0; 256];
                symbols[..all.len()].copy_from_slice(&all);
                HuffmanSpec { counts, symbols }
            },
        )
    }

    /// The code that `bits` begin with, from the top, found bit by bit (T.81, F.2.2.3): its symbol and length.
    fn found_slowly(spec: &HuffmanSpec, bits: u64) -> Option<(u8, u32)> {
        let (mut first_code, mut first) = (0, 0);
        for (length, &count) in (1..).zip(&spec.counts) {
            let code = (bits >> (64 - length)) as usize;
            if code < first_code + usize::from(count) {
                return Some((spec.symbols[first + code - first_code], length));
            }
            first_code = (first_code + usize::from(count)) << 1;
            first += usize::from(count);
        }
        None
    }

    fn window(bits: u64) -> Bits {
        let bytes = bits.to_be_bytes();
        // A byte FF would have to be followed by a zero.
        let stuffed: Vec<u8> = bytes
            .iter()
            .flat_map(|&byte| match byte {
                0xff => vec![0xff, 0],
                byte => vec![byte],
            })
            .collect();
        let mut bits = Bits::new(&stuffed, 0);
        bits.refill(&stuffed);
        bits
    }

    proptest! {
        #[test]
        fn codes_are_found(
            kind in prop_oneof![Just(HuffmanClass::Dc), Just(HuffmanClass::Ac)], bits: u64, seed: [u8; 4],
            dc in specs(HuffmanClass::Dc), ac in specs(HuffmanClass::Ac),
        ) {
            let spec = if kind == HuffmanClass::Dc { dc } else { ac };
            let table = Table::new(&spec, kind).expect("a usual table");
            // Bits that begin with a code of the table, too: long ones are rare among random bits.
            let ones = u64::MAX << (64 - u32::from(seed[0] % 17)).min(63);
            for bits in [bits, bits | ones] {
                let expected = found_slowly(&spec, bits).map(|(symbol, length)| {
                    let (run, size) = split(symbol, kind);
                    (run, size, length, length + size)
                });
                let found = table.looks().code(&window(bits))
                    .map(|code| (code.run(), code.size(), code.code_bits(), code.bits()));
                prop_assert_eq!(found, expected);
            }
        }

        /// A leap has the length and coefficients of the codes that it joins.
        #[test]
        fn leaps_add_up(spec in specs(HuffmanClass::Ac), bits: u64) {
            let table = Table::new(&spec, HuffmanClass::Ac).expect("a usual table");
            let leap = table.looks().leap(&window(bits));
            let (mut read, mut coefficients, mut ends) = (0, 0, false);
            while read < leap.bits() {
                let (symbol, length) = found_slowly(&spec, bits << read).expect("a code");
                let (run, size) = split(symbol, HuffmanClass::Ac);
                read += length + size;
                ends = run == END_OF_BLOCK;
                coefficients += if ends { 0 } else { run + 1 };
            }
            prop_assert_eq!(read, leap.bits());
            prop_assert_eq!((coefficients, ends), (leap.coefficients(), leap.ends()));
        }
    }

    #[test]
    fn tables_that_nobody_needs_are_left_to_others() {
        let table = |counts: &[u8], symbols: &[u8], kind| {
            let mut spec = HuffmanSpec { counts: [0; 16], symbols: [0; 256] };
            spec.counts[..counts.len()].copy_from_slice(counts);
            spec.symbols[..symbols.len()].copy_from_slice(symbols);
            Table::new(&spec, kind).is_some()
        };
        assert!(
            table(&[1, 1], &[0, 1], HuffmanClass::Dc)
                && table(&[0, 4], &[1, 2, 3, 4], HuffmanClass::Dc)
        );
        assert!(!table(&[3], &[0, 1, 2], HuffmanClass::Dc), "three codes of one bit");
        assert!(!table(&[1], &[12], HuffmanClass::Dc), "a mean value of 12 bits");
        assert!(table(&[1], &[0xfa], HuffmanClass::Ac) && table(&[1], &[0xf0], HuffmanClass::Ac));
        assert!(!table(&[1], &[0x0b], HuffmanClass::Ac), "a coefficient of 11 bits");
        assert!(!table(&[1], &[0x10], HuffmanClass::Ac), "a run without a coefficient");
        assert!(!table(&[255, 255], &[1; 256], HuffmanClass::Ac), "more codes than bits");
    }
}
