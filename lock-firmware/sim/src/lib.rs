//! The lock as a Linux process: the core that runs on the chip, with everything around it simulated.
//!
//! | part | module |
//! | --- | --- |
//! | bolt, motor, door, battery | [`body`] |
//! | flash in a file, factory data beside it | [`image`], [`flash_handle`], [`factory_file`] |
//! | core, body and links, without any I/O | [`device`], [`lane`], [`message_ends`] |
//! | the virtual air | [`air_frame`], [`air`] |
//! | a real Bluetooth controller | [`hci`] |
//! | knobs | [`control`] |
//! | what a person sees | [`show`], [`causes`] |
//! | all of it running, as a process or on a thread of a test | [`options`], [`simulator`] |

pub mod air;
pub mod air_frame;
pub mod body;
pub mod causes;
pub mod control;
pub mod device;
pub mod entropy;
pub mod factory_file;
pub mod flash_handle;
pub mod hci;
pub mod image;
pub mod lane;
pub mod message_ends;
pub mod options;
pub mod show;
pub mod simulator;
mod socket_file;
