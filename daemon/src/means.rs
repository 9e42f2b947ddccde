//! Whether the system gives the process what it needs: descriptors, a thread, memory.
//!
//! A store that cannot be opened for want of a descriptor looks like a damaged one, and the runtime
//! panics where it gets none. So this is asked before either, and again before a store is given up.
//! **Nothing is changed for lack of means.**

use std::fs::File;
use std::io;

/// Descriptors that start, store, broker and a few locks take at once; each further lock and local
/// client takes one more.
const DESCRIPTORS: usize = 64;
/// Bytes that start takes: the store's cache and a little more, as many pieces of `PIECE`.
const MEMORY: usize = 16 * 1024 * 1024;
/// One piece, bytes. glibc keeps up to twice the largest block that was ever given back to the system
/// (mallopt(3), M_MMAP_THRESHOLD): one block of 16 MiB would make the daemon larger for good.
const PIECE: usize = 256 * 1024;

/// Takes all of it and lets go again.
///
/// # Errors
/// What the system refused; it may give it later.
pub fn check() -> io::Result<()> {
    let mut held = Vec::with_capacity(DESCRIPTORS);
    for _ in 0..DESCRIPTORS {
        held.push(File::open("/dev/null")?);
    }
    let thread = std::thread::Builder::new()
        .name("means".into())
        .spawn(|| {})?;
    // A thread without a body does not panic.
    drop(thread.join());
    let mut pieces: [Vec<u8>; MEMORY / PIECE] = std::array::from_fn(|_| Vec::new());
    pieces
        .iter_mut()
        .try_for_each(|piece| piece.try_reserve_exact(PIECE))
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // An allocation that nobody looks at may be left out by the compiler, and then it never fails.
    std::hint::black_box(&pieces);
    Ok(())
}

/// Asks for no huge pages.
///
/// Linux: where they are given unasked (`always` in /sys/kernel/mm/transparent_hugepage/enabled, Debian's default), the first
/// byte of a large piece takes 2 MiB. Seen: 24 MiB of them in a hub with four locks, 25 MiB of anonymous memory in all (P08).
/// So: prctl(2), `PR_SET_THP_DISABLE`.
/// Where the kernel does not grant it the daemon is only larger.
pub fn refuse_huge_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        log::debug!(event = "huge_pages_stay", error = error.to_string().as_str(); "the kernel may use huge pages for us");
    }
}

#[cfg(test)]
mod tests {
    /// P08. Guards: a hub that takes three times its memory on Debian's own kernel.
    #[test]
    fn p08_no_huge_pages_are_taken() {
        super::refuse_huge_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        // A kernel without them has no such line.
        let line = status.lines().find(|line| line.starts_with("THP_enabled:"));
        assert!(line.is_none_or(|line| line.ends_with("\t0")), "{line:?}");
    }

    /// Guards: a check that holds on to what it took, so that the second one fails.
    #[test]
    fn f20_means_are_given_back() {
        for _ in 0..400 {
            super::check().unwrap();
        }
    }
}
