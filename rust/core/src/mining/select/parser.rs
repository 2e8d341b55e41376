//! Parses by a vocabulary that is chosen from the candidates, where the matches of all candidates are known.

use crate::mining::select::matches::Matcher;

/// One step of a parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The segment's place in the vocabulary, or [`TOKEN`].
    pub(crate) place: u32,
    length: u32,
}

/// The place of a base token.
pub(crate) const TOKEN: u32 = u32::MAX;

const SINGLE: Unit = Unit { place: TOKEN, length: 1 };

/// A unit of a parse and the position where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedUnit {
    /// The segment's place in the vocabulary, or [`TOKEN`].
    pub(crate) place: u32,
    pub(crate) end: usize,
}

/// The parser of a vocabulary. It takes texts as their matches, see [`Matcher`].
pub(crate) struct Parser {
    /// The candidates in the vocabulary, ascending.
    chosen: Vec<usize>,
    /// The longest unit where each candidate, or none, is the longest match.
    longest: Vec<Unit>,
    /// The longest unit that the segment at each place begins with, but for the segment itself.
    shorter: Vec<Unit>,
}

impl Parser {
    /// The vocabulary of the `chosen` candidates, which ascend.
    pub(crate) fn new(matcher: &Matcher, chosen: Vec<usize>) -> Self {
        let mut longest = vec![SINGLE; matcher.none() as usize + 1];
        let mut shorter = Vec::with_capacity(chosen.len());
        for candidate in 0..matcher.none() {
            let prefix = longest[matcher.shorter(candidate) as usize];
            let is_chosen = chosen.get(shorter.len()) == Some(&(candidate as usize));
            longest[candidate as usize] = if is_chosen {
                let place = shorter.len() as u32;
                shorter.push(prefix);
                Unit { place, length: matcher.length(candidate) as u32 }
            } else {
                prefix
            };
        }
        Parser { chosen, longest, shorter }
    }

    /// The candidates in the vocabulary, ascending.
    pub(crate) fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    /// Calls `visit` with each unit of the token parse.
    #[inline]
    pub(crate) fn parse(&self, matches: &[u32], mut visit: impl FnMut(ParsedUnit)) {
        let mut end = 0;
        while end < matches.len() {
            let unit = self.first(&matches[end..]);
            end += unit.length as usize;
            visit(ParsedUnit { place: unit.place, end });
        }
    }

    /// Length of the first unit in a parse without the segment at `place`.
    #[inline]
    pub(crate) fn length_without(&self, matches: &[u32], place: u32) -> usize {
        let unit = self.first(matches);
        let unit = if unit.place == place { self.shorter[place as usize] } else { unit };
        unit.length as usize
    }

    /// Number of units of the first `length` tokens, parsed as if nothing followed them.
    #[inline]
    pub(crate) fn units_within(&self, matches: &[u32], length: usize) -> usize {
        let (mut position, mut units) = (0, 0);
        while position < length {
            let mut unit = self.first(&matches[position..]);
            while position + unit.length as usize > length {
                unit = self.shorter[unit.place as usize];
            }
            position += unit.length as usize;
            units += 1;
        }
        units
    }

    /// The first unit of a parse.
    #[inline]
    pub(crate) fn first(&self, matches: &[u32]) -> Unit {
        self.longest[matches[0] as usize]
    }

    /// For each candidate, and for none, whether the other vocabulary has another longest or second longest
    /// unit where it matches. Losses depend on nothing else.
    pub(crate) fn changes(&self, other: &Parser) -> Vec<bool> {
        let longest = |parser: &Parser, candidate: usize| {
            let unit = parser.longest[candidate];
            let shorter = parser.shorter.get(unit.place as usize).unwrap_or(&SINGLE);
            (unit.length, shorter.length)
        };
        (0..self.longest.len())
            .map(|candidate| longest(self, candidate) != longest(other, candidate))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::select::match_trie::tests::token_parse;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;

    /// The index of each segment that the trie's parse uses, and where it ends.
    fn parse_by_trie(segments: &[Vec<u32>], tokens: &[u32]) -> Vec<ParsedUnit> {
        let units = token_parse(&segments.iter().map(Vec::as_slice).collect(), tokens);
        units.into_iter().map(|(index, end)| ParsedUnit { place: index.unwrap_or(TOKEN), end }).collect()
    }

    fn parse(parser: &Parser, matches: &[u32]) -> Vec<ParsedUnit> {
        let mut units = Vec::new();
        parser.parse(matches, |unit| units.push(unit));
        units
    }

    proptest! {
        #[test]
        fn a_parse_by_matches_is_that_of_the_trie(
            candidates in prop::collection::btree_set(prop::collection::vec(0u32..3, 2..7), 1..20),
            is_chosen in prop::collection::vec(any::<bool>(), 20),
            text in prop::collection::vec(0u32..3, 0..30),
            length in 0usize..30,
        ) {
            let candidates: Vec<Vec<u32>> = candidates.into_iter().collect();
            let chosen: Vec<usize> = (0..candidates.len()).filter(|&index| is_chosen[index]).collect();
            let segments: Vec<Vec<u32>> = chosen.iter().map(|&index| candidates[index].clone()).collect();
            let list: Segments = candidates.iter().map(Vec::as_slice).collect();
            let matcher = Matcher::new(&list).unwrap();
            let parser = Parser::new(&matcher, chosen.clone());

            let matches = matcher.in_text(&text);
            prop_assert_eq!(parse(&parser, &matches), parse_by_trie(&segments, &text));
            let length = length.min(text.len());
            let within = parse_by_trie(&segments, &text[..length]).len();
            prop_assert_eq!(parser.units_within(&matches, length), within);
            // The text of a segment is parsed without it.
            let texts = matcher.in_candidates(&list);
            for place in 0..segments.len() {
                let others: Vec<Vec<u32>> =
                    segments.iter().filter(|&other| *other != segments[place]).cloned().collect();
                let expected: Vec<usize> =
                    parse_by_trie(&others, &segments[place]).iter().map(|unit| unit.end).collect();
                let found = parse(&parser, texts.get(chosen[place]));
                prop_assert_eq!(found.iter().map(|unit| unit.end).collect::<Vec<_>>(), expected);
            }
        }
    }
}
