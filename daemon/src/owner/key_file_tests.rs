use std::os::unix::fs::PermissionsExt;

use super::super::keys::Kernel;
use super::super::test_lock::TestLock;
use super::*;

fn fresh() -> (tempfile::TempDir, KeyFile, OwnerBook) {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::at(folder.path().join("sub/owner.json"));
    let mut book = OwnerBook::new(&mut Kernel);
    book.locks
        .push(TestLock::new(7).owned_record("Front", &book));
    file.create(&book, false).unwrap();
    (folder, file, book)
}

// Guards: a round trip that silently drops a lock, a grant or a key, noticed when a door stays shut.
#[test]
fn what_is_written_is_what_is_read() {
    let (_folder, file, book) = fresh();
    let read = file.load().unwrap();
    assert_eq!(read.locks, book.locks);
    assert_eq!(
        read.keys.identity.danger_to_bytes(),
        book.keys.identity.danger_to_bytes()
    );
    assert_eq!(
        read.keys.link.danger_as_bytes(),
        book.keys.link.danger_as_bytes()
    );
    assert_eq!(
        read.keys.audit.danger_to_bytes(),
        book.keys.audit.danger_to_bytes()
    );
}

// Guards (S23): the owner's root key readable by every local user, as a umask of 022 would leave it.
#[test]
fn s23_only_the_owner_can_read_the_file() {
    let (_folder, file, _) = fresh();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(file.path()), 0o600);
    assert_eq!(mode(file.path().parent().unwrap()), 0o700);
    for exposed in [0o640, 0o604, 0o620, 0o602, 0o610] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(exposed)).unwrap();
        assert!(
            matches!(file.load(), Err(KeyFileError::Exposed { mode, .. }) if mode == exposed),
            "{exposed:o}"
        );
    }
}

/// What vfat says of every file, unless it was mounted for one user alone.
fn look_as_on_vfat(file: &File) -> io::Result<About> {
    look(file).map(|about| About {
        mode: 0o755,
        ..about
    })
}

// Guards (S23): `owner init --owner-key /media/stick/owner.json` that reports success, and then no
// command takes the file, and chmod cannot help; its secrets are readable on the stick meanwhile.
#[test]
fn s23_nothing_is_written_where_the_file_system_has_no_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let stick = KeyFile {
        path: folder.path().join("owner.json"),
        look: look_as_on_vfat,
    };
    let book = OwnerBook::new(&mut Kernel);
    let error = stick.create(&book, false).unwrap_err();
    assert!(
        matches!(error, KeyFileError::Unprotected { mode: 0o755, .. }),
        "{error}"
    );
    assert!(error.advice().contains("umask=077"), "{}", error.advice());
    for left in fs::read_dir(folder.path()).unwrap() {
        let left = left.unwrap();
        assert_eq!(left.metadata().unwrap().len(), 0, "{left:?}");
    }
    assert!(!stick.path().exists());

    // One that is there stays as it is, and the way out is named with the one that does not help.
    let disk = KeyFile::at(stick.path());
    disk.create(&book, false).unwrap();
    let before = fs::read(disk.path()).unwrap();
    assert!(stick.create(&book, true).is_err());
    assert_eq!(fs::read(disk.path()).unwrap(), before);
    assert!(!disk.beside(".1.old").exists());
    let advice = stick.load().unwrap_err().advice();
    assert!(
        advice.contains("chmod 600") && advice.contains("umask=077"),
        "{advice}"
    );
}

