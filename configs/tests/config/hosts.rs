//! Hosts: those that are asked for, and those of a job.

use crate::{bad, good};

/// Story: `--gpu=0,1,2,3 --hosts=a:4,b:4` started 4 ranks, and a host that was named twice, or with more ranks than it
/// takes, was left to mpirun.
#[test]
fn hosts_say_how_many_ranks_there_are() {
    let nproc = |flags: &str| good(flags).config.run.nproc;
    assert_eq!(nproc("--gpu=0,1,2,3 --hosts=a:4,b:4"), 8);
    assert_eq!(nproc("--gpu=0,1,2,3 --hosts=a,b"), 8, "a rank for each GPU");
    assert_eq!(nproc("--gpu=cpu --hosts=a,b:2"), 3);
    insta::assert_snapshot!(bad("--gpu=cpu --hosts=a:2,a:1,b:0"), @r#"
    the configuration has a problem
      - run.hosts cannot be used: a is there twice; "b:0" has no number of ranks behind its colon
        where: flag --hosts and flag --gpu
        hint: write each host once, with the number of its ranks, as in --hosts=a:4,b:4
    "#);
    insta::assert_snapshot!(bad("--gpu=cpu --hosts=a:2,b:1 --nproc=4"), @r"
    the configuration has a problem
      - run.nproc (4) is more than the 3 ranks that a:2,b:1 take
        where: flag --nproc and flag --hosts
        hint: leave nproc out, or give the hosts more ranks
    ");
}

/// Story: in a batch script of two nodes, `lcsl train --nproc 2` without `--hosts` ended after 6 s, since mpirun took
/// both nodes and the launcher listened on one.
#[test]
fn the_hosts_of_a_job_are_those_of_the_run() {
    let hosts = vec!["h1".to_owned(), "h2".to_owned()];
    let origin = "Slurm job 42".to_owned();
    let allocation =
        |tasks| lcsl_config::Allocation { hosts: hosts.clone(), tasks, origin: origin.clone() };
    let resolved = |flags: &str, tasks: Option<Vec<usize>>, gpus: Option<usize>| {
        let flags: Vec<_> = flags.split_whitespace().map(Into::into).collect();
        let machine = lcsl_config::Machine { cores: 8, gpus };
        let command =
            lcsl_config::parse_train_in(&flags, &machine, Some(&allocation(tasks))).unwrap();
        let run = command.config.run;
        format!("{} {} {}", run.nproc, run.hosts, run.gpu)
    };
    assert_eq!(resolved("--nproc=2", None, None), "2 h1:1,h2:1 cpu");
    assert_eq!(resolved("", Some(vec![2, 1]), None), "3 h1:2,h2:1 cpu");
    assert_eq!(resolved("", Some(vec![4, 4]), Some(4)), "8 h1:4,h2:4 0,1,2,3");
    assert_eq!(resolved("--gpu=0,1", None, Some(2)), "4 h1:2,h2:2 0,1");
    assert_eq!(resolved("--nproc=1", None, None), "1  cpu", "one process needs one machine");
    assert_eq!(resolved("--hosts=h2:2", Some(vec![4, 4]), None), "2 h2:2 cpu");
}

#[test]
fn hosts_come_from_a_file_too() {
    let file = |text: &str, flags: &str| {
        crate::train(flags, &lcsl_config::Machine { cores: 8, gpus: Some(4) }, text)
    };
    let config = file("a slots=2\nb slots=2\n", "--gpu=0,1 --hostfile=run.toml").unwrap().config;
    assert_eq!((config.run.hosts.as_str(), config.run.nproc), ("a:2,b:2", 4));
    let problems = |text, flags| file(text, flags).unwrap_err().to_string();
    insta::assert_snapshot!(problems("a\nb slots=none\n", "--gpu=cpu --hostfile=run.toml"), @r#"
    the configuration has a problem
      - run.toml cannot be used as a list of hosts: line 2: "b:none" has no number of ranks behind its colon
        where: flag --hostfile
        hint: write a host in each line, as in: node1 slots=4
    "#);
    insta::assert_snapshot!(problems("a\n", "--gpu=cpu --hosts=c --hostfile=run.toml"), @r"
    the configuration has a problem
      - hosts are given twice: by --hostfile and by flag --hosts
        where: flag --hostfile
        hint: leave one of them out
    ");
    insta::assert_snapshot!(problems("a\n", "--gpu=cpu --hostfile=no-such.toml"), @r"
    the configuration has a problem
      - cannot read the list of hosts no-such.toml: there is no such file
        where: flag --hostfile
        hint: give the path of a file with a host in each line, as in: node1 slots=4
    ");
}
