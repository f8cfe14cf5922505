//! Jobs of several processes: which one this process is of, and what they have in common.
//!
//! A launcher (torchrun, SLURM, Ray, Kubernetes) starts one process for each rank, and tells each in
//! environment variables who it is. Where these also tell which job it is, all ranks make the same
//! trace id of that, each by itself: one trace over all ranks, and no message between them.
//!
//! | launcher | rank and number of ranks | what tells the job |
//! |---|---|---|
//! | torchrun | `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`, `GROUP_RANK` | on one node the agent that started the ranks; on several `TORCHELASTIC_RUN_ID` (unless it is `none`) with `MASTER_ADDR` and `MASTER_PORT` |
//! | SLURM (`srun`) | `SLURM_PROCID`, `SLURM_NTASKS`, `SLURM_LOCALID`, `SLURM_NODEID` | `SLURM_CLUSTER_NAME`, `SLURM_JOB_ID`, `SLURM_STEP_ID`, `SLURM_RESTART_COUNT` |
//! | Ray Train | as torchrun, `NODE_RANK` | `RAY_JOB_ID` with `MASTER_ADDR` and `MASTER_PORT` |
//! | Kubernetes | as torchrun, or `JOB_COMPLETION_INDEX` | `KUBEFLOW_TRAINING_JOB_ID` |
//!
//! `LUMITRACE_JOB_ID` stands above all of them: a text that is the same in all ranks of a job, and in
//! no other job.

use lumitrace_model::{KeyValue, TraceId, names};
use uuid::Uuid;

/// Who starts the processes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// PyTorch's `torchrun`, alone or within a job of another launcher.
    Torchrun,
    /// SLURM's `srun`.
    Slurm,
    /// Ray Train.
    Ray,
    /// A training operator or an indexed job of Kubernetes.
    Kubernetes,
    /// Someone who sets `RANK` and `WORLD_SIZE`, or the program itself.
    Other,
}

impl Launcher {
    /// Its name, as it stands in the attribute `job.launcher`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torchrun => "torchrun",
            Self::Slurm => "slurm",
            Self::Ray => "ray",
            Self::Kubernetes => "kubernetes",
            Self::Other => "other",
        }
    }
}

/// This process's part in a job of several processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Who started it.
    pub launcher: Launcher,
    /// Which process of the job this one is, from 0.
    pub rank: u32,
    /// How many processes the job has.
    pub world_size: u32,
    /// Which of the processes on its node.
    pub local_rank: Option<u32>,
    /// How many processes its node has.
    pub local_world_size: Option<u32>,
    /// Which node of the job.
    pub node_rank: Option<u32>,
    /// The trace that the job's processes share, where something tells this job from all others.
    pub trace_id: Option<TraceId>,
}

impl Job {
    /// The job that the environment of this process tells of.
    ///
    /// ```
    /// if let Some(job) = lumitrace::distributed::Job::detect() {
    ///     println!("rank {} of {}", job.rank, job.world_size);
    /// }
    /// ```
    pub fn detect() -> Option<Self> {
        Self::from_lookup(|name| std::env::var(name).ok(), parent_process)
    }

    /// The job of a process that knows its rank itself, as one does that its parent started with the
    /// others of the job.
    pub fn of_siblings(rank: u32, world_size: u32) -> Option<Self> {
        let mut identity = Identity::default();
        identity.add("parent", parent_process());
        for name in ["MASTER_ADDR", "MASTER_PORT"] {
            identity.add(name, std::env::var(name).ok());
        }
        let is_known = identity.has("parent") && world_size > 1;
        (rank < world_size).then(|| Self {
            launcher: Launcher::Other,
            rank,
            world_size,
            local_rank: None,
            local_world_size: None,
            node_rank: None,
            trace_id: is_known.then(|| identity.trace_id()),
        })
    }

