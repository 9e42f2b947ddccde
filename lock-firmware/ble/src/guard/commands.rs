//! Refusals of a controller that are none.

use bt_hci::cmd::le::LeSetAdvEnable;
use bt_hci::cmd::{Cmd, SyncCmd};
use bt_hci::param::Error;
use bt_hci::{FromHciBytes, WriteHci};

/// The parameters of the command that switches the advert off.
const OFF: [u8; 1] = [0];

/// What the host is told of a refused command that had nothing to do: that it is done.
///
/// btvirt: refuses to switch an advert off that is off, which shall have no effect (Core vol 4 part E 7.8.9). Seen: 5.82;
/// the host then gives its controller up, and every link with it.
pub(super) fn done_already<T: SyncCmd>(command: &T, refusal: Error) -> Option<T::Return> {
    if T::OPCODE != LeSetAdvEnable::OPCODE || refusal != Error::CMD_DISALLOWED {
        return None;
    }
    let mut parameters = [u8::MAX; OFF.len()];
    command.params().write_hci(&mut parameters[..]).ok()?;
    if parameters != OFF {
        return None;
    }
    T::Return::from_hci_bytes_complete(&[]).ok()
}

#[cfg(test)]
mod tests {
    use bt_hci::cmd::le::LeSetScanEnable;

    use super::*;

    // Guards: a lock that drops every link when its advert ends twice; and one that believes it is on the air when its
    // controller has refused.
    #[test]
    fn only_an_advert_that_is_off_already_is_switched_off_by_a_refusal() {
        let disallowed = Error::CMD_DISALLOWED;
        let off = LeSetAdvEnable::new(false);
        assert_eq!(done_already(&off, disallowed), Some(()));
        assert_eq!(done_already(&off, Error::HARDWARE_FAILURE), None);
        assert_eq!(done_already(&LeSetAdvEnable::new(true), disallowed), None);
        let scan_off = LeSetScanEnable::new(false, false);
        assert_eq!(done_already(&scan_off, disallowed), None);
    }
}
