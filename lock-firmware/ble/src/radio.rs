//! The radio, running: adverts, at most two links, bonds; until the controller fails.

use core::cell::{Cell, RefCell};

use bt_hci::cmd::info::ReadBdAddr;
use bt_hci::cmd::le::{LeSetAdvEnable, LeSetRandomAddr};
use bt_hci::cmd::link_control::Disconnect;
use bt_hci::param::{AdvFilterPolicy, BdAddr, DisconnectReason};
use drawbridge_protocol::gatt::PSM;
use embassy_futures::join::join;
use embassy_futures::select::{Either, Either3, Either4, select, select3, select4};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::{Duration, Instant, Timer};
use heapless::Vec;
use thiserror::Error;
use trouble_host::prelude::{
    AddrKind, Advertisement, AdvertisementParameters, Connection, DefaultPacketPool,
    IoCapabilities, Peripheral,
};
use trouble_host::{Address, Controller, HostResources, Stack};

use crate::advert;
use crate::attributes::{self, Attributes, Server, Values};
use crate::bond::{Bond, MAX_BONDS};
use crate::connection;
use crate::guard::{Guard, Watch};
use crate::identity::Identity;
use crate::port::Port;
use crate::seats::{LINKS, Seats};

/// Channels that the host has room for: one a link, and spare ones that are closing.
const CHANNELS: usize = 6;
/// Channels that may be lost before the host is started anew.
const MAX_LOST: u8 = 2;
/// How often a controller that should be silent is asked whether it is there.
const PROBE: Duration = Duration::from_secs(3);
/// A controller that refuses an advert is left alone for this long.
const REFUSED: Duration = Duration::from_millis(250);
/// A link that was made is accepted within this, or never.
const WASTED: Duration = Duration::from_millis(50);
/// Peers on a controller's list of those that it answers: as many as the smallest ones take.
const LISTED: usize = 8;

/// What the radio is to be.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who the lock is.
    pub identity: Identity,
    /// The passkey of the lock's code, 0 to 999,999.
    pub passkey: u32,
    /// The bonds kept, the oldest first; more than [`MAX_BONDS`] are not taken.
    pub bonds: Vec<Bond, MAX_BONDS>,
    /// How long an address and its beacon are on the air, in seconds.
    pub address_every_s: u32,
    /// Between two adverts, in milliseconds: 20 to 10,240 (Core vol 4 part E 7.8.5).
    pub advert_every_ms: u16,
    /// Whether the controller may vanish without a word, and so is asked now and then.
    pub probe: bool,
}

/// Why the radio stopped. Started again with a controller in order it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RadioError {
    /// The way to the controller broke.
    #[error("talk to the Bluetooth controller")]
    Gone,
    /// The controller did not answer a command within 4 seconds.
    #[error("get an answer from the Bluetooth controller")]
    Mute,
    /// The controller refused a command without which nothing works.
    #[error("set up the Bluetooth controller")]
    Refused,
    /// The host lost too many of its channels.
    #[error("keep the Bluetooth host's channels")]
    Worn,
}

/// What all parts of a running radio share.
pub(crate) struct Shared<'s, 'r, C: Controller, P> {
    pub(crate) stack: &'s Stack<'r, Guard<'r, C>, DefaultPacketPool>,
    pub(crate) server: &'s Server<'r>,
    pub(crate) attributes: &'s Attributes,
    pub(crate) port: &'s P,
    /// Channels that the host will not get back.
    pub(crate) lost: Cell<u8>,
    pub(crate) watch: &'r Watch,
    identity: Identity,
    address_every: Duration,
    advert_every: Duration,
    /// Held by the one that advertises; since when the present address is on the air.
    advertising: Mutex<NoopRawMutex, Option<OnAir>>,
    /// Who is connected now.
    pub(crate) seats: Seats,
    /// Set after the first connection attempt of the bonds' keeper.
    kept: RefCell<Vec<Bond, MAX_BONDS>>,
}

