//! The owner's app: signs commands, sends them and hears what became of them.

use std::time::Duration;

use drawbridge_daemon::cloud::app::{AppConfig, AppLink, AppPublish};
use drawbridge_daemon::cloud::{Endpoint, Timing, TrustPaths};
use drawbridge_protocol::command::Command;
use serde_json::Value;

use crate::Failure;
use crate::house::House;

/// For a final result.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command of the owner's for the lock called `name`, signed now.
pub(crate) fn sign(house: &House, name: &str, action: &str) -> Result<Vec<u8>, Failure> {
    let out = house.ground.folder("signed")?.join("command.cose");
    if out.exists() {
        std::fs::remove_file(&out)?;
    }
    let path = out.display().to_string();
    let words = [
        "owner", "sign", "--lock", name, "--action", action, "--ttl", "60", "--out", &path,
        "--local",
    ];
    house.owner.run(&words)?.done("owner sign")?;
    Ok(std::fs::read(&out)?)
}

/// Connects to the household's broker.
pub(crate) async fn connect(house: &House) -> Result<AppLink, Failure> {
    connect_at(house, house.ground.broker.port()).await
}

/// Connects to the household's broker by way of a tap's port.
pub(crate) async fn connect_at(house: &House, port: u16) -> Result<AppLink, Failure> {
    let app = &house.app;
    let trust = TrustPaths {
        ca: house.ground.pki.ca_file().to_owned(),
        cert: app.cert.clone(),
        key: app.key.clone(),
        crl: None,
    };
    link(port, trust, house.ground.folder("app")?).await
}

/// Connects to the broker at `port` of this machine, with a private socket in `folder`.
pub(crate) async fn link(
    port: u16,
    trust: TrustPaths,
    folder: std::path::PathBuf,
) -> Result<AppLink, Failure> {
    let config = AppConfig {
        endpoint: Endpoint {
            host: "localhost".into(),
            port,
            server_name: None,
        },
        trust,
        runtime_dir: folder,
        timing: Timing::default(),
    };
    Ok(AppLink::connect(&config).await?)
}

/// Sends a command.
pub(crate) async fn publish(
    link: &mut AppLink,
    hub: &str,
    lock: &str,
    command: &[u8],
) -> Result<(), Failure> {
    link.publish(AppPublish {
        topic: format!("drawbridge/{hub}/lock/{lock}/command"),
        payload: command.to_vec(),
        ..AppPublish::default()
    })
    .await?;
    Ok(())
}

/// Waits until the hub says that a command was done.
pub(crate) async fn until_done(link: &mut AppLink, command: &[u8]) -> Result<(), Failure> {
    let id = Command::read(command)?.id.to_string();
    loop {
        let message = link.next(PATIENCE).await?.ok_or("no final result")?;
        let Ok(result) = serde_json::from_slice::<Value>(&message.payload) else {
            continue;
        };
        match result["status"].as_str() {
            _ if result["command"] != Value::String(id.clone()) => {}
            Some("accepted" | "delivered" | "unknown") => {}
            Some("done") => return Ok(()),
            _ => return Err(format!("not done: {result}").into()),
        }
    }
}
