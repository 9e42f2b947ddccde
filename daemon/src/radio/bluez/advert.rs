//! What an advert says, as far as it is a lock's.
//!
//! BlueZ: 5.87 crashes on discovery that is filtered by UUID. Seen: bluez #2282. So: BlueZ is asked
//! for everything, and this is the filter.

use bluer::{Address as Bdaddr, Uuid};
use dbus::arg::{PropMap, cast, prop_cast};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::gatt;

use super::place::kind_of;

/// The beacon among an advert's service data, keyed by UUIDs as BlueZ writes them.
pub(super) fn beacon<'a>(
    service_data: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Option<Beacon> {
    let service = Uuid::from_u128(gatt::SERVICE);
    let (_, bytes) = service_data
        .into_iter()
        .find(|(uuid, _)| uuid.parse() == Ok(service))?;
    bytes.try_into().ok().map(Beacon)
}

/// The beacon among the properties of `org.bluez.Device1`.
pub(super) fn beacon_of(properties: &PropMap) -> Option<Beacon> {
    let data = prop_cast::<PropMap>(properties, "ServiceData")?;
    beacon(data.iter().filter_map(|(uuid, value)| {
        cast::<Vec<u8>>(&value.0).map(|bytes| (uuid.as_str(), bytes.as_slice()))
    }))
}

/// The address type among the same.
pub(super) fn kind_among(properties: &PropMap) -> Option<bluer::AddressType> {
    kind_of(prop_cast::<String>(properties, "AddressType")?)
}

/// `/org/bluez/hci0/dev_AA_BB_CC_DD_EE_FF`: the adapter's name and the device's address.
pub(super) fn device_of(path: &str) -> Option<(&str, Bdaddr)> {
    let (adapter, device) = path.strip_prefix("/org/bluez/")?.split_once("/dev_")?;
    let address = device.replace('_', ":").parse().ok()?;
    (!adapter.is_empty() && !adapter.contains('/')).then_some((adapter, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str = "b7396132-ce88-4cff-9875-6764587fea3b";

    /// Guards: strangers' adverts that are taken for a lock's, and a lock's in capitals that is not.
    #[test]
    fn only_service_data_of_a_lock_is_a_beacon() {
        let bytes = [7; Beacon::LEN];
        let upper = SERVICE.to_uppercase();
        let other = "0000feaa-0000-1000-8000-00805f9b34fb";
        assert_eq!(beacon([(SERVICE, &bytes[..])]), Some(Beacon(bytes)));
        assert_eq!(
            beacon([(other, &[1][..]), (upper.as_str(), &bytes[..])]),
            Some(Beacon(bytes))
        );
        assert_eq!(beacon([(other, &bytes[..])]), None);
        assert_eq!(beacon([(SERVICE, &bytes[1..])]), None, "too short");
        assert_eq!(beacon([(SERVICE, &[0; 13][..])]), None, "too long");
        assert_eq!(beacon([("nonsense", &bytes[..])]), None);
    }

    #[test]
    fn only_paths_of_devices_name_devices() {
        let address = Bdaddr::new([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        let path = "/org/bluez/hci10/dev_AA_BB_CC_DD_EE_FF";
        assert_eq!(device_of(path), Some(("hci10", address)));
        for path in [
            "/org/bluez/hci0",
            "/org/bluez/hci0/dev_AA_BB_CC_DD_EE",
            "/org/bluez/hci0/dev_AA_BB_CC_DD_EE_FF/service000a",
            "/org/bluez/hci0/x/dev_AA_BB_CC_DD_EE_FF",
            "/org/bluez//dev_AA_BB_CC_DD_EE_FF",
            "/dev_AA_BB_CC_DD_EE_FF",
        ] {
            assert_eq!(device_of(path), None, "{path}");
        }
    }
}
