//! What tests, the demo and the lane runner share: throw-away certificates, a conformance broker,
//! and foreign MQTT clients. Nothing of this ships.

#[cfg(feature = "embedded-broker")]
mod access;
pub mod air_proxy;
#[cfg(feature = "embedded-broker")]
pub mod broker;
pub mod foreign;
pub mod household;
pub mod mosquitto;
pub mod pki;
pub mod proxy;
#[cfg(feature = "embedded-broker")]
pub mod raw_broker;
