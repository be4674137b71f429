//! What the settings of Redis Streams must be.

use super::Check;
use crate::config::streams::Streams;

/// In fewer, a message would be gone before somebody reads it.
const LEAST_STREAM: u64 = 1000;

/// Notes every fault.
pub(super) fn faults(streams: &Streams, check: &mut Check<'_>) {
    let prefix = &streams.prefix;
    if prefix.is_empty() || prefix.len() > 200 || prefix.contains(char::is_whitespace) {
        check.wrong("streams.prefix", "write 1 to 200 characters without blanks");
    }
    if streams.node.len() > 100 || streams.node.contains(|c: char| c.is_control() || c == ' ') {
        check.wrong("streams.node", "write at most 100 characters without blanks");
    }
    if streams.max_length < LEAST_STREAM {
        check.wrong("streams.max_length", format!("write {LEAST_STREAM} or more"));
    }
    if !streams.sentinels.is_empty() && streams.sentinel_master.is_empty() {
        let what = "say under which name they know the server: `streams.sentinel_master`";
        check.wrong("streams.sentinels", what);
    }
    login_at_sentinels(streams, check);
    let parse = || streams.address().map(drop);
    check.url("streams", streams.url_file.is_some(), &streams.url, parse);
}

fn login_at_sentinels(streams: &Streams, check: &mut Check<'_>) {
    let has_file = streams.sentinel_password_file.is_some();
    let has_password = has_file || streams.sentinel_password.is_some();
    let setting = "streams.sentinel_password";
    if has_file && streams.sentinel_password.is_some() {
        let what = "`sentinel_password` and `sentinel_password_file` are both given; keep one";
        check.wrong(setting, what);
    } else if has_password && streams.sentinel_master.is_empty() {
        let what = "no Sentinel is asked without `streams.sentinel_master`; a server's own password \
                    stands in `streams.url`";
        check.wrong(if has_file { "streams.sentinel_password_file" } else { setting }, what);
    }
    if !streams.sentinel_user.is_empty() && !has_password {
        let what = "a user needs a password: `streams.sentinel_password_file`";
        check.wrong("streams.sentinel_user", what);
    }
}

/// Notes what is wrong with an address that was read from a file.
pub(super) fn faults_in_files(streams: &Streams, check: &mut Check<'_>) {
    let is_read = streams.url_file.is_some() && streams.are_on();
    check.url_in_file("streams", is_read, || streams.address().map(drop));
}
