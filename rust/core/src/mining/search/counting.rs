//! The numbers of occurrences and of tasks of many segments, counted in one pass over all runs.
//!
//! Runs are read in the order of their tasks. Then a task is new to a node if it is not the last one that was
//! counted there. A state stands for all of its suffixes, whose tasks are counted until one is met that has the
//! task already: so have all shorter ones.
//!
//! A task may have runs in several parts of a corpus, so its number is stored for each segment, up to a bound.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::Result;
use crate::mining::runs::Runs;
use crate::mining::search::automaton::{Automaton, ROOT};
use crate::tokens::segments::Segments;

/// Tokens after which the runs of further tasks are left to another thread.
const SHARE_TOKENS: usize = 1 << 18;

/// Tokens after which the states of the runs that were read are counted, while they are in a cache.
const BATCH_TOKENS: usize = 1 << 13;

/// Counts segments in one part of a corpus after another.
pub(crate) struct Counter {
    automaton: Automaton,
    /// Most tasks of a segment that are counted.
    most_tasks: usize,
    occurrences: Vec<u64>,
    /// The distinct tasks of each segment, or some `most_tasks` of them.
    tasks: Vec<Vec<u32>>,
}

impl Counter {
    /// A counter of `segments`. Of equal ones the first has all occurrences; those of less than two tokens
    /// have none.
    ///
    /// # Errors
    /// If the segments hold more tokens than the automaton can have states, or an id that no run can have.
    pub(crate) fn new(segments: &Segments, most_tasks: u32) -> Result<Self> {
        Ok(Counter {
            automaton: Automaton::new(segments)?,
            most_tasks: most_tasks as usize,
            occurrences: vec![0; segments.len()],
            tasks: vec![Vec::new(); segments.len()],
        })
    }

    /// Adds the occurrences, overlapping ones included, and the tasks of a part; none of its runs is in
    /// another part.
    pub(crate) fn add(&mut self, runs: &Runs) {
        let visits = by_task(runs, self.most_tasks);
        let shares = Mutex::new(shares(runs, &visits).into_iter());
        let count = |_| {
            let mut tally = Tally::new(self, runs);
            loop {
                // The lock is poisoned if another thread has panicked; rayon passes that panic on.
                let share = shares.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(share) = share else { return (tally.places, tally.tasks) };
                tally.add(share);
            }
        };
        let threads = 0..rayon::current_num_threads();
        let (places, tasks): (Vec<_>, Vec<_>) = threads.into_par_iter().map(count).unzip();
        self.add_occurrences(&places);
        self.add_tasks(tasks);
    }

    fn add_occurrences(&mut self, threads: &[Vec<StateCounts>]) {
        let sum = |place: usize| threads.iter().map(|places| places[place].reached).sum();
        let reached = (0..self.automaton.size()).map(sum).collect();
        for (sum, more) in self.occurrences.iter_mut().zip(self.automaton.occurrences(reached)) {
            *sum += more;
        }
    }

    fn add_tasks(&mut self, threads: Vec<Vec<Vec<u32>>>) {
        let most = self.most_tasks;
        for of_thread in threads {
            self.tasks.par_iter_mut().zip(of_thread).for_each(|(all, more)| {
                if all.len() < most && !more.is_empty() {
                    all.extend(more);
                    all.sort_unstable();
                    all.dedup();
                    all.truncate(most);
                }
            });
        }
    }

    /// The occurrences of each segment, and its distinct tasks up to the bound.
    pub(crate) fn finish(self) -> (Vec<u64>, Vec<u32>) {
        let supports = self.tasks.iter().map(|tasks| tasks.len() as u32).collect();
        (self.occurrences, supports)
    }
}

/// A task and one of its runs.
type Visit = (u32, u32);

/// All runs with their tasks, by task: of each run the first tasks up to the bound, which is as many as a
/// segment in it can have; at least one.
fn by_task(runs: &Runs, most_tasks: usize) -> Vec<Visit> {
    let of_each = most_tasks.max(1);
    let of_run = |run: u32| runs.tasks(run as usize).iter().take(of_each).map(move |&task| (task, run));
    let mut visits: Vec<Visit> = (0..runs.len() as u32).flat_map(of_run).collect();
    // Stable, because this sort is fast where most runs are in the order of their tasks already.
    visits.par_sort();
    visits
}

/// Divides the visits into parts of about `SHARE_TOKENS` tokens, none of which divides a task.
fn shares<'v>(runs: &Runs, mut visits: &'v [Visit]) -> Vec<&'v [Visit]> {
    let mut shares = Vec::new();
    while !visits.is_empty() {
        let mut tokens = 0;
        let is_enough = |pair: &[Visit]| {
            tokens += runs.strings().get(pair[0].1 as usize).len();
            tokens >= SHARE_TOKENS && pair[0].0 != pair[1].0
        };
        let end = visits.windows(2).position(is_enough).map_or(visits.len(), |place| place + 1);
        let (share, rest) = visits.split_at(end);
        shares.push(share);
        visits = rest;
    }
    shares
}

/// What a thread has counted at a state of the automaton.
#[derive(Clone, Copy, Default)]
struct StateCounts {
    /// Occurrences of the tokens after which this was the state.
    reached: u64,
    /// The last task that was counted here, by its place among the tasks of this thread, from 1.
    task: u32,
    /// Number of tasks that were counted here.
    tasks: u32,
}

/// The counts of one thread in one part.
struct Tally<'a> {
    counter: &'a Counter,
    runs: &'a Runs,
    places: Vec<StateCounts>,
    tasks: Vec<Vec<u32>>,
    states: Vec<u32>,
    task: u32,
}

