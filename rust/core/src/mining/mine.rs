//! From the runs of a corpus to the segments that become latents, in one call: [`mine`].
//!
//! A caller with work between the steps calls them one by one: [`find_candidates`], [`Candidates::filter`],
//! [`Selection::choose`], [`Selection::without`] and [`Selection::audited`].

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::mining::runs::parts::RunParts;
use crate::mining::search::candidates::Candidates;
use crate::mining::search::find_candidates;
use crate::mining::search::limits::Limits;
use crate::mining::select::Selector;
use crate::mining::select::uses::count_uses;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::check_length;
use crate::tokens::segments::Segments;

/// The audit from which on nothing replaces the segments that fail. After each one before, other candidates do.
pub const REPLACING_AUDITS: usize = 6;

/// What to mine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MiningOptions {
    /// Most segments to choose.
    pub size: usize,
    /// How frequent and how long they are, and how many candidates they are chosen from.
    pub limits: Limits,
}

/// The segments that become latents, the most useful first; none of them fails the audit.
///
/// Candidates are searched in `searched`, and chosen by what they save in `parsed`. Both hold the
/// agent's runs between barriers; an entropy gate cuts `searched` further. Candidates that cut a
/// character are left out. `fails` is the audit of [`Selection::audited`].
///
/// # Errors
/// If a limit is too small, runs cannot be read from disk, a candidate holds an id that has no entry in
/// `token_bytes`, or the audit fails.
pub fn mine<E: From<Error>>(
    searched: &RunParts,
    parsed: Arc<RunParts>,
    token_bytes: &TokenBytes,
    options: &MiningOptions,
    fails: impl FnMut(&Selection) -> Result<Vec<bool>, E>,
) -> Result<Selection, E> {
    let candidates = find_candidates(searched, &options.limits)?;
    let pool = candidates.filter(&candidates.are_whole_characters(token_bytes)?)?;
    let audited = Selection::choose(parsed, Arc::new(pool), options.size)?.audited(fails)?;
    Ok(audited.selection)
}

/// Segments chosen from a pool of candidates by what they save in a corpus, the most useful first.
#[derive(Debug, Clone)]
pub struct Selection {
    runs: Arc<RunParts>,
    selector: Arc<Selector>,
    size: usize,
    pool: Arc<Candidates>,
    /// The candidate of the selector that each of the pool is; they ascend.
    origins: Vec<usize>,
    /// Indices in the pool.
    chosen: Vec<usize>,
}

/// A selection and the audits that it has had.
#[derive(Debug, Clone)]
pub struct Audited {
    /// What is left of the selection, with what replaces segments that failed.
    pub selection: Selection,
    /// Segments that failed, in all audits.
    pub dropped: usize,
    /// Number of audits. In the last one of [`Selection::audited`] no segment failed.
    pub audits: usize,
}

impl Selection {
    /// Chooses at most `size` candidates of the pool: those without which the most units would be lost, first.
    ///
    /// `runs` are the agent's tokens between barriers, *without* an entropy gate: this is what will be parsed. Fewer
    /// are chosen if the parse uses no more.
    ///
    /// # Errors
    /// If the candidates hold more tokens than can be looked up, or runs cannot be read from disk.
    pub fn choose(runs: Arc<RunParts>, pool: Arc<Candidates>, size: usize) -> Result<Selection> {
        let held = vec![false; pool.len()];
        Selection::choose_holding(runs, pool, held, size)
    }

    /// The same for an update of a vocabulary: the candidates that it has, for which `held` is true, are preferred.
    ///
    /// # Errors
    /// As of [`Selection::choose`], or if `held` has not one entry for each candidate.
    pub fn choose_holding(
        runs: Arc<RunParts>,
        pool: Arc<Candidates>,
        held: Vec<bool>,
        size: usize,
    ) -> Result<Selection> {
        let selector = Selector::new(&runs, Arc::clone(&pool), &held)?;
        let origins: Vec<usize> = (0..pool.len()).collect();
        let chosen = selector.choose(&origins, size);
        Ok(Selection { runs, selector: Arc::new(selector), size, pool, origins, chosen })
    }

    /// Number of segments.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Whether no segment was chosen.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// The candidates that the segments were chosen from.
    pub fn pool(&self) -> &Arc<Candidates> {
        &self.pool
    }

