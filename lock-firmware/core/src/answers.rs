//! Answers become bytes here: signed where the specification says so.

use drawbridge_protocol::codec::CodecError;
use drawbridge_protocol::cose::MAX_STATEMENT;
use drawbridge_protocol::grant::Rights;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::log_record::MAX_LOG_RECORD;
use drawbridge_protocol::outcome::Outcome;
use drawbridge_protocol::report::Report;
use drawbridge_protocol::session_info::SessionInfo;
use drawbridge_protocol::tunnel::LockToHub;

use crate::flash::Flash;
use crate::lock::Lock;
use crate::output::Reply;
use crate::peers::Place;

/// Room for the records of one batch: a message holds this much beside its own fields.
const BATCH: usize = 960;

/// Writes `reply` to `out` and returns its length.
pub(crate) fn write<F: Flash>(
    lock: &Lock<F>,
    to: Place,
    reply: &Reply,
    now_ms: u64,
    out: &mut [u8],
) -> Result<usize, CodecError> {
    let mut statement = [0; MAX_STATEMENT];
    let identity = &lock.factory.identity;
    let message = match reply {
        Reply::SessionInfo { nonce, holder } => LockToHub::SessionInfo {
            statement: session_info(lock, to, *holder, *nonce, now_ms)
                .sign(identity, &mut statement)?,
        },
        Reply::Outcome {
            command,
            ending,
            duplicate,
            holder,
        } => {
            let outcome = Outcome {
                command: *command,
                verdict: ending.verdict,
                reason: ending.reason,
                position: lock.sensors.position,
                duplicate: *duplicate,
                info: session_info(lock, to, Some(*holder), None, now_ms),
            };
            LockToHub::Outcome {
                command: *command,
                statement: outcome.sign(identity, &mut statement)?,
            }
        }
        Reply::Report { cause, command } => {
            let report = Report {
                lock: lock.factory.lock,
                boot: lock.memory.boot,
                time_ms: now_ms,
                position: lock.sensors.position,
                door: lock.sensors.door,
                tamper: lock.sensors.tamper,
                battery: lock.sensors.battery,
                cause: *cause,
                command: *command,
                log_seq: lock.memory.history.newest(),
                log_head: lock.memory.history.head(),
                log_used: lock.memory.history.used(),
            };
            LockToHub::Report {
                statement: report.sign(identity, &mut statement)?,
            }
        }
        Reply::Receipt(receipt) => LockToHub::Receipt {
            statement: receipt.sign(identity, &mut statement)?,
        },
        Reply::LogBatch { first } => return log_batch(lock, *first, out),
        Reply::GrantAccepted(hash) => LockToHub::GrantAccepted { hash: *hash },
        Reply::Refused { request, reason } => LockToHub::Refused {
            request: *request,
            reason: *reason,
        },
        Reply::PairInfo {
            window,
            owned,
            policy_epoch,
        } => LockToHub::PairInfo {
            window: *window,
            owned: *owned,
            policy_epoch: *policy_epoch,
        },
        Reply::PskOffer(next) => LockToHub::PskOffer { next: next.clone() },
        Reply::Freed { up_to } => LockToHub::Freed { up_to: *up_to },
        Reply::NextLabel(label) => {
            let bytes = label.to_bytes();
            return LockToHub::NextLabel { label: &bytes }
                .encode(out)
                .map(<[u8]>::len);
        }
    };
    message.encode(out).map(<[u8]>::len)
}

/// Where the lock stands, as this peer may know it.
fn session_info<F: Flash>(
    lock: &Lock<F>,
    to: Place,
    holder: Option<IdentityKey>,
    nonce: Option<Nonce>,
    now_ms: u64,
) -> SessionInfo {
    let may_view = lock.rights_of(to).contains(Rights::VIEW);
    let history = &lock.memory.history;
    SessionInfo {
        lock: lock.factory.lock,
        boot: lock.memory.boot,
        epoch: lock.epoch,
        time_ms: now_ms,
        policy_epoch: lock.policy_epoch,
        revoked: None,
        log_seq: may_view.then(|| history.newest()),
        log_head: may_view.then(|| history.head()),
        handshakes: lock
            .peers
            .get(to)
            .filter(|_| may_view)
            .map(|peer| peer.handshakes),
        counter: holder.map_or(0, |holder| lock.decided.counter(&holder)),
        nonce,
        ownership: lock.owner.as_ref().map(|owner| owner.ownership),
    }
}

/// As many records from `first` on as fit into one message.
fn log_batch<F: Flash>(lock: &Lock<F>, first: u64, out: &mut [u8]) -> Result<usize, CodecError> {
    let history = &lock.memory.history;
    let newest = history.newest();
    let first = first.max(history.oldest());
    let mut records = heapless::Vec::<u8, BATCH>::new();
    let mut buffer = [0; MAX_LOG_RECORD];
    for seq in first..=newest {
        // A record that cannot be read leaves a hole, and the hole shows in the chain.
        let Ok(Some(len)) = history.read(seq, &mut buffer) else {
            continue;
        };
        let record = buffer.get(..len).ok_or(CodecError::TooLong)?;
        if records.capacity() - records.len() < 2 + len {
            break;
        }
        let fits = records
            .extend_from_slice(&(len as u16).to_be_bytes())
            .is_ok()
            && records.extend_from_slice(record).is_ok();
        if !fits {
            return Err(CodecError::TooLong);
        }
    }
    LockToHub::LogBatch {
        first,
        newest,
        records: &records,
    }
    .encode(out)
    .map(<[u8]>::len)
}
