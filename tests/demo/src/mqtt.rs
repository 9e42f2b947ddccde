//! A foreign app on the broker: it publishes bytes that the owner signed earlier, or that somebody
//! made up, and reads what the hub says about them.

use std::time::{Duration, Instant};

use drawbridge_daemon::cloud::app::{AppConfig, AppLink, AppPublish};
use drawbridge_daemon::cloud::{Endpoint, Timing, TrustPaths};
use drawbridge_protocol::command::Command;
use drawbridge_protocol::ids::CommandId;
use serde_json::Value;

use crate::report::{Failure, failure};
use crate::stage::{HUB, Stage};

/// How long a final result may take: a slow bolt, a hub that starts anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes `command` to the lock `id` and waits for the first final result about it.
pub(crate) fn send(
    stage: &Stage,
    id: &str,
    command: &[u8],
    retain: bool,
) -> Result<Value, Failure> {
    stage.runtime.block_on(async {
        let mut link = connect(stage).await?;
        link.subscribe(&format!("drawbridge/{HUB}/lock/{id}/result"))
            .await?;
        let message = AppPublish {
            topic: format!("drawbridge/{HUB}/lock/{id}/command"),
            payload: command.to_vec(),
            retain,
            ..AppPublish::default()
        };
        link.publish(message).await?;
        let answer = final_result(&mut link, command).await;
        if retain {
            let clear = AppPublish {
                topic: format!("drawbridge/{HUB}/lock/{id}/command"),
                retain,
                ..AppPublish::default()
            };
            link.publish(clear).await?;
        }
        link.close().await;
        answer
    })
}

/// Asks the hub for a lock's `session_info` on behalf of `holder`; the lock-signed bytes.
pub(crate) fn session_info(stage: &Stage, id: &str, holder: &str) -> Result<Vec<u8>, Failure> {
    use base64ct::{Base64, Encoding};
    stage.runtime.block_on(async {
        let mut link = connect(stage).await?;
        let answers = format!("drawbridge/{HUB}/res/demo");
        link.subscribe(&answers).await?;
        let request = serde_json::json!({
            "transaction": "demo",
            "data": {"lock": id, "nonce": "00112233445566778899aabbccddeeff", "holder": holder},
        });
        link.publish(AppPublish {
            topic: format!("drawbridge/{HUB}/req/lock.session_info"),
            payload: request.to_string().into_bytes(),
            response_topic: Some(answers),
            ..AppPublish::default()
        })
        .await?;
        let Some(message) = link.next(PATIENCE).await? else {
            return Err(failure("the hub did not answer a request"));
        };
        link.close().await;
        let answer: Value = serde_json::from_slice(&message.payload)?;
        let statement = answer["data"]["statement"].as_str();
        let statement = statement.ok_or_else(|| failure(format!("unexpected answer {answer}")))?;
        Base64::decode_vec(statement).map_err(|error| failure(format!("read base64: {error}")))
    })
}

async fn connect(stage: &Stage) -> Result<AppLink, Failure> {
    let runtime_dir = stage.scratch("foreign-app");
    std::fs::create_dir_all(&runtime_dir)?;
    let config = AppConfig {
        endpoint: Endpoint {
            host: "localhost".into(),
            port: stage.broker.port,
            server_name: None,
        },
        trust: TrustPaths {
            ca: stage.broker.ca.clone(),
            cert: stage.app.cert.clone(),
            key: stage.app.key.clone(),
            crl: None,
        },
        runtime_dir,
        timing: Timing::default(),
    };
    Ok(AppLink::connect(&config).await?)
}

async fn final_result(link: &mut AppLink, command: &[u8]) -> Result<Value, Failure> {
    let id = Command::read(command).map_or_else(|_| CommandId::of_payload(command), |read| read.id);
    let id = id.to_string();
    let until = Instant::now() + PATIENCE;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let Some(message) = link.next(left).await? else {
            break;
        };
        let result: Value = serde_json::from_slice(&message.payload)?;
        let ongoing = matches!(
            result["status"].as_str(),
            Some("accepted" | "delivered" | "unknown")
        );
        let about_it = result["command"].as_str().is_none_or(|named| named == id);
        if about_it && !ongoing {
            return Ok(result);
        }
    }
    Err(failure(format!(
        "no final result for command {id} within {PATIENCE:?}"
    )))
}
