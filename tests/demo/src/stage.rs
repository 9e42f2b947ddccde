//! Everything that runs during the demo.

use std::path::{Path, PathBuf};

use drawbridge_support::broker::Broker as EmbeddedBroker;
use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs};
use drawbridge_support::pki::{Identity, Pki};

use crate::report::{Failure, Report};

/// The hub's id; the shipped access list knows it.
pub(crate) const HUB: &str = "h1";

/// How long the bolts of the simulated locks travel, in milliseconds.
const MOTOR_MS: &str = "250";

/// The doors of the house. The last one's bolt is slow, so that a hub can be killed under it.
const DOORS: [(&str, &str); 3] = [("Front", MOTOR_MS), ("Back", MOTOR_MS), ("Gate", "1500")];

/// Broker, locks, hub, owner. Fields end in this order.
pub(crate) struct Stage {
    pub(crate) hub: Hub,
    pub(crate) locks: Vec<LockSim>,
    pub(crate) owner: Cli,
    pub(crate) app: Identity,
    pub(crate) broker: Broker,
    pub(crate) runtime: tokio::runtime::Runtime,
    programs: Programs,
    _embedded: EmbeddedBroker,
    _pki: Pki,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Builds what is run, without BlueZ support: a machine with Rust and a C compiler is enough.
    pub(crate) fn programs() -> Result<Programs, Failure> {
        Ok(Programs::build(false)?)
    }

    /// Sets everything up; `None` when a step failed.
    pub(crate) fn set(programs: Programs, report: &mut Report) -> Option<Self> {
        let folder = report.run(
            "folder",
            "making a folder that goes when the demo ends",
            || {
                Ok(tempfile::Builder::new()
                    .prefix("drawbridge-demo-")
                    .tempdir()?)
            },
        )?;
        let root = folder.path().to_owned();
        let pki = report.run("pki", "making a throw-away CA", || {
            let dir = made(&root, "pki")?;
            Ok(Pki::create(&dir)?)
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .ok()?;
        let embedded = report.run(
            "broker",
            "starting an MQTT 5 broker with mutual TLS",
            || Ok(runtime.block_on(EmbeddedBroker::start(&pki, ""))?),
        )?;
        let air = made(&root, "air").ok()?;
        let locks = report.run("locks", "making three simulated locks", || {
            let locks = made(&root, "locks")?;
            let start = |(name, motor_ms): (&str, &str)| {
                LockSim::start(&programs, &locks, &air, name, &["--motor-ms", motor_ms])
            };
            Ok(DOORS
                .into_iter()
                .map(start)
                .collect::<Result<Vec<_>, _>>()?)
        })?;
        let (hub, broker) = report.run("hub", "starting the hub", || {
            let broker = Broker::new(embedded.port(), &pki, pki.client(HUB)?);
            let hub = Hub::start(&programs, &made(&root, "hub")?, HUB, &air, &broker)?;
            Ok((hub, broker))
        })?;
        let (owner, app) = report.run("owner", "making the owner's keys", || {
            let app = pki.client("app:a1")?;
            let way = Broker::new(broker.port, &pki, app.clone());
            let home = made(&root, "owner")?;
            let owner = Cli::new(&programs, &home, HUB, &hub.socket, &way)?;
            owner.run(&["owner", "init"])?.done("owner init")?;
            Ok((owner, app))
        })?;
        Some(Self {
            hub,
            locks,
            owner,
            app,
            broker,
            runtime,
            programs,
            _embedded: embedded,
            _pki: pki,
            folder,
        })
    }

    /// A folder for one run's files.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The lock that is called `name`.
    pub(crate) fn lock(&self, name: &str) -> Result<&LockSim, Failure> {
        let found = self.locks.iter().find(|lock| lock.name == name);
        found.ok_or_else(|| crate::report::failure(format!("no lock is called {name}")))
    }

    /// Tells what to type next and waits until the demo is ended by Ctrl-C.
    pub(crate) fn stay_up(&self) {
        let drawbridge = self.programs.path("drawbridge");
        let (drawbridge, config) = (drawbridge.display(), self.owner.config.display());
        let key = self.owner.owner_key.display();
        println!(
            "\nEverything stays up until Ctrl-C. In a second terminal:\n\n  \
             alias db='{drawbridge} --client-config {config} --owner-key {key}'\n  \
             db lock list\n  db unlock Front\n  db state Front\n  db lock log Front --local\n  \
             db watch                      (and unlock something in a third terminal)\n  \
             db unlock Front --local       (goes through the control socket, without the broker)\n  \
             db doctor\n\nThe hub's log: {}",
            self.hub.log.display()
        );
        self.runtime.block_on(async {
            // Without a signal handler Ctrl-C would end the demo without tidying up.
            let _ = tokio::signal::ctrl_c().await;
        });
        println!("\ntidying up");
    }
}

fn made(root: &Path, name: &str) -> Result<PathBuf, std::io::Error> {
    let path = root.join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
