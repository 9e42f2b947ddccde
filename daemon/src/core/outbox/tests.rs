//! What leaves the outbox, in which order, and what is left in it.

use super::*;

/// Bound of passing publications in these tests.
const BOUND: usize = 3;

fn publication(topic: &str, priority: Priority) -> Publication {
    Publication {
        topic: topic.into(),
        payload: topic.as_bytes().to_vec(),
        retain: false,
        correlation: None,
        expiry_s: None,
        priority,
    }
}

fn urgent(topic: &str) -> Publication {
    publication(topic, Priority::Urgent)
}

fn bulk(topic: &str) -> Publication {
    publication(topic, Priority::Bulk)
}

fn up() -> Outbox {
    let mut outbox = Outbox::default();
    outbox.up(None);
    outbox
}

/// Everything that goes out at this moment: ticket and payload.
fn flushed(outbox: &mut Outbox, now_ms: u64) -> Vec<(u64, String)> {
    let mut out = Vec::new();
    while let Some(action) = outbox.flush(now_ms) {
        let CloudAction::Publish {
            ticket, payload, ..
        } = action
        else {
            panic!("only publications leave: {action:?}");
        };
        out.push((ticket, String::from_utf8(payload).unwrap()));
    }
    out
}

fn texts(outbox: &mut Outbox, now_ms: u64) -> Vec<String> {
    let out = flushed(outbox, now_ms);
    out.into_iter().map(|(_, text)| text).collect()
}

fn stored(op: StoreOp) -> (Vec<u8>, Vec<u8>) {
    let StoreOp::Put {
        tree: Tree::Outbox,
        key,
        value,
        at: None,
    } = op
    else {
        panic!("a record of the outbox: {op:?}");
    };
    (key, value)
}

fn removal(ticket: u64) -> Option<StoreOp> {
    Some(StoreOp::Delete {
        tree: Tree::Outbox,
        key: ticket.to_be_bytes().to_vec(),
    })
}

/// I2. Guards: a final that a crash forgets, turns round or sends under a used number.
#[test]
fn i2_what_was_kept_is_the_same_after_a_restart() {
    let mut outbox = Outbox::default();
    let mut last = bulk("batch");
    last.retain = true;
    let mut first = urgent("final");
    first.correlation = Some(vec![7, 7]);
    let (one, one_op) = outbox.keep(last);
    let (two, two_op) = outbox.keep(first);
    let records = vec![
        stored(one_op),
        stored(two_op),
        (vec![1, 2, 3], Vec::new()),
        (9_u64.to_be_bytes().to_vec(), b"no record".to_vec()),
    ];
    let (mut again, unreadable) = Outbox::restore(&records, 40);
    assert_eq!(unreadable, 2);
    assert_eq!((again.kept(), again.depth()), (2, 2));
    again.up(None);
    let sent = again.flush(0);
    let expected = CloudAction::Publish {
        ticket: two,
        topic: "final".into(),
        payload: b"final".to_vec(),
        retain: false,
        correlation: Some(vec![7, 7]),
        expiry_s: None,
        priority: Priority::Urgent,
    };
    assert_eq!(sent, Some(expected), "results go first");
    let Some(CloudAction::Publish {
        ticket,
        retain: true,
        priority: Priority::Bulk,
        ..
    }) = again.flush(0)
    else {
        panic!("the batch is there, and retained");
    };
    assert_eq!(ticket, one);
    assert_eq!(again.published(one), (removal(one), Vec::new()));
    assert_eq!(again.keep(urgent("new")).0, 40, "no number is used twice");
    // The store's own mark may be behind what is in it.
    let (mut behind, _) = Outbox::restore(&records, 0);
    assert_eq!(behind.keep(urgent("new")).0, two + 1);
}

/// I2. Guards: a result that is out before it is durable, and one that stays on disk for ever.
#[test]
fn i2_kept_publication_waits_for_the_disk_and_leaves_it_when_confirmed() {
    let mut outbox = up();
    let (ticket, _) = outbox.keep(urgent("final"));
    assert_eq!(flushed(&mut outbox, 0), []);
    outbox.ready(ticket);
    outbox.acknowledge_with(ticket, vec![AckToken(5)]);
    let out = (ticket, "final".to_owned());
    assert_eq!(flushed(&mut outbox, 0), [out]);
    // Durable twice over: it goes out once.
    outbox.ready(ticket);
    assert_eq!(flushed(&mut outbox, 0), []);
    assert_eq!(outbox.kept(), 1);
    assert_eq!(
        outbox.published(ticket),
        (removal(ticket), vec![AckToken(5)])
    );
    assert_eq!((outbox.kept(), outbox.depth()), (0, 0));
    assert_eq!(outbox.published(ticket), (None, Vec::new()), "a late word");
}

