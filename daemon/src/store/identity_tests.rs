use super::*;

fn fresh() -> (tempfile::TempDir, IdentityDir) {
    let folder = tempfile::tempdir().unwrap();
    let dir = IdentityDir::open(&folder.path().join("identity")).unwrap();
    (folder, dir)
}

/// A hub whose key file rots must stop and say so: with silently new keys every lock would be orphaned (F16).
#[test]
fn f16_damaged_hub_keys_are_an_error_and_never_new_keys() {
    let (_folder, dir) = fresh();
    let first = dir.hub_identity().unwrap();
    let path = dir.folder.join(HUB);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        for bytes in [bad.as_slice(), &whole[..at]] {
            fs::write(&path, bytes).unwrap();
            let error = dir.hub_identity().unwrap_err();
            assert!(
                matches!(error, IdentityError::File { .. }),
                "at {at}: {error:?}"
            );
            assert_eq!(
                fs::read(&path).unwrap(),
                bytes,
                "nothing is written over the evidence"
            );
        }
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(
        dir.hub_identity().unwrap().signing_seed.expose(),
        first.signing_seed.expose()
    );
}

#[test]
fn missing_hub_keys_beside_bindings_are_an_error() {
    let (_folder, dir) = fresh();
    dir.save("front-door", b"binding").unwrap();
    assert!(matches!(
        dir.hub_identity(),
        Err(IdentityError::HubKeysMissing { bindings: 1 })
    ));
}

/// Names come from the network; none may leave the folder or hide in it (S26).
#[test]
fn s26_names_cannot_escape_the_folder() {
    let (_folder, dir) = fresh();
    let long = "a".repeat(MAX_NAME + 1);
    for name in [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\0b",
        "a\nb",
        "a.prev",
        "tür",
        "\u{202e}x",
        long.as_str(),
    ] {
        assert!(
            matches!(dir.save(name, b"x"), Err(IdentityError::BadName)),
            "{name:?}"
        );
        assert!(
            matches!(dir.load(name), Err(IdentityError::BadName)),
            "{name:?}"
        );
        assert!(
            matches!(dir.remove(name), Err(IdentityError::BadName)),
            "{name:?}"
        );
    }
    assert!(dir.list().unwrap().is_empty());
}

/// Secrets must not reach a log through `{:?}`, nor another user through the file mode (S23).
#[test]
fn s23_keys_are_redacted_and_private() {
    let (_folder, dir) = fresh();
    let identity = dir.hub_identity().unwrap();
    let printed = format!("{identity:?}");
    assert!(printed.contains("redacted"), "{printed}");
    assert!(!printed.contains(&format!("{:?}", identity.signing_seed.expose())));
    assert_ne!(
        identity.signing_seed.expose(),
        identity.exchange_secret.expose()
    );
    assert_eq!(fs::metadata(&dir.folder).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(dir.folder.join(HUB)).unwrap().mode() & 0o777,
        0o600
    );

    fs::set_permissions(&dir.folder, Permissions::from_mode(0o755)).unwrap();
    IdentityDir::open(&dir.folder).unwrap();
    assert_eq!(fs::metadata(&dir.folder).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn bindings_are_listed_loaded_and_removed() {
    let (_folder, dir) = fresh();
    dir.hub_identity().unwrap();
    dir.save("b", b"2").unwrap();
    dir.save("a", b"1").unwrap();
    dir.save("a", b"3").unwrap();
    assert_eq!(dir.list().unwrap(), ["a", "b"]);
    let a = dir.load("a").unwrap().unwrap();
    assert_eq!((a.payload.as_slice(), a.from_previous), (&b"3"[..], false));
    dir.remove("a").unwrap();
    assert_eq!(dir.list().unwrap(), ["b"]);
    assert!(dir.load("a").unwrap().is_none());
}
