//! Which texts would be found across the border between two speakers.
//!
//! A border lies between two tokens of different speakers, neither of which is a barrier: a barrier ends a text. A
//! text crosses it if the text before the border ends with its first bytes, and the text after it begins with the
//! rest:
//!
//! ```text
//! <start> a s s i s t a n t \n | T h o u g h t :  I ...        "\nThought" crosses the border
//! ```

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::tokens::barriers::Barriers;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::{check_ids, check_length, check_offsets};
use crate::tokens::sorted::beginning_with;

/// Finds texts across borders in the conversations of one tokenizer.
#[derive(Debug, Clone)]
pub struct TurnBorders {
    barriers: Barriers,
    token_bytes: TokenBytes,
}

impl TurnBorders {
    /// The tokenizer's ids that end a text, and the text of each id.
    pub fn new(barriers: Barriers, token_bytes: TokenBytes) -> Self {
        TurnBorders { barriers, token_bytes }
    }

    /// Which of `texts` cross a border in the conversations `tokens[offsets[i]..offsets[i + 1]]`; `action` tells
    /// which tokens are the agent's.
    ///
    /// # Errors
    /// If the arrays do not fit together, or an id has no text.
    pub fn crossed_by(
        &self,
        texts: &[Vec<u8>],
        tokens: &[u32],
        action: &[bool],
        offsets: &[usize],
    ) -> Result<Vec<bool>> {
        check_offsets(offsets, tokens.len())?;
        check_length("action", action.len(), tokens.len())?;
        check_ids(tokens, 0, self.token_bytes.size())?;
        let TurnBorders { barriers, token_bytes } = self;
        let reach = texts.iter().map(Vec::len).max().unwrap_or_default();
        let text = Text { tokens, action, barriers, token_bytes, reach };
        let found = offsets.par_windows(2).flat_map_iter(|range| text.borders(range[0]..range[1])).collect();
        let borders = Borders::new(found);
        Ok(texts.par_iter().map(|text| borders.are_crossed_by(text)).collect())
    }
}

struct Text<'a> {
    tokens: &'a [u32],
    action: &'a [bool],
    barriers: &'a Barriers,
    token_bytes: &'a TokenBytes,
    /// Bytes of each side of a border that are read.
    reach: usize,
}

impl Text<'_> {
    /// The borders of a conversation.
    fn borders(&self, conversation: Range<usize>) -> impl Iterator<Item = Border> {
        let (begin, end) = (conversation.start, conversation.end);
        let is_border = move |&place: &usize| {
            self.action[place - 1] != self.action[place]
                && !self.barriers.contains(self.tokens[place - 1])
                && !self.barriers.contains(self.tokens[place])
        };
        (begin + 1..end).filter(is_border).map(move |place| Border {
            reversed: self.read((begin..place).rev(), |bytes, token| bytes.extend(token.iter().rev())),
            after: self.read(place..end, |bytes, token| bytes.extend(token)),
        })
    }

    /// The bytes of the tokens at `places`, up to a barrier.
    fn read(&self, places: impl Iterator<Item = usize>, add: impl Fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
        let mut bytes = Vec::new();
        for token in places.map(|place| self.tokens[place]) {
            if bytes.len() >= self.reach || self.barriers.contains(token) {
                break;
            }
            add(&mut bytes, self.token_bytes.get(token));
        }
        bytes.truncate(self.reach);
        bytes
    }
}

/// The text before a border, its last byte first, and the text after it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Border {
    reversed: Vec<u8>,
    after: Vec<u8>,
}

/// The distinct borders of some conversations.
struct Borders {
    /// Ascending by the text before.
    borders: Vec<Border>,
    /// The same ascending by the text after: indices.
    by_after: Vec<usize>,
    /// Which bytes are the last one before a border, and which the first one after it.
    last: [bool; 256],
    first: [bool; 256],
}

