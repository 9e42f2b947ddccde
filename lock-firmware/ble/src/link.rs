//! A link of the lock's over a connection: packets in and packets out, until one of them ends.

use drawbridge_protocol::gatt::{MAX_PACKET, PSM};
use embassy_futures::select::{select, select3};
use embassy_time::{Duration, with_timeout};
use trouble_host::Controller;
use trouble_host::prelude::{
    Connection, CreditFlowPolicy, DefaultPacketPool, GattConnection, L2capChannel,
    L2capChannelConfig, L2capChannelReader, L2capChannelWriter, L2capPendingConnection,
    LeCreditConnResultCode,
};

use crate::connection::{Bearer, State};
use crate::guard::MPS;
use crate::port::{Inbound, Outbound, Port};
use crate::radio::Shared;

/// A peer that takes nothing for this long loses its link.
const STALLED: Duration = Duration::from_secs(5);

/// Takes channels, one at a time; ends when a link that was over one has ended.
pub(crate) async fn over_channel<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    connection: &Connection<'_, DefaultPacketPool>,
    state: &State<P>,
) {
    // A channel lives as long as the stack, a connection's borrow does not: the listener gets its own.
    let Some(own) = shared.stack.get_connected_handle(connection.handle()) else {
        return;
    };
    let listener = L2capChannel::listen(shared.stack, &own);
    shared.watch.admit(own.handle());
    loop {
        // trouble-host: this never returns on a link that drops (trouble #355). Seen: 0.8.0. So: it is
        // one of several that are waited for, and the end of the connection is among them.
        let Ok(pending) = listener.next().await else {
            return;
        };
        let link = if pending.spsm() == PSM && state.claim(Bearer::Channel) {
            // trouble-host: `mtu()` of a pending channel is 0, the peer's is not to be had. Seen: 0.8.0.
            // So: the guard has read it.
            let packet = shared.watch.asked_mtu(own.handle()).min(MAX_PACKET);
            let link = shared.port.open(packet).await;
            if link.is_none() {
                state.release();
            }
            link
        } else {
            None
        };
        let Some((inbound, outbound)) = link else {
            let refusal = LeCreditConnResultCode::NoResources;
            let _told = pending.reject(shared.stack, refusal).await;
            continue;
        };
        if let Some(channel) = accept(shared, pending).await {
            carry(shared, channel, inbound, outbound).await;
        }
        return;
    }
}

async fn accept<'s, C: Controller, P: Port>(
    shared: &Shared<'s, '_, C, P>,
    pending: L2capPendingConnection<'s, DefaultPacketPool>,
) -> Option<L2capChannel<'s, DefaultPacketPool>> {
    let config = L2capChannelConfig {
        mtu: Some(MAX_PACKET),
        mps: Some(MPS),
        flow_policy: CreditFlowPolicy::Every(1),
        initial_credits: None,
    };
    // trouble-host: a channel whose acceptance fails or is dropped halfway keeps its place for ever.
    // Seen: 0.8.0. So: such are counted, and the host is started anew before it has none left.
    let lost = Lost(&shared.lost);
    let channel = pending.accept(shared.stack, &config).await.ok()?;
    core::mem::forget(lost);
    Some(channel)
}

/// Counts a channel as lost when it is dropped.
struct Lost<'c>(&'c core::cell::Cell<u8>);

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_add(1));
    }
}

async fn carry<'s, C: Controller, P: Port>(
    shared: &Shared<'s, '_, C, P>,
    channel: L2capChannel<'s, DefaultPacketPool>,
    inbound: P::Inbound,
    outbound: P::Outbound,
) {
    let (writer, reader) = channel.split();
    select(
        from_channel(shared, reader, inbound),
        to_channel(shared, writer, outbound),
    )
    .await;
}

/// Not to be dropped between a packet and its credit: hence a loop of its own.
async fn from_channel<'s, C: Controller, P: Port>(
    shared: &Shared<'s, '_, C, P>,
    mut reader: L2capChannelReader<'s, DefaultPacketPool>,
    mut inbound: P::Inbound,
) {
    let mut packet = [0; MAX_PACKET as usize];
    while let Ok(len) = reader.receive(shared.stack, &mut packet).await {
        let bytes = packet.get(..len).unwrap_or_default();
        if !inbound.push(bytes).await {
            return;
        }
    }
}

async fn to_channel<'s, C: Controller, P: Port>(
    shared: &Shared<'s, '_, C, P>,
    mut writer: L2capChannelWriter<'s, DefaultPacketPool>,
    mut outbound: P::Outbound,
) {
    let mut packet = [0; MAX_PACKET as usize];
    while let Some(len) = outbound.pop(&mut packet).await {
        let bytes = packet.get(..len).unwrap_or_default();
        let sent = with_timeout(STALLED, writer.send(shared.stack, bytes)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// Carries the links that subscriptions begin; ends when the lock has ended one.
pub(crate) async fn over_attributes<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    gatt: &GattConnection<'_, '_, DefaultPacketPool>,
    state: &State<P>,
) {
    loop {
        let (inbound, outbound) = state.subscribed.wait().await;
        let ended = select3(
            from_inbox(state, inbound),
            to_outbox(shared, gatt, outbound),
            state.unsubscribed.wait(),
        )
        .await;
        state.release();
        if !matches!(ended, embassy_futures::select::Either3::Third(())) {
            return;
        }
    }
}

async fn from_inbox<P: Port>(state: &State<P>, mut inbound: P::Inbound) {
    while inbound.push(&state.written.receive().await).await {}
}

async fn to_outbox<C: Controller, P: Port>(
    shared: &Shared<'_, '_, C, P>,
    gatt: &GattConnection<'_, '_, DefaultPacketPool>,
    mut outbound: impl Outbound,
) {
    let mut packet = [0; MAX_PACKET as usize];
    let outbox = &shared.attributes.outbox;
    while let Some(len) = outbound.pop(&mut packet).await {
        let bytes = packet.get(..len).unwrap_or_default();
        let sent = with_timeout(STALLED, outbox.notify_raw(gatt, bytes, false)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}
