//! A run that goes on without hosts that are gone: which they are, and what is left of it.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lcsl_config::{HostSlots, RunConfig, host_list};

use super::interface::is_here;

/// A host that does not answer in so many seconds is gone.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// How Open MPI is told to reach other hosts, where it is told.
const AGENT: &str = "OMPI_MCA_plm_rsh_agent";
const ARGUMENTS: &str = "OMPI_MCA_plm_rsh_args";

/// Those of `hosts` that do not let us start a program. They are asked at once, in the way in which mpirun does.
pub fn gone(hosts: &[HostSlots]) -> Vec<String> {
    let answers = thread::scope(|scope| {
        let asked: Vec<_> = hosts.iter().map(|host| scope.spawn(|| answers(&host.name))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap_or(false)).collect::<Vec<bool>>()
    });
    let silent = hosts.iter().zip(answers).filter(|(_, answers)| !answers);
    silent.map(|(host, _)| host.name.clone()).collect()
}

fn answers(host: &str) -> bool {
    if is_here(host) {
        return true;
    }
    let variable =
        |name: &str, otherwise: &str| std::env::var(name).unwrap_or(otherwise.to_owned());
    let agent = variable(AGENT, "ssh");
    let arguments = variable(ARGUMENTS, "-o BatchMode=yes -o ConnectTimeout=5");
    let mut words = shlex::split(&format!("{agent} {arguments}")).unwrap_or_default().into_iter();
    let Some(program) = words.next() else { return false };
    let mut asking = Command::new(program);
    asking.args(words).args([host, "true"]);
    asking.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = asking.spawn() else { return false };
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if began.elapsed() < ANSWER_LIMIT => thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => {
                let _ = child.kill(); // it may have ended by itself
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// What is left of a run without the hosts that are `gone`: hosts and ranks. All ranks work on equally many logical
/// ranks, so some of the places that are left may stay free.
///
/// # Errors
/// A sentence, where fewer ranks are left than `run.min_ranks`.
pub fn without(config: &RunConfig, gone: &[String]) -> Result<(Vec<HostSlots>, usize), String> {
    let run = &config.run;
    let hosts: Vec<HostSlots> =
        run.host_slots().into_iter().filter(|host| !gone.contains(&host.name)).collect();
    let slots = hosts.iter().map(|host| host.slots).sum::<usize>().min(run.nproc);
    let fits = |ranks: &usize| {
        run.virtual_ranks.is_multiple_of(*ranks) && (!run.deterministic || ranks.is_power_of_two())
    };
    let ranks = (1..=slots).rev().find(fits).unwrap_or(0);
    if ranks < run.min_ranks.max(1) {
        return Err(format!(
            "{} cannot be reached any more; what is left ({}) takes {ranks} of {} ranks, and run.min_ranks is {}",
            gone.join(", "),
            if hosts.is_empty() { "no host".to_owned() } else { host_list(&hosts) },
            run.nproc,
            run.min_ranks
        ));
    }
    Ok((hosts, ranks))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use lcsl_config::{Machine, parse_train};

    use super::*;

    fn left(flags: &str, gone: &[&str]) -> Result<(String, usize), String> {
        let flags: Vec<OsString> = flags.split_whitespace().map(Into::into).collect();
        let config = parse_train(&flags, &Machine { cores: 8, gpus: None }).unwrap().config;
        let gone: Vec<String> = gone.iter().map(|host| (*host).to_owned()).collect();
        without(&config, &gone).map(|(hosts, ranks)| (host_list(&hosts), ranks))
    }

    #[test]
    fn ranks_that_are_left_share_the_logical_ranks_evenly() {
        let three = "--gpu=cpu --hosts=a:2,b:2,c:2 --max_restarts=1 --min_ranks=2";
        assert_eq!(left(three, &["b"]), Ok(("a:2,c:2".to_owned(), 3)), "6 logical ranks on 3");
        assert_eq!(left(three, &["a", "b"]), Ok(("c:2".to_owned(), 2)));
        let four = "--gpu=cpu --hosts=a:2,b:1,c:1 --max_restarts=1 --min_ranks=1";
        assert_eq!(left(four, &["b"]), Ok(("a:2,c:1".to_owned(), 2)), "4 logical ranks, 3 places");
    }

    #[test]
    fn a_run_of_too_few_ranks_is_refused_in_words() {
        let flags = "--gpu=cpu --hosts=a:2,b:2 --max_restarts=1 --min_ranks=3";
        assert_eq!(
            left(flags, &["b"]).unwrap_err(),
            "b cannot be reached any more; what is left (a:2) takes 2 of 4 ranks, and run.min_ranks is 3"
        );
        assert!(left(flags, &["a", "b"]).unwrap_err().contains("(no host) takes 0 of 4"));
    }
}
