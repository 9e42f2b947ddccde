//! bluetoothd, as far as the radio can tell.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dbus::Message;
use dbus::arg::{PropMap, RefArg, Variant};
use dbus::channel::Channel;
use dbus::message::MessageType;
use drawbridge_protocol::gatt;

type Interfaces = HashMap<String, PropMap>;

/// One adapter.
#[derive(Debug, Clone)]
pub(crate) struct FakeAdapter {
    pub(crate) address: String,
    pub(crate) powered: bool,
    pub(crate) refuses_power: bool,
    pub(crate) refuses_discovery: bool,
    /// As BlueZ answers for a controller that fell mute in a discovery.
    pub(crate) never_ends_discovery: bool,
}

impl FakeAdapter {
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: address.into(),
            powered: false,
            refuses_power: false,
            refuses_discovery: false,
            never_ends_discovery: false,
        }
    }

    fn properties(&self) -> PropMap {
        PropMap::from([
            ("Address".into(), variant(self.address.clone())),
            ("AddressType".into(), variant("public".to_owned())),
            ("Powered".into(), variant(self.powered)),
            ("Discovering".into(), variant(false)),
        ])
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By name, such as `hci0`.
    pub(crate) adapters: BTreeMap<String, FakeAdapter>,
    /// Takes calls and answers none.
    pub(crate) is_mute: bool,
    /// `path member` of every call.
    pub(crate) calls: Vec<String>,
    /// Passkeys that agents typed.
    pub(crate) typed: Vec<u32>,
    /// Questions that agents refused.
    pub(crate) refusals: usize,
    pub(crate) lock: FakeLock,
    /// Whose agent it is, and where.
    agent: Option<(String, String)>,
    pairing: Option<Message>,
    signals: Vec<Message>,
}

/// A lock that is reached over GATT, on `hci0`.
#[derive(Debug, Default)]
pub(crate) struct FakeLock {
    pub(crate) is_there: bool,
    /// Whoever connects gets no answer.
    pub(crate) never_connects: bool,
    pub(crate) connected: bool,
    pub(crate) paired: bool,
    /// What was written to its inbox.
    pub(crate) written: Vec<Vec<u8>>,
}

/// Its address.
pub(crate) const LOCK: &str = "7F:00:00:00:00:01";
const LOCK_PATH: &str = "/org/bluez/hci0/dev_7F_00_00_00_00_01";
const SERVICE_PATH: &str = "/org/bluez/hci0/dev_7F_00_00_00_00_01/service000a";
const INBOX_PATH: &str = "/org/bluez/hci0/dev_7F_00_00_00_00_01/service000a/char000b";
const OUTBOX_PATH: &str = "/org/bluez/hci0/dev_7F_00_00_00_00_01/service000a/char000d";
/// What the lock says as soon as somebody subscribes.
pub(crate) const HELLO: &[u8] = b"hello";

fn uuid(number: u128) -> Variant<Box<dyn RefArg>> {
    variant(bluer::Uuid::from_u128(number).to_string())
}

impl FakeLock {
    /// Its objects below the adapter's: path, interface, properties.
    fn objects(&self) -> Vec<(&'static str, &'static str, PropMap)> {
        if !self.is_there {
            return Vec::new();
        }
        let service = bluer::Uuid::from_u128(gatt::SERVICE).to_string();
        let device = PropMap::from([
            ("Address".into(), variant(LOCK.to_owned())),
            ("AddressType".into(), variant("random".to_owned())),
            ("Connected".into(), variant(self.connected)),
            ("Paired".into(), variant(self.paired)),
            ("ServicesResolved".into(), variant(self.connected)),
            ("UUIDs".into(), variant(vec![service])),
        ]);
        let characteristic = |number| {
            let mtu = ("MTU".into(), variant(517_u16));
            PropMap::from([("UUID".into(), uuid(number)), mtu])
        };
        vec![
            (LOCK_PATH, "org.bluez.Device1", device),
            (
                SERVICE_PATH,
                "org.bluez.GattService1",
                PropMap::from([("UUID".into(), uuid(gatt::SERVICE))]),
            ),
            (
                INBOX_PATH,
                "org.bluez.GattCharacteristic1",
                characteristic(gatt::INBOX),
            ),
            (
                OUTBOX_PATH,
                "org.bluez.GattCharacteristic1",
                characteristic(gatt::OUTBOX),
            ),
        ]
    }
}

fn changed(path: &str, interface: &str, properties: PropMap) -> Message {
    let signal = Message::new_signal(
        path.to_owned(),
        "org.freedesktop.DBus.Properties",
        "PropertiesChanged",
    );
    let none: Vec<String> = Vec::new();
    signal.unwrap().append3(interface, properties, none)
}

