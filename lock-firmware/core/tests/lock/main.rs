//! The whole lock core on a table: what strangers, relays, guests, peers and power cuts can do to it.

mod admission_order;
mod adverts;
mod auto_relock;
mod bench;
mod bolt_and_outcome;
mod bounds;
mod claim_faults;
mod fail_closed;
mod garbage;
mod lane;
mod log_chain;
mod one_command_one_turn;
mod ownership_ends;
mod pairing_back_off;
mod pairing_power_cuts;
mod pairing_window;
mod psk_rotation;
mod remembered_answers;
mod replay;
mod restart;
mod sessions;
mod table_floods;
