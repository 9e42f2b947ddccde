//! The keys of the examples in `PROTOCOL.md`, so that its bytes are good seeds.

use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::keys::{IdentitySecret, LinkSecret, Psk};
use drawbridge_protocol::psk::PskGeneration;
use drawbridge_protocol::qr::QrCode;
use drawbridge_protocol::secret::{ClaimKey, SetupSecret};

pub(crate) const LOCK: LockId = LockId([0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18]);

pub(crate) fn lock_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x11; 32])
}

pub(crate) fn lock_link() -> LinkSecret {
    LinkSecret::from_bytes([0x12; 32])
}

pub(crate) fn owner_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x21; 32])
}

pub(crate) fn owner_link() -> LinkSecret {
    LinkSecret::from_bytes([0x22; 32])
}

pub(crate) fn hub_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x31; 32])
}

pub(crate) fn hub_link() -> LinkSecret {
    LinkSecret::from_bytes([0x32; 32])
}

pub(crate) fn audit_identity() -> IdentitySecret {
    IdentitySecret::from_bytes(&[0x41; 32])
}

pub(crate) fn setup_secret() -> SetupSecret {
    SetupSecret::new([0x61; 16])
}

pub(crate) fn claim_key() -> ClaimKey {
    code().keys().claim_key
}

pub(crate) fn psk() -> PskGeneration {
    PskGeneration {
        generation: 3,
        psk: Psk::new([0x53; 32]),
    }
}

pub(crate) fn code() -> QrCode {
    QrCode {
        model: 1,
        lock: LOCK,
        link: lock_link().public(),
        identity: lock_identity().public(),
        secret: setup_secret(),
    }
}
