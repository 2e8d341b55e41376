//! Distinct tasks at positions of a text.

use crate::mining::search::flat_text::Text;

/// Counts the distinct tasks at a list of positions, one list after another.
pub(super) struct TaskCounter<'a> {
    text: &'a Text<'a>,
    /// For each task, the last `epoch` in which it was counted.
    stamps: Vec<u32>,
    epoch: u32,
}

impl<'a> TaskCounter<'a> {
    pub(super) fn new(text: &'a Text<'a>) -> Self {
        TaskCounter { text, stamps: vec![0; text.number_of_tasks()], epoch: 0 }
    }

    /// Whether `positions`, which ascend, are in `least` tasks or more.
    pub(super) fn has(&mut self, positions: &[u32], least: u32) -> bool {
        // Most runs are in the order of their tasks. So if tasks differ, the first and the last usually do.
        let apart = || self.text.tasks_at(positions[0]) != self.text.tasks_at(positions[positions.len() - 1]);
        least <= 1 || least == 2 && apart() || self.count(positions, least) >= least
    }

    /// The number of tasks in the whole corpus that `positions`, which ascend, stand for.
    pub(super) fn count_in_corpus(&mut self, positions: &[u32]) -> u32 {
        let support = self.count(positions, u32::MAX);
        // Where a sample shows only one, there may be no other.
        if support > 1 { support.saturating_mul(self.text.tasks_weight()) } else { support }
    }

    /// The number of distinct tasks at `positions`, which ascend; counting ends at `most` or a little above it.
    ///
    /// A run may recur in very many tasks, so those of a run are counted once for all positions in it, and not
    /// one by one if all positions are.
    fn count(&mut self, positions: &[u32], most: u32) -> u32 {
        let first = self.text.tasks_at(positions[0]);
        // Positions ascend, so all between two of a run are in it.
        if std::ptr::eq(first, self.text.tasks_at(positions[positions.len() - 1])) {
            return first.len() as u32;
        }
        self.begin_epoch();
        let (mut support, mut last): (u32, &[u32]) = (0, &[]);
        for &position in positions {
            let tasks = self.text.tasks_at(position);
            if std::ptr::eq(tasks, last) {
                continue;
            }
            last = tasks;
            for &task in tasks {
                let stamp = &mut self.stamps[task as usize];
                support += u32::from(*stamp != self.epoch);
                *stamp = self.epoch;
            }
            if support >= most {
                break;
            }
        }
        support
    }

    fn begin_epoch(&mut self) {
        if self.epoch == u32::MAX {
            self.stamps.fill(0);
            self.epoch = 0;
        }
        self.epoch += 1;
    }
}
