//! Cards rot and power fails between any two writes. Whatever the files look like, the store comes up, and it
//! never passes off less, or other, than what was acknowledged (F16).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use drawbridge_daemon::store::{
    OutboxClass, Store, StoreConfig, StoreOp, StoreOpened, Ticket, Tree,
};

use crate::lane::{Dice, rounds, seed};

type Contents = BTreeMap<(Tree, Vec<u8>), Vec<u8>>;

/// A closed store with some hundred records that were also replaced and removed on the way.
async fn made(folder: &Path) -> Contents {
    let (store, opened) = Store::open(StoreConfig::new(folder)).unwrap();
    assert!(
        !opened.reset && !opened.lost_records,
        "first start: {opened:?}"
    );
    let mut contents = Contents::new();
    for n in 0..120u64 {
        let value =
            vec![n as u8; 30 + (n as usize * 37) % 400 + if n % 40 == 0 { 20_000 } else { 0 }];
        let ops = vec![
            StoreOp::put(Tree::Audit, n.to_be_bytes(), value.clone()),
            StoreOp::put(Tree::Meta, *b"cursor", n.to_be_bytes()),
            StoreOp::Publish {
                ticket: Ticket(n),
                class: OutboxClass::Kept,
                value: value.clone(),
            },
            StoreOp::delete(Tree::Outbox, Ticket(n.saturating_sub(9)).key()),
        ];
        store.commit(ops).await.unwrap();
    }
    for tree in Tree::ALL {
        for (key, value) in store.scan(tree, &[], 10_000).await.unwrap() {
            contents.insert((tree, key), value);
        }
    }
    store.close().await;
    assert!(contents.len() > 120);
    contents
}

async fn reopened(folder: &Path) -> (StoreOpened, Contents) {
    let (store, opened) = Store::open(StoreConfig::new(folder)).unwrap();
    let mut contents = Contents::new();
    for tree in Tree::ALL {
        for (key, value) in store.scan(tree, &[], 10_000).await.unwrap() {
            contents.insert((tree, key), value);
        }
    }
    // Whatever it came back with, it works again.
    store
        .commit(vec![StoreOp::put(Tree::Meta, *b"alive", *b"yes")])
        .await
        .unwrap();
    assert_eq!(
        store.get(Tree::Meta, b"alive").await.unwrap().as_deref(),
        Some(&b"yes"[..])
    );
    store.close().await;
    (opened, contents)
}

fn records(folder: &Path) -> PathBuf {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("records-")
        })
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target)
        } else {
            fs::copy(entry.path(), target).map(drop).unwrap()
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else if entry.metadata().unwrap().len() > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

/// sled refuses to open beside what an interrupted snapshot left; without it all keys are back.
#[tokio::test]
async fn leftovers_of_a_snapshot_are_removed_and_all_records_are_back() {
    for (name, bytes) in [
        ("snap.00000000000FFFFF.generating", &b"half"[..]),
        ("snap.00000000000FFFFF", &b""[..]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let expected = made(folder.path()).await;
        let leftover = records(folder.path()).join(name);
        fs::write(&leftover, bytes).unwrap();

        // The trap itself, pinned: an upgrade of sled that changes this shows here.
        let bare = tempfile::tempdir().unwrap();
        copy(&records(folder.path()), bare.path());
        assert!(
            sled::open(bare.path()).is_err(),
            "sled opens beside {name} now"
        );

        let (opened, contents) = reopened(folder.path()).await;
        assert_eq!(opened.leftovers_removed, 1, "{name}: {opened:?}");
        assert!(!opened.reset && !opened.lost_records, "{name}: {opened:?}");
        assert!(contents == expected, "{name}");
    }
}

/// A snapshot that rotted is not needed: the log holds every record.
#[tokio::test]
async fn damaged_snapshot_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let expected = made(folder.path()).await;
    // A second opening makes sled write a snapshot.
    let (_, contents) = reopened(folder.path()).await;
    assert!(contents == expected);
    let (_, expected) = reopened(folder.path()).await;
    let snapshot = fs::read_dir(records(folder.path()))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("snap.")
        })
        .expect("a snapshot");
    let mut bytes = fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&snapshot, bytes).unwrap();
    let (opened, contents) = reopened(folder.path()).await;
    assert!(!opened.reset && !opened.lost_records, "{opened:?}");
    assert!(contents == expected);
}

/// sled opens a truncated `db` as if nothing were missing; the high-water file tells.
#[tokio::test]
async fn f16_truncated_db_is_noticed() {
    let seed = seed();
    let mut dice = Dice(seed);
    let original = tempfile::tempdir().unwrap();
    let expected = made(original.path()).await;
    let whole = fs::metadata(records(original.path()).join("db"))
        .unwrap()
        .len();
    let mut silent = 0;
    for round in 0..rounds(12, 400) {
        let keep = if round == 0 { 0 } else { dice.roll(whole) };
        let folder = tempfile::tempdir().unwrap();
        copy(original.path(), folder.path());
        let db = fs::File::options()
            .write(true)
            .open(records(folder.path()).join("db"))
            .unwrap();
        db.set_len(keep).unwrap();
        drop(db);

        let bare = tempfile::tempdir().unwrap();
        copy(&records(folder.path()), bare.path());
        silent += u64::from(sled::open(bare.path()).is_ok());

        let (opened, contents) = reopened(folder.path()).await;
        let about = format!("cut to {keep} of {whole}, seed {seed}: {opened:?}");
        if contents == expected {
            continue;
        }
        assert!(opened.lost_records, "{about}");
        assert!(
            opened.next_ticket >= 120,
            "a ticket would be used twice; {about}"
        );
    }
    assert!(
        silent > 0,
        "sled reports truncation now; the high-water file may be more than is needed (seed {seed})"
    );
}

