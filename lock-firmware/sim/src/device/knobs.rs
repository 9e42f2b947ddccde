//! What the control socket can do to a device.

use drawbridge_protocol::qr::QR_TEXT_LEN;
use serde_json::{Value, json};

use super::{Device, Faults};
use crate::causes::chain;
use crate::control::{Request, refusal};

impl Device {
    /// Carries a request out and answers it. [`advance`](Self::advance) afterwards.
    pub fn control(&mut self, request: Request, now_ms: u64) -> Value {
        match request {
            Request::Hello => return self.hello(),
            Request::Status => return self.status(now_ms),
            Request::Button { held_ms } => {
                let lock_ms = now_ms - self.booted_at;
                let Some(lock) = self.lock.as_mut() else {
                    return dead();
                };
                lock.press_button(held_ms, lock_ms, &mut self.entropy);
            }
            Request::Jam { on } => self.body.set_jam(on, now_ms),
            Request::Battery { percent } => self.body.set_battery(percent, now_ms),
            Request::Door { state } => self.body.set_door(state),
            Request::Tamper { on } => self.body.set_tamper(on),
            Request::ByHand { to } => {
                if let Err(error) = self.body.turn_by_hand(to, now_ms) {
                    return refusal(
                        &error.to_string(),
                        "free it first: {\"do\":\"jam\",\"on\":false}",
                    );
                }
                self.image.keep_bolt(self.body.bolt_at(now_ms));
            }
            Request::Reboot => {
                self.die(now_ms);
                self.revive(None, now_ms);
            }
            Request::PowerLoss { cut: None } => self.die(now_ms),
            Request::PowerLoss { cut } => {
                if self.lock.is_none() {
                    return dead();
                }
                self.arm(cut);
            }
            Request::PowerOn { cut } => {
                if self.lock.is_some() {
                    return refusal("power on a lock that is on", "see {\"do\":\"status\"}");
                }
                self.revive(cut, now_ms);
                if let Some(error) = self.boot_error() {
                    return refusal(&chain(error), "the lock stays dead; its flash is damaged");
                }
            }
            Request::LinkLoss { after_packets: 0 } => self.lose_links(now_ms),
            Request::LinkLoss { after_packets } => {
                self.faults.loss_after = Some(after_packets);
            }
            Request::HangUp { after_messages } => {
                self.faults.hang_up_after = Some(after_messages).filter(|left| *left > 0);
            }
            Request::Delay { ms } => self.faults.delay_ms = ms,
            Request::Drop { to_hub, to_lock } => {
                self.faults = Faults {
                    to_hub,
                    to_lock,
                    ..std::mem::take(&mut self.faults)
                };
            }
        }
        json!({ "ok": true })
    }

    /// The text of the code on the lock.
    #[must_use]
    pub fn qr_text(&self) -> String {
        let mut text = [0; QR_TEXT_LEN];
        // The buffer has the length that the text always has.
        let text = self.factory.qr().to_text(&mut text);
        text.map(str::to_owned).unwrap_or_default()
    }

    fn hello(&self) -> Value {
        json!({
            "ok": true,
            "lock": self.factory.lock.to_string(),
            "model": self.factory.model,
            "qr": self.qr_text(),
        })
    }

    fn status(&self, now_ms: u64) -> Value {
        let sensors = self.body.sensors(now_ms);
        let core = self.lock.as_deref().map(|lock| {
            let status = lock.status();
            json!({
                "owned": status.owned,
                "window_open": status.window_open,
                "position": status.sensors.position.name(),
                "moving": status.moving,
                "log": { "newest": status.log_newest, "oldest": status.log_oldest, "used": status.log_used },
                "boot": status.boot,
                "epoch": status.epoch.to_string(),
                "sessions": status.sessions,
                "time_ms": now_ms - self.booted_at,
            })
        });
        let counts = self.flash.counts();
        let flash = json!({
            "ops": counts.ops,
            "erases": counts.erases,
            "worst_writes_per_word": counts.worst_writes_per_word,
            "worst_wear": self.image.worst_wear(),
            "power_was_cut": self.flash.is_dead(),
        });
        json!({
            "ok": true,
            "power": if core.is_some() { "on" } else { "off" },
            "boot_error": self.boot_error().map(|error| chain(error)),
            "bolt": sensors.position.name(),
            "bolt_at": self.body.bolt_at(now_ms),
            "door": sensors.door.name(),
            "tamper": sensors.tamper,
            "battery": sensors.battery,
            "motor": if self.body.motor_is_on() { "on" } else { "off" },
            "motor_actuations": self.body.actuations(),
            "links": self.links.len(),
            "newest_link_ms": self.links.values().map(|link| now_ms - link.opened_at).min(),
            "messages": self.faults.messages,
            "hang_up_left": self.faults.hang_up_after,
            "drops_left": {
                "to_hub": self.faults.to_hub.count,
                "to_lock": self.faults.to_lock.count,
            },
            "core": core,
            "flash": flash,
        })
    }
}

fn dead() -> Value {
    refusal("reach a lock without power", "send {\"do\":\"power_on\"}")
}
