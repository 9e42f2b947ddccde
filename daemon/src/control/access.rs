//! Who may use the socket: root, the daemon's own user, and members of the configured group (S24).
//!
//! The kernel checks the modes of folder and socket at `connect`; this is checked once more on the credentials of the
//! peer, because a mode can be changed by a careless administrator. **Any doubt (no credentials, no such group, a failing look-up) is a no.**

use nix::unistd::{Gid, Group, Uid, User, geteuid};

/// Credentials that the kernel took when the peer connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id, when the kernel knows it; for the log only, it can be reused.
    pub pid: Option<i32>,
}

/// Who is let in.
#[derive(Debug, Clone)]
pub struct Access {
    own_uid: u32,
    group: Option<String>,
}

impl Access {
    /// Root, this process's user, and members of `group`.
    #[must_use]
    pub fn new(group: Option<String>) -> Self {
        Self {
            own_uid: geteuid().as_raw(),
            group,
        }
    }

    /// Whether this peer may ask. Looks the group up anew each time, so that adding a member needs no restart; may
    /// block on the system's user database.
    #[must_use]
    pub fn admits(&self, peer: Peer) -> bool {
        if peer.uid == 0 || peer.uid == self.own_uid {
            return true;
        }
        let Some(group) = &self.group else {
            return false;
        };
        let Ok(Some(group)) = Group::from_name(group) else {
            return false;
        };
        if group.gid == Gid::from_raw(peer.gid) {
            return true;
        }
        let Ok(Some(user)) = User::from_uid(Uid::from_raw(peer.uid)) else {
            return false;
        };
        user.gid == group.gid || group.mem.contains(&user.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any local user could drive BlueZ by its default policy; ours must not repeat that (S24).
    #[test]
    fn s24_only_root_own_user_and_group_are_admitted() {
        let access = Access {
            own_uid: 990,
            group: Some("daemon".into()),
        };
        let peer = |uid, gid| Peer {
            uid,
            gid,
            pid: None,
        };
        let daemon = Group::from_name("daemon")
            .unwrap()
            .expect("group daemon is in every Debian")
            .gid
            .as_raw();
        assert!(access.admits(peer(0, 0)));
        assert!(access.admits(peer(990, 990)));
        assert!(access.admits(peer(65_534, daemon)));
        assert!(!access.admits(peer(65_534, 65_534)));
        assert!(
            !access.admits(peer(4_000_000, 4_000_000)),
            "a user without a name"
        );
        let gone = Access {
            own_uid: 990,
            group: Some("no-such-group-anywhere".into()),
        };
        assert!(
            !gone.admits(peer(65_534, 65_534)),
            "a group that is gone admits nobody"
        );
        assert!(
            !Access {
                own_uid: 990,
                group: None
            }
            .admits(peer(65_534, 65_534))
        );
    }
}
