//! What Python takes for white space, and lengths in characters.

/// Whether a byte is white space to Python's `bytes.isspace`.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether a character is white space to Python's `str.isspace`, `strip` and `split`.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

/// Whether a text has a visible ASCII character, and so is not white space alone by anyone's count.
pub(super) fn is_visible(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_graphic())
}

/// The number of characters of UTF-8.
pub(super) fn characters(text: &[u8]) -> u64 {
    // Every byte but those that continue a character. Sums of one byte take an eighth of the time of wide ones.
    let begins = |sum: u8, &byte: &u8| sum + u8::from((byte as i8) >= -0x40);
    text.chunks(u8::MAX as usize).map(|part| u64::from(part.iter().fold(0, begins))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_counts_once() {
        for text in ["", "abc", "é", "🙂x€", "\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}", &"é".repeat(700)]
        {
            assert_eq!(characters(text.as_bytes()), text.chars().count() as u64);
        }
    }

    #[test]
    fn separators_of_information_are_white_space_too() {
        assert!(['\x1c', '\x1f', ' ', '\n', '\u{85}', '\u{a0}', '\u{3000}'].into_iter().all(is_space));
        assert!(!['\x1b', '!', '\u{200b}', '\u{feff}'].into_iter().any(is_space));
    }
}
