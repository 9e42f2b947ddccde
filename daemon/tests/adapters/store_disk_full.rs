//! A full or read-only disk refuses; it must never be told as success, nor cost what was there (F14, F15).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use drawbridge_daemon::store::{Store, StoreConfig, StoreError, StoreOp, Tree};

fn mount(arguments: &[&str], folder: &Path) {
    let done = Command::new("mount")
        .args(arguments)
        .arg(folder)
        .status()
        .expect("mount can be run");
    assert!(done.success(), "mount {arguments:?}");
}

/// Runs `test` again in a mount namespace of its own, where it gets a 4 MiB disk. `None` means: this is the
/// parent and the child has passed.
fn small_disk(test: &str) -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("STORE_SMALL_DISK") {
        let folder = PathBuf::from(folder);
        mount(&["-t", "tmpfs", "-o", "size=4m", "tmpfs"], &folder);
        return Some(folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace: &[&str] = if nix::unistd::geteuid().is_root() {
        &["--mount"]
    } else {
        &["--user", "--map-root-user", "--mount"]
    };
    let child = Command::new("unshare")
        .args(namespace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("STORE_SMALL_DISK", folder.path())
        .output()
        .expect("unshare (util-linux) can be run");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(child.status.success(), "on the small disk: {said}");
    assert!(
        said.contains("1 passed"),
        "the child did not run {test}: {said}"
    );
    None
}

fn value(n: u64) -> Vec<u8> {
    vec![n as u8; 15_000]
}

async fn all_there(store: &Store, count: u64, about: &str) {
    for n in 0..count {
        assert!(
            store.get(Tree::Audit, &n.to_be_bytes()).await.unwrap() == Some(value(n)),
            "{n} of {count} {about}"
        );
    }
}

#[tokio::test]
async fn f14_full_disk_is_never_a_false_ack_and_recovers() {
    let Some(disk) = small_disk("store_disk_full::f14_full_disk_is_never_a_false_ack_and_recovers")
    else {
        return;
    };
    let folder = disk.join("store");
    let (store, _) = Store::open(StoreConfig::new(&folder)).unwrap();
    let mut acknowledged = 0u64;
    let refused = loop {
        match store
            .commit(vec![StoreOp::put(
                Tree::Audit,
                acknowledged.to_be_bytes(),
                value(acknowledged),
            )])
            .await
        {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000, "a 4 MiB disk took 15 MB");
    };
    assert!(matches!(refused, StoreError::Write(_)), "{refused:?}");
    assert!(refused.is_temporary() && refused.may_have_succeeded());
    assert!(
        acknowledged > 20,
        "the disk was full at once: {acknowledged}"
    );
    assert_eq!(
        store
            .get(Tree::Audit, &acknowledged.to_be_bytes())
            .await
            .unwrap(),
        None,
        "a failed batch is not held"
    );
    all_there(&store, acknowledged, "while the disk is full").await;
    let again = store
        .commit(vec![StoreOp::put(Tree::Meta, [1], [1])])
        .await
        .unwrap_err();
    assert!(
        matches!(again, StoreError::Unavailable(_)) && again.is_temporary(),
        "{again:?}"
    );
    assert!(!again.may_have_succeeded());
    assert!(store.health().failing.is_some());

    // Killed right now, everything acknowledged is still on this full disk.
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&folder)
        .arg(copy.path())
        .status()
        .unwrap();
    assert!(copied.success());
    let (after_kill, opened) = Store::open(StoreConfig::new(copy.path().join("store"))).unwrap();
    assert!(!opened.reset && !opened.lost_records, "{opened:?}");
    all_there(&after_kill, acknowledged, "after a kill on the full disk").await;
    after_kill.close().await;

    mount(&["-o", "remount,size=64m"], &disk);
    // The pause between attempts is wall time in the store thread.
    std::thread::sleep(Duration::from_millis(250));
    store
        .commit(vec![StoreOp::put(Tree::Meta, [1], [1])])
        .await
        .unwrap();
    assert!(store.health().failing.is_none());
    store.close().await;
    let (store, opened) = Store::open(StoreConfig::new(&folder)).unwrap();
    assert!(!opened.reset && !opened.lost_records, "{opened:?}");
    all_there(&store, acknowledged, "after recovery").await;
    assert_eq!(store.get(Tree::Meta, &[1]).await.unwrap(), Some(vec![1]));
    store.close().await;
}

/// A hub that starts on a full or read-only disk must not take that for damage and begin anew.
#[tokio::test]
async fn f15_start_on_a_full_or_read_only_disk_gives_nothing_up() {
    let Some(disk) =
        small_disk("store_disk_full::f15_start_on_a_full_or_read_only_disk_gives_nothing_up")
    else {
        return;
    };
    let folder = disk.join("store");
    let (store, _) = Store::open(StoreConfig::new(&folder)).unwrap();
    for n in 0..20u64 {
        store
            .commit(vec![StoreOp::put(Tree::Audit, n.to_be_bytes(), value(n))])
            .await
            .unwrap();
    }
    store.close().await;

    mount(&["-o", "remount,ro"], &disk);
    let refused = Store::open(StoreConfig::new(&folder)).unwrap_err();
    assert!(
        matches!(refused, StoreError::Folder(_)) && refused.is_temporary(),
        "{refused:?}"
    );
    mount(&["-o", "remount,rw"], &disk);

    // A snapshot must be written when sled finds new log, and there is no room for it.
    let filler = disk.join("filler");
    let full = fs::write(&filler, vec![1u8; 8 * 1024 * 1024]);
    assert!(full.is_err(), "the disk is not full");
    match Store::open(StoreConfig::new(&folder)) {
        Ok((store, opened)) => {
            assert!(!opened.reset && !opened.lost_records, "{opened:?}");
            all_there(&store, 20, "opened on a full disk").await;
            store.close().await;
        }
        Err(refused) => assert!(
            matches!(refused, StoreError::Folder(_)) && refused.is_temporary(),
            "{refused:?}"
        ),
    }
    fs::remove_file(&filler).unwrap();
    let (store, opened) = Store::open(StoreConfig::new(&folder)).unwrap();
    assert!(!opened.reset && !opened.lost_records, "{opened:?}");
    all_there(&store, 20, "after the disk had room again").await;
    store.close().await;
}
