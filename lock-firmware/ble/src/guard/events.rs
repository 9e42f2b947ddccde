//! HCI events: those that the host reads without a check are checked, and a link's beginning is made
//! to name the address that it was made to.

use bt_hci::FromHciBytes;
use bt_hci::event::le::{
    LeAdvertisingSetTerminated, LeConnectionComplete, LeConnectionUpdateComplete,
    LeDataLengthChange, LeEnhancedConnectionComplete, LeEventKind, LeEventPacket,
    LeLongTermKeyRequest, LePhyUpdateComplete,
};
use bt_hci::event::{
    DisconnectionComplete, EncryptionChangeV1, EncryptionKeyRefreshComplete, EventKind,
    NumberOfCompletedPackets,
};

use super::is;

/// What an event means for the links.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Connected(u16),
    Disconnected(u16),
    Other,
}

/// An event that passed: its data is in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) len: usize,
    pub(super) change: Passage,
}

const CONNECTION_COMPLETE: u8 = 0x01;
const ENHANCED_CONNECTION_COMPLETE: u8 = 0x0a;
/// Where the old event goes on behind the peer's address, and where the new one does.
const OLD_TAIL: usize = 12;
const LOCAL_ADDRESS: usize = 12;
const NEW_TAIL: usize = 24;
const NEW_LEN: usize = 31;
const PERIPHERAL: u8 = 1;
/// The last handle that a link can have (Core vol 4 part E 7.7.65.1).
const LAST_HANDLE: u16 = 0x0eff;

/// Copies an event's data to `out` unless it is malformed or of no use to a peripheral.
pub(super) fn check(kind: EventKind, data: &[u8], own: [u8; 6], out: &mut [u8]) -> Option<Passed> {
    let mut change = Passage::Other;
    match kind {
        EventKind::Le => return check_le(data, own, out),
        EventKind::DisconnectionComplete => {
            let event = DisconnectionComplete::from_hci_bytes_complete(data).ok()?;
            // A failed disconnection is none: the link is as it was.
            event.status.to_result().ok()?;
            change = Passage::Disconnected(event.handle.raw());
        }
        EventKind::NumberOfCompletedPackets if is::<NumberOfCompletedPackets<'_>>(data) => {}
        EventKind::EncryptionChangeV1 if is::<EncryptionChangeV1>(data) => {}
        EventKind::EncryptionKeyRefreshComplete if is::<EncryptionKeyRefreshComplete>(data) => {}
        _ => return None,
    }
    copy(data, out, change)
}

fn check_le(data: &[u8], own: [u8; 6], out: &mut [u8]) -> Option<Passed> {
    let event = LeEventPacket::from_hci_bytes_complete(data).ok()?;
    let good = match event.kind {
        LeEventKind::LeConnectionComplete if is::<LeConnectionComplete>(event.data) => {
            return connected(data, own, out);
        }
        LeEventKind::LeEnhancedConnectionComplete
            if is::<LeEnhancedConnectionComplete>(event.data) =>
        {
            return connected(data, own, out);
        }
        LeEventKind::LeAdvertisingSetTerminated => is::<LeAdvertisingSetTerminated>(event.data),
        LeEventKind::LeLongTermKeyRequest => is::<LeLongTermKeyRequest>(event.data),
        LeEventKind::LePhyUpdateComplete => is::<LePhyUpdateComplete>(event.data),
        LeEventKind::LeConnectionUpdateComplete => is::<LeConnectionUpdateComplete>(event.data),
        LeEventKind::LeDataLengthChange => is::<LeDataLengthChange>(event.data),
        _ => false,
    };
    good.then_some(())?;
    copy(data, out, Passage::Other)
}

