//! One connection: attributes, pairing, and at most one link of the lock's over it.

use core::cell::Cell;

use drawbridge_protocol::gatt::MAX_PACKET;
use embassy_futures::select::{Either4, select4};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use trouble_host::Controller;
use trouble_host::att::{AttClient, AttCmd, AttErrorCode};
use trouble_host::prelude::{
    Connection, DefaultPacketPool, GattConnection, GattConnectionEvent, GattEvent, WriteEvent,
};

use crate::attributes::{self, Packet};
use crate::link;
use crate::port::Port;
use crate::radio::Shared;
use crate::seats::Seat;

/// A connection without a link of the lock's ends after this: time to pair and to look around in (S14).
const IDLE: Duration = Duration::from_secs(10);
/// The same for a stranger while every place is taken: time to pair, or to encrypt with a bond.
const CROWDED: Duration = Duration::from_secs(3);
/// The lock ends a link whose peer proves nothing within 10 s (S14): who is on one that is older than this has.
const PROVEN: Duration = Duration::from_secs(12);
/// How often a connection is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Header of a notification, bytes.
const NOTIFICATION: u16 = 3;
/// Packets that wait for the lock; with more the peer waits.
const WAITING: usize = 4;

/// What carries the lock's link of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bearer {
    None,
    Channel,
    Attributes,
}

/// What the parts of a connection share.
pub(crate) struct State<P: Port> {
    bearer: Cell<Bearer>,
    /// Since when it is that.
    since: Cell<Instant>,
    /// A subscription began a link.
    pub(crate) subscribed: Signal<NoopRawMutex, (P::Inbound, P::Outbound)>,
    /// The subscription is over.
    pub(crate) unsubscribed: Signal<NoopRawMutex, ()>,
    /// What was written to the inbox.
    pub(crate) written: Channel<NoopRawMutex, Packet, WAITING>,
}

impl<P: Port> State<P> {
    /// Claims the connection for a link; `false` if there is one.
    pub(crate) fn claim(&self, bearer: Bearer) -> bool {
        let free = self.bearer.get() == Bearer::None;
        if free {
            self.bearer.set(bearer);
            self.since.set(Instant::now());
        }
        free
    }

    /// The link is over; the connection may stay for a while.
    pub(crate) fn release(&self) {
        self.bearer.set(Bearer::None);
        self.since.set(Instant::now());
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    connection: Connection<'_, DefaultPacketPool>,
) {
    // Fails on a connection that is gone: the next step notices.
    let _bondable = connection.set_bondable(true);
    let mut nonce = [0; 16];
    shared.port.fill(&mut nonce);
    attributes::refresh_info(shared.server, shared.attributes, nonce);
    let Ok(gatt) = connection.with_attribute_server(shared.server) else {
        return;
    };
    let state = State::<P> {
        bearer: Cell::new(Bearer::None),
        since: Cell::new(Instant::now()),
        subscribed: Signal::new(),
        unsubscribed: Signal::new(),
        written: Channel::new(),
    };
    let seat = shared.seats.take();
    let ended = select4(
        events(shared, &gatt, &state, &seat),
        link::over_channel(shared, gatt.raw(), &state),
        link::over_attributes(shared, &gatt, &state),
        idle(shared, gatt.raw(), &state, &seat),
    )
    .await;
    if gatt.raw().is_connected() && !matches!(ended, Either4::First(())) {
        gatt.raw().disconnect();
        disconnected(&gatt).await;
    }
    drop(seat);
}

/// Waits until the host has seen the end of a connection that was told to end.
async fn disconnected(gatt: &GattConnection<'_, '_, DefaultPacketPool>) {
    let ended = async {
        while gatt.raw().is_connected() {
            // Events are taken so that the host has room for the next.
            let _event = with_timeout(LOOK, gatt.next()).await;
        }
    };
    // A controller that never says so is another's matter.
    let _ended = with_timeout(IDLE, ended).await;
}

/// Ends when the connection has had no link for too long, or is gone.
///
/// trouble-host: the event of a connection's end is dropped when eight others wait. Seen: 0.8.0, where
/// two did. So: the connection is looked at as well.
async fn idle<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    connection: &Connection<'_, DefaultPacketPool>,
    state: &State<P>,
    seat: &Seat<'_>,
) {
    while connection.is_connected() {
        Timer::after(LOOK).await;
        let is_older = |limit| Instant::now() >= state.since.get() + limit;
        if state.bearer.get() == Bearer::None {
            let is_unwanted = !is_bonded(connection) && shared.seats.is_crowded();
            if is_older(if is_unwanted { CROWDED } else { IDLE }) {
                return;
            }
        } else if is_older(PROVEN) {
            seat.recognise();
        }
    }
}

