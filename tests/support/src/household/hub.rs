//! The daemon as a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{HouseholdError, Programs, tail, wait_for};
use crate::pki::{Identity, Pki};

/// Which broker a hub talks to, and as whom.
#[derive(Debug, Clone)]
pub struct Broker {
    /// The port on loopback.
    pub port: u16,
    /// The CA.
    pub ca: PathBuf,
    /// The hub's certificate.
    pub identity: Identity,
}

impl Broker {
    /// A broker on loopback that `pki` vouches for.
    #[must_use]
    pub fn new(port: u16, pki: &Pki, identity: Identity) -> Self {
        Self {
            port,
            ca: pki.ca_file().to_owned(),
            identity,
        }
    }
}

/// A running `drawbridged`. Dropping it ends the process; its state stays.
#[derive(Debug)]
pub struct Hub {
    child: Child,
    program: PathBuf,
    /// The hub's id.
    pub id: String,
    /// Everything that the hub keeps.
    pub state: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Its control socket.
    pub socket: PathBuf,
    /// Its log.
    pub log: PathBuf,
}

impl Hub {
    /// Writes a configuration into `folder` and starts the hub.
    ///
    /// # Errors
    /// [`HouseholdError`].
    pub fn start(
        programs: &Programs,
        folder: &Path,
        id: &str,
        air: &Path,
        broker: &Broker,
    ) -> Result<Self, HouseholdError> {
        let (state, run) = (folder.join("state"), folder.join("run"));
        for made in [&state, &run] {
            std::fs::create_dir_all(made).map_err(HouseholdError::io("make a folder", made))?;
        }
        let socket = run.join("control.sock");
        let config = folder.join("drawbridge.toml");
        let text = format!(
            "[hub]\nid = {id:?}\nstate_dir = {state:?}\nruntime_dir = {run:?}\n\n\
             [broker]\nhost = \"localhost\"\nport = {}\nca = {:?}\ncert = {:?}\nkey = {:?}\n\n\
             [radio]\nbluez = false\nvirtual_air = {air:?}\n\n\
             [control]\nsocket = {socket:?}\ngroup = \"\"\n\n[log]\nlevel = \"debug\"\n",
            broker.port, broker.ca, broker.identity.cert, broker.identity.key,
        );
        std::fs::write(&config, text)
            .map_err(HouseholdError::io("write the configuration", &config))?;
        let log = folder.join("hub.log");
        let program = programs.path("drawbridged");
        let child = spawn(&program, &config, &log)?;
        let hub = Self {
            child,
            program,
            id: id.to_owned(),
            state,
            config,
            socket,
            log,
        };
        hub.wait_until_it_listens()?;
        Ok(hub)
    }

    fn wait_until_it_listens(&self) -> Result<(), HouseholdError> {
        wait_for("the hub's control socket", 20, &self.log, || {
            std::os::unix::net::UnixStream::connect(&self.socket).ok()
        })
        .map(|_| ())
    }

    /// Waits until its log has `text`, counted from byte `from` of it.
    ///
    /// # Errors
    /// [`HouseholdError::Late`].
    pub fn wait_for_log(
        &self,
        text: &str,
        from: usize,
        seconds: u64,
    ) -> Result<String, HouseholdError> {
        wait_for(
            &format!("'{text}' in the hub's log"),
            seconds,
            &self.log,
            || {
                let log = std::fs::read_to_string(&self.log).ok()?;
                let line = log.get(from..)?.lines().find(|line| line.contains(text))?;
                Some(line.to_owned())
            },
        )
    }

    /// Size of its log so far, in bytes.
    #[must_use]
    pub fn log_size(&self) -> usize {
        std::fs::metadata(&self.log).map_or(0, |about| about.len() as usize)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: no last word, no flush.
    pub fn kill(&mut self) {
        // A process that is gone already is what was wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on what it left. Answers where its log goes on: all before that byte was said by
    /// the run that has ended.
    ///
    /// # Errors
    /// [`HouseholdError`].
    pub fn start_again(&mut self) -> Result<usize, HouseholdError> {
        self.kill();
        let from = self.log_size();
        self.child = spawn(&self.program, &self.config, &self.log)?;
        self.wait_until_it_listens()?;
        Ok(from)
    }

    /// SIGTERM, and waits for its end: what is in flight is finished first.
    ///
    /// # Errors
    /// [`HouseholdError::Late`] after 20 s.
    pub fn stop(&mut self) -> Result<std::process::ExitStatus, HouseholdError> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| HouseholdError::io("stop the hub", &self.program)(error.into()))?;
        let log = self.log.clone();
        wait_for("the hub to stop", 20, &log, || {
            self.child.try_wait().ok().flatten()
        })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &Path, config: &Path, log: &Path) -> Result<Child, HouseholdError> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(HouseholdError::io("open the log of the hub", log))?;
    let errors = output
        .try_clone()
        .map_err(HouseholdError::io("open the log of the hub", log))?;
    Command::new(program)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(HouseholdError::io("start the hub", program))
}