/// Both events of a new link become the one that can name our resolvable private address: the host
/// makes the addresses itself, and pairs under the one named here.
fn connected(data: &[u8], own: [u8; 6], out: &mut [u8]) -> Option<Passed> {
    let [subevent, status, low, high, role, ..] = *data else {
        return None;
    };
    let (head, old_tail) = match subevent {
        CONNECTION_COMPLETE => (data.get(..OLD_TAIL)?, data.get(OLD_TAIL..)?),
        ENHANCED_CONNECTION_COMPLETE => (data.get(..OLD_TAIL)?, data.get(NEW_TAIL..)?),
        _ => return None,
    };
    out.get_mut(..OLD_TAIL)?.copy_from_slice(head);
    *out.first_mut()? = ENHANCED_CONNECTION_COMPLETE;
    let addresses = out.get_mut(LOCAL_ADDRESS..NEW_TAIL)?;
    addresses.fill(0);
    if subevent == ENHANCED_CONNECTION_COMPLETE {
        addresses.copy_from_slice(data.get(LOCAL_ADDRESS..NEW_TAIL)?);
    }
    addresses.get_mut(..6)?.copy_from_slice(&own);
    out.get_mut(NEW_TAIL..NEW_LEN)?.copy_from_slice(old_tail);
    let handle = u16::from_le_bytes([low, high]);
    // Never asked for: a link where this lock is central. And a failed one is none.
    if role != PERIPHERAL || status != 0 || handle > LAST_HANDLE {
        return None;
    }
    Some(Passed {
        len: NEW_LEN,
        change: Passage::Connected(handle),
    })
}

fn copy(data: &[u8], out: &mut [u8], change: Passage) -> Option<Passed> {
    out.get_mut(..data.len())?.copy_from_slice(data);
    Some(Passed {
        len: data.len(),
        change,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u8; 6] = [1, 2, 3, 4, 5, 0x46];
    const OLD: [u8; 19] = [
        0x01, 0, 0x40, 0, 1, 1, 9, 9, 9, 9, 9, 0xc9, 0x18, 0, 0, 0, 0x2a, 0, 0,
    ];

    fn run(kind: EventKind, data: &[u8]) -> (Option<Passed>, [u8; 64]) {
        let mut out = [0xee; 64];
        (check(kind, data, OWN, &mut out), out)
    }

    /// Guards: pairing under an address that was never on the air, so that no hub bonds.
    #[test]
    fn new_link_names_the_private_address_that_it_was_made_to() {
        let (passed, out) = run(EventKind::Le, &OLD);
        let passed = passed.unwrap();
        assert_eq!(passed.change, Passage::Connected(0x40));
        let event = LeEventPacket::from_hci_bytes_complete(&out[..passed.len]).unwrap();
        let event = LeEnhancedConnectionComplete::from_hci_bytes_complete(event.data).unwrap();
        assert_eq!(*event.local_resolvable_private_addr.raw(), OWN);
        assert_eq!(*event.peer_resolvable_private_addr.raw(), [0; 6]);
        assert_eq!(*event.peer_addr.raw(), [9, 9, 9, 9, 9, 0xc9]);
        assert_eq!(event.supervision_timeout.as_u16(), 0x2a);
        // The same event, now in its new form and with the peer's own private address.
        let mut new = [0; NEW_LEN];
        new.copy_from_slice(&out[..NEW_LEN]);
        new[12..24].copy_from_slice(&[0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 0x46]);
        let (passed, out) = run(EventKind::Le, &new);
        assert_eq!(passed.unwrap().len, NEW_LEN);
        assert_eq!(out[12..18], OWN);
        assert_eq!(out[18..24], [6, 6, 6, 6, 6, 0x46]);
        assert_eq!(out[24..31], OLD[12..]);
    }

    /// S13. Guards: a controller whose event is a byte short and panics the lock.
    #[test]
    fn s13_events_of_the_wrong_form_never_reach_the_host() {
        let ends = [0, 0x40, 0, 0x13];
        assert!(run(EventKind::DisconnectionComplete, &ends).0.is_some());
        let cases: [(EventKind, &[u8]); 9] = [
            (EventKind::Le, &[]),
            (EventKind::Le, &OLD[..18]),
            (EventKind::Le, &[0x0a, 0, 0]),
            (EventKind::Le, &[0x05, 0x40]),
            (EventKind::Le, &[0x7f, 1, 2, 3]),
            (EventKind::DisconnectionComplete, &ends[..3]),
            (EventKind::NumberOfCompletedPackets, &[2, 0x40, 0, 1, 0]),
            (EventKind::EncryptionChangeV1, &[0]),
            (EventKind::Vendor, &[1]),
        ];
        for (kind, data) in cases {
            assert_eq!(run(kind, data).0, None, "{kind:?} {data:?}");
        }
    }

    #[test]
    fn failed_links_links_as_central_and_under_impossible_handles_are_none() {
        for (at, value) in [(1, 0x3e), (4, 0), (3, 0x0f)] {
            let mut event = OLD;
            event[at] = value;
            assert_eq!(run(EventKind::Le, &event).0, None);
        }
    }
}
