//! A lock's voice for tests: signs what a lock signs, decides nothing.

use drawbridge_protocol::ids::{CommandId, Digest32, LockEpoch, LockId, Nonce, OwnershipId};
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret};
use drawbridge_protocol::outcome::{Outcome, Verdict};
use drawbridge_protocol::qr::{QR_TEXT_LEN, QrCode};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::receipt::Receipt;
use drawbridge_protocol::report::Position;
use drawbridge_protocol::secret::SetupSecret;
use drawbridge_protocol::session_info::SessionInfo;

use super::grant;
use super::keys::{Kernel, OwnerBook, OwnerKeys};
use super::lock_record::{LockRecord, Standing};

pub(crate) struct TestLock {
    pub(crate) id: LockId,
    pub(crate) epoch: LockEpoch,
    pub(crate) counter: u64,
    identity: IdentitySecret,
    link: LinkSecret,
    seed: u8,
}

impl TestLock {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            id: LockId([seed; 8]),
            epoch: LockEpoch([seed; 16]),
            counter: 41,
            identity: IdentitySecret::from_bytes(&[seed; 32]),
            link: LinkSecret::from_bytes([seed | 0x80; 32]),
            seed,
        }
    }

    pub(crate) fn code(&self) -> QrCode {
        QrCode {
            model: 1,
            lock: self.id,
            link: self.link.public(),
            identity: self.identity.public(),
            secret: SetupSecret::new([self.seed; 16]),
        }
    }

    pub(crate) fn code_text(&self) -> String {
        let mut out = [0; QR_TEXT_LEN];
        self.code().to_text(&mut out).unwrap().to_owned()
    }

    /// A lock that is being claimed.
    pub(crate) fn record(&self, name: &str) -> LockRecord {
        LockRecord {
            id: self.id,
            name: name.to_owned(),
            model: 1,
            identity: self.identity.public(),
            link: self.link.public(),
            standing: Standing::Pending(Vec::new()),
            grants: Vec::new(),
            log: None,
        }
    }

    /// A lock that the owner of `book` owns.
    pub(crate) fn owned_record(&self, name: &str, book: &OwnerBook) -> LockRecord {
        let claim = [
            book.keys.identity.public().as_bytes(),
            self.id.as_bytes().as_slice(),
        ]
        .concat();
        let ownership = OwnershipId::of_claim(&claim);
        let hub = OwnerKeys::generate(&mut Kernel).public();
        let grant = grant::for_hub(&book.keys, 1, Some("h1"), hub, self.id, ownership, 0).unwrap();
        LockRecord {
            standing: Standing::Owned {
                ownership,
                claim: Digest32::of(&claim),
                receipt: self.receipt(&claim),
            },
            grants: vec![grant],
            ..self.record(name)
        }
    }

    pub(crate) fn receipt(&self, claim: &[u8]) -> Vec<u8> {
        let receipt = Receipt {
            lock: self.id,
            claim: Digest32::of(claim),
            log_head: Digest32([1; 32]),
            log_seq: 2,
        };
        receipt
            .sign(&self.identity, &mut [0; 512])
            .unwrap()
            .to_vec()
    }

    pub(crate) fn info(&self, record: &LockRecord, nonce: Option<Nonce>) -> SessionInfo {
        SessionInfo {
            lock: self.id,
            boot: 2,
            epoch: self.epoch,
            time_ms: 70_000,
            policy_epoch: 0,
            revoked: None,
            log_seq: Some(12),
            log_head: Some(Digest32([3; 32])),
            handshakes: Some(1),
            counter: self.counter,
            nonce,
            ownership: record.ownership(),
        }
    }

    pub(crate) fn sign(&self, info: &SessionInfo) -> Vec<u8> {
        info.sign(&self.identity, &mut [0; 512]).unwrap().to_vec()
    }

    pub(crate) fn signed_info(&self, record: &LockRecord, nonce: Option<Nonce>) -> Vec<u8> {
        self.sign(&self.info(record, nonce))
    }

    pub(crate) fn signed_outcome(
        &self,
        record: &LockRecord,
        command: CommandId,
        verdict: Verdict,
        reason: Reason,
    ) -> Vec<u8> {
        let outcome = Outcome {
            command,
            verdict,
            reason,
            position: Position::Locked,
            duplicate: false,
            info: self.info(record, None),
        };
        outcome
            .sign(&self.identity, &mut [0; 724])
            .unwrap()
            .to_vec()
    }
}
