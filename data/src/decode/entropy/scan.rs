//! The units of a scan, one after the other.

use super::bits::Bits;
use super::table::{END_OF_BLOCK, Entry, HuffmanClass, HuffmanSpec, Table};

/// The coefficients of 8×8 samples, row by row; not yet multiplied by the quantisation table.
pub type CoefficientBlock = [i16; 64];

/// Blocks of a unit, at most (T.81, B.2.3).
pub const BLOCKS_MAX: usize = 10;

/// Where in a block each coefficient stands, in the order of the file (T.81, figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A block's place in a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// The component of the scan, counted from 0; up to 3.
    pub component: usize,
    /// Its table of mean values, counted from 0; up to 3.
    pub dc: usize,
    /// Its table of the other coefficients; up to 3.
    pub ac: usize,
}

/// What a scan holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanLayout {
    /// The blocks of a unit, 1 to [`BLOCKS_MAX`].
    pub places: Vec<BlockPlace>,
    /// Units from left to right.
    pub columns: u32,
    /// All units of the scan.
    pub units: u32,
    /// Units between two restart markers; 0 where there are none.
    pub interval: u32,
    /// The first and the last column whose coefficients are wanted.
    pub wanted: (u32, u32),
}

/// This reader does not read the file: it is not ordinary, or it is damaged. libjpeg-turbo has to, which
/// also says what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotPlain;

/// Tables of earlier files that are kept: most files have the same ones.
const KEPT: usize = 16;

/// Reads scans, one after the other. Bytes are handed in with each call.
#[derive(Default)]
pub struct ScanReader {
    /// The most recently used are at the end.
    tables: Vec<Table>,
    /// For each block of a unit: its component, and its two tables.
    places: Vec<(usize, usize, usize)>,
    bits: Bits,
    /// The mean value of the last block of each component.
    means: [i32; 4],
    columns: u32,
    wanted: (u32, u32),
    column: u32,
    /// Units to come.
    left: u32,
    interval: u32,
    /// Units up to the next restart marker, where there is an interval.
    until_restart: u32,
    /// The number of that marker.
    restart: u8,
}

impl ScanReader {
    /// Begins with the scan whose first byte is the first of `bytes`. `tables` answers the tables of
    /// the file, by number.
    ///
    /// # Errors
    /// When the scan is none that is read here.
    pub fn begin(
        &mut self,
        bytes: &[u8],
        layout: &ScanLayout,
        spec: impl Fn(HuffmanClass, usize) -> Option<HuffmanSpec>,
    ) -> Result<(), NotPlain> {
        if self.tables.len() > KEPT {
            self.tables.drain(..self.tables.len() - KEPT / 2);
        }
        self.places.clear();
        for place in &layout.places {
            let dc =
                self.table(&spec(HuffmanClass::Dc, place.dc).ok_or(NotPlain)?, HuffmanClass::Dc)?;
            let ac =
                self.table(&spec(HuffmanClass::Ac, place.ac).ok_or(NotPlain)?, HuffmanClass::Ac)?;
            if place.component >= self.means.len() {
                return Err(NotPlain);
            }
            self.places.push((place.component, dc, ac));
        }
        if self.places.is_empty() || self.places.len() > BLOCKS_MAX {
            return Err(NotPlain);
        }
        self.bits = Bits::new(bytes, 0);
        self.means = [0; 4];
        (self.columns, self.wanted, self.column) = (layout.columns, layout.wanted, 0);
        (self.left, self.interval, self.until_restart) =
            (layout.units, layout.interval, layout.interval);
        self.restart = 0;
        Ok(())
    }

    /// The place of a table among those that are kept.
    fn table(&mut self, spec: &HuffmanSpec, kind: HuffmanClass) -> Result<usize, NotPlain> {
        let known = self.tables.iter().rposition(|table| table.kind == kind && table.spec == *spec);
        if let Some(known) = known {
            return Ok(known);
        }
        self.tables.push(Table::new(spec, kind).ok_or(NotPlain)?);
        Ok(self.tables.len() - 1)
    }

