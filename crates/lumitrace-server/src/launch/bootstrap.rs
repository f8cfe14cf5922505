//! The folder from which Python, started with it on its path, begins to trace by itself.

use anyhow::Context;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The same file as in the package.
const SITECUSTOMIZE: &str =
    include_str!("../../../../python/lumitrace/auto/bootstrap/sitecustomize.py");

/// The folder, with the file in it. It stays: the program outlives this process's image, and what the
/// program starts in turn uses it too.
pub(super) fn folder() -> anyhow::Result<PathBuf> {
    match cache(|name| std::env::var_os(name)) {
        Some(cache) => {
            let folder = cache.join(format!("lumitrace/{}", env!("CARGO_PKG_VERSION")));
            write(&folder.join("bootstrap"))
        }
        // A name that others could guess would let them put their own file there.
        None => {
            let folder = tempfile::Builder::new().prefix("lumitrace-").tempdir()?;
            write(&folder.keep())
        }
    }
}

/// The user's folder for what can be made again (XDG Base Directory Specification).
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| {
        let folder = PathBuf::from(variable(name)?);
        folder.is_absolute().then_some(folder)
    };
    folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
}

fn write(folder: &Path) -> anyhow::Result<PathBuf> {
    let file = folder.join("sitecustomize.py");
    if std::fs::read(&file).is_ok_and(|present| present == SITECUSTOMIZE.as_bytes()) {
        return Ok(folder.to_owned());
    }
    let cannot = || format!("cannot write {}", file.display());
    std::fs::create_dir_all(folder).with_context(cannot)?;
    // Whole or not at all: other programs may be starting from it.
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    new.write_all(SITECUSTOMIZE.as_bytes())
        .with_context(cannot)?;
    new.persist(&file).with_context(cannot)?;
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_below_the_users_cache_if_there_is_one() {
        let of = |variables: &[(&str, &str)]| {
            cache(|name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            })
        };
        let home = ("HOME", "/home/ada");
        assert_eq!(of(&[home]), Some(PathBuf::from("/home/ada/.cache")));
        assert_eq!(
            of(&[home, ("XDG_CACHE_HOME", "/cache")]),
            Some(PathBuf::from("/cache"))
        );
        assert_eq!(of(&[("XDG_CACHE_HOME", "relative")]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_was_changed_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = write(&dir.path().join("bootstrap"))
            .unwrap()
            .join("sitecustomize.py");
        std::fs::write(&file, "changed").unwrap();
        write(file.parent().unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), SITECUSTOMIZE);
    }
}
