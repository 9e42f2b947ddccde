//! What every command is given.

use super::args::Global;
use super::carrier::{Carrier, broker::BrokerCarrier, local::LocalCarrier};
use super::client_config::ClientConfig;
use super::exit::Exit;
use super::fault::Fault;
use super::output::Output;
use crate::owner::{KeyFile, OwnerBook};

/// Flags and files of this run.
pub(super) struct Context {
    /// Where answers go.
    pub(super) output: Output,
    /// Flags over file.
    pub(super) config: ClientConfig,
    local: bool,
}

impl Context {
    pub(super) fn new(global: Global, output: Output) -> Result<Self, Fault> {
        Ok(Self {
            output,
            config: ClientConfig::load(&global)?,
            local: global.local,
        })
    }

    /// The way to the hub that the flags and the file say.
    pub(super) fn carrier(&self) -> Result<Box<dyn Carrier>, Fault> {
        match &self.config.broker {
            Some(broker) if !self.local => {
                self.output.progress("connecting to the broker");
                let carrier = BrokerCarrier::connect(broker).map_err(|error| error.fault(""))?;
                Ok(Box::new(carrier))
            }
            _ => self.local_carrier(),
        }
    }

    /// The hub on this machine, whatever the file says.
    pub(super) fn local_carrier(&self) -> Result<Box<dyn Carrier>, Fault> {
        let carrier =
            LocalCarrier::connect(&self.config.socket).map_err(|error| error.fault(""))?;
        Ok(Box::new(carrier))
    }

    /// The owner key file, which may not be there.
    pub(super) fn key_file(&self) -> KeyFile {
        KeyFile::at(&self.config.owner_key)
    }

    /// What is in it.
    pub(super) fn book(&self) -> Result<OwnerBook, Fault> {
        self.key_file().load().map_err(|error| key_fault(&error))
    }
}

/// What an error of the owner key file comes to.
pub(super) fn key_fault(error: &crate::owner::KeyFileError) -> Fault {
    let exit = if error.may_have_succeeded() {
        Exit::Unknown
    } else {
        Exit::Refused
    };
    Fault::from_error(exit, "owner_key", error).next(error.advice())
}