    /// The job that variables tell of. `parent` is what tells the process that started this one from
    /// all others.
    fn from_lookup(
        lookup: impl Fn(&str) -> Option<String>,
        parent: impl FnOnce() -> Option<String>,
    ) -> Option<Self> {
        let text = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let number = |name: &str| text(name)?.trim().parse::<u32>().ok();
        let is_step = text("SLURM_STEP_ID").is_some();
        // Whoever stands nearer to the process says which rank it is.
        let places = if text("RANK").is_some() {
            ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"]
        } else if is_step {
            ["SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", ""]
        } else {
            ["JOB_COMPLETION_INDEX", "WORLD_SIZE", "", ""]
        };
        let [rank, world_size, local_rank, local_world_size] = places.map(number);
        let (rank, world_size) = (rank?, world_size?);
        if rank >= world_size {
            return None;
        }
        let is_kubernetes = ["JOB_COMPLETION_INDEX", "KUBEFLOW_TRAINING_JOB_ID"]
            .iter()
            .any(|name| text(name).is_some());
        let launcher = match () {
            () if text("TORCHELASTIC_RUN_ID").is_some() => Launcher::Torchrun,
            () if text("RAY_JOB_ID").is_some() => Launcher::Ray,
            () if is_kubernetes => Launcher::Kubernetes,
            () if is_step => Launcher::Slurm,
            () => Launcher::Other,
        };
        let nodes = ["GROUP_RANK", "NODE_RANK", "SLURM_NODEID"];
        let trace_id = (world_size > 1)
            .then(|| job_trace_id(text, parent))
            .flatten();
        Some(Self {
            launcher,
            rank,
            world_size,
            local_rank,
            local_world_size,
            node_rank: nodes.into_iter().find_map(number),
            trace_id,
        })
    }

    /// What it says of the process: `rank`, `world_size`, `local_rank`, `local_world_size`,
    /// `node_rank`, `job.launcher`, and the job's `run.id`.
    pub fn attributes(&self) -> Vec<KeyValue> {
        let numbers = [
            (names::RANK, Some(self.rank)),
            (names::WORLD_SIZE, Some(self.world_size)),
            ("local_rank", self.local_rank),
            ("local_world_size", self.local_world_size),
            ("node_rank", self.node_rank),
        ];
        let mut attributes: Vec<_> = numbers
            .into_iter()
            .filter_map(|(key, number)| Some(KeyValue::new(key, number?)))
            .collect();
        attributes.push(KeyValue::new("job.launcher", self.launcher.name()));
        if let Some(trace_id) = self.trace_id {
            attributes.push(KeyValue::new(names::RUN_ID, trace_id.to_string()));
        }
        attributes
    }
}

/// The trace of a job, if the variables tell it from all other jobs.
fn job_trace_id(
    text: impl Fn(&str) -> Option<String>,
    parent: impl FnOnce() -> Option<String>,
) -> Option<TraceId> {
    let mut identity = Identity::default();
    if let Some(given) = text("LUMITRACE_JOB_ID") {
        identity.add("LUMITRACE_JOB_ID", Some(given));
        return Some(identity.trace_id());
    }
    // Whatever all ranks have in common may be added: it can only tell more jobs apart.
    for name in [
        "SLURM_CLUSTER_NAME",
        "SLURM_JOB_ID",
        "SLURM_STEP_ID",
        "SLURM_RESTART_COUNT",
        "RAY_JOB_ID",
        "KUBEFLOW_TRAINING_JOB_ID",
        "TORCHELASTIC_RUN_ID",
        "MASTER_ADDR",
        "MASTER_PORT",
    ] {
        identity.add(name, text(name));
    }
    // People use one id of a rendezvous again and again, and `none` is its default.
    let is_torchrun = identity.has("TORCHELASTIC_RUN_ID");
    let has_run_id = is_torchrun && text("TORCHELASTIC_RUN_ID").as_deref() != Some("none");
    if is_torchrun && text("GROUP_WORLD_SIZE").as_deref() == Some("1") {
        identity.add("agent", parent());
    }
    let tells = ["RAY_JOB_ID", "KUBEFLOW_TRAINING_JOB_ID", "agent"];
    let is_known = tells.into_iter().any(|name| identity.has(name))
        || (identity.has("SLURM_JOB_ID") && identity.has("SLURM_STEP_ID"))
        || has_run_id;
    is_known.then(|| identity.trace_id())
}

