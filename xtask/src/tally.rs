//! Counting tests over runners that each report in their own words.

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// Adds what one line of a runner's output reports, if it is its closing line.
    ///
    /// Understood are cargo test (`test result: ok. 3 passed; 1 failed; …`), pytest
    /// (`=== 3 passed, 1 failed in 0.1s ===`), Vitest (`Tests  3 passed | 1 failed (4)`) and
    /// Playwright (`  3 passed (2.1s)` and `  1 failed`, each on its own line).
    pub(crate) fn read(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim();
        let closes = line.starts_with("test result:")
            || (line.starts_with("==") && line.ends_with("=="))
            || line.starts_with("Tests ")
            || is_playwright_summary(line);
        if !closes {
            return;
        }
        let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" | "error" | "errors" => self.failed += count,
                _ => {}
            }
        }
    }

    /// Adds a check that either holds or does not, such as formatting.
    pub(crate) fn check(&mut self, holds: bool) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// `3 passed (2.1s)` or `1 failed`, and nothing else on the line.
fn is_playwright_summary(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let counts = words.next().is_some_and(|word| word.parse::<u64>().is_ok());
    let names = words
        .next()
        .is_some_and(|word| word == "passed" || word == "failed");
    counts && names && words.all(|word| word.starts_with('('))
}

fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            text.push(character);
        } else if characters.next() == Some('[') {
            // An escape sequence ends with a letter.
            characters.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_every_runner_is_counted_once() {
        for (line, passed, failed) in [
            (
                "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out",
                3,
                0,
            ),
            (
                "test result: FAILED. 2 passed; 1 failed; 0 ignored; finished in 0.10s",
                2,
                1,
            ),
            ("==== 1 failed, 12 passed, 3 warnings in 4.20s ====", 12, 1),
            ("==== 2 passed, 1 error in 4.20s ====", 2, 1),
            (
                "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[32m41 passed\u{1b}[39m (41)",
                41,
                0,
            ),
            (" Test Files  3 passed (3)", 0, 0),
            ("      Tests  1 failed | 40 passed (41)", 40, 1),
            ("  9 passed (12.3s)", 9, 0),
            ("  2 failed", 0, 2),
            ("test tally::tests::anything ... ok", 0, 0),
            ("we passed 3 passed tests", 0, 0),
        ] {
            let mut tally = Tally::default();
            tally.read(line);
            assert_eq!(tally, Tally { passed, failed }, "{line}");
        }
    }
}
