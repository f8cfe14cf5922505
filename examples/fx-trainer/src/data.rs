//! Finds and reads the HistData files of a pair, and writes generated ones where there are none.

use std::{
    fs,
    io::{BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::{
    bars::{self, Bar, Dropped, RowError},
    market,
};

/// Files of this prefix were written here; where there are others, they are not read.
const SYNTHETIC_PREFIX: &str = "SYNTHETIC_";
const SYNTHETIC_YEAR: i16 = 2024;

/// Which bars are wanted.
#[derive(Debug, Clone)]
pub struct DataSettings {
    /// Folder with one folder per pair, which holds HistData's `.csv` or `.zip` files.
    pub input_root: PathBuf,
    /// Years to read; all that are there when empty.
    pub years: Vec<i16>,
    /// How many of the newest bars to use, 0 for all; where there are no files, so many are
    /// generated per year.
    pub bars: usize,
    /// Seed of generated bars.
    pub seed: u64,
    /// Whether to go on after a row that cannot be read.
    pub skip_bad_rows: bool,
}

/// A row that is not a bar.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}, line {line}: {reason}", file.display())]
pub struct BadRow {
    /// The file it stands in.
    pub file: PathBuf,
    /// Its line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: RowError,
}

/// The files of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairFiles {
    /// What to read.
    pub paths: Vec<PathBuf>,
    /// Whether the bars in them are generated.
    pub synthetic: bool,
    /// Those that [`find_or_generate`] has just written.
    pub written: Vec<PathBuf>,
}

/// The bars of a pair, and what became of the rest.
#[derive(Debug, Clone, Default)]
pub struct PairBars {
    /// The usable bars, oldest first.
    pub bars: Vec<Bar>,
    /// Rows that could not be read.
    pub bad_rows: Vec<BadRow>,
    /// Bars that were read and dropped.
    pub dropped: Dropped,
}

/// The files to read for `pair`; where there are none, generated bars are written first. The name
/// of such a file holds seed and count, so that other settings never reuse it.
///
/// # Errors
/// When a year that is asked for is missing, or the folder cannot be read or written.
pub fn find_or_generate(pair: &str, settings: &DataSettings) -> Result<PairFiles> {
    let folder = settings.input_root.join(pair);
    let found = find_files(&folder)?;
    if !found.is_empty() {
        let paths = files_of_years(found, &settings.years, &folder)?;
        return Ok(PairFiles {
            paths,
            synthetic: false,
            written: Vec::new(),
        });
    }
    ensure!(
        settings.bars > 0,
        "there are no bars of {pair} in {}; say with --bars how many to generate",
        folder.display()
    );
    let mut files = PairFiles {
        paths: Vec::new(),
        synthetic: true,
        written: Vec::new(),
    };
    let default_year = [SYNTHETIC_YEAR];
    let years = if settings.years.is_empty() {
        &default_year[..]
    } else {
        &settings.years
    };
    for &year in years {
        let DataSettings { seed, bars, .. } = settings;
        let pair_name = pair.to_ascii_uppercase();
        let name = format!("{SYNTHETIC_PREFIX}{pair_name}_SEED{seed}_BARS{bars}_M1_{year}.csv");
        let path = folder.join(name);
        if !path.exists() {
            write_synthetic(&path, &folder, pair, year, settings)
                .with_context(|| format!("cannot write generated bars to {}", path.display()))?;
            files.written.push(path.clone());
        }
        files.paths.push(path);
    }
    Ok(files)
}

fn write_synthetic(
    path: &Path,
    folder: &Path,
    pair: &str,
    year: i16,
    settings: &DataSettings,
) -> Result<()> {
    let zone = bars::central_time()?;
    let bars = market::simulate(pair, year, settings.bars, settings.seed, &zone)?;
    fs::create_dir_all(folder)?;
    // A half-written file would be taken for data by the next run.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut out = BufWriter::new(file.as_file_mut());
    for bar in &bars {
        writeln!(
            out,
            "{}",
            bars::format_row(bar, &zone, market::decimals(pair))
        )?;
    }
    out.flush()?;
    drop(out);
    file.persist(path)?;
    Ok(())
}

/// Reads and cleans the bars of the files, and keeps the newest.
///
/// # Errors
/// A file that cannot be opened; a row that cannot be read, unless bad rows are to be skipped,
/// which lists them instead; no usable bar.
pub fn load(paths: &[PathBuf], settings: &DataSettings) -> Result<PairBars> {
    let zone = bars::central_time()?;
    let mut loaded = PairBars::default();
    let mut bars = Vec::new();
    for path in paths {
        read_file(path, &zone, &mut bars, &mut loaded.bad_rows)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    if let Some(bad) = loaded.bad_rows.first().filter(|_| !settings.skip_bad_rows) {
        let count = loaded.bad_rows.len();
        return Err(anyhow::Error::from(bad.clone()).context(format!(
            "{count} bad rows; mend them or go on with --skip-bad-rows"
        )));
    }
    (loaded.bars, loaded.dropped) = bars::clean(bars);
    ensure!(
        !loaded.bars.is_empty(),
        "no usable bar in {paths:?}: {} bad rows, {}",
        loaded.bad_rows.len(),
        loaded.dropped
    );
    if settings.bars > 0 {
        loaded
            .bars
            .drain(..loaded.bars.len().saturating_sub(settings.bars));
    }
    Ok(loaded)
}

/// The `.csv` and `.zip` files of a folder that were not written by this program, by name.
fn find_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let list = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let mut files = list().with_context(|| format!("cannot list {}", folder.display()))?;
    files.retain(|path| {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (extension == "csv" || extension == "zip") && !name.starts_with(SYNTHETIC_PREFIX)
    });
    files.sort();
    Ok(files)
}

fn files_of_years(files: Vec<PathBuf>, years: &[i16], folder: &Path) -> Result<Vec<PathBuf>> {
    if years.is_empty() {
        return Ok(files);
    }
    for year in years {
        ensure!(
            files.iter().any(|path| year_of(path) == Some(*year)),
            "no file for --years {year} in {}; there are: {files:?}",
            folder.display()
        );
    }
    let wanted = |path: &PathBuf| year_of(path).is_some_and(|year| years.contains(&year));
    Ok(files.into_iter().filter(wanted).collect())
}

/// The year in a name such as `DAT_ASCII_GBPUSD_M1_2024.csv`; a month after it (`202403`) is
/// HistData's name for a part of the year.
fn year_of(path: &Path) -> Option<i16> {
    let stem = path.file_stem()?.to_str()?;
    let (_, period) = stem.rsplit_once("M1")?;
    period.trim_start_matches('_').get(..4)?.parse().ok()
}

fn read_file(
    path: &Path,
    zone: &TimeZone,
    bars: &mut Vec<Bar>,
    bad_rows: &mut Vec<BadRow>,
) -> Result<()> {
    let file = fs::File::open(path)?;
    if path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
    {
        return read_rows(BufReader::new(file), path, zone, bars, bad_rows);
    }
    let mut archive = zip::ZipArchive::new(BufReader::new(file))?;
    let name = archive
        .file_names()
        .filter_map(Result::ok)
        .find(|name| name.to_ascii_lowercase().ends_with(".csv"))
        .context("the archive holds no .csv file")?
        .into_owned();
    read_rows(
        BufReader::new(archive.by_name(&name)?),
        path,
        zone,
        bars,
        bad_rows,
    )
}

fn read_rows(
    mut rows: impl BufRead,
    path: &Path,
    zone: &TimeZone,
    bars: &mut Vec<Bar>,
    bad_rows: &mut Vec<BadRow>,
) -> Result<()> {
    let mut row = Vec::new();
    for line in 1.. {
        row.clear();
        if rows.read_until(b'\n', &mut row)? == 0 {
            break;
        }
        // A byte that is not UTF-8 becomes a sign that no number or time contains.
        let text = String::from_utf8_lossy(&row);
        if text.trim().is_empty() {
            continue;
        }
        match bars::parse_row(&text, zone) {
            Ok(bar) => bars.push(bar),
            Err(reason) => bad_rows.push(BadRow {
                file: path.to_path_buf(),
                line,
                reason,
            }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(root: &Path) -> DataSettings {
        let input_root = root.to_path_buf();
        DataSettings {
            input_root,
            years: Vec::new(),
            bars: 40,
            seed: 7,
            skip_bad_rows: false,
        }
    }

    const GOOD: &str = "20240102 170000;1.1;1.2;1.0;1.1;0\n20240102 170100;1.1;1.2;1.0;1.1;0\n";

    #[test]
    fn where_there_is_no_file_bars_are_written_once_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        let settings = settings(root.path());
        let files = find_or_generate("gbpusd", &settings).unwrap();
        assert!(files.paths[0].ends_with("gbpusd/SYNTHETIC_GBPUSD_SEED7_BARS40_M1_2024.csv"));
        assert_eq!((files.synthetic, &files.written), (true, &files.paths));
        let loaded = load(&files.paths, &settings).unwrap();
        assert_eq!(loaded.dropped.total() + loaded.bad_rows.len(), 0);
        let zone = bars::central_time().unwrap();
        assert_eq!(
            loaded.bars,
            market::simulate("gbpusd", 2024, 40, 7, &zone).unwrap()
        );
        let again = find_or_generate("gbpusd", &settings).unwrap();
        assert_eq!(
            (again.paths, again.written),
            (files.paths.clone(), Vec::new())
        );
        let other = find_or_generate(
            "gbpusd",
            &DataSettings {
                seed: 8,
                ..settings
            },
        )
        .unwrap();
        assert_ne!(
            other.paths, files.paths,
            "other settings do not reuse the file"
        );
    }

    #[test]
    fn a_bad_row_is_named_by_file_line_and_reason_and_the_rest_goes_on_if_asked_to() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("DAT_ASCII_GBPUSD_M1_2024.csv");
        let mut content = GOOD.as_bytes().to_vec();
        content.extend(b"\n20240102 170200;1.1;1.2;one;1.1;0\n\xff\xfe\n20240102 170300;1;1;1;1;0");
        fs::write(&file, content).unwrap();
        let paths = [file.clone()];
        let mut settings = settings(root.path());
        let error = format!("{:#}", load(&paths, &settings).unwrap_err());
        assert!(error.starts_with("2 bad rows"), "{error}");
        assert!(
            error.contains("M1_2024.csv, line 4: low is \"one\", not a number"),
            "{error}"
        );
        settings.skip_bad_rows = true;
        let loaded = load(&paths, &settings).unwrap();
        assert_eq!(loaded.bars.len(), 3);
        let reason = RowError::Number {
            field: "low",
            text: "one".into(),
        };
        assert_eq!(
            loaded.bad_rows[0],
            BadRow {
                file,
                line: 4,
                reason
            }
        );
        assert_eq!((loaded.bad_rows[1].line, loaded.bad_rows.len()), (5, 2));
    }

    #[test]
    fn a_file_without_a_usable_row_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("DAT_ASCII_GBPUSD_M1_2024.csv");
        fs::write(&file, "a,b\n20240102 170300;1;0;2;1;0\n").unwrap();
        let settings = DataSettings {
            skip_bad_rows: true,
            ..settings(root.path())
        };
        let error = load(&[file], &settings).unwrap_err().to_string();
        assert!(
            error.contains("1 bad rows, 0 with NaN, 0 duplicate, 1 impossible"),
            "{error}"
        );
    }

    #[test]
    fn archives_and_years_are_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("gbpusd");
        fs::create_dir(&folder).unwrap();
        let archive =
            fs::File::create(folder.join("HISTDATA_COM_ASCII_GBPUSD_M12023.zip")).unwrap();
        let mut archive = zip::ZipWriter::new(archive);
        let options = zip::write::SimpleFileOptions::default();
        archive
            .start_file("DAT_ASCII_GBPUSD_M1_2023.csv", options)
            .unwrap();
        archive
            .write_all(b"20230102 170000;1.1;1.2;1.0;1.1;0\n")
            .unwrap();
        archive.finish().unwrap();
        fs::write(folder.join("DAT_ASCII_GBPUSD_M1_202401.csv"), GOOD).unwrap();
        fs::write(
            folder.join("SYNTHETIC_GBPUSD_SEED7_BARS9_M1_2024.csv"),
            "not read",
        )
        .unwrap();

        let read = |years: &[i16]| {
            let settings = DataSettings {
                years: years.to_vec(),
                ..settings(root.path())
            };
            find_or_generate("gbpusd", &settings).and_then(|files| load(&files.paths, &settings))
        };
        assert_eq!(read(&[]).unwrap().bars.len(), 3);
        assert_eq!(read(&[2023]).unwrap().bars.len(), 1);
        assert_eq!(read(&[2024]).unwrap().bars.len(), 2);
        let error = read(&[2024, 1999]).unwrap_err().to_string();
        assert!(error.contains("no file for --years 1999"), "{error}");
    }

    #[test]
    fn only_the_newest_bars_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("DAT_ASCII_GBPUSD_M1_2024.csv");
        fs::write(&file, GOOD).unwrap();
        let count = |bars| {
            let settings = DataSettings {
                bars,
                ..settings(root.path())
            };
            load(std::slice::from_ref(&file), &settings)
                .unwrap()
                .bars
                .len()
        };
        assert_eq!((count(1), count(2), count(3), count(0)), (1, 2, 2, 2));
    }
}
