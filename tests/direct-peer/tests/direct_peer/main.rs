//! The lock on a TCP HCI port against Bumble: a Bluetooth controller for the lock and a host for its
//! peers, neither of them ours.
//!
//! Each check is a function of the same name in `peer/`; it fails by an exception, and its output is
//! shown then. The lock runs in this process; after each check it must still be alive.

mod peer;

use peer::Peer;

macro_rules! checks {
    ($($(#[doc = $guards:literal])+ $name:ident;)+) => {
        $(
            $(#[doc = $guards])+
            #[test]
            fn $name() {
                Peer::new(stringify!($name)).check(stringify!($name));
            }
        )+
    };
}

checks! {
    /// Guards: an advert that tells this lock from another, or a beacon that its hub cannot verify.
    advert_has_flags_service_and_a_beacon_of_the_codes_key_and_nothing_else;
    /// Guards: an address that changes without the beacon, or the beacon without it: either links the two.
    address_and_beacon_change_together;
    /// Guards: an inbox that can be read, an info that can be written, a table that grows by accident.
    attributes_refuse_what_is_not_theirs;
    /// Guards: a hello that is cut or lost at the smallest MTU, or never comes at the largest.
    hello_arrives_at_att_mtu_23_and_517;
    /// Guards: a lock that speaks only where nobody connects.
    hello_comes_over_channel_and_over_attributes_and_differs;
    /// Guards: a fragment without a credit for it, which a strict peer answers by closing the channel.
    lock_sends_no_frame_without_a_credit;
    /// Guards: a peer that sends more than it may, and fills the lock's memory.
    frames_beyond_the_credits_end_the_link;
    /// Guards: two links of the core over one connection, of which it counts only one.
    second_link_over_one_connection_is_refused;
    /// Guards: a lock on a controller whose links, power and address do not follow the lock's.
    knobs_reach_the_lock_on_a_controller;
    /// Guards: a former owner's hub that still knows the lock by its addresses.
    factory_reset_forgets_bonds_and_key;
    /// Guards: a table of bonds that is full, after which no hub ever bonds again.
    tenth_bond_takes_the_place_of_the_oldest;
    /// Guards: a code whose passkey nobody needs, or one that does not bond; a bond that a restart forgets.
    s12_right_passkey_bonds_and_the_bond_survives_a_restart_of_the_radio;
    /// Guards: a bond with whoever guesses, who then knows the lock's addresses for ever.
    s12_wrong_passkey_is_refused;
    /// Guards: a bond without the code.
    s12_just_works_is_refused;
    /// Guards: a bond whose key an eavesdropper computes.
    s12_legacy_pairing_is_refused;
    /// Guards: a bond whose key is guessed (KNOB).
    s12_short_keys_are_refused;
    /// Guards: one frame that panics the host in the lock, and nobody gets in any more.
    s13_malformed_l2cap_is_survived;
    /// Guards: the same for attributes.
    s13_malformed_att_is_survived;
    /// Guards: the same for pairing.
    s13_malformed_smp_is_survived;
    /// Guards: the same for a controller's events and data.
    s13_malformed_hci_is_survived;
    /// Guards: a controller that stops answering, and a lock that waits for it for ever.
    s13_mute_controller_is_reset_within_10_s;
    /// Guards: a silent peer that stays for ever, or one that has no time to pair.
    s14_a_silent_peer_is_dropped_after_10_s;
    /// Guards: two silent peers that keep everybody out.
    s14_strangers_who_take_every_place_are_dropped_after_3_s;
    /// Guards: a rule for strangers that turns out the household.
    s14_a_bonded_peer_keeps_its_place_among_strangers;
    /// Guards: strangers who come again as soon as they are dropped, one for each place, and a hub that stays outside.
    s14_while_a_stranger_has_a_place_the_other_is_for_bonded_peers;
    /// Guards: a hub on a link that is not encrypted, and a second one that cannot get in to pair.
    s14_peer_whose_link_lasts_is_no_stranger;
    /// Guards: a peer that connects, opens a channel and says nothing, and keeps the link.
    s14_channel_without_proof_ends_after_10_s;
}
