//! The hub's process: its start, its end between any two actions, its disk.

use drawbridge_daemon::core::{
    ControlAction, Hub, HubAction, HubEvent, LockBinding, StoreFault, StoreOp, Tree,
};

use super::{Due, HOP_MS, World};
use crate::schedule::{DiskIll, LOCKS};

/// Records that may be in a tree beyond the bound that the hub was given: what one batch adds.
const SLACK: usize = 96;

impl World {
    /// An event for the hub that runs now, `ms` from now.
    pub(super) fn tell_hub(&mut self, ms: u64, event: HubEvent) {
        let run = self.run;
        let connection = None;
        self.after(
            ms,
            Due::Hub {
                run,
                connection,
                event,
            },
        );
    }

    /// A hub starts from what is durable.
    pub(super) fn start_hub(&mut self) {
        if self.hub.is_some() {
            return;
        }
        self.run += 1;
        let (now, restored) = (self.clock(), self.disk.restored());
        self.check_bindings(&restored.bindings);
        let (config, keys) = (self.config.clone(), self.keys.clone());
        match Hub::new(config, keys, restored, now, &mut self.hub_dice) {
            Ok(hub) => self.hub = Some(hub),
            Err(error) => return self.violate(6, format!("the hub does not start: {error}")),
        }
        self.note(|| "hub starts".into());
        self.dial_after(100);
        self.carry_out();
    }

    /// I4: what was acknowledged to the owner is there after every start.
    fn check_bindings(&mut self, bindings: &[LockBinding]) {
        let granted = bindings
            .iter()
            .filter(|binding| binding.is_claimed && binding.verified_grant().is_some());
        if self.began > 0 && granted.count() < LOCKS {
            self.violate(4, "the hub starts without a lock or its grant".into());
        }
    }

    /// The hub dies: what was not durable is gone. A batch that the disk was at work on is there
    /// or is not.
    pub(super) fn crash_hub(&mut self) {
        if self.hub.take().is_none() {
            return;
        }
        self.note(|| "hub dies".into());
        self.fuse = None;
        self.tally.hub_crashes += 1;
        self.tally.fault("hub_crash");
        self.broker.down();
        self.users.hang_up();
        self.drop_all_links();
        let run = self.run;
        let mine = |due: &Due| matches!(due, Due::Commit { run: of, .. } if *of == run);
        let pending: Vec<_> = self
            .due
            .iter()
            .filter(|(_, due)| mine(due))
            .map(|(at, _)| *at)
            .collect();
        for at in pending {
            if let Some(Due::Commit { ops, .. }) = self.due.remove(&at)
                && self.dice.chance(500)
            {
                self.make_durable(&ops);
            }
        }
        let away = self.hub_away_ms;
        self.after(away, Due::HubStarts);
    }

    /// Hands the hub an event and lets everything follow at once.
    pub(super) fn feed(&mut self, event: HubEvent) {
        let now = self.clock();
        if let Some(hub) = &mut self.hub {
            hub.handle(event, now, &mut self.hub_dice);
        }
        self.carry_out();
    }

    /// Does everything that the hub asks for, until it asks for nothing or dies over it.
    pub(super) fn carry_out(&mut self) {
        while let Some(action) = self.hub.as_mut().and_then(Hub::poll_action) {
            match &mut self.fuse {
                Some(0) => return self.crash_hub(),
                Some(left) => *left -= 1,
                None => {}
            }
            match action {
                HubAction::Radio(action) => self.radio(action),
                HubAction::Cloud(action) => self.cloud(action),
                HubAction::Store { batch, ops } => self.store(batch, ops),
                HubAction::Control(ControlAction::Reply { client, id, result }) => {
                    self.control_reply(client, id, result);
                }
                HubAction::Control(ControlAction::Stream { client, value, .. }) => {
                    self.control_stream(client, &value);
                }
                HubAction::Journal(entry) => {
                    if entry.event == "gap" {
                        self.violate(4, format!("the hub misses records: {:?}", entry.fields));
                    }
                    self.note(|| format!("hub notes {} {:?}", entry.event, entry.fields));
                }
            }
        }
    }

    fn store(&mut self, batch: u64, ops: Vec<StoreOp>) {
        let run = self.run;
        let fault = |may_have_succeeded, reason: &str| StoreFault {
            reason: reason.into(),
            may_have_succeeded,
            is_temporary: true,
        };
        match self.weather.disk_ill(self.now) {
            None => {
                let takes = 1 + self.dice.below(12);
                self.after(takes, Due::Commit { run, batch, ops });
            }
            Some(DiskIll::Slow(ms)) => {
                self.tally.fault("disk_slow");
                self.after(ms, Due::Commit { run, batch, ops });
            }
            Some(DiskIll::Full) => {
                self.tally.fault("disk_full");
                let result = Err(fault(false, "no space left"));
                self.tell_hub(HOP_MS, HubEvent::Stored { batch, result });
            }
            Some(DiskIll::Broken) => {
                self.tally.fault("disk_broken");
                if self.dice.chance(500) {
                    self.make_durable(&ops);
                }
                let result = Err(fault(true, "input or output error"));
                self.tell_hub(HOP_MS, HubEvent::Stored { batch, result });
            }
        }
    }

    pub(super) fn commit(&mut self, run: u64, batch: u64, ops: &[StoreOp]) {
        self.make_durable(ops);
        if run == self.run {
            let result = Ok(());
            self.feed(HubEvent::Stored { batch, result });
        }
    }

    /// The disk takes a batch; I5 and I7 hold for what is on it.
    fn make_durable(&mut self, ops: &[StoreOp]) {
        self.disk.apply(ops);
        self.mix(ops.len() as u64);
        for op in ops {
            if let StoreOp::SaveBinding { bytes, .. } = op {
                match LockBinding::decode(bytes.danger_as_bytes()) {
                    Ok(binding) => {
                        let generation = binding.psks.current.generation;
                        if !self.judge.generation(binding.lock, generation) {
                            self.violate(5, format!("psk generation goes back to {generation}"));
                        }
                    }
                    Err(error) => self.violate(4, format!("a binding is unreadable: {error}")),
                }
            }
        }
        let audit = self.config.audit_per_lock as usize;
        let bounds = [
            (Tree::Inbox, self.config.commands),
            (Tree::Outbox, self.config.outbox_kept),
            (Tree::Dedupe, self.config.finals),
            (Tree::Audit, LOCKS * audit),
            (Tree::Meta, 2 * LOCKS),
        ];
        for (tree, bound) in bounds {
            let count = self.disk.count(tree);
            if count > bound + SLACK {
                self.violate(7, format!("{count} records in {tree:?}, bound {bound}"));
            }
        }
    }
}
