//! What was durable, read back at start.

use base64ct::Encoding;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use serde_json::json;

use crate::control::{Fault, Reply};
use crate::core::record::{Records, StoreLoss, audit_key};
use crate::core::{HubKeys, LockBinding, Restored, Tree};
use crate::store::identity::{IdentityDir, IdentityError};
use crate::store::{Store, StoreError, StoreOpened};

use super::storage::shelf;

/// Records read at a time.
const PAGE: usize = 256;

/// Reads the trees that the core begins with.
pub(super) async fn records(store: &Store, tree: Tree) -> Result<Records, StoreError> {
    let mut all = Records::new();
    let mut from = Vec::new();
    loop {
        let page = store.scan(shelf(tree), &from, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(all);
        };
        from.clone_from(last);
        // The least key above the last one.
        from.push(0);
        let full = page.len() == PAGE;
        all.extend(page);
        if !full {
            return Ok(all);
        }
    }
}

/// Everything that the core begins with.
pub(super) async fn restore(
    store: &Store,
    opened: &StoreOpened,
    bindings: Vec<LockBinding>,
) -> Result<Restored, StoreError> {
    Ok(Restored {
        bindings,
        inbox: records(store, Tree::Inbox).await?,
        outbox: records(store, Tree::Outbox).await?,
        dedupe: records(store, Tree::Dedupe).await?,
        meta: records(store, Tree::Meta).await?,
        next_ticket: opened.next_ticket,
        loss: loss(opened),
    })
}

fn loss(opened: &StoreOpened) -> Option<StoreLoss> {
    if opened.reset {
        Some(StoreLoss::Reset)
    } else {
        let some = opened.lost_records || opened.damaged_records > 0;
        some.then_some(StoreLoss::Records)
    }
}

/// The hub's keys, made on the first start.
pub(super) fn keys(identities: &IdentityDir) -> Result<HubKeys, IdentityError> {
    let identity = identities.hub_identity()?;
    Ok(HubKeys {
        identity: IdentitySecret::from_bytes(identity.signing_seed.expose()),
        link: LinkSecret::from_bytes(*identity.exchange_secret.expose()),
    })
}

/// The bindings of all locks. One that cannot be read is left where it is and reported: the lock
/// is then unreachable until it is mended or paired again, and no other lock suffers for it.
pub(super) fn bindings(identities: &IdentityDir) -> Result<Vec<LockBinding>, IdentityError> {
    let mut bindings = Vec::new();
    for name in identities.list()? {
        let read = identities
            .load(&name)
            .map(|found| found.and_then(|found| LockBinding::decode(&found.payload).ok()));
        match read {
            Ok(Some(binding)) => bindings.push(binding),
            Ok(None) => {
                log::error!(event = "binding_unreadable", lock = name.as_str(); "this lock cannot be reached; restore its file or pair it again");
            }
            Err(error) => {
                log::error!(event = "binding_unreadable", lock = name.as_str(), error = super::storage::chain(&error).as_str(); "this lock cannot be reached; restore its file or pair it again");
            }
        }
    }
    Ok(bindings)
}

/// The most records in one answer, and the most bytes of them: an answer is one line of the socket.
const AUDIT_PAGE: usize = 64;
const AUDIT_BYTES: usize = 24 * 1024;

/// Answers `lock.audit` with stored records of `lock` from number `from` on; whoever wants more
/// asks again.
pub(super) async fn audit(store: &Store, lock: LockId, from: u64, reply: Reply) {
    let Ok(page) = store
        .scan(shelf(Tree::Audit), &audit_key(lock, from), AUDIT_PAGE)
        .await
    else {
        reply.refuse(Fault::new(
            "store",
            "read the stored log: the store has stopped",
        ));
        return;
    };
    let mut bytes = 0;
    let records: Vec<String> = page
        .iter()
        .take_while(|(key, record)| {
            bytes += record.len();
            key.starts_with(lock.as_bytes()) && bytes <= AUDIT_BYTES
        })
        .map(|(_, record)| base64ct::Base64::encode_string(record))
        .collect();
    reply.done(json!({ "lock": lock.to_string(), "records": records }));
}
