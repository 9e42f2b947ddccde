//! S24 on D-Bus: Debian's dbus-daemon with Debian's own configuration, BlueZ's own policy and ours, and somebody who
//! answers as org.bluez. The users are those that our sysusers file makes.
//!
//! Guards: BlueZ's own policy, by which any local user drives the radio; and a rule of ours that is there and does not
//! hold, because a folder's order put it first.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dbus::blocking::Connection;
use dbus::channel::{Channel, MatchingReceiver, Sender};
use dbus::message::MatchRule;
use drawbridge_service_tests::{Ran, need_root, run, workspace};

const POLICY: &str = "systemd/dbus-system-local.conf";

/// Where packages of Debian 12 and of Debian 13 have BlueZ's policy.
const OF_BLUEZ: [&str; 2] = [
    "/etc/dbus-1/system.d/bluetooth.conf",
    "/usr/share/dbus-1/system.d/bluetooth.conf",
];

/// In which folder BlueZ's policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Debian12,
    Debian13,
}

struct Bus {
    daemon: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Bus {
    /// The system's bus in small; with our policy or as it is without the package.
    fn start(layout: Layout, closed: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for made in ["share", "etc", "users"] {
            fs::create_dir(at(made)).unwrap();
        }
        let bluez = OF_BLUEZ.iter().find(|path| Path::new(path).exists());
        let bluez = bluez.expect("BlueZ's policy: apt-get install bluez");
        let place = match layout {
            Layout::Debian12 => "etc",
            Layout::Debian13 => "share",
        };
        fs::copy(bluez, at(place).join("bluetooth.conf")).unwrap();
        if closed {
            // The package makes a link; the file is the same.
            fs::copy(workspace().join(POLICY), at("system-local.conf")).unwrap();
        }
        let config = at("system.conf");
        fs::write(&config, configuration(folder.path())).unwrap();
        make_users(&at("users"));
        // In a mount namespace of its own the daemon sees the users that the package makes.
        let script = format!(
            "mount --bind {0}/etc/passwd /etc/passwd && mount --bind {0}/etc/group /etc/group && \
             exec dbus-daemon --nofork --config-file={1}",
            at("users").display(),
            config.display()
        );
        let daemon = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", &script])
            .stdin(Stdio::null())
            // It says a line for each refusal.
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare (package util-linux)");
        let socket = at("bus");
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "dbus-daemon does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        let address = format!("unix:path={}", socket.display());
        Self {
            daemon,
            address,
            folder,
        }
    }

    /// Numeric user and group of a name.
    fn ids_of(&self, user: &str) -> (String, String) {
        let passwd = fs::read_to_string(self.folder.path().join("users/etc/passwd")).unwrap();
        let line = passwd
            .lines()
            .find(|line| line.starts_with(&format!("{user}:")));
        let fields: Vec<&str> = line.expect(user).split(':').collect();
        (fields[2].to_owned(), fields[3].to_owned())
    }

    fn group(&self, name: &str) -> String {
        let groups = fs::read_to_string(self.folder.path().join("users/etc/group")).unwrap();
        let line = groups
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")));
        line.expect(name).split(':').nth(2).unwrap().to_owned()
    }

    /// A call as this user, with one more group; `whom` is a well-known or a unique name.
    fn call(&self, user: &str, group: Option<&str>, whom: &str, method: [&str; 3]) -> Ran {
        let (uid, gid) = self.ids_of(user);
        let groups = match group {
            Some(group) => format!("--groups={}", self.group(group)),
            None => "--clear-groups".to_owned(),
        };
        run(Command::new("setpriv")
            .args([
                &format!("--reuid={uid}"),
                &format!("--regid={gid}"),
                &groups,
            ])
            .args([
                "busctl",
                "--timeout=5",
                &format!("--address={}", self.address),
            ])
            .args(["call", whom])
            .args(method))
    }
}

/// Debian's configuration of the system bus with its places moved into `folder`.
fn configuration(folder: &Path) -> String {
    let path = "/usr/share/dbus-1/system.conf";
    let mut text = fs::read_to_string(path).expect("apt-get install dbus");
    let mut swap = |from: &str, to: String| {
        assert!(text.contains(from), "{path} has no {from}");
        text = text.replace(from, &to);
    };
    let at = |name: &str| folder.join(name).display().to_string();
    // It is not the system's bus and starts nothing.
    swap("<user>messagebus</user>", String::new());
    swap("<fork/>", String::new());
    swap("<syslog/>", String::new());
    swap("<standard_system_servicedirs/>", String::new());
    swap(
        "<servicehelper>/usr/lib/dbus-1.0/dbus-daemon-launch-helper</servicehelper>",
        String::new(),
    );
    swap("/run/dbus/pid", at("pid"));
    swap("/run/dbus/system_bus_socket", at("bus"));
    swap(
        "<includedir>system.d<",
        format!("<includedir>{}<", at("share")),
    );
    swap("/etc/dbus-1/system.d", at("etc"));
    swap("/etc/dbus-1/system-local.conf", at("system-local.conf"));
    swap("/etc/dbus-1/system.conf", at("none.conf"));
    text
}

/// This machine's users, BlueZ's group, and what our sysusers file adds.
fn make_users(root: &Path) {
    let etc = root.join("etc");
    fs::create_dir_all(&etc).unwrap();
    for name in ["passwd", "group"] {
        fs::copy(Path::new("/etc").join(name), etc.join(name)).unwrap();
    }
    let group = fs::read_to_string(etc.join("group")).unwrap();
    if !group.contains("\nbluetooth:") {
        fs::write(etc.join("group"), group + "bluetooth:x:64990:\n").unwrap();
    }
    let ours = root.join("drawbridge.conf");
    fs::copy(workspace().join("systemd/drawbridge.sysusers"), &ours).unwrap();
    let root = format!("--root={}", root.display());
    let _ = run(Command::new("systemd-sysusers").arg(root).arg(ours)).done();
}

/// Answers every call as org.bluez until it is dropped, and counts them.
struct StandIn {
    calls: Arc<AtomicU32>,
    unique: String,
    stop: Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StandIn {
    fn on(bus: &Bus) -> Self {
        let mut channel = Channel::open_private(&bus.address).unwrap();
        channel.register().unwrap();
        let unique = channel.unique_name().unwrap().to_owned();
        let (calls, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (counted, told) = (Arc::clone(&calls), Arc::clone(&stop));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let connection = Connection::from(channel);
            connection
                .request_name("org.bluez", false, false, true)
                .unwrap();
            connection.start_receive(
                MatchRule::new_method_call(),
                Box::new(move |message, connection| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    connection.send(message.method_return()).is_ok()
                }),
            );
            ready.send(()).unwrap();
            while told.load(Ordering::Relaxed) == 0 {
                connection.process(Duration::from_millis(50)).unwrap();
            }
        });
        is_ready.recv().unwrap();
        Self {
            calls,
            unique,
            stop,
            thread: Some(thread),
        }
    }

    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a stranger may want of BlueZ: look around, scan, drop a bond, switch the radio off.
const CALLS: [[&str; 3]; 4] = [
    [
        "/",
        "org.freedesktop.DBus.ObjectManager",
        "GetManagedObjects",
    ],
    ["/org/bluez/hci0", "org.bluez.Adapter1", "StartDiscovery"],
    ["/org/bluez/hci0", "org.bluez.Adapter1", "RemoveDevice"],
    ["/org/bluez/hci0", "org.freedesktop.DBus.Properties", "Set"],
];

#[test]
fn s24_only_root_and_the_hub_reach_bluez() {
    need_root();
    for layout in [Layout::Debian12, Layout::Debian13] {
        let bus = Bus::start(layout, true);
        let bluez = StandIn::on(&bus);
        for method in CALLS {
            for whom in ["org.bluez", &bluez.unique] {
                let before = bluez.calls();
                for (user, group) in [
                    ("nobody", None),
                    ("nobody", Some("bluetooth")),
                    ("daemon", None),
                    // A member of the hub's group may ask the hub, which is not BlueZ.
                    ("daemon", Some("drawbridge")),
                ] {
                    let said = bus.call(user, group, whom, method);
                    assert!(!said.ok, "{layout:?}: {user} {group:?} {whom} {method:?}");
                    assert!(
                        said.err.contains("Access denied") || said.err.contains("rejected"),
                        "{}",
                        said.err
                    );
                }
                assert_eq!(bluez.calls(), before, "{layout:?}: a refused call arrived");
                for user in ["root", "drawbridge"] {
                    let said = bus.call(user, None, whom, method);
                    assert!(
                        said.ok,
                        "{layout:?}: {user} {whom} {method:?}: {}",
                        said.err
                    );
                }
                assert_eq!(bluez.calls(), before + 2);
            }
        }
    }
}

/// Guards: a test of refusals on a bus that refuses everybody for some other reason.
#[test]
fn s24_without_the_policy_anybody_would_reach_bluez() {
    need_root();
    for layout in [Layout::Debian12, Layout::Debian13] {
        let bus = Bus::start(layout, false);
        let bluez = StandIn::on(&bus);
        let said = bus.call("nobody", None, "org.bluez", CALLS[1]);
        assert!(said.ok, "{layout:?}: {}", said.err);
        assert_eq!(bluez.calls(), 1);
    }
}

/// Guards: an administrator who cannot let in his own tool. Rules for users come after ours in either folder.
#[test]
fn s24_a_user_whom_the_administrator_names_reaches_bluez() {
    need_root();
    for layout in [Layout::Debian12, Layout::Debian13] {
        let bus = Bus::start(layout, true);
        let own: PathBuf = bus.folder.path().join("etc/own.conf");
        fs::write(
            &own,
            "<busconfig><policy user=\"daemon\"><allow send_destination=\"org.bluez\"/></policy></busconfig>",
        )
        .unwrap();
        let reload = [
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "ReloadConfig",
        ];
        let _ = bus
            .call("root", None, "org.freedesktop.DBus", reload)
            .done();
        let bluez = StandIn::on(&bus);
        assert!(
            bus.call("daemon", None, "org.bluez", CALLS[1]).ok,
            "{layout:?}"
        );
        assert!(
            !bus.call("nobody", None, "org.bluez", CALLS[1]).ok,
            "{layout:?}"
        );
        assert_eq!(bluez.calls(), 1);
    }
}
