//! Files for a guest's first file system: the kernel's "newc" archive, which may follow another one.
//!
//! **Every archive ends with its trailer, padded to 512 bytes**: what follows begins where the kernel looks for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;

/// An archive in memory; everything in it belongs to root.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Archive {
    /// Adds the file `path` (absolute) with the permissions `mode`, and the folders above it.
    pub(crate) fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        let cuts: Vec<usize> = path.match_indices('/').map(|(place, _)| place).collect();
        for folder in cuts.iter().filter_map(|&cut| path.get(..cut)) {
            if self.folders.insert(folder.to_owned()) {
                self.entry(folder, FOLDER, &[]);
            }
        }
        self.entry(path, FILE | mode, content);
    }

    /// The archive with its trailer.
    #[must_use]
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.pad(512);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            u32::try_from(content.len()).unwrap_or(u32::MAX),
            0,
            0,
            0,
            0,
            u32::try_from(name.len()).unwrap_or(u32::MAX) + 1,
            0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            // Writing to a string cannot fail.
            let _ = write!(header, "{field:08x}");
        }
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
        self.bytes.extend_from_slice(content);
        self.pad(4);
    }

    fn pad(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a kernel that stops reading at the first file of ours, and a guest without a scenario.
    #[test]
    fn archive_reads_back_with_every_folder_once() {
        let mut archive = Archive::default();
        archive.add("/bench/bin/one", 0o755, b"first");
        archive.add("/bench/bin/two", 0o600, b"");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 512, 0);
        let mut names = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some(header) = rest.get(..110).filter(|header| header.starts_with(b"0707")) {
            let field = |index: usize| {
                let text = std::str::from_utf8(&header[6 + index * 8..14 + index * 8]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            let name_end = 110 + field(11);
            names.push(String::from_utf8(rest[110..name_end - 1].to_vec()).unwrap());
            rest = &rest[name_end.next_multiple_of(4) + field(6).next_multiple_of(4)..];
        }
        assert_eq!(
            names,
            [
                "bench",
                "bench/bin",
                "bench/bin/one",
                "bench/bin/two",
                "TRAILER!!!"
            ]
        );
    }
}