struct OnAir {
    until: Instant,
    response: [u8; 30],
}

/// Runs the radio over `controller` until that fails. Whoever drops the future takes all links down
/// with it; the controller is reset at the next start.
pub async fn run<C: Controller, P: Port>(controller: C, setup: &Setup, port: &P) -> RadioError {
    let watch = Watch::new();
    let mut values = Values::new();
    let mut resources: HostResources<DefaultPacketPool, LINKS, CHANNELS> = HostResources::new();
    let stack = trouble_host::new(Guard::new(controller, &watch), &mut resources)
        .set_random_address(setup.identity.address())
        .enable_privacy(setup.identity.irk())
        .set_io_capabilities(IoCapabilities::DisplayOnly)
        .set_passkey(Some(setup.passkey))
        .register_l2cap_spsm(PSM)
        .build();
    for bond in setup.bonds.iter().filter_map(|bond| bond.to_host()) {
        // The table has room for one more than are kept.
        let _added = stack.add_bond_information(bond);
    }
    let (server, attributes) = attributes::build(&mut values);
    let shared = Shared {
        stack: &stack,
        server: &server,
        attributes: &attributes,
        port,
        lost: Cell::new(0),
        watch: &watch,
        identity: setup.identity,
        address_every: Duration::from_secs(u64::from(setup.address_every_s)),
        advert_every: Duration::from_millis(u64::from(setup.advert_every_ms)),
        advertising: Mutex::new(None),
        seats: Seats::new(),
        kept: RefCell::new(setup.bonds.clone()),
    };
    let mut runner = stack.runner();
    let work = async {
        watch.ready().await;
        join(shared.serve_one(), shared.serve_one()).await;
    };
    let guarding = select3(
        watch.mute(),
        shared.end_condemned(),
        shared.probe(setup.probe),
    );
    match select3(runner.run(), guarding, work).await {
        Either3::First(Err(trouble_host::BleHostError::Controller(_))) => RadioError::Gone,
        Either3::First(_) => RadioError::Refused,
        Either3::Second(_) => RadioError::Mute,
        Either3::Third(()) => RadioError::Worn,
    }
}

impl<'s, 'r, C: Controller, P: Port> Shared<'s, 'r, C, P> {
    /// Serves one link after the other, until the host has lost too many channels.
    async fn serve_one(&self) {
        let mut peripheral = self.stack.peripheral();
        while self.lost.get() <= MAX_LOST {
            let connection = self.next_connection(&mut peripheral).await;
            connection::serve(self, connection).await;
            self.keep_bonds();
        }
    }

