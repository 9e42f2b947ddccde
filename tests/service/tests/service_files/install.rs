//! What the package does to a system: installed, updated, removed, purged, in a throw-away one.
//!
//! Guards: keys that go with an update, a configuration that is overwritten or asked about, two hubs of one name, and
//! a machine that is not as it was after the package has gone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use drawbridge_service_tests::{System, need_root, run};

use crate::package::packages;

const CONFIG: &str = "/etc/drawbridge/drawbridge.toml";
const STATE: &str = "/var/lib/drawbridge";
const LOCAL: &str = "/etc/dbus-1/system-local.conf";
const OURS: &str = "/usr/share/drawbridge/dbus-system-local.conf";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/drawbridge.service";

fn installed() -> (System, String) {
    need_root();
    let system = System::debian_12();
    let said = system.install(&packages().first);
    (system, said)
}

fn id_in(system: &System) -> String {
    let text = system.read(CONFIG);
    let line = text.lines().find(|line| line.starts_with("id = "));
    line.expect("an id").to_owned()
}

fn link_of_dbus(system: &System) -> Option<String> {
    let link = std::fs::read_link(system.path(LOCAL)).ok()?;
    Some(link.display().to_string())
}

#[test]
fn fresh_install_gives_a_hub_that_can_start() {
    let (system, said) = installed();
    let id = id_in(&system);
    assert!(
        id.starts_with("id = \"hub-") && id.len() == "id = \"hub-01234567\"".len(),
        "{id}"
    );
    assert!(
        said.contains(id.trim_start_matches("id = ").trim_matches('"')),
        "{said}"
    );
    assert!(
        said.contains("sudo drawbridge status"),
        "no next command: {said}"
    );
    // The daemon itself takes the configuration.
    let daemon = system.path("/usr/sbin/drawbridged");
    let check = run(Command::new(daemon)
        .arg("--check")
        .arg("--config")
        .arg(system.path(CONFIG)));
    assert!(check.ok, "{}", check.err);
    assert!(!system.has("/etc/drawbridge/drawbridge.toml.new"));
    // Its user, locked, and its folders.
    let passwd = system.read("/etc/passwd");
    let line = passwd.lines().find(|line| line.starts_with("drawbridge:"));
    let user: Vec<&str> = line.expect("a user").split(':').collect();
    assert_eq!(user[5..], ["/var/lib/drawbridge", "/usr/sbin/nologin"]);
    let shadow = system.read("/etc/shadow");
    assert!(
        shadow.lines().any(|line| line.starts_with("drawbridge:!")),
        "{shadow}"
    );
    assert!(
        system
            .read("/etc/group")
            .lines()
            .any(|line| line.starts_with("drawbridge:"))
    );
    let state = std::fs::metadata(system.path(STATE)).unwrap();
    assert_eq!(state.mode() & 0o7777, 0o700);
    assert_eq!(state.uid().to_string(), user[2]);
    let config = std::fs::metadata(system.path(CONFIG)).unwrap();
    assert_eq!(
        (config.mode() & 0o7777, config.uid(), config.gid()),
        (0o644, 0, 0)
    );
    // Started at boot, and BlueZ is closed.
    assert!(system.has(WANTED));
    assert_eq!(link_of_dbus(&system).as_deref(), Some(OURS));
    // A second hub has another name.
    assert_ne!(id_in(&installed().0), id);
}

#[test]
fn update_keeps_keys_settings_and_name_and_asks_nothing() {
    let (system, _) = installed();
    let id = id_in(&system);
    let edited = system.read(CONFIG) + "# mine\n";
    system.write(CONFIG, &edited);
    system.write("/var/lib/drawbridge/identity/hub.key", "a key");
    system.write("/etc/drawbridge/hub.key", "another");
    // An update runs with nobody to answer: standard input is empty.
    let said = system.install(&packages().second);
    assert_eq!(system.read(CONFIG), edited);
    assert_eq!(id_in(&system), id);
    assert_eq!(system.read("/var/lib/drawbridge/identity/hub.key"), "a key");
    assert_eq!(system.read("/etc/drawbridge/hub.key"), "another");
    assert_eq!(link_of_dbus(&system).as_deref(), Some(OURS));
    assert!(system.has(WANTED));
    assert!(!said.contains("is called"), "{said}");
    // What its owner took away stays away: the unit waits for a configuration.
    std::fs::remove_file(system.path(CONFIG)).unwrap();
    system.install(&packages().first);
    assert!(!system.has(CONFIG));
}

