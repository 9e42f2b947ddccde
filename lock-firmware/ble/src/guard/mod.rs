//! A controller that tells the host nothing malformed, and says when it has gone mute.
//!
//! trouble-host takes much of what it reads on trust: an HCI event of the wrong length, a K-frame of one
//! byte or a disconnection request for channel 0 panics, and a peer may close or fill the channel of
//! another. All of it is checked here, in front of the host (docs/decisions/0008). A refusal of what is done already is
//! kept from it, too.

mod attributes;
mod commands;
mod events;
mod frames;
mod pairing;
mod signals;

use core::cell::{Cell, RefCell};

use bt_hci::cmd::le::LeSetAddrResolutionEnable;
use bt_hci::cmd::{AsyncCmd, Cmd, Error as CmdError, SyncCmd};
use bt_hci::controller::{Controller, ControllerCmdAsync, ControllerCmdSync};
use bt_hci::data::{AclPacket, AclPacketBoundary, IsoPacket, SyncPacket};
use bt_hci::event::{EventKind, EventPacket};
use bt_hci::param::ConnHandle;
use bt_hci::{ControllerToHostPacket, FromHciBytes};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, with_timeout};

use events::Passage;
pub(crate) use frames::MPS;
use frames::{Frames, Verdict};

/// A controller that has not answered a command after this has gone mute.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(4);

/// A link that nobody serves after this is one too many: the host may answer as it likes.
const ADMITTANCE: Duration = Duration::from_millis(50);

/// Largest packet of a controller: an ACL packet of the 255 bytes that the host offers, or an event.
const PACKET: usize = 260;

/// The part of a data packet's first two bytes that is the link's handle (Core vol 4 part E 5.4.2).
const HANDLE_BITS: u16 = 0x0fff;

/// What guard and radio share.
pub(crate) struct Watch {
    frames: RefCell<Frames>,
    /// Links that are to end for what came over them.
    condemned: Channel<NoopRawMutex, ConnHandle, 8>,
    mute: Signal<NoopRawMutex, ()>,
    ready: Signal<NoopRawMutex, ()>,
    resolution_set: Cell<u8>,
    admitted: Signal<NoopRawMutex, ()>,
    made: Signal<NoopRawMutex, ()>,
    /// The address that is on the air, little-endian.
    private_address: Cell<[u8; 6]>,
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self {
            frames: RefCell::new(Frames::new()),
            condemned: Channel::new(),
            mute: Signal::new(),
            ready: Signal::new(),
            resolution_set: Cell::new(0),
            admitted: Signal::new(),
            made: Signal::new(),
            private_address: Cell::new([0; 6]),
        }
    }

    /// From now on links are made to this address.
    pub(crate) fn set_private_address(&self, address: [u8; 6]) {
        self.private_address.set(address);
    }

    /// What was made before does not count.
    pub(crate) fn forget_made(&self) {
        self.made.reset();
    }

    /// Ends when a link was made, which ended the advert.
    pub(crate) async fn made(&self) {
        self.made.wait().await;
    }

    /// Somebody serves this link from now on: what its peer says may come.
    pub(crate) fn admit(&self, handle: ConnHandle) {
        self.frames.borrow_mut().admit(handle.raw());
        self.admitted.signal(());
    }

    /// The largest unit that a link's peer takes on the channel that it asked for last, bytes.
    pub(crate) fn asked_mtu(&self, handle: ConnHandle) -> u16 {
        self.frames.borrow().asked(handle.raw())
    }

    /// Waits until somebody serves a link.
    ///
    /// trouble-host: a channel asked for before somebody listens is refused. Seen: 0.8.0, with peers
    /// that ask at once. So: what comes before waits for a moment.
    async fn admitted(&self, handle: ConnHandle) {
        let admitted = async {
            while !self.frames.borrow().is_admitted(handle.raw()) {
                self.admitted.wait().await;
            }
        };
        if with_timeout(ADMITTANCE, admitted).await.is_err() {
            self.frames.borrow_mut().admit(handle.raw());
        }
    }

    /// The next link to end. Safe to cancel.
    pub(crate) async fn condemned(&self) -> ConnHandle {
        self.condemned.receive().await
    }

    /// Ends when the controller has gone mute.
    pub(crate) async fn mute(&self) {
        self.mute.wait().await;
    }

    /// Ends when the host has set the controller up: an advert before that would be in its way.
    pub(crate) async fn ready(&self) {
        self.ready.wait().await;
    }

    fn note_command(&self, opcode: bt_hci::cmd::Opcode) {
        // The host turns address resolution off and on around its first writing of the list: the
        // last step of its set-up.
        if opcode == LeSetAddrResolutionEnable::OPCODE {
            let times = self.resolution_set.get().saturating_add(1);
            self.resolution_set.set(times);
            if times == 2 {
                self.ready.signal(());
            }
        }
    }

    fn condemn(&self, handle: u16) {
        // Full: the links in it are the only ones there can be, and this one is among them.
        let _queued = self.condemned.try_send(ConnHandle::new(handle));
    }
}

/// A controller behind its [`Watch`].
pub(crate) struct Guard<'w, C> {
    inner: C,
    watch: &'w Watch,
}

impl<'w, C> Guard<'w, C> {
    pub(crate) const fn new(inner: C, watch: &'w Watch) -> Self {
        Self { inner, watch }
    }

    /// Waits for a command's answer; never returns if there is none, but tells the watch.
    async fn answered<T>(&self, opcode: bt_hci::cmd::Opcode, answer: impl Future<Output = T>) -> T {
        match with_timeout(COMMAND_TIMEOUT, answer).await {
            Ok(answer) => {
                self.watch.note_command(opcode);
                answer
            }
            Err(_) => {
                self.watch.mute.signal(());
                core::future::pending().await
            }
        }
    }
}

