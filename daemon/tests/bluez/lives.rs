//! bluetoothd, the bus and adapters come and go.

use std::time::Duration;

use drawbridge_daemon::config::Radio;
use drawbridge_daemon::radio::{
    Address, LinkFault, LinkId, Passkey, RadioAction, RadioEvent, RadioHealth,
};
use drawbridge_protocol::gatt;

use crate::fake::{Bluetoothd, FakeAdapter};
use crate::world::{World, alone};

const FIRST: &str = "00:AA:01:00:00:01";
const SECOND: &str = "00:AA:01:00:00:02";
const SOON: Duration = Duration::from_millis(1_500);
const SLOW: Duration = Duration::from_secs(20);
const SERVICE: &str = "b7396132-ce88-4cff-9875-6764587fea3b";

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Asks for a link while there is nobody to make it: the answer must come all the same.
async fn connect_is_answered(world: &mut World, link: u64) {
    let connect = RadioAction::Connect {
        link: LinkId(link),
        address: Address::new(format!("{FIRST}/7F:00:00:00:00:01/r")).unwrap(),
        lock: "0100000000000000".parse().unwrap(),
        passkey: Passkey::new(1),
    };
    world.actions.send(connect).await.unwrap();
    let limit = Duration::from_secs(1);
    loop {
        match world.next(limit).await {
            Some(RadioEvent::ConnectFailed { link: of, reason }) => {
                assert_eq!((of, reason), (LinkId(link), LinkFault::NoAdapter));
                return;
            }
            Some(_) => {}
            None => panic!("a connect is not answered within {limit:?}"),
        }
    }
}

/// bluer's sessions say nothing when bluetoothd comes back, and its agent is gone: an old session that
/// is kept looks alive and hears nothing. And one that is thrown away must not leave descriptors.
#[tokio::test]
async fn f01_bluetoothd_that_comes_back_is_used_within_1500_ms() {
    let Some(bus) = alone("lives::f01_bluetoothd_that_comes_back_is_used_within_1500_ms") else {
        return;
    };
    let mut world = World::new(bus, &Radio::default());
    world.machine.plug("hci0", FakeAdapter::new(FIRST));
    world.health(RadioHealth::BluetoothAway, SLOW).await;
    connect_is_answered(&mut world, 1).await;
    world.listen().await;
    let descriptors = open_descriptors();
    for round in 1..=12 {
        let bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
        let took = world.health(RadioHealth::Ready, SLOW).await;
        assert!(took < SOON, "round {round}: {took:?}");
        world.calls(" RegisterAgent", round, SLOW).await;
        world.calls("/hci0 StartDiscovery", round, SLOW).await;
        drop(bluetoothd);
        world.health(RadioHealth::BluetoothAway, SLOW).await;
    }
    // bluer takes half a minute to let go of a connection.
    let since = std::time::Instant::now();
    while open_descriptors() > descriptors + 1 {
        let now = open_descriptors();
        let limit = Duration::from_secs(60);
        assert!(
            since.elapsed() < limit,
            "{descriptors} descriptors became {now}"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    println!(
        "{descriptors} descriptors again after {:?}",
        since.elapsed()
    );
}

/// bluetoothd that hangs keeps its name: without a probe of ours nothing would ever end.
#[tokio::test]
async fn f24_a_mute_bluetoothd_is_noticed_and_used_again_when_it_speaks() {
    let Some(bus) = alone("lives::f24_a_mute_bluetoothd_is_noticed_and_used_again_when_it_speaks")
    else {
        return;
    };
    let mut world = World::new(bus, &Radio::default());
    world.machine.plug("hci0", FakeAdapter::new(FIRST));
    let _bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, SLOW).await;
    world.machine.state().is_mute = true;
    let took = world.health(RadioHealth::NoAdapter, SLOW).await;
    assert!(took < Duration::from_secs(8), "noticed after {took:?}");
    connect_is_answered(&mut world, 1).await;
    world.machine.state().is_mute = false;
    world.health(RadioHealth::Ready, SLOW).await;
}

/// A dbus-daemon that dies takes every connection with it; one that hangs answers nothing for 120 s.
#[tokio::test]
async fn f24_a_bus_that_dies_or_hangs_stops_nothing_and_is_used_again_within_3_s() {
    let Some(bus) =
        alone("lives::f24_a_bus_that_dies_or_hangs_stops_nothing_and_is_used_again_within_3_s")
    else {
        return;
    };
    let mut world = World::new(bus, &Radio::default());
    world.machine.plug("hci0", FakeAdapter::new(FIRST));
    let bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, SLOW).await;
    world.bus.kill();
    world.health(RadioHealth::BluetoothAway, SLOW).await;
    drop(bluetoothd);
    connect_is_answered(&mut world, 1).await;
    world.bus.start();
    let bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    let took = world.health(RadioHealth::Ready, SLOW).await;
    assert!(took < Duration::from_secs(3), "{took:?}");

    world.bus.signal("-STOP");
    world.health(RadioHealth::NoAdapter, SLOW).await;
    connect_is_answered(&mut world, 2).await;
    world.bus.signal("-CONT");
    world.health(RadioHealth::Ready, SLOW).await;
    drop(bluetoothd);
}

