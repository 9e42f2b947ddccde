//! The house's certificates and its broker's files, made on the host.

use drawbridge_support::mosquitto::Setup;
use drawbridge_support::pki::{Identity, Pki};

use crate::archive::Archive;
use crate::error::BenchError;
use crate::guest::{here, read};

/// Where the shipped example of the broker's configuration expects its files.
const BROKER: &str = "/etc/mosquitto/drawbridge";
const HOUSE: &str = "/bench/house";

/// The hub's id; the shipped access list knows it.
const HUB: &str = "h1";

/// Another one's, likewise.
const BESIDE: &str = "h2";

/// Puts a CA, a broker with the shipped configuration, and the certificates of hub (`h1`), owner (`app:a1`) and four
/// foreign apps (`app:a2` to `app:a5`) into the guest, and that of a second hub (`h2`), for what stands beside ours.
pub(crate) fn add(archive: &mut Archive) -> Result<(), BenchError> {
    let folder = tempfile::tempdir().map_err(BenchError::io("make a folder", "/tmp"))?;
    let pki = Pki::create(folder.path())?;
    let mut file = |path: String, from: &std::path::Path| -> Result<(), BenchError> {
        archive.add(&path, 0o600, &read(from)?);
        Ok(())
    };
    file(format!("{BROKER}/ca.pem"), pki.ca_file())?;
    file(format!("{HOUSE}/ca.pem"), pki.ca_file())?;
    let mut identity = |place: String, who: &Identity| -> Result<(), BenchError> {
        file(format!("{place}.pem"), &who.cert)?;
        file(format!("{place}.key"), &who.key)
    };
    identity(format!("{BROKER}/server"), &pki.server()?)?;
    identity(format!("{HOUSE}/hub"), &pki.client(HUB)?)?;
    identity(format!("{HOUSE}/beside"), &pki.client(BESIDE)?)?;
    for app in ["a1", "a2", "a3", "a4", "a5"] {
        identity(
            format!("{HOUSE}/{app}"),
            &pki.client(&format!("app:{app}"))?,
        )?;
    }
    let config = here().join("../../config/mosquitto.conf.example");
    let config = [
        read(&config)?.as_slice(),
        b"\nuser root\nlog_dest stdout\nlog_type all\n",
    ]
    .concat();
    archive.add("/etc/mosquitto/mosquitto.conf", 0o644, &config);
    let access = Setup::default()
        .with_app("app:a2", HUB)
        .with_app("app:a3", HUB)
        .with_app("app:a4", HUB)
        .with_app("app:a5", HUB)
        .with_app("app:a3", BESIDE)
        .access_list();
    archive.add(
        &format!("{BROKER}/drawbridge.acl"),
        0o600,
        access.as_bytes(),
    );
    archive.add("/var/lib/mosquitto/.keep", 0o600, b"");
    Ok(())
}