/// Guards: a message acknowledged on a connection that does not know its number any more.
#[test]
fn acknowledgements_end_with_the_connection_and_publications_do_not() {
    let mut outbox = up();
    assert!(outbox.is_up());
    for text in ["a", "b"] {
        let (ticket, _) = outbox.keep(urgent(text));
        outbox.ready(ticket);
        outbox.acknowledge_with(ticket, vec![AckToken(ticket)]);
    }
    let first = flushed(&mut outbox, 0);
    outbox.down();
    assert!(!outbox.is_up());
    assert_eq!(flushed(&mut outbox, 0), [], "nowhere to go");
    assert_eq!(outbox.next_deadline(), None);
    outbox.up(None);
    assert_eq!(flushed(&mut outbox, 0), first, "again, in order");
    assert_eq!(outbox.published(first[0].0), (removal(0), Vec::new()));
}

/// I7. Guards: answers that pile up while the broker is away, and a drop that nobody can see.
#[test]
fn i7_passing_publications_make_room_oldest_first_and_are_counted() {
    let mut outbox = Outbox::default();
    let (kept, _) = outbox.keep(urgent("final"));
    outbox.ready(kept);
    for text in ["1", "2", "3", "4"] {
        outbox.pass(urgent(text), BOUND);
    }
    assert_eq!((outbox.depth(), outbox.dropped), (4, 1));
    outbox.up(None);
    assert_eq!(texts(&mut outbox, 0), ["final", "2", "3", "4"]);
    // What is on its way cannot be called back, so there is no room at all.
    outbox.pass(urgent("5"), BOUND);
    assert_eq!((outbox.depth(), outbox.dropped), (4, 2));
    assert_eq!(flushed(&mut outbox, 0), []);
    let (none, acks) = outbox.published(1 + kept + 1);
    assert_eq!((none, acks), (None, Vec::new()), "it is on no disk");
    outbox.pass(urgent("6"), BOUND);
    assert_eq!(texts(&mut outbox, 0), ["6"]);
    assert_eq!(outbox.dropped, 2);
}

/// Guards: "accepted" told before the command is durable, or told of one that was refused since.
#[test]
fn held_publication_keeps_its_place_and_can_be_given_up() {
    let mut outbox = up();
    let held = outbox.hold(urgent("accepted"), BOUND).unwrap();
    let refused = outbox.hold(urgent("never"), BOUND).unwrap();
    outbox.cancel(refused);
    outbox.pass(urgent("later"), BOUND);
    outbox.ready(held);
    assert_eq!(texts(&mut outbox, 0), ["accepted", "later"]);
    assert_eq!(outbox.published(held), (None, Vec::new()));
    assert_eq!((outbox.depth(), outbox.dropped), (1, 0));
}

/// Guards: a broker that gets the same retained state with every report, or an old one last.
#[test]
fn document_goes_out_when_it_differs_and_only_the_newest() {
    let mut outbox = Outbox::default();
    for text in ["LOCKED", "MOVING", "UNLOCKED"] {
        outbox.document("state".into(), text.into());
    }
    assert_eq!(outbox.depth(), 1, "older ones that wait are replaced");
    outbox.up(None);
    let Some(CloudAction::Publish {
        ticket,
        retain: true,
        priority: Priority::Bulk,
        payload,
        ..
    }) = outbox.flush(0)
    else {
        panic!("the document goes out, retained");
    };
    assert_eq!(payload, b"UNLOCKED");
    assert_eq!(outbox.published(ticket), (None, Vec::new()));
    outbox.document("state".into(), b"UNLOCKED".to_vec());
    assert_eq!(outbox.depth(), 0, "the broker has it");
    // A new connection may be to a broker that has nothing.
    outbox.down();
    outbox.up(None);
    assert_eq!(texts(&mut outbox, 0), ["UNLOCKED"]);
    outbox.down();
    outbox.up(None);
    assert_eq!(
        texts(&mut outbox, 0),
        ["UNLOCKED"],
        "not confirmed, so again"
    );
    assert_eq!(outbox.depth(), 1, "but not twice");
}

/// Guards: a stale retained state that comes last and stays at the broker, because its publication
/// failed and was tried again after the newer one.
#[test]
fn document_that_was_followed_by_a_newer_one_is_never_sent_again() {
    for ends in ["fails", "is lost with its connection"] {
        let mut outbox = up();
        outbox.document("state".into(), b"old".to_vec());
        let old = flushed(&mut outbox, 0)[0].0;
        outbox.document("state".into(), b"new".to_vec());
        assert_eq!(outbox.depth(), 2, "the old one has its place in the air");
        if ends == "fails" {
            assert!(!outbox.failed(old, true, 0), "a newer one follows it");
        } else {
            outbox.down();
            outbox.up(None);
        }
        let new = flushed(&mut outbox, 0);
        assert_eq!(new.len(), 1, "{ends}: {new:?}");
        assert_eq!(new[0].1, "new", "{ends}");
        // The old one's late confirmation says nothing about the new one.
        assert_eq!(outbox.published(old), (None, Vec::new()));
        outbox.failed(new[0].0, true, 0);
        assert_eq!(texts(&mut outbox, 60_000), ["new"], "{ends}");
    }
}

