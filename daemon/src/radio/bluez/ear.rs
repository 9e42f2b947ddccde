//! Our own connection to the bus: who has the name `org.bluez`, and what BlueZ signals.
//!
//! bluer's streams do not end when bluetoothd dies, are not bounded, and its notifications begin
//! after the subscription, so that a lock's first word may be missed. Here the filter runs where
//! signals come in, and everything behind it is bounded: **a flood of adverts costs adverts only.**

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bluer::{Address as Bdaddr, AddressType};
use dbus::Message;
use dbus::arg::{AppendAll, PropMap, RefArg, Variant, prop_cast};
use dbus::message::{MatchRule, SignalArgs};
use dbus::nonblock::stdintf::org_freedesktop_dbus::{
    ObjectManagerInterfacesAdded, ObjectManagerInterfacesRemoved, PropertiesPropertiesChanged,
};
use dbus::nonblock::{MsgMatch, Proxy, SyncConnection};
use drawbridge_protocol::beacon::Beacon;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::advert::{beacon_of, device_of, kind_among};
use super::call::{BUS, CallError, PROPERTY, limited};

const BLUEZ: &str = "org.bluez";
const BUS_NAME: &str = "org.freedesktop.DBus";
/// Adverts that may wait for the scanner; more are dropped, and come again.
const ADVERTS: usize = 256;
/// Notifications that may wait for a link; a link that lets more wait is ended.
const VALUES: usize = 256;
/// Address types remembered; with more devices than this BlueZ is asked again.
const TYPES: usize = 1_024;

/// An advert of a lock.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// Such as `hci0`.
    pub(super) adapter: String,
    pub(super) device: Bdaddr,
    /// `None`: it is to be asked for.
    pub(super) kind: Option<AddressType>,
    pub(super) beacon: Beacon,
}

/// What the callbacks share.
#[derive(Debug)]
struct Signals {
    owner: watch::Sender<Option<String>>,
    changed: watch::Sender<u64>,
    adverts: mpsc::Sender<Heard>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kinds: HashMap<String, AddressType>,
    /// By the path of a characteristic.
    values: HashMap<String, mpsc::Sender<Vec<u8>>>,
}

