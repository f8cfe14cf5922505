//! Questions about training runs.

use lumitrace_model::SpanId;
use lumitrace_store::QueryBudget;

use super::{QueryEngine, QueryError};
use crate::series::{Series, thin};
use crate::training::{BatchPage, RunId, RunQuery, RunSummary, RunView};

impl QueryEngine {
    /// Training runs, newest first.
    ///
    /// The first call reads what blocks keep of runs, and the spans of services that train where nothing is
    /// kept, unless [`QueryEngine::warm_up`] has; later ones read nothing, or after
    /// [`QueryEngine::lagged`] what was missed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn runs(
        &self,
        query: &RunQuery,
        now_unix_nano: u64,
    ) -> Result<Vec<RunSummary>, QueryError> {
        Ok(self.runs.list(query, now_unix_nano)?)
    }

    /// All of one run but its curves' points; `None` if there is no such run.
    ///
    /// The first call for a run reads what blocks keep of it, and its spans where they keep nothing; later
    /// ones read nothing while it stays cached.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run(&self, run_id: RunId, now_unix_nano: u64) -> Result<Option<RunView>, QueryError> {
        let run = self.runs.open(run_id)?;
        Ok(run.map(|run| {
            let (mut fold, revision) = run.fold();
            fold.view(run.run_id, revision, now_unix_nano)
        }))
    }

    /// The revision of one run without computing its view; `None` if there is no such run.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_revision(&self, run_id: RunId) -> Result<Option<u64>, QueryError> {
        Ok(self.runs.open(run_id)?.map(|run| run.revision()))
    }

    /// Curves of a run by name, each thinned to at most `max_points` (at least
    /// [`FEWEST_POINTS`](crate::series::FEWEST_POINTS)); `None` if there is no such run. Names that
    /// the run does not have are left out; no names means all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_series(
        &self,
        run_id: RunId,
        names: &[String],
        max_points: usize,
    ) -> Result<Option<Vec<Series>>, QueryError> {
        let Some(run) = self.runs.open(run_id)? else {
            return Ok(None);
        };
        let mut series = Vec::new();
        run.fold().0.visit_curves(names, &mut |curve| {
            series.push(Series {
                points: thin(&curve.points, max_points),
                name: curve.name,
                x: curve.x,
            });
        });
        Ok(Some(series))
    }

    /// Copies the spans of all traces of a run into the archive, and says how many were not there
    /// yet; `None` if there is no such run. What comes of it later is archived when asked again.
    ///
    /// # Errors
    /// When the store cannot be read, or the archive not be written. What was copied by then stays.
    pub fn archive_run(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
    ) -> Result<Option<usize>, QueryError> {
        let Some(trace_ids) = self.runs.trace_ids(run_id)? else {
            return Ok(None);
        };
        let mut copied = 0;
        for trace_id in trace_ids {
            budget.check()?;
            copied += self.store.archive_trace(trace_id)?;
        }
        Ok(Some(copied))
    }

    /// A page of the batches of an epoch, which `epoch_span_id` of its view names; `None` if there
    /// is no such run or epoch.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn run_batches(
        &self,
        run_id: RunId,
        epoch_span_id: SpanId,
        offset: usize,
        limit: usize,
        now_unix_nano: u64,
    ) -> Result<Option<BatchPage>, QueryError> {
        let Some(run) = self.runs.open(run_id)? else {
            return Ok(None);
        };
        let (fold, _) = run.fold();
        Ok(fold.batch_page(epoch_span_id, (offset, limit), now_unix_nano))
    }
}
