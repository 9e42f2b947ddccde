//! No ECB, no CBC, no unauthenticated cipher anywhere in what protocol, lock core and daemon link.
//!
//! Three nets, because each has holes: crates known by name, crates whose structure gives them
//! away (they build on the `cipher` traits or say so in their keywords) and that nobody has
//! reviewed, and our own source reaching into a large library (aws-lc, ring) that contains such
//! modes. **A cipher crate passes only if it is named here with the authenticated mode above it.**

use std::collections::BTreeSet;

use super::Report;
use crate::context::Context;
use crate::failure::Failure;
use crate::graph::{self, Graph, Package};
use crate::lane_log::LaneLog;
use crate::tree;

/// Their folders, for the search in our own source.
const FOLDERS: &[&str] = &["protocol/", "lock-firmware/", "daemon/"];

/// Modes without authentication, broken ciphers, and libraries that would bring them.
const FORBIDDEN: &[&str] = &[
    "aes-ctr",
    "aes-soft",
    "aesni",
    "block-modes",
    "blowfish",
    "c2-chacha",
    "camellia",
    "cast5",
    "cast6",
    "cbc",
    "cfb",
    "cfb-mode",
    "cfb8",
    "chacha",
    "cts",
    "des",
    "ecb",
    "hc-256",
    "idea",
    "ige",
    "libaes",
    "magic-crypt",
    "native-tls",
    "ofb",
    "openssl",
    "openssl-sys",
    "pcbc",
    "rabbit",
    "rc2",
    "rc4",
    "rc5",
    "rust-crypto",
    "salsa20",
    "serpent",
    "simple-crypt",
    "sm4",
    "soft-aes",
    "threefish",
    "twofish",
    "xtea",
    "xts-mode",
];

/// Authenticated modes: safe to use as they are.
const AUTHENTICATED: &[&str] = &[
    "aes-gcm",
    "aes-gcm-siv",
    "aes-siv",
    "ascon-aead",
    "ccm",
    "chacha20poly1305",
    "deoxys",
    "eax",
    "ocb3",
];

/// Raw ciphers, and who may stand directly above them: an authenticated mode, a MAC, or a random
/// generator (which enciphers nothing).
const RAW: &[(&str, &[&str])] = &[
    (
        "aes",
        &[
            "aes-gcm",
            "aes-gcm-siv",
            "aes-siv",
            "ccm",
            "cmac",
            "deoxys",
            "eax",
            "ocb3",
            // Bluetooth's own hash of addresses and no more: what it encrypts is the controller's matter.
            "trouble-host",
        ],
    ),
    // A MAC.
    ("cmac", &["trouble-host"]),
    ("chacha20", &["chacha20poly1305", "rand", "rand_chacha"]),
    ("ctr", &["aes-gcm", "aes-gcm-siv", "aes-siv", "ccm", "eax"]),
];

/// Crates with the traits that every RustCrypto cipher builds on.
const TRAIT_CRATES: &[&str] = &["block-cipher", "cipher", "stream-cipher"];

/// Names in source that reach an unauthenticated mode of a library which also has good ones.
const SOURCE: &[&str] = &[
    "Aes128Cbc",
    "Aes256Cbc",
    "BlockCipherEncrypt",
    "BlockEncrypt",
    "BlockModeEncrypt",
    "Cbc",
    "ChaCha20Legacy",
    "Ecb",
    "KeyIvInit",
    "PaddedBlock",
    "StreamCipher",
    "UnboundCipherKey",
    "aead::quic",
    "aws_lc_rs::cipher",
    "chacha20::",
    "hazmat",
];

pub(super) fn run(context: &Context, log: &mut LaneLog<'_>) -> Result<Report, Failure> {
    let graph = Graph::of_what_ships(context, log)?;
    let mut report = Report {
        problems: graph_problems(&graph),
        ..Report::default()
    };
    report.notes.push(format!(
        "{} crates linked by {}",
        graph.packages.len(),
        graph::SHIPPED.join(", ")
    ));
    let ciphers: Vec<String> = graph
        .packages
        .iter()
        .filter(|package| is_cipher(package))
        .map(|package| {
            format!(
                "{} {} under {}",
                package.name,
                package.version,
                list(&package.parents)
            )
        })
        .collect();
    report
        .notes
        .push(format!("ciphers among them: {}", ciphers.join("; ")));

    let mut searched = 0;
    for file in tree::files(&context.root)? {
        let name = file.to_string_lossy();
        if !name.ends_with(".rs") || !FOLDERS.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        searched += 1;
        report
            .problems
            .extend(source_problems(&name, &tree::read(&context.root, &file)?));
    }
    report.expect(searched > 0, || "no source file was searched".to_owned());
    report
        .notes
        .push(format!("{searched} source files searched"));

    // A check that cannot fail is a defect: it must catch each planted graph.
    for (package, why) in plants() {
        let name = package.name.clone();
        let caught = !graph_problems(&graph.with(package)).is_empty();
        report.notes.push(format!(
            "planted {name} ({why}): {}",
            if caught { "caught" } else { "missed" }
        ));
        report.expect(caught, || format!("a planted {name} was not caught: {why}"));
    }
    Ok(report)
}

fn is_cipher(package: &Package) -> bool {
    let known = AUTHENTICATED.contains(&package.name.as_str())
        || RAW.iter().any(|(name, _)| *name == package.name)
        || FORBIDDEN.contains(&package.name.as_str());
    known || looks_like_a_cipher(package)
}

