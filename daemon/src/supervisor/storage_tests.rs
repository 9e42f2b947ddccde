//! What a power cut or a full disk may do to the order of changes.

use std::path::Path;

use drawbridge_protocol::log_record::MAX_LOG_RECORD;

use super::*;
use crate::core::HubConfig;
use crate::core::SecretBytes;
use crate::core::record::audit_key;
use crate::store::StoreConfig;
use crate::store::{Limits, RECORD_COST};

struct Disk {
    store: Store,
    identities: Arc<IdentityDir>,
}

impl Disk {
    fn new(folder: &Path) -> Self {
        let (store, _) = Store::open(StoreConfig::new(folder.join("store"))).unwrap();
        let identities = Arc::new(IdentityDir::open(&folder.join("identity")).unwrap());
        Self { store, identities }
    }

    async fn has(&self, key: &[u8]) -> bool {
        let found = self.store.get(Shelf::Meta, key).await.unwrap();
        found.is_some()
    }
}

fn put(key: &[u8]) -> StoreOp {
    StoreOp::Put {
        tree: Tree::Meta,
        key: key.to_vec(),
        value: b"v".to_vec(),
        at: None,
    }
}

fn save(name: &str) -> StoreOp {
    StoreOp::SaveBinding {
        name: name.into(),
        bytes: SecretBytes::new(b"binding".to_vec()),
    }
}

/// F12, I4. Guards: a binding with a newer log position on disk without the records up to it, after
/// a power cut in between: nobody would fetch them again, and no gap would show.
#[tokio::test]
async fn f12_record_before_an_identity_file_is_durable_before_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    // The file cannot be written, which is as good as a cut at that moment.
    let ops = vec![put(b"before"), save("no/such/name"), put(b"after")];
    assert!(write(&disk.store, &disk.identities, ops).await.is_err());
    assert!(disk.has(b"before").await);
    assert!(
        !disk.has(b"after").await,
        "nor does anything overtake the file"
    );
    // The same batch is tried again as a whole.
    let ops = vec![put(b"before"), save("0011223344556677"), put(b"after")];
    assert!(write(&disk.store, &disk.identities, ops).await.is_ok());
    assert!(disk.has(b"after").await);
    assert!(disk.identities.load("0011223344556677").unwrap().is_some());
}

/// I7. Guards: a tree that is full and holds back for ever even the deletions that would empty it.
#[test]
fn i7_full_tree_is_no_reason_to_wait() {
    let full = from_store(&StoreError::Full { tree: Shelf::Audit });
    assert!(!full.is_temporary);
    let broken = from_store(&StoreError::Write(Arc::new(std::io::Error::other("disk"))));
    assert!(broken.is_temporary);
}

/// I7. Guards: a promise of the core that the store refuses to keep.
#[test]
fn i7_core_holds_less_than_the_store_takes() {
    let (core, store) = (HubConfig::new("home", "0"), Limits::default());
    let key = audit_key(drawbridge_protocol::ids::LockId([0; 8]), 0).len();
    let record = MAX_LOG_RECORD + key + RECORD_COST;
    let audit = usize::try_from(core.audit).unwrap();
    // One pull may begin just below the bound.
    let one_pull = 64;
    assert!(audit + one_pull <= store.audit.records);
    assert!((audit + one_pull) * record <= store.audit.bytes);
    assert!(core.audit_per_lock <= core.audit);
    assert!(core.commands <= store.inbox.records);
    assert!(core.finals <= store.results.records);
    assert!(core.outbox_kept * 2 <= store.outbox.records);
}

/// Guards: a daemon that looks alive, and whose store has ended.
#[tokio::test]
async fn end_of_the_store_ends_the_keeper() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path());
    let store = disk.store.clone();
    disk.store.close().await;
    let (batches, queue) = mpsc::channel(4);
    let (answers, mut stored) = mpsc::channel(4);
    let keeper = tokio::spawn(keep(store, disk.identities, queue, answers));
    let ops = vec![put(b"key")];
    batches.send(Batch { number: 7, ops }).await.unwrap();
    let answer = stored.recv().await.unwrap();
    assert!(matches!(
        answer,
        HubEvent::Stored {
            batch: 7,
            result: Err(_)
        }
    ));
    keeper.await.unwrap();
    assert!(stored.recv().await.is_none(), "the driver ends with it");
}