/// Whether the peer has shown a bond made with the passkey.
fn is_bonded(connection: &Connection<'_, DefaultPacketPool>) -> bool {
    let level = connection.security_level();
    level.is_ok_and(|level| level.authenticated())
}

async fn events<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    gatt: &GattConnection<'_, '_, DefaultPacketPool>,
    state: &State<P>,
    seat: &Seat<'_>,
) {
    loop {
        match gatt.next().await {
            GattConnectionEvent::Disconnected { .. } => return,
            GattConnectionEvent::PairingComplete { .. }
            | GattConnectionEvent::PairingFailed(_)
            | GattConnectionEvent::Encrypted { .. } => {
                shared.keep_bonds();
                if is_bonded(gatt.raw()) {
                    seat.recognise();
                }
            }
            GattConnectionEvent::Gatt { event } => attribute(shared, gatt, state, event).await,
            _ => {}
        }
    }
}

async fn attribute<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    gatt: &GattConnection<'_, '_, DefaultPacketPool>,
    state: &State<P>,
    event: GattEvent<'_, '_, DefaultPacketPool>,
) {
    let reply = match event {
        GattEvent::Write(write) if write.handle() == shared.attributes.inbox.handle => {
            if !is_command(&write) {
                write.reject(AttErrorCode::REQUEST_NOT_SUPPORTED)
            } else {
                let packet = write.with_data(|_, data| Packet::from_slice(data));
                if let Ok(packet) = packet
                    && state.bearer.get() == Bearer::Attributes
                {
                    state.written.send(packet).await;
                }
                write.accept_unprocessed()
            }
        }
        GattEvent::Write(write) if is_switch(shared, write.handle()) => {
            switch(shared, gatt, state, write).await
        }
        other => other.accept(),
    };
    if let Ok(reply) = reply {
        reply.send().await;
    }
}

fn is_command(write: &WriteEvent<'_, '_, DefaultPacketPool>) -> bool {
    matches!(
        write.payload().incoming(),
        AttClient::Command(AttCmd::Write { .. })
    )
}

/// Whether a handle is that of the outbox's client configuration: right behind its value.
fn is_switch<C: Controller, P: Port>(shared: &Shared<'_, '_, C, P>, handle: u16) -> bool {
    handle == shared.attributes.outbox.handle + 1
}

/// A peer subscribes, which begins a link, or unsubscribes, which ends it.
async fn switch<'k, C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    gatt: &GattConnection<'_, '_, DefaultPacketPool>,
    state: &State<P>,
    write: WriteEvent<'k, '_, DefaultPacketPool>,
) -> Result<trouble_host::prelude::Reply<'k, DefaultPacketPool>, trouble_host::Error> {
    let value = write.with_data(|_, data| <[u8; 2]>::try_from(data));
    let Ok([low, 0]) = value else {
        return write.reject(AttErrorCode::INVALID_ATTRIBUTE_VALUE_LENGTH);
    };
    match (low, state.bearer.get()) {
        (0, Bearer::Attributes) => {
            state.unsubscribed.signal(());
            write.accept()
        }
        (0, _) | (1, Bearer::Attributes) => write.accept(),
        (1, Bearer::None) => {
            let packet = gatt.raw().att_mtu().saturating_sub(NOTIFICATION);
            let Some(link) = shared.port.open(packet.min(MAX_PACKET)).await else {
                return write.reject(AttErrorCode::INSUFFICIENT_RESOURCES);
            };
            if !state.claim(Bearer::Attributes) {
                return write.reject(AttErrorCode::INSUFFICIENT_RESOURCES);
            }
            state.written.clear();
            state.unsubscribed.reset();
            state.subscribed.signal(link);
            write.accept()
        }
        // One link a connection; and there is nothing to indicate.
        (1, Bearer::Channel) => write.reject(AttErrorCode::INSUFFICIENT_RESOURCES),
        _ => write.reject(AttErrorCode::VALUE_NOT_ALLOWED),
    }
}
