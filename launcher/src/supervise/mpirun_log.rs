//! What mpirun and ssh say of hosts and processes. A rank that dies with its host says nothing, and what the launcher
//! sees is a connection that closed; they know which host it was.
//!
//! The sentences are those of Open MPI 4.1 and OpenSSH.

use crate::fault::Fault;
use lcsl_run_dir::exit;

/// Something that they said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A host was there, and is not any more.
    Lost {
        /// Its name.
        host: String,
    },
    /// Nobody could be started on a host.
    Unreachable {
        /// What ssh said.
        why: String,
    },
    /// A host has no program where this one has it.
    NoProgram {
        /// Its name.
        host: String,
        /// The program's path.
        program: String,
    },
    /// Two processes cannot connect.
    NoConnection {
        /// The host of one.
        from: String,
        /// The host of the other.
        to: String,
    },
    /// A rank was ended by a signal.
    Killed {
        /// Which rank.
        rank: usize,
        /// Its host.
        host: String,
        /// The number of the signal and its name.
        signal: String,
    },
}

/// Everything that is understood of what was printed, in order.
pub fn read(printed: &str) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let lines: Vec<&str> = printed.lines().map(str::trim).collect();
    for (place, line) in lines.iter().enumerate() {
        // A message is over at the next rule.
        let message = || lines[place..].iter().take_while(|line| !line.starts_with("-----"));
        let field = |name: &str| {
            message().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
        };
        let word = |name: &str| field(name).and_then(|text| text.split_whitespace().next());
        let found = if line.contains("lost communication with a remote daemon") {
            let host = field("Remote daemon").and_then(|text| text.rsplit("on node ").next());
            host.map(|host| Said::Lost { host: host.trim().to_owned() })
        } else if let Some(host) = line
            .strip_prefix("Connection to ")
            .and_then(|rest| rest.strip_suffix(" closed by remote host."))
        {
            Some(Said::Lost { host: host.to_owned() })
        } else if is_of_ssh(line) {
            Some(Said::Unreachable { why: (*line).to_owned() })
        } else if line.contains("could not access") {
            let named = field("Executable").zip(word("Node"));
            named.map(|(program, host)| Said::NoProgram {
                host: host.to_owned(),
                program: program.trim().to_owned(),
            })
        } else if line.contains("failed to TCP connect to a peer MPI process") {
            let named = word("Local host").zip(word("Peer hostname"));
            named.map(|(from, to)| Said::NoConnection {
                from: from.trim_end_matches(',').to_owned(),
                to: to.to_owned(),
            })
        } else {
            killed(line)
        };
        said.extend(found.filter(|it| !said.contains(it)));
    }
    said
}

/// What OpenSSH prints where it cannot start a program on another host.
fn is_of_ssh(line: &str) -> bool {
    let begins = ["ssh: connect to host ", "ssh: Could not resolve hostname "];
    let refused = ["Permission denied (", "Host key verification failed"];
    begins.iter().any(|begin| line.starts_with(begin))
        || refused.iter().any(|words| line.contains(words))
        || line.ends_with("orted: command not found")
}

/// "mpirun noticed that process rank 1 with PID 246 on node h2 exited on signal 9 (Killed)."
fn killed(line: &str) -> Option<Said> {
    let rest = line.strip_prefix("mpirun noticed that process rank ")?;
    let rank = rest.split_whitespace().next()?.parse().ok()?;
    let (before, signal) = rest.split_once(" exited on signal ")?;
    let host = before.rsplit("on node ").next()?.trim().to_owned();
    Some(Said::Killed { rank, host, signal: signal.trim_end_matches('.').to_owned() })
}

/// Why a launch came to nothing, where it is a matter of hosts: all of them at once. `log` has the words, if it is a
/// file.
pub fn of_launch(said: &[Said], log: Option<&str>) -> Option<Fault> {
    let mut problems: Vec<String> = Vec::new();
    let (mut by_ssh, mut by_network) = (false, false);
    for one in said {
        problems.push(match one {
            Said::Unreachable { why } => {
                by_ssh = true;
                why.trim_end_matches('.').to_owned()
            }
            Said::NoProgram { host, program } => format!("{host} has no {program}"),
            Said::NoConnection { from, to } => {
                by_network = true;
                format!("a process on {from} cannot connect to {to}")
            }
            Said::Lost { host } => format!("{host} was lost while the ranks were starting"),
            Said::Killed { .. } => continue,
        });
    }
    if problems.is_empty() {
        return None;
    }
    let hint = if by_ssh {
        "`ssh HOST true` has to work from here without a question, and Open MPI to be in the PATH there"
    } else if by_network {
        "--interface names the network interface that leads from each host to the others"
    } else {
        "every host needs the same program and libtorch at the same path, on a shared file system or installed alike"
    };
    let log = log.map(|log| format!("\n  log: {log}")).unwrap_or_default();
    let what = format!("not all hosts can take part\n  - {}{log}", problems.join("\n  - "));
    Some(Fault { hint: Some(hint.to_owned()), ..Fault::new(what, exit::USAGE) })
}

