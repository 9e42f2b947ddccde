//! One life of our dealings with one life of bluetoothd.
//!
//! bluer: after bluetoothd's return an old session's discovery and notifications do nothing and say
//! nothing, and the agent is not registered again. So: an epoch is dropped and rebuilt whole.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bluer::agent::AgentHandle;
use bluer::{Address as Bdaddr, Session};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Shared;
use super::adapter::Keeper;
use super::call::{BUS, CallError, PROPERTY, limited};
use super::ear::{Ear, Heard};
use super::ladder::Ladder;
use super::scan;
use crate::radio::RadioEvent;

/// Between two signs of life.
const PROBE: Duration = Duration::from_secs(3);
/// Between two looks at the list of adapters, should a signal be missed.
const LOOK: Duration = Duration::from_secs(5);
/// How long the news that bluetoothd has gone may lag behind a call that failed of it.
const NEWS: Duration = Duration::from_millis(500);

/// How long a session outlives its epoch.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why an epoch ended.
#[derive(Debug)]
pub(super) enum End {
    /// bluetoothd has gone, or another has taken its place.
    Away,
    /// The bus has gone.
    BusLost,
    /// It is there and does not work.
    Trouble(CallError),
}

/// The epoch: dropped, all of it ends.
pub(super) struct BleEpoch {
    session: Session,
    _agent: AgentHandle,
    ear: Arc<Ear>,
    owner: String,
    shared: Arc<Shared>,
}

impl Drop for BleEpoch {
    /// bluer: what ends an agent is a call of its own, made when it is dropped; without a session that
    /// reads the answer it holds its connection for 120 s. Seen: ten descriptors more after ten lives
    /// of bluetoothd. So: the session goes a little later.
    fn drop(&mut self) {
        let session = self.session.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                sleep(FAREWELL).await;
                drop(session);
            });
        }
    }
}

impl BleEpoch {
    /// Begins one with the bluetoothd that has this name on the bus.
    pub(super) async fn begin(
        shared: Arc<Shared>,
        ear: Arc<Ear>,
        owner: String,
    ) -> Result<Self, End> {
        let begun = async {
            let session = limited("connect to BlueZ", BUS, Session::new()).await?;
            let agent = session.register_agent(shared.bonds.agent());
            let agent = limited("register the agent", PROPERTY, agent).await?;
            Ok((session, agent))
        };
        match begun.await {
            Ok((session, _agent)) => Ok(Self {
                session,
                _agent,
                ear,
                owner,
                shared,
            }),
            Err(error) => Err(blame(&ear, &owner, error).await),
        }
    }

    /// Lives until something ends it. After a trouble it may be run again.
    pub(super) async fn run(
        &mut self,
        cycle: bool,
        ladder: &mut Ladder,
        heard: &mut mpsc::Receiver<Heard>,
        events: &mpsc::Sender<RadioEvent>,
    ) -> End {
        let (troubles, mut trouble) = mpsc::channel(1);
        let (mut owner, mut lost) = (self.ear.owner(), self.ear.lost());
        let mut ready = self.shared.ports.count();
        let error = tokio::select! {
            _ = lost.wait_for(|lost| *lost) => return End::BusLost,
            _ = owner.wait_for(|owner| owner.as_ref() != Some(&self.owner)) => return End::Away,
            error = self.probe() => error,
            error = self.adopt(cycle, troubles) => error,
            Some(error) = trouble.recv() => error,
            () = scan::tell(&self.shared, heard, events) => return End::BusLost,
            () = async {
                drop(ready.wait_for(|count| *count > 0).await);
                ladder.ready(Instant::now());
                std::future::pending().await
            } => return End::BusLost,
        };
        blame(&self.ear, &self.owner, error).await
    }

    /// Asks for a sign of life, over and over; returns when none came.
    async fn probe(&self) -> CallError {
        loop {
            sleep(PROBE).await;
            if let Err(error) = self.ear.ping(&self.owner).await {
                return error;
            }
        }
    }

    /// Gives each adapter a keeper, by address, and takes it away with the adapter.
    async fn adopt(&self, cycle: bool, troubles: mpsc::Sender<CallError>) -> CallError {
        let mut keepers = JoinSet::new();
        let mut kept: HashMap<Bdaddr, (String, tokio::task::AbortHandle)> = HashMap::new();
        let mut changed = self.ear.adapters_changed();
        loop {
            changed.mark_unchanged();
            let names = self.session.adapter_names();
            let names = match limited("list the adapters", PROPERTY, names).await {
                Ok(names) => names,
                Err(error) => return error,
            };
            let mut there = HashMap::new();
            for name in names {
                let Ok(adapter) = self.session.adapter(&name) else {
                    continue;
                };
                // One that vanishes meanwhile, or is mute, is not there.
                let address = limited("read an adapter's address", PROPERTY, adapter.address());
                if let Ok(address) = address.await
                    && self.shared.may_use(address)
                {
                    there.insert(address, adapter);
                }
            }
            kept.retain(|address, (name, keeper)| {
                let stays = !keeper.is_finished()
                    && there
                        .get(address)
                        .is_some_and(|adapter| adapter.name() == name);
                if !stays {
                    keeper.abort();
                }
                stays
            });
            for (address, adapter) in there {
                kept.entry(address).or_insert_with(|| {
                    let name = adapter.name().to_owned();
                    let keeper = Keeper {
                        adapter,
                        address,
                        shared: Arc::clone(&self.shared),
                        ear: Arc::clone(&self.ear),
                        troubles: troubles.clone(),
                        cycle,
                    };
                    (name, keepers.spawn(keeper.keep()))
                });
            }
            while keepers.try_join_next().is_some() {}
            let _changed = timeout(LOOK, changed.changed()).await;
        }
    }
}

/// A call failed: was it bluetoothd's death, the bus's, or neither?
async fn blame(ear: &Ear, owner: &str, error: CallError) -> End {
    let (mut owners, mut lost) = (ear.owner(), ear.lost());
    tokio::select! {
        biased;
        _ = lost.wait_for(|lost| *lost) => End::BusLost,
        _ = owners.wait_for(|now| now.as_deref() != Some(owner)) => End::Away,
        () = sleep(NEWS) => End::Trouble(error),
    }
}