    /// Reads the next unit, into `blocks` where there are any: they are zero before, and remain so where
    /// the unit stands in a column that is not wanted. Behind the last unit the file has to end.
    ///
    /// # Errors
    /// When the bits are not those of a whole and ordinary file. `blocks` then hold anything.
    pub fn unit(
        &mut self,
        bytes: &[u8],
        blocks: Option<&mut [CoefficientBlock]>,
    ) -> Result<(), NotPlain> {
        self.left = self.left.checked_sub(1).ok_or(NotPlain)?;
        if self.interval > 0 {
            if self.until_restart == 0 {
                self.restart(bytes)?;
            }
            self.until_restart -= 1;
        }
        let is_wanted = (self.wanted.0..=self.wanted.1).contains(&self.column);
        self.column = if self.column + 1 == self.columns { 0 } else { self.column + 1 };
        // Kept in registers while a unit is read.
        let mut bits = self.bits;
        match blocks.filter(|_| is_wanted) {
            Some(blocks) => {
                for (&(component, dc, ac), block) in self.places.iter().zip(blocks) {
                    let (dc, ac) = (&self.tables[dc], &self.tables[ac]);
                    let mean =
                        self.means[component].wrapping_add(difference(bytes, &mut bits, dc)?);
                    self.means[component] = mean;
                    block[0] = mean as i16;
                    coefficients(bytes, &mut bits, ac, block)?;
                }
            }
            None => {
                for &(component, dc, ac) in &self.places {
                    let (dc, ac) = (&self.tables[dc], &self.tables[ac]);
                    let mean =
                        self.means[component].wrapping_add(difference(bytes, &mut bits, dc)?);
                    self.means[component] = mean;
                    leave_out(bytes, &mut bits, ac)?;
                }
            }
        }
        self.bits = bits;
        let ends_here = || {
            self.bits
                .clone()
                .marker(bytes)
                .is_some_and(|at| bytes.get(at..at + 2) == Some(&[0xff, 0xd9]))
        };
        if self.bits.overran() || self.left == 0 && !ends_here() {
            return Err(NotPlain);
        }
        Ok(())
    }

    /// Reads a restart marker: mean values begin anew behind it (T.81, F.2.1.3.1).
    fn restart(&mut self, bytes: &[u8]) -> Result<(), NotPlain> {
        let at = self.bits.marker(bytes).ok_or(NotPlain)?;
        if bytes.get(at..at + 2) != Some(&[0xff, 0xd0 + self.restart]) {
            return Err(NotPlain);
        }
        self.bits = Bits::new(bytes, at + 2);
        self.means = [0; 4];
        self.restart = (self.restart + 1) % 8;
        self.until_restart = self.interval;
        Ok(())
    }
}

/// By how much the mean value of a block differs from that of the one before.
#[inline(always)]
fn difference(bytes: &[u8], bits: &mut Bits, dc: &Table) -> Result<i32, NotPlain> {
    bits.refill(bytes);
    let entry = dc.looks().code(bits).ok_or(NotPlain)?;
    let difference = bits.number(entry.code_bits(), entry.size());
    bits.skip(entry.bits());
    Ok(difference)
}

/// Reads all coefficients but the first.
#[inline(always)]
fn coefficients(
    bytes: &[u8],
    bits: &mut Bits,
    ac: &Table,
    block: &mut CoefficientBlock,
) -> Result<(), NotPlain> {
    let (mut at, ac) = (1, ac.looks());
    loop {
        bits.refill(bytes);
        // Two of any kind fit into what is there now.
        for _ in 0..2 {
            let entry = ac.code(bits).ok_or(NotPlain)?;
            let value = bits.number(entry.code_bits(), entry.size());
            bits.skip(entry.bits());
            at += entry.run();
            if at > 63 {
                return at_end(entry);
            }
            block[usize::from(ZIGZAG[at as usize]) & 63] = value as i16;
            at += 1;
            if at == 64 {
                return Ok(());
            }
        }
    }
}

/// Reads past all coefficients but the first.
#[inline(always)]
fn leave_out(bytes: &[u8], bits: &mut Bits, ac: &Table) -> Result<(), NotPlain> {
    let (mut at, ac) = (1, ac.looks());
    loop {
        bits.refill(bytes);
        for _ in 0..2 {
            let leap = ac.leap(bits);
            if leap.bits() > 0 && at + leap.coefficients() < 64 {
                bits.skip(leap.bits());
                at += leap.coefficients();
                if leap.ends() {
                    return Ok(());
                }
                continue;
            }
            let entry = ac.code(bits).ok_or(NotPlain)?;
            bits.skip(entry.bits());
            at += entry.run();
            if at > 63 {
                return at_end(entry);
            }
            at += 1;
            if at == 64 {
                return Ok(());
            }
        }
    }
}

/// A run beyond the last coefficient is the end of a block, or a mistake.
fn at_end(entry: Entry) -> Result<(), NotPlain> {
    if entry.run() == END_OF_BLOCK { Ok(()) } else { Err(NotPlain) }
}
