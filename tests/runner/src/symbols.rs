//! What is large in a linked image: its symbols' sizes, added up by whom they belong to.

use std::collections::BTreeMap;

use crate::elf::{half, word};
use crate::failure::Failure;

/// Whom a symbol belongs to: the first entry of which its mangled name has a part. Code that the
/// compiler inlined counts for whoever it was inlined into.
const OWNERS: &[(&str, &[&str])] = &[
    (
        "curves: Ed25519, X25519",
        &["curve25519", "x25519", "ed25519"],
    ),
    (
        "hashes: SHA-256, SHA-512, HMAC, HKDF",
        &["4sha2", "6digest", "4hmac", "4hkdf", "block_buffer"],
    ),
    (
        "ChaCha20-Poly1305",
        &["chacha20", "poly1305", "6cipher", "4aead", "5inout"],
    ),
    ("clatter", &["clatter", "arrayvec", "5noise"]),
    (
        "CBOR: minicbor, and what it derives for our types",
        &["minicbor"],
    ),
    ("protocol", &["drawbridge_protocol"]),
    (
        "lock: store and flash",
        &[
            "drawbridge_lock5store",
            "drawbridge_lock..store",
            "drawbridge_lock5flash",
            "drawbridge_lock..flash",
        ],
    ),
    (
        "lock: log and intents",
        &["8log_ring", "lock7history", "lock7intents"],
    ),
    ("lock: start", &["lock4boot", "Board4boot"]),
    (
        "lock: admission, grants, requests",
        &[
            "lock9admission",
            "lock8requests",
            "lock7decided",
            "lock6grants",
        ],
    ),
    ("lock: everything else", &["drawbridge_lock"]),
    (
        "lock, inlined into the loop; the board",
        &[
            "drawbridge_size_image",
            "5Board",
            "INTERRUPTS",
            "EXCEPTIONS",
        ],
    ),
    (
        "compiler: memcpy, division",
        &[
            "compiler_builtins",
            "__aeabi",
            "memcpy",
            "memmove",
            "memset",
            "memcmp",
        ],
    ),
];

/// What no entry claims: the standard library and nameless constants.
const REST: &str = "core library, constants";

const SHT_SYMTAB: u32 = 2;
/// Types of symbols that have a size in memory: object and function.
const SIZED: [u8; 2] = [1, 2];

/// Bytes of flash per owner, largest first.
///
/// # Errors
/// When the file has no symbol table, or is cut short.
pub(crate) fn by_owner(image: &[u8]) -> Result<Vec<(&'static str, u64)>, Failure> {
    let cut = || Failure::new("read the symbol table: there is none, or the file is cut short");
    let mut sums = BTreeMap::new();
    // Aliases share an address.
    let mut seen = BTreeMap::new();
    let table = section(image, |kind| kind == SHT_SYMTAB).ok_or_else(cut)?;
    let names = at(image, table.link).ok_or_else(cut)?;
    for symbol in 0..table.size / 16 {
        let entry = table.offset + symbol * 16;
        let (name, address) = (word(image, entry), word(image, entry + 4));
        let (Some(name), Some(address)) = (name, address) else {
            return Err(cut());
        };
        let size = word(image, entry + 8).ok_or_else(cut)?;
        let kind = image.get(entry + 12).ok_or_else(cut)? & 15;
        let held = half(image, entry + 14).and_then(|number| at(image, number.into()));
        let in_flash = held.is_some_and(|section| section.in_flash);
        if in_flash && SIZED.contains(&kind) && seen.insert(address, ()).is_none() {
            let name = text(image, names.offset + name as usize).ok_or_else(cut)?;
            *sums.entry(owner(&name)).or_insert(0) += u64::from(size);
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(sums)
}

fn owner(name: &str) -> &'static str {
    OWNERS
        .iter()
        .find(|(_, parts)| parts.iter().any(|part| name.contains(part)))
        .map_or(REST, |(owner, _)| *owner)
}

struct Section {
    kind: u32,
    in_flash: bool,
    offset: usize,
    size: usize,
    link: usize,
}

fn section(image: &[u8], wanted: impl Fn(u32) -> bool) -> Option<Section> {
    let count = usize::from(half(image, 48)?);
    (0..count)
        .filter_map(|number| at(image, number))
        .find(|section| wanted(section.kind))
}

/// Section number `number`.
fn at(image: &[u8], number: usize) -> Option<Section> {
    if number >= usize::from(half(image, 48)?) {
        return None;
    }
    let header = word(image, 32)? as usize + number * usize::from(half(image, 46)?);
    let kind = word(image, header + 4)?;
    // Allocated and with bytes in the file: flash, be it code or the start value of a variable.
    let in_flash = word(image, header + 8)? & 2 != 0 && kind != 8;
    Some(Section {
        kind,
        in_flash,
        offset: word(image, header + 16)? as usize,
        size: word(image, header + 20)? as usize,
        link: word(image, header + 24)? as usize,
    })
}

fn text(image: &[u8], at: usize) -> Option<String> {
    let bytes = image.get(at..)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a rule order that books derived codecs to the type, or our code to a dependency.
    #[test]
    fn symbols_belong_to_whom_they_name_first_in_the_list() {
        let cases = [
            (
                "_ZN16curve25519_dalek6scalar6Scalar6reduce17hE",
                OWNERS[0].0,
            ),
            (
                "_ZN96_$LT$drawbridge_protocol..psk..PskRing$u20$as$u20$minicbor..decode..Decode$GT$6decodeE",
                OWNERS[4].0,
            ),
            ("_ZN19drawbridge_protocol5claim5Claim6verifyE", OWNERS[5].0),
            (
                "_ZN19drawbridge_protocol5noise9responder9Responder4readE",
                OWNERS[3].0,
            ),
            ("_ZN15drawbridge_lock5store7reclaimE", OWNERS[6].0),
            ("_ZN15drawbridge_lock7history4openE", OWNERS[7].0),
            ("_ZN15drawbridge_lock9admission6decideE", OWNERS[9].0),
            ("_ZN4core3fmt9Formatter3padE", REST),
        ];
        for (name, expected) in cases {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    // Guards: an image without symbols reported as one that is all constants.
    #[test]
    fn without_a_symbol_table_it_is_an_error() {
        assert!(by_owner(&[0; 64]).is_err());
        assert!(by_owner(b"\x7fELF").is_err());
    }
}
