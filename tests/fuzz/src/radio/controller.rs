//! A controller that does all it is told at once, and tells what the input says.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::Poll;

use bt_hci::cmd::info::ReadBdAddr;
use bt_hci::cmd::le::{LeReadBufferSize, LeSetAdvEnable};
use bt_hci::cmd::link_control::Disconnect;
use bt_hci::cmd::{AsyncCmd, Cmd, Error as CmdError, SyncCmd};
use bt_hci::controller::{Controller, ControllerCmdAsync, ControllerCmdSync};
use bt_hci::data::{AclPacket, IsoPacket, SyncPacket};
use bt_hci::{ControllerToHostPacket, FromHciBytes, WriteHci};

use super::peer::connected;

/// Packets of the host's that are remembered.
const MOST_SENT: usize = 256;
/// The host's buffer: an H4 packet of an ACL header and 255 bytes.
const PACKET: usize = 260;

/// What is between the host and those who talk to it.
#[derive(Debug, Default)]
pub(super) struct Air {
    told: RefCell<VecDeque<Vec<u8>>>,
    /// Link, channel and data of frames that the host has begun to send.
    sent: RefCell<Vec<(u16, u16, Vec<u8>)>>,
    moves: Cell<u64>,
    advertises: Cell<bool>,
    deaf: Cell<bool>,
}

impl Air {
    /// The controller tells this, in H4 form.
    pub(super) fn tell(&self, packet: Vec<u8>) {
        self.told.borrow_mut().push_back(packet);
    }

    /// A link of `peer`'s ends the advert that it answered.
    pub(super) fn connect(&self, handle: u16, peer: [u8; 6]) {
        self.advertises.set(false);
        self.tell(connected(handle, peer));
    }

    pub(super) fn tell_all(&self, packets: Vec<Vec<u8>>) {
        packets.into_iter().for_each(|packet| self.tell(packet));
    }

    /// Grows with each packet and command that goes through.
    pub(super) fn moves(&self) -> u64 {
        self.moves.get()
    }

    pub(super) fn is_advertising(&self) -> bool {
        self.advertises.get()
    }

    pub(super) fn forget_sent(&self) {
        self.sent.borrow_mut().clear();
    }

    /// From now on the host hears nothing of its peers.
    #[cfg(test)]
    pub(super) fn fall_deaf(&self) {
        self.deaf.set(true);
    }

    #[cfg(test)]
    pub(super) fn sent(&self) -> Vec<(u16, u16, Vec<u8>)> {
        self.sent.borrow().clone()
    }

    /// Whether the host sent a frame with this first byte.
    pub(super) fn has_sent(&self, handle: u16, channel: u16, code: u8) -> bool {
        let sent = self.sent.borrow();
        sent.iter().any(|(link, on, data)| {
            *link == handle && *on == channel && data.first() == Some(&code)
        })
    }

    fn moved(&self) {
        self.moves.set(self.moves.get() + 1);
    }

    fn takes(&self, packet: &AclPacket<'_>) {
        self.moved();
        let handle = packet.handle().raw();
        if let Some(([_, _, low, high], data)) = packet.data().split_first_chunk::<4>() {
            let mut sent = self.sent.borrow_mut();
            if sent.len() < MOST_SENT {
                sent.push((handle, u16::from_le_bytes([*low, *high]), data.to_vec()));
            }
        }
        // It is on the air at once, and its buffer free.
        let [low, high] = handle.to_le_bytes();
        self.told
            .borrow_mut()
            .push_front(vec![4, 0x13, 5, 1, low, high, 1, 0]);
    }

    fn does<T: Cmd>(&self, command: &T) {
        self.moved();
        let mut bytes = [0; 64];
        // One that is longer has nothing of what is looked at here.
        let _short = command.params().write_hci(&mut bytes[..]);
        if T::OPCODE == LeSetAdvEnable::OPCODE {
            self.advertises.set(bytes[0] == 1);
        }
        if T::OPCODE == Disconnect::OPCODE {
            let [low, high, ..] = bytes;
            self.tell(vec![4, 0x05, 4, 0, low, high, 0x16]);
        }
    }

    fn next(&self) -> Option<Vec<u8>> {
        let packet = self.told.borrow_mut().pop_front()?;
        self.moved();
        let is_data = packet.first() == Some(&2);
        if is_data && self.deaf.get() {
            return self.next();
        }
        Some(packet)
    }
}

/// The controller, as the host sees it.
pub(super) struct Script<'a>(&'a Air);

impl<'a> Script<'a> {
    pub(super) const fn new(air: &'a Air) -> Self {
        Self(air)
    }
}

impl embedded_io::ErrorType for Script<'_> {
    type Error = Infallible;
}

impl Controller for Script<'_> {
    type Buffer<'b> = [u8; PACKET];

    fn alloc_buf(&self) -> Result<[u8; PACKET], Infallible> {
        Ok([0; PACKET])
    }

    async fn write_acl_data(&self, packet: &AclPacket<'_>) -> Result<(), Infallible> {
        self.0.takes(packet);
        Ok(())
    }

    async fn write_sync_data(&self, _packet: &SyncPacket<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    async fn write_iso_data(&self, _packet: &IsoPacket<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    async fn read<'b>(
        &self,
        buf: &'b mut Self::Buffer<'_>,
    ) -> Result<ControllerToHostPacket<'b>, Infallible> {
        let len = poll_fn(|_| {
            while let Some(packet) = self.0.next() {
                // What is no packet at all ends with the transport.
                let is_one = ControllerToHostPacket::from_hci_bytes_complete(&packet).is_ok();
                if let Some(place) = buf.get_mut(..packet.len()).filter(|_| is_one) {
                    place.copy_from_slice(&packet);
                    return Poll::Ready(packet.len());
                }
            }
            Poll::Pending
        })
        .await;
        let packet = ControllerToHostPacket::from_hci_bytes_complete(&buf[..len]);
        Ok(packet.unwrap_or_else(|_| unreachable!("it was one a moment ago")))
    }
}

impl<T: SyncCmd> ControllerCmdSync<T> for Script<'_> {
    async fn exec(&self, command: &T) -> Result<T::Return, CmdError<Infallible>> {
        self.0.does(command);
        let mut answer = [0; 64];
        if T::OPCODE == LeReadBufferSize::OPCODE {
            // Eight packets of 251 bytes.
            answer[..3].copy_from_slice(&[251, 0, 8]);
        } else if T::OPCODE == ReadBdAddr::OPCODE {
            answer[..6].fill(0xc5);
        }
        match T::Return::from_hci_bytes(&answer) {
            Ok((answer, _)) => Ok(answer),
            Err(_) => panic!("no answer of zeros to {:?}", T::OPCODE),
        }
    }
}

impl<T: AsyncCmd> ControllerCmdAsync<T> for Script<'_> {
    async fn exec(&self, command: &T) -> Result<(), CmdError<Infallible>> {
        self.0.does(command);
        Ok(())
    }
}
