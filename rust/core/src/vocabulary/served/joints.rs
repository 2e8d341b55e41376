//! Places at which a tokenizer splits every text, independent of the text around them.

/// Which kinds of joints hold for a tokenizer; if none does, whole gaps are encoded again.
///
/// At a joint `tokens(text) = tokens(text before) + tokens(text after)`. The pre-tokenizers in use (GPT-2,
/// Llama 3, Qwen, DeepSeek, o200k) are regular expressions that look one character ahead at most and never back,
/// and none of their alternatives crosses one of these places. It has to be tested for each
/// tokenizer: BPE without a pre-tokenizer (Gemma) joins letters with punctuation, some join words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Joints {
    /// Before a single space between two visible ASCII characters.
    pub space: bool,
    /// Between a newline and a visible ASCII character other than a slash.
    pub newline: bool,
    /// Between an ASCII letter or digit and ASCII punctuation other than an apostrophe.
    pub punctuation: bool,
}

impl Joints {
    /// Whether there is a joint before byte `place` of `text` that depends only on bytes before `end`.
    #[inline]
    pub(super) fn at(self, text: &[u8], place: usize, end: usize) -> bool {
        let Some(&[before, here, after]) = place.checked_sub(1).and_then(|from| text[from..].first_chunk())
        else {
            return false;
        };
        match here {
            b' ' => self.space && before.is_ascii_graphic() && after.is_ascii_graphic() && place + 1 < end,
            _ if before == b'\n' => self.newline && here.is_ascii_graphic() && here != b'/',
            _ => {
                self.punctuation
                    && before.is_ascii_alphanumeric()
                    && here.is_ascii_punctuation()
                    && here != b'\''
            }
        }
    }
}