impl<C: embedded_io::ErrorType> embedded_io::ErrorType for Guard<'_, C> {
    type Error = C::Error;
}

impl<C: Controller> Controller for Guard<'_, C> {
    type Buffer<'a> = [u8; PACKET];

    fn alloc_buf(&self) -> Result<Self::Buffer<'_>, Self::Error> {
        Ok([0; PACKET])
    }

    async fn write_acl_data(&self, packet: &AclPacket<'_>) -> Result<(), Self::Error> {
        if packet.boundary_flag() != AclPacketBoundary::Continuing {
            // Before it is sent: the answer may be here before this function goes on.
            let mut frames = self.watch.frames.borrow_mut();
            frames.outbound(packet.handle().raw(), packet.data());
        }
        self.inner.write_acl_data(packet).await
    }

    async fn write_sync_data(&self, packet: &SyncPacket<'_>) -> Result<(), Self::Error> {
        self.inner.write_sync_data(packet).await
    }

    async fn write_iso_data(&self, packet: &IsoPacket<'_>) -> Result<(), Self::Error> {
        self.inner.write_iso_data(packet).await
    }

    async fn read<'a>(
        &self,
        buf: &'a mut Self::Buffer<'_>,
    ) -> Result<ControllerToHostPacket<'a>, Self::Error> {
        let kept = loop {
            let mut raw = self.inner.alloc_buf()?;
            let packet = self.inner.read(&mut raw).await?;
            if let Some(kept) = self.keep(&packet, buf) {
                break kept;
            }
        };
        if let Kept::Acl(handle, ..) = kept {
            self.watch.admitted(handle).await;
        }
        let bytes = buf.get(..kept.len()).unwrap_or_default();
        Ok(kept.packet(bytes))
    }
}

/// A packet that passed, its data in the host's buffer.
enum Kept {
    Event(EventKind, usize),
    Acl(ConnHandle, AclPacketBoundary, usize),
}

impl Kept {
    const fn len(&self) -> usize {
        match self {
            Self::Event(_, len) | Self::Acl(_, _, len) => *len,
        }
    }

    fn packet<'a>(&self, data: &'a [u8]) -> ControllerToHostPacket<'a> {
        match self {
            Self::Event(kind, _) => {
                ControllerToHostPacket::Event(EventPacket { kind: *kind, data })
            }
            Self::Acl(handle, boundary, _) => ControllerToHostPacket::Acl(AclPacket::new(
                *handle,
                *boundary,
                bt_hci::data::AclBroadcastFlag::PointToPoint,
                data,
            )),
        }
    }
}

impl<C: Controller> Guard<'_, C> {
    /// Copies the packet's data to `buf` if the host may see it, perhaps changed.
    fn keep(&self, packet: &ControllerToHostPacket<'_>, buf: &mut [u8]) -> Option<Kept> {
        let mut frames = self.watch.frames.borrow_mut();
        match packet {
            ControllerToHostPacket::Event(event) => {
                let own = self.watch.private_address.get();
                let passage = events::check(event.kind, event.data, own, buf)?;
                match passage.change {
                    Passage::Connected(handle) => {
                        self.watch.made.signal(());
                        if !frames.connected(handle) {
                            // A controller that gives a handle twice: neither peer may pass for the other.
                            self.watch.condemn(handle);
                            return None;
                        }
                    }
                    Passage::Disconnected(handle) => frames.disconnected(handle),
                    Passage::Other => {}
                }
                Some(Kept::Event(event.kind, passage.len))
            }
            ControllerToHostPacket::Acl(acl) => {
                let data = buf.get_mut(..acl.data().len())?;
                data.copy_from_slice(acl.data());
                // bt-hci: `handle()` panics on one that no link can have. Seen: 0.10.1. So: the bits themselves;
                // only a link's pass.
                let handle = acl.header().handle & HANDLE_BITS;
                let boundary = acl.boundary_flag();
                match frames.inbound(handle, boundary, data) {
                    Verdict::Pass => Some(Kept::Acl(ConnHandle::new(handle), boundary, data.len())),
                    Verdict::Drop => None,
                    Verdict::End => {
                        self.watch.condemn(handle);
                        None
                    }
                }
            }
            // Nothing of the kind was asked for.
            ControllerToHostPacket::Sync(_) | ControllerToHostPacket::Iso(_) => None,
        }
    }
}

impl<C, T> ControllerCmdSync<T> for Guard<'_, C>
where
    C: ControllerCmdSync<T>,
    T: SyncCmd,
{
    async fn exec(&self, cmd: &T) -> Result<T::Return, CmdError<Self::Error>> {
        let answer = ControllerCmdSync::exec(&self.inner, cmd);
        match self.answered(T::OPCODE, answer).await {
            Err(CmdError::Hci(refusal)) => {
                commands::done_already(cmd, refusal).ok_or(CmdError::Hci(refusal))
            }
            answer => answer,
        }
    }
}

impl<C, T> ControllerCmdAsync<T> for Guard<'_, C>
where
    C: ControllerCmdAsync<T>,
    T: AsyncCmd,
{
    async fn exec(&self, cmd: &T) -> Result<(), CmdError<Self::Error>> {
        let answer = ControllerCmdAsync::exec(&self.inner, cmd);
        self.answered(T::OPCODE, answer).await
    }
}

/// Whether bytes are exactly one `T`.
fn is<'a, T: FromHciBytes<'a>>(bytes: &'a [u8]) -> bool {
    T::from_hci_bytes_complete(bytes).is_ok()
}