fn looks_like_a_cipher(package: &Package) -> bool {
    if TRAIT_CRATES.contains(&package.name.as_str()) {
        return false;
    }
    let builds_on_traits = TRAIT_CRATES
        .iter()
        .any(|name| package.children.contains(*name));
    let says_so = package.keywords.iter().any(|keyword| {
        let keyword = keyword.to_ascii_lowercase();
        [
            "block-cipher",
            "cbc",
            "cipher",
            "ctr",
            "ecb",
            "stream-cipher",
        ]
        .contains(&keyword.as_str())
    });
    builds_on_traits || says_so
}

fn graph_problems(graph: &Graph) -> Vec<String> {
    graph.packages.iter().filter_map(package_problem).collect()
}

fn package_problem(package: &Package) -> Option<String> {
    let Package {
        name,
        version,
        parents,
        ..
    } = package;
    if FORBIDDEN.contains(&name.as_str()) {
        return Some(format!(
            "{name} {version} is forbidden; it is linked by {}",
            list(parents)
        ));
    }
    if AUTHENTICATED.contains(&name.as_str()) {
        return None;
    }
    if let Some((_, allowed)) = RAW.iter().find(|(raw, _)| raw == name) {
        let bare: BTreeSet<String> = parents
            .iter()
            .filter(|parent| !allowed.contains(&parent.as_str()))
            .cloned()
            .collect();
        let alone = bare.is_empty() && !parents.is_empty();
        return (!alone).then(|| {
            format!(
                "{name} {version} is used without an authenticated mode by {}",
                list(&bare)
            )
        });
    }
    looks_like_a_cipher(package).then(|| {
        format!(
            "{name} {version} is a cipher that nobody has reviewed; it is linked by {}",
            list(parents)
        )
    })
}

fn source_problems(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for (place, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for word in SOURCE.iter().filter(|word| names(code, word)) {
            problems.push(format!("{file}:{}: names {word}", place + 1));
        }
    }
    problems
}

/// Whether `code` names `word` as a whole identifier or as the start of one in camel case
/// (`CbcDecryptor` counts for `Cbc`; `chacha20::` is not found in `xchacha20::`).
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code.get(..at).and_then(|head| head.chars().next_back());
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn list(names: &BTreeSet<String>) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// One package for each net.
fn plants() -> Vec<(Package, &'static str)> {
    let package = |name: &str, parent: &str, child: &str, keyword: &str| Package {
        name: name.to_owned(),
        version: "0.0.0".to_owned(),
        keywords: vec![keyword.to_owned()],
        parents: BTreeSet::from([parent.to_owned()]),
        children: BTreeSet::from([child.to_owned()]),
    };
    vec![
        (
            package("cbc", "drawbridge-daemon", "cipher", "crypto"),
            "forbidden by name",
        ),
        (
            package("ecb", "some-library", "cipher", "crypto"),
            "forbidden by name, deep down",
        ),
        (
            package("aes", "drawbridge-protocol", "cipher", "crypto"),
            "raw, with no mode above it",
        ),
        (
            package("chacha20", "drawbridge-lock", "cipher", "crypto"),
            "a bare stream cipher",
        ),
        (
            package("new-cipher", "drawbridge-daemon", "cipher", "crypto"),
            "builds on the cipher traits",
        ),
        (
            package("own-aes", "drawbridge-daemon", "libc", "block-cipher"),
            "says so in its keywords",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(packages: &[(&str, &[&str], &[&str])]) -> Graph {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let packages = packages.iter().map(|(name, parents, children)| Package {
            name: (*name).to_owned(),
            version: "1.0.0".to_owned(),
            keywords: Vec::new(),
            parents: names(parents),
            children: names(children),
        });
        Graph {
            packages: packages.collect(),
        }
    }

    // Guards: the graph we really have being called unsafe, which teaches people to ignore the lane.
    #[test]
    fn authenticated_ciphers_pass() {
        let good = graph(&[
            (
                "chacha20poly1305",
                &["drawbridge-protocol", "snow"],
                &["chacha20", "cipher"],
            ),
            ("chacha20", &["chacha20poly1305", "rand"], &["cipher"]),
            ("cipher", &["chacha20", "chacha20poly1305"], &["inout"]),
            ("aws-lc-rs", &["rustls"], &["aws-lc-sys"]),
        ]);
        assert_eq!(graph_problems(&good), Vec::<String>::new());
    }

    // Guards: door locks that encrypted without authenticating (bare AES-ECB and CBC links were
    // opened by flipping bits); each net must catch its own.
    #[test]
    fn each_planted_cipher_is_caught() {
        for (package, why) in plants() {
            let name = package.name.clone();
            assert_eq!(
                graph_problems(&Graph::default().with(package)).len(),
                1,
                "{name}: {why}"
            );
        }
    }

    // Guards: a raw cipher that has one good parent and one bad one.
    #[test]
    fn one_bare_use_among_good_ones_is_caught() {
        let mixed = graph(&[(
            "chacha20",
            &["chacha20poly1305", "drawbridge-daemon"],
            &["cipher"],
        )]);
        let problems = graph_problems(&mixed);
        assert_eq!(
            problems,
            ["chacha20 1.0.0 is used without an authenticated mode by drawbridge-daemon"]
        );
    }

    // Guards: our own code calling the raw modes of a library that the graph has to allow.
    #[test]
    fn source_that_names_a_raw_mode_is_caught() {
        for line in [
            "use aws_lc_rs::cipher::PaddedBlockEncryptingKey;",
            "type Bad = Aes128Cbc;",
            "let x = cbc::CbcEncryptor::<Aes>::new();",
            "use chacha20::ChaCha20;",
        ] {
            assert!(
                !source_problems("daemon/src/x.rs", line).is_empty(),
                "{line}"
            );
        }
        for line in [
            "use chacha20poly1305::KeyInit;",
            "// never bare Cbc",
            "let ecba = 1;",
        ] {
            assert!(
                source_problems("daemon/src/x.rs", line).is_empty(),
                "{line}"
            );
        }
    }
}
