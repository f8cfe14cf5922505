//! Checkpoints: the parameters of the best epochs, as safetensors, written whole or not at all.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::model::ForecastModel;

/// Keeps the newest and the best epochs of a training on disk: for `gbpusd.safetensors` the epochs
/// are `gbpusd.epoch-0001.safetensors` and so on, and `gbpusd.safetensors` itself is the best.
#[derive(Debug)]
pub struct Checkpoints {
    best_path: PathBuf,
    top_n: usize,
    /// Validation loss and file of each epoch on disk, the best first.
    kept: Vec<(f64, PathBuf)>,
}

/// The file of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// Where it lies.
    pub path: PathBuf,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// Whether this epoch is the best so far.
    pub is_best: bool,
}

impl Checkpoints {
    /// Keeps the best `top_n` epochs and the newest.
    pub fn new(best_path: PathBuf, top_n: usize) -> Self {
        Self {
            best_path,
            top_n,
            kept: Vec::new(),
        }
    }

    /// Where the best epoch lies.
    pub fn best_path(&self) -> &Path {
        &self.best_path
    }

    /// Writes the model of `epoch`, and removes what is no longer among the best or the newest.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&mut self, model: &ForecastModel, epoch: usize, val_loss: f64) -> Result<Saved> {
        let path = self.epoch_path(epoch);
        let size_bytes = write(model, &path)?;
        // Whatever its sign bit, a NaN is the worst.
        let val_loss = if val_loss.is_nan() {
            f64::INFINITY
        } else {
            val_loss
        };
        let is_best = self.kept.first().is_none_or(|(best, _)| val_loss < *best);
        if is_best {
            write(model, &self.best_path)?;
        }
        self.kept.push((val_loss, path.clone()));
        self.kept.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (best, rest) = self.kept.split_at(self.top_n.min(self.kept.len()));
        let mut kept = best.to_vec();
        for (val_loss, file) in rest {
            if *file == path {
                kept.push((*val_loss, file.clone()));
            } else {
                fs::remove_file(file)
                    .with_context(|| format!("cannot remove the checkpoint {}", file.display()))?;
            }
        }
        self.kept = kept;
        Ok(Saved {
            path,
            size_bytes,
            is_best,
        })
    }

    /// Gives the model the parameters of the best epoch.
    ///
    /// # Errors
    /// When none was saved, or its file cannot be read back.
    pub fn restore_best(&self, model: &ForecastModel) -> Result<()> {
        model
            .parameters()
            .clone()
            .load(&self.best_path)
            .with_context(|| format!("cannot read the checkpoint {}", self.best_path.display()))
    }

    fn epoch_path(&self, epoch: usize) -> PathBuf {
        let stem = self
            .best_path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy();
        let extension = self
            .best_path
            .extension()
            .unwrap_or_default()
            .to_string_lossy();
        self.best_path
            .with_file_name(format!("{stem}.epoch-{epoch:04}.{extension}"))
    }
}

/// Writes the parameters and returns the size of the file in bytes. safetensors writes a new file
/// and puts it in the place of the old one; the sync makes the content survive a power cut.
fn write(model: &ForecastModel, path: &Path) -> Result<u64> {
    let write = || -> Result<u64> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::create_dir_all(folder)?;
        let path = folder.join(path.file_name().unwrap_or_default());
        model.parameters().save(&path)?;
        let file = fs::File::open(&path)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    };
    write().with_context(|| {
        format!(
            "cannot write the checkpoint {}; choose another --checkpoint-path",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Mode,
        tasks::{Task, heads},
    };
    use candle_core::{DType, Device, Tensor};

    fn model(seed: u64) -> ForecastModel {
        ForecastModel::new(4, &heads(&[Task::Direction], 3), seed).unwrap()
    }

    fn output(model: &ForecastModel) -> Vec<Vec<f32>> {
        let inputs = Tensor::ones((1, 6, 4), DType::F32, &Device::Cpu).unwrap();
        model.forward(&inputs, Mode::Evaluate).unwrap()[0]
            .to_vec2()
            .unwrap()
    }

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_best_and_the_newest_are_kept_and_the_best_is_restored() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpoints::new(folder.path().join("new/gbpusd.safetensors"), 2);
        for (epoch, val_loss) in [(1, 0.5), (2, 0.4), (3, 0.45), (4, f64::NAN), (5, 0.6)] {
            let saved = checkpoints
                .save(&model(epoch as u64), epoch, val_loss)
                .unwrap();
            assert_eq!(saved.is_best, epoch <= 2);
            assert!(saved.size_bytes > 1000);
        }
        let kept = [
            "gbpusd.epoch-0002",
            "gbpusd.epoch-0003",
            "gbpusd.epoch-0005",
            "gbpusd",
        ];
        let kept = kept.map(|name| format!("{name}.safetensors"));
        assert_eq!(files(&folder.path().join("new")), kept);
        let other = model(9);
        assert_ne!(output(&other), output(&model(2)));
        checkpoints.restore_best(&other).unwrap();
        assert_eq!(output(&other), output(&model(2)));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let path = folder.path().join("file/gbpusd.safetensors");
        let error = Checkpoints::new(path, 1)
            .save(&model(1), 1, 0.5)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("file/gbpusd.epoch-0001.safetensors"),
            "{error}"
        );
        assert!(error.contains("--checkpoint-path"), "{error}");
    }
}
