//! What Bluetooth LE is told about a lock: one service, three characteristics, one channel.
//!
//! The advert holds the flags and [`SERVICE`] only; the scan response holds the beacon as service
//! data. Every lock says the same but for its beacon, so nobody without a beacon key tells two apart.

/// The service of every lock, in the advert; its data in the scan response is the beacon.
pub const SERVICE: u128 = 0xb739_6132_ce88_4cff_9875_6764_587f_ea3b;

/// Read: a lock hello that names the PSM. It begins no link, and its nonce is no link's.
pub const INFO: u128 = 0xea21_bd17_176d_45ef_a4bf_bcf5_5513_0d61;

/// Written without response: one fragment to the lock.
pub const INBOX: u128 = 0xe9ed_1e61_7ffc_41b8_b028_078b_fd50_c152;

/// Notified: one fragment from the lock. A subscription is the beginning of a link, its end the end.
pub const OUTBOX: u128 = 0xa619_b89f_5c9a_4c66_8598_e6f9_d27f_1801;

/// The PSM on which every lock of this version takes L2CAP channels: one fragment a service data
/// unit, the opening is the beginning of a link. In the dynamic range of LE (0x80 to 0xff).
pub const PSM: u16 = 0x88;

/// The largest packet that a link over Bluetooth carries, bytes: an L2CAP frame that fills one data
/// packet of 251 bytes (Core 4.2 and later), less its header of 4 and the SDU's length of 2, less 1.
pub const MAX_PACKET: u16 = 244;
