//! Hosts, how many ranks each takes, and what a scheduler has allocated.

use std::fmt::Write as _;

/// A host, and how many ranks it takes at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSlots {
    /// Its name, as ssh or the scheduler knows it.
    pub name: String,
    /// Ranks, at least 1.
    pub slots: usize,
}

/// Reads `run.hosts`: names with commas between them, each with a colon and its number of ranks, or with
/// `default_slots` where there is no number.
///
/// # Errors
/// Everything that is wrong, a sentence each.
pub fn host_slots(text: &str, default_slots: usize) -> Result<Vec<HostSlots>, Vec<String>> {
    let mut hosts: Vec<HostSlots> = Vec::new();
    let mut problems = Vec::new();
    if text.trim().is_empty() {
        return Ok(hosts);
    }
    for entry in text.split(',').map(str::trim) {
        let (name, count) = match entry.split_once(':') {
            Some((name, count)) => (name, count.parse().ok().filter(|count| *count > 0)),
            None => (entry, Some(default_slots)),
        };
        let odd = |letter: char| !(letter.is_ascii_alphanumeric() || "-._".contains(letter));
        if name.is_empty() {
            problems.push(format!("{entry:?} names no host"));
        } else if name.starts_with('-') || name.contains(odd) {
            problems.push(format!("{name:?} is no name of a host"));
        } else if hosts.iter().any(|host| host.name == name) {
            problems.push(format!("{name} is there twice"));
        } else if let Some(slots) = count {
            hosts.push(HostSlots { name: name.to_owned(), slots });
        } else {
            problems.push(format!("{entry:?} has no number of ranks behind its colon"));
        }
    }
    if problems.is_empty() { Ok(hosts) } else { Err(problems) }
}

/// Reads a file of hosts: one in each line, with its number of ranks behind `slots=`, as in those of Open MPI, or
/// behind a colon; `#` begins a comment, and other words of Open MPI's (`max_slots=`) are left alone. Returns what
/// [`host_slots`] reads.
///
/// # Errors
/// Everything that is wrong with it, a sentence each.
pub(crate) fn host_file(text: &str) -> Result<String, Vec<String>> {
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let (mut entry, mut has_count) = (name.to_owned(), name.contains(':'));
        for word in words {
            match word.split_once('=') {
                Some(("slots", count)) if !has_count => {
                    has_count = true;
                    let _ = write!(entry, ":{count}");
                }
                Some(("max_slots" | "max-slots", _)) => {}
                _ => problems.push(format!("line {number}: {word:?} is not understood")),
            }
        }
        if let Err(wrong) = host_slots(&entry, 1) {
            problems.extend(wrong.into_iter().map(|what| format!("line {number}: {what}")));
        }
        entries.push(entry);
    }
    if entries.is_empty() {
        problems.push("it names no host".to_owned());
    }
    if problems.is_empty() { Ok(entries.join(",")) } else { Err(problems) }
}

/// Writes hosts as [`host_slots`] reads them, each with its number.
pub fn host_list(hosts: &[HostSlots]) -> String {
    let mut text = String::new();
    for HostSlots { name, slots } in hosts {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}:{slots}");
    }
    text
}

/// Several hosts that a scheduler has given this job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// Their names.
    pub hosts: Vec<String>,
    /// Tasks on each of them, where the job asked for tasks.
    pub tasks: Option<Vec<usize>>,
    /// Whose it is, such as "Slurm job 42".
    pub origin: String,
}

impl Allocation {
    /// Hosts with the job's tasks; without tasks as many ranks on each as make `nproc` in all, or
    /// `default_slots`.
    pub(crate) fn slots(&self, nproc: Option<usize>, default_slots: usize) -> Vec<HostSlots> {
        let even = nproc.map_or(default_slots, |nproc| nproc.div_ceil(self.hosts.len()));
        let tasks = self.tasks.as_ref().filter(|tasks| tasks.len() == self.hosts.len());
        let slots = |place: usize| tasks.map_or(even, |tasks| tasks[place]);
        let hosts = self.hosts.iter().enumerate();
        hosts.map(|(place, name)| HostSlots { name: name.clone(), slots: slots(place) }).collect()
    }
}

/// Reads a list of counts as Slurm writes it, such as `4(x2),3`: two hosts with 4 and one with 3. None where it is no
/// such list.
///
/// ```
/// assert_eq!(lcsl_config::repeated_counts("4(x2),3"), Some(vec![4, 4, 3]));
/// assert_eq!(lcsl_config::repeated_counts("many"), None);
/// ```
pub fn repeated_counts(text: &str) -> Option<Vec<usize>> {
    let mut counts = Vec::new();
    for entry in text.split(',') {
        let (count, times) = match entry.split_once("(x") {
            Some((count, times)) => (count, times.strip_suffix(')')?.parse().ok()?),
            None => (entry, 1),
        };
        let count = count.parse::<usize>().ok().filter(|count| *count > 0)?;
        counts.extend(std::iter::repeat_n(count, times));
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_names_and_counts() {
        let hosts = host_slots("a:4, b-1.cluster ,c:1", 2).unwrap();
        assert_eq!(host_list(&hosts), "a:4,b-1.cluster:2,c:1");
        assert_eq!(host_slots("", 2), Ok(Vec::new()));
        assert_eq!(host_slots(&host_list(&hosts), 1), Ok(hosts));
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let problems = host_slots("a:2,a:1,:3,b:,c:0,d:x,-oProxy:1,e f", 1).unwrap_err();
        insta::assert_snapshot!(problems.join("\n"), @r#"
        a is there twice
        ":3" names no host
        "b:" has no number of ranks behind its colon
        "c:0" has no number of ranks behind its colon
        "d:x" has no number of ranks behind its colon
        "-oProxy" is no name of a host
        "e f" is no name of a host
        "#);
    }

    #[test]
    fn a_file_of_hosts_is_read_as_open_mpi_reads_it() {
        let text = "# the rack\na slots=4 max_slots=8\n\n b:2 # spare\nc\n";
        assert_eq!(host_file(text).unwrap(), "a:4,b:2,c");
        let problems = host_file("a slots=x\nb slots=2 speed=9\n-o slots=1\n").unwrap_err();
        insta::assert_snapshot!(problems.join("\n"), @r#"
        line 1: "a:x" has no number of ranks behind its colon
        line 2: "speed=9" is not understood
        line 3: "-o" is no name of a host
        "#);
        assert_eq!(host_file("# nobody\n").unwrap_err(), ["it names no host"]);
    }

    #[test]
    fn an_allocation_without_tasks_is_filled_evenly() {
        let hosts = vec!["h1".to_owned(), "h2".to_owned()];
        let allocation = Allocation { hosts, tasks: None, origin: "Slurm job 1".to_owned() };
        let list = |nproc, default| host_list(&allocation.slots(nproc, default));
        assert_eq!(list(None, 4), "h1:4,h2:4");
        assert_eq!(list(Some(3), 4), "h1:2,h2:2");
        let with_tasks = Allocation { tasks: Some(vec![2, 1]), ..allocation.clone() };
        assert_eq!(host_list(&with_tasks.slots(Some(2), 4)), "h1:2,h2:1");
    }
}