    /// Which candidates of the pool were chosen.
    pub fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    /// The segments.
    pub fn segments(&self) -> Segments {
        self.chosen.iter().map(|&candidate| self.pool.segments().get(candidate)).collect()
    }

    /// How often the token parse of the corpus with all segments uses each of them; the corpus is parsed for it.
    ///
    /// # Errors
    /// If runs cannot be read from disk.
    pub fn uses(&self) -> Result<Vec<u64>> {
        count_uses(&self.runs, &self.segments())
    }

    /// The selection from the pool without some candidates: the same segments, or a new choice if one is
    /// dropped.
    ///
    /// # Errors
    /// If `dropped` has not one entry for each candidate of the pool.
    pub fn without(&self, dropped: &[bool]) -> Result<Selection> {
        check_length("dropped", dropped.len(), self.pool.len())?;
        let keep: Vec<bool> = dropped.iter().map(|dropped| !dropped).collect();
        let pool = Arc::new(self.pool.filter(&keep)?);
        let kept = |&candidate: &usize| keep[candidate];
        let origins: Vec<usize> = (0..keep.len()).filter(kept).map(|one| self.origins[one]).collect();
        let chosen = if self.chosen.iter().all(kept) {
            self.chosen.iter().map(|&candidate| self.origins[candidate]).collect()
        } else {
            self.selector.choose(&origins, self.size)
        };
        let place = |origin: usize| origins.partition_point(|&other| other < origin);
        let chosen = chosen.into_iter().map(place).collect();
        let (runs, selector) = (Arc::clone(&self.runs), Arc::clone(&self.selector));
        Ok(Selection { runs, selector, size: self.size, pool, origins, chosen })
    }

    /// The selection without segments that fail an audit, which is repeated until none does.
    ///
    /// `fails` takes the selection and returns for each of its segments whether it fails. That may depend on the other
    /// segments, so each new choice is audited. From audit [`REPLACING_AUDITS`] on nothing replaces the
    /// segments that fail, so that the audits come to an end.
    ///
    /// # Errors
    /// If `fails` fails, or returns another number of entries.
    pub fn audited<E: From<Error>>(
        self,
        mut fails: impl FnMut(&Selection) -> Result<Vec<bool>, E>,
    ) -> Result<Audited, E> {
        let mut audited = Audited::none_of(self);
        while !audited.add(&fails(&audited.selection)?)? {}
        Ok(audited)
    }
}

impl Audited {
    /// A selection before its first audit.
    pub fn none_of(selection: Selection) -> Self {
        Audited { selection, dropped: 0, audits: 0 }
    }

