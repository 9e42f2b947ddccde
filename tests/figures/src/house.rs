//! The household that is measured: mosquitto, simulated locks, the hub, an owner.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drawbridge_support::household::{Broker, Cli, Hub, LockSim, Programs};
use drawbridge_support::mosquitto::{Mosquitto, Setup};
use drawbridge_support::pki::{Identity, Pki};

use crate::Failure;

/// The hub under measurement; the shipped access list knows it.
pub(crate) const HUB: &str = "h1";

/// The place on the broker of a bridge that is measured beside it.
pub(crate) const BRIDGE: &str = "h2";

/// The owner's app.
const APP: &str = "app:a1";

/// Where a hub will stand: everything but the hub. Fields end in this order.
pub(crate) struct Ground {
    pub(crate) locks: Vec<LockSim>,
    pub(crate) broker: Mosquitto,
    pub(crate) pki: Pki,
    pub(crate) programs: Programs,
    pub(crate) air: PathBuf,
    folder: tempfile::TempDir,
}

impl Ground {
    /// Builds the programs in release and starts a broker.
    pub(crate) fn new() -> Result<Self, Failure> {
        eprintln!("drawbridge-figures: building hub, command line and lock");
        let programs = Programs::build(false)?;
        let folder = tempfile::Builder::new()
            .prefix("drawbridge-figures-")
            .tempdir()?;
        let pki = Pki::create(&made(folder.path(), "pki")?)?;
        // The same app may talk to the bridge that is measured beside the hub.
        let setup = Setup::default().with_app(APP, BRIDGE);
        let broker = Mosquitto::start(&pki, &setup)?;
        let air = made(folder.path(), "air")?;
        Ok(Self {
            locks: Vec::new(),
            broker,
            pki,
            programs,
            air,
            folder,
        })
    }

    /// A folder of that name, made if need be.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        made(self.folder.path(), name)
    }

    /// One more simulated lock, whose bolt takes no time.
    pub(crate) fn add_lock(&mut self) -> Result<usize, Failure> {
        let folder = self.folder("locks")?;
        let name = format!("L{}", self.locks.len() + 1);
        let lock = LockSim::start(
            &self.programs,
            &folder,
            &self.air,
            &name,
            &["--motor-ms", "0", "--quiet"],
        )?;
        self.locks.push(lock);
        Ok(self.locks.len() - 1)
    }

    /// The client certificate of `name`.
    pub(crate) fn identity(&self, name: &str) -> Result<Identity, Failure> {
        Ok(self.pki.client(name)?)
    }
}

/// A household. Fields end in this order.
pub(crate) struct House {
    pub(crate) hub: Hub,
    pub(crate) owner: Cli,
    pub(crate) app: Identity,
    pub(crate) ground: Ground,
}

impl House {
    /// Starts a hub that reaches the broker at `port` and the locks in `air`, and makes an owner.
    pub(crate) fn new(ground: Ground, port: u16, air: &Path) -> Result<Self, Failure> {
        let way = Broker::new(port, &ground.pki, ground.identity(HUB)?);
        let hub = Hub::start(&ground.programs, &ground.folder("hub")?, HUB, air, &way)?;
        let app = ground.identity(APP)?;
        let way = Broker::new(ground.broker.port(), &ground.pki, app.clone());
        let home = ground.folder("owner")?;
        let owner = Cli::new(&ground.programs, &home, HUB, &hub.socket, &way)?;
        owner.run(&["owner", "init"])?.done("owner init")?;
        let mut house = Self {
            hub,
            owner,
            app,
            ground,
        };
        house.restart_at("info")?;
        Ok(house)
    }

    /// Starts the hub anew, with that log level: what nobody runs in a home is not measured.
    pub(crate) fn restart_at(&mut self, level: &str) -> Result<(), Failure> {
        self.hub.stop()?;
        let text = std::fs::read_to_string(&self.hub.config)?;
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                if line.starts_with("level = ") {
                    format!("level = {level:?}")
                } else {
                    line.to_owned()
                }
            })
            .collect();
        std::fs::write(&self.hub.config, lines.join("\n"))?;
        let from = self.hub.start_again()?;
        self.hub.wait_for_log("broker_up", from, 20)?;
        Ok(())
    }

    /// Pairs the lock at `index` with the owner by its code.
    pub(crate) fn pair(&self, index: usize) -> Result<(), Failure> {
        let lock = self.ground.locks.get(index).ok_or("no such lock")?;
        lock.press_button()?;
        let words = ["owner", "claim", "--name", &lock.name, "--code-file", "-"];
        self.owner
            .run_with(&words, &lock.code)?
            .done("owner claim")?;
        Ok(())
    }

    /// Waits until the hub says that all locks are online; 64 of them share its 8 links.
    pub(crate) fn wait_until_online(&self) -> Result<(), Failure> {
        let wanted = self.ground.locks.len();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let said = self.owner.run(&["status", "--local"])?;
            let linked = said.out.matches("\"online\":true").count();
            if linked >= wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{linked} of {wanted} locks are online: {}", said.out).into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn made(root: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = root.join(name);
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
