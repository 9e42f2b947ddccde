//! What happens between hub and door.

use drawbridge_daemon::core::{Address, HubEvent, LinkFault, RadioEvent};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::report::Position;

use super::world::{DOOR, World};
use crate::bench::PACKET;
use crate::input::{Input, damage};
use crate::parties;

impl World {
    pub(super) fn seen_on_air(&mut self, input: &mut Input<'_>) {
        let own = Beacon::generate(&parties::code().keys().beacon_key, &mut self.entropy);
        let beacon = if input.flag() {
            Beacon(input.array())
        } else {
            own
        };
        let address = Address::new("front-door").expect("a short name");
        self.feed(HubEvent::Radio(RadioEvent::Seen { address, beacon }));
    }

    pub(super) fn connected(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let Some(link) = self.asked.pop() else { return };
        if self.link.is_some() || choice.is_multiple_of(4) || !self.door.link_up(DOOR, PACKET) {
            let reason =
                [LinkFault::Timeout, LinkFault::Busy, LinkFault::NoSlot][usize::from(choice) % 3];
            return self.feed(HubEvent::Radio(RadioEvent::ConnectFailed { link, reason }));
        }
        self.link = Some(link);
        self.to_door.clear();
        self.to_hub.clear();
        let packet_size = PACKET;
        self.feed(HubEvent::Radio(RadioEvent::LinkUp { link, packet_size }));
    }

    pub(super) fn carry_to_door(&mut self, input: &mut Input<'_>) {
        for _ in 0..=input.byte() % 16 {
            let Some(packet) = self.to_door.pop_front() else {
                break;
            };
            self.door.packet(DOOR, &packet);
        }
    }

    pub(super) fn collect(&mut self) {
        let said = self
            .door
            .packets
            .drain(..)
            .filter(|(link, _)| *link == DOOR);
        self.to_hub.extend(said.map(|(_, packet)| packet));
    }

    pub(super) fn carry_to_hub(&mut self, input: &mut Input<'_>) {
        self.collect();
        for _ in 0..=input.byte() % 16 {
            let Some((link, bytes)) = self.link.zip(self.to_hub.pop_front()) else {
                break;
            };
            self.feed(HubEvent::Radio(RadioEvent::Packet { link, bytes }));
        }
        if self.door.ended.drain(..).any(|link| link == DOOR) {
            self.end_link(LinkFault::Closed);
        }
    }

    /// Drops, repeats or changes a packet on its way.
    pub(super) fn spoil(&mut self, input: &mut Input<'_>) {
        self.collect();
        let choice = input.byte();
        let way = if choice & 1 == 1 {
            &mut self.to_door
        } else {
            &mut self.to_hub
        };
        let Some(first) = way.front_mut() else { return };
        match choice >> 1 & 3 {
            0 => drop(way.pop_front()),
            1 => {
                let copy = first.clone();
                way.push_front(copy);
            }
            2 => way.rotate_left(1),
            _ => {
                damage(first, input);
            }
        }
    }

    pub(super) fn lose_link(&mut self, input: &mut Input<'_>) {
        let reasons = [
            LinkFault::Timeout,
            LinkFault::Closed,
            LinkFault::NoAdapter,
            LinkFault::Protocol,
        ];
        self.end_link(reasons[input.below(4)]);
    }

    pub(super) fn end_link(&mut self, reason: LinkFault) {
        let Some(link) = self.link.take() else { return };
        self.door.link_down(DOOR);
        self.to_door.clear();
        self.to_hub.clear();
        self.feed(HubEvent::Radio(RadioEvent::LinkDown { link, reason }));
    }

    pub(super) fn door_event(&mut self, input: &mut Input<'_>) {
        match input.byte() % 4 {
            0 => {
                self.door.reboot();
                self.end_link(LinkFault::Timeout);
            }
            1 => self.door.press_button(200),
            2 => {
                let mut sensors = self.door.sensors;
                sensors.battery = input.byte() % 101;
                sensors.tamper = input.flag();
                self.door.sense(sensors);
            }
            _ => {
                let mut sensors = self.door.sensors;
                sensors.position = Position::Unlocked;
                self.door.sense(sensors);
            }
        }
    }
}