/// What tells a job from all others.
#[derive(Default)]
struct Identity(Vec<(&'static str, String)>);

impl Identity {
    fn add(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| (name, value)));
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == name)
    }

    /// The same for the same parts, in every release: a UUID of version 5 (RFC 9562).
    fn trace_id(&self) -> TraceId {
        /// Random, and never to be changed.
        const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_39b1_9c1e_4b55_8a64_27e0_5f3c_d112);
        let parts = self.0.iter();
        let name: String = parts
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        TraceId::from_bytes(Uuid::new_v5(&NAMESPACE, name.as_bytes()).into_bytes())
    }
}

/// The process that started this one, told from all that ever had or will have its number; `None`
/// where the system does not say.
fn parent_process() -> Option<String> {
    #[cfg(unix)]
    {
        let parent = std::os::unix::process::parent_id();
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let status = std::fs::read_to_string(format!("/proc/{parent}/stat")).ok()?;
        let host = gethostname::gethostname();
        let started = start_time(&status)?;
        Some(format!(
            "{} {} {parent} {started}",
            host.to_string_lossy(),
            boot.trim()
        ))
    }
    #[cfg(not(unix))]
    None
}

/// The start time in `/proc/PID/stat`: the 22nd field; the second one, the program's name, stands in
/// parentheses and may hold anything.
#[cfg(unix)]
fn start_time(status: &str) -> Option<&str> {
    let (_, after_name) = status.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Option<Job> {
        job_below(variables, "agent 1")
    }

    fn job_below(variables: &[(&str, &str)], parent: &str) -> Option<Job> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Job::from_lookup(lookup, || Some(parent.to_owned()))
    }

    fn torchrun(rank: &'static str, nodes: &'static str) -> Vec<(&'static str, &'static str)> {
        vec![
            ("RANK", rank),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "2"),
            ("GROUP_RANK", "1"),
            ("GROUP_WORLD_SIZE", nodes),
            ("TORCHELASTIC_RUN_ID", "none"),
            ("MASTER_ADDR", "node-0"),
            ("MASTER_PORT", "29500"),
        ]
    }

    fn with(
        variables: Vec<(&'static str, &'static str)>,
        name: &'static str,
        value: &'static str,
    ) -> Vec<(&'static str, &'static str)> {
        let others = variables.into_iter().filter(|(known, _)| *known != name);
        others.chain([(name, value)]).collect()
    }

    #[test]
    fn a_process_alone_has_no_job() {
        assert_eq!(job(&[]), None);
        assert_eq!(job(&[("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "8")]), None);
        for broken in ["", "x", "-1", "4"] {
            assert_eq!(job(&[("RANK", broken), ("WORLD_SIZE", "4")]), None);
        }
    }

    #[test]
    fn torchrun_on_one_node_is_told_by_its_agent() {
        let first = job(&torchrun("0", "1")).unwrap();
        assert_eq!((first.launcher, first.rank), (Launcher::Torchrun, 0));
        assert_eq!((first.world_size, first.local_world_size), (4, Some(2)));
        assert_eq!((first.local_rank, first.node_rank), (Some(1), Some(1)));
        let other_rank = job(&torchrun("3", "1")).unwrap();
        assert_eq!(first.trace_id, other_rank.trace_id);
        assert!(first.trace_id.is_some());
        let other_run = job_below(&torchrun("0", "1"), "agent 2").unwrap();
        assert_ne!(first.trace_id, other_run.trace_id);
    }

    #[test]
    fn torchrun_on_several_nodes_is_told_by_its_rendezvous_and_only_by_one_that_tells() {
        let unnamed = torchrun("0", "2");
        assert_eq!(job(&unnamed).unwrap().trace_id, None);
        let named = with(unnamed, "TORCHELASTIC_RUN_ID", "456");
        let here = job_below(&named, "agent 1").unwrap().trace_id;
        assert!(here.is_some());
        let on_another_node = job_below(&named, "agent 2").unwrap().trace_id;
        assert_eq!(here, on_another_node);
        // The port of a rendezvous is another one at each run.
        let again = with(named, "MASTER_PORT", "41234");
        assert_ne!(here, job(&again).unwrap().trace_id);
    }

    #[test]
    fn slurm_is_told_by_job_and_step() {
        let step = vec![
            ("SLURM_JOB_ID", "4711"),
            ("SLURM_STEP_ID", "0"),
            ("SLURM_PROCID", "5"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_NODEID", "2"),
        ];
        let job_of_step = job(&step).unwrap();
        assert_eq!(job_of_step.launcher, Launcher::Slurm);
        assert_eq!((job_of_step.rank, job_of_step.world_size), (5, 8));
        assert_eq!(job_of_step.local_rank, Some(1));
        assert_eq!(job_of_step.node_rank, Some(2));
        let next_step = job(&with(step.clone(), "SLURM_STEP_ID", "1")).unwrap();
        assert_ne!(job_of_step.trace_id, next_step.trace_id);
        let other_rank = job(&with(step, "SLURM_PROCID", "0")).unwrap();
        assert_eq!(job_of_step.trace_id, other_rank.trace_id);
    }

    #[test]
    fn ray_and_kubernetes_are_told_by_their_ids() {
        let ranks = vec![("RANK", "1"), ("WORLD_SIZE", "2")];
        assert_eq!(job(&ranks).unwrap().launcher, Launcher::Other);
        assert_eq!(job(&ranks).unwrap().trace_id, None);
        let ray = job(&with(ranks.clone(), "RAY_JOB_ID", "01000000")).unwrap();
        assert_eq!(ray.launcher, Launcher::Ray);
        assert!(ray.trace_id.is_some());
        let id = ("KUBEFLOW_TRAINING_JOB_ID", "f3b1");
        let kubernetes = job(&with(ranks, id.0, id.1)).unwrap();
        assert_eq!(kubernetes.launcher, Launcher::Kubernetes);
        assert!(kubernetes.trace_id.is_some());
        let indexed = job(&[("JOB_COMPLETION_INDEX", "1"), ("WORLD_SIZE", "2")]).unwrap();
        assert_eq!((indexed.launcher, indexed.rank), (Launcher::Kubernetes, 1));
    }

    #[test]
    fn a_given_id_stands_above_all_and_its_trace_never_changes_between_releases() {
        let given = with(torchrun("0", "2"), "LUMITRACE_JOB_ID", "sweep-7");
        let trace_id = job(&given).unwrap().trace_id.unwrap();
        let elsewhere = with(torchrun("1", "1"), "LUMITRACE_JOB_ID", "sweep-7");
        assert_eq!(job(&elsewhere).unwrap().trace_id, Some(trace_id));
        assert_eq!(trace_id.to_string(), "21365beaf8b153429e211badba562e7f");
    }

    #[test]
    fn one_process_needs_no_trace_in_common() {
        let alone = job(&[
            ("RANK", "0"),
            ("WORLD_SIZE", "1"),
            ("LUMITRACE_JOB_ID", "x"),
        ]);
        assert_eq!(alone.unwrap().trace_id, None);
    }

    #[test]
    fn attributes_name_the_rank_and_the_run() {
        let job = job(&torchrun("3", "1")).unwrap();
        let attributes = job.attributes();
        let value = |key: &str| lumitrace_model::value::find(&attributes, key).cloned();
        assert_eq!(value("rank"), Some(3.into()));
        assert_eq!(value("world_size"), Some(4.into()));
        assert_eq!(value("job.launcher"), Some("torchrun".into()));
        let trace_id = job.trace_id.unwrap().to_string();
        assert_eq!(value("run.id"), Some(trace_id.into()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn siblings_of_one_parent_share_a_trace_and_a_rank_beyond_the_last_is_none() {
        let trace_of = |rank| Job::of_siblings(rank, 2).map(|job| job.trace_id);
        assert!(trace_of(0).unwrap().is_some());
        assert_eq!(trace_of(0), trace_of(1));
        assert_eq!(trace_of(2), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_start_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let fields: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let status = format!("7 (a) b (c) {}", fields.join(" "));
        assert_eq!(start_time(&status), Some("22"));
        assert_eq!(start_time("7 (short) S 1"), None);
        assert_eq!(start_time(""), None);
    }
}