fn notified(value: &[u8]) -> Message {
    let value = PropMap::from([("Value".into(), variant(value.to_vec()))]);
    changed(OUTBOX_PATH, "org.bluez.GattCharacteristic1", value)
}

fn variant<T: RefArg + 'static>(value: T) -> Variant<Box<dyn RefArg>> {
    Variant(Box::new(value))
}

/// What survives bluetoothd: adapters, and the test's view of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine(Arc<Mutex<State>>);

impl Machine {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// An adapter is plugged in.
    pub(crate) fn plug(&self, name: &str, adapter: FakeAdapter) {
        let mut state = self.state();
        let interfaces = Interfaces::from([("org.bluez.Adapter1".into(), adapter.properties())]);
        let path = dbus::Path::from(format!("/org/bluez/{name}"));
        state.adapters.insert(name.into(), adapter);
        state
            .signals
            .push(manager("InterfacesAdded").append2(path, interfaces));
    }

    pub(crate) fn unplug(&self, name: &str) -> FakeAdapter {
        let mut state = self.state();
        let path = dbus::Path::from(format!("/org/bluez/{name}"));
        let gone = manager("InterfacesRemoved").append2(path, vec!["org.bluez.Adapter1"]);
        state.signals.push(gone);
        state.adapters.remove(name).unwrap()
    }

    /// A device is heard for the first time.
    pub(crate) fn advertise(&self, path: &str, uuid: &str, data: Vec<u8>) {
        let service = PropMap::from([(uuid.to_owned(), variant(data))]);
        let properties = PropMap::from([
            ("AddressType".into(), variant("random".to_owned())),
            ("ServiceData".into(), variant(service)),
        ]);
        let interfaces = Interfaces::from([("org.bluez.Device1".into(), properties)]);
        let added =
            manager("InterfacesAdded").append2(dbus::Path::from(path.to_owned()), interfaces);
        self.state().signals.push(added);
    }

    /// The same device is heard again and says something else.
    pub(crate) fn advertise_again(&self, path: &str, uuid: &str, data: Vec<u8>) {
        let service = PropMap::from([(uuid.to_owned(), variant(data))]);
        let data = PropMap::from([("ServiceData".into(), variant(service))]);
        let signal = changed(path, "org.bluez.Device1", data);
        self.state().signals.push(signal);
    }

    /// The lock says something.
    pub(crate) fn notify(&self, value: &[u8]) {
        self.state().signals.push(notified(value));
    }

    /// Somebody else wants to pair: the agent is asked.
    pub(crate) fn ask(&self, member: &str, device: &str) {
        let mut state = self.state();
        let question = state.question(member, device);
        state.signals.push(question);
    }

    /// Calls that end so.
    pub(crate) fn count(&self, end: &str) -> usize {
        let state = self.state();
        state
            .calls
            .iter()
            .filter(|call| call.ends_with(end))
            .count()
    }
}

fn manager(member: &str) -> Message {
    Message::new_signal("/", "org.freedesktop.DBus.ObjectManager", member.to_owned()).unwrap()
}