impl<'a> Tally<'a> {
    fn new(counter: &'a Counter, runs: &'a Runs) -> Self {
        let places = vec![StateCounts::default(); counter.automaton.size()];
        let tasks = vec![Vec::new(); counter.automaton.segments()];
        Tally { counter, runs, places, tasks, states: Vec::new(), task: 0 }
    }

    /// Counts visits; all of their tasks are new to this tally.
    fn add(&mut self, mut visits: &[Visit]) {
        let mut last = None;
        while !visits.is_empty() {
            let (batch, rest) = visits.split_at(self.walk(visits));
            let mut start = 0;
            for &(task, run) in batch {
                self.task += u32::from(last != Some(task));
                last = Some(task);
                let end = start + self.runs.strings().get(run as usize).len();
                self.count(run as usize, task, start..end);
                start = end;
            }
            visits = rest;
        }
    }

    /// Stores the states of the first visits; returns their number.
    fn walk(&mut self, visits: &[Visit]) -> usize {
        let text = |&(_, run): &Visit| self.runs.strings().get(run as usize);
        let mut tokens = 0;
        let is_beyond = |visit: &Visit| {
            let is_beyond = tokens >= BATCH_TOKENS;
            tokens += if is_beyond { 0 } else { text(visit).len() };
            is_beyond
        };
        let number = visits.iter().position(is_beyond).unwrap_or(visits.len());
        self.states.resize(tokens, ROOT);
        self.counter.automaton.walk(visits[..number].iter().map(text), &mut self.states);
        number
    }

    /// Counts the states of a run in one of its tasks. Its occurrences are counted in the first.
    fn count(&mut self, run: usize, task: u32, states: Range<usize>) {
        let is_first = self.runs.tasks(run)[0] == task;
        let count = if is_first { self.runs.count(run) } else { 0 };
        for at in states {
            let state = self.states[at];
            let place = &mut self.places[state as usize];
            place.reached += count;
            if place.task != self.task {
                self.count_task(state, task);
            }
        }
    }

    /// Counts the task for the string of a state and for its suffixes. Where a string has enough tasks, they
    /// have enough too.
    fn count_task(&mut self, mut state: u32, task: u32) {
        loop {
            let place = &mut self.places[state as usize];
            if place.task == self.task || place.tasks as usize >= self.counter.most_tasks {
                return;
            }
            place.task = self.task;
            place.tasks += 1;
            if let Some(segment) = self.counter.automaton.segment(state) {
                self.tasks[segment].push(task);
            }
            state = self.counter.automaton.shorter(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Part = Vec<(Vec<u32>, u64, BTreeSet<u32>)>;

    fn runs_of(part: &Part) -> Runs {
        let strings = part.iter().map(|run| run.0.as_slice()).collect();
        let tasks: Vec<Vec<u32>> = part.iter().map(|run| run.2.iter().copied().collect()).collect();
        let tasks = tasks.iter().map(Vec::as_slice).collect();
        Runs::from_parts(strings, part.iter().map(|run| run.1).collect(), tasks).unwrap()
    }

    fn counted(parts: &[Part], segments: &[Vec<u32>], most_tasks: u32) -> (Vec<u64>, Vec<u32>) {
        let mut counter = Counter::new(&segments.iter().map(Vec::as_slice).collect(), most_tasks).unwrap();
        parts.iter().for_each(|part| counter.add(&runs_of(part)));
        counter.finish()
    }

    fn run(longest: usize) -> impl Strategy<Value = (Vec<u32>, u64, BTreeSet<u32>)> {
        (prop::collection::vec(0u32..4, 1..longest), 1u64..5, prop::collection::btree_set(0u32..9, 1..4))
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_search(
            parts in prop::collection::vec(prop::collection::vec(run(40), 0..12), 0..4),
            segments in prop::collection::vec(prop::collection::vec(0u32..5, 0..7), 0..30),
            most_tasks in 0u32..10,
        ) {
            let (counts, supports) = counted(&parts, &segments, most_tasks);
            for (index, segment) in segments.iter().enumerate() {
                let is_searched = segment.len() >= 2 && !segments[..index].contains(segment);
                let places = |run: &[u32]| run.windows(segment.len()).filter(|part| part == segment).count();
                let times = |run: &[u32]| if is_searched { places(run) as u64 } else { 0 };
                let runs = || parts.iter().flatten();
                let count: u64 = runs().map(|(run, count, _)| times(run) * count).sum();
                let tasks: BTreeSet<u32> =
                    runs().filter(|run| times(&run.0) > 0).flat_map(|run| run.2.clone()).collect();
                let support = (tasks.len() as u32).min(most_tasks);
                prop_assert_eq!((counts[index], supports[index]), (count, support));
            }
        }
    }

    #[test]
    fn texts_of_many_shares_and_batches_are_counted_once_by_any_number_of_threads() {
        let run = |task: u32| {
            let tokens = (0..SHARE_TOKENS as u32 / 8).map(|at| at.wrapping_mul(at | task) >> 7 & 3).collect();
            (tokens, 2, BTreeSet::from([task, task + 1]))
        };
        let part: Part = (0..20).map(run).collect();
        let segments: Vec<Vec<u32>> =
            (0..64).map(|number| vec![number & 3, number >> 2 & 3, number >> 4]).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| counted(std::slice::from_ref(&part), &segments, 100))
        };
        let (counts, supports) = with(1);
        let windows: u64 = part.iter().map(|(run, count, _)| (run.len() as u64 - 2) * count).sum();
        assert_eq!(counts.iter().sum::<u64>(), windows);
        assert_eq!(supports.iter().max(), Some(&21));
        assert_eq!(with(3), (counts, supports));
    }
}