/// The connection. Dropped, it is closed.
pub(super) struct Ear {
    connection: Arc<SyncConnection>,
    signals: Arc<Signals>,
    reader: JoinHandle<()>,
    lost: watch::Receiver<bool>,
    _matches: Vec<MsgMatch>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ear").finish_non_exhaustive()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Ear {
    /// Connects to the system bus and begins to listen.
    pub(super) async fn open() -> Result<(Self, mpsc::Receiver<Heard>), CallError> {
        let act = "connect to the system bus";
        let joined = tokio::task::spawn_blocking(dbus_tokio::connection::new_system_sync);
        let (resource, connection) = limited(act, BUS, async {
            match joined.await {
                Ok(opened) => opened.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await?;
        let (gone, lost) = watch::channel(false);
        let (adverts, heard) = mpsc::channel(ADVERTS);
        let signals = Arc::new(Signals {
            owner: watch::Sender::new(None),
            changed: watch::Sender::new(0),
            adverts,
            inner: Mutex::default(),
        });
        let at_end = Arc::clone(&signals);
        let reader = tokio::spawn(async move {
            // However it ends, the connection is gone.
            drop(resource.await);
            at_end.bluez_gone();
            gone.send_replace(true);
        });
        let mut ear = Self {
            connection,
            signals,
            reader,
            lost,
            _matches: Vec::new(),
        };
        limited("listen on the system bus", BUS, ear.listen()).await?;
        Ok((ear, heard))
    }

    async fn listen(&mut self) -> Result<(), dbus::Error> {
        let mut owners = MatchRule::new_signal(BUS_NAME, "NameOwnerChanged");
        owners.sender = Some(BUS_NAME.into());
        let rules = [
            owners,
            ObjectManagerInterfacesAdded::match_rule(Some(&BLUEZ.into()), None).static_clone(),
            ObjectManagerInterfacesRemoved::match_rule(Some(&BLUEZ.into()), None).static_clone(),
            PropertiesPropertiesChanged::match_rule(Some(&BLUEZ.into()), None).static_clone(),
        ];
        for rule in rules {
            let signals = Arc::clone(&self.signals);
            let matched = self.connection.add_match(rule).await?;
            self._matches.push(matched.msg_cb(move |message| {
                signals.take(&message);
                true
            }));
        }
        let proxy = Proxy::new(
            BUS_NAME,
            "/org/freedesktop/DBus",
            PROPERTY,
            &*self.connection,
        );
        let owner: Result<(String,), dbus::Error> =
            proxy.method_call(BUS_NAME, "GetNameOwner", (BLUEZ,)).await;
        match owner {
            Ok((owner,)) => self.signals.owner_is(Some(owner)),
            // Nobody has it.
            Err(error) if error.name() == Some("org.freedesktop.DBus.Error.NameHasNoOwner") => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Who has the name `org.bluez`: bluetoothd's unique name on the bus.
    pub(super) fn owner(&self) -> watch::Receiver<Option<String>> {
        self.signals.owner.subscribe()
    }

    /// Changes whenever an adapter comes, goes or is switched.
    pub(super) fn adapters_changed(&self) -> watch::Receiver<u64> {
        self.signals.changed.subscribe()
    }

    /// Becomes true when the bus is gone.
    pub(super) fn lost(&self) -> watch::Receiver<bool> {
        self.lost.clone()
    }

    /// The values that a characteristic notifies from now on; ends with bluetoothd or the bus.
    pub(super) fn values(&self, characteristic: String) -> mpsc::Receiver<Vec<u8>> {
        let (values, heard) = mpsc::channel(VALUES);
        self.signals.lock().values.insert(characteristic, values);
        heard
    }

    /// Whether bluetoothd's main loop turns. It is asked under its unique name, so that the bus
    /// starts nothing.
    pub(super) async fn ping(&self, owner: &str) -> Result<(), CallError> {
        let proxy = Proxy::new(owner, "/org/bluez", PROPERTY, &*self.connection);
        let pong = proxy.method_call("org.freedesktop.DBus.Peer", "Ping", ());
        limited("ask bluetoothd for a sign of life", PROPERTY, pong).await
    }

    /// Has BlueZ listen with an adapter, such as `hci0`, for as long as this connection lives. Everything that advertises is
    /// heard, and adverts that repeat: a beacon changes under the same address, too.
    pub(super) async fn start_discovery(&self, adapter: &str) -> Result<(), CallError> {
        let filter = PropMap::from([
            ("Transport".to_owned(), variant("le".to_owned())),
            ("DuplicateData".to_owned(), variant(true)),
        ]);
        self.ask_adapter(
            "set a discovery filter",
            adapter,
            "SetDiscoveryFilter",
            (filter,),
        )
        .await?;
        self.ask_adapter("start a discovery", adapter, "StartDiscovery", ())
            .await
    }

    /// Ends it, and answers when the controller has.
    pub(super) async fn end_discovery(&self, adapter: &str) -> Result<(), CallError> {
        self.ask_adapter("end a discovery", adapter, "StopDiscovery", ())
            .await
    }

    async fn ask_adapter(
        &self,
        act: &'static str,
        adapter: &str,
        member: &str,
        words: impl AppendAll,
    ) -> Result<(), CallError> {
        // Under its unique name, as in `ping`.
        let Some(owner) = self.signals.owner.borrow().clone() else {
            return Err(CallError::Refused {
                act,
                reason: "bluetoothd has gone".into(),
            });
        };
        let path = format!("/org/bluez/{adapter}");
        let proxy = Proxy::new(owner, path, PROPERTY, &*self.connection);
        let asked = proxy.method_call("org.bluez.Adapter1", member, words);
        limited(act, PROPERTY, asked).await
    }

    /// Asks systemd to restart bluetoothd; it may refuse.
    pub(super) async fn restart_service(&self) -> Result<(), CallError> {
        let limit = Duration::from_secs(10);
        let proxy = Proxy::new(
            "org.freedesktop.systemd1",
            "/org/freedesktop/systemd1",
            limit,
            &*self.connection,
        );
        let restart = async {
            let unit = ("bluetooth.service", "replace");
            let (_job,): (dbus::Path<'static>,) = proxy
                .method_call("org.freedesktop.systemd1.Manager", "RestartUnit", unit)
                .await?;
            Ok::<_, dbus::Error>(())
        };
        limited("ask systemd to restart bluetooth.service", limit, restart).await
    }
}

fn variant<T: RefArg + 'static>(value: T) -> Variant<Box<dyn RefArg>> {
    Variant(Box::new(value))
}

impl Signals {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owner_is(&self, owner: Option<String>) {
        if owner != *self.owner.borrow() {
            self.bluez_gone();
            self.owner.send_replace(owner);
        }
    }

    /// All that was known is void; links over GATT end.
    fn bluez_gone(&self) {
        *self.lock() = Inner::default();
        self.owner.send_replace(None);
    }

    fn take(&self, message: &Message) {
        if let Some(PropertiesPropertiesChanged {
            interface_name,
            changed_properties,
            ..
        }) = PropertiesPropertiesChanged::from_message(message)
        {
            if let Some(path) = message.path() {
                self.properties(&path, &interface_name, &changed_properties);
            }
        } else if let Some(added) = ObjectManagerInterfacesAdded::from_message(message) {
            if added.interfaces.contains_key("org.bluez.Adapter1") {
                self.adapters();
            }
            if let Some(properties) = added.interfaces.get("org.bluez.Device1") {
                self.advert(&added.object, properties);
            }
        } else if let Some(removed) = ObjectManagerInterfacesRemoved::from_message(message) {
            let path: &str = &removed.object;
            if removed
                .interfaces
                .iter()
                .any(|name| name == "org.bluez.Adapter1")
            {
                self.adapters();
            }
            let mut inner = self.lock();
            inner.kinds.remove(path);
            inner.values.remove(path);
        } else if let Ok((name, _, new)) = message.read3::<String, String, String>()
            && name == BLUEZ
        {
            self.owner_is(Some(new).filter(|new| !new.is_empty()));
        }
    }

    fn adapters(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn properties(&self, path: &str, interface: &str, changed: &PropMap) {
        match interface {
            "org.bluez.Adapter1" if changed.contains_key("Powered") => self.adapters(),
            "org.bluez.Device1" => {
                if prop_cast::<bool>(changed, "Connected") == Some(&false) {
                    let below = format!("{path}/");
                    self.lock()
                        .values
                        .retain(|path, _| !path.starts_with(&below));
                }
                self.advert(path, changed);
            }
            "org.bluez.GattCharacteristic1" => {
                let Some(value) = prop_cast::<Vec<u8>>(changed, "Value") else {
                    return;
                };
                let mut inner = self.lock();
                let is_taken = inner
                    .values
                    .get(path)
                    .is_none_or(|values| values.try_send(value.clone()).is_ok());
                if !is_taken {
                    // A packet of it would be missing: the link ends.
                    inner.values.remove(path);
                }
            }
            _ => {}
        }
    }

    fn advert(&self, path: &str, properties: &PropMap) {
        let Some(beacon) = beacon_of(properties) else {
            return;
        };
        let Some((adapter, device)) = device_of(path) else {
            return;
        };
        let mut inner = self.lock();
        if let Some(kind) = kind_among(properties) {
            if inner.kinds.len() >= TYPES {
                inner.kinds.clear();
            }
            inner.kinds.insert(path.to_owned(), kind);
        }
        let kind = inner.kinds.get(path).copied();
        // Full: somebody floods. What is dropped here is sent again by its lock.
        let _dropped = self.adverts.try_send(Heard {
            adapter: adapter.to_owned(),
            device,
            kind,
            beacon,
        });
    }
}
