//! The functions that `libjpeg.c` calls for the codes of a scan.

#![allow(unsafe_code)] // C calls, with pointers

use std::ffi::{c_int, c_void};
use std::slice;

use super::scan::{BLOCKS_MAX, BlockPlace, CoefficientBlock, ScanLayout, ScanReader};
use super::table::{HuffmanClass, HuffmanSpec};

/// Tables of a class in a file (T.81, B.2.4.2).
const TABLES: usize = 4;

/// `struct lcsl_scan` of `libjpeg.c`, which says what its fields mean.
#[repr(C)]
struct Scan {
    bytes: *const u8,
    length: usize,
    columns: u32,
    units: u32,
    interval: u32,
    first_wanted: u32,
    last_wanted: u32,
    blocks: u32,
    component: [u8; BLOCKS_MAX],
    dc: [u8; BLOCKS_MAX],
    ac: [u8; BLOCKS_MAX],
    dc_counts: [*const u8; TABLES],
    dc_symbols: [*const u8; TABLES],
    ac_counts: [*const u8; TABLES],
    ac_symbols: [*const u8; TABLES],
}

/// `struct lcsl_reader` of `libjpeg.c`.
#[repr(C)]
struct Reader {
    state: *mut c_void,
    begin: unsafe extern "C" fn(*mut c_void, *const Scan) -> c_int,
    unit: unsafe extern "C" fn(*mut c_void, *mut i16) -> c_int,
}

/// Calls `decode` with a pointer to a `struct lcsl_reader` that reads codes with `scan`. The pointer is
/// good for this one call.
pub(in crate::decode) fn with_reader<T>(
    scan: &mut ScanReader,
    decode: impl FnOnce(*const c_void) -> T,
) -> T {
    let mut job = Job { scan, bytes: &[], blocks: 0 };
    let reader = Reader { state: (&raw mut job).cast(), begin: begin_scan, unit: read_unit };
    decode((&raw const reader).cast())
}

/// A file whose codes are read here: `libjpeg.c` hands it back with each call.
struct Job<'a> {
    scan: &'a mut ScanReader,
    /// From the first byte of the scan on.
    bytes: &'a [u8],
    /// Blocks of a unit.
    blocks: usize,
}

/// Answers 1 if the codes of `scan` are read here.
///
/// # Safety
/// `state` is a [`Job`] that nobody else uses, and what `scan` points to lives longer than it.
unsafe extern "C" fn begin_scan(state: *mut c_void, scan: *const Scan) -> c_int {
    // SAFETY: both by this function's own condition, which `libjpeg.c` keeps: it hands back the
    // state that it was given, with a structure on its stack.
    let (job, scan) = unsafe { (&mut *state.cast::<Job<'_>>(), &*scan) };
    // SAFETY: these are the bytes of the file that are not read yet; `decode` borrows them.
    job.bytes = unsafe { slice::from_raw_parts(scan.bytes, scan.length) };
    job.blocks = (scan.blocks as usize).min(BLOCKS_MAX);
    let place = |at: usize| BlockPlace {
        component: usize::from(scan.component[at]),
        dc: usize::from(scan.dc[at]),
        ac: usize::from(scan.ac[at]),
    };
    let layout = ScanLayout {
        places: (0..job.blocks).map(place).collect(),
        columns: scan.columns,
        units: scan.units,
        interval: scan.interval,
        wanted: (scan.first_wanted, scan.last_wanted),
    };
    let spec = |kind, at: usize| {
        let (counts, symbols) = match kind {
            HuffmanClass::Dc => (&scan.dc_counts, &scan.dc_symbols),
            HuffmanClass::Ac => (&scan.ac_counts, &scan.ac_symbols),
        };
        let (counts, symbols) = (*counts.get(at)?, *symbols.get(at)?);
        if counts.is_null() || symbols.is_null() {
            return None;
        }
        // SAFETY: the library keeps 17 counts, of which the first means nothing, and 256 symbols
        // (`JHUFF_TBL` in jpeglib.h).
        unsafe { Some(HuffmanSpec { counts: *counts.add(1).cast(), symbols: *symbols.cast() }) }
    };
    c_int::from(job.scan.begin(job.bytes, &layout, spec).is_ok())
}

/// Answers 1 if the next unit was read.
///
/// # Safety
/// As [`begin_scan`], which was called before; `blocks` is null or has room for a unit's blocks.
unsafe extern "C" fn read_unit(state: *mut c_void, blocks: *mut i16) -> c_int {
    // SAFETY: by this function's own condition, which `libjpeg.c` keeps.
    let job = unsafe { &mut *state.cast::<Job<'_>>() };
    let blocks = (!blocks.is_null()).then(|| {
        // SAFETY: the library keeps the blocks of a unit one behind the other (`MCU_buffer` in
        // jdcoefct.c), each 64 numbers, and has set them to zero.
        unsafe { slice::from_raw_parts_mut(blocks.cast::<CoefficientBlock>(), job.blocks) }
    });
    c_int::from(job.scan.unit(job.bytes, blocks).is_ok())
}
