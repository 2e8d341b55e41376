//! Units back to base tokens at memory speed.
//!
//! Most segments are short, so each stands in a row of fixed size: a row is copied whole, and the output goes
//! on after the tokens that count. A base token takes the same way, by a row of its own, without a branch:
//! which of the two a unit is nothing could predict.

use crate::segments::Segments;

/// Tokens that a row has room for. Longer segments are copied from where they lie.
const ROOM: usize = 7;

/// What each unit of a vocabulary stands for.
#[derive(Debug, Clone)]
pub(crate) struct ExpansionTable {
    /// The largest base id.
    last_base: u32,
    /// Number of tokens of a base token, then of each latent; empty where there is no id at all.
    lengths: Vec<u32>,
    /// In the same order the first tokens, then their number again. A base token's row is all zero but for
    /// that.
    rows: Vec<[u32; ROOM + 1]>,
}

impl ExpansionTable {
    pub(crate) fn new(base_size: u32, segments: &Segments) -> Self {
        let Some(last_base) = base_size.checked_sub(1) else {
            return ExpansionTable { last_base: 0, lengths: Vec::new(), rows: Vec::new() };
        };
        let rows = std::iter::once(row(&[0])).chain(segments.iter().map(row));
        let lengths = segments.iter().map(|segment| segment.len() as u32);
        ExpansionTable {
            last_base,
            lengths: std::iter::once(1).chain(lengths).collect(),
            rows: rows.collect(),
        }
    }

    /// Number of base tokens that a unit stands for; None for an id that is no unit.
    #[inline]
    pub(crate) fn length(&self, unit: u32) -> Option<u32> {
        self.lengths.get(self.index(unit)).copied()
    }

    /// Writes what `units`, all of them valid, stand for to `tokens`, which is exactly as long.
    pub(crate) fn expand(&self, units: &[u32], segments: &Segments, mut tokens: &mut [u32]) {
        for &unit in units {
            let index = self.index(unit);
            let row = &self.rows[index];
            let length = row[ROOM] as usize;
            match tokens.first_chunk_mut() {
                Some(room) if length <= ROOM => {
                    *room = *row;
                    room[0] |= unit & u32::from(index == 0).wrapping_neg();
                }
                _ if index == 0 => tokens[0] = unit,
                _ => tokens[..length].copy_from_slice(segments.get(index - 1)),
            }
            tokens = &mut tokens[length..];
        }
    }

    /// 0 for a base token, 1 + i for latent i.
    #[inline]
    fn index(&self, unit: u32) -> usize {
        unit.saturating_sub(self.last_base) as usize
    }
}

fn row(segment: &[u32]) -> [u32; ROOM + 1] {
    let mut row = std::array::from_fn(|i| segment.get(i).copied().unwrap_or(0));
    row[ROOM] = segment.len() as u32;
    row
}
