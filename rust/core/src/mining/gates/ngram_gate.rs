//! An entropy gate without a teacher: runs are cut where an n-gram model of the corpus itself is uncertain.
//!
//! Runs in parts are gated a part at a time, each by a model of that part alone. Parts are divided by the hash of
//! their runs, so each is a sample of the corpus. It is a large one: a part holds a quarter of the bound of memory.

use crate::error::{Error, Result};
use crate::mining::gates::ngram::ngram_entropies;
use crate::mining::gates::quantile::quantile;
use crate::mining::runs::parts::RunParts;

/// The largest entropy before a token that may continue a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gate {
    /// In nats.
    Nats(f32),
    /// As a quantile (0 to 1) of the entropies of all tokens; in parts, of those of the first.
    Quantile(f64),
}

impl Gate {
    fn check(self) -> Result<()> {
        let (is_gate, found, expected) = match self {
            Gate::Nats(nats) => (nats >= 0.0, nats.to_string(), "a number of nats from 0 on"),
            Gate::Quantile(share) => {
                ((0.0..=1.0).contains(&share), share.to_string(), "a quantile between 0 and 1")
            }
        };
        if is_gate { Ok(()) } else { Err(Error::Gate { found, expected }) }
    }
}

/// The runs, cut before each token whose n-gram entropy is above the gate, and the gate in nats.
///
/// It has none if it is a quantile and no token has an entropy: then no run has two tokens.
///
/// # Errors
/// If the gate is negative, a quantile above 1, or no number; if one token occurs in more than 2^32 places of a part,
/// or runs cannot be read from disk or written.
pub fn gated(runs: &RunParts, gate: Gate) -> Result<(RunParts, Option<f32>)> {
    gate.check()?;
    let (mut folder, mut nats) = (runs.folder(), None);
    runs.for_each(|part| {
        let entropies = ngram_entropies(part)?;
        nats = nats.or_else(|| match gate {
            Gate::Nats(nats) => Some(nats),
            Gate::Quantile(share) => quantile(part, &entropies, share),
        });
        let most = nats.unwrap_or(f32::INFINITY);
        let continues: Vec<bool> = entropies.iter().map(|&entropy| entropy <= most).collect();
        folder.add_split(part, &continues)
    })?;
    Ok((folder.finish()?, nats))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::Runs;
    use crate::mining::runs::parts::tests::{counted, on_disk, split};
    use crate::mining::runs::tests::folded;
    use proptest::prelude::*;

    fn runs_of(parts: &[Vec<u32>]) -> Runs {
        folded(parts.iter().zip(0..), &[])
    }

    #[test]
    fn a_gate_that_is_no_entropy_and_no_share_is_refused() {
        let runs = RunParts::from(runs_of(&[vec![1, 2, 3]]));
        for gate in [Gate::Nats(f32::NAN), Gate::Nats(-1.0), Gate::Quantile(f64::NAN), Gate::Quantile(1.5)] {
            assert!(matches!(gated(&runs, gate), Err(Error::Gate { .. })), "{gate:?}");
        }
        assert!(gated(&runs, Gate::Nats(f32::INFINITY)).is_ok());
    }

    proptest! {
        #[test]
        fn a_gate_cuts_where_the_entropy_is_above_it(
            parts in prop::collection::vec(prop::collection::vec(0u32..4, 1..30), 1..10), share in 0.0..=1.0f64
        ) {
            let runs = runs_of(&parts);
            let entropies = ngram_entropies(&runs).unwrap();
            let (found, nats) = gated(&runs.clone().into(), Gate::Quantile(share)).unwrap();
            prop_assert_eq!(nats, quantile(&runs, &entropies, share));
            let most = nats.unwrap_or(f32::INFINITY);
            let continues: Vec<bool> = entropies.iter().map(|&entropy| entropy <= most).collect();
            let expected = split(&runs.clone().into(), &continues);
            prop_assert_eq!(&*found.whole().unwrap(), &*expected.whole().unwrap());
            let (again, same) = gated(&runs.into(), Gate::Nats(most)).unwrap();
            prop_assert_eq!(&*again.whole().unwrap(), &*expected.whole().unwrap());
            prop_assert_eq!(same, Some(most));
        }

        #[test]
        fn each_part_is_gated_by_a_model_of_its_own(
            parts in prop::collection::vec(prop::collection::vec(0u32..4, 1..30), 2..10), share in 0.0..=1.0f64
        ) {
            let (on_disk, _directory) = on_disk(&runs_of(&parts), 200);
            let (found, nats) = gated(&on_disk, Gate::Quantile(share)).unwrap();
            let (mut folder, mut first) = (on_disk.folder(), None);
            on_disk.for_each(|part| {
                let alone = RunParts::from(part.clone());
                first = first.or(gated(&alone, Gate::Quantile(share))?.1);
                let (alone, _) = gated(&alone, Gate::Nats(first.unwrap_or(f32::INFINITY)))?;
                alone.for_each(|runs| folder.add_weighted(runs, 1))
            }).unwrap();
            prop_assert_eq!(nats, first);
            prop_assert_eq!(counted(&found), counted(&folder.finish().unwrap()));
        }
    }
}
