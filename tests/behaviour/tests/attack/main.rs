//! What an attacker gets out of stolen files and stolen keys.

mod hub_files;
mod robbed_house;
mod shared_keys;