// Guards: a link to a key file on a stick that the first update replaces by a file of its own, so
// that the stick keeps an old state, and locks claimed since are not on it.
#[test]
fn a_linked_file_is_changed_where_it_is() {
    let (folder, file, _) = fresh();
    let link = KeyFile::at(folder.path().join("link.json"));
    std::os::unix::fs::symlink("sub/owner.json", link.path()).unwrap();
    let change = |file: &KeyFile, serial| {
        let change = |book: &mut OwnerBook| {
            book.next_serial = serial;
            Ok(())
        };
        file.update::<_, KeyFileError>(change).unwrap();
    };
    change(&link, 77);
    assert!(fs::symlink_metadata(link.path()).unwrap().is_symlink());
    assert_eq!(file.load().unwrap().next_serial, 77);
    assert!(!link.beside(".lock").exists(), "one lock for both names");

    let other = OwnerBook::new(&mut Kernel);
    assert!(matches!(
        link.create(&other, false),
        Err(KeyFileError::Exists(_))
    ));
    let old = link.create(&other, true).unwrap().unwrap();
    assert_eq!(KeyFile::at(old).load().unwrap().next_serial, 77);
    assert!(fs::symlink_metadata(link.path()).unwrap().is_symlink());
    assert!(file.load().unwrap().locks.is_empty());

    fs::remove_file(file.path()).unwrap();
    assert!(matches!(
        link.create(&other, false),
        Err(KeyFileError::Io {
            act: "follow the link",
            ..
        })
    ));
}

// Guards: `owner init` typed twice, which would orphan every lock of the first key.
#[test]
fn an_existing_file_is_not_overwritten_and_force_keeps_it() {
    let (_folder, file, book) = fresh();
    let other = OwnerBook::new(&mut Kernel);
    assert!(matches!(
        file.create(&other, false),
        Err(KeyFileError::Exists(_))
    ));
    assert_eq!(file.load().unwrap().locks, book.locks);
    for _ in 0..2 {
        let old = file.create(&other, true).unwrap().unwrap();
        assert!(old.exists());
    }
    let first = KeyFile::at(file.beside(".1.old")).load().unwrap();
    assert_eq!(first.locks, book.locks);
    assert!(file.load().unwrap().locks.is_empty());
}

// Guards: a claim that fails half-way leaves the file changed, or a stale `.new` blocks every later save.
#[test]
fn a_failed_change_leaves_the_file_as_it_was() {
    let (_folder, file, book) = fresh();
    fs::write(file.beside(".new"), b"half").unwrap();
    let failed: Result<(), KeyFileError> = file.update(|book| {
        book.locks.clear();
        Err(KeyFileError::Missing("x".into()))
    });
    assert!(failed.is_err());
    assert_eq!(file.load().unwrap().locks, book.locks);
    file.update::<_, KeyFileError>(|book| {
        book.next_serial = 99;
        Ok(())
    })
    .unwrap();
    assert_eq!(file.load().unwrap().next_serial, 99);
    assert!(!file.beside(".new").exists());
}

// Guards: two commands at once, of which the slower one undoes what the faster one saved.
#[test]
fn changes_at_the_same_time_lose_nothing() {
    let (_folder, file, _) = fresh();
    let before = file.load().unwrap().next_serial;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                file.update::<_, KeyFileError>(|book| Ok(book.take_serial()))
                    .unwrap()
            });
        }
    });
    assert_eq!(file.load().unwrap().next_serial, before + 8);
}

// Guards: a truncated or edited file read as "no locks", or its secrets quoted in the error.
#[test]
fn damage_is_an_error_that_quotes_nothing() {
    let (_folder, file, book) = fresh();
    let text = fs::read_to_string(file.path()).unwrap();
    let secret: String = book
        .keys
        .identity
        .danger_to_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(text.contains(&secret), "the file holds the secret");
    let put = |text: &str| fs::write(file.path(), text).unwrap();
    for cut in (0..text.len() - 2).step_by(97) {
        put(&text[..cut]);
        let error = file.load().unwrap_err();
        assert!(matches!(error, KeyFileError::Damaged { .. }), "{cut}");
        assert!(!error.to_string().contains(&secret[..8]));
    }
    put(&text.replace(&secret, &format!("{}zz", &secret[..62])));
    let error = file.load().unwrap_err().to_string();
    assert!(!error.contains(&secret[..8]), "{error}");
    put(&text.replace("\"next_serial\"", "\"surprise\": 1, \"next_serial\""));
    assert!(matches!(file.load(), Err(KeyFileError::Damaged { .. })));
    put(&text.replace("\"version\": 1", "\"version\": 2"));
    assert!(matches!(
        file.load(),
        Err(KeyFileError::Newer { found: 2, .. })
    ));
}
