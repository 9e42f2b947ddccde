//! How much the store may hold (I7).

/// Bound of one tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    /// Most records.
    pub records: usize,
    /// Most bytes of keys and values together, with [`RECORD_COST`] a record.
    pub bytes: usize,
}

/// Bytes counted for each record beside its key and value: headers, indexes, allocation.
pub const RECORD_COST: usize = 64;

/// Bounds of all trees. The records are also held in memory, so their sum is a bound on memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Commands accepted and not concluded; a full inbox refuses further commands.
    pub inbox: Bound,
    /// Messages to publish; telemetry goes first, then further messages are refused.
    pub outbox: Bound,
    /// Final results; the oldest go first.
    pub results: Bound,
    /// Lock log entries; when full the hub stops pulling and the lock keeps them.
    pub audit: Bound,
    /// Small state.
    pub meta: Bound,
    /// Results older than this against the newest one go, seconds.
    pub results_age_s: u64,
    /// This many of the newest results stay whatever their age, so that a clock that jumps ten
    /// years (F10) does not empty the memory of duplicates.
    pub results_kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1_024;
        Self {
            inbox: Bound {
                records: 1_024,
                bytes: 1_024 * KIB,
            },
            outbox: Bound {
                records: 8_192,
                bytes: 4_096 * KIB,
            },
            results: Bound {
                records: 4_096,
                bytes: 2_048 * KIB,
            },
            audit: Bound {
                records: 16_384,
                bytes: 8_192 * KIB,
            },
            meta: Bound {
                records: 4_096,
                bytes: 2_048 * KIB,
            },
            results_age_s: 7 * 86_400,
            results_kept: 256,
        }
    }
}
