//! Whether text is visible.

/// Whether nothing in the text is visible, so that it is no name, title or message.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control() || is_invisible(c))
}

/// Characters without a glyph of their own that are neither white space nor controls: those that Unicode ignores by
/// default (`Default_Ignorable_Code_Point`), marks between lines (`Cf`), and blanks that count as letters or symbols.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d159}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_blank() {
        for blank in [
            "",
            " ",
            "\t\n",
            "\u{a0}\u{3000}",
            "\u{3164}",
            "\u{200b}",
            "\u{200b}\u{3164} \u{feff}",
            "\u{2800}",
            "\u{ffa0}",
            "\u{115f}\u{1160}",
            "\u{ad}",
            "\u{2060}\u{2064}",
            "\u{e0041}",
            "\u{fe0f}",
            "\u{180e}",
            "\u{200e}\u{200f}",
            "\u{34f}",
            "\u{1d159}",
            "\u{0}",
        ] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for seen in ["a", "\u{3164}a", "한", "🦊", "क्‍ष", ".", "_", "\u{301}", "👩‍👩‍👧"]
        {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }
}