/// `hciN` is whoever comes first: an adapter that comes back under another name is the same one, and
/// none at boot is no reason to give up.
#[tokio::test]
async fn f02_adapters_are_adopted_by_address_within_3_s_whatever_their_name() {
    let Some(bus) =
        alone("lives::f02_adapters_are_adopted_by_address_within_3_s_whatever_their_name")
    else {
        return;
    };
    let config = Radio {
        adapters: vec![FIRST.to_lowercase()],
        ..Radio::default()
    };
    let mut world = World::new(bus, &config);
    let _bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::NoAdapter, SLOW).await;
    // One that is not in the configuration is left alone.
    world.machine.plug("hci0", FakeAdapter::new(SECOND));
    for name in ["hci1", "hci1", "hci7"] {
        world.machine.plug(name, FakeAdapter::new(FIRST));
        let took = world.health(RadioHealth::Ready, SLOW).await;
        assert!(took < Duration::from_secs(3), "{name}: {took:?}");
        assert!(world.machine.state().adapters[name].powered);
        world.machine.unplug(name);
        world.health(RadioHealth::NoAdapter, SLOW).await;
    }
    assert!(!world.machine.state().adapters["hci0"].powered);
    assert_eq!(world.machine.count(" RegisterAgent"), 1, "all in one epoch");
}

/// A blocked or broken adapter beside a good one: each try to switch it on must not cost the links
/// of the other.
#[tokio::test]
async fn f02_an_adapter_that_cannot_be_switched_on_costs_the_other_nothing() {
    let Some(bus) =
        alone("lives::f02_an_adapter_that_cannot_be_switched_on_costs_the_other_nothing")
    else {
        return;
    };
    let mut world = World::new(bus, &Radio::default());
    let mut blocked = FakeAdapter::new(FIRST);
    blocked.refuses_power = true;
    world.machine.plug("hci0", blocked);
    world.machine.plug("hci1", FakeAdapter::new(SECOND));
    let _bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, SLOW).await;
    // 0.5, 1, 2 and 4 s: past the tries after which a lone adapter is a trouble.
    world.calls("/hci0 Set", 4, SLOW).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.machine.count(" RegisterAgent"), 1, "one epoch");
    assert_eq!(world.machine.count("/hci1 Set"), 1);
    // It is used once it can be.
    world
        .machine
        .state()
        .adapters
        .get_mut("hci0")
        .unwrap()
        .refuses_power = false;
    world.calls("/hci0 Set", 5, SLOW).await;
}

/// BlueZ refuses to listen, again and again: after ten times in a row it is a trouble, and the
/// ladder ends with a radio that says so.
#[tokio::test]
async fn discovery_that_is_refused_climbs_the_ladder() {
    let Some(bus) = alone("lives::discovery_that_is_refused_climbs_the_ladder") else {
        return;
    };
    let mut world = World::new(bus, &Radio::default());
    let mut broken = FakeAdapter::new(FIRST);
    broken.refuses_discovery = true;
    world.machine.plug("hci0", broken);
    let _bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, SLOW).await;
    world.listen().await;
    world.calls("/hci0 StartDiscovery", 10, SLOW).await;
    world.health(RadioHealth::NoAdapter, SLOW).await;
    // Off and on again before the next try.
    world.calls("/hci0 Set", 3, SLOW).await;
}

/// Guards: a controller that fell mute while it listened, whose discoveries all seem to begin.
#[tokio::test]
async fn f02_controller_that_falls_mute_in_a_discovery_is_noticed_within_20_s() {
    let Some(bus) =
        alone("lives::f02_controller_that_falls_mute_in_a_discovery_is_noticed_within_20_s")
    else {
        return;
    };
    let mut world = World::new(bus, &Radio::default());
    world.machine.plug("hci0", FakeAdapter::new(FIRST));
    let _bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, SLOW).await;
    world.listen().await;
    world.calls("/hci0 StartDiscovery", 1, SLOW).await;
    let adapter = |world: &World, is_mute| {
        let mut state = world.machine.state();
        state.adapters.get_mut("hci0").unwrap().never_ends_discovery = is_mute;
    };
    adapter(&world, true);
    let mute_for = Duration::from_secs(20);
    world.health(RadioHealth::NoAdapter, mute_for).await;
    adapter(&world, false);
    world.health(RadioHealth::Ready, SLOW).await;
}

/// What the core is told of the air: locks, at addresses that lead back to the adapter, and each
/// change of a beacon; nothing of strangers, and nothing while it does not listen.
#[tokio::test]
async fn locks_are_heard_and_strangers_are_not() {
    let Some(bus) = alone("lives::locks_are_heard_and_strangers_are_not") else {
        return;
    };
    assert_eq!(SERVICE.replace('-', ""), format!("{:032x}", gatt::SERVICE));
    let mut world = World::new(bus, &Radio::default());
    world.machine.plug("hci3", FakeAdapter::new(FIRST));
    let _bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, SLOW).await;
    let path = "/org/bluez/hci3/dev_7F_00_00_00_00_01";
    world.machine.advertise(path, SERVICE, vec![0; 12]);
    assert_eq!(
        world.next(Duration::from_millis(300)).await,
        None,
        "not listening"
    );
    world.listen().await;
    world.calls("/hci3 StartDiscovery", 1, SLOW).await;
    // A discovery that hears nothing is not trusted for long.
    world
        .calls("/hci3 StartDiscovery", 2, Duration::from_secs(5))
        .await;
    assert!(world.machine.count("/hci3 StopDiscovery") > 0);
    let stranger = "/org/bluez/hci3/dev_7F_00_00_00_00_02";
    for index in 0..500_u16 {
        let other = "0000feaa-0000-1000-8000-00805f9b34fb";
        world
            .machine
            .advertise(stranger, other, index.to_be_bytes().to_vec());
    }
    for change in 1..=3_u8 {
        world
            .machine
            .advertise_again(path, SERVICE, vec![change; 12]);
        let heard = world.next(SLOW).await;
        let Some(RadioEvent::Seen { address, beacon }) = heard else {
            panic!("{heard:?}")
        };
        assert_eq!(address.as_str(), format!("{FIRST}/7F:00:00:00:00:01/r"));
        assert_eq!(beacon.0, [change; 12]);
    }
}