/// A whole older copy of the records under the newer high-water file, as after a partial restore.
#[tokio::test]
async fn f16_old_copy_of_the_records_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let old = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    copy(&records(folder.path()), old.path());
    reopened(folder.path()).await;
    let current = records(folder.path());
    fs::remove_dir_all(&current).unwrap();
    copy(old.path(), &current);
    let (opened, _) = reopened(folder.path()).await;
    assert!(opened.lost_records && !opened.reset, "{opened:?}");
    assert!(opened.set_aside.is_some_and(|path| path.exists()));
}

/// A folder that cannot be opened at all is kept for a technician, and the store starts empty and says so.
#[tokio::test]
async fn f16_unreadable_store_is_set_aside_and_reset() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path()).await;
    for round in 0..4u64 {
        let current = records(folder.path());
        fs::remove_file(current.join("db")).unwrap();
        fs::create_dir(current.join("db")).unwrap();
        let (opened, contents) = reopened(folder.path()).await;
        assert!(
            opened.reset && opened.lost_records,
            "round {round}: {opened:?}"
        );
        assert!(contents.is_empty());
        assert!(opened.next_ticket >= 120, "{opened:?}");
    }
    let aside = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("damaged-")
        })
        .count();
    assert_eq!(aside, 2, "what was set aside is bounded");
    fs::remove_dir_all(records(folder.path())).unwrap();
    let (opened, _) = reopened(folder.path()).await;
    assert!(opened.reset && opened.lost_records, "{opened:?}");
}

/// Flips one byte at a time in every file of a store.
#[tokio::test]
async fn f16_flipped_bytes_cause_no_panic_and_no_silent_wrong_data() {
    let (rounds, seed) = (rounds(160, 8_000), seed());
    println!("{rounds} flips, seed {seed}");
    let mut dice = Dice(seed);
    let original = tempfile::tempdir().unwrap();
    let mut expected = made(original.path()).await;
    let first = reopened(original.path()).await;
    assert!(first.1 == expected);
    expected.insert((Tree::Meta, b"alive".to_vec()), b"yes".to_vec());
    let targets = files(original.path());
    assert!(targets.len() >= 4, "{targets:?}");
    let (mut noticed, mut resets) = (0, 0);
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        copy(original.path(), folder.path());
        let target = &targets[(round % targets.len() as u64) as usize];
        let path = folder
            .path()
            .join(target.strip_prefix(original.path()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        // Half of the flips go where something is written, so that they are not spent on empty space.
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
        let at = dice.roll(if round % 2 == 0 {
            written
        } else {
            bytes.len() as u64
        }) as usize;
        let mask = 1 + dice.roll(255) as u8;
        bytes[at] ^= mask;
        fs::write(&path, bytes).unwrap();
        let (opened, contents) = reopened(folder.path()).await;
        let about = format!(
            "{} byte {at} ^ {mask:#04x}, seed {seed}: {opened:?}",
            path.display()
        );
        if opened.lost_records {
            noticed += 1;
            resets += u64::from(opened.reset);
            // What did come back was acknowledged once: no made-up values. Removed outbox entries may reappear.
            for (place, value) in &contents {
                let genuine = match expected.get(place) {
                    Some(known) if place.1 != b"cursor" && place.1 != b"alive" => known == value,
                    Some(_) => value.len() == 8 || value == b"yes",
                    None => place.0 == Tree::Outbox && value.iter().all(|byte| *byte == value[0]),
                };
                assert!(genuine, "{place:?} came back wrong; {about}");
            }
        } else {
            assert!(contents == expected, "silently different; {about}");
        }
    }
    assert!(noticed > 0, "no flip hit anything, seed {seed}");
    println!(
        "{rounds} flips: {noticed} noticed ({resets} resets), {} without effect, 0 silent",
        rounds - noticed
    );
}

/// Two daemons on one state folder would each undo the other.
#[tokio::test]
async fn second_store_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(StoreConfig::new(folder.path())).unwrap();
    let second = Store::open(StoreConfig::new(folder.path())).unwrap_err();
    assert!(
        matches!(second, drawbridge_daemon::store::StoreError::InUse),
        "{second:?}"
    );
    store.close().await;
    Store::open(StoreConfig::new(folder.path())).unwrap();
}

/// sled sends leaves over 131,052 bytes to blob files and never syncs them; many large values must not get there.
#[tokio::test]
async fn large_values_never_become_unsynced_blobs() {
    let bare = tempfile::tempdir().unwrap();
    let db = sled::open(bare.path()).unwrap();
    for n in 0..16u8 {
        db.insert([n], vec![n; 60_000]).unwrap();
    }
    db.flush().unwrap();
    assert!(
        fs::read_dir(bare.path().join("blobs")).unwrap().count() > 0,
        "sled keeps large leaves inline now"
    );

    let folder = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(StoreConfig::new(folder.path())).unwrap();
    for round in 0..3u8 {
        for n in 0..16u8 {
            let value = vec![n ^ round; drawbridge_daemon::store::MAX_VALUE - usize::from(n)];
            store
                .commit(vec![StoreOp::put(Tree::Audit, [n], value)])
                .await
                .unwrap();
        }
    }
    let blobs = fs::read_dir(records(folder.path()).join("blobs"))
        .unwrap()
        .count();
    assert_eq!(blobs, 0);
    store.close().await;
    let (opened, contents) = reopened(folder.path()).await;
    assert!(!opened.lost_records, "{opened:?}");
    assert!(
        contents
            .iter()
            .all(|((_, key), value)| value.iter().all(|byte| *byte == key[0] ^ 2))
    );
    assert_eq!(contents.len(), 16);
}
