//! What happens when a mapped file shrinks.
//!
//! Touching memory behind the new end of such a file raises SIGBUS, also for a disk that fails to
//! read. The default is to die without a word. The handler installed here looks up which file lies
//! at that address, says so with the place in it, and ends the process with exit code 3. A SIGBUS
//! anywhere else goes to the handler that was there before.
//!
//! A handler may run in the middle of anything, so it only reads atomics and calls `write` and
//! `_exit`. The table of mappings is a list whose nodes are never freed, only used again.
#![allow(unsafe_code)]

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Exit code for bad data, as the crate of run directories has it: this one cannot name it.
pub const EXIT_BAD_DATA: i32 = 3;

/// One mapped file. `start` is 0 while the node is free and [`CLAIMED`] while it is being filled.
struct Node {
    start: AtomicUsize,
    length: AtomicUsize,
    /// The file's name, a leaked `Box<Box<[u8]>>`; null while the node is free.
    name: AtomicPtr<Box<[u8]>>,
    next: AtomicPtr<Node>,
}

/// No mapping begins here: the first page is never mapped.
const CLAIMED: usize = 1;

static FIRST: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());

/// The handler that was there before; written once, before ours can run.
static mut BEFORE: libc::sigaction = {
    // SAFETY: all-zero bytes are a valid `sigaction`: integers, an empty set, no function.
    unsafe { std::mem::zeroed() }
};

/// Withdraws its mapping when dropped.
#[derive(Debug)]
pub struct Registered(&'static Node);

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({:#x})", self.start.load(Ordering::Relaxed))
    }
}

/// Makes the handler known to the system, once for the process.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SA_ONSTACK uses the alternative stack where a thread has one, as Rust's own threads do.
        // SAFETY: all-zero bytes are a valid `sigaction`, as above. `on_sigbus` has the signature
        // that SA_SIGINFO asks for and keeps to async-signal-safe calls. BEFORE is written by this
        // one call; the handler that reads it runs only afterwards.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_sigbus as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &raw const action, &raw mut BEFORE);
        }
    });
}

/// Enters a mapping, which must not be empty, into the table.
pub fn register(memory: &[u8], path: &Path) -> Registered {
    let node = free_node();
    let name: Box<[u8]> = path.as_os_str().as_bytes().into();
    node.name.store(Box::into_raw(Box::new(name)), Ordering::Relaxed);
    node.length.store(memory.len(), Ordering::Relaxed);
    node.start.store(memory.as_ptr() as usize, Ordering::Release);
    Registered(node)
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.0.start.store(CLAIMED, Ordering::Release);
        let name = self.0.name.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: `name` came from `Box::into_raw` in `register`, and the swap gives it to us
        // alone. A handler that is reading it would have faulted inside this mapping, through a
        // slice that borrows it; but the mapping is being dropped, so no such slice is left.
        drop(unsafe { Box::from_raw(name) });
        self.0.start.store(0, Ordering::Release);
    }
}

fn free_node() -> &'static Node {
    let mut at = FIRST.load(Ordering::Acquire);
    // SAFETY: nodes are leaked, so every pointer of the list stays good for ever.
    while let Some(node) = unsafe { at.as_ref() } {
        let claimed = node.start.compare_exchange(0, CLAIMED, Ordering::Acquire, Ordering::Relaxed);
        if claimed.is_ok() {
            return node;
        }
        at = node.next.load(Ordering::Acquire);
    }
    let node: &'static Node = Box::leak(Box::new(Node {
        start: AtomicUsize::new(CLAIMED),
        length: AtomicUsize::new(0),
        name: AtomicPtr::new(ptr::null_mut()),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let mut first = FIRST.load(Ordering::Relaxed);
    loop {
        node.next.store(first, Ordering::Relaxed);
        let own = ptr::from_ref(node).cast_mut();
        match FIRST.compare_exchange_weak(first, own, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return node,
            Err(other) => first = other,
        }
    }
}

extern "C" fn on_sigbus(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the system passes a valid `siginfo_t`, and for SIGBUS its address field is set.
    let address = unsafe { (*info).si_addr() } as usize;
    let mut at = FIRST.load(Ordering::Acquire);
    // SAFETY: nodes are never freed.
    while let Some(node) = unsafe { at.as_ref() } {
        let start = node.start.load(Ordering::Acquire);
        let length = node.length.load(Ordering::Relaxed);
        if start > CLAIMED && address.wrapping_sub(start) < length {
            // SAFETY: this thread faulted inside a mapping, so it holds a borrow of it, so its node
            // is not withdrawn and the name is there. (A node that was used again between the two
            // loads above could name another file; the process ends in either case.)
            if let Some(name) = unsafe { node.name.load(Ordering::Acquire).as_ref() } {
                say_and_exit(name, address - start);
            }
        }
        at = node.next.load(Ordering::Acquire);
    }
    // SAFETY: BEFORE was written before this handler could run. A previous handler that takes
    // three arguments is called with ours; otherwise the previous disposition is put back, and
    // returning repeats the access that faulted, now under it.
    unsafe {
        let before = &raw const BEFORE;
        let handler = (*before).sa_sigaction;
        let is_function = handler != libc::SIG_DFL && handler != libc::SIG_IGN;
        if is_function && (*before).sa_flags & libc::SA_SIGINFO != 0 {
            type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            let call: Handler = std::mem::transmute::<usize, Handler>(handler);
            call(signal, info, context);
        } else {
            libc::sigaction(libc::SIGBUS, before, ptr::null_mut());
        }
    }
}

/// Neither allocates nor panics: it runs inside the handler.
fn say_and_exit(name: &[u8], offset: usize) -> ! {
    let mut digits = [b'0'; 20];
    let (mut rest, mut used) = (offset, 0);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let number = digits.get(20 - used..).unwrap_or_default();
    let parts: [&[u8]; 5] = [
        b"error: ",
        name,
        b" cannot be read any more at byte ",
        number,
        b": it shrank while it was in use, or the disk fails\n  hint: leave the files of a set \
          alone while it is read; `lcsl data verify` says what is still right\n",
    ];
    // SAFETY: `write` and `_exit` are async-signal-safe; each part is a valid slice. A message
    // that cannot be written leaves the exit code to speak.
    unsafe {
        for part in parts {
            libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len());
        }
        libc::_exit(EXIT_BAD_DATA)
    }
}
