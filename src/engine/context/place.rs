//! Where a living process runs, asked for by a person: what /proc has of its memory and its files.

use std::fs::{File, read_link};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

use crate::host::proc::{cgroup, is_process};
use crate::output::redact::Policy;

/// The longest environment that is read.
const MOST_ENV: usize = 64 << 10;

/// Where it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The real user and the cgroup, if they are known
    pub uid: Option<u32>,
    pub cgroup: Option<Vec<u8>>,
    /// The working directory; empty: it is not known
    pub cwd: Vec<u8>,
    /// The variables that its program began with, each with its NUL; empty: there are none, or they
    /// may not be read
    pub env: Vec<u8>,
    /// There are more of them
    pub env_cut: bool,
}

/// The helper's side.
pub(super) fn look(pid: u32, start_ns: u64) -> Option<Vec<u8>> {
    let mut env = Vec::new();
    if let Ok(file) = File::open(format!("/proc/{pid}/environ")) {
        // It may be another user's, or end meanwhile.
        let _ = file.take(MOST_ENV as u64 + 1).read_to_end(&mut env);
    }
    let cwd = read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let env_cut = env.len() > MOST_ENV;
    env.truncate(MOST_ENV);
    let cwd = cwd.as_os_str().as_bytes().to_vec();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let place = Place { uid: real_user(&status), cgroup: cgroup(pid, start_ns), cwd, env, env_cut };
    // Checked last: the number may have belonged to another process until now.
    is_process(pid, start_ns).then(|| place.encode())
}

/// `Uid:` of `/proc/PID/status`: the first of four is the real one.
fn real_user(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Nobody's id: see chown(2).
const NO_ID: u32 = u32::MAX;

impl Place {
    /// Whether the environment is cut (1 byte), the user (4 bytes), the lengths of cgroup and directory
    /// (4 bytes each), the cgroup, the directory, the environment.
    fn encode(&self) -> Vec<u8> {
        let cgroup = self.cgroup.as_deref().unwrap_or_default();
        let numbers = [self.uid.unwrap_or(NO_ID), cgroup.len() as u32, self.cwd.len() as u32];
        let numbers = numbers.map(u32::to_ne_bytes).concat();
        [&[u8::from(self.env_cut)][..], &numbers, cgroup, &self.cwd, &self.env].concat()
    }

    pub(super) fn decode(answer: &[u8]) -> Option<Self> {
        let (&env_cut, rest) = answer.split_first()?;
        let (uid, rest) = rest.split_first_chunk()?;
        let (cgroup_len, rest) = rest.split_first_chunk()?;
        let (cwd_len, rest) = rest.split_first_chunk()?;
        let (cgroup, rest) = rest.split_at_checked(u32::from_ne_bytes(*cgroup_len) as usize)?;
        let (cwd, env) = rest.split_at_checked(u32::from_ne_bytes(*cwd_len) as usize)?;
        Some(Self {
            uid: Some(u32::from_ne_bytes(*uid)).filter(|uid| *uid != NO_ID),
            cgroup: Some(cgroup.to_vec()).filter(|path| !path.is_empty()),
            cwd: cwd.to_vec(),
            env: env.to_vec(),
            env_cut: env_cut != 0,
        })
    }

    pub(super) fn without_secrets(self, policy: &Policy) -> Self {
        if !policy.is_on() {
            return self;
        }
        let (cwd, env) = (policy.text(&self.cwd), policy.variables(&self.env));
        let (cwd, env) = (cwd.bytes.into_owned(), env.bytes.into_owned());
        Self { cwd, env, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::proc::{Stat, first_ns};

    #[test]
    fn we_are_where_we_are() {
        let pid = std::process::id();
        let start_ns = first_ns(Stat::read(pid).unwrap().start_ticks().unwrap());
        let place = Place::decode(&look(pid, start_ns).unwrap()).unwrap();
        let own = std::fs::read("/proc/self/environ").unwrap();
        assert_eq!(place.cwd, std::env::current_dir().unwrap().as_os_str().as_bytes());
        assert_eq!(place.uid, Some(nix::unistd::getuid().as_raw()));
        assert_eq!(place.env, own[..own.len().min(MOST_ENV)]);
        assert_eq!(look(pid, start_ns + 10_000_000_000), None, "another one had the id");
    }

    #[test]
    fn answers_arrive_as_they_were() {
        for place in [
            Place::default(),
            Place {
                uid: Some(7),
                cgroup: Some(b"/c".to_vec()),
                cwd: b"/x".to_vec(),
                env: b"A=1\0B=2\0".to_vec(),
                env_cut: true,
            },
        ] {
            assert_eq!(Place::decode(&place.encode()), Some(place));
        }
        for garbage in [&b""[..], b"\0", b"\0\x05\0\0\0ab", &[1; 40]] {
            assert_eq!(Place::decode(garbage), None);
        }
    }

    #[test]
    fn secrets_stay_where_they_are() {
        let place = Place { env: b"DB_PASSWORD=hunter2\0A=1\0".to_vec(), ..Place::default() };
        let redacted = place.clone().without_secrets(&Policy::new(&[]));
        assert_eq!(redacted.env, b"DB_PASSWORD=REDACTED\0A=1\0");
        assert_eq!(place.clone().without_secrets(&Policy::default()), place);
    }
}
