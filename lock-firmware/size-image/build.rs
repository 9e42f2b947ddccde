//! Writes the memory map of the emulated board that goes with the target.

use std::path::PathBuf;
use std::{env, fs};

/// Arm MPS2 AN386 (Cortex-M4): ZBT SSRAM 1 holds the code, SSRAM 2 and 3 the data.
const AN386: &str = "MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 1M\n RAM : ORIGIN = 0x20000000, LENGTH = 256K }\n";
/// Arm MPS2 AN505 (Cortex-M33), secure world: the same SSRAMs at their secure addresses.
const AN505: &str = "MEMORY { FLASH : ORIGIN = 0x10000000, LENGTH = 1M\n RAM : ORIGIN = 0x38000000, LENGTH = 256K }\n";

fn main() {
    let target = env::var("TARGET").unwrap_or_default();
    let map = if target.starts_with("thumbv8m") {
        AN505
    } else {
        AN386
    };
    if target.starts_with("thumbv8m") {
        println!("cargo:rustc-cfg=armv8m");
    }
    println!("cargo:rustc-check-cfg=cfg(armv8m)");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), map).expect("write memory.x");
    println!("cargo:rustc-link-search={}", out.display());
    // The linker script of cortex-m-rt, which takes the map in.
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=build.rs");
}
