//! A whole lock, running: as the process's only work, or on a thread of a test.

use std::collections::HashMap;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use drawbridge_lock::{Factory, RESET_HOLD_MS, Settings};
use drawbridge_protocol::gatt::PSM;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::air::{AirError, AirEvent, AirPort};
use crate::control::{ControlError, ControlSocket, Order, Request, RequestError, refusal};
use crate::device::{ConnectionId, Device, Effect};
use crate::entropy::Randomness;
use crate::factory_file::{self, FactoryFileError};
use crate::hci::{HciError, HciOptions, HciPort};
use crate::image::{Image, ImageError, NEW_IMAGE_PAGES};
use crate::options::Options;
use crate::show::Terminal;

/// The model number of simulated locks.
const MODEL: u16 = 1;

/// Events that wait for the lock; more make their senders wait.
const WAITING_EVENTS: usize = 64;

/// Why a simulated lock does not run, or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimulatorError {
    /// Its flash image.
    #[error("keep the lock's flash")]
    Image(#[from] ImageError),
    /// Its factory data.
    #[error("keep the lock's factory data")]
    Factory(#[from] FactoryFileError),
    /// One of the two files is there, the other is not.
    #[error(
        "find {}; restore it, or give --new to make a new lock",
        missing.display()
    )]
    HalfALock {
        /// The file that is not there.
        missing: PathBuf,
    },
    /// Its place on the air.
    #[error("put the lock on the air")]
    Air(#[from] AirError),
    /// Its place on a Bluetooth controller.
    #[error("put the lock on a Bluetooth controller")]
    Hci(#[from] HciError),
    /// The radio's thread panicked, and said so.
    #[error("go on without a radio")]
    RadioEnded,
    /// Its control socket.
    #[error("open the control socket")]
    Control(#[from] ControlError),
    /// The file for the text of its code.
    #[error("write the code to {}", path.display())]
    QrText {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The firmware refused what is in flash.
    #[error("start the lock's firmware on this flash ({0}); give --new to make a new lock")]
    Boot(String),
    /// No thread or runtime.
    #[error("run the lock")]
    Runtime(#[source] io::Error),
}

/// Where the lock can be reached.
#[derive(Debug)]
enum Place {
    Air(AirPort),
    Hci(HciPort),
}

impl Place {
    fn take(
        options: &Options,
        device: &Device,
        is_new: bool,
        terminal: &Terminal,
        events: mpsc::Sender<AirEvent>,
    ) -> Result<Self, SimulatorError> {
        let Some(address) = &options.hci else {
            let dir = options.air.as_deref().unwrap_or(Path::new("."));
            return Ok(Self::Air(AirPort::appear(dir, events)?));
        };
        let hci = HciOptions {
            address: address.clone(),
            flash: options.flash.clone(),
            is_new,
            passkey: device.factory().qr().keys().passkey,
            address_every_s: options.address_every,
            advert_every_ms: options.advert_every,
            is_echo: options.echo,
        };
        Ok(Self::Hci(HciPort::start(hci, terminal.clone(), events)?))
    }

    fn address(&self) -> String {
        match self {
            Self::Air(air) => air.address(),
            Self::Hci(hci) => hci.address(),
        }
    }

    /// The lock started anew.
    fn move_on(&mut self) -> Result<(), AirError> {
        match self {
            Self::Air(air) => air.move_on(),
            Self::Hci(hci) => {
                hci.restart();
                Ok(())
            }
        }
    }

    async fn accept(&mut self) {
        match self {
            Self::Air(air) => air.accept().await,
            Self::Hci(_) => std::future::pending().await,
        }
    }
}

/// A lock that is ready to [`run`](Self::run).
///
/// **Whatever happens in one lock happens in this one loop: one event, then everything that follows
/// from it, then the next.**
#[derive(Debug)]
pub struct Simulator {
    device: Device,
    terminal: Terminal,
    place: Place,
    air_events: mpsc::Receiver<AirEvent>,
    orders: mpsc::Receiver<Order>,
    /// Keeps `orders` open while there is no control socket, and lets a test in.
    order_sender: mpsc::Sender<Order>,
    links: HashMap<ConnectionId, mpsc::Sender<Vec<u8>>>,
    background: JoinSet<()>,
    started: Instant,
    name: String,
}

impl Simulator {
    /// Makes or finds the lock, starts its firmware and puts it on the air. Must be called inside
    /// a tokio runtime.
    ///
    /// # Errors
    /// [`SimulatorError`].
    pub fn start(options: &Options) -> Result<Self, SimulatorError> {
        let terminal = Terminal::new(&options.name, options.quiet);
        let mut entropy = Randomness::new(options.seed);
        if options.seed.is_some() {
            terminal.warn("WARNING: --seed: this lock's keys are known to everybody; tests only");
        }
        let (image, factory, is_new) = lock_files(options, &mut entropy)?;
        let settings = Settings {
            psm: if options.hci.is_some() { PSM } else { 0 },
            auto_relock_ms: options.auto_relock.map(|secs| secs * 1_000),
            ..Settings::default()
        };
        let device = Device::new(image, factory, settings, options.motor_ms, entropy);
        if let Some(error) = device.boot_error() {
            return Err(SimulatorError::Boot(error.to_string()));
        }
        if let Some(path) = &options.qr_text {
            write_secret(path, &device.qr_text()).map_err(|source| SimulatorError::QrText {
                path: path.clone(),
                source,
            })?;
        }
        let (order_sender, orders) = mpsc::channel(WAITING_EVENTS);
        let mut background = JoinSet::new();
        if let Some(path) = &options.control {
            let socket = ControlSocket::bind(path)?;
            background.spawn(socket.serve(order_sender.clone()));
        }
        let (air_sender, air_events) = mpsc::channel(WAITING_EVENTS);
        let place = Place::take(options, &device, is_new, &terminal, air_sender)?;
        terminal.introduce(&device.qr_text(), &place.address());
        Ok(Self {
            device,
            terminal,
            place,
            air_events,
            orders,
            order_sender,
            links: HashMap::new(),
            background,
            started: Instant::now(),
            name: options.name.clone(),
        })
    }

    /// Runs until `stop` is ready.
    ///
    /// # Errors
    /// [`SimulatorError::Image`] when the flash image can no longer be written: a lock whose flash
    /// forgets must not go on.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), SimulatorError> {
        let mut stop = std::pin::pin!(stop);
        // The place taken on the air at the start is the one of this first boot.
        let mut placed = true;
        loop {
            self.device.advance(self.now_ms())?;
            self.carry_out(&mut placed)?;
            let deadline = self.device.next_deadline(self.now_ms());
            let deadline = deadline.map(|due| self.started + Duration::from_millis(due));
            tokio::select! {
                () = &mut stop => break,
                event = self.air_events.recv() => match event {
                    Some(event) => self.take_air_event(event),
                    // A lock without a radio must not look alive.
                    None => return Err(SimulatorError::RadioEnded),
                },
                Some(order) = self.orders.recv() => self.take_order(order)?,
                () = self.place.accept() => {}
                () = sleep_until(deadline) => {}
            }
        }
        self.background.shutdown().await;
        Ok(())
    }

    /// Whole milliseconds since the start.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn carry_out(&mut self, placed: &mut bool) -> Result<(), SimulatorError> {
        while let Some(effect) = self.device.take_effect() {
            match effect {
                Effect::Packet { connection, bytes } => {
                    let link = self.links.get(&connection);
                    if link.is_some_and(|link| link.try_send(bytes).is_err()) {
                        // It reads too slowly: its link goes down, nobody else's waits.
                        self.links.remove(&connection);
                        self.device.close_link(connection, self.now_ms());
                    }
                }
                Effect::Close { connection } => {
                    self.links.remove(&connection);
                }
                Effect::Appeared if std::mem::take(placed) => {}
                Effect::Appeared => self.place.move_on()?,
                Effect::Noticed(view) => {
                    if let Place::Hci(hci) = &self.place {
                        hci.set_alive(view.alive);
                    }
                    self.terminal.notice(&view);
                }
            }
        }
        Ok(())
    }

    fn take_air_event(&mut self, event: AirEvent) {
        let now_ms = self.now_ms();
        match event {
            AirEvent::Scanned(answer) => {
                if let Some(beacon) = self.device.beacon() {
                    // Gone again: a scanner that changed its mind.
                    let _heard = answer.send(beacon);
                }
            }
            AirEvent::Wanted {
                connection,
                packet,
                answer,
                outbound,
            } => {
                let granted = self.device.open_link(connection, packet, now_ms);
                if granted.is_ok() {
                    self.links.insert(connection, outbound);
                }
                if answer.send(granted).is_err() {
                    self.links.remove(&connection);
                    self.device.close_link(connection, now_ms);
                }
            }
            AirEvent::Packet(connection, packet) => {
                self.device.packet(connection, &packet, now_ms);
            }
            AirEvent::Gone(connection) => {
                self.links.remove(&connection);
                self.device.close_link(connection, now_ms);
            }
        }
    }

    fn take_order(&mut self, order: Order) -> Result<(), SimulatorError> {
        let now_ms = self.now_ms();
        let is_status = order.request == Request::Status;
        let is_reset =
            matches!(order.request, Request::Button { held_ms } if held_ms >= RESET_HOLD_MS);
        let mut answer = self.device.control(order.request, now_ms);
        // What an order sets off at once has happened when its answer arrives.
        self.device.advance(now_ms)?;
        let mut placed = false;
        self.carry_out(&mut placed)?;
        if is_reset
            && answer["ok"] == true
            && let Place::Hci(hci) = &self.place
        {
            hci.forget();
        }
        if is_status {
            answer = self.device.control(Request::Status, now_ms);
        }
        if order.request == Request::Hello
            && let Some(fields) = answer.as_object_mut()
        {
            fields.insert("name".to_owned(), self.name.clone().into());
            fields.insert("address".to_owned(), self.place.address().into());
        }
        // Whoever asked may be gone; what was asked is done all the same.
        let _heard = order.answer.send(answer);
        Ok(())
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The two files of the lock: both there, or both made now; and which of it.
fn lock_files(
    options: &Options,
    entropy: &mut Randomness,
) -> Result<(Image, Factory, bool), SimulatorError> {
    let factory_path = factory_file::path_beside(&options.flash);
    let there = |path: &Path| path.symlink_metadata().is_ok();
    match (there(&options.flash), there(&factory_path)) {
        (true, true) if !options.new => {
            let image = Image::open(&options.flash)?;
            entropy.mix_in(image.digest());
            Ok((image, factory_file::read(&factory_path)?, false))
        }
        (true, false) if !options.new => Err(SimulatorError::HalfALock {
            missing: factory_path,
        }),
        (false, true) if !options.new => Err(SimulatorError::HalfALock {
            missing: options.flash.clone(),
        }),
        _ => {
            let image = Image::create(&options.flash, NEW_IMAGE_PAGES)?;
            let factory = Factory::generate(MODEL, entropy);
            factory_file::write(&factory_path, &factory)?;
            Ok((image, factory, true))
        }
    }
}

/// The code holds the setup secret: nobody else may read the file.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{text}")
}

/// A lock on a thread of its own, for tests; stopped when this is dropped.
#[derive(Debug)]
pub struct Running {
    orders: mpsc::Sender<Order>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), SimulatorError>>>,
    qr_text: String,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// [`SimulatorError`].
    pub fn start(options: Options) -> Result<Self, SimulatorError> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (report, reported) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("lock".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(SimulatorError::Runtime)?;
                runtime.block_on(async move {
                    let simulator = Simulator::start(&options)?;
                    let about = (simulator.order_sender.clone(), simulator.device.qr_text());
                    if report.send(about).is_err() {
                        return Ok(());
                    }
                    let stopped = async {
                        // Told to stop, or whoever could tell is gone: the same.
                        let _told = stopped.await;
                    };
                    simulator.run(stopped).await
                })
            })
            .map_err(SimulatorError::Runtime)?;
        match reported.recv() {
            Ok((orders, qr_text)) => Ok(Self {
                orders,
                stop: Some(stop),
                thread: Some(thread),
                qr_text,
            }),
            Err(_) => Err(join(thread).err().unwrap_or_else(ended_early)),
        }
    }

    /// The text of the code on the lock.
    #[must_use]
    pub fn qr_text(&self) -> &str {
        &self.qr_text
    }

    /// Sends one line as the control socket would take it and waits for the answer. Not to be
    /// called on a thread that drives an async runtime.
    ///
    /// # Errors
    /// [`RequestError`] for a line that is no request.
    pub fn control(&self, line: &str) -> Result<Value, RequestError> {
        let request = Request::parse(line)?;
        let (answer, answered) = oneshot::channel();
        let order = Order { request, answer };
        let stopped = |_| refusal("reach the lock", "it has stopped");
        if let Err(error) = self.orders.blocking_send(order) {
            return Ok(stopped(error.to_string()));
        }
        Ok(answered
            .blocking_recv()
            .unwrap_or_else(|error| stopped(error.to_string())))
    }

    /// Stops it and says how it ended.
    ///
    /// # Errors
    /// [`SimulatorError`] that had ended it before.
    pub fn stop(mut self) -> Result<(), SimulatorError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), SimulatorError> {
        drop(self.stop.take());
        self.thread.take().map_or(Ok(()), join)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that wants to know how it ended calls `stop`.
        let _ended = self.end();
    }
}

fn join(thread: JoinHandle<Result<(), SimulatorError>>) -> Result<(), SimulatorError> {
    thread.join().unwrap_or_else(|_| Err(ended_early()))
}

fn ended_early() -> SimulatorError {
    SimulatorError::Runtime(io::Error::other("the lock's thread ended early"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(options: &Options) -> String {
        let running = Running::start(options.clone()).unwrap();
        let status = running.control(r#"{"do":"status"}"#).unwrap();
        running.stop().unwrap();
        status["core"]["epoch"].as_str().unwrap().to_owned()
    }

    /// I5. Guards: a seeded lock that comes back under the epoch, the link nonces and the handshake
    /// keys of its last run, so that tests of replays over a restart test nothing.
    #[test]
    fn i5_seeded_lock_has_a_new_epoch_at_every_process_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(&dir.path().join("air"), &dir.path().join("flash"));
        options.seed = Some(14);
        let mut epochs: Vec<_> = (0..4).map(|_| epoch(&options)).collect();
        options.new = true;
        assert_eq!(epoch(&options), epochs[0], "the same seed repeats");
        epochs.sort();
        epochs.dedup();
        assert_eq!(epochs.len(), 4);
    }
}
