//! The command line as a whole, and how shared arguments join a system's own.

use super::*;
use std::collections::BTreeSet;

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

/// The words of every command below this one that has no further subcommands.
fn leaves(command: &Command, above: &[&str], found: &mut BTreeSet<Vec<String>>) {
    let path = [above, &[command.get_name()]].concat();
    if !command.has_subcommands() {
        found.insert(path.iter().map(|&word| word.to_owned()).collect());
    }
    command.get_subcommands().for_each(|inner| leaves(inner, &path, found));
}

#[test]
fn every_command_of_a_system_is_an_operation_and_every_operation_a_command() {
    for connector in CONNECTORS {
        let mut commands = BTreeSet::new();
        (connector.commands)().iter().for_each(|command| leaves(command, &[], &mut commands));
        let words = |operation: &windlass_connectors::Operation| {
            operation.path.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()
        };
        let operations: BTreeSet<_> = connector.operations.iter().map(words).collect();
        assert_eq!(operations.len(), connector.operations.len(), "{}", connector.name);
        assert_eq!(commands, operations, "{}", connector.name);
    }
}

#[test]
fn no_two_systems_and_no_part_of_the_program_share_a_command() {
    let command = command();
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
}

fn ids(command: &Command) -> Vec<&str> {
    command.get_arguments().map(|argument| argument.get_id().as_str()).collect()
}

fn of_kind(kind: OperationKind, remote: bool) -> Command {
    operated(Command::new("leaf"), kind, remote, remote)
}

#[test]
fn each_kind_of_operation_has_its_arguments() {
    let limits = [
        "profile",
        "quota",
        "reserve",
        "max_requests_per_second",
        "concurrency",
        "smooth",
        "timeout",
        "retries",
        "deadline",
        "base_url",
    ];
    let (show, watch) =
        (&["dashboard", "metrics_file", "debug", "quiet"][..], &["debug", "quiet"][..]);
    for (kind, own, shown) in [
        (OperationKind::Destroy, &["dry_run", "plan_out", "max_delete", "yes", "resume"][..], show),
        (OperationKind::Write, &["dry_run", "plan_out", "resume"], show),
        (OperationKind::Stream, &["resume"], show),
        (OperationKind::Query, &[], watch),
    ] {
        assert_eq!(ids(&of_kind(kind, true)), [own, &limits, shown].concat(), "{kind:?}");
        assert_eq!(ids(&of_kind(kind, false)), [own, shown].concat(), "{kind:?}");
        let placeless = operated(Command::new("leaf"), kind, true, false);
        assert_eq!(ids(&placeless), [own, &limits[..9], shown].concat(), "{kind:?}");
        of_kind(kind, true).debug_assert();
    }
}

#[test]
fn an_argument_that_a_command_has_itself_is_not_added() {
    let own = Command::new("leaf")
        .arg(Arg::new("rounds").long("retries").value_parser(clap::value_parser!(u8)))
        .arg(Arg::new("timeout").value_parser(clap::value_parser!(u8)))
        .arg(Arg::new("reserve").long("reserve").default_value("7%"));
    let leaf = operated(own, OperationKind::Write, true, true);
    let all = ids(&leaf);
    assert_eq!(all[..3], ["rounds", "timeout", "reserve"]);
    for (id, count) in [("retries", 0), ("timeout", 1), ("reserve", 1), ("deadline", 1)] {
        assert_eq!(all.iter().filter(|known| **known == id).count(), count, "{id}");
    }
    let words = ["leaf", "5", "--retries", "3", "--deadline", "9s", "--smooth", "-n", "--quiet"];
    let matches = leaf.get_matches_from(words);
    let workos = &windlass_connectors::workos::CONNECTOR;
    let flags = system_flags(workos, &matches);
    let flags: Vec<_> = flags.iter().map(|(key, _, texts)| (&**key, texts.join(","))).collect();
    let expected = [("workos.deadline", "9s".to_owned()), ("workos.smooth", "true".to_owned())];
    assert_eq!(flags, expected, "neither what means something else nor what nobody said");
    let choices = Choices::of(OperationKind::Write, &matches);
    assert!(choices.dry_run && choices.only_plans() && !choices.asks() && !choices.yes);
    assert!(show_args(&matches).watch.quiet && !show_args(&matches).dashboard);
}

#[test]
fn force_is_another_word_for_yes_and_only_destruction_asks() {
    let choices = |kind, words: &[&str]| {
        let words = [&["leaf"], words].concat();
        Choices::of(kind, &of_kind(kind, true).get_matches_from(words))
    };
    assert!(choices(OperationKind::Destroy, &[]).asks());
    assert!(!choices(OperationKind::Destroy, &["--force"]).asks());
    assert!(!choices(OperationKind::Destroy, &["-y"]).asks());
    assert!(!choices(OperationKind::Write, &[]).asks());
    assert!(!choices(OperationKind::Stream, &[]).asks());
}

#[test]
fn a_command_with_execute_only_plans_without_it() {
    let choices = |words: &[&str]| {
        let own = Command::new("leaf")
            .arg(Arg::new("execute").long("execute").action(clap::ArgAction::SetTrue))
            .arg(Arg::new("workers_of").long("workers-of"));
        let leaf = operated(own, OperationKind::Write, true, false);
        Choices::of(OperationKind::Write, &leaf.get_matches_from([&["leaf"], words].concat()))
    };
    for (words, plans, lacks) in [
        (&[][..], true, true),
        (&["--dry-run"], true, true),
        (&["--execute"], false, false),
        (&["--execute", "--dry-run"], true, false),
        (&["--execute", "--plan-out", "p"], true, false),
        (&["--workers-of", "run"], false, false),
    ] {
        let choices = choices(words);
        assert_eq!((choices.only_plans(), choices.lacks_execute), (plans, lacks), "{words:?}");
    }
}

#[test]
fn resuming_excludes_planning() {
    for plan in [&["--dry-run"][..], &["--plan-out", "p.jsonl"]] {
        let words = [&["leaf", "--resume"], plan].concat();
        let leaf = of_kind(OperationKind::Destroy, true);
        assert!(leaf.try_get_matches_from(words).is_err());
    }
}
