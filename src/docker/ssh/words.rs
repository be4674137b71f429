//! What OpenSSH's client said, in words that tell what to do.
//!
//! The invariant: what is not known is told as it was said. It decides nothing: whatever the reason,
//! the client is begun again.

use selfheal_agents::model::clean;

use super::{Login, Ssh};

/// The longest line of the client's that is told, in characters.
const LONGEST_LINE: usize = 160;
const REFUSAL: &str = "Permission denied";

/// Why the client ended that was at work. What it said meanwhile of single connections is not why.
pub(super) fn why_it_ended(said: &str, ssh: &Ssh, login: &Login) -> String {
    let lines = said.lines().filter(|line| !line.starts_with("channel "));
    explained(&lines.collect::<Vec<_>>().join("\n"), ssh, login)
}

/// Why the client was not let in, or carried a connection no further.
pub(super) fn explained(said: &str, ssh: &Ssh, login: &Login) -> String {
    let last = line(said, tells_something).or_else(|| line(said, |_| true)).unwrap_or_default();
    let (user, socket, by_hand) = (ssh.user(), &ssh.socket, ssh.by_hand(login));
    let has = |words: &str| said.contains(words);
    if has("HOST IDENTIFICATION HAS CHANGED") {
        let host = known_as(ssh);
        format!(
            "its host key is not the one that is known: somebody may stand in between; if it was \
             made anew, remove the old one with `ssh-keygen -R '{host}'`, then `{by_hand}`"
        )
    } else if has("Host key verification failed") {
        format!(
            "its host key is not known here; compare and accept it once, as the user who runs \
             Selfheal: `{by_hand}`"
        )
    } else if has(REFUSAL) {
        not_let_in(said, &by_hand)
    } else if has("stdio forwarding failed") {
        let why = line(said, |line| line.contains("open failed")).unwrap_or(last);
        format!("the host to jump over does not get through to it ({why}); try `{by_hand}`")
    } else if has("administratively prohibited") {
        format!(
            "its SSH server does not let {user} reach {socket}; allow AllowStreamLocalForwarding \
             in its sshd_config, and `port-forwarding` to the key"
        )
    } else if has("open failed") {
        format!(
            "SSH gets there, but no further than to {socket} ({last}); does Docker run there, and \
             is {user} in the group `docker`?"
        )
    } else if last.ends_with("ssh: not found") {
        "OpenSSH's client is missing on this machine; install `openssh-client`".to_owned()
    } else if last.is_empty() {
        format!("SSH ended without a word; try `{by_hand}` as the user who runs Selfheal")
    } else {
        last
    }
}

/// By the engine's host, or by one on the way.
fn not_let_in(said: &str, by_hand: &str) -> String {
    let refusal = line(said, |line| line.contains(REFUSAL)).unwrap_or_default();
    let who = refusal.split(": ").find(|word| word.contains('@')).unwrap_or("the user there");
    // A warning of a key that cannot be read is the reason for the refusal that follows.
    let why = line(said, |line| line.starts_with("Warning: Identity file"));
    let why = why.as_ref().unwrap_or(&refusal);
    format!(
        "it does not let Selfheal in ({why}); put the public key into the authorized_keys of \
         {who}, then `{by_hand}` as the user who runs Selfheal"
    )
}

/// The last line that is so.
fn line(said: &str, is: impl Fn(&str) -> bool) -> Option<String> {
    let found = said.lines().rfind(|line| !line.trim().is_empty() && is(line));
    found.map(|line| clean(line, LONGEST_LINE))
}

/// Whatever the reason is on the way, the last words are that nothing came through it.
fn tells_something(line: &str) -> bool {
    let nothing = ["kex_exchange_identification: ", "Connection closed by UNKNOWN"];
    !nothing.iter().any(|begin| line.starts_with(begin))
}

/// The name under which a host's key is kept.
fn known_as(ssh: &Ssh) -> String {
    match ssh.port {
        None | Some(22) => ssh.host.clone(),
        Some(port) => format!("[{}]:{port}", ssh.host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: &str) -> String {
        let ssh = Ssh::parse("ssh://ops@nas:2222").unwrap();
        explained(said, &ssh, &Login::new(None, Some("/hosts".into())).unwrap())
    }

    #[test]
    fn what_helps_is_told_with_the_words_to_type() {
        // As OpenSSH 9.2 says it.
        for (said, expected) in [
            (
                "No ED25519 host key is known for [nas]:2222 and you have requested strict \
                 checking.\r\nHost key verification failed.\r\n",
                "`ssh -o 'UserKnownHostsFile=\"/hosts\"' -l ops -p 2222 -- nas true`",
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification \
                 failed.\n",
                "`ssh-keygen -R '[nas]:2222'`",
            ),
            ("ops@nas: Permission denied (publickey).\n", "authorized_keys of ops@nas, then"),
            (
                "Warning: Identity file /k not accessible: No such file or directory.\n\
                 ops@nas: Permission denied (publickey).\n",
                "(Warning: Identity file /k not accessible",
            ),
            ("channel 2: open failed: connect failed: open failed\n", "group `docker`"),
            (
                "me@gate: Permission denied (publickey).\n\
                 kex_exchange_identification: Connection closed by remote host\n\
                 Connection closed by UNKNOWN port 65535\n",
                "(me@gate: Permission denied (publickey).); put the public key into the \
                 authorized_keys of me@gate,",
            ),
            (
                "channel 0: open failed: connect failed: Connection refused\n\
                 stdio forwarding failed\nConnection closed by UNKNOWN port 65535\n",
                "the host to jump over does not get through to it (channel 0: open failed",
            ),
            (
                "ssh: connect to host gate port 22: No route to host\n\
                 Connection closed by UNKNOWN port 65535\n",
                "ssh: connect to host gate port 22: No route to host",
            ),
            (
                "channel 2: open failed: administratively prohibited: open failed\n",
                "AllowStreamLocalForwarding",
            ),
            ("sh: 1: ssh: not found\n", "install `openssh-client`"),
            (
                "ssh: connect to host nas port 22: Connection refused\n",
                "ssh: connect to host nas port 22: Connection refused",
            ),
            ("", "`ssh -o"),
        ] {
            assert!(told(said).contains(expected), "{said}: {}", told(said));
        }
    }
    #[test]
    fn what_was_said_of_connections_is_not_why_a_client_ended() {
        let ssh = Ssh::parse("ssh://ops@nas").unwrap();
        let why = |said| why_it_ended(said, &ssh, &Login::default());
        let failed = "channel 2: open failed: connect failed: open failed\n";
        assert!(why(failed).contains("without a word"), "{}", why(failed));
        let timed_out = format!("{failed}Timeout, server nas not responding.\r\n");
        assert_eq!(why(&timed_out), "Timeout, server nas not responding.");
    }
}
