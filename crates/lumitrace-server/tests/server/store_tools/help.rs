//! The help, word by word: who changes it sees what people will read.

use crate::harness::run;
use std::path::Path;

/// The help of `arguments` is what the file says. To change it, look at the difference and write
/// the file anew by running the test with `UPDATE_HELP=1`.
fn assert_help(name: &str, arguments: &[&str]) {
    let output = run(&[arguments, &["--help"]].concat());
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/server/store_tools/help")
        .join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_HELP").is_some() {
        std::fs::write(&file, &help).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(help, expected, "{}", file.display());
}

#[test]
fn the_help_teaches_by_examples() {
    assert_help("store", &["store"]);
    for task in ["stats", "check", "repair", "compact", "export", "import"] {
        assert_help(task, &["store", task]);
    }
}
