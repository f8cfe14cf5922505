//! Texts in which `*` stands for any number of any characters.

/// A pattern, taken apart once so that comparing allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    begin: String,
    /// What stands between two stars, and what stands after the last one; empty without a star.
    rest: Vec<String>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let mut pieces = text.split('*').map(str::to_owned);
        Self {
            // There is always one.
            begin: pieces.next().unwrap_or_default(),
            rest: pieces.collect(),
        }
    }

    /// Whether it is a lone star.
    pub(super) fn is_anything(&self) -> bool {
        self.begin.is_empty() && self.rest == [""]
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((end, between)) = self.rest.split_last() else {
            return text == self.begin;
        };
        let Some(mut text) = text.strip_prefix(&*self.begin) else {
            return false;
        };
        // The first place of each piece leaves the most for those after it.
        for piece in between {
            match text.split_once(&**piece) {
                Some((_, after)) => text = after,
                None => return false,
            }
        }
        text.ends_with(&**end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The model: a star takes nothing, or one character and goes on.
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => {
                matches(rest, text) || matches!(text, [_, more @ ..] if matches(pattern, more))
            }
            ([one, rest @ ..], [other, more @ ..]) => one == other && matches(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_trying_everything_matches(
            pattern in "[aä*]{0,7}", text in "[aäb]{0,9}",
        ) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = matches(&chars(&pattern), &chars(&text));
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), expected);
        }
    }

    #[test]
    fn only_a_lone_star_is_anything() {
        assert!(Pattern::new("*").is_anything());
        for other in ["", "a", "a*", "*a", "**"] {
            assert!(!Pattern::new(other).is_anything(), "{other}");
        }
    }
}
