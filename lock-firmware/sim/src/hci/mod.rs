//! The lock on a real Bluetooth controller: a thread that runs the radio, and starts it anew whenever
//! the controller goes away or falls silent.

mod controller;
mod echo;
mod kept;
mod port;

use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use drawbridge_lock_ble::Setup;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

pub use controller::HciAddress;
use kept::{Kept, KeptError};
use port::SimPort;

use crate::air::AirEvent;
use crate::causes::chain;
use crate::show::Terminal;

/// Orders that wait for the radio.
const ORDERS: usize = 4;
/// Between attempts to reach a controller, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Why the lock is not on its controller.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HciError {
    /// The file with identity and bonds.
    #[error("keep the lock's bonds in {}", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeptError,
    },
    /// No thread or runtime.
    #[error("run the lock's radio")]
    Runtime(#[source] io::Error),
}

/// What the radio is to be.
#[derive(Debug, Clone)]
pub struct HciOptions {
    /// Where the controller is.
    pub address: HciAddress,
    /// The lock's flash image; identity and bonds are kept beside it.
    pub flash: PathBuf,
    /// Whether this is a new lock: what is kept is another's.
    pub is_new: bool,
    /// The passkey of the lock's code.
    pub passkey: u32,
    /// How long an address is on the air, in seconds.
    pub address_every_s: u32,
    /// Between two adverts, in milliseconds.
    pub advert_every_ms: u16,
    /// Tests only: links are echoes and reach no lock.
    pub is_echo: bool,
}

enum Order {
    /// Start the radio anew: the lock did.
    Restart,
    /// As above, and be somebody else without a bond.
    Forget,
}

/// The lock's place on a controller.
#[derive(Debug)]
pub struct HciPort {
    address: HciAddress,
    orders: Option<mpsc::Sender<Order>>,
    alive: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl HciPort {
    /// Starts the radio's thread.
    ///
    /// # Errors
    /// [`HciError`]. A controller that is not there is none: it is waited for.
    pub fn start(
        options: HciOptions,
        terminal: Terminal,
        events: mpsc::Sender<AirEvent>,
    ) -> Result<Self, HciError> {
        let path = kept::path_beside(&options.flash);
        let kept = Kept::open(&path, options.is_new);
        let kept = kept.map_err(|source| HciError::Kept { path, source })?;
        let (orders, taken) = mpsc::channel(ORDERS);
        let (alive, is_alive) = watch::channel(true);
        let address = options.address.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(HciError::Runtime)?;
        let radio = Radio {
            port: SimPort::new(events, is_alive, kept, terminal.clone(), options.is_echo),
            options,
            terminal,
            is_out: false,
        };
        let thread = std::thread::Builder::new()
            .name("radio".to_owned())
            .spawn(move || {
                // embassy-time: timers are told apart by their task's waker, and that of `block_on` is never equal to its own
                // clone where its table was compiled twice: the queue overflows, which wakes everybody, for ever.
                // Seen: tokio 1.54 unoptimised, a processor busy for each lock. So: a task, whose waker has one table.
                let local = tokio::task::LocalSet::new();
                let task = local.spawn_local(radio.run(taken));
                // A radio that panicked has said so on the terminal.
                let _ended = local.block_on(&runtime, task);
            })
            .map_err(HciError::Runtime)?;
        Ok(Self {
            address,
            orders: Some(orders),
            alive,
            thread: Some(thread),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The lock started anew: all links are gone, the address is another.
    pub fn restart(&self) {
        self.order(Order::Restart);
    }

    /// The lock was reset: nobody who knew it knows it now.
    pub fn forget(&self) {
        self.order(Order::Forget);
    }

    /// Tells whether the lock wants to be on the air.
    pub fn set_alive(&self, alive: bool) {
        self.alive.send_replace(alive);
    }

    fn order(&self, order: Order) {
        if let Some(orders) = &self.orders {
            // Full: the ones before are restarts that have not begun, and this one is in their place
            // unless it forgets, which must not be lost.
            let _queued = match order {
                Order::Restart => orders.try_send(order).is_ok(),
                Order::Forget => {
                    let orders = orders.clone();
                    tokio::spawn(async move { orders.send(order).await.is_ok() });
                    true
                }
            };
        }
    }
}

impl Drop for HciPort {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // A radio that panicked has said so on the terminal.
            let _ended = thread.join();
        }
    }
}

/// The thread's work.
struct Radio {
    options: HciOptions,
    port: SimPort,
    terminal: Terminal,
    /// Whether some outage was told.
    is_out: bool,
}

impl Radio {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut wait = BACK_OFF.0;
        loop {
            let kept = self.port.kept();
            let setup = Setup {
                identity: kept.identity,
                passkey: self.options.passkey,
                bonds: kept.bonds,
                address_every_s: self.options.address_every_s,
                advert_every_ms: self.options.advert_every_ms,
                probe: true,
            };
            let ended = tokio::select! {
                order = orders.recv() => Ok(order),
                error = self.once(&setup) => Err(error),
            };
            match ended {
                Ok(None) => return,
                Ok(Some(Order::Restart)) => wait = BACK_OFF.0,
                Ok(Some(Order::Forget)) => {
                    wait = BACK_OFF.0;
                    self.port.forget();
                }
                Err(error) => {
                    let was_told = std::mem::replace(&mut self.is_out, true);
                    if self.port.take_up() || !was_told {
                        // The first word of this outage, and the last until the radio was up again.
                        wait = BACK_OFF.0;
                        self.terminal.warn(&format!("{error}; trying again"));
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    /// Reaches the controller and runs on it; answers why that ended.
    async fn once(&mut self, setup: &Setup) -> String {
        let address = &self.options.address;
        let error = match controller::open(address).await {
            Ok(controller::Open::Tcp(controller)) => {
                drawbridge_lock_ble::run(controller, setup, &self.port).await
            }
            Ok(controller::Open::User(controller)) => {
                drawbridge_lock_ble::run(controller, setup, &self.port).await
            }
            Err(error) => return format!("reach {}: {error}", self.options.address),
        };
        format!("{} ({})", chain(&error), self.options.address)
    }
}
