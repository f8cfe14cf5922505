//! Questions about training runs.

use lumitrace_model::SpanId;
use lumitrace_store::{Damaged, QueryBudget};

use super::live::OpenRun;
use super::{QueryEngine, QueryError, found_or_left_out};
use crate::series::{Series, thin};
use crate::training::{BatchPage, RunId, RunQuery, RunSummary, RunView};

/// An answer, as far as what it needs can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Readable<T> {
    /// The answer.
    pub answer: T,
    /// Damage that was met: something of the answer may be missing for it.
    pub damaged: Damaged,
}

impl QueryEngine {
    /// Training runs, newest first.
    ///
    /// The first call reads what blocks keep of runs, and the spans of services that train where nothing is
    /// kept, unless [`QueryEngine::warm_up`] has; later ones read nothing, or after
    /// [`QueryEngine::lagged`] what was missed. What is read is for all, and read to its end; the budget
    /// limits how long others wait for that.
    ///
    /// # Errors
    /// When the store cannot be read, or the budget is exhausted.
    pub fn runs(
        &self,
        query: &RunQuery,
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<Readable<Vec<RunSummary>>, QueryError> {
        let (answer, damaged) = self.runs.list(query, budget, now_unix_nano)?;
        Ok(Readable { answer, damaged })
    }

    /// All of one run but its curves' points; `None` if there is no such run.
    ///
    /// The first call for a run reads what blocks keep of it, and its spans where they keep nothing; later
    /// ones read nothing while it stays cached.
    ///
    /// # Errors
    /// When the store cannot be read, or no such run was found where it can and a block is damaged; or the
    /// budget is exhausted.
    pub fn run(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<Option<Readable<RunView>>, QueryError> {
        let run = self.open_run(run_id, budget)?;
        Ok(run.map(|run| {
            let (mut fold, revision) = run.fold();
            run.readable(fold.view(run.run_id, revision, now_unix_nano))
        }))
    }

    /// The revision of one run without computing its view; `None` if there is no such run.
    ///
    /// # Errors
    /// As [`QueryEngine::run`].
    pub fn run_revision(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
    ) -> Result<Option<u64>, QueryError> {
        let run = self.open_run(run_id, budget)?;
        Ok(run.map(|run| run.revision()))
    }

    /// Curves of a run by name, each thinned to at most `max_points` (at least
    /// [`FEWEST_POINTS`](crate::series::FEWEST_POINTS)); `None` if there is no such run. Names that
    /// the run does not have are left out; no names means all.
    ///
    /// # Errors
    /// As [`QueryEngine::run`].
    pub fn run_series(
        &self,
        run_id: RunId,
        names: &[String],
        max_points: usize,
        budget: &QueryBudget,
    ) -> Result<Option<Readable<Vec<Series>>>, QueryError> {
        let Some(run) = self.open_run(run_id, budget)? else {
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
        Ok(Some(run.readable(series)))
    }

    /// Copies the spans of all traces of a run into the archive, and says how many were not there
    /// yet; `None` if there is no such run. What comes of it later is archived when asked again. What is
    /// damaged is left out, as the answer says.
    ///
    /// # Errors
    /// As [`QueryEngine::run`], or when the archive cannot be written. What was copied by then stays.
    pub fn archive_run(
        &self,
        run_id: RunId,
        budget: &QueryBudget,
    ) -> Result<Option<Readable<usize>>, QueryError> {
        let found = self.runs.trace_ids(run_id, budget)?;
        let Some((trace_ids, mut damaged)) = found_or_left_out(found, &self.runs.damaged())? else {
            return Ok(None);
        };
        let mut copied_spans = 0;
        for trace_id in trace_ids {
            budget.check()?;
            let archived = self.store.archive_trace(trace_id, &budget.part())?;
            copied_spans += archived.copied_spans;
            damaged.extend(archived.damaged);
        }
        Ok(Some(Readable {
            answer: copied_spans,
            damaged,
        }))
    }

    /// A page of the batches of an epoch, which `epoch_span_id` of its view names; `None` if there
    /// is no such run or epoch.
    ///
    /// # Errors
    /// As [`QueryEngine::run`].
    pub fn run_batches(
        &self,
        run_id: RunId,
        epoch_span_id: SpanId,
        (offset, limit): (usize, usize),
        budget: &QueryBudget,
        now_unix_nano: u64,
    ) -> Result<Option<Readable<BatchPage>>, QueryError> {
        let Some(run) = self.open_run(run_id, budget)? else {
            return Ok(None);
        };
        let (fold, _) = run.fold();
        let page = fold.batch_page(epoch_span_id, (offset, limit), now_unix_nano);
        let page = found_or_left_out(page, &run.damaged)?;
        Ok(page.map(|page| run.readable(page)))
    }

    fn open_run(&self, run_id: RunId, budget: &QueryBudget) -> Result<Option<OpenRun>, QueryError> {
        let run = self.runs.open(run_id, budget)?;
        found_or_left_out(run, &self.runs.damaged())
    }
}

impl OpenRun {
    fn readable<T>(&self, answer: T) -> Readable<T> {
        Readable {
            answer,
            damaged: Damaged::clone(&self.damaged),
        }
    }
}
