//! Every mistake a person can make, with the exact words they get: what, why, and what to do next.
//! Each test is a transcript: the command line, the exit code, the error. Long lines are folded.

mod files;
mod words;

use crate::support::{Home, KEY, Program, Remote, answer, redacted};
use expect_test::expect;
use std::net::TcpListener;

const DAY: &[&str] = &["workos", "delete", "2005-12-17", "--yes"];

/// A remote with a few objects, and a home at it.
fn scene() -> (Home, Remote) {
    let world = ["--orgs", "6", "--users", "30", "--all-on", "2005-12-17", "--no-limits"];
    (Home::new(), Remote::start(&world))
}

/// What these programs say, none of which may change anything.
fn transcript(remote: &Remote, programs: impl IntoIterator<Item = Program>) -> String {
    let mut text = String::new();
    for program in programs {
        let line = redacted(&program.line());
        let before = remote.deletes();
        let ended = program.run();
        let code = ended.status.code().unwrap();
        text.push_str(&format!("$ {line}\n{}exit code {code}\n\n", ended.error()));
        assert_eq!(remote.deletes(), before);
        assert!(!ended.err.contains(KEY) && !ended.out.contains(KEY));
    }
    text
}

#[test]
fn keys_that_are_missing_or_wrong() {
    let (home, remote) = scene();
    let with = |key: &str| home.at(&remote, DAY).env("WORKOS_API_KEY", key);
    let said =
        transcript(&remote, [with(""), with("sk_no"), with("sk\u{1}no")]).replace('\u{1}', "^A");
    expect![[r#"
        $ WORKOS_API_KEY= windlass workos delete 2005-12-17 --yes
        error: there is no key: WORKOS_API_KEY is not set

        hint: set WORKOS_API_KEY in the environment, or `key-file` in the settings; \
        `windlass demo` needs none
        exit code 2

        $ WORKOS_API_KEY=sk_no windlass workos delete 2005-12-17 --yes
        error: the remote could not be listed
          caused by: Unauthorized (status 401) [request REQUEST]

        hint: check WORKOS_API_KEY: it was revoked, mistyped, or is of another environment
        exit code 6

        $ WORKOS_API_KEY=sk^Ano windlass workos delete 2005-12-17 --yes
        error: the key holds characters that can't be sent

        hint: copy WORKOS_API_KEY again from the WorkOS dashboard
        exit code 2

    "#]]
    .assert_eq(&said);
    home.write("work/windlass.toml", "[workos]\nkey-file = \"a-file\"\n");
    let mut said = transcript(&remote, [with("")]);
    home.write("work/a-file", "\n");
    said.push_str(&transcript(&remote, [with("")]));
    expect![[r#"
        $ WORKOS_API_KEY= windlass workos delete 2005-12-17 --yes
        error: the key file a-file can't be read
          caused by: No such file or directory (os error 2)

        hint: `key-file` in the settings names a file that holds the key and nothing else
        exit code 2

        $ WORKOS_API_KEY= windlass workos delete 2005-12-17 --yes
        error: there is no key: WORKOS_API_KEY is not set

        hint: set WORKOS_API_KEY in the environment, or `key-file` in the settings; \
        `windlass demo` needs none
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn a_key_that_may_not_even_read() {
    let world = ["--forbidden-key", "sk_blind", "--orgs", "3", "--users", "0"];
    let (home, remote) = (Home::new(), Remote::start(&world));
    let program = home.at(&remote, DAY).env("WORKOS_API_KEY", "sk_blind");
    expect![[r#"
        $ WORKOS_API_KEY=sk_blind windlass workos delete 2005-12-17 --yes
        error: the remote could not be listed
          caused by: You do not have permission to perform this action. (status 403, \
        forbidden) [request REQUEST]

        hint: check the permissions of this WORKOS_API_KEY in the WorkOS dashboard
        exit code 6

    "#]]
    .assert_eq(&transcript(&remote, [program]));
}

#[test]
fn base_urls_that_lead_nowhere() {
    let (home, remote) = scene();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = home.at(&remote, &[&DAY[..3], &["--deadline", "300ms"]].concat());
    let refused = refused.env("WORKOS_BASE_URL", format!("http://{closed}"));
    let wrong = [
        "http://example.com",
        "api.workos.com",
        "ftp://127.0.0.1",
        "https://me:secret@127.0.0.1",
        "http://127.0.0.1:99999",
        "http://127.0.0.1/?page=1",
    ];
    let wrong = wrong.map(|url| home.at(&remote, &[DAY, &["--base-url", url]].concat()));
    expect![[r#"
        $ WORKOS_BASE_URL=http://127.0.0.1:PORT windlass workos delete 2005-12-17 --deadline 300ms
        error: the remote could not be listed
          caused by: no good answer from workos for 300ms; the last: cannot connect to \
        http://127.0.0.1:PORT: connection refused: tcp connect error: Connection refused \
        (os error 111)

        hint: nothing was changed; check the base URL and the network, and try again: \
        --debug shows every request
        exit code 7

    "#]]
    .assert_eq(&transcript(&remote, [refused]));
    expect![[r#"
        $ windlass workos delete 2005-12-17 --yes --base-url http://example.com
        error: plain http to example.com would send the credentials unencrypted

        hint: use https://; http:// is only for 127.0.0.0/8, ::1 and localhost
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --base-url api.workos.com
        error: the URL has no scheme

        hint: write it as https://host
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --base-url ftp://127.0.0.1
        error: the URL's scheme is neither https nor http

        hint: use https://, or http:// for this machine
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --base-url https://me:secret@127.0.0.1
        error: the URL holds a user name or password

        hint: remove what stands before the @; keys have settings of their own
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --base-url http://127.0.0.1:PORT
        error: the URL's port is not a number from 1 to 65535

        hint: write the port after the host, as in https://host:8443
        exit code 2

        $ windlass workos delete 2005-12-17 --yes --base-url http://127.0.0.1/?page=1
        error: the URL has a query or fragment

        hint: remove everything from the ? or # on
        exit code 2

    "#]]
    .assert_eq(&transcript(&remote, wrong));
}

#[test]
fn a_server_that_is_not_workos() {
    let (home, remote) = scene();
    let impatient = || home.at(&remote, &[DAY, &["--retries", "0"]].concat());
    remote.door(|_| Some(answer(404, "text/html", "<html><h1>Not Found</h1></html>")));
    let mut said = transcript(&remote, [home.at(&remote, DAY)]);
    remote.door(|_| Some(answer(200, "text/html", "<html><h1>Welcome</h1></html>")));
    said.push_str(&transcript(&remote, [impatient()]));
    remote.door(|_| Some(answer(302, "text/html", "")));
    said.push_str(&transcript(&remote, [impatient()]));
    expect![[r#"
        $ windlass workos delete 2005-12-17 --yes
        error: the remote could not be listed
          caused by: Not Found (status 404)

        hint: check the base URL: this does not answer as WorkOS does
        exit code 7

        $ windlass workos delete 2005-12-17 --yes --retries 0
        error: the remote could not be listed
          caused by: not a page of a list: expected value at line 1 column 1

        hint: check the base URL: this does not answer as WorkOS does
        exit code 7

        $ windlass workos delete 2005-12-17 --yes --retries 0
        error: the remote could not be listed
          caused by: Found (status 302)

        hint: check the base URL: it answers with a redirect
        exit code 7

    "#]]
    .assert_eq(&said);
}

#[test]
fn a_place_that_takes_no_runs() {
    let (home, remote) = scene();
    home.write("a-file", "");
    let below = home.path().join("a-file/state");
    let below = home.at(&remote, DAY).env("WINDLASS_STATE_DIR", below);
    let nowhere = [&DAY[..3], &["--plan-out", "nowhere/p.jsonl"]].concat();
    home.at(&remote, &[&DAY[..3], &["-n"]].concat()).run().code(0);
    let report = home.windlass(&["report", "--html", "nowhere/r.html"]);
    let said = transcript(&remote, [below, home.at(&remote, &nowhere), report]);
    expect![[r#"
        $ WINDLASS_STATE_DIR=HOME/a-file/state windlass workos delete 2005-12-17 --yes
        error: the state directory HOME/a-file/state can't be used
          caused by: Not a directory (os error 20)

        hint: set WINDLASS_STATE_DIR to a folder that you can write to
        exit code 2

        $ windlass workos delete 2005-12-17 --plan-out nowhere/p.jsonl
        error: plan nowhere/p.jsonl.partial: No such file or directory (os error 2)

        hint: check the path, its permissions and the free space of the disk
        exit code 2

        $ windlass report --html nowhere/r.html
        error: nowhere/r.html can't be read or written
          caused by: No such file or directory (os error 2)

        hint: check permissions and the free space of the disk
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let (home, remote) = scene();
    home.at(&remote, &[&DAY[..3], &["--plan-out", "p.jsonl"]].concat()).run().code(0);
    let programs = [home.at(&remote, &DAY[..3]), home.at(&remote, &["apply", "p.jsonl"])];
    expect![[r#"
        $ windlass workos delete 2005-12-17
        error: nobody can be asked: this is not a terminal

        hint: --yes goes ahead without asking; --dry-run shows the plan only
        exit code 5

        $ windlass apply p.jsonl
        error: nobody can be asked: this is not a terminal

        hint: --yes goes ahead without asking; --dry-run shows the plan only
        exit code 5

    "#]]
    .assert_eq(&transcript(&remote, programs));
}

#[test]
fn a_port_that_is_taken() {
    let (home, remote) = scene();
    let port = remote.url.rsplit(':').next().unwrap();
    let said = transcript(&remote, [home.windlass(&["sim", "workos", "--port", port])]);
    let said = said.replace(port, "PORT");
    let wrong = ["sim", "workos", "--from", "2005-12-18", "--to", "2005-12-17"];
    let said = said + &transcript(&remote, [home.windlass(&wrong)]);
    expect![[r#"
        $ windlass sim workos --port PORT
        error: can't listen on 127.0.0.1:PORT: Address already in use (os error 98)

        hint: another --port may be free; 0 takes any
        exit code 2

        $ windlass sim workos --from 2005-12-18 --to 2005-12-17
        error: --from 2005-12-18 is after --to 2005-12-17

        hint: another --port may be free; 0 takes any
        exit code 2

    "#]]
    .assert_eq(&said);
}

#[test]
fn there_is_no_report_yet() {
    let (home, remote) = scene();
    let mut said = transcript(&remote, [home.windlass(&["report"])]);
    let ended = home.windlass(&["runs"]).run().code(0);
    assert_eq!(ended.err, "There are no runs yet. `windlass demo` makes one.\n");
    for _ in 0..2 {
        home.at(&remote, &[&DAY[..3], &["-n"]].concat()).run().code(0);
    }
    said.push_str(&transcript(&remote, [home.windlass(&["report", "workos"])]));
    expect![[r#"
        $ windlass report
        error: there is no run yet

        hint: `windlass demo` makes one
        exit code 2

        $ windlass report workos
        error: 2 runs have `workos` in their names

        hint: write more of the name
        exit code 2

    "#]]
    .assert_eq(&said);
}
