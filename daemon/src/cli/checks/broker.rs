//! The way to the broker, step by step, with the exact reason where it ends.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::runtime::Builder;

use super::{Check, Verdict};
use crate::cli::client_config::Broker;
use crate::cloud::probe::{Finding, probe};
use crate::cloud::{CloudConfig, Trust};

pub(super) fn check(broker: Option<&Broker>) -> Vec<Check> {
    let Some(broker) = broker else {
        return vec![Check::new(
            "broker",
            Verdict::Skip,
            "no broker is configured for this command (--host, or client.toml)",
        )];
    };
    let walked = folder().and_then(|folder| {
        let findings = walk(broker, &folder);
        // The probe has removed its socket; what cannot be removed is empty.
        let _ = std::fs::remove_dir(&folder);
        findings
    });
    match walked {
        Ok(findings) => findings.iter().map(from_finding).collect(),
        Err(error) => vec![
            Check::new(
                "broker",
                Verdict::Fail,
                format!("prepare the probe: {error}"),
            )
            .advise("check the temporary folder"),
        ],
    }
}

fn walk(broker: &Broker, folder: &Path) -> std::io::Result<Vec<Finding>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut config = CloudConfig::new(
        broker.endpoint.clone(),
        broker.trust.clone(),
        &broker.hub,
        folder.to_owned(),
    );
    // Brokers let nobody use another's client id; without readable files the probe ends before it.
    let trust = Trust::load(&broker.trust, broker.endpoint.name(), SystemTime::now());
    if let Some(name) = trust.ok().and_then(|trust| trust.common_name()) {
        config.client_id = name;
    }
    Ok(runtime.block_on(probe(&config)))
}

fn folder() -> std::io::Result<PathBuf> {
    let random = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
    let folder = std::env::temp_dir().join(format!("drawbridge-{random:016x}"));
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    Ok(folder)
}

fn from_finding(finding: &Finding) -> Check {
    let name = format!("broker {}", finding.step.name());
    match &finding.result {
        Ok(detail) => Check::new(&name, Verdict::Ok, detail),
        Err(problem) => Check::new(&name, Verdict::Fail, &problem.reason).advise(&problem.advice),
    }
}
