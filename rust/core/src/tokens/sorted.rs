//! Places in a sorted list, which is given by its length and a function.

use std::ops::Range;

/// The places among `number` ascending texts of those that begin with `start`.
pub(crate) fn beginning_with<'a>(
    number: usize,
    start: &[u8],
    text: impl Fn(usize) -> &'a [u8],
) -> Range<usize> {
    let begin = first_place(0..number, |place| text(place) >= start);
    begin..first_place(begin..number, |place| !text(place).starts_with(start))
}

/// The first of the places for which `holds` is true, as it is for all later ones; the end if there is none.
#[inline]
pub(crate) fn first_place(mut places: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    while !places.is_empty() {
        let middle = places.start.midpoint(places.end);
        if holds(middle) { places.end = middle } else { places.start = middle + 1 }
    }
    places.start
}
