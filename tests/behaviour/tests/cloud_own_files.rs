//! The hub's own certificate, key and CA file: each thing that can be wrong with them is found
//! before a connection is made, and named (S21).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use drawbridge_daemon::cloud::{Trust, TrustPaths};
use drawbridge_support::pki::{BadClient, Identity, Pki};

fn paths(pki: &Pki, who: &Identity) -> TrustPaths {
    TrustPaths {
        ca: pki.ca_file().to_path_buf(),
        cert: who.cert.clone(),
        key: who.key.clone(),
        crl: None,
    }
}

fn problem(paths: &TrustPaths) -> String {
    let error = Trust::load(paths, "localhost", SystemTime::now()).expect_err("must be refused");
    assert!(!error.advice().is_empty());
    error.to_string()
}

// Guards: "handshake failed" for a file that an operator mistyped or let expire.
#[test]
fn s21_each_fault_in_our_own_files_has_its_own_text() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let who = pki.client("h1").unwrap();
    let other = pki.client("h2").unwrap();
    let good = paths(&pki, &who);
    Trust::load(&good, "localhost", SystemTime::now()).expect("good files load");

    let empty = dir.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    fs::set_permissions(&empty, Permissions::from_mode(0o600)).unwrap();
    let missing = dir.path().join("missing.pem");
    let exposed = dir.path().join("exposed.key");
    fs::copy(&who.key, &exposed).unwrap();
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    let past = pki.bad_client("h1", BadClient::Expired).unwrap();
    let future = pki.bad_client("h1", BadClient::NotYetValid).unwrap();

    let cases = [
        (
            TrustPaths {
                ca: missing.clone(),
                ..good.clone()
            },
            "reading the CA certificate file",
        ),
        (
            TrustPaths {
                ca: empty.clone(),
                ..good.clone()
            },
            "no certificate in it",
        ),
        (
            TrustPaths {
                cert: missing.clone(),
                ..good.clone()
            },
            "reading the client certificate",
        ),
        (
            TrustPaths {
                key: missing,
                ..good.clone()
            },
            "reading the client key file",
        ),
        (
            TrustPaths {
                key: empty.clone(),
                ..good.clone()
            },
            "no private key in it",
        ),
        (
            TrustPaths {
                key: exposed,
                ..good.clone()
            },
            "mode 0644",
        ),
        (
            TrustPaths {
                key: other.key,
                ..good.clone()
            },
            "do not belong together",
        ),
        (paths(&pki, &past), "expired on 2021-01-01"),
        (paths(&pki, &future), "not valid before 2090-01-01"),
        (
            TrustPaths {
                crl: Some(empty),
                ..good
            },
            "no revocation list in it",
        ),
    ];
    let mut texts = Vec::new();
    for (paths, wanted) in &cases {
        let text = problem(paths);
        assert!(text.contains(wanted), "wanted '{wanted}', got '{text}'");
        texts.push(text);
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), cases.len());
}

// Guards (F11): doctor and info cannot warn about what they cannot read.
#[test]
fn f11_end_of_life_of_our_certificate_and_ca_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let who = pki.client("h1").unwrap();
    let trust = Trust::load(&paths(&pki, &who), "localhost", SystemTime::now()).unwrap();
    assert_eq!(trust.own().not_after.to_string(), "2049-12-31 00:00:00 UTC");
    assert_eq!(trust.anchors().len(), 1);
    assert_eq!(trust.good_until(), trust.own().not_after);
}

// Guards (F10): a clock at 1970 must say "clock", not "certificate expired".
#[test]
fn f10_boot_at_1970_points_at_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::create(dir.path()).unwrap();
    let who = pki.client("h1").unwrap();
    let error = Trust::load(&paths(&pki, &who), "localhost", SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(
        error.to_string().contains("not valid before 2024-01-01"),
        "{error}"
    );
    assert!(error.advice().contains("clock"));
    assert!(error.is_temporary());
}