    async fn next_connection(
        &self,
        peripheral: &mut Peripheral<'s, Guard<'r, C>, DefaultPacketPool>,
    ) -> Connection<'s, DefaultPacketPool> {
        let mut on_air = self.advertising.lock().await;
        loop {
            if self.renew(&mut on_air).await.is_none() {
                continue;
            }
            let Some(OnAir { until, response }) = on_air.as_ref() else {
                continue;
            };
            let parameters = AdvertisementParameters {
                filter_policy: self.whom_to_answer(peripheral).await,
                interval_min: self.advert_every,
                interval_max: self.advert_every,
                own_addr_kind: Some(AddrKind::RANDOM),
                ..AdvertisementParameters::default()
            };
            let data = Advertisement::ConnectableScannableUndirected {
                adv_data: &advert::advert(),
                scan_data: response,
            };
            self.watch.forget_made();
            let Ok(advertiser) = peripheral.advertise(&parameters, data).await else {
                Timer::after(REFUSED).await;
                continue;
            };
            let over = select4(
                Timer::at(*until),
                self.port.asleep(),
                self.wasted(),
                self.seats.changed(),
            );
            match select(advertiser.accept(), over).await {
                Either::First(Ok(connection)) => return connection,
                // A lock that comes back comes under another address.
                Either::Second(Either4::Second(())) => *on_air = None,
                _ => {}
            }
        }
    }

    /// While a stranger has a place, the other is for peers with a bond, if there are any (S14).
    async fn whom_to_answer(
        &self,
        peripheral: &mut Peripheral<'s, Guard<'r, C>, DefaultPacketPool>,
    ) -> AdvFilterPolicy {
        if !self.seats.look() {
            return AdvFilterPolicy::default();
        }
        let bonded: Vec<Address, LISTED> = self.stack.with_bond_information(|held| {
            let newest_first = held
                .iter()
                .rev()
                .filter(|bond| Bond::from_host(bond).is_some());
            newest_first
                .take(LISTED)
                .map(|bond| bond.identity.addr)
                .collect()
        });
        // A controller without such a list answers everybody.
        let is_listed = peripheral.set_filter_accept_list(&bonded).await.is_ok();
        if is_listed && !bonded.is_empty() {
            AdvFilterPolicy::FilterConn
        } else {
            AdvFilterPolicy::default()
        }
    }

    /// Ends when a link has ended the advert and then was nobody's.
    ///
    /// trouble-host: a link that ends in the moment in which it was made is never accepted, and nobody
    /// advertises any more. Seen: 0.8.0. So: an advert that made a link is over soon in any case.
    async fn wasted(&self) {
        self.watch.made().await;
        Timer::after(WASTED).await;
    }

    /// Stops the advert and, if it is due, changes address and beacon in the same moment; `None` if
    /// the controller would not.
    async fn renew(&self, on_air: &mut Option<OnAir>) -> Option<()> {
        // Stopped already is what was wanted.
        let _stopped = self.stack.command(LeSetAdvEnable::new(false)).await;
        let is_fresh = |on_air: &OnAir| Instant::now() < on_air.until;
        if on_air.as_ref().is_some_and(is_fresh) {
            return Some(());
        }
        let beacon = self.port.beacon().await;
        let address = self.identity.private_address(|into| self.port.fill(into));
        let set = LeSetRandomAddr::new(BdAddr::new(address));
        if self.stack.command(set).await.is_err() {
            Timer::after(REFUSED).await;
            return None;
        }
        self.watch.set_private_address(address);
        *on_air = Some(OnAir {
            until: Instant::now() + self.address_every,
            response: advert::response(&beacon),
        });
        Some(())
    }

    /// Ends the links over which something malformed came.
    async fn end_condemned(&self) {
        loop {
            let handle = self.watch.condemned().await;
            let reason = DisconnectReason::RemoteUserTerminatedConn;
            // Gone already is what was wanted.
            let _ended = self.stack.command(Disconnect::new(handle, reason)).await;
        }
    }

    /// A controller that says nothing is asked something; the guard notes when no answer comes.
    async fn probe(&self, is_wanted: bool) {
        if !is_wanted {
            return core::future::pending().await;
        }
        loop {
            Timer::after(PROBE).await;
            let _address = self.stack.command(ReadBdAddr::new()).await;
        }
    }

    /// Hands the port the bonds if they have changed, and makes room for the next.
    pub(crate) fn keep_bonds(&self) {
        loop {
            let oldest = self.stack.with_bond_information(|held| {
                let is_weak = |bond: &&_| Bond::from_host(bond).is_none();
                let weak = held.iter().find(is_weak).filter(|bond| bond.is_bonded);
                let over = held.first().filter(|_| held.len() > MAX_BONDS);
                weak.or(over).map(|bond| bond.identity)
            });
            let Some(identity) = oldest else { break };
            if self.stack.remove_bond_information(identity).is_err() {
                break;
            }
        }
        let now: Vec<Bond, MAX_BONDS> = self.stack.with_bond_information(|held| {
            let bonds = held.iter().filter_map(Bond::from_host);
            bonds.take(MAX_BONDS).collect()
        });
        let mut kept = self.kept.borrow_mut();
        if *kept != now {
            self.port.keep_bonds(&now);
            *kept = now;
        }
    }
}
