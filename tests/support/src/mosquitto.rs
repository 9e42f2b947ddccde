//! Debian's mosquitto as the conformance broker, started from the example files that ship in
//! `config/`, so that the examples are what the tests run.
//!
//! **A missing mosquitto is an error, never a skipped test.**

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::pki::{Identity, Pki, PkiError};

const CONF_EXAMPLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../config/mosquitto.conf.example"
));
const ACL_EXAMPLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../config/mosquitto.acl"
));

/// What went wrong with the broker or its clients.
#[derive(Debug, thiserror::Error)]
pub enum MosquittoError {
    /// The program is not installed.
    #[error("looking for '{0}': not found; run `apt-get install mosquitto mosquitto-clients`")]
    Missing(&'static str),
    /// It ended, or did not listen in time.
    #[error("starting mosquitto: {reason}; its log says: {log}")]
    Start {
        /// What we saw.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// A file or process operation failed.
    #[error("{act}")]
    Io {
        /// What we tried.
        act: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server's certificate could not be made.
    #[error("preparing the broker's certificate")]
    Pki(#[from] PkiError),
}

pub(crate) fn io_error(act: impl Into<String>) -> impl FnOnce(io::Error) -> MosquittoError {
    let act = act.into();
    move |source| MosquittoError::Io { act, source }
}

/// Finds a program on `PATH` or in the folders where Debian keeps it.
///
/// # Errors
/// [`MosquittoError::Missing`], which says what to install.
pub fn find_program(name: &'static str) -> Result<PathBuf, MosquittoError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or(MosquittoError::Missing(name))
}

/// What to change against the shipped example.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Server certificate; a good one for `localhost` when absent.
    pub server: Option<Identity>,
    /// Lines put after the example's own (mosquitto refuses a value given twice: see `replace`).
    pub extra_conf: String,
    /// Lines put after the example's access list.
    pub extra_acl: String,
    /// Replacements made in the example before it is written, such as another `tls_version`.
    pub replace: Vec<(String, String)>,
}

impl Setup {
    /// Lets the app `name` (`app:b1`) talk to `hub`, as the shipped example lets `app:a1` to `h1`.
    #[must_use]
    pub fn with_app(mut self, name: &str, hub: &str) -> Self {
        self.extra_acl.push_str(&role_section("app:a1", name, hub));
        self
    }

    /// Lets the operator `name` (`operator:o2`) run `hub`.
    #[must_use]
    pub fn with_operator(mut self, name: &str, hub: &str) -> Self {
        self.extra_acl
            .push_str(&role_section("operator:o1", name, hub));
        self
    }

    /// The example's access list with what was added to it.
    #[must_use]
    pub fn access_list(&self) -> String {
        format!("{ACL_EXAMPLE}\n{}", self.extra_acl)
    }

    /// Replaces one line's text of the example configuration.
    #[must_use]
    pub fn with_replaced(mut self, from: &str, to: &str) -> Self {
        self.replace.push((from.to_owned(), to.to_owned()));
        self
    }
}

/// The example's section for `like`, rewritten for another user and hub.
fn role_section(like: &str, name: &str, hub: &str) -> String {
    let mut out = format!("\nuser {name}\n");
    let lines = ACL_EXAMPLE
        .lines()
        .skip_while(|line| *line != format!("user {like}"))
        .skip(1)
        .take_while(|line| !line.starts_with("user "))
        .filter(|line| line.starts_with("topic "));
    for line in lines {
        let _ = writeln!(
            out,
            "{}",
            line.replace("drawbridge/h1/", &format!("drawbridge/{hub}/"))
        );
    }
    out
}

/// A running broker. Dropping it ends the process.
#[derive(Debug)]
pub struct Mosquitto {
    child: Child,
    port: u16,
    program: PathBuf,
    ca_file: PathBuf,
    home: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts a broker on a free loopback port.
    ///
    /// # Errors
    /// See [`MosquittoError`].
    pub fn start(pki: &Pki, setup: &Setup) -> Result<Self, MosquittoError> {
        // Another process may take the port between our look and mosquitto's bind: try again.
        let mut attempts = 5;
        loop {
            attempts -= 1;
            match Self::start_once(pki, setup) {
                Err(MosquittoError::Start { log, .. })
                    if attempts > 0 && log.contains("Address already in use") => {}
                other => return other,
            }
        }
    }

    fn start_once(pki: &Pki, setup: &Setup) -> Result<Self, MosquittoError> {
        let program = find_program("mosquitto")?;
        let home = tempfile::tempdir().map_err(io_error("making a folder for mosquitto"))?;
        let server = match &setup.server {
            Some(server) => server.clone(),
            None => pki.server()?,
        };
        let dir = home.path();
        let ca_file = dir.join("ca.pem");
        copy(pki.ca_file(), &ca_file)?;
        copy(&server.cert, &dir.join("server.pem"))?;
        copy(&server.key, &dir.join("server.key"))?;
        write(&dir.join("drawbridge.acl"), &setup.access_list())?;
        let port = free_port()?;
        write(&dir.join("mosquitto.conf"), &conf_text(dir, port, setup))?;
        let child = spawn(&program, dir)?;
        let mut broker = Self {
            child,
            port,
            program,
            ca_file,
            home,
        };
        broker.wait_listening()?;
        Ok(broker)
    }

    /// The TLS port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What mosquitto has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("mosquitto.log")).unwrap_or_default()
    }

    /// Asks the broker to end (SIGTERM: it saves its sessions) and waits for it.
    ///
    /// # Errors
    /// When the process cannot be signalled or waited for.
    pub fn stop(&mut self) -> Result<(), MosquittoError> {
        if self
            .child
            .try_wait()
            .map_err(io_error("asking whether mosquitto runs"))?
            .is_none()
        {
            self.signal(Signal::TERM)?;
            self.child
                .wait()
                .map_err(io_error("waiting for mosquitto to end"))?;
        }
        Ok(())
    }

    /// Ends the broker at once (SIGKILL), as a power cut would.
    ///
    /// # Errors
    /// When the process cannot be killed or waited for.
    pub fn kill(&mut self) -> Result<(), MosquittoError> {
        self.child.kill().map_err(io_error("killing mosquitto"))?;
        self.child
            .wait()
            .map_err(io_error("waiting for mosquitto to end"))?;
        Ok(())
    }

    /// Starts the broker again on the same port with the same files.
    ///
    /// # Errors
    /// See [`MosquittoError`].
    pub fn start_again(&mut self) -> Result<(), MosquittoError> {
        self.stop()?;
        self.child = spawn(&self.program, self.home.path())?;
        self.wait_listening()
    }

    /// As [`Self::start_again`], but the broker has lost every session and retained message.
    ///
    /// # Errors
    /// See [`MosquittoError`].
    pub fn start_again_empty(&mut self) -> Result<(), MosquittoError> {
        self.stop()?;
        let db = self.home.path().join("mosquitto.db");
        if db.exists() {
            fs::remove_file(&db).map_err(io_error("removing the broker's store"))?;
        }
        self.start_again()
    }

    /// Freezes the process (SIGSTOP): its kernel still acknowledges TCP, it answers nothing.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub fn freeze(&self) -> Result<(), MosquittoError> {
        self.signal(Signal::STOP)
    }

    /// Undoes [`Self::freeze`].
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub fn thaw(&self) -> Result<(), MosquittoError> {
        self.signal(Signal::CONT)
    }

    /// A `mosquitto_sub` or `mosquitto_pub` call as `who`, ready for more arguments.
    ///
    /// One certificate can hold one connection at a time (`use_username_as_clientid`).
    ///
    /// # Errors
    /// [`MosquittoError::Missing`].
    pub fn client(&self, program: &'static str, who: &Identity) -> Result<Command, MosquittoError> {
        // Into a pipe these programs write whole blocks; stdbuf (coreutils) makes it lines.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "-eL"]).arg(find_program(program)?);
        command.args(["-V", "5", "-h", "localhost", "-p", &self.port.to_string()]);
        command.arg("--cafile").arg(&self.ca_file);
        command
            .arg("--cert")
            .arg(&who.cert)
            .arg("--key")
            .arg(&who.key);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    fn signal(&self, signal: Signal) -> Result<(), MosquittoError> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|e| io_error("sending a signal to mosquitto")(e.into()))
    }

