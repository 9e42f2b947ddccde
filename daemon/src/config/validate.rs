//! Values that parse and still cannot be used.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Config;
use super::error::Problem;

/// sun_path holds 108 bytes with its NUL (unix(7)).
const SOCKET_PATH_MAX: usize = 107;
/// A DNS name (RFC 1035 section 3.1).
const HOST_MAX: usize = 253;

fn problem(
    text: &str,
    section: &str,
    key: &str,
    what: impl Into<String>,
    advice: impl Into<String>,
) -> Problem {
    Problem {
        line: locate(text, section, key),
        key: format!("[{section}] {key}"),
        what: what.into(),
        advice: advice.into(),
    }
}

/// The line of a key, when it is written the usual way.
fn locate(text: &str, section: &str, key: &str) -> Option<usize> {
    let mut within = false;
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            within = header
                .split(']')
                .next()
                .is_some_and(|name| name.trim() == section);
        } else if within
            && line
                .split('=')
                .next()
                .is_some_and(|name| name.trim() == key)
            && line.contains('=')
        {
            return Some(number);
        }
    }
    None
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_host(host: &str) -> bool {
    (1..=HOST_MAX).contains(&host.len())
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_'))
        && !host.starts_with(['-', '.'])
}

/// `00:11:22:33:44:55`, in either case.
fn is_adapter(text: &str) -> bool {
    let mut bytes = 0;
    text.split(':').all(|byte| {
        bytes += 1;
        byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit())
    }) && bytes == 6
}

/// Checks what needs no look at the disk.
pub(super) fn values(config: &Config, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |section, key, what: &str, advice: &str| {
        problems.push(problem(text, section, key, what, advice))
    };
    if !is_id(&config.hub.id) {
        add(
            "hub",
            "id",
            "is not 1 to 64 of a-z, A-Z, 0-9, _ and -",
            "it becomes part of topics: use something like \"home-1\"",
        );
    }
    for (key, path) in [
        ("state_dir", &config.hub.state_dir),
        ("runtime_dir", &config.hub.runtime_dir),
    ] {
        if !path.is_absolute() {
            add("hub", key, "is not an absolute path", "begin it with /");
        }
    }
    if let Some(broker) = &config.broker {
        if !is_host(&broker.host) {
            add(
                "broker",
                "host",
                "is no host name or address",
                "give the bare name, without mqtts:// and without a port",
            );
        }
        if broker
            .server_name
            .as_deref()
            .is_some_and(|name| !is_host(name))
        {
            add(
                "broker",
                "server_name",
                "is no host name",
                "give the name in the broker's certificate, or remove the line",
            );
        }
        if broker.port == 0 {
            add(
                "broker",
                "port",
                "is 0",
                "MQTT over TLS is 8883 nearly everywhere",
            );
        }
        if broker.port == 1_883 {
            add(
                "broker",
                "port",
                "is 1883, where brokers speak without TLS",
                "use the broker's TLS port, mostly 8883",
            );
        }
        for (key, path) in [
            ("ca", Some(&broker.ca)),
            ("cert", Some(&broker.cert)),
            ("key", Some(&broker.key)),
            ("crl", broker.crl.as_ref()),
        ] {
            if path.is_some_and(|path| !path.is_absolute()) {
                add("broker", key, "is not an absolute path", "begin it with /");
            }
        }
    }
    if config
        .radio
        .virtual_air
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        add(
            "radio",
            "virtual_air",
            "is not an absolute path",
            "begin it with /",
        );
    }
    if !config.radio.adapters.iter().all(|text| is_adapter(text)) {
        add(
            "radio",
            "adapters",
            "names something that is no adapter's address",
            "use addresses as `bluetoothctl list` shows them, such as [\"00:11:22:33:44:55\"]; hci0 may be another one after a restart",
        );
    }
    if config.radio.virtual_air.is_none() && !config.radio.bluez {
        add(
            "radio",
            "bluez",
            "is false and there is no virtual_air",
            "without either the hub reaches no lock",
        );
    }
    if config
        .control
        .socket
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        add(
            "control",
            "socket",
            "is not an absolute path",
            "begin it with /",
        );
    }
    if config.control_socket().as_os_str().len() > SOCKET_PATH_MAX {
        add(
            "control",
            "socket",
            "is longer than the 107 bytes a socket path may have",
            "use a shorter path",
        );
    }
    if !config.control.group.is_empty() && !is_id(&config.control.group) {
        add(
            "control",
            "group",
            "is no group name",
            "use letters, digits, _ and -, or \"\" for root only",
        );
    }
    problems
}

/// Looks at the files named.
pub(super) fn files(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Some(broker) = &config.broker else {
        return problems;
    };
    let named = [
        ("ca", Some(&broker.ca)),
        ("cert", Some(&broker.cert)),
        ("key", Some(&broker.key)),
        ("crl", broker.crl.as_ref()),
    ];
    for (key, path) in named {
        let Some(path) = path else { continue };
        if let Some((what, advice)) = unusable(path) {
            problems.push(problem(
                "",
                "broker",
                key,
                format!("{} {what}", path.display()),
                advice,
            ));
        } else if key == "key" && fs::metadata(path).is_ok_and(|about| about.mode() & 0o007 != 0) {
            let what = format!("{} can be read by every user", path.display());
            problems.push(problem(
                "",
                "broker",
                key,
                what,
                format!("chmod 0600 {} and issue a new certificate", path.display()),
            ));
        }
    }
    problems
}

/// What keeps a PEM file from being used, and what to do about it.
fn unusable(path: &Path) -> Option<(&'static str, String)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some((
                "does not exist",
                "put the file there, or correct the path".into(),
            ));
        }
        Err(error) => {
            return Some((
                "cannot be opened",
                format!("{error}; it must be readable by the user of the daemon"),
            ));
        }
    };
    match file.metadata() {
        Ok(about) if about.is_file() => {}
        Ok(_) => return Some(("is not a file", "correct the path".into())),
        Err(error) => return Some(("cannot be looked at", error.to_string())),
    }
    let mut first = [0; 1];
    match file.read(&mut first) {
        Ok(1) => None,
        Ok(_) => Some(("is empty", "put a PEM file there".into())),
        Err(error) => Some(("cannot be read", error.to_string())),
    }
}
