//! What is typed wrongly is told, with exit code 2; what cannot be done with 1; and help has examples.

use crate::world::World;

#[test]
fn wrong_command_lines_are_told() {
    let world = World::new(&[]);
    for (words, code, says) in [
        (&["journal"][..], 2, "Usage"),
        (&["journal", "lst"], 2, "list"),
        (&["journal", "list", "--state=nonsense"], 2, "declined_undelivered"),
        (&["journal", "list", "--limit=0"], 2, "--limit"),
        (&["journal", "show"], 2, "ROW"),
        (&["journal", "retry", "1"], 2, "--reason"),
        (&["journal", "list"], 1, "no journal in the working directory"),
        (&["journal", "list", "--journalFile=x.journal"], 1, "there is no such journal"),
        (&["journal", "verify", "--journalFile=x.journal"], 2, "there is no such journal"),
        (&["journal", "list", "-c", "none.json"], 1, "none.json"),
        (&["journal", "list", "--journalFile=.", "--timezone=Nowhere/Land"], 1, "time zone"),
    ] {
        let said = world.run(words);
        assert_eq!(said.code, code, "{words:?}: {said:?}");
        assert!(said.err.contains(says), "{words:?}: {said:?}");
    }
    assert!(!world.directory.path().join("x.journal.lock").exists(), "a typing error leaves nothing behind");
}

#[test]
fn with_a_journal_what_is_typed_about_its_rows_is_told() {
    let world = World::new(&[]);
    world.start().stop();
    for (words, code, says) in [
        (&["journal", "show", "99"][..], 1, "there is no such row"),
        (&["journal", "show", "000000000099"], 1, "there is no such row"),
        (&["journal", "show", "x"], 2, "ROW"),
        (&["journal", "retry", "99", "--reason=x"], 1, "there is no such row"),
        (&["journal", "retry", "99", "--reason= "], 2, "--reason"),
        (&["journal", "list", "--since=yesterday"], 2, "--since"),
        (&["journal", "export", "--date=22.11.2026"], 2, "--date"),
        (&["journal", "export", "--date=2026-11-22", "--from=1h"], 2, "--date"),
        (&["journal", "export", "--to=soon"], 2, "--to"),
    ] {
        let said = world.run(words);
        assert_eq!(said.code, code, "{words:?}: {said:?}");
        assert!(said.err.contains(says), "{words:?}: {said:?}");
    }
    std::fs::copy(world.journal(), world.directory.path().join("second.journal")).unwrap();
    let said = world.run(&["journal", "list"]);
    assert!(said.code == 1 && said.err.contains("second.journal, test.journal"), "{said:?}");
    std::fs::write(world.directory.path().join("text.journal"), "4850781234567891").unwrap();
    let said = world.run(&["journal", "list", "--journalFile=text.journal"]);
    assert!(said.code == 1 && said.err.contains("is not a journal"), "{said:?}");
}

#[test]
fn the_configuration_of_the_gateway_names_the_journal() {
    let world = World::new(&[]);
    world.start().stop();
    let config = r#"{"upstreamHost":"127.0.0.1","upstreamPort":1,"listenPort":2,"journalFile":"test.journal","timezone":"+07:00"}"#;
    std::fs::write(world.directory.path().join("c.json"), config).unwrap();
    std::fs::rename(world.journal(), world.directory.path().join("moved")).unwrap();
    assert_eq!(world.run(&["journal", "list", "-c", "c.json"]).code, 1);
    std::fs::rename(world.directory.path().join("moved"), world.journal()).unwrap();
    assert_eq!(world.done(&["journal", "list", "-c", "c.json"]), "no such rows\n");
    std::fs::write(world.directory.path().join("c.json"), config.replace("test.journal", "none")).unwrap();
    let said = world.run(&["journal", "list", "-c", "c.json"]);
    assert!(said.code == 1 && said.err.contains("the configuration has no journal"), "{said:?}");
}

#[test]
fn help_of_every_command_has_examples_and_exit_codes() {
    let world = World::new(&[]);
    for command in ["list", "show", "retry", "resolve", "verify", "export", "rekey"] {
        for words in [&["journal", command, "--help"][..], &["help", "journal", command]] {
            let help: Vec<String> = world.done(words).split_whitespace().map(str::to_owned).collect();
            let help = help.join(" ");
            for part in
                ["Examples:", "Exit codes:", "--journalFile", &format!("socketqueue journal {command}")]
            {
                assert!(help.contains(part), "{words:?}: {part}: {help}");
            }
        }
    }
}
