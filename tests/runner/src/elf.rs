//! Sizes of a linked image, from its ELF section headers (System V ABI, chapter 4).

use crate::failure::Failure;

/// Bytes by what they cost: flash is text + data, RAM is data + bss (without the stack).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Code and constants.
    pub(crate) text: u64,
    /// Initialised variables.
    pub(crate) data: u64,
    /// Zeroed variables.
    pub(crate) bss: u64,
}

impl Sizes {
    /// Bytes of flash.
    pub(crate) fn flash(self) -> u64 {
        self.text + self.data
    }

    /// Bytes of RAM before any stack.
    pub(crate) fn ram(self) -> u64 {
        self.data + self.bss
    }
}

const SHT_NOBITS: u32 = 8;
const SHF_WRITE: u32 = 1;
const SHF_ALLOC: u32 = 2;

/// Adds up the allocated sections of a 32-bit little-endian ELF file.
///
/// # Errors
/// When the file is anything else, or is cut short.
pub(crate) fn sizes(image: &[u8]) -> Result<Sizes, Failure> {
    // e_ident: magic, ELFCLASS32, ELFDATA2LSB.
    if !image.starts_with(&[0x7f, b'E', b'L', b'F', 1, 1]) {
        return Err(Failure::new("read a 32-bit little-endian ELF header"));
    }
    let cut = || Failure::new("read an ELF section header: the file is cut short");
    let table = word(image, 32).ok_or_else(cut)? as usize;
    let entry = half(image, 46).ok_or_else(cut)?;
    let count = half(image, 48).ok_or_else(cut)?;
    let mut sizes = Sizes::default();
    for number in 0..usize::from(count) {
        let header = table + number * usize::from(entry);
        let kind = word(image, header + 4).ok_or_else(cut)?;
        let flags = word(image, header + 8).ok_or_else(cut)?;
        let size = u64::from(word(image, header + 20).ok_or_else(cut)?);
        if flags & SHF_ALLOC == 0 {
            continue;
        }
        if kind == SHT_NOBITS {
            sizes.bss += size;
        } else if flags & SHF_WRITE != 0 {
            sizes.data += size;
        } else {
            sizes.text += size;
        }
    }
    if sizes.text == 0 {
        Err(Failure::new("find code in the image"))
    } else {
        Ok(sizes)
    }
}

/// The 32-bit little-endian number at `at`.
pub(crate) fn word(image: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?))
}

/// The 16-bit little-endian number at `at`.
pub(crate) fn half(image: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and the given sections as (type, flags, size).
    fn image(sections: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut image = vec![0; 52];
        image[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1, 1]);
        image[32..36].copy_from_slice(&52_u32.to_le_bytes());
        image[46..48].copy_from_slice(&40_u16.to_le_bytes());
        image[48..50].copy_from_slice(&(sections.len() as u16).to_le_bytes());
        for (kind, flags, size) in sections {
            let mut header = vec![0; 40];
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[8..12].copy_from_slice(&flags.to_le_bytes());
            header[20..24].copy_from_slice(&size.to_le_bytes());
            image.extend(header);
        }
        image
    }

    // Guards: debug sections or zeroed memory counted as flash.
    #[test]
    fn sections_are_counted_by_what_they_cost() {
        let image = image(&[
            (0, 0, 0),
            (1, 6, 100),
            (1, 2, 20),
            (1, 3, 7),
            (8, 3, 50),
            (1, 0, 9_000),
        ]);
        let sizes = sizes(&image).unwrap();
        assert_eq!(
            sizes,
            Sizes {
                text: 120,
                data: 7,
                bss: 50
            }
        );
        assert_eq!((sizes.flash(), sizes.ram()), (127, 57));
    }

    // Guards: an empty or foreign file reported as a lock of zero bytes.
    #[test]
    fn broken_images_are_errors() {
        let good = image(&[(1, 6, 100)]);
        assert!(sizes(&good[..good.len() - 20]).is_err());
        assert!(sizes(&image(&[(8, 3, 50)])).is_err());
        assert!(sizes(b"#!/bin/sh").is_err());
    }
}
