//! A message bus that nobody else is on.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A dbus-daemon on a socket in its own folder.
pub(crate) struct Bus {
    socket: PathBuf,
    daemon: Option<Child>,
}

impl Bus {
    /// One whose socket is at this `unix:path=`, in a folder of its own.
    pub(crate) fn at(address: String) -> Self {
        let socket = PathBuf::from(address.strip_prefix("unix:path=").unwrap());
        let config = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
             <busconfig><listen>{address}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>"
        );
        fs::write(socket.with_extension("conf"), config).unwrap();
        let mut bus = Self {
            socket,
            daemon: None,
        };
        bus.start();
        bus
    }

    pub(crate) fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// A folder for the radio's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.socket.parent().unwrap().to_owned()
    }

    /// The same address again after [`Self::kill`].
    pub(crate) fn start(&mut self) {
        let config = self.socket.with_extension("conf");
        let daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nosyslog", "--config-file"])
            .arg(config)
            .stdin(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed: Debian's package dbus-daemon");
        self.daemon = Some(daemon);
        let until = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            assert!(Instant::now() < until, "dbus-daemon does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        // Left behind by a kill; the next one listens there.
        drop(fs::remove_file(&self.socket));
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.daemon.as_ref().unwrap().id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}
