//! What a lock refuses without a signature, for it knows nobody who signed it; and what it has forgotten.

use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;

use super::lock_double::Cut;
use super::world::{World, keys};

fn own_grant(world: &World) -> Digest32 {
    let keys = keys();
    Digest32::of(&world.locks[0].grant(keys.identity.public(), keys.link.public()))
}

fn heard(world: &World, what: &str) -> usize {
    let all = world.locks[0].heard.iter();
    all.filter(|heard| heard.starts_with(what)).count()
}

/// I2. Guards: a grant presented without end to a lock that does not keep it, and every command
/// behind it waiting; and a grant presented for a command that is not under it.
#[test]
fn i2_grant_is_presented_anew_once_and_only_for_its_own_commands() {
    for (grant, tries) in [(None, 2), (Some(Digest32([9; 32])), 1)] {
        let mut world = World::ready(1);
        let grant = grant.unwrap_or_else(|| own_grant(&world));
        world.locks[0].loses_grants = true;
        world.locks[0].knows_grants = false;
        let (bytes, id) = world.sign_as(0, 1, Some(grant), &keys().identity);
        let topic = world.command_topic(0);
        let presented = heard(&world, "PresentGrant");
        world.publish(&topic, &bytes);
        world.run(20_000);
        assert_eq!(world.statuses(id), ["accepted", "delivered", "refused"]);
        assert_eq!(world.results(id)[2]["reason"], "grant_unknown");
        assert_eq!(heard(&world, "Command"), tries);
        assert_eq!(heard(&world, "PresentGrant") - presented, tries - 1);
    }
}

/// I2. Guards: "refused" said of a bolt that may have moved, for the lock has another owner by the time
/// it is asked; and "may have moved" said of bytes that no lock ever obeys.
#[test]
fn i2_refused_query_is_failed_unless_the_bytes_never_stood() {
    for (reason, status, said) in [
        (Reason::NotOwned, "failed", "forgotten"),
        (Reason::GrantUnknown, "failed", "forgotten"),
        (Reason::Signature, "refused", "signature"),
        (Reason::Form, "refused", "form"),
        (Reason::WrongLock, "refused", "wrong_lock"),
        (Reason::IdReused, "refused", "id_reused"),
    ] {
        let mut world = World::ready(1);
        world.locks[0].cuts = vec![Cut::BeforeAnswer];
        world.locks[0].refuses_queries = Some(reason);
        let id = world.send_command(0, 1);
        world.run(10_000);
        assert_eq!(
            world.statuses(id),
            ["accepted", "delivered", "unknown", status],
            "{reason:?}"
        );
        let last = &world.results(id)[3];
        assert_eq!(last["reason"], said, "{reason:?}");
        assert_eq!(last["provisional"], true, "{reason:?}");
        assert_eq!(
            last["may_have_succeeded"],
            status == "failed",
            "{reason:?}: {last}"
        );
    }
}

/// I2. Guards: a command that the lock has forgotten, open for ever because its log is as full in the hub as
/// it may be, and can be followed no further.
#[test]
fn i2_forgotten_command_ends_when_the_log_can_be_followed_no_further() {
    let mut world = World::with_long_log();
    world.locks[0].cuts = vec![Cut::BeforeAnswer];
    world.locks[0].forgets_as = Some((Verdict::Forgotten, Reason::Forgotten));
    let id = world.send_command(0, 1);
    world.run(20_000);
    let finals = world.finals(id);
    assert_eq!(finals.len(), 1, "{:?}", world.statuses(id));
    assert_eq!(finals[0]["status"], "failed");
    assert_eq!(finals[0]["reason"], "forgotten");
    assert_eq!(finals[0]["may_have_succeeded"], true);
}
