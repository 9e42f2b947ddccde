use super::*;

fn small() -> Limits {
    let bound = Bound {
        records: 4,
        bytes: 10_000,
    };
    Limits {
        inbox: bound,
        outbox: bound,
        results: bound,
        audit: bound,
        meta: bound,
        results_age_s: 100,
        results_kept: 2,
    }
}

fn publish(ticket: u64, class: OutboxClass) -> StoreOp {
    StoreOp::Publish {
        ticket: Ticket(ticket),
        class,
        value: vec![0; 10],
    }
}

fn tickets(holdings: &Holdings) -> Vec<u64> {
    holdings
        .scan(Tree::Outbox, &[], 100)
        .iter()
        .filter_map(|(key, _)| Ticket::from_key(key))
        .map(|t| t.0)
        .collect()
}

/// Days without a broker: telemetry goes, oldest first, and is counted; results stay (F05).
#[test]
fn f05_full_outbox_drops_the_oldest_telemetry_and_never_a_result() {
    let mut holdings = Holdings::new(small());
    let mut journal = Journal::default();
    for (ticket, class) in [
        (1, OutboxClass::Kept),
        (2, OutboxClass::Telemetry),
        (3, OutboxClass::Telemetry),
        (4, OutboxClass::Kept),
    ] {
        holdings
            .stage(vec![publish(ticket, class)], &mut journal)
            .unwrap();
    }
    holdings
        .stage(vec![publish(5, OutboxClass::Kept)], &mut journal)
        .unwrap();
    assert_eq!(tickets(&holdings), [1, 3, 4, 5]);
    holdings
        .stage(vec![publish(6, OutboxClass::Kept)], &mut journal)
        .unwrap();
    assert_eq!(tickets(&holdings), [1, 4, 5, 6]);
    assert_eq!(holdings.tallies().dropped, 2);

    // Nothing droppable is left: a result is refused, not lost in silence; telemetry falls itself.
    let refused = holdings
        .stage(vec![publish(7, OutboxClass::Kept)], &mut journal)
        .unwrap_err();
    assert!(
        matches!(refused, StoreError::Full { tree: Tree::Outbox }),
        "{refused:?}"
    );
    assert!(refused.is_temporary());
    holdings
        .stage(vec![publish(8, OutboxClass::Telemetry)], &mut journal)
        .unwrap();
    assert_eq!(tickets(&holdings), [1, 4, 5, 6]);
    assert_eq!(holdings.tallies().dropped, 3);
    assert_eq!(
        holdings.tallies().tickets,
        9,
        "a ticket is never used twice"
    );
}

#[test]
fn audit_is_refused_when_full_and_never_dropped() {
    let mut holdings = Holdings::new(small());
    let mut journal = Journal::default();
    for n in 0..4u8 {
        holdings
            .stage(vec![StoreOp::put(Tree::Audit, [n], [n])], &mut journal)
            .unwrap();
    }
    let refused = holdings
        .stage(vec![StoreOp::put(Tree::Audit, [9], [9])], &mut journal)
        .unwrap_err();
    assert!(matches!(refused, StoreError::Full { tree: Tree::Audit }));
    assert_eq!(holdings.scan(Tree::Audit, &[], 10).len(), 4);
    // Replacing and removing go on.
    holdings
        .stage(
            vec![
                StoreOp::put(Tree::Audit, [0], [7]),
                StoreOp::delete(Tree::Audit, [1]),
            ],
            &mut journal,
        )
        .unwrap();
}

/// A clock that jumps must not wipe the memory that makes a replay a duplicate (F10, S32).
#[test]
fn f10_results_go_by_count_and_age_but_a_clock_jump_leaves_the_newest() {
    let mut holdings = Holdings::new(small());
    let mut journal = Journal::default();
    for n in 0..6u8 {
        holdings
            .stage(
                vec![StoreOp::Conclude {
                    id: vec![n],
                    at: 1_000 + u64::from(n),
                    value: vec![n],
                }],
                &mut journal,
            )
            .unwrap();
    }
    let kept: Vec<u8> = holdings
        .scan(Tree::Results, &[], 10)
        .iter()
        .map(|(key, _)| key[0])
        .collect();
    assert_eq!(kept, [2, 3, 4, 5], "bounded by count, oldest first");
    holdings
        .stage(
            vec![StoreOp::Conclude {
                id: vec![9],
                at: 315_360_000,
                value: vec![9],
            }],
            &mut journal,
        )
        .unwrap();
    let kept: Vec<u8> = holdings
        .scan(Tree::Results, &[], 10)
        .iter()
        .map(|(key, _)| key[0])
        .collect();
    assert_eq!(kept, [5, 9], "two stay whatever their age");
}

/// A refused batch and a failed disk write both leave exactly what was there before.
#[test]
fn roll_back_restores_records_sum_and_tallies() {
    let mut holdings = Holdings::new(small());
    let mut journal = Journal::default();
    holdings
        .stage(
            vec![
                StoreOp::put(Tree::Meta, *b"a", *b"1"),
                publish(4, OutboxClass::Telemetry),
            ],
            &mut journal,
        )
        .unwrap();
    let (sum, tallies, loads) = (holdings.sum(), holdings.tallies(), holdings.loads());

    let mut journal = Journal::default();
    let mark = holdings.mark(&journal);
    holdings
        .stage(
            vec![
                StoreOp::put(Tree::Meta, *b"a", *b"2"),
                StoreOp::put(Tree::Meta, *b"a", *b"3"),
                StoreOp::put(Tree::Meta, *b"b", *b"4"),
                StoreOp::delete(Tree::Outbox, Ticket(4).key()),
                publish(9, OutboxClass::Kept),
            ],
            &mut journal,
        )
        .unwrap();
    assert_eq!(journal.changes(&holdings).len(), 4, "each place once");
    assert_ne!(holdings.sum(), sum);
    holdings.roll_back(&mut journal, mark);
    assert_eq!(
        (holdings.sum(), holdings.tallies(), holdings.loads()),
        (sum, tallies, loads)
    );
    assert_eq!(holdings.held(Tree::Meta, b"a").unwrap().value, b"1");

    let bad = holdings.stage(
        vec![
            StoreOp::put(Tree::Meta, *b"x", *b"1"),
            StoreOp::put(Tree::Meta, *b"y", vec![0; MAX_VALUE + 1]),
        ],
        &mut journal,
    );
    assert!(matches!(bad, Err(StoreError::TooLarge { .. })));
    assert_eq!(
        (holdings.sum(), holdings.loads()),
        (sum, loads),
        "a batch is whole or not at all"
    );
}

#[test]
fn hostile_keys_are_refused() {
    let mut holdings = Holdings::new(small());
    let mut journal = Journal::default();
    for key in [vec![], vec![1; MAX_KEY + 1]] {
        assert!(matches!(
            holdings.stage(vec![StoreOp::put(Tree::Meta, key, [1])], &mut journal),
            Err(StoreError::BadKey { .. })
        ));
    }
    let no_ticket = holdings.stage(vec![StoreOp::put(Tree::Outbox, *b"abc", [1])], &mut journal);
    assert!(matches!(no_ticket, Err(StoreError::BadKey { length: 3 })));
    let many = vec![StoreOp::delete(Tree::Meta, [1]); MAX_BATCH + 1];
    assert!(matches!(
        holdings.stage(many, &mut journal),
        Err(StoreError::BatchTooLong { .. })
    ));
}
