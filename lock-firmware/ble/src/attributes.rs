//! The attribute table: the lock's service, and what the standard wants beside it.

use drawbridge_protocol::gatt::{INBOX, INFO, MAX_PACKET, OUTBOX, PSM, SERVICE};
use drawbridge_protocol::hello::{LockHello, MAX_HELLO};
use drawbridge_protocol::ids::Nonce;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use heapless::Vec;
use trouble_host::prelude::{
    AttributeServer, AttributeTable, Characteristic, CharacteristicProp, DefaultPacketPool,
    GapConfig, Service,
};

use crate::seats::LINKS;

/// Attributes: GAP and GATT (6), the service (1), info (2), inbox (2), outbox with its switch (3).
const ATTRIBUTES: usize = 14;

/// Every lock's name for whoever asks on a link; adverts carry none.
const NAME: &str = "Lock";

/// A packet, as the value of a characteristic.
pub(crate) type Packet = Vec<u8, { MAX_PACKET as usize }>;
/// A hello, as the value of a characteristic.
type Hello = Vec<u8, MAX_HELLO>;

/// The table and its clients.
pub(crate) type Server<'v> =
    AttributeServer<'v, NoopRawMutex, DefaultPacketPool, ATTRIBUTES, LINKS>;

/// Room for the values that change.
#[derive(Debug)]
pub(crate) struct Values {
    info: [u8; MAX_HELLO],
    inbox: [u8; MAX_PACKET as usize],
    outbox: [u8; MAX_PACKET as usize],
}

impl Values {
    pub(crate) const fn new() -> Self {
        Self {
            info: [0; MAX_HELLO],
            inbox: [0; MAX_PACKET as usize],
            outbox: [0; MAX_PACKET as usize],
        }
    }
}

/// The lock's characteristics.
pub(crate) struct Attributes {
    pub(crate) info: Characteristic<Hello>,
    pub(crate) inbox: Characteristic<Packet>,
    pub(crate) outbox: Characteristic<Packet>,
}

/// Builds the table.
pub(crate) fn build(values: &mut Values) -> (Server<'_>, Attributes) {
    let mut table = AttributeTable::new();
    // Fails for a name over 22 bytes only.
    let _named = GapConfig::default(NAME).build(&mut table);
    let mut service = table.add_service(Service::new(SERVICE));
    let info = service
        .add_characteristic(
            INFO,
            [CharacteristicProp::Read],
            Hello::new(),
            &mut values.info,
        )
        .build();
    let write = [CharacteristicProp::WriteWithoutResponse];
    let inbox = service
        .add_characteristic(INBOX, write, Packet::new(), &mut values.inbox)
        .build();
    let notify = [CharacteristicProp::Notify];
    let outbox = service
        .add_characteristic(OUTBOX, notify, Packet::new(), &mut values.outbox)
        .build();
    service.build();
    let attributes = Attributes {
        info,
        inbox,
        outbox,
    };
    (AttributeServer::new(table), attributes)
}

/// Puts a fresh hello where it can be read; its nonce is no link's.
pub(crate) fn refresh_info(server: &Server<'_>, attributes: &Attributes, nonce: [u8; 16]) {
    let mut bytes = [0; MAX_HELLO];
    let hello = LockHello::new(PSM, Nonce(nonce));
    if let Ok(bytes) = hello.encode(&mut bytes)
        && let Ok(value) = Hello::from_slice(bytes)
    {
        // Fails for a value that is too long only.
        let _set = attributes.info.set(server, &value);
    }
}
