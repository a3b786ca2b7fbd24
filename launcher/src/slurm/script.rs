//! The text of a batch script.
//!
//! One `lcsl` runs on the first node; it starts a rank for each task through mpirun, which takes the nodes of the job.
//! (`srun` would start ranks as well, but nobody would watch over them: who fails could not be named.) The script's own
//! business are signals and what comes after the end:
//!
//! * USR1, which Slurm sends to the script before the time limit: save, and requeue.
//! * TERM, by preemption, `scancel` or a node that goes down: save within `KillWait`. Where Slurm wants the job to run
//!   again it requeues it by itself.
//! * A rank that failed (4) or a directory that the job before still holds (7): requeue, a few times.

use std::fmt::Write as _;

use super::job::Job;

/// How often a job is requeued after a failure.
const RETRIES: usize = 3;

/// The script that trains as `job` says.
pub fn batch_script(job: &Job) -> String {
    let mut text = "#!/bin/bash\n".to_owned();
    for option in options(job) {
        let _ = writeln!(text, "#SBATCH {option}");
    }
    text.push_str(HEAD);
    if !job.array.is_empty() {
        text.push_str(&array_values(job));
    }
    let _ = write!(
        text,
        "\n# One launcher, which starts a rank for each task on every node of the job.\nlcsl train"
    );
    for argument in &job.train {
        let _ = write!(text, " {}", quoted(&argument.to_string_lossy()));
    }
    for (place, (key, _)) in job.array.iter().enumerate() {
        let _ = write!(text, " --set \"{key}=$value{place}\"");
    }
    if !job.array.is_empty() {
        let values: Vec<String> =
            job.array.iter().enumerate().map(|(place, (key, _))| task_name(place, key)).collect();
        let _ = write!(text, " --run_dir=\"runs/{}/{}\"", job.name, values.join("-"));
    }
    text.push_str(" --resume=auto &\nlauncher=$!\n");
    text.push_str(WAIT);
    if job.requeue {
        text.push_str(&AGAIN.replace("RETRIES", &RETRIES.to_string()));
    }
    text.push_str("exit \"$code\"\n");
    text
}

const HEAD: &str = r#"
echo "lcsl: job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1))"

# Whoever is signalled, the launcher saves a checkpoint and leaves.
time_is_short=no
trap 'time_is_short=yes; kill -TERM "$launcher"' USR1
trap 'kill -TERM "$launcher"' TERM
"#;

const WAIT: &str = r#"
# A signal interrupts `wait`: wait on until the launcher has left.
wait "$launcher"
code=$?
while kill -0 "$launcher" 2>/dev/null; do
    wait "$launcher"
    code=$?
done
echo "lcsl: ended with code $code"
"#;

const AGAIN: &str = r#"
# 75: a checkpoint is saved. Only when time was short is it for us to requeue: after preemption Slurm does, and
# whoever has cancelled the job wants it to end. 4 and 7: a rank has failed, or the job before still holds the run.
again=no
case $code in
    75) again=$time_is_short ;;
    4 | 7) [ "${SLURM_RESTART_COUNT:-0}" -ge RETRIES ] || again=yes ;;
esac
if [ "$again" = yes ]; then
    # Where Slurm has done so already, it is pending again.
    scontrol requeue "$SLURM_JOB_ID" || [ "$(squeue -h -j "$SLURM_JOB_ID" -o %T)" = PENDING ] ||
        echo "lcsl: submit again with the same command to go on" >&2
fi
"#;

fn options(job: &Job) -> Vec<String> {
    let mut options = vec![
        format!("--job-name={}", job.name),
        format!("--nodes={}", job.nodes),
        format!("--ntasks-per-node={}", job.ranks_per_node),
        format!("--cpus-per-task={}", job.cpus_per_task),
    ];
    if job.gpus_per_node > 0 {
        options.push(format!("--gpus-per-node={}", job.gpus_per_node));
    }
    options.push(format!("--time={}", job.time));
    options.push(format!("--signal=B:USR1@{}", job.save_seconds));
    options.extend(job.passed_on.iter().map(|(name, value)| format!("--{name}={value}")));
    if let Some(tasks) = job.tasks() {
        let limit =
            if job.array_limit > 0 { format!("%{}", job.array_limit) } else { String::new() };
        options.push(format!("--array=0-{}{limit}", tasks - 1));
    }
    let output = if job.array.is_empty() { "%x-%j" } else { "%x-%A_%a" };
    options.push(format!("--output={output}.out"));
    options.push("--open-mode=append".to_owned());
    options.push(if job.requeue { "--requeue" } else { "--no-requeue" }.to_owned());
    options
}

