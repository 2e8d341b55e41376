//! Conversations in units, with holes where a window is not encoded yet.

use std::ops::Range;
use std::sync::Arc;

use crate::tokens::bytes::TokenBytes;

/// Conversations of n base tokens in u units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Served {
    /// Ids of the units.
    pub units: Vec<u32>,
    /// The base position of the token that has each unit's first byte.
    pub starts: Vec<i64>,
    /// Whether the unit begins where that token does.
    pub begins: Vec<bool>,
}

impl Served {
    pub(super) fn push(&mut self, unit: u32, start: i64, begins: bool) {
        self.units.push(unit);
        self.starts.push(start);
        self.begins.push(begins);
    }

    fn extend(&mut self, other: &Served, range: Range<usize>) {
        self.units.extend_from_slice(&other.units[range.clone()]);
        self.starts.extend_from_slice(&other.starts[range.clone()]);
        self.begins.extend_from_slice(&other.begins[range]);
    }

    /// Appends the ids of a window.
    pub(super) fn push_window(&mut self, ids: &[u32], place: &WindowPlace<'_>, token_bytes: &TokenBytes) {
        let (mut covered, mut begin, mut at) = (0, 0, place.cut);
        let length = |id: u32| token_bytes.get(id).len();
        for &id in ids {
            while begin + length(place.tokens[covered]) <= at && covered + 1 < place.tokens.len() {
                begin += length(place.tokens[covered]);
                covered += 1;
            }
            self.push(id, place.position + covered as i64, begin == at);
            at += length(id);
        }
    }
}

/// The place of a window among the base tokens.
#[derive(Debug)]
pub(super) struct WindowPlace<'a> {
    /// The tokens that the window overlaps.
    pub tokens: &'a [u32],
    /// The base position of the first of them.
    pub position: i64,
    /// Bytes of the first token before the window.
    pub cut: usize,
}

/// One conversation's units, and the windows that are missing in it.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub units: Served,
    holes: Vec<Hole>,
    texts: Vec<u8>,
    tokens: Vec<u32>,
}

/// A window that is not encoded yet.
#[derive(Debug)]
struct Hole {
    /// The unit that it comes before.
    unit: usize,
    /// The range of its text in the part's texts.
    text: Range<usize>,
    /// The tokens that it overlaps, in the part's tokens.
    tokens: Range<usize>,
    position: i64,
    cut: usize,
}

impl Part {
    pub(super) fn push_hole(&mut self, text: &[u8], place: &WindowPlace<'_>) {
        let hole = Hole {
            unit: self.units.units.len(),
            text: append(&mut self.texts, text),
            tokens: append(&mut self.tokens, place.tokens),
            position: place.position,
            cut: place.cut,
        };
        self.holes.push(hole);
    }

    pub(super) fn missing(&self) -> impl Iterator<Item = &[u8]> {
        self.holes.iter().map(|hole| &self.texts[hole.text.clone()])
    }

    /// Appends the part to `served`, with holes filled from `known`; the error is a text that is not in it.
    pub(super) fn fill_into<'k>(
        &self,
        served: &mut Served,
        token_bytes: &TokenBytes,
        known: impl Fn(&[u8]) -> Option<&'k [u32]>,
    ) -> Result<(), &[u8]> {
        let mut done = 0;
        for hole in &self.holes {
            served.extend(&self.units, done..hole.unit);
            done = hole.unit;
            let text = &self.texts[hole.text.clone()];
            let place = WindowPlace {
                tokens: &self.tokens[hole.tokens.clone()],
                position: hole.position,
                cut: hole.cut,
            };
            served.push_window(known(text).ok_or(text)?, &place, token_bytes);
        }
        served.extend(&self.units, done..self.units.units.len());
        Ok(())
    }
}

fn append<T: Copy>(list: &mut Vec<T>, items: &[T]) -> Range<usize> {
    let start = list.len();
    list.extend_from_slice(items);
    start..list.len()
}

/// Conversations that were read, in order: the input of [`ServedParse::units`].
///
/// [`ServedParse::units`]: super::ServedParse::units
#[derive(Debug)]
pub struct Plan {
    pub(super) parts: Vec<Part>,
    /// Those of the parse that has read them.
    pub(super) latents: Arc<[(u32, usize)]>,
}