/// The sentence on a failed rank and its remedy, or what mpirun has printed of hosts where that explains a silent
/// death.
pub fn explained<'a>(
    what: &str,
    hint: Option<&'a str>,
    is_certain: bool,
    printed: &str,
) -> (String, Option<&'a str>) {
    match of_silent_death(&read(printed)).filter(|_| !is_certain) {
        Some((cause, remedy)) => (format!("{cause}; {what}"), Some(remedy)),
        None => (what.to_owned(), hint),
    }
}

/// Why a rank that said nothing is gone, where a host or a signal explains it.
pub fn of_silent_death(said: &[Said]) -> Option<(String, &'static str)> {
    let hosts: Vec<&str> = said
        .iter()
        .filter_map(|one| match one {
            Said::Lost { host } => Some(host.as_str()),
            _ => None,
        })
        .collect();
    let hint = "see whether it is up and its network holds; training goes on from the newest checkpoint with --resume \
                auto, on other hosts too";
    match hosts.as_slice() {
        [] => {}
        [host] => {
            return Some((
                format!("host {host} was lost: mpirun does not reach it any more"),
                hint,
            ));
        }
        several => {
            let names = several.join(", ");
            return Some((
                format!("hosts {names} were lost: mpirun does not reach them any more"),
                hint,
            ));
        }
    }
    said.iter().find_map(|one| match one {
        Said::NoConnection { from, to } => Some((
            format!("a process on {from} cannot connect to {to}"),
            "--interface names the network interface that leads from each host to the others",
        )),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: &str = "--------------------------------------------------------------------------
ORTE has lost communication with a remote daemon.

  HNP daemon   : [[34872,0],0] on node h1
  Remote daemon: [[34872,0],1] on node h2

This is usually due to either a failure of the TCP network
--------------------------------------------------------------------------
";

    /// Story: a cut link, a host without power and a daemon that was killed all read "rank 0 on host h1 was killed",
    /// for lack of memory perhaps, while mpirun had written which host was gone.
    #[test]
    fn a_host_that_is_lost_is_named() {
        let host = || "h2".to_owned();
        assert_eq!(read(LOST), [Said::Lost { host: host() }]);
        let closed = "Connection to h2 closed by remote host.\n";
        assert_eq!(read(&(closed.to_owned() + LOST)), [Said::Lost { host: host() }]);
        let (what, hint) = of_silent_death(&read(LOST)).unwrap();
        assert_eq!(what, "host h2 was lost: mpirun does not reach it any more");
        assert!(hint.contains("--resume auto"));
    }

    #[test]
    fn a_signal_is_told_with_its_rank() {
        let line = "mpirun noticed that process rank 1 with PID 246 on node h2 exited on signal 9 (Killed).";
        let (host, signal) = ("h2".to_owned(), "9 (Killed)".to_owned());
        assert_eq!(read(line), [Said::Killed { rank: 1, host, signal }]);
        assert_eq!(of_silent_death(&read(line)), None);
        assert!(of_launch(&read(line), Some("log")).is_none());
    }

    #[test]
    fn hosts_that_cannot_take_part_are_named_all_at_once() {
        let printed = "ssh: Could not resolve hostname h9: No address
root@h8: Permission denied (publickey).
mpirun was unable to launch the specified application as it could not access
or execute an executable:

Executable: /opt/lcsl-rank
Node: h7

while attempting to start process rank 0.
";
        let fault = of_launch(&read(printed), Some("runs/a/logs/mpirun.log")).unwrap();
        assert_eq!(fault.exit_code, exit::USAGE);
        insta::assert_snapshot!(fault, @r"
        not all hosts can take part
          - ssh: Could not resolve hostname h9: No address
          - root@h8: Permission denied (publickey)
          - h7 has no /opt/lcsl-rank
          log: runs/a/logs/mpirun.log
          hint: `ssh HOST true` has to work from here without a question, and Open MPI to be in the PATH there
        ");
        assert!(of_launch(&read("nothing of that kind\n"), Some("")).is_none());
    }

    #[test]
    fn processes_that_cannot_connect_are_named() {
        let printed = "WARNING: Open MPI failed to TCP connect to a peer MPI process.  This
should not happen.

Your Open MPI job may now hang or fail.

  Local host: h1
  PID:        4711
  Message:    connect() to 172.17.0.1:1024 failed
  Error:      Operation now in progress (115)
";
        assert_eq!(read(printed), [], "the peer is not named");
        let named = printed.replace("  PID:", "  Peer hostname: h2 ([[1,1],1])\n  PID:");
        let (from, to) = ("h1".to_owned(), "h2".to_owned());
        assert_eq!(read(&named), [Said::NoConnection { from, to }]);
    }
}
