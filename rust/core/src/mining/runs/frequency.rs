//! Ids numbered by how often they occur, so that the entries of frequent ones are neighbours in a table.

use rayon::prelude::*;

/// How often each id occurs, up to the largest one.
pub(crate) fn frequencies(ids: &[u32]) -> Vec<usize> {
    let most = ids.par_iter().max().map_or(0, |&id| id as usize + 1);
    let mut frequencies = vec![0; most];
    for &id in ids {
        frequencies[id as usize] += 1;
    }
    frequencies
}

/// The ids that occur, the most frequent first; and the number of each id: its place among these, from 1, and
/// 0 for ids that do not occur.
pub(crate) fn numbered(frequencies: &[usize]) -> (Vec<u32>, Vec<u32>) {
    let mut ids: Vec<u32> =
        (0..frequencies.len() as u32).filter(|&id| frequencies[id as usize] > 0).collect();
    ids.sort_by_key(|&id| std::cmp::Reverse(frequencies[id as usize]));
    let mut numbers = vec![0; frequencies.len()];
    for (&id, number) in ids.iter().zip(1..) {
        numbers[id as usize] = number;
    }
    (ids, numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_places_by_frequency(list in prop::collection::vec(0u32..9, 0..40)) {
            let frequencies = frequencies(&list);
            let (ids, numbers) = numbered(&frequencies);
            let count = |id: u32| list.iter().filter(|&&other| other == id).count();
            prop_assert!(ids.iter().map(|&id| count(id)).rev().is_sorted());
            for (id, &number) in (0..).zip(&numbers) {
                prop_assert_eq!(frequencies[id as usize], count(id));
                let found = (number as usize).checked_sub(1).map(|place| ids[place]);
                prop_assert_eq!(found, (count(id) > 0).then_some(id));
            }
        }
    }
}
