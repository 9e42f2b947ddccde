//! What systemd makes of the unit files.

use std::fs;
use std::path::Path;
use std::process::Command;

use drawbridge_daemon::config::Config;
use drawbridge_service_tests::{Unit, run, shipped, workspace};

const UNIT: &str = "systemd/drawbridge.service";
const DROP_IN: &str = "systemd/bluetooth.service.d/drawbridge.conf";

fn unit() -> Unit {
    Unit::parse(&shipped(UNIT))
}

/// Guards: a misspelt setting, which systemd ignores with a line in a journal that nobody reads, and a sandbox with a hole
/// less than was meant.
#[test]
fn systemd_understands_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let units = folder.path();
    // The program is not installed on the machine that tests.
    let text = shipped(UNIT).replace("/usr/sbin/drawbridged", "/bin/true");
    fs::write(units.join("drawbridge.service"), text).unwrap();
    // BlueZ's unit is not ours to copy; for the drop-in any service does.
    let stand_in = "[Service]\nType=dbus\nBusName=org.bluez\nExecStart=/bin/true\n";
    fs::write(units.join("bluetooth.service"), stand_in).unwrap();
    let beside = units.join("bluetooth.service.d");
    fs::create_dir(&beside).unwrap();
    fs::copy(workspace().join(DROP_IN), beside.join("drawbridge.conf")).unwrap();
    let verify = |unit: &Path| {
        run(Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(unit)
            .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display())))
    };
    for name in ["drawbridge.service", "bluetooth.service"] {
        let said = verify(&units.join(name));
        assert!(said.ok, "{name}: {}", said.err);
        assert_eq!(said.err, "", "{name}");
    }
    // It would have been noticed.
    let wrong = shipped(UNIT)
        .replace("/usr/sbin/drawbridged", "/bin/true")
        .replace("LockPersonality=", "LockPersonalty=");
    fs::write(units.join("drawbridge.service"), wrong).unwrap();
    let said = verify(&units.join("drawbridge.service"));
    assert!(said.err.contains("LockPersonalty"), "{}", said.err);
}

/// Guards: a sandbox that loses a line at each convenience. 1.4 is what is left with sockets for Bluetooth and MQTT.
#[test]
fn exposure_is_at_most_1_4() {
    let analyze = |more: &[&str]| {
        run(Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .args(more)
            .arg(workspace().join(UNIT)))
    };
    let said = analyze(&["--threshold=14"]);
    let overall = said.out.lines().find(|line| line.contains("Overall"));
    println!("EVIDENCE {}", overall.unwrap_or("no verdict").trim());
    assert!(said.ok, "{}\n{}", said.out, said.err);
    assert!(
        !analyze(&["--threshold=1"]).ok,
        "the threshold is not looked at"
    );
}

/// Guards: a daemon whose defaults point where its unit lets it neither read nor write.
#[test]
fn default_configuration_fits_the_unit() {
    let unit = unit();
    let text = shipped("config/drawbridge.toml") + "\n[broker]\nhost = \"broker.example\"\n";
    // The sections come in any order; an example without a broker is completed to one with.
    let config = Config::parse(&text, Path::new("drawbridge.toml")).unwrap();
    let state = Path::new("/var/lib").join(unit.one("StateDirectory"));
    let runtime = Path::new("/run").join(unit.one("RuntimeDirectory"));
    assert_eq!(config.hub.state_dir, state);
    assert_eq!(config.hub.runtime_dir, runtime);
    assert!(config.control_socket().starts_with(&runtime));
    assert_eq!(config.control_group().as_deref(), Some(unit.one("Group")));
    // The group comes through the folder to its socket, and nobody else does; the keys are the daemon's alone.
    assert_eq!(unit.one("RuntimeDirectoryMode"), "0750");
    assert_eq!(unit.one("StateDirectoryMode"), "0700");
    let of_admin = Path::new(unit.one("ConditionPathExists"));
    let broker = config.broker.unwrap();
    for read in [&broker.ca, &broker.cert, &broker.key] {
        assert_eq!(read.parent(), of_admin.parent(), "{}", read.display());
    }
    let start = unit.one("ExecStart");
    assert!(
        start.ends_with(&format!("--config {}", of_admin.display())),
        "{start}"
    );
    assert!(
        unit.all("ReadWritePaths").is_empty(),
        "nothing else is written"
    );
}

/// Guards: doors whose hub systemd has given up after five quick ends, or takes down with bluetoothd (F01).
#[test]
fn f01_hub_is_always_restarted_and_does_not_fall_with_bluetoothd() {
    let unit = unit();
    assert_eq!(unit.one("Restart"), "always");
    assert_eq!(unit.one("StartLimitIntervalSec"), "0");
    // Start to READY takes 30 ms (P14); the rest of 2 s is for a busy machine.
    let pause = unit.one("RestartSec").strip_suffix("ms").unwrap();
    assert!(pause.parse::<u32>().unwrap() <= 1_000);
    assert_eq!(unit.words("Wants"), ["bluetooth.service"]);
    for binding in ["Requires", "Requisite", "BindsTo", "PartOf", "Upholds"] {
        assert!(unit.all(binding).is_empty(), "{binding}");
    }
    assert!(unit.words("After").contains(&"bluetooth.service"));
    let bluetooth = Unit::parse(&shipped(DROP_IN));
    assert_eq!(bluetooth.one("Restart"), "always");
    assert_eq!(bluetooth.one("StartLimitIntervalSec"), "0");
    assert!(!bluetooth.all("WatchdogSec").is_empty());
}