    fn wait_listening(&mut self) -> Result<(), MosquittoError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        loop {
            let ended = self
                .child
                .try_wait()
                .map_err(io_error("asking whether mosquitto runs"))?;
            if let Some(status) = ended {
                return Err(MosquittoError::Start {
                    reason: status.to_string(),
                    log: self.log(),
                });
            }
            if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let reason = format!("not listening on {address} after 10 s");
                return Err(MosquittoError::Start {
                    reason,
                    log: self.log(),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // A frozen process still dies by SIGKILL. Nobody is left to hear about an error here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free TCP port on 127.0.0.1 (free at the time of asking).
///
/// # Errors
/// When no port can be bound.
pub fn free_port() -> Result<u16, MosquittoError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(io_error("looking for a free port"))
}

fn conf_text(home: &Path, port: u16, setup: &Setup) -> String {
    let home = format!("{}/", home.display());
    let mut text = CONF_EXAMPLE
        .replace("/etc/mosquitto/drawbridge/", &home)
        .replace("/var/lib/mosquitto/", &home)
        .replace("listener 8883", &format!("listener {port} 127.0.0.1"));
    for (from, to) in &setup.replace {
        text = text.replace(from, to);
    }
    // Started by root, mosquitto would become another user, who cannot read our 0600 files.
    let _ = writeln!(text, "user root\nlog_dest stdout\nlog_type all");
    text.push_str(&setup.extra_conf);
    text
}

fn spawn(program: &Path, home: &Path) -> Result<Child, MosquittoError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.join("mosquitto.log"))
        .map_err(io_error("opening mosquitto's log"))?;
    let log_too = log
        .try_clone()
        .map_err(io_error("opening mosquitto's log"))?;
    // Into a file it writes whole blocks, and its log would tell of a message half a minute later;
    // stdbuf becomes mosquitto, so the process id stays the same.
    Command::new("stdbuf")
        .args(["-oL", "-eL"])
        .arg(program)
        .arg("-c")
        .arg(home.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        .spawn()
        .map_err(io_error("starting mosquitto"))
}

fn copy(from: &Path, to: &Path) -> Result<(), MosquittoError> {
    fs::copy(from, to).map(|_| ()).map_err(io_error(format!(
        "copying {} to {}",
        from.display(),
        to.display()
    )))
}

fn write(path: &Path, text: &str) -> Result<(), MosquittoError> {
    fs::write(path, text).map_err(io_error(format!("writing {}", path.display())))
}