/// Which values a task of the array takes: the last key changes fastest.
fn array_values(job: &Job) -> String {
    let mut text = "\n# The values of this task.\ntask=$SLURM_ARRAY_TASK_ID\n".to_owned();
    for (place, (_, values)) in job.array.iter().enumerate().rev() {
        let words: Vec<String> = values.iter().map(|value| quoted(value)).collect();
        let _ = writeln!(text, "values=({})", words.join(" "));
        let _ = writeln!(text, "value{place}=${{values[task % {}]}}", values.len());
        let _ = writeln!(text, "task=$((task / {}))", values.len());
    }
    text
}

fn task_name(place: usize, key: &str) -> String {
    let short = key.rsplit('.').next().unwrap_or(key);
    format!("{short}$value{place}")
}

fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn job(name: &str, train: &str) -> Job {
        Job {
            name: name.to_owned(),
            nodes: 1,
            gpus_per_node: 4,
            ranks_per_node: 4,
            cpus_per_task: 8,
            time: "24:00:00".to_owned(),
            save_seconds: 120,
            passed_on: Vec::new(),
            array: Vec::new(),
            array_limit: 0,
            requeue: true,
            train: train.split(' ').map(OsString::from).collect(),
        }
    }

    const IMAGENET: &str = "--dataset=imagenet_lt --gpu=0,1,2,3 --batch_size=256 --epochs=90";

    fn examples() -> [(&'static str, Job); 4] {
        let values = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        [
            ("one-node.sbatch", job("imagenet-lt", IMAGENET)),
            ("many-nodes.sbatch", Job { nodes: 4, ..job("imagenet-lt-4", IMAGENET) }),
            (
                "array.sbatch",
                Job {
                    gpus_per_node: 1,
                    ranks_per_node: 1,
                    array: vec![
                        ("data.imb_factor".to_owned(), values("0.1 0.02 0.01")),
                        ("run.seed".to_owned(), values("0 1 2")),
                    ],
                    array_limit: 4,
                    ..job("cifar100-lt", "--dataset=cifar100 --gpu=0")
                },
            ),
            ("chain.sbatch", Job { requeue: false, ..job("imagenet-lt", IMAGENET) }),
        ]
    }

    /// The files in `slurm/` are what `lcsl submit` writes. `LCSL_WRITE_SLURM=1` writes them anew.
    #[test]
    fn the_examples_are_what_is_written() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../slurm");
        for (name, job) in examples() {
            let (path, text) = (folder.join(name), batch_script(&job));
            assert_eq!(job.problems(), [""; 0], "{name}");
            if std::env::var_os("LCSL_WRITE_SLURM").is_some() {
                fs::write(&path, &text).unwrap();
            }
            assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "{name}");
        }
    }

    /// The shell itself reads each script; arrays name every combination once.
    #[test]
    fn a_shell_understands_them() {
        for (name, job) in examples() {
            let mut shell = std::process::Command::new("bash");
            let checked = shell.args(["-n", "-c", &batch_script(&job)]).output().unwrap();
            assert!(checked.status.success(), "{name}: {checked:?}");
        }
        let (_, array) = examples().into_iter().nth(2).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for task in 0..array.tasks().unwrap() {
            let script = array_values(&array) + "echo $value0 $value1";
            let mut shell = std::process::Command::new("bash");
            let said = shell.args(["-c", &script]).env("SLURM_ARRAY_TASK_ID", task.to_string());
            seen.insert(String::from_utf8(said.output().unwrap().stdout).unwrap());
        }
        assert_eq!(seen.len(), 9, "{seen:?}");
    }
}
