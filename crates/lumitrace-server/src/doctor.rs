//! `lumitrace doctor`: finds out why traces do not show up, and says what to do.
//!
//! It looks at the way of a span from its program to the page: `environment` at the variables
//! that the program's SDK would read, `server` at the server's ports and at what it counted, and
//! here at the data folder and at Python's package.

mod environment;
mod server;

use crate::config::Config;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// All is well.
    Good,
    /// It works, but perhaps not as one thinks.
    Notice,
    /// It cannot work like this.
    Problem,
}

/// What a check found, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    text: String,
    advice: Option<String>,
}

impl Finding {
    fn good(text: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Good,
            text: text.into(),
            advice: None,
        }
    }

    fn notice(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Notice,
            text: text.into(),
            advice: Some(advice.into()),
        }
    }

    fn problem(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Problem,
            text: text.into(),
            advice: Some(advice.into()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.verdict {
            Verdict::Good => "ok     ",
            Verdict::Notice => "notice ",
            Verdict::Problem => "PROBLEM",
        };
        write!(f, "{mark} {}", self.text)?;
        match &self.advice {
            Some(advice) => write!(f, "\n        -> {advice}"),
            None => Ok(()),
        }
    }
}

/// Checks everything and prints what was found; tells whether there is no problem.
///
/// # Errors
/// When the findings cannot be printed.
pub fn run(config: &Config, python: &str) -> io::Result<bool> {
    let mut findings = server::check(config);
    findings.push(data_dir(&config.data_dir));
    findings.push(python_package(python));
    findings.extend(environment::check(&|name| std::env::var(name).ok(), config));
    let mut output = io::stdout().lock();
    for finding in &findings {
        writeln!(output, "{finding}")?;
    }
    let count = |verdict| {
        findings
            .iter()
            .filter(|found| found.verdict == verdict)
            .count()
    };
    let (problems, notices) = (count(Verdict::Problem), count(Verdict::Notice));
    writeln!(
        output,
        "\n{} checks: {problems} problems, {notices} notices",
        findings.len()
    )?;
    Ok(problems == 0)
}

fn data_dir(path: &Path) -> Finding {
    let shown = path.display();
    if !path.exists() {
        return Finding::good(format!(
            "data folder {shown} does not exist yet; serve makes it"
        ));
    }
    // The surest way to know whether a folder can be written is to write.
    match tempfile::tempfile_in(path) {
        Ok(_) => Finding::good(format!("data folder {shown} can be written")),
        Err(error) => Finding::problem(
            format!("data folder {shown} cannot be written: {error}"),
            "change its owner or permissions, free some space, or choose another with --data-dir",
        ),
    }
}

fn python_package(python: &str) -> Finding {
    let code = "import lumitrace.tracing, lumitrace; print(lumitrace.__file__)";
    match Command::new(python).args(["-c", code]).output() {
        Ok(output) if output.status.success() => {
            let file = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Finding::good(format!("{python} imports lumitrace from {file}"))
        }
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            let last = error.lines().last().unwrap_or_default().to_owned();
            Finding::notice(
                format!("{python} cannot import lumitrace: {last}"),
                "only Python programs need it: pip install lumitrace into the environment that \
                 runs them; --python names another interpreter to check",
            )
        }
        Err(error) => Finding::notice(
            format!("{python} cannot be run: {error}"),
            "only Python programs need it; --python names another interpreter to check",
        ),
    }
}
