//! How the hub is.

use serde_json::{Value, json};

use crate::core::event::RadioHealth;
use crate::core::hub::Hub;

impl Hub {
    pub(super) fn status(&self) -> Value {
        let locks: Vec<_> = self
            .locks
            .keys()
            .filter_map(|id| self.lock_view(*id))
            .collect();
        json!({
            "hub": self.config.hub_id,
            "version": self.config.version,
            "broker": if self.outbox.is_up() { "up" } else { "down" },
            "store": if self.ledger.is_failing() { "failing" } else { "ok" },
            "radio": self.radio_health.name(),
            "scanning": self.is_scanning,
            "commands": self.commands.tracked.len(),
            "finals": self.commands.finals.len(),
            "outbox": self.outbox.depth(),
            "outbox_kept": self.outbox.kept(),
            "telemetry_dropped": self.outbox.dropped,
            "refusals_unsaid": self.commands.refusals.unsaid(),
            "unstored": self.ledger.depth(),
            "locks": locks,
        })
    }

    /// Whether nothing is under way: no command without its end, nothing that waits for the disk.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.commands.tracked.is_empty() && self.ledger.depth() == 0
    }

    /// What is wrong, as far as the core knows.
    pub(crate) fn doctor(&self) -> Value {
        let mut findings = Vec::new();
        let mut find = |code: &str, detail: String, advice: &str| {
            findings.push(json!({"code": code, "detail": detail, "advice": advice}));
        };
        if !self.outbox.is_up() {
            let detail = format!("{} publications wait", self.outbox.depth());
            find(
                "broker_down",
                detail,
                "check network, broker address and certificates",
            );
        }
        if self.ledger.is_failing() {
            let detail = format!("{} changes wait", self.ledger.depth());
            find(
                "store_failing",
                detail,
                "check the disk: space, errors, read-only mounts",
            );
        }
        let radio = match self.radio_health {
            RadioHealth::Ready => None,
            RadioHealth::NoAdapter => Some((
                "no Bluetooth adapter can be used",
                "plug one in, or unblock it with `rfkill unblock bluetooth`",
            )),
            RadioHealth::BluetoothAway => Some((
                "bluetoothd does not run",
                "see `systemctl status bluetooth`",
            )),
            RadioHealth::Failed => Some((
                "Bluetooth does not work, and restarting it did not help",
                "see `journalctl -u bluetooth`, unplug the adapter or restart the machine",
            )),
        };
        if let Some((detail, advice)) = radio {
            find(
                &format!("radio_{}", self.radio_health.name()),
                detail.into(),
                advice,
            );
        }
        for (id, lock) in &self.locks {
            if lock.is_online == Some(false) {
                let reason = lock.trouble.map_or("not seen", |trouble| trouble.name());
                let detail = format!("lock {id}: {reason}");
                find(
                    "lock_offline",
                    detail,
                    "check its batteries and its distance",
                );
            }
            if lock
                .report
                .as_ref()
                .is_some_and(|report| report.log_used >= 70)
            {
                let detail = format!("lock {id}");
                find("log_filling", detail, "acknowledge its audit records");
            }
            if lock
                .report
                .as_ref()
                .is_some_and(|report| report.battery <= 15)
            {
                find("battery_low", format!("lock {id}"), "change its batteries");
            }
        }
        json!({"findings": findings, "status": self.status()})
    }

    pub(super) fn hub_keys(&self) -> Value {
        json!({
            "identity": self.keys.identity.public().to_string(),
            "link": self.keys.link.public().to_string(),
        })
    }
}
