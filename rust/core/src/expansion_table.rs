//! Units back to base tokens at memory speed.
//!
//! Most segments are short, so each stands in a row of fixed size: a row is copied whole, and the output goes
//! on after the tokens that count. A base token takes the same way, by a row of its own, without a branch:
//! which of the two a unit is nothing could predict. Looking for the latents of a block first, to copy what
//! lies between them in one piece, was no faster.

use crate::segments::Segments;

/// Tokens that a row has room for. Longer segments are copied from where they lie.
const ROOM: usize = 7;

/// The first tokens of what a unit stands for, then the number of all.
type Row = [u32; ROOM + 1];

/// What each unit of a vocabulary stands for.
#[derive(Debug, Clone)]
pub(crate) struct ExpansionTable {
    base_size: u32,
    /// Number of tokens of each latent, and of a base token.
    lengths: Vec<u32>,
    /// In the same order; the tokens of a base token's row are zeros.
    rows: Vec<Row>,
}

impl ExpansionTable {
    pub(crate) fn new(base_size: u32, segments: &Segments) -> Self {
        let rows: Vec<Row> = segments.iter().map(row).chain([row(&[0])]).collect();
        ExpansionTable { base_size, lengths: rows.iter().map(|row| row[ROOM]).collect(), rows }
    }

    /// Number of base tokens that units stand for, and the largest of the units.
    pub(crate) fn length(&self, units: &[u32]) -> (usize, u32) {
        let last = self.lengths.len() - 1;
        let add = |(length, largest): (usize, u32), &unit: &u32| {
            (length + self.lengths[self.index(unit, last)] as usize, largest.max(unit))
        };
        units.iter().fold((0, 0), add)
    }

    /// Writes where each of `units` begins, the first at base position `start`.
    pub(crate) fn write_starts(&self, units: &[u32], start: i64, starts: &mut [i64]) {
        let last = self.lengths.len() - 1;
        let mut position = start;
        for (&unit, start) in units.iter().zip(starts) {
            *start = position;
            position += i64::from(self.lengths[self.index(unit, last)]);
        }
    }

    /// Number of base tokens that a valid unit stands for.
    #[inline]
    pub(crate) fn length_of(&self, unit: u32) -> u32 {
        self.lengths[self.index(unit, self.lengths.len() - 1)]
    }

    /// Writes what `units`, all of them valid, stand for to `tokens`, which is exactly as long.
    pub(crate) fn expand(&self, units: &[u32], segments: &Segments, mut tokens: &mut [u32]) {
        let base = self.rows.len() - 1;
        for (read, &unit) in units.iter().enumerate() {
            let Some(room) = tokens.first_chunk_mut() else {
                return self.expand_last(&units[read..], segments, tokens);
            };
            let index = self.index(unit, base);
            let row = &self.rows[index];
            *room = *row;
            room[0] |= if index == base { unit } else { 0 };
            let length = row[ROOM] as usize;
            if length > ROOM {
                tokens[..length].copy_from_slice(segments.get(index));
            }
            tokens = &mut tokens[length..];
        }
    }

    /// As [`ExpansionTable::expand`], where there is no room for a row.
    fn expand_last(&self, units: &[u32], segments: &Segments, tokens: &mut [u32]) {
        let mut written = 0;
        for unit in units {
            let said = match unit.checked_sub(self.base_size) {
                Some(latent) => segments.get(latent as usize),
                None => std::slice::from_ref(unit),
            };
            tokens[written..written + said.len()].copy_from_slice(said);
            written += said.len();
        }
    }

    /// The place of a unit: i for latent i, `last` for a base token (and for what is no unit).
    #[inline]
    fn index(&self, unit: u32, last: usize) -> usize {
        (unit.wrapping_sub(self.base_size) as usize).min(last)
    }
}

fn row(segment: &[u32]) -> Row {
    let mut row = std::array::from_fn(|i| segment.get(i).copied().unwrap_or(0));
    row[ROOM] = segment.len() as u32;
    row
}
