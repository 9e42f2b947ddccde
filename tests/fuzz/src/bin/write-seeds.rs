//! Writes the first inputs of every target into `corpus/`; those that are there are left alone.
//!
//! `cargo run -p drawbridge-fuzz --bin write-seeds`, after a new structure or target was added.

use std::path::Path;

use drawbridge_fuzz::{ALL, seeds};

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, _) in ALL {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds::of(target) {
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