/// Guards: a hub that its owner has switched off, and that an update starts again.
#[test]
fn update_does_not_switch_on_what_was_switched_off() {
    let (system, _) = installed();
    std::fs::remove_file(system.path(WANTED)).unwrap();
    system.install(&packages().second);
    assert!(!system.has(WANTED));
}

#[test]
fn removal_keeps_keys_and_purge_says_that_it_does_not() {
    let (system, _) = installed();
    let id = id_in(&system);
    system.write("/var/lib/drawbridge/identity/hub.key", "a key");
    system.write("/etc/drawbridge/ca.pem", "a certificate");
    let said = system.dpkg(&["--remove", "drawbridge"]).done();
    assert!(said.contains("/var/lib/drawbridge"), "{said}");
    assert_eq!(system.read("/var/lib/drawbridge/identity/hub.key"), "a key");
    assert!(system.has(CONFIG));
    for gone in [
        "/usr/sbin/drawbridged",
        "/usr/lib/systemd/system/drawbridge.service",
        LOCAL,
    ] {
        assert!(!system.has(gone), "{gone}");
    }
    // Installed again it is the same hub.
    system.install(&packages().second);
    assert_eq!(id_in(&system), id);
    assert_eq!(link_of_dbus(&system).as_deref(), Some(OURS));
    let said = system.dpkg(&["--purge", "drawbridge"]).done();
    assert!(said.contains("removing the hub's keys"), "{said}");
    for gone in [STATE, CONFIG, LOCAL, WANTED] {
        assert!(!system.has(gone), "{gone}");
    }
    assert_eq!(system.read("/etc/drawbridge/ca.pem"), "a certificate");
    assert!(said.contains("your own files"), "{said}");
}

/// Guards: an administrator's policy that a package replaces, and one that says nothing where it closes nothing.
#[test]
fn policy_of_the_administrator_is_left_alone_and_named() {
    need_root();
    let system = System::debian_12();
    let own = "<busconfig></busconfig>\n";
    system.write(LOCAL, own);
    let install = |package: &Path| {
        let ran = system.dpkg(&["--install", &package.display().to_string()]);
        assert!(ran.ok, "{}", ran.err);
        ran.err
    };
    assert!(install(&packages().first).contains(&format!("<include>{OURS}</include>")));
    assert_eq!(system.read(LOCAL), own);
    // Once it is included, nothing is left to say.
    let included = format!("<busconfig><include>{OURS}</include></busconfig>\n");
    system.write(LOCAL, &included);
    assert!(!install(&packages().second).contains("<include>"));
    let _ = system.dpkg(&["--purge", "drawbridge"]).done();
    assert_eq!(system.read(LOCAL), included);
}

/// Guards: a hub on a BlueZ that it was never tried with.
#[test]
fn bluez_older_than_supported_is_refused() {
    need_root();
    let system = System::with_bluez("5.55-3.1+deb11u1");
    let refused = system.dpkg(&["--install", &packages().first.display().to_string()]);
    assert!(!refused.ok);
    assert!(refused.err.contains("bluez (>= 5.66)"), "{}", refused.err);
    assert!(!system.has(CONFIG), "a hub was made that cannot start");
}

/// Guards: tests, and builders of images, whose own machine the package changes.
#[test]
fn installing_into_another_root_leaves_this_machine_alone() {
    need_root();
    let looks = || -> Vec<Option<std::time::SystemTime>> {
        let changed = |path: &&str| std::fs::symlink_metadata(path)?.modified();
        [
            "/etc/passwd",
            "/etc/group",
            "/etc/dbus-1",
            "/etc/drawbridge",
            STATE,
            "/etc/systemd/system",
        ]
        .iter()
        .map(|path| changed(path).ok())
        .collect()
    };
    let before = looks();
    let (system, _) = installed();
    let _ = system.dpkg(&["--purge", "drawbridge"]).done();
    assert_eq!(looks(), before);
}
