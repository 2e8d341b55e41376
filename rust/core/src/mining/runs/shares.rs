//! The work on all tokens, divided by the places where they occur.

use std::ops::Range;

/// Divides a range of ids into at most `number` ranges with about equally many places.
pub(crate) fn shares(occurrences: &[usize], ids: Range<usize>, number: usize) -> Vec<Range<usize>> {
    let total: usize = occurrences[ids.clone()].iter().sum();
    let (mut shares, mut start, mut seen) = (Vec::new(), ids.start, 0);
    for id in ids.clone() {
        seen += occurrences[id];
        if seen * number > total * (shares.len() + 1) {
            shares.push(start..id + 1);
            start = id + 1;
        }
    }
    shares.push(start..ids.end);
    shares
}
