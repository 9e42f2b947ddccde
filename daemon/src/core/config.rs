//! What a hub is told at its start.

use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};

/// The hub's own keys.
#[derive(Debug, Clone)]
pub struct HubKeys {
    /// Signs commands under the hub's own grant.
    pub identity: IdentitySecret,
    /// Its end of sessions.
    pub link: LinkSecret,
}

/// Names and bounds. Every queue in the hub has one of these bounds (I7).
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The hub's id in topics: `[a-zA-Z0-9_-]{1,64}`.
    pub hub_id: String,
    /// Version of the software, for people.
    pub version: String,
    /// Links at a time, at most; what the adapters carry of them is found out.
    pub slots: usize,
    /// Locks that can be bound.
    pub locks: usize,
    /// Commands without a final result, per lock.
    pub commands_per_lock: usize,
    /// Commands without a final result, altogether.
    pub commands: usize,
    /// Relayed requests that wait, per lock.
    pub relays_per_lock: usize,
    /// Publications that must not be lost and wait for the broker.
    pub outbox_kept: usize,
    /// Publications that may be lost and wait for the broker.
    pub outbox_passing: usize,
    /// Final results remembered, so that a repeat gets the same answer: one for each lock that can be bound. What repeats
    /// a command does so within seconds, and the lock answers it too; each is held in memory and in the store, some 2 KB.
    pub finals: usize,
    /// Log records per lock that the hub holds without leave to free them; then it stops pulling
    /// and the lock keeps them.
    pub audit_per_lock: u64,
    /// The same for all locks together.
    pub audit: u64,
    /// Groups of changes that wait for a failing store; then commands are refused and no log is
    /// pulled.
    pub unstored: usize,
    /// Control clients that watch.
    pub watchers: usize,
}

impl HubConfig {
    /// The default bounds: first choices, below those of the store, whose refusal would come after
    /// the promise.
    #[must_use]
    pub fn new(hub_id: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            hub_id: hub_id.into(),
            version: version.into(),
            slots: 8,
            locks: 64,
            commands_per_lock: 16,
            commands: 256,
            relays_per_lock: 8,
            outbox_kept: 2_048,
            outbox_passing: 512,
            finals: 64,
            audit_per_lock: 4_096,
            audit: 8_192,
            unstored: 4_096,
            watchers: 16,
        }
    }
}