    /// Takes the result of one more audit, as of [`Selection::audited`]; returns whether no segment failed. If some
    /// did, the selection is without them, and is to be audited again.
    ///
    /// # Errors
    /// If there is not one entry for each segment.
    pub fn add(&mut self, failed: &[bool]) -> Result<bool> {
        let selection = &self.selection;
        check_length("fails", failed.len(), selection.len())?;
        self.audits += 1;
        let number = failed.iter().filter(|&&fails| fails).count();
        if number == 0 {
            return Ok(true);
        }
        self.dropped += number;
        let mut gone = vec![self.audits >= REPLACING_AUDITS; selection.pool.len()];
        for (&candidate, &fails) in selection.chosen.iter().zip(failed) {
            gone[candidate] = fails;
        }
        self.selection = selection.without(&gone)?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::tests::folded;
    use proptest::prelude::*;

    const IDS: u32 = 4;

    fn runs_of(parts: &[Vec<u32>]) -> Arc<RunParts> {
        Arc::new(folded(parts.iter().zip(0..), &[]).into())
    }

    /// Id 3 is half a character.
    fn token_bytes() -> TokenBytes {
        TokenBytes::new(b"abc\xC3".to_vec(), (0..=IDS as usize).collect()).unwrap()
    }

    fn options(size: usize) -> MiningOptions {
        MiningOptions { size, limits: Limits { min_count: 2, min_support: 1, max_length: 16, most: 100 } }
    }

    fn parts() -> impl Strategy<Value = Vec<Vec<u32>>> {
        prop::collection::vec(prop::collection::vec(0..IDS, 0..30), 0..10)
    }

    fn none_fail(selection: &Selection) -> Result<Vec<bool>> {
        Ok(vec![false; selection.len()])
    }

    proptest! {
        #[test]
        fn mining_is_its_steps(parts in parts(), size in 1usize..6) {
            let (runs, options) = (runs_of(&parts), options(size));
            let mined = mine(&runs, Arc::clone(&runs), &token_bytes(), &options, none_fail).unwrap();
            let candidates = find_candidates(&runs, &options.limits).unwrap();
            let whole: Vec<bool> = candidates.segments().iter().map(|segment| !segment.contains(&3)).collect();
            let pool = candidates.filter(&whole).unwrap();
            prop_assert_eq!(mined.pool().as_ref(), &pool);
            let chosen = Selection::choose(runs, Arc::new(pool), size).unwrap();
            prop_assert_eq!(mined.chosen(), chosen.chosen());
        }

        #[test]
        fn what_is_saved_is_what_the_parse_is_shorter_by(parts in parts(), size in 1usize..6) {
            let runs = runs_of(&parts);
            let mined = mine(&runs, Arc::clone(&runs), &token_bytes(), &options(size), none_fail).unwrap();
            let vocabulary = crate::Vocabulary::new(IDS, mined.segments()).unwrap();
            let saved = |part: &Vec<u32>| part.len() - vocabulary.encode(part).unwrap().len();
            let uses = mined.uses().unwrap();
            let of_uses = |(uses, segment): (u64, &[u32])| uses * (segment.len() as u64 - 1);
            let expected = uses.into_iter().zip(mined.segments().iter()).map(of_uses).sum::<u64>();
            prop_assert_eq!(parts.iter().map(saved).sum::<usize>() as u64, expected);
        }

        #[test]
        fn without_candidates_is_a_choice_from_the_others(
            parts in parts(), size in 1usize..6, dropped in prop::collection::vec(prop::array::uniform2(any::<bool>()), 100)
        ) {
            let runs = runs_of(&parts);
            let mut pool = Arc::new(find_candidates(&runs, &options(size).limits).unwrap());
            let mut selection = Selection::choose(Arc::clone(&runs), Arc::clone(&pool), size).unwrap();
            for round in 0..2 {
                let dropped: Vec<bool> = dropped[..pool.len()].iter().map(|dropped| dropped[round]).collect();
                let after = selection.without(&dropped).unwrap();
                let keep: Vec<bool> = dropped.iter().map(|dropped| !dropped).collect();
                prop_assert_eq!(after.pool().as_ref(), &pool.filter(&keep).unwrap());
                if selection.chosen().iter().any(|&candidate| dropped[candidate]) {
                    let anew = Selection::choose(Arc::clone(&runs), Arc::clone(after.pool()), size).unwrap();
                    prop_assert_eq!(after.chosen(), anew.chosen());
                } else {
                    prop_assert_eq!(after.segments(), selection.segments());
                }
                (pool, selection) = (Arc::clone(after.pool()), after);
            }
        }

        #[test]
        fn no_segment_that_fails_is_left(parts in parts(), size in 1usize..8, wrong in 0u32..8) {
            let runs = runs_of(&parts);
            let is_wrong = |segment: &[u32]| segment.iter().sum::<u32>() % 8 <= wrong;
            let audit =
                |selection: &Selection| Ok::<_, Error>(selection.segments().iter().map(is_wrong).collect());
            let pool = Arc::new(find_candidates(&runs, &options(size).limits).unwrap());
            let audited = Selection::choose(runs, pool, size).unwrap().audited(audit).unwrap();
            prop_assert!(!audited.selection.segments().iter().any(is_wrong));
            prop_assert!(audited.audits <= REPLACING_AUDITS + 1);
            prop_assert!(audited.dropped >= audited.audits - 1);
        }
    }

    #[test]
    fn an_audit_that_fails_ends_mining_with_its_error() {
        let runs = runs_of(&[vec![0, 1], vec![0, 1]]);
        let with = |fails: fn(&Selection) -> Result<Vec<bool>>| {
            mine(&runs, Arc::clone(&runs), &token_bytes(), &options(4), fails).unwrap_err()
        };
        assert_eq!(with(|_| Err(Error::StreamEnded)), Error::StreamEnded);
        assert_eq!(with(|_| Ok(vec![])), Error::Length { what: "fails", found: 0, expected: 1 });
    }
}
