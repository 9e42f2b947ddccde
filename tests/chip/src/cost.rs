//! What inputs cost, as a table.

use std::fmt::Write as _;

/// The cost of one step: all inputs that belong to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Instructions of the lock's own code.
    pub(crate) instructions: u64,
    /// Most stack that one of the inputs needed, in bytes.
    pub(crate) stack: u32,
}

impl Cost {
    /// Both, one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            instructions: self.instructions + other.instructions,
            stack: self.stack.max(other.stack),
        }
    }
}

/// Cycles an instruction on the real core, times ten.
const CYCLES_TENTHS: u64 = 17;
/// Clock of the nRF52840, in cycles a microsecond.
const MHZ: u64 = 64;

/// A Markdown table of `costs`, and a line about memory.
pub(crate) fn table(costs: &[(&str, Cost)], lock_bytes: u32) -> String {
    let mut text = String::from(
        "| step | instructions | about ms at 64 MHz | stack, bytes |\n| --- | ---: | ---: | ---: |\n",
    );
    for (step, cost) in costs {
        let micros = cost.instructions * CYCLES_TENTHS / 10 / MHZ;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {step} | {} | {}.{:02} | {} |",
            grouped(cost.instructions),
            micros / 1_000,
            micros % 1_000 / 10,
            grouped(u64::from(cost.stack)),
        );
    }
    let most = costs.iter().map(|(_, cost)| cost.stack).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "\nLock in RAM: {} bytes. Deepest stack: {} bytes.",
        grouped(u64::from(lock_bytes)),
        grouped(u64::from(most))
    );
    text
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // Guards: a table that drops a step, or a sum that takes the last stack for the deepest.
    #[test]
    fn a_table_has_every_step_and_the_deepest_stack() {
        let first = Cost {
            instructions: 64_000_000,
            stack: 9_000,
        };
        let both = first.and(Cost {
            instructions: 1,
            stack: 10,
        });
        assert_eq!((both.instructions, both.stack), (64_000_001, 9_000));
        let text = table(&[("a", first), ("b", Cost::default())], 1_234);
        assert!(
            text.contains("| a | 64,000,000 | 1700.00 | 9,000 |"),
            "{text}"
        );
        assert!(text.contains("| b | 0 | 0.00 | 0 |"), "{text}");
        assert!(
            text.contains("1,234 bytes. Deepest stack: 9,000 bytes"),
            "{text}"
        );
    }
}
