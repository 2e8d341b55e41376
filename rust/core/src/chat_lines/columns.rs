//! Columns of texts and of lists, as buffers that grow.

/// How long all columns were before a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    pub(super) records: usize,
    pub(super) messages: usize,
    pub(super) calls: usize,
}

/// Texts end to end, some of them missing.
#[derive(Debug)]
pub struct Texts {
    data: Vec<u8>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

/// Texts as flat buffers.
#[derive(Debug, PartialEq, Eq)]
pub struct TextBuffers {
    /// UTF-8 of all texts, end to end.
    pub data: Vec<u8>,
    /// The start of each text in `data`, and the end of the last.
    pub offsets: Vec<i32>,
    /// A bit for each text, the lowest first: whether it is there. None where all are.
    pub valid: Option<Vec<u8>>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { data: Vec::new(), offsets: vec![0], valid: Vec::new() }
    }
}

impl Texts {
    /// Number of texts, the missing ones included.
    pub fn len(&self) -> usize {
        self.valid.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }

    /// The UTF-8 of a text, empty where it is missing.
    pub fn get(&self, index: usize) -> &[u8] {
        &self.data[self.offsets[index] as usize..self.offsets[index + 1] as usize]
    }

    /// Whether a text is there.
    pub fn has(&self, index: usize) -> bool {
        self.valid[index]
    }

    /// The buffers, and an empty column in its place.
    pub fn take(&mut self) -> TextBuffers {
        let Texts { data, offsets, valid } = std::mem::take(self);
        TextBuffers { data, offsets, valid: (!valid.iter().all(|&flag| flag)).then(|| bits(&valid)) }
    }

    /// Room for texts of so many bytes.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.data.reserve(bytes);
    }

    pub(super) fn push(&mut self, text: Option<&str>) {
        self.data.extend_from_slice(text.unwrap_or_default().as_bytes());
        self.offsets.push(self.data.len() as i32);
        self.valid.push(text.is_some());
    }

    pub(super) fn cut(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
        self.valid.truncate(length);
        self.data.truncate(self.offsets[length] as usize);
    }
}

/// Flags as bits, the lowest first.
fn bits(flags: &[bool]) -> Vec<u8> {
    let byte = |flags: &[bool]| flags.iter().rev().fold(0, |byte, &flag| byte << 1 | u8::from(flag));
    flags.chunks(8).map(byte).collect()
}

/// Lists of consecutive entries of another column, by their offsets.
#[derive(Debug)]
pub struct Lists {
    offsets: Vec<i32>,
}

impl Default for Lists {
    fn default() -> Self {
        Lists { offsets: vec![0] }
    }
}

impl Lists {
    /// Where each list begins, and the end of the last.
    pub fn offsets(&self) -> &[i32] {
        &self.offsets
    }

    /// The entries of a list.
    pub fn get(&self, index: usize) -> std::ops::Range<usize> {
        self.offsets[index] as usize..self.offsets[index + 1] as usize
    }

    /// Which of the lists have entries, as bits, the lowest first.
    pub fn not_empty(&self) -> Vec<u8> {
        bits(&self.offsets.windows(2).map(|ends| ends[0] < ends[1]).collect::<Vec<_>>())
    }

    /// Ends a list before the entry `end` of the other column.
    pub(super) fn push(&mut self, end: usize) {
        self.offsets.push(end as i32);
    }

    pub(super) fn cut(&mut self, length: usize) {
        self.offsets.truncate(length + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_column_is_as_it_was() {
        let mut texts = Texts::default();
        texts.push(Some("é"));
        texts.push(None);
        texts.push(Some("abc"));
        texts.cut(2);
        texts.push(Some(""));
        assert_eq!((texts.len(), texts.get(0), texts.has(1), texts.has(2)), (3, "é".as_bytes(), false, true));
        let buffers = TextBuffers { data: "é".into(), offsets: vec![0, 2, 2, 2], valid: Some(vec![0b101]) };
        assert_eq!(texts.take(), buffers);
        assert!(texts.is_empty());
    }

    #[test]
    fn the_lowest_bit_comes_first() {
        let flags = [false, true, true, true, true, true, true, true, true];
        assert_eq!(bits(&flags), vec![0b1111_1110, 1]);
    }
}