/// bluetoothd's life; dropped, its name leaves the bus.
pub(crate) struct Bluetoothd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bluetoothd {
    pub(crate) fn start(address: &str, machine: &Machine) -> Self {
        let mut channel = Channel::open_private(address).unwrap();
        channel.register().unwrap();
        let own = Message::new_method_call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "RequestName",
        );
        let own = own.unwrap().append2("org.bluez", 4_u32);
        let limit = Duration::from_secs(5);
        let owned = channel.send_with_reply_and_block(own, limit).unwrap();
        assert_eq!(owned.read1::<u32>().unwrap(), 1, "the name is ours");
        let stop = Arc::new(AtomicBool::new(false));
        let (machine, stopped) = (machine.clone(), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Ok(message) = channel.blocking_pop_message(Duration::from_millis(5)) else {
                    return;
                };
                let mut state = machine.state();
                let answers = match message {
                    Some(call) if call.msg_type() == MessageType::MethodCall => state.answer(&call),
                    Some(mut answer) if answer.get_reply_serial().is_some() => {
                        state.agent_says(answer.as_result())
                    }
                    _ => Vec::new(),
                };
                let signals = std::mem::take(&mut state.signals);
                drop(state);
                for message in answers.into_iter().chain(signals) {
                    // The bus is gone: so is the test's interest in the answer.
                    let _sent = channel.send(message);
                }
                channel.flush();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Bluetoothd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl State {
    fn answer(&mut self, call: &Message) -> Vec<Message> {
        let path = call.path().unwrap().to_string();
        let member = call.member().unwrap().to_string();
        self.calls.push(format!("{path} {member}"));
        if self.is_mute {
            return Vec::new();
        }
        let done = call.method_return();
        let refused = || {
            let words = c"refused";
            vec![call.error(&"org.bluez.Error.Failed".into(), words)]
        };
        let adapter = path
            .strip_prefix("/org/bluez/")
            .and_then(|name| self.adapters.get_mut(name));
        match (member.as_str(), adapter) {
            ("RegisterAgent", _) => {
                let (agent, capability) = call.read2::<dbus::Path, String>().unwrap();
                assert_eq!(capability, "KeyboardOnly");
                self.agent = Some((call.sender().unwrap().to_string(), agent.to_string()));
                vec![done]
            }
            ("Ping" | "UnregisterAgent" | "RemoveDevice", _) => vec![done],
            ("Connect", None) if path == LOCK_PATH && self.lock.never_connects => Vec::new(),
            ("Connect", None) if path == LOCK_PATH => {
                self.lock.connected = true;
                vec![done]
            }
            ("Disconnect", None) if path == LOCK_PATH => {
                self.lock.connected = false;
                let gone = PropMap::from([("Connected".into(), variant(false))]);
                vec![changed(LOCK_PATH, "org.bluez.Device1", gone), done]
            }
            ("Pair", None) if path == LOCK_PATH => {
                self.pairing = Some(done);
                vec![self.question("RequestPasskey", LOCK_PATH)]
            }
            // As early as can be: before the subscription is even answered.
            ("StartNotify", None) if path == OUTBOX_PATH => vec![notified(HELLO), done],
            ("StopNotify", None) if path == OUTBOX_PATH => vec![done],
            ("WriteValue", None) if path == INBOX_PATH => {
                self.lock.written.push(call.read1().unwrap());
                vec![done]
            }
            ("Get", None) => {
                let (_, name) = call.read2::<String, String>().unwrap();
                let mut objects = self.lock.objects().into_iter();
                let found = objects.find(|(at, ..)| *at == path);
                match found.and_then(|(.., mut properties)| properties.remove(&name)) {
                    Some(value) => vec![done.append1(value)],
                    None => refused(),
                }
            }
            ("GetManagedObjects", _) => {
                let mut objects: HashMap<dbus::Path<'static>, Interfaces> = self
                    .adapters
                    .iter()
                    .map(|(name, adapter)| {
                        let interfaces = [("org.bluez.Adapter1".into(), adapter.properties())];
                        let path = format!("/org/bluez/{name}").into();
                        (path, Interfaces::from(interfaces))
                    })
                    .collect();
                for (path, interface, properties) in self.lock.objects() {
                    let interfaces = Interfaces::from([(interface.to_owned(), properties)]);
                    objects.insert(path.into(), interfaces);
                }
                vec![done.append1(objects)]
            }
            ("Get", Some(adapter)) => {
                let (_, name) = call.read2::<String, String>().unwrap();
                match adapter.properties().remove(&name) {
                    Some(value) => vec![done.append1(value)],
                    None => refused(),
                }
            }
            ("Set", Some(adapter)) => {
                let read: (String, String, Variant<bool>) = call.read_all().unwrap();
                assert_eq!(read.1, "Powered");
                if adapter.refuses_power && read.2.0 {
                    return refused();
                }
                adapter.powered = read.2.0;
                vec![done]
            }
            ("StartDiscovery", Some(adapter)) if adapter.refuses_discovery => refused(),
            ("StopDiscovery", Some(adapter)) if adapter.never_ends_discovery => refused(),
            ("SetDiscoveryFilter" | "StartDiscovery" | "StopDiscovery", Some(_)) => vec![done],
            _ => refused(),
        }
    }

    fn question(&self, member: &str, device: &str) -> Message {
        let (name, agent) = self.agent.clone().unwrap();
        let question = Message::new_method_call(name, agent, "org.bluez.Agent1", member.to_owned());
        question
            .unwrap()
            .append1(dbus::Path::from(device.to_owned()))
    }

    fn agent_says(&mut self, answer: Result<&mut Message, dbus::Error>) -> Vec<Message> {
        match answer {
            Ok(answer) => {
                self.typed.extend(answer.read1::<u32>());
                self.lock.paired = self.pairing.is_some();
            }
            Err(_) => self.refusals += 1,
        }
        self.pairing.take().into_iter().collect()
    }
}
