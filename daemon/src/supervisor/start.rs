//! Start, in order: journal, store, keys, adapters, READY; and the way back on a signal.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cloud::{Cloud, CloudConfig, Endpoint, TrustPaths};
use crate::config::{self, Config};
use crate::control::{ControlConfig, ControlError, ControlSocket};
use crate::core::{Hub, HubConfig};
use crate::readiness::{Liveness, ServiceManager};
use crate::store::identity::{IdentityDir, IdentityError};
use crate::store::{Store, StoreConfig, StoreError, StoreOpened};

use super::cloud::Broker;
use super::control::Desk;
use super::driver::{AdapterEnded, Driver, Inputs, Kernel};
use super::wall::Clocks;
use super::{restore, storage};

/// Messages that may wait between the core and one adapter.
const QUEUE: usize = 256;

/// The core shows life every 15 s; three times that is dead.
const CORE_SILENCE: Duration = Duration::from_secs(45);

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The system gives too little to run with.
    #[error(
        "have enough descriptors, threads and memory: raise LimitNOFILE, TasksMax or MemoryMax of the service"
    )]
    Means(#[source] std::io::Error),
    /// The store could not be opened.
    #[error("open the store")]
    Store(#[source] StoreError),
    /// The hub's own keys or the bindings could not be read.
    #[error("read the hub's keys")]
    Identity(#[source] IdentityError),
    /// The control socket could not be made.
    #[error("open the control socket")]
    Control(#[source] ControlError),
    /// The hub's id cannot stand in a topic.
    #[error("take the hub's id")]
    HubId(#[source] crate::core::topic::BadHubId),
    /// The broker's section of the configuration cannot work.
    #[error("set up the connection to the broker")]
    Cloud(#[source] crate::cloud::ConfigError),
    /// No radio is configured, or it cannot work.
    #[error("set up the radio: {0}")]
    Radio(String),
    /// The runtime could not be built, or a signal not be caught.
    #[error("set up the runtime")]
    Runtime(#[source] std::io::Error),
    /// It ran, and a part of it ended by itself.
    #[error("run the daemon")]
    Adapter(#[source] AdapterEnded),
    /// It ran, and its core met a state that must not be.
    #[error("run the daemon: its core ended by a panic; what was accepted is on disk")]
    Core,
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// [`StartError`]. Before READY: nothing was started, nothing changed but the first-start files.
/// [`StartError::Adapter`] and [`StartError::Core`] come later, and the service manager is to start
/// the daemon anew.
pub fn run(config: &Config) -> Result<(), StartError> {
    crate::means::refuse_huge_pages();
    crate::means::check().map_err(StartError::Means)?;
    let state = &config.hub.state_dir;
    let (store, opened) =
        Store::open(StoreConfig::new(state.join("db"))).map_err(StartError::Store)?;
    let identities = IdentityDir::open(&state.join("identity")).map_err(StartError::Identity)?;
    tell(&opened);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    runtime.block_on(serve(config, store, opened, Arc::new(identities)))
}

async fn serve(
    config: &Config,
    store: Store,
    opened: StoreOpened,
    identities: Arc<IdentityDir>,
) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Runtime)?;
    let keys = restore::keys(&identities).map_err(StartError::Identity)?;
    let bindings = restore::bindings(&identities).map_err(StartError::Identity)?;
    let restored = restore::restore(&store, &opened, bindings)
        .await
        .map_err(StartError::Store)?;

    let socket = ControlSocket::bind(ControlConfig::new(
        config.control_socket(),
        config.control_group(),
    ))
    .map_err(StartError::Control)?;
    let (control_to, control) = mpsc::channel(QUEUE);
    let control_task = tokio::spawn(socket.serve(control_to));
    let (sender, cloud) = match &config.broker {
        Some(broker) => {
            let plane = Cloud::spawn(cloud_config(config, broker)).map_err(StartError::Cloud)?;
            (Some(plane.sender), Some(plane.events))
        }
        None => (None, None),
    };
    let radio =
        crate::radio::spawn(config).map_err(|error| StartError::Radio(storage::chain(&error)))?;
    let (batches, batch_queue) = mpsc::channel(QUEUE);
    let (answers, stored) = mpsc::channel(QUEUE);
    let keeper = tokio::spawn(storage::keep(
        store.clone(),
        identities,
        batch_queue,
        answers,
    ));

    let mut clocks = Clocks::new(opened.time_floor);
    let mut entropy = Kernel;
    let now = clocks.now();
    let hub_config = HubConfig::new(config.hub.id.as_str(), env!("CARGO_PKG_VERSION"));
    let hub = Hub::new(hub_config, keys, restored, now, &mut entropy).map_err(StartError::HubId)?;
    let liveness = Liveness::default();
    let heart = liveness.supervise("core", CORE_SILENCE, Instant::now());
    let (stop, stopping) = watch::channel(false);
    let driver = Driver {
        hub,
        clocks,
        broker: Broker::new(sender),
        desk: Desk::default(),
        radio: radio.actions,
        owed: VecDeque::new(),
        batches,
        store,
        heart,
        entropy,
    };
    let inputs = Inputs {
        radio: radio.events,
        cloud,
        stored,
        control,
        stop: stopping,
    };
    let watchdog = tokio::spawn(async move {
        ServiceManager
            .feed_watchdog(move || liveness.silent(Instant::now()).is_none())
            .await;
    });
    let ready = ServiceManager.ready("ready");
    if let Err(error) = ready {
        log::warn!(event = "ready_not_told", error = storage::chain(&error).as_str(); "the service manager was not reached");
    }
    log::info!(event = "ready", hub = config.hub.id.as_str(), version = env!("CARGO_PKG_VERSION"); "ready");

    let mut core = tokio::spawn(driver.run(inputs));
    let early = tokio::select! {
        ended = &mut core => Some(ended),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    // Not being able to say so must not keep the daemon from stopping.
    let _ = ServiceManager.stopping();
    let ended = match early {
        Some(ended) => ended,
        None => {
            // The core may have ended in this very moment.
            let _ = stop.send(true);
            core.await
        }
    };
    watchdog.abort();
    control_task.abort();
    keeper.abort();
    match ended {
        Ok(Ok(())) => {
            log::info!(event = "stopped"; "stopped");
            Ok(())
        }
        Ok(Err(ended)) => Err(StartError::Adapter(ended)),
        Err(_) => Err(StartError::Core),
    }
}

fn cloud_config(config: &Config, broker: &config::Broker) -> CloudConfig {
    let endpoint = Endpoint {
        host: broker.host.clone(),
        port: broker.port,
        server_name: broker.server_name.clone(),
    };
    let trust = TrustPaths {
        ca: broker.ca.clone(),
        cert: broker.cert.clone(),
        key: broker.key.clone(),
        crl: broker.crl.clone(),
    };
    CloudConfig::new(
        endpoint,
        trust,
        &config.hub.id,
        config.hub.runtime_dir.clone(),
    )
}

/// What the store found when it opened, for whoever reads the journal.
fn tell(opened: &StoreOpened) {
    let cause = opened.cause.as_deref().unwrap_or("");
    if opened.leftovers_removed > 0 {
        log::warn!(event = "store_leftovers_removed", files = opened.leftovers_removed; "an interrupted snapshot was removed; no record was in it");
    }
    if opened.reset {
        log::error!(event = "store_reset", cause; "the store was damaged and set aside; it starts empty and is filled from locks and cloud");
    } else if opened.lost_records || opened.damaged_records > 0 {
        log::warn!(event = "store_lost_records", damaged = opened.damaged_records, cause; "records are missing; they are fetched again from locks and cloud");
    } else {
        log::info!(event = "store_opened", records = opened.records; "store opened");
    }
}