/// Guards: the state of a lock that was removed, back at the broker by a second try.
#[test]
fn forgotten_document_is_never_sent_again() {
    let mut outbox = up();
    assert!(!outbox.forget_document("state"));
    outbox.document("state".into(), b"waits".to_vec());
    assert!(outbox.forget_document("state"));
    assert_eq!(outbox.depth(), 0);
    outbox.document("state".into(), b"old".to_vec());
    flushed(&mut outbox, 0);
    outbox.document("state".into(), b"new".to_vec());
    flushed(&mut outbox, 0);
    assert!(outbox.forget_document("state"));
    outbox.down();
    outbox.up(None);
    assert_eq!(flushed(&mut outbox, 0), []);
    assert_eq!(outbox.depth(), 0);
}

/// F07. Guards: a connection flooded with unconfirmed publications, and room that never comes back.
#[test]
fn f07_sixteen_are_in_flight_and_each_end_makes_room_for_one() {
    let mut outbox = up();
    for number in 0..IN_FLIGHT + 3 {
        outbox.pass(urgent(&number.to_string()), 100);
    }
    let out = flushed(&mut outbox, 0);
    assert_eq!(out.len(), IN_FLIGHT);
    assert_eq!(outbox.next_deadline(), None, "nothing to wake up for");
    outbox.published(out[0].0);
    assert_eq!(outbox.next_deadline(), Some(0));
    assert_eq!(texts(&mut outbox, 0), ["16"]);
    outbox.failed(out[1].0, true, 0);
    assert_eq!(texts(&mut outbox, 0), ["17"]);
    assert_eq!(outbox.dropped, 0, "a busy broker may have it later");
    assert!(
        outbox.failed(out[2].0, false, 0),
        "it is lost: that is news"
    );
    assert_eq!(texts(&mut outbox, 0), ["18"]);
    assert_eq!(outbox.dropped, 1, "a passing one is not tried for ever");
    assert!(!outbox.failed(out[2].0, false, 0));
    assert_eq!(flushed(&mut outbox, 0), []);
    outbox.published(out[3].0);
    assert_eq!(texts(&mut outbox, 60_000), ["1"]);
}

/// Guards: a broker that refuses, asked again at once and for ever; a pause that holds up others; and
/// a journal that tells of each try, thousands a minute.
#[test]
fn refused_publication_is_tried_again_after_growing_pauses() {
    let mut outbox = up();
    let (ticket, _) = outbox.keep(urgent("final"));
    outbox.ready(ticket);
    let mut now = 1_000;
    for pause in [
        500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000,
    ] {
        let out = flushed(&mut outbox, now);
        assert_eq!(out.len(), 1, "at {now}");
        // What must not be lost is not lost to a permanent refusal either.
        let is_news = outbox.failed(ticket, false, now);
        assert_eq!(is_news, pause == 500, "told once, at {now}");
        // A second word on the same try.
        assert!(!outbox.failed(ticket, false, now + 1));
        assert_eq!(outbox.next_deadline(), Some(now + pause));
        assert_eq!(flushed(&mut outbox, now + pause - 1), []);
        now += pause;
    }
    outbox.pass(bulk("other"), BOUND);
    assert_eq!(outbox.next_deadline(), Some(0));
    assert_eq!(texts(&mut outbox, now - 1), ["other"]);
    assert_eq!(outbox.dropped, 0);
    // A new connection may take it at once.
    outbox.down();
    outbox.up(None);
    assert_eq!(texts(&mut outbox, now - 1), ["final", "other"]);
}

/// Guards: a publication that the broker discards in silence, or that ends every connection.
#[test]
fn what_the_broker_calls_too_large_waits_for_a_connection_that_takes_more() {
    let mut outbox = Outbox::default();
    let mut large = urgent("topic");
    large.payload = vec![b'x'; 100];
    large.correlation = Some(vec![1; 10]);
    let size = OVERHEAD + 5 + 100 + 10;
    let (ticket, _) = outbox.keep(large);
    outbox.ready(ticket);
    outbox.pass(urgent("small"), BOUND);
    outbox.up(Some(size - 1));
    assert_eq!(texts(&mut outbox, 0), ["small"]);
    assert_eq!(outbox.next_deadline(), None, "no time brings it");
    assert_eq!(flushed(&mut outbox, 1_000_000), []);
    outbox.down();
    outbox.up(Some(size));
    assert_eq!(flushed(&mut outbox, 1_000_000)[0].0, ticket);
    outbox.down();
    outbox.up(Some(60));
    outbox.pass(urgent("smaller"), BOUND);
    assert_eq!(texts(&mut outbox, 2_000_000), ["small", "smaller"]);
}
