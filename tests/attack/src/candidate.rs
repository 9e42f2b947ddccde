//! A peer that an open pairing window let in and no claim has named: it may carry a claim, and
//! **nothing else it asks for is done**.

use drawbridge_protocol::command::{Action, Command};
use drawbridge_protocol::entropy::Entropy;
use drawbridge_protocol::ids::{LockEpoch, Nonce};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::tunnel::HubToLock;

use crate::peer::{Peer, info_request};
use crate::report::{Ended, refused};
use crate::scene::sign;

/// Asks everything that a peer can ask, but for pairing.
pub(crate) fn can_do_nothing(peer: &mut Peer) -> Ended {
    let command = Command {
        lock: peer.target.lock,
        action: Action::Unlock,
        epoch: LockEpoch(peer.entropy.bytes()),
        counter: 1,
        log_position: 0,
        expiry_ms: 9_000,
        grant: None,
    };
    let command = sign(&command, &peer.identity);
    let requests = [
        info_request(Nonce([1; 16]), None),
        HubToLock::Command {
            statement: &command,
        },
        HubToLock::Query {
            statement: &command,
        },
        HubToLock::PresentGrant {
            statement: &command,
        },
        HubToLock::LogPull { from: 1 },
        HubToLock::AuditAck {
            statement: &command,
        },
        HubToLock::ReportRequest,
    ];
    let count = requests.len();
    for request in requests {
        let said = peer.once(&request)?;
        refused(&said, &[Reason::NotAllowed])?;
    }
    Ok(format!("{count} requests refused: not_allowed"))
}
