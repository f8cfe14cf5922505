//! What the parent's process decided.

use std::fmt;

use super::{Sampler, SamplingDecision, SamplingParameters, SamplingResult};

/// Does what was decided for the parent; a span without parent is decided by another sampler, as is one
/// whose caller has left the decision open
/// ([`is_sampling_deferred`](crate::SpanContext::is_sampling_deferred)).
///
/// For each kind of parent another sampler can be named (specification, "ParentBased").
///
/// ```
/// use lumitrace::sampler::{AlwaysOn, ParentBased, RateLimited, TraceIdRatio};
/// // A tenth of the own traces; of what others trace, at most a hundred spans a second.
/// let sampler = ParentBased::new(TraceIdRatio::new(0.1))
///     .remote_parent_sampled(RateLimited::per_second(100.0));
/// # let _unused = sampler;
/// ```
pub struct ParentBased<S> {
    root: S,
    remote_sampled: Option<Box<dyn Sampler>>,
    remote_not_sampled: Option<Box<dyn Sampler>>,
    local_sampled: Option<Box<dyn Sampler>>,
    local_not_sampled: Option<Box<dyn Sampler>>,
}

impl<S: Sampler> ParentBased<S> {
    /// Asks `root` for spans without a parent.
    pub fn new(root: S) -> Self {
        Self {
            root,
            remote_sampled: None,
            remote_not_sampled: None,
            local_sampled: None,
            local_not_sampled: None,
        }
    }

    /// Asks `sampler` where the parent is in another process and sampled.
    #[must_use]
    pub fn remote_parent_sampled(mut self, sampler: impl Sampler + 'static) -> Self {
        self.remote_sampled = Some(Box::new(sampler));
        self
    }

    /// Asks `sampler` where the parent is in another process and not sampled.
    #[must_use]
    pub fn remote_parent_not_sampled(mut self, sampler: impl Sampler + 'static) -> Self {
        self.remote_not_sampled = Some(Box::new(sampler));
        self
    }

    /// Asks `sampler` where the parent is in this process and sampled.
    #[must_use]
    pub fn local_parent_sampled(mut self, sampler: impl Sampler + 'static) -> Self {
        self.local_sampled = Some(Box::new(sampler));
        self
    }

    /// Asks `sampler` where the parent is in this process and not sampled.
    #[must_use]
    pub fn local_parent_not_sampled(mut self, sampler: impl Sampler + 'static) -> Self {
        self.local_not_sampled = Some(Box::new(sampler));
        self
    }

    /// The samplers that are asked for spans with a parent.
    fn below(&self) -> impl Iterator<Item = &Box<dyn Sampler>> {
        let named = [
            &self.remote_sampled,
            &self.remote_not_sampled,
            &self.local_sampled,
            &self.local_not_sampled,
        ];
        named.into_iter().flatten()
    }
}

impl<S: Sampler> Sampler for ParentBased<S> {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        let decided = parameters.parent.filter(|it| !it.is_sampling_deferred());
        let Some(parent) = decided else {
            return self.root.should_sample(parameters);
        };
        let chosen = match (parent.is_remote(), parent.is_sampled()) {
            (true, true) => &self.remote_sampled,
            (true, false) => &self.remote_not_sampled,
            (false, true) => &self.local_sampled,
            (false, false) => &self.local_not_sampled,
        };
        match chosen {
            Some(sampler) => sampler.should_sample(parameters),
            None if parent.is_sampled() => SamplingDecision::RecordAndSample.into(),
            None => SamplingDecision::Drop.into(),
        }
    }

    fn reads_attributes(&self) -> bool {
        self.root.reads_attributes() || self.below().any(|sampler| sampler.reads_attributes())
    }

    fn shutdown(&self) {
        self.root.shutdown();
        self.below().for_each(Sampler::shutdown);
    }
}

impl<S: fmt::Debug> fmt::Debug for ParentBased<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentBased")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{parent, root, samples};
    use super::super::{AlwaysOff, AlwaysOn};
    use super::*;
    use crate::SpanContext;

    fn below(sampler: &dyn Sampler, parent: &SpanContext) -> bool {
        samples(
            sampler,
            SamplingParameters {
                parent: Some(parent),
                ..root("work")
            },
        )
    }

    #[test]
    fn c29_the_parents_decision_is_respected_and_only_roots_are_decided() {
        for (sampler, is_root_sampled) in [
            (&ParentBased::new(AlwaysOn) as &dyn Sampler, true),
            (&ParentBased::new(AlwaysOff), false),
        ] {
            assert_eq!(samples(sampler, root("work")), is_root_sampled);
            for (flags, is_sampled) in [(0, false), (1, true), (2, false), (3, true)] {
                assert_eq!(below(sampler, &parent(flags)), is_sampled);
                assert_eq!(below(sampler, &parent(flags).remote()), is_sampled);
            }
        }
    }

    #[test]
    fn each_kind_of_parent_can_have_a_sampler_of_its_own() {
        let contrary: [fn(ParentBased<AlwaysOn>) -> ParentBased<AlwaysOn>; 4] = [
            |sampler| sampler.remote_parent_sampled(AlwaysOff),
            |sampler| sampler.remote_parent_not_sampled(AlwaysOn),
            |sampler| sampler.local_parent_sampled(AlwaysOff),
            |sampler| sampler.local_parent_not_sampled(AlwaysOn),
        ];
        let parents = [parent(1).remote(), parent(0).remote(), parent(1), parent(0)];
        for (changed, change) in contrary.into_iter().enumerate() {
            let sampler = change(ParentBased::new(AlwaysOn));
            for (number, parent) in parents.iter().enumerate() {
                let is_contrary = below(&sampler, parent) != parent.is_sampled();
                assert_eq!(is_contrary, number == changed, "{changed} {number}");
            }
        }
    }

    #[test]
    fn a_decision_that_the_caller_left_open_is_made_as_for_a_root() {
        let caller = parent(0).remote().with_deferred_sampling();
        assert!(below(&ParentBased::new(AlwaysOn), &caller));
        assert!(!below(&ParentBased::new(AlwaysOff), &caller));
    }
}
