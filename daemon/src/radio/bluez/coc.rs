//! The fast bearer: an L2CAP channel of the kernel's, without D-Bus.

use std::io;

use bluer::l2cap::{Security, SecurityLevel, SeqPacket, Socket, SocketAddr};
use bluer::{Address as Bdaddr, AddressType};
use drawbridge_protocol::frame::MIN_PACKET;
use drawbridge_protocol::gatt;

use super::call::{PROPERTY, limited};
use super::place::Place;
use super::port::Port;
use crate::radio::LinkFault;

/// A channel to a lock that has said its first word.
#[derive(Debug)]
pub(super) struct Coc {
    socket: SeqPacket,
    /// Largest packet, bytes.
    pub(super) packet_size: usize,
    /// What the lock said.
    pub(super) first: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CocError {
    /// The lock was reached and takes no channel: GATT may do.
    NoChannel,
    /// No link.
    Fault(LinkFault),
}

impl Coc {
    /// Opens a channel and waits for the lock's first word.
    ///
    /// Connecting may resolve before the channel is usable (bluer #163): only what the lock says
    /// shows that it is. The caller sets the limit.
    pub(super) async fn open(port: &Port, place: Place) -> Result<Self, CocError> {
        Self::connect(port, place)
            .await
            .map_err(|error| told(&error))
    }

    async fn connect(port: &Port, place: Place) -> io::Result<Self> {
        let (lock, kind) = known_as(port, place).await;
        let socket = Socket::new_seq_packet()?;
        socket.bind(SocketAddr::new(port.address, port.kind, 0))?;
        // A bond is privacy, not a condition.
        socket.set_security(Security {
            level: SecurityLevel::Low,
            key_size: 0,
        })?;
        // Nobody can send more than this in one unit.
        socket.set_recv_mtu(gatt::MAX_PACKET)?;
        let socket = socket
            .connect(SocketAddr::new(lock, kind, gatt::PSM))
            .await?;
        let mut room = vec![0; usize::from(gatt::MAX_PACKET)];
        let length = socket.recv(&mut room).await?;
        if length == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        room.truncate(length);
        let packet_size = socket.send_mtu()?.min(usize::from(gatt::MAX_PACKET));
        if packet_size < MIN_PACKET {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            socket,
            packet_size,
            first: room,
        })
    }

    /// The next packet.
    pub(super) async fn receive(&self) -> Result<Vec<u8>, LinkFault> {
        let mut room = vec![0; usize::from(gatt::MAX_PACKET)];
        match self.socket.recv(&mut room).await {
            Ok(0) => Err(LinkFault::Closed),
            Ok(length) => {
                room.truncate(length);
                Ok(room)
            }
            Err(error) => Err(ended(&error)),
        }
    }

    pub(super) async fn send(&self, packet: &[u8]) -> Result<(), LinkFault> {
        match self.socket.send(packet).await {
            Ok(sent) if sent == packet.len() => Ok(()),
            Ok(_) => Err(LinkFault::Protocol),
            Err(error) => Err(ended(&error)),
        }
    }
}

/// The address under which the kernel waits for this lock.
///
/// BlueZ: a bonded device keeps the path, and with it the name, that the address of its first advert gave it; the kernel
/// resolves each advert to the identity address, and a connection to any other waits for an advert that never comes. Seen: 5.82
/// on kernel 6.12, each link after the one that was bonded. So: BlueZ is asked for the address.
async fn known_as(port: &Port, place: Place) -> (Bdaddr, AddressType) {
    let asked = async {
        let device = port.adapter.device(place.lock)?;
        bluer::Result::Ok((device.remote_address().await?, device.address_type().await?))
    };
    let known = limited("read a lock's address", PROPERTY, asked).await;
    // BlueZ has dropped it meanwhile: then there is no bond, and the address on the air is its own.
    known.unwrap_or((place.lock, place.kind))
}

// The kernel's numbers, which std has no names for (errno.h; bt_to_errno in net/bluetooth/lib.c).
const ENOMEM: i32 = 12;
const EBUSY: i32 = 16;
const ENODEV: i32 = 19;
const EMLINK: i32 = 31;
const EOPNOTSUPP: i32 = 95;
const ENETDOWN: i32 = 100;
const ETIMEDOUT: i32 = 110;
const ECONNREFUSED: i32 = 111;
const EHOSTDOWN: i32 = 112;
const EHOSTUNREACH: i32 = 113;

/// What an error of the connection means.
fn told(error: &io::Error) -> CocError {
    let fault = match error.raw_os_error() {
        Some(ECONNREFUSED | EOPNOTSUPP) => return CocError::NoChannel,
        Some(ENOMEM | EMLINK | EBUSY) => LinkFault::NoSlot,
        // No route: no adapter has the address that was bound.
        Some(ENODEV | ENETDOWN | EHOSTUNREACH) => LinkFault::NoAdapter,
        Some(ETIMEDOUT | EHOSTDOWN) => LinkFault::Timeout,
        _ if error.kind() == io::ErrorKind::AddrNotAvailable => LinkFault::NoAdapter,
        _ => LinkFault::Closed,
    };
    CocError::Fault(fault)
}

/// What an error of a link that was up means.
fn ended(error: &io::Error) -> LinkFault {
    match error.raw_os_error() {
        Some(ENODEV | ENETDOWN) => LinkFault::NoAdapter,
        Some(ETIMEDOUT) => LinkFault::Timeout,
        _ => LinkFault::Closed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards (F04): a controller without a slot that is taken for a lock that is not there.
    #[test]
    fn f04_a_refusal_for_lack_of_resources_is_no_slot() {
        for number in [ENOMEM, EMLINK, EBUSY] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(told(&error), CocError::Fault(LinkFault::NoSlot));
        }
    }

    /// Guards: a lock that refuses channels and is never tried over GATT.
    #[test]
    fn only_a_lock_that_was_reached_leads_to_gatt() {
        let of = |number| told(&io::Error::from_raw_os_error(number));
        assert_eq!(of(ECONNREFUSED), CocError::NoChannel);
        assert_eq!(of(ETIMEDOUT), CocError::Fault(LinkFault::Timeout));
        assert_eq!(of(EHOSTUNREACH), CocError::Fault(LinkFault::NoAdapter));
    }
}
