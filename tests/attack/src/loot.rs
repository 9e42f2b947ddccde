//! What was stolen: every file of a hub.

use std::path::{Path, PathBuf};

use drawbridge_daemon::config::Config;
use drawbridge_daemon::core::LockBinding;
use drawbridge_daemon::store::identity::IdentityDir;
use drawbridge_daemon::store::{Store, StoreConfig, Tree};
use drawbridge_protocol::audit_ack::AuditAck;
use drawbridge_protocol::command::Command;
use drawbridge_protocol::cose::{Envelope, Kind};
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::log_record::LogRecord;

/// Records read at a time.
const PAGE: usize = 256;
/// Records read at most from one tree.
const MOST: usize = 100_000;

/// Why nothing can be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LootError {
    /// The folder has no hub's files.
    #[error("read the hub's files in {}: {why}; give the folder that has the hub's identity/ and db/, or its parent with drawbridge.toml", path.display())]
    Files {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// Everything of use in it.
pub(crate) struct Loot {
    /// Signs as the hub.
    pub(crate) identity: IdentitySecret,
    /// The hub's end of sessions.
    pub(crate) link: LinkSecret,
    /// Its locks.
    pub(crate) bindings: Vec<LockBinding>,
    /// Signed commands of others, wherever the hub keeps them.
    pub(crate) commands: Vec<Vec<u8>>,
    /// Signed leave to free records.
    pub(crate) acks: Vec<Vec<u8>>,
    /// Its configuration, if it is there.
    pub(crate) config: Option<Config>,
    /// All files, as bytes.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    /// All values of the database, which may be cut into chunks in its files.
    pub(crate) values: Vec<Vec<u8>>,
    /// A copy, so that opening the database changes nothing of the hub's.
    _copy: tempfile::TempDir,
}

impl Loot {
    /// Copies the files and reads all of them.
    pub(crate) fn read(hub_dir: &Path) -> Result<Self, LootError> {
        let error = |why: String| LootError::Files {
            path: hub_dir.to_owned(),
            why,
        };
        let state = [hub_dir.join("state"), hub_dir.to_owned()]
            .into_iter()
            .find(|dir| dir.join("identity").is_dir())
            .ok_or_else(|| error("there is no identity folder".into()))?;
        let copy = tempfile::Builder::new()
            .prefix("loot-")
            .tempdir()
            .map_err(|e| error(e.to_string()))?;
        copy_tree(&state, copy.path()).map_err(|e| error(e.to_string()))?;

        let identities =
            IdentityDir::open(&copy.path().join("identity")).map_err(|e| error(e.to_string()))?;
        let keys = identities
            .hub_identity()
            .map_err(|e| error(e.to_string()))?;
        let mut bindings = Vec::new();
        for name in identities.list().map_err(|e| error(e.to_string()))? {
            let found = identities.load(&name).map_err(|e| error(e.to_string()))?;
            if let Some(found) = found {
                let binding = LockBinding::decode(&found.payload)
                    .map_err(|e| error(format!("{name}: {e}")))?;
                bindings.push(binding);
            }
        }
        let config = hub_dir.join("drawbridge.toml");
        let config = config
            .exists()
            .then(|| Config::load(&config))
            .transpose()
            .map_err(|e| error(e.to_string()))?;
        let mut files = Vec::new();
        read_tree(hub_dir, &mut files).map_err(|e| error(e.to_string()))?;
        let values = values(&copy.path().join("db")).map_err(error)?;
        let identity = IdentitySecret::from_bytes(keys.signing_seed.expose());
        let me = identity.public();
        let mut commands: Vec<Vec<u8>> = Vec::new();
        let mut acks: Vec<Vec<u8>> = Vec::new();
        for value in &values {
            if let Ok(record) = LogRecord::decode(value)
                && record.actor != Some(me)
                && let Some(evidence) = record.evidence
            {
                commands.push(evidence.to_vec());
            }
            commands.extend(statements(Kind::Command, value));
            acks.extend(statements(Kind::AuditAck, value));
        }
        commands.retain(|bytes| Command::read(bytes).is_ok_and(|read| read.verify(&me).is_err()));
        for list in [&mut commands, &mut acks] {
            list.sort();
            list.dedup();
        }
        Ok(Self {
            identity,
            link: LinkSecret::from_bytes(*keys.exchange_secret.expose()),
            bindings,
            commands,
            acks,
            config,
            files,
            values,
            _copy: copy,
        })
    }

    /// The stolen commands for one lock.
    pub(crate) fn commands_for(&self, lock: LockId) -> Vec<Vec<u8>> {
        let of_lock =
            |bytes: &&Vec<u8>| Command::read(bytes).is_ok_and(|read| read.command.lock == lock);
        self.commands.iter().filter(of_lock).cloned().collect()
    }

    /// The stolen acknowledgements for one lock.
    pub(crate) fn acks_for(&self, lock: LockId) -> Vec<Vec<u8>> {
        let of_lock = |bytes: &&Vec<u8>| {
            Envelope::parse(Kind::AuditAck, bytes)
                .ok()
                .and_then(|envelope| {
                    drawbridge_protocol::codec::decode_exact::<AuditAck>(
                        envelope.unverified_payload(),
                    )
                    .ok()
                })
                .is_some_and(|ack| ack.lock == lock)
        };
        self.acks.iter().filter(of_lock).cloned().collect()
    }
}

/// Statements of one kind anywhere in `bytes`: by their first bytes, at every length that parses.
fn statements(kind: Kind, bytes: &[u8]) -> Vec<Vec<u8>> {
    let starts = bytes
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0xd2, 0x84, 0x47]);
    starts
        .filter_map(|(at, _)| {
            let rest = &bytes[at..];
            // Tag, array, header, map, payload's head, payload, signature's head, signature.
            (80..=rest.len().min(drawbridge_protocol::cose::MAX_STATEMENT))
                .map(|length| &rest[..length])
                .find(|part| Envelope::parse(kind, part).is_ok())
                .map(<[u8]>::to_vec)
        })
        .collect()
}

fn values(db: &Path) -> Result<Vec<Vec<u8>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (store, _) = Store::open(StoreConfig::new(db)).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        for tree in Tree::ALL {
            let mut from = Vec::new();
            while all.len() < MOST {
                let page = store
                    .scan(tree, &from, PAGE)
                    .await
                    .map_err(|error| error.to_string())?;
                let Some((last, _)) = page.last() else { break };
                from.clone_from(last);
                from.push(0);
                all.extend(page.into_iter().map(|(_, value)| value));
            }
        }
        store.close().await;
        Ok(all)
    })
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn read_tree(from: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_tree(&entry.path(), into)?;
        } else if kind.is_file() {
            into.push((entry.path(), std::fs::read(entry.path())?));
        }
    }
    Ok(())
}