impl Borders {
    fn new(mut borders: Vec<Border>) -> Self {
        borders.par_sort_unstable();
        borders.dedup();
        let mut by_after: Vec<usize> = (0..borders.len()).collect();
        by_after.par_sort_by(|&one, &other| borders[one].after.cmp(&borders[other].after));
        let (mut last, mut first) = ([false; 256], [false; 256]);
        for border in &borders {
            border.reversed.first().into_iter().for_each(|&byte| last[usize::from(byte)] = true);
            border.after.first().into_iter().for_each(|&byte| first[usize::from(byte)] = true);
        }
        Borders { borders, by_after, last, first }
    }

    fn are_crossed_by(&self, text: &[u8]) -> bool {
        let may_cross =
            |&place: &usize| self.last[usize::from(text[place - 1])] && self.first[usize::from(text[place])];
        (1..text.len()).filter(may_cross).any(|place| self.lie_between(&text[..place], &text[place..]))
    }

    /// Whether a border has a text before it that ends with `left`, and one after it that begins with `right`.
    fn lie_between(&self, left: &[u8], right: &[u8]) -> bool {
        let left: Vec<u8> = left.iter().rev().copied().collect();
        let number = self.borders.len();
        let before = beginning_with(number, &left, |place| &self.borders[place].reversed);
        let after = beginning_with(number, right, |place| &self.borders[self.by_after[place]].after);
        if before.len() < after.len() {
            self.borders[before].iter().any(|border| border.after.starts_with(right))
        } else {
            self.by_after[after].iter().any(|border| before.contains(border))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The barrier 0, and texts of one byte, two, or part of a character.
    fn token_bytes() -> TokenBytes {
        TokenBytes::new(b"|aab\xC3\xA9".to_vec(), vec![0, 1, 2, 4, 5, 6]).unwrap()
    }

    type Tokens = Vec<(u32, bool)>;

    /// By definition: the text is somewhere in the bytes between two barriers, with a border inside.
    fn crosses(text: &[u8], conversation: &Tokens) -> bool {
        conversation.split(|&(token, _)| token == 0).any(|stretch| {
            let bytes: Vec<(u8, bool)> = stretch
                .iter()
                .flat_map(|&(token, agent)| {
                    token_bytes().get(token).iter().map(move |&b| (b, agent)).collect::<Vec<_>>()
                })
                .collect();
            bytes.windows(text.len().max(1)).any(|window| {
                window.iter().map(|&(byte, _)| byte).eq(text.iter().copied())
                    && window.iter().any(|&(_, agent)| agent != window[0].1)
            })
        })
    }

    proptest! {
        #[test]
        fn crossing_texts_are_those_of_the_definition(
            conversations in prop::collection::vec(prop::collection::vec((0u32..5, any::<bool>()), 0..12), 0..6),
            texts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"ab\xC3\xA9".to_vec()), 0..6), 0..8),
        ) {
            let flat = conversations.concat();
            let (tokens, action): (Vec<u32>, Vec<bool>) = flat.into_iter().unzip();
            let ends = conversations.iter().scan(0, |end, one| { *end += one.len(); Some(*end) });
            let offsets: Vec<usize> = [0].into_iter().chain(ends).collect();
            let borders = TurnBorders::new(Barriers::new(&[0]).unwrap(), token_bytes());
            let found = borders.crossed_by(&texts, &tokens, &action, &offsets).unwrap();
            let expected: Vec<bool> =
                texts.iter().map(|text| conversations.iter().any(|one| crosses(text, one))).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let borders = TurnBorders::new(Barriers::default(), token_bytes());
        let of = |tokens: &[u32], action: &[bool], offsets: &[usize]| {
            borders.crossed_by(&[], tokens, action, offsets).is_err()
        };
        assert!(!of(&[1], &[true], &[0, 1]));
        assert!(of(&[1], &[], &[0, 1]));
        assert!(of(&[1], &[true], &[0, 2]));
        assert!(of(&[5], &[true], &[0, 1]));
    }
}
