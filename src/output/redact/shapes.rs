//! What secrets look like: data, and nothing else. `tests.rs` beside it has examples of each row, and of
//! what must stay.

/// Long flags whose value is a secret, without dashes: the whole name, or its last parts, as in
/// `--db-password` and `--clientSecret`. `--no-password` is none.
pub(super) const FLAGS: [&str; 16] = [
    "password",
    "passwd",
    "pass",
    "passphrase",
    "token",
    "secret",
    "api-key",
    "apikey",
    "access-key",
    "secret-key",
    "secret-access-key",
    "auth-key",
    "oauth2-bearer",
    "storepass",
    "keypass",
    "passcode",
];

/// The ends of names of variables whose value is a secret, in capitals.
pub(super) const VARIABLE_ENDS: [&str; 6] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "SECRET", "APIKEY"];

/// The same, as a whole word only: not MONKEY, not SSH_ASKPASS.
pub(super) const VARIABLE_WORDS: [&str; 2] = ["KEY", "PASS"];

/// Whole names of variables.
pub(super) const VARIABLES: [&str; 2] = ["MYSQL_PWD", "SSHPASS"];

/// How a flag has its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Behind it, in the same argument: without a value the program asks for it
    Attached,
    /// Likewise, or in the next argument
    Either,
}

/// Which part of the value is the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// Behind the first colon
    Password,
}

/// A flag that means this in these programs only.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfProgram {
    /// Names, without folders and without versions behind them
    pub(super) programs: &'static [&'static str],
    pub(super) flag: &'static str,
    pub(super) form: Form,
    pub(super) part: Part,
}

const MYSQL: &[&str] = &[
    "mysql",
    "mysqldump",
    "mysqladmin",
    "mysqlcheck",
    "mysqlimport",
    "mysqlshow",
    "mysqlpump",
    "mysqlsh",
    "mysqlbinlog",
    "mysqlslap",
    "mariadb",
    "mariadb-dump",
    "mariadb-admin",
    "mariadb-check",
    "mariadb-import",
    "mariadb-show",
    "mariadb-backup",
    "mariadb-binlog",
    "mariadb-slap",
];

/// Flags of single programs.
pub(super) const OF_PROGRAMS: [OfProgram; 6] = [
    OfProgram { programs: &["sshpass"], flag: "-p", form: Form::Either, part: Part::Whole },
    OfProgram { programs: MYSQL, flag: "-p", form: Form::Attached, part: Part::Whole },
    OfProgram { programs: &["curl"], flag: "-u", form: Form::Either, part: Part::Password },
    OfProgram { programs: &["curl"], flag: "-U", form: Form::Either, part: Part::Password },
    OfProgram { programs: &["curl"], flag: "--user", form: Form::Either, part: Part::Password },
    OfProgram {
        programs: &["curl"],
        flag: "--proxy-user",
        form: Form::Either,
        part: Part::Password,
    },
];

/// curl's flags of one letter that have no value, and so may stand before another one: `-sSu`.
pub(super) const CURL_SWITCHES: &str = "#046BIJLMNOSafgijklnpqsv";

/// Programs whose `--password` has its value behind `=`, or asks for it: what follows is no secret.
pub(super) const ASKING: [&[&str]; 2] =
    [MYSQL, &["psql", "pg_dump", "pg_dumpall", "pg_restore", "createdb", "dropdb", "pgbench"]];

/// Programs that run the one that they name.
pub(super) const WRAPPERS: [&str; 30] = [
    "sudo",
    "doas",
    "env",
    "timeout",
    "nice",
    "ionice",
    "nohup",
    "xargs",
    "setsid",
    "stdbuf",
    "time",
    "strace",
    "ltrace",
    "chroot",
    "unshare",
    "nsenter",
    "runuser",
    "setpriv",
    "exec",
    "command",
    "chrt",
    "taskset",
    "flock",
    "watch",
    "parallel",
    "ssh",
    "systemd-run",
    "perf",
    "catchsegv",
    "busybox",
];

/// Programs whose first word without a dash is another program, to which all that follows belongs.
pub(super) const STARTERS: [&str; 1] = ["sshpass"];

/// Programs that do so behind the word `exec`.
pub(super) const EXECUTORS: [&str; 5] = ["docker", "podman", "nerdctl", "kubectl", "lxc"];

/// Secrets in any text. What is replaced is the group, or all of it.
pub(super) const TEXTS: [&str; 10] = [
    // Userinfo of URLs. A user alone is public, but for the web, where it is mostly a token.
    r"(?i-u)\b[a-z][a-z0-9+.\-]*://([^\s/?#@'\x22]*:[^\s/?#@'\x22]+)@",
    r"(?i-u)\bhttps?://([^\s/?#@'\x22]+)@",
    // Headers, up to the quote that ends them in a script.
    r"(?i-u)\b(?:proxy-)?authorization\s*[:=]\s*((?:[a-z]+\s+)?[^\s'\x22][^'\x22\r\n]*)",
    // AWS: the id of an access key. The last ones may be cut.
    r"(?-u)\b((?:AKIA|ASIA)[A-Z0-9]{12,16})\b",
    // GitHub, GitLab, Slack.
    r"(?-u)\b(gh[pousr]_[A-Za-z0-9]{16,})",
    r"(?-u)\b(github_pat_[A-Za-z0-9_]{16,})",
    r"(?-u)\b(glpat-[A-Za-z0-9_\-]{16,})",
    r"(?-u)\b(xox[abeoprs]-[A-Za-z0-9\-]{10,})",
    // JWT: a header and what it is about, and mostly a signature.
    r"(?-u)\b(eyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?)",
    // PEM, up to its end, or that of the text.
    r"(?s-u)-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)(?:-----END|\z)",
];

/// The end of an argument that is cut: perhaps userinfo whose `@` is missing.
pub(super) const CUT_TEXT: &str =
    r"(?i-u)\b[a-z][a-z0-9+.\-]*://([^\s/?#@'\x22]*:[^\s/?#@'\x22]*)\z";
