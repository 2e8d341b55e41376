//! What a string and its extensions may still save, against the best that were found.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::mining::search::flat_text::Text;
use crate::mining::search::limits::Limits;
use crate::mining::search::worth::{most_savings, most_trust};

/// A lower bound for the savings of the best candidates, which rises during the search; shared by all
/// threads.
///
/// It holds the bits of a float that is not negative; their order is that of the floats.
pub(super) struct SavingsBound(AtomicU64);

impl SavingsBound {
    pub(super) fn at(savings: f64) -> Self {
        SavingsBound(AtomicU64::new(savings.to_bits()))
    }

    pub(super) fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    pub(super) fn raise(&self, savings: f64) {
        self.0.fetch_max(savings.to_bits(), Relaxed);
    }
}

/// Whether strings may be within the limits and among the best, by their number of occurrences.
#[derive(Clone, Copy)]
pub(super) struct Prospects<'a> {
    pub(super) text: &'a Text<'a>,
    pub(super) limits: &'a Limits,
    pub(super) bound: &'a SavingsBound,
}

impl Prospects<'_> {
    /// Units that a string of so many occurrences saves at most: each may be in a task of its own.
    fn most_savings(&self, count: u64, length: usize) -> f64 {
        most_savings(count, length) * most_trust(self.text.most_tasks(count))
    }

    /// Whether a string of this length may save as much as the bound.
    pub(super) fn may_be_best(&self, count: u64, length: usize) -> bool {
        self.most_savings(count, length) >= self.bound.get()
    }

    /// Whether a string is frequent enough and an extension of it may save as much as the bound.
    pub(super) fn is_worth_growing(&self, count: u64) -> bool {
        count >= self.limits.min_count && self.may_be_best(count, self.limits.max_length)
    }

    /// A length up to which no string of `count` occurrences saves as much as the bound.
    pub(super) fn length_at_bound(&self, count: u64) -> usize {
        // The rounding of a quotient must not make it larger.
        let least = self.bound.get() / self.most_savings(count, 2) * (1.0 - 1e-9);
        least.ceil() as usize
    }
}
