//! Cuts of runs after a given text, so that no segment continues past it.
//!
//! Cutting is better than rejecting the segments that go past it. Candidates are maximal; rejecting a long
//! one afterwards would also lose its halves.

use memchr::memmem::Finder;
use rayon::prelude::*;

use crate::error::Result;
use crate::mining::runs::Runs;
use crate::mining::runs::parts::RunParts;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::check_ids;

/// The runs, cut before each token with the first byte after an occurrence of `text`; None if there is none.
/// Occurrences may overlap. A text shorter than two bytes is never found.
///
/// # Errors
/// If a run holds an id that has no entry in `token_bytes`, or runs cannot be read from disk or written.
pub fn cut_after(runs: &RunParts, token_bytes: &TokenBytes, text: &[u8]) -> Result<Option<RunParts>> {
    let (mut folder, mut uncut) = (None, 0);
    runs.for_each(|part| {
        let continues = continues_within(part, token_bytes, text)?;
        if folder.is_none() && continues.iter().all(|&may| may) {
            uncut += 1;
            return Ok(());
        }
        folder.get_or_insert_with(|| runs.folder()).add_split(part, &continues)
    })?;
    let Some(mut folder) = folder else { return Ok(None) };
    // The parts before the first one with a cut are as they were.
    runs.for_first(uncut, |part| folder.add_weighted(part, 1))?;
    Ok(Some(folder.finish()?))
}

/// For each token of the distinct runs, end to end: whether it may continue a segment.
fn continues_within(runs: &Runs, token_bytes: &TokenBytes, text: &[u8]) -> Result<Vec<bool>> {
    let segments = runs.strings();
    check_ids(segments.tokens(), 0, token_bytes.size())?;
    let mut continues = vec![true; segments.tokens().len()];
    if text.len() < 2 {
        return Ok(continues);
    }
    let finder = Finder::new(text);
    let cuts: Vec<Vec<usize>> = (0..runs.len())
        .into_par_iter()
        .map_init(Vec::new, |bytes, run| {
            let first = segments.offsets()[run];
            cuts_of(segments.get(run), token_bytes, &finder, bytes).map(|token| first + token).collect()
        })
        .collect();
    cuts.into_iter().flatten().for_each(|token| continues[token] = false);
    Ok(continues)
}

/// The tokens of one run that have the first byte after a text; `bytes` is a buffer for the run's bytes.
fn cuts_of<'a>(
    run: &'a [u32],
    token_bytes: &'a TokenBytes,
    text: &'a Finder<'_>,
    bytes: &'a mut Vec<u8>,
) -> impl Iterator<Item = usize> {
    bytes.clear();
    run.iter().for_each(|&token| bytes.extend_from_slice(token_bytes.get(token)));
    let bytes: &[u8] = bytes;
    let (mut token, mut end_of_token) = (0, 0);
    ends_of(text, bytes).take_while(|&end| end < bytes.len()).map(move |end| {
        while end_of_token <= end {
            end_of_token += token_bytes.get(run[token]).len();
            token += 1;
        }
        token - 1
    })
}

/// Where the occurrences of a text end, also those that overlap.
fn ends_of(text: &Finder<'_>, bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let start = begin + text.find(&bytes[begin..])?;
        begin = start + 1;
        Some(start + text.needle().len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::mining::runs::parts::tests::{on_disk, split};
    use crate::mining::runs::tests::folded;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Ids 0 to 5; 5 has no bytes.
    const TOKENS: [&str; 6] = ["a", "b", "ab", "ba", "aab", ""];

    fn token_bytes() -> TokenBytes {
        let offsets = (0..=TOKENS.len()).map(|end| TOKENS[..end].concat().len()).collect();
        TokenBytes::new(TOKENS.concat().into_bytes(), offsets).unwrap()
    }

    fn runs_of(parts: &[Vec<u32>]) -> Runs {
        folded(parts.iter().zip(0..), &[])
    }

    /// By the definition: all occurrences, and the token of the byte after each.
    fn by_definition(run: &[u32], text: &str) -> Vec<bool> {
        let text_of = |tokens: &[u32]| tokens.iter().map(|&token| TOKENS[token as usize]).collect::<String>();
        let whole = text_of(run);
        let starts = (0..whole.len()).filter(|&start| whole[start..].starts_with(text));
        let ends: Vec<usize> = starts.map(|start| start + text.len()).collect();
        let holds = |token: usize, byte: usize| {
            text_of(&run[..token]).len() <= byte && byte < text_of(&run[..=token]).len()
        };
        (0..run.len()).map(|token| !ends.iter().any(|&end| holds(token, end))).collect()
    }

    fn as_set(runs: &RunParts) -> BTreeSet<(Vec<u32>, u64, Vec<u32>)> {
        let runs = runs.whole().unwrap();
        let entry =
            |run: usize| (runs.strings().get(run).to_vec(), runs.count(run), runs.tasks(run).to_vec());
        (0..runs.len()).map(entry).collect()
    }

    #[test]
    fn a_token_that_reaches_over_the_end_is_cut_off_too() {
        // "ab" ends within the second token of "a" + "ba".
        let runs = runs_of(&[vec![0, 3, 0]]);
        assert_eq!(continues_within(&runs, &token_bytes(), b"ab").unwrap(), [true, false, true]);
    }

    #[test]
    fn occurrences_may_overlap() {
        // "aa" ends within "aaa", and one byte later, where "x" begins.
        let token_bytes = TokenBytes::new(b"aaax".to_vec(), vec![0, 3, 4]).unwrap();
        assert_eq!(continues_within(&runs_of(&[vec![0, 1]]), &token_bytes, b"aa").unwrap(), [false, false]);
    }

    #[test]
    fn an_unknown_id_is_named() {
        let error = continues_within(&runs_of(&[vec![1, 6]]), &token_bytes(), b"ab").unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: 6, position: 1, size: 6 });
    }

    proptest! {
        #[test]
        fn the_cuts_are_their_definition(
            drawn in prop::collection::vec(prop::collection::vec(0u32..6, 1..60), 0..6), text in "[ab]{2,4}"
        ) {
            let runs = runs_of(&drawn);
            let expected: Vec<bool> =
                runs.strings().iter().flat_map(|run| by_definition(run, &text)).collect();
            prop_assert_eq!(continues_within(&runs, &token_bytes(), text.as_bytes()).unwrap(), expected);
        }

        #[test]
        fn runs_in_parts_are_cut_as_in_memory(
            drawn in prop::collection::vec(prop::collection::vec(0u32..6, 1..9), 0..9), text in "[ab]{2,4}",
            part_bytes in 1usize..200,
        ) {
            let runs = runs_of(&drawn);
            let continues = continues_within(&runs, &token_bytes(), text.as_bytes()).unwrap();
            let (parts, _scratch) = on_disk(&runs, part_bytes);
            let found = cut_after(&parts, &token_bytes(), text.as_bytes()).unwrap();
            prop_assert_eq!(found.is_none(), continues.iter().all(|&may| may));
            let expected = split(&runs.into(), &continues);
            let found = found.unwrap_or(parts);
            prop_assert_eq!(as_set(&found), as_set(&expected));
        }
    }
}
