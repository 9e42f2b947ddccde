//! The client's own small file, and the flags that win over it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::Global;
use super::exit::Exit;
use super::fault::Fault;
use crate::cloud::{Endpoint, TrustPaths};

/// Where the daemon's control socket is unless something else is said.
const SOCKET: &str = "/run/drawbridge/control.sock";
const MAX_FILE: u64 = 64 * 1024;

/// `client.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hub: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    server_name: Option<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    crl: Option<PathBuf>,
    socket: Option<PathBuf>,
    owner_key: Option<PathBuf>,
}

/// How to reach the hub through a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broker {
    /// Where it is.
    pub(super) endpoint: Endpoint,
    /// Whom to believe, and who we are.
    pub(super) trust: TrustPaths,
    /// Whose tree.
    pub(super) hub: String,
}

/// Everything of flags and file that commands need.
#[derive(Debug, Clone)]
pub(super) struct ClientConfig {
    /// The control socket.
    pub(super) socket: PathBuf,
    /// The owner key file.
    pub(super) owner_key: PathBuf,
    /// The broker, if one is configured.
    pub(super) broker: Option<Broker>,
}

impl ClientConfig {
    /// Reads the file (its absence is no error unless it was named) and puts the flags over it.
    ///
    /// # Errors
    /// A usage fault: nothing was tried.
    pub(super) fn load(flags: &Global) -> Result<Self, Fault> {
        let home = config_folder();
        let (path, named) = match &flags.client_config {
            Some(path) => (Some(path.clone()), true),
            None => (
                home.as_ref().map(|folder| folder.join("client.toml")),
                false,
            ),
        };
        let file = match &path {
            Some(path) => read(path, named)?,
            None => File::default(),
        };
        let folder = path
            .as_deref()
            .and_then(Path::parent)
            .unwrap_or(Path::new(""));
        // Paths in the file are relative to it, paths on the command line to the current folder.
        let pick = |flag: &Option<PathBuf>, file: Option<PathBuf>| {
            flag.clone().or_else(|| file.map(|path| folder.join(path)))
        };
        let owner_key = pick(&flags.owner_key, file.owner_key)
            .or_else(|| home.map(|folder| folder.join("owner.json")))
            .ok_or_else(|| {
                Fault::new(
                    Exit::Usage,
                    "no_home",
                    "find the owner key file: no home folder is known",
                )
                .next("give --owner-key FILE")
            })?;
        let socket = pick(&flags.socket, file.socket).unwrap_or_else(|| SOCKET.into());
        let broker = match flags.host.clone().or(file.host) {
            None => None,
            Some(host) => {
                let missing = |what: &str| {
                    Fault::new(Exit::Usage, "config", format!("reach the broker {host}: no {what} is given"))
                        .next(format!("give --{what}, or set it in ~/.config/drawbridge/client.toml; or use --local"))
                };
                let hub = flags
                    .hub
                    .clone()
                    .or(file.hub)
                    .ok_or_else(|| missing("hub"))?;
                if !is_hub_id(&hub) {
                    let message = "use the hub id: it must be 1 to 64 of a-z, A-Z, 0-9, _ and -";
                    return Err(Fault::new(Exit::Usage, "hub_id", message).next("give --hub ID"));
                }
                Some(Broker {
                    trust: TrustPaths {
                        ca: pick(&flags.ca, file.ca).ok_or_else(|| missing("ca"))?,
                        cert: pick(&flags.cert, file.cert).ok_or_else(|| missing("cert"))?,
                        key: pick(&flags.key, file.key).ok_or_else(|| missing("key"))?,
                        crl: pick(&None, file.crl),
                    },
                    endpoint: Endpoint {
                        host,
                        port: flags.port.or(file.port).unwrap_or(8883),
                        server_name: file.server_name,
                    },
                    hub,
                })
            }
        };
        Ok(Self {
            socket,
            owner_key,
            broker,
        })
    }
}

fn config_folder() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    base.or_else(|| set("HOME").map(|home| home.join(".config")))
        .map(|folder| folder.join("drawbridge"))
}

fn read(path: &Path, named: bool) -> Result<File, Fault> {
    let fault = |detail: String| {
        Fault::new(Exit::Usage, "config", format!("read {}: {detail}", path.display()))
            .next("correct the file (keys: hub, host, port, server_name, ca, cert, key, crl, socket, owner_key)")
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !named => {
            return Ok(File::default());
        }
        Err(error) => return Err(fault(error.to_string())),
        Ok(about) if !about.is_file() || about.len() > MAX_FILE => {
            return Err(fault("it is no file, or too large".to_owned()));
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        fault(format!("line {line}: {}", error.message()))
    })
}

/// What may stand in a topic.
fn is_hub_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, change: impl FnOnce(&mut Global)) -> Result<ClientConfig, Fault> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        fs::write(&path, text).unwrap();
        let mut flags = Global {
            client_config: Some(path),
            ..Global::default()
        };
        change(&mut flags);
        ClientConfig::load(&flags)
    }

    const WHOLE: &str = "hub='h1'\nhost='b.example'\nca='ca.pem'\ncert='/abs/app.pem'\nkey='app.key'\nowner_key='o.json'";

    #[test]
    fn file_gives_and_flags_win() {
        let config = with(WHOLE, |flags| flags.port = Some(1)).unwrap();
        let broker = config.broker.unwrap();
        assert_eq!((broker.endpoint.port, broker.hub.as_str()), (1, "h1"));
        assert!(broker.trust.ca.is_absolute() && broker.trust.ca.ends_with("ca.pem"));
        assert_eq!(broker.trust.cert, Path::new("/abs/app.pem"));
        assert!(config.owner_key.ends_with("o.json"));
        assert_eq!(config.socket, Path::new(SOCKET));
        assert!(with("", |_| ()).unwrap().broker.is_none());
    }

    // Guards: a typo in the file that is silently ignored, so that the wrong broker is used.
    #[test]
    fn typo_and_missing_values_are_usage_faults_that_say_where() {
        let fault = with("hub = 'h1'\nhots = 'b'", |_| ()).unwrap_err();
        assert_eq!(fault.exit, Exit::Usage);
        assert!(
            fault.message.contains("line 2") && fault.message.contains("hots"),
            "{fault:?}"
        );
        let fault = with("host='b'\nhub='h1'\nca='x'", |_| ()).unwrap_err();
        assert!(fault.message.contains("no cert is given"), "{fault:?}");
        let fault = with("", |flags| {
            flags.client_config = Some("/nonexistent/c.toml".into())
        })
        .unwrap_err();
        assert_eq!(fault.exit, Exit::Usage);
    }

    // Guards (S26): a hub id that reaches into another hub's topics.
    #[test]
    fn s26_hub_id_cannot_leave_its_tree() {
        for bad in ["", "+", "#", "a/b", "../x", "h\n"] {
            let fault = with(WHOLE, |flags| flags.hub = Some(bad.to_owned())).unwrap_err();
            assert_eq!(fault.code, "hub_id", "{bad:?}");
        }
    }
}
