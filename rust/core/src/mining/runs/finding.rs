//! Where runs begin and end.

use std::ops::Range;

use rayon::prelude::*;

use super::Trajectories;
use crate::error::Result;
use crate::hash;
use crate::tokens::IDS;
use crate::tokens::barriers::Barriers;
use crate::tokens::checks::check_ids;

/// Where a run lies among the tokens of a part of a corpus.
pub(super) struct FoundRun {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) hash: u64,
    pub(super) task: u32,
}

/// Trajectories whose runs are found and hashed by one task of the thread pool.
const TRAJECTORIES_A_TASK: usize = 16;

/// Tokens that are tested together.
const BLOCK: usize = 16;

impl Trajectories<'_> {
    /// The runs of some trajectories, in order, in several lists.
    ///
    /// # Errors
    /// If one holds an id that no token has.
    pub(super) fn find_runs(
        &self,
        trajectories: Range<usize>,
        barriers: &Barriers,
    ) -> Result<Vec<Vec<FoundRun>>> {
        let starts: Vec<usize> = trajectories.clone().step_by(TRAJECTORIES_A_TASK).collect();
        let find = |start: usize| {
            let mut runs = Vec::new();
            (start..trajectories.end.min(start + TRAJECTORIES_A_TASK))
                .try_for_each(|trajectory| self.find_runs_of(trajectory, barriers, &mut runs))?;
            Ok(runs)
        };
        starts.into_par_iter().map(find).collect()
    }

    /// Appends the runs of a trajectory.
    fn find_runs_of(&self, trajectory: usize, barriers: &Barriers, runs: &mut Vec<FoundRun>) -> Result<()> {
        let range = self.offsets[trajectory]..self.offsets[trajectory + 1];
        let (tokens, action) = (&self.tokens[range.clone()], &self.action[range.clone()]);
        let continues = self.continues.map(|may| &may[range.clone()]);
        let (task, mut checked) = (self.tasks[trajectory], Ok(()));
        for_each_run(tokens, action, continues, barriers, |run| {
            let (tokens, start, end) = (&tokens[run.clone()], range.start + run.start, range.start + run.end);
            // Counted without a branch, because nearly all tokens pass.
            let reserved = |any: bool, &id: &u32| any | (id >= IDS);
            if tokens.iter().fold(false, reserved) && checked.is_ok() {
                checked = check_ids(tokens, start, IDS);
            }
            runs.push(FoundRun { start, end, hash: hash::of_run(tokens), task });
        });
        checked
    }
}

/// Calls `visit` with the range of each maximal run of one trajectory's tokens.
///
/// A run ends before a token that is not the agent's or is a barrier, and before a token that may not
/// continue a segment (which then begins the next run). Single tokens are runs too.
pub(super) fn for_each_run(
    tokens: &[u32],
    action: &[bool],
    continues: Option<&[bool]>,
    barriers: &Barriers,
    mut visit: impl FnMut(Range<usize>),
) {
    let (mut start, mut position) = (0, 0);
    while position < tokens.len() {
        if continue_all(tokens, action, continues, barriers, position) {
            position += BLOCK;
            continue;
        }
        for position in position..tokens.len().min(position + BLOCK) {
            let eligible = action[position] && !barriers.contains(tokens[position]);
            if eligible && (position == start || continues.is_none_or(|may| may[position])) {
                continue;
            }
            if position > start {
                visit(start..position);
            }
            start = if eligible { position } else { position + 1 };
        }
        position += BLOCK;
    }
    if start < tokens.len() {
        visit(start..tokens.len());
    }
}

/// Whether no run ends before one of the next [`BLOCK`] tokens, as far as can be tested for all of them at
/// once. A run is much longer, so most blocks need no other test.
#[inline(always)]
fn continue_all(
    tokens: &[u32],
    action: &[bool],
    continues: Option<&[bool]>,
    barriers: &Barriers,
    position: usize,
) -> bool {
    let Some(block) = tokens[position..].first_chunk::<BLOCK>() else { return false };
    let all = |flags: &[bool]| {
        flags[position..]
            .first_chunk::<BLOCK>()
            .is_some_and(|flags| flags.iter().fold(true, |all, &flag| all & flag))
    };
    !barriers.may_contain(block) && all(action) && continues.is_none_or(all)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in crate::mining::runs) fn runs_of(
        tokens: &[u32],
        action: &[bool],
        continues: Option<&[bool]>,
        barriers: &[u32],
    ) -> Vec<Vec<u32>> {
        let mut found = Vec::new();
        for_each_run(tokens, action, continues, &Barriers::new(barriers).unwrap(), |run| {
            found.push(tokens[run].to_vec())
        });
        found
    }

    #[test]
    fn runs_end_at_barriers_at_other_speakers_and_before_surprises() {
        let action = [true; 6];
        assert_eq!(runs_of(&[1, 2, 9, 3, 4, 5], &action, None, &[9]), [vec![1, 2], vec![3, 4, 5]]);
        let action = [false, true, true, false, true, true];
        assert_eq!(runs_of(&[1, 2, 3, 4, 5, 6], &action, None, &[]), [vec![2, 3], vec![5, 6]]);
        let continues = [false, true, false, true, false, false];
        let runs = runs_of(&[1, 2, 3, 4, 5, 6], &[true; 6], Some(&continues), &[]);
        assert_eq!(runs, [vec![1, 2], vec![3, 4], vec![5], vec![6]]);
    }

    proptest! {
        /// Each token is judged by itself here, and in blocks there.
        #[test]
        fn long_runs_are_their_definition(
            stretches in prop::collection::vec((0usize..50, 0u32..4, any::<bool>(), any::<bool>()), 0..8),
            gated in any::<bool>(),
        ) {
            let (mut tokens, mut action, mut may) = (Vec::new(), Vec::new(), Vec::new());
            for (length, token, by_agent, continues) in stretches {
                tokens.extend((0..length as u32).map(|index| 10 + index).chain([token]));
                action.extend(vec![true; length].into_iter().chain([by_agent]));
                may.extend(vec![true; length].into_iter().chain([continues]));
            }
            let (mut expected, mut run) = (Vec::new(), Vec::new());
            for (index, &token) in tokens.iter().enumerate() {
                let eligible = action[index] && token != 1 && token != 3;
                if !run.is_empty() && !(eligible && (may[index] || !gated)) {
                    expected.push(std::mem::take(&mut run));
                }
                run.extend(eligible.then_some(token));
            }
            expected.extend((!run.is_empty()).then_some(run));
            prop_assert_eq!(runs_of(&tokens, &action, gated.then_some(&may), &[3, 1]), expected);
        }
    }
}
