//! The two ends of the virtual air are written twice, so that neither can hide the other's mistake:
//! here both meet the same bytes, and each other.

use drawbridge_daemon::radio::virtual_air::VirtualAir;
use drawbridge_daemon::radio::virtual_air::frame::{FromLock, ToLock};
use drawbridge_daemon::radio::{LinkFault, LinkId, Passkey, RadioAction, RadioEvent};
use drawbridge_lock_sim::air_frame::{AirFrame, MAX_BODY};
use drawbridge_lock_sim::options::Options;
use drawbridge_lock_sim::simulator::Running;
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::hello::LockHello;
use drawbridge_protocol::ids::LockId;
use drawbridge_protocol::link_message::LinkMessage;
use drawbridge_protocol::qr::QrCode;
use tokio::sync::mpsc;

use crate::lock_process::place;

#[test]
fn both_ends_agree_on_every_frame() {
    let beacon = Beacon(*b"nonceHMACHMA");
    let packet = vec![0x80, 1, 0, 15];
    let from_lock = [
        (AirFrame::Advert(beacon), FromLock::Advert(beacon)),
        (AirFrame::Connected(100), FromLock::Connected(100)),
        (AirFrame::Busy, FromLock::Busy),
        (
            AirFrame::Packet(packet.clone()),
            FromLock::Packet(packet.clone()),
        ),
    ];
    for (lock, hub) in from_lock {
        assert_eq!(FromLock::decode(&lock.encode().unwrap()[2..]).unwrap(), hub);
    }
    let to_lock = [
        (ToLock::Connect(244), AirFrame::Connect(244)),
        (ToLock::Packet(packet.clone()), AirFrame::Packet(packet)),
    ];
    for (hub, lock) in to_lock {
        assert_eq!(hub.encode().unwrap(), lock.encode().unwrap());
        assert_eq!(AirFrame::decode(&hub.encode().unwrap()[2..]).unwrap(), lock);
    }
    let longest = vec![7; MAX_BODY - 1];
    assert!(ToLock::Packet(longest.clone()).encode().is_ok());
    assert!(AirFrame::Packet(longest).encode().is_ok());
    let longer = vec![7; MAX_BODY];
    assert!(ToLock::Packet(longer.clone()).encode().is_err());
    assert!(AirFrame::Packet(longer).encode().is_err());
}

/// The daemon's adapter with the real lock: seen, connected, greeted, and told when it vanishes.
#[test]
fn the_hubs_air_finds_a_simulated_lock_and_notices_its_loss() {
    let place = place();
    let air = place.path().join("air");
    let lock = Running::start(Options::new(&air, &place.path().join("flash"))).unwrap();
    let key = QrCode::from_text(lock.qr_text()).unwrap().keys().beacon_key;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (actions, taken) = mpsc::channel(8);
    let (told, mut events) = mpsc::channel(8);
    runtime.spawn(VirtualAir::new(&air).run(taken, told));
    let act = |action| runtime.block_on(actions.send(action)).unwrap();
    let mut next = || runtime.block_on(events.recv()).unwrap();

    act(RadioAction::Scan { on: true });
    let RadioEvent::Seen { address, beacon } = next() else {
        panic!("nothing seen");
    };
    assert!(beacon.is_from(&key));
    act(RadioAction::Scan { on: false });
    let link = LinkId(1);
    act(RadioAction::Connect {
        link,
        address,
        lock: LockId([0; 8]),
        passkey: Passkey::new(0),
    });
    let mut up = next();
    while matches!(up, RadioEvent::Seen { .. }) {
        up = next();
    }
    let packet_size = 244;
    assert_eq!(up, RadioEvent::LinkUp { link, packet_size });
    let RadioEvent::Packet { bytes, .. } = next() else {
        panic!("no hello");
    };
    let Ok(LinkMessage::LockHello(hello)) = LinkMessage::decode(&bytes[3..]) else {
        panic!("not a hello: {bytes:?}");
    };
    LockHello::decode(hello).unwrap();
    lock.control(r#"{"do":"link_loss"}"#).unwrap();
    let reason = LinkFault::Closed;
    assert_eq!(next(), RadioEvent::LinkDown { link, reason });
}
