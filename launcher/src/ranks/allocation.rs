//! The hosts that a scheduler has given this job, where there are several.

use std::process::Command;

use lcsl_config::{Allocation, repeated_counts};

use crate::surroundings::Variable;

/// What Slurm has allocated to this job; none outside of a job, and in one of a single node.
///
/// # Errors
/// A sentence, where the nodes cannot be listed.
pub fn look(variable: &Variable<'_>) -> Result<Option<Allocation>, String> {
    let Some(nodes) = several_nodes(variable) else { return Ok(None) };
    let mut listing = Command::new("scontrol");
    let listed = match listing.args(["show", "hostnames", &nodes]).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(unlisted(&nodes, &said));
        }
        Err(error) => return Err(unlisted(&nodes, &format!("scontrol: {error}"))),
    };
    Ok(Some(allocation(&listed, variable)))
}

/// The list of nodes as Slurm writes it, where there are several.
fn several_nodes(variable: &Variable<'_>) -> Option<String> {
    variable("SLURM_JOB_ID")?;
    let count = variable("SLURM_NNODES").or_else(|| variable("SLURM_JOB_NUM_NODES"))?;
    let nodes = variable("SLURM_NODELIST").or_else(|| variable("SLURM_JOB_NODELIST"))?;
    count.parse::<usize>().is_ok_and(|count| count > 1).then_some(nodes)
}

fn unlisted(nodes: &str, why: &str) -> String {
    format!(
        "this job has the nodes {nodes}, but they cannot be listed ({why}), so only this one is used; --hosts names \
         them"
    )
}

/// `listed` has a host in each line. Tasks count only where the job asked for them: Slurm writes one task for each node
/// otherwise.
fn allocation(listed: &str, variable: &Variable<'_>) -> Allocation {
    let asked = variable("SLURM_NTASKS").and(variable("SLURM_TASKS_PER_NODE"));
    Allocation {
        hosts: listed.split_whitespace().map(str::to_owned).collect(),
        tasks: asked.and_then(|counts| repeated_counts(&counts)),
        origin: format!("Slurm job {}", variable("SLURM_JOB_ID").unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn a_job_of_several_nodes_is_told_from_others() {
        let job = [("SLURM_JOB_ID", "7"), ("SLURM_NNODES", "2"), ("SLURM_NODELIST", "h[1-2]")];
        assert_eq!(several_nodes(&from(&job)), Some("h[1-2]".to_owned()));
        assert_eq!(several_nodes(&from(&job[1..])), None, "outside of a job");
        let single = [("SLURM_JOB_ID", "7"), ("SLURM_NNODES", "1"), ("SLURM_NODELIST", "h1")];
        assert_eq!(several_nodes(&from(&single)), None);
    }

    #[test]
    fn tasks_count_where_the_job_asked_for_them() {
        let job = [("SLURM_JOB_ID", "7"), ("SLURM_TASKS_PER_NODE", "4(x2)"), ("SLURM_NTASKS", "8")];
        let found = allocation("h1\nh2\n", &from(&job));
        assert_eq!((found.hosts.len(), found.tasks), (2, Some(vec![4, 4])));
        assert_eq!(found.origin, "Slurm job 7");
        assert_eq!(allocation("h1\nh2\n", &from(&job[..2])).tasks, None);
    }
}
