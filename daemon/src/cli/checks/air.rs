//! Bluetooth adapters of this machine.

use super::{Check, Verdict};

#[cfg(not(feature = "bluez"))]
pub(super) fn check() -> Vec<Check> {
    vec![Check::new(
        "air",
        Verdict::Skip,
        "this program was built without BlueZ; the daemon's own check follows if it runs",
    )]
}

#[cfg(feature = "bluez")]
pub(super) fn check() -> Vec<Check> {
    use crate::radio::bluez::probe::adapters;

    let asked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime
                .block_on(adapters())
                .map_err(|error| error.to_string())
        });
    match asked {
        Ok(found) => judge(&found),
        Err(reason) => {
            vec![Check::new("air", Verdict::Warn, reason).advise(
                "systemctl status bluetooth dbus (not needed where all locks are simulated)",
            )]
        }
    }
}

#[cfg(feature = "bluez")]
fn judge(found: &[crate::radio::bluez::probe::Adapter]) -> Vec<Check> {
    if found.is_empty() {
        return vec![
            Check::new("air", Verdict::Warn, "BlueZ has no Bluetooth adapter").advise(
                "plug one in, or: rfkill list bluetooth (not needed where all locks are simulated)",
            ),
        ];
    }
    let check = |adapter: &crate::radio::bluez::probe::Adapter| {
        let name = format!("air {}", adapter.address);
        if adapter.powered {
            Check::new(
                &name,
                Verdict::Ok,
                format!("adapter {} is on", adapter.name),
            )
        } else {
            Check::new(
                &name,
                Verdict::Warn,
                format!("adapter {} is off", adapter.name),
            )
            .advise(format!(
                "rfkill unblock bluetooth; bluetoothctl select {}; bluetoothctl power on",
                adapter.address
            ))
        }
    };
    found.iter().map(check).collect()
}

#[cfg(all(test, feature = "bluez"))]
mod tests {
    use super::*;
    use crate::radio::bluez::probe::Adapter;

    // Guards (F02): no adapter, or one that is off, called good.
    #[test]
    fn f02_no_adapter_or_one_that_is_off_is_not_ok() {
        let adapter = |powered| Adapter {
            name: "hci0".into(),
            address: "00:11:22:33:44:55".into(),
            powered,
        };
        assert_eq!(judge(&[])[0].verdict, Verdict::Warn);
        assert_eq!(judge(&[adapter(false)])[0].verdict, Verdict::Warn);
        let both: Vec<_> = judge(&[adapter(true), adapter(false)])
            .iter()
            .map(|check| check.verdict)
            .collect();
        assert_eq!(both, [Verdict::Ok, Verdict::Warn]);
    }
}
