use drawbridge_protocol::grant::Grant;

use super::super::keys::{Kernel, OwnerKeys};
use super::super::test_lock::TestLock;
use super::*;

struct Scene {
    lock: TestLock,
    code: QrCode,
    book: OwnerBook,
    offer: Offer,
}

impl Scene {
    fn new() -> Self {
        let lock = TestLock::new(5);
        let offer = Offer {
            lock: lock.id,
            window: Nonce([9; 16]),
            owned: false,
            policy_epoch: 0,
            hub_id: Some("h1".into()),
            hub: OwnerKeys::generate(&mut Kernel).public(),
        };
        Self {
            code: lock.code(),
            lock,
            book: OwnerBook::new(&mut Kernel),
            offer,
        }
    }

    fn plan(&mut self) -> Result<ClaimPlan, ClaimError> {
        self.plan_with(false)
    }

    fn plan_with(&mut self, accept_new_hub_keys: bool) -> Result<ClaimPlan, ClaimError> {
        let wish = Wish {
            code: &self.code,
            name: "Front",
            made_at: 1_700_000_000,
            accept_new_hub_keys,
        };
        ClaimPlan::next(&mut self.book, wish, &self.offer, &mut Kernel)
    }

    fn snapshot(&self) -> (Vec<LockRecord>, u32) {
        (self.book.locks.clone(), self.book.next_serial)
    }
}

// Guards: a claim the lock could not check, or one that names other keys than the book's.
#[test]
fn claim_names_owner_audit_key_and_hub_and_verifies_under_the_code() {
    let mut scene = Scene::new();
    let plan = scene.plan().unwrap();
    assert_eq!(plan.tries.len(), 1);
    let key = scene.code.keys().claim_key;
    let claim = Claim::verify(&plan.tries[0].claim, &key).unwrap();
    assert_eq!(claim.owner, scene.book.keys.public());
    assert_eq!(claim.audit_key, scene.book.keys.audit.public());
    assert_eq!(claim.peers().collect::<Vec<_>>(), [scene.offer.hub]);
    assert_eq!(claim.window, scene.offer.window);
    assert_eq!(scene.book.lock(scene.lock.id).unwrap().ownership(), None);
}

// Guards (S25): a hub that answers "owned" by itself, with its own signature, or with the receipt of
// another claim.
#[test]
fn s25_only_the_locks_receipt_for_our_claim_makes_it_owned() {
    let mut scene = Scene::new();
    let plan = scene.plan().unwrap();
    let claim = &plan.tries[0].claim;
    let before = scene.snapshot();
    let stranger = TestLock::new(6);
    let mut forged = scene.lock.receipt(claim);
    *forged.last_mut().unwrap() ^= 1;
    for bad in [
        stranger.receipt(claim),
        forged,
        scene.lock.receipt(b"another"),
        vec![],
    ] {
        let error = accept_receipt(&mut scene.book, scene.lock.id, claim, &bad).unwrap_err();
        assert!(error.may_have_succeeded(), "{error}");
        assert_eq!(scene.snapshot(), before);
    }
    accept_receipt(
        &mut scene.book,
        scene.lock.id,
        claim,
        &scene.lock.receipt(claim),
    )
    .unwrap();
    let record = scene.book.lock(scene.lock.id).unwrap();
    assert_eq!(record.ownership(), Some(OwnershipId::of_claim(claim)));
    assert_eq!(record.grants.len(), 1);
}

// Guards: the receipt is lost on the way; a new claim would be `already_owned` for ever.
#[test]
fn a_lost_receipt_is_fetched_again_with_the_same_claim() {
    let mut scene = Scene::new();
    let first = scene.plan().unwrap().tries[0].clone();
    assert_eq!(
        scene.plan().unwrap().tries,
        std::slice::from_ref(&first),
        "same window, same claim"
    );
    scene.offer.owned = true;
    scene.offer.window = Nonce([10; 16]);
    assert_eq!(
        scene.plan().unwrap().tries,
        std::slice::from_ref(&first),
        "owned: by our own claim"
    );
    // A hub that lies about "owned" gets a new claim first, and then the one that may have arrived.
    scene.offer.owned = false;
    let plan = scene.plan().unwrap();
    assert_eq!(plan.tries.len(), 2);
    assert_eq!(plan.tries[1], first);
    let receipt = scene.lock.receipt(&first.claim);
    accept_receipt(&mut scene.book, scene.lock.id, &first.claim, &receipt).unwrap();
}

// Guards: a hub paired again after a factory reset, whose grant is of an epoch that the reset revoked;
// and a hub that names an epoch far ahead, so that its grant outlives every revocation to come.
#[test]
fn hubs_grant_is_of_the_locks_policy_epoch_and_of_none_far_ahead() {
    for epoch in [0, 1, 7, MAX_POLICY_EPOCH] {
        let mut scene = Scene::new();
        scene.offer.policy_epoch = epoch;
        let plan = scene.plan().unwrap();
        let grant = Grant::verify(&plan.tries[0].grant.bytes).unwrap().grant;
        assert_eq!(grant.policy_epoch, epoch);
    }
    for epoch in [MAX_POLICY_EPOCH + 1, 1_000, u32::MAX] {
        let mut scene = Scene::new();
        scene.offer.policy_epoch = epoch;
        let before = scene.snapshot();
        let refused = ClaimError::PolicyEpochFarAhead(epoch);
        assert_eq!(scene.plan(), Err(refused));
        assert_eq!(scene.snapshot(), before);
    }
}

// Guards: many failed tries in many windows that grow the file without end.
#[test]
fn i07_pending_claims_are_bounded() {
    let mut scene = Scene::new();
    for window in 0..20 {
        scene.offer.window = Nonce([window; 16]);
        let plan = scene.plan().unwrap();
        assert!(plan.tries.len() <= MAX_PENDING + 1);
    }
    let Standing::Pending(claims) = &scene.book.lock(scene.lock.id).unwrap().standing else {
        panic!("owned without a receipt")
    };
    assert_eq!(claims.len(), MAX_PENDING);
}

// Guards: bad input of pairing, each refused before anything is written down.
#[test]
fn wrong_lock_owned_lock_weak_or_changed_hub_keys_change_nothing() {
    let mut scene = Scene::new();
    let before = scene.snapshot();
    scene.offer.owned = true;
    assert_eq!(scene.plan(), Err(ClaimError::AlreadyOwned));
    scene.offer.owned = false;
    scene.offer.lock = LockId([0xee; 8]);
    assert!(matches!(scene.plan(), Err(ClaimError::OtherLock { .. })));
    scene.offer.lock = scene.lock.id;
    let good = scene.offer.hub;
    scene.offer.hub.link.0 = [0; 32];
    assert!(matches!(scene.plan(), Err(ClaimError::HubKeys(_))));
    scene.offer.hub = good;
    assert_eq!(scene.snapshot(), before);

    scene.plan().unwrap();
    scene.offer.hub = OwnerKeys::generate(&mut Kernel).public();
    scene.offer.window = Nonce([11; 16]);
    let before = scene.snapshot();
    assert_eq!(scene.plan(), Err(ClaimError::HubChangedKeys("h1".into())));
    assert_eq!(scene.snapshot(), before);
    scene.plan_with(true).unwrap();
    assert_eq!(scene.book.hubs["h1"], scene.offer.hub);
}

// Guards: two doors called "Front", after which no command knows which one is meant.
#[test]
fn a_name_is_given_once() {
    let mut scene = Scene::new();
    scene.book.locks.push(TestLock::new(8).record("FRONT"));
    assert_eq!(scene.plan(), Err(ClaimError::NameTaken("Front".into())));
}
