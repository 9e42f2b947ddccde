//! I7: the lock's memory is what its type says.

use core::mem::size_of;

use drawbridge_lock::Lock;
use drawbridge_lock::flash::model::Nor;

/// All that the core keeps in RAM, beside the stack of a call. Most of it is the tables that the
/// specification sizes: 128 results, 64 holders, 64 intents.
const BOUND: usize = 40 * 1_024;

#[test]
fn i7_lock_in_ram_stays_below_its_bound() {
    let size = size_of::<Lock<&'static core::cell::RefCell<Nor>>>();
    println!("EVIDENCE lock_core_ram_bytes {size}");
    assert!(size <= BOUND, "{size} bytes");
}
