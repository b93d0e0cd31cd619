//! Examples, both ways: what is a secret, and what only looks like one.

use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

/// Words behind one another, with their NULs.
fn block(words: &[&str]) -> Vec<u8> {
    words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect()
}

fn shown(words: &[&str]) -> String {
    let block = block(words);
    let redacted = Policy::new(&[]).args(&block);
    let text = String::from_utf8(redacted.bytes.into_owned()).unwrap();
    text.strip_suffix('\0').unwrap_or(&text).replace('\0', "|")
}

/// A command and what is shown of it.
const SECRETS: &[(&[&str], &str)] = &[
    (&["x", "--password", "s3"], "x|--password|REDACTED"),
    (&["x", "--password=s3"], "x|--password=REDACTED"),
    (&["x", "--password", ""], "x|--password|"),
    (&["x", "--db-password=s3", "y"], "x|--db-password=REDACTED|y"),
    (&["x", "--DB_PASSWORD", "s3"], "x|--DB_PASSWORD|REDACTED"),
    (&["x", "--token", "s3", "--secret=s4"], "x|--token|REDACTED|--secret=REDACTED"),
    (&["x", "--api-key", "s3", "--apiKey=s4"], "x|--api-key|REDACTED|--apiKey=REDACTED"),
    (&["x", "--clientSecret", "s3"], "x|--clientSecret|REDACTED"),
    (&["keytool", "-storepass", "s3"], "keytool|-storepass|REDACTED"),
    (&["sshpass", "-p", "s3", "ssh", "h"], "sshpass|-p|REDACTED|ssh|h"),
    (&["sshpass", "-ps3", "ssh", "-p", "22", "h"], "sshpass|-pREDACTED|ssh|-p|22|h"),
    (&["/usr/bin/mysql", "-uroot", "-ps3", "db"], "/usr/bin/mysql|-uroot|-pREDACTED|db"),
    (&["sudo", "-u", "x", "mysqldump", "-ps3"], "sudo|-u|x|mysqldump|-pREDACTED"),
    (&["docker", "exec", "db", "mysql", "-ps3"], "docker|exec|db|mysql|-pREDACTED"),
    (&["curl", "-u", "me:s3", "http://h"], "curl|-u|me:REDACTED|http://h"),
    (&["curl", "-ume:s3:4"], "curl|-ume:REDACTED"),
    (&["curl", "-sSu", "me:s3"], "curl|-sSu|me:REDACTED"),
    (
        &["curl", "--user", "me:s3", "--proxy-user=a:b"],
        "curl|--user|me:REDACTED|--proxy-user=a:REDACTED",
    ),
    (&["git", "clone", "https://me:s3@h/x"], "git|clone|https://REDACTED@h/x"),
    (&["git", "clone", "https://s3@h/x"], "git|clone|https://REDACTED@h/x"),
    (&["psql", "postgres://me:s3@h/db"], "psql|postgres://REDACTED@h/db"),
    (&["curl", "-H", "Authorization: Bearer abc.def"], "curl|-H|Authorization: REDACTED"),
    (&["curl", "-H", "proxy-authorization:Basic YTpi"], "curl|-H|proxy-authorization:REDACTED"),
    (&["aws", "AKIAIOSFODNN7EXAMPLE"], "aws|REDACTED"),
    (&["x", "ghp_abcdefghijklmnopqrstuvwxyz0123456789"], "x|REDACTED"),
    (&["x", "--with=github_pat_11ABCDEFG0abcdefghij_k"], "x|--with=REDACTED"),
    (&["x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"], "x|REDACTED"),
    (
        &["x", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"],
        "x|-----BEGIN RSA PRIVATE KEY-----REDACTED-----END RSA PRIVATE KEY-----",
    ),
    (&["env", "DB_PASSWORD=s3", "x"], "env|DB_PASSWORD=REDACTED|x"),
    (&["docker", "run", "-e", "API_KEY=s3", "i"], "docker|run|-e|API_KEY=REDACTED|i"),
    (&["sh", "-c", "mysql -ps3 db"], "sh|-c|mysql -pREDACTED db"),
    (
        &["sh", "-c", "cd /x && sshpass -p 's 3' ssh h"],
        "sh|-c|cd /x && sshpass -p 'REDACTED' ssh h",
    ),
    (&["sh", "-c", "x --password=s3; y"], "sh|-c|x --password=REDACTED; y"),
    (&["sh", "-c", "cd /; TOKEN=s3 exec x"], "sh|-c|cd /; TOKEN=REDACTED exec x"),
    // It may be a value with spaces.
    (&["env", "TOKEN=s3 s4", "x"], "env|TOKEN=REDACTED|x"),
    (
        &["sh", "-c", "curl -H 'Authorization: Bearer s3' u"],
        "sh|-c|curl -H 'Authorization: REDACTED' u",
    ),
    (
        &["sh", "-c", "sh -c 'x --token s3'; su -c \"mysql -ps4\""],
        "sh|-c|sh -c 'x --token REDACTED'; su -c \"mysql -pREDACTED\"",
    ),
    (&["ssh", "h", "sudo mysql -ps3"], "ssh|h|sudo mysql -pREDACTED"),
];

/// Commands that are shown as they are.
const PUBLIC: &[&[&str]] = &[
    &["docker", "run", "-p", "8080:80", "-u", "1000:1000", "mysql"],
    &["docker", "run", "--name", "mysql", "-p3306:3306", "mysql"],
    &["docker", "run", "-u", "1000:1000", "curl"],
    &["ssh", "-p", "2222", "git@host"],
    &["mysql", "-p", "db"],
    &["mysql", "--password", "db"],
    &["psql", "--password", "db"],
    &["psql", "--no-password", "db"],
    &["x", "--password-file", "/run/secret", "--token-file=/x"],
    &["x", "--password", "--verbose"],
    &["x", "--bypass", "y", "--max-tokens", "5", "--compass=n", "--passwordless", "z"],
    &["mkdir", "-p", "/a/b"],
    &["rsync", "-u", "a:b", "c"],
    &["curl", "-u", "me", "http://h:8080/a@b"],
    &["git", "clone", "ssh://git@h:22/x", "git@github.com:a/b"],
    &["sort", "key=2", "monkey=3"],
    &["make", "MONKEY=1", "SSH_ASKPASS=/bin/x", "CC=gcc"],
    &["sh", "-c", "docker run -p 8080:80 x; mysql -p"],
    &["aws", "AKIA", "authorization", "eyJ.eyJ"],
    &["gcc", "-pass-exit-codes", "-o", "token", "token.c"],
    &["cat", "/etc/ssl/key.pem", "--key", "/x", "-----BEGIN CERTIFICATE-----\nMII"],
    &["nc", "http://h:80", "user:pass@host"],
];

#[test]
fn secrets_are_replaced() {
    for (words, expected) in SECRETS {
        assert_eq!(shown(words), *expected);
    }
}

#[test]
fn what_is_public_stays() {
    for words in PUBLIC {
        assert_eq!(shown(words), words.join("|"));
    }
}

#[test]
fn each_row_of_the_tables_has_an_example() {
    let flags: String = SECRETS.iter().flat_map(|(words, _)| words.iter()).copied().collect();
    for row in shapes::OF_PROGRAMS.iter().filter(|row| row.flag != "-U") {
        assert!(flags.contains(row.flag), "{row:?}");
    }
    for text in shapes::TEXTS {
        assert!(Regex::new(text).is_ok(), "{text}");
    }
    for name in shapes::FLAGS {
        assert_eq!(shown(&["x", &format!("--{name}=s3")]), format!("x|--{name}=REDACTED"));
    }
}

#[test]
fn variables_by_their_names() {
    let redacted = |entry: &str| {
        let block = block(&[entry]);
        let redacted = Policy::new(&[]).variables(&block);
        let text = String::from_utf8(redacted.bytes.into_owned()).unwrap();
        text.trim_end_matches('\0').to_owned()
    };
    for name in [
        "PGPASSWORD",
        "GITHUB_TOKEN",
        "CLIENT_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "KEY",
        "api_key",
        "OPENAI_APIKEY",
        "MYSQL_PWD",
        "SSHPASS",
        "DB_PASS",
    ] {
        assert_eq!(redacted(&format!("{name}=s3=4")), format!("{name}=REDACTED"));
        assert_eq!(redacted(&format!("{name}=")), format!("{name}="));
    }
    for entry in ["PATH=/bin", "MONKEY=1", "SSH_ASKPASS=/x", "PWD=/a", "TOKENS=3", "TOKEN", "=x"] {
        assert_eq!(redacted(entry), entry);
    }
    assert_eq!(redacted("SUDO_COMMAND=/bin/mysql -ps3"), "SUDO_COMMAND=/bin/mysql -pREDACTED");
    assert_eq!(redacted("http_proxy=http://a:b@p:3128"), "http_proxy=http://REDACTED@p:3128");
}

#[test]
fn what_is_cut_may_be_a_secret() {
    let cut = |text: &str| {
        let block = [b"x\0", text.as_bytes()].concat();
        String::from_utf8(Policy::new(&[]).args(&block).bytes.into_owned()).unwrap()
    };
    assert_eq!(cut("https://me:s3"), "x\0https://REDACTED");
    assert_eq!(cut("--password=s"), "x\0--password=REDACTED");
    assert_eq!(cut("ghp_abcdefghijklmnop"), "x\0REDACTED");
    assert_eq!(cut("-----BEGIN PRIVATE KEY-----\nMI"), "x\0-----BEGIN PRIVATE KEY-----REDACTED");
    assert_eq!(cut("https://h/a:b"), "x\0https://h/a:b");
}

#[test]
fn patterns_of_the_user() {
    let policy = Policy::new(&[Regex::new("id=([0-9]+)").unwrap(), Regex::new("hunter.").unwrap()]);
    let redacted = policy.args(b"x\0--id=55\0hunter2\0");
    assert_eq!((&*redacted.bytes, redacted.count), (&b"x\0--id=REDACTED\0REDACTED\0"[..], 2));
    assert_eq!(&*policy.text(b"/home/hunter2/x").bytes, b"/home/REDACTED/x");
    let off = Policy::default();
    assert_eq!(off.args(b"x\0--token\0s3\0").count, 0);
    assert!(policy.is_on() && !off.is_on());
}

proptest! {
    #[test]
    fn once_is_enough(words in prop::collection::vec(
        prop_oneof![
            "(--(password|x)(=[a-c ]{0,3})?|-p[a-c]{0,2}|mysql|curl|-u|a:b|sudo|TOKEN=[a-z]{0,2})",
            "(sh|-c|https?://[a-c:@/]{0,6}|authorization: [a-c ]{0,5}|[a-c;'\" ]{0,8})",
        ], 0..7), cut: bool) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut block = block(&words);
        if cut {
            block.pop();
        }
        let policy = Policy::new(&[]);
        let once = policy.args(&block);
        let again = policy.args(&once.bytes);
        prop_assert_eq!(&again.bytes, &once.bytes);
        prop_assert_eq!(again.count, 0);
        let nuls = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == 0).count();
        prop_assert_eq!(nuls(&once.bytes), nuls(&block), "arguments stay apart");
    }

    #[test]
    fn no_bytes_make_it_panic(block: Vec<u8>) {
        let policy = Policy::new(&[]);
        let _ = (policy.args(&block), policy.variables(&block), policy.text(&block));
    }
}
